"""The rule generator: wordings, recipes, captions and boxes, and the real data."""

import json
import random
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from acclimate.records import Box, Boxes, ImageCaption, ImageRef, RecipeText, Rejection, Triplet
from acclimate.synthesize import rules_templates
from acclimate.synthesize.answers import answer_mention, question_mention
from acclimate.synthesize.rules import CAPTION_KINDS, RECIPE_KINDS, RulesConfig, tasks
from acclimate.synthesize.rules_captions import Material, caption_task
from acclimate.synthesize.rules_recipes import recipe_task
from acclimate.synthesize.rules_words import colours, content_words, counts, sentences, stem, things

IMAGE = ImageRef("0" * 64, 640, 480, "image/png")
EVERY_KIND = RulesConfig(tasks_per_pair=9)
SOUP = RecipeText(
    "Lentil Soup",
    ("200 g red lentils", "1 onion", "1 l stock", "salt {to taste}"),
    ("Chop the onion.", "Boil everything for 20 minutes."),
)
BANNED = re.compile(r"caption|bounding|\bbox(?:es)? coordinates", re.IGNORECASE)


def pair(caption: str, annotation: Boxes | RecipeText | None = None, pair_id: str = "p") -> ImageCaption:
    return ImageCaption(pair_id, IMAGE, caption, "x.json", "unknown", annotation)


def by_kind(outcomes: Iterable[Triplet | Rejection]) -> dict[str, Triplet]:
    return {each.kind: each for each in outcomes if isinstance(each, Triplet)}


def many(kind: str, one: ImageCaption, n: int = 200) -> list[tuple[str, str]]:
    """Tasks of one kind for the same material under n seeds."""
    material = Material.of(one)
    made = [caption_task(kind, material, random.Random(f"{n}")) for n in range(n)]
    return [each for each in made if each is not None]


# Wordings


def test_every_kind_has_its_own_pool_of_wordings_without_repeats():
    pools = {
        name: value
        for name, value in vars(rules_templates).items()
        if name.isupper() and name not in ("BLANK", "ABSENT")
    }
    assert {name: len(pool) for name, pool in pools.items()} == {
        "STEPS_FROM_INGREDIENTS": 24,
        "STEPS": 12,
        "TITLE": 12,
        "INGREDIENTS": 12,
        "RECIPE": 28,
        "GIVEN_TITLE": 4,
        "GIVEN_INGREDIENTS": 4,
        "DESCRIBE": 12,
        "TOPIC": 10,
        "FILL_IN": 10,
        "PRESENCE": 10,
        "CHOICE": 10,
        "COLOUR": 10,
        "COUNT": 10,
        "ORDER": 10,
        "SIDE": 10,
    }
    every = [wording for pool in pools.values() for wording in pool]
    assert len(set(every)) == len(every)
    for wording in every:
        assert not BANNED.search(wording)
        assert not question_mention(wording)


@pytest.mark.parametrize(
    ("pool", "slots", "always"),
    [
        ("STEPS_FROM_INGREDIENTS", {"name", "ingredients"}, True),
        ("STEPS", set(), True),
        ("TITLE", set(), True),
        ("INGREDIENTS", set(), True),
        ("RECIPE", {"name"}, False),
        ("GIVEN_TITLE", {"name"}, True),
        ("GIVEN_INGREDIENTS", {"ingredients"}, True),
        ("FILL_IN", {"text"}, True),
        ("PRESENCE", {"thing"}, True),
        ("CHOICE", {"text"}, True),
        ("COLOUR", {"noun", "is"}, False),
        ("COUNT", {"noun"}, True),
        ("ORDER", {"text"}, True),
        ("SIDE", {"first", "second"}, True),
    ],
)
def test_a_wording_has_the_slots_of_its_kind(pool: str, slots: set[str], always: bool):
    for wording in getattr(rules_templates, pool):
        found = set(re.findall(r"\{(\w+)\}", wording))
        assert found == slots if always else found <= slots


# What rules find in a sentence


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A dog runs. It barks!", ["A dog runs.", "It barks!"]),
        ("See Fig. 2 for it. Next one.", ["See Fig. 2 for it.", "Next one."]),
        ("About 3.5 cm wide. Round.", ["About 3.5 cm wide.", "Round."]),
        ("A dog (cf. The Cat. Two) sits. End.", ["A dog (cf. The Cat. Two) sits.", "End."]),
        ("It is 5 p.m. now", ["It is 5 p.m. now"]),
        ("one\ntwo", ["one", "two"]),
        ("犬がいる。猫もいる。", ["犬がいる。", "猫もいる。"]),
        ("... !", []),
    ],
)
def test_sentences_end_where_a_reader_would_say_so(text: str, expected: list[str]):
    assert sentences(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A dog sits on a wooden bench.", ["a dog", "a bench"]),
        ("A small brown dog on an old sofa", ["a dog", "a sofa"]),
        ("An owl is in a tree", ["an owl", "a tree"]),
        ("A dog sitting on a bench next to a cat", ["a dog", "a bench", "a cat"]),
        ("A photo of a dog in the snow", ["a dog"]),
        ("There is no dog on a bench", []),
        ("It might be a dog.", []),
        ('A sign that says "a dog"', []),
        ("A cloud like a dog in the sky", []),
        ("A set of a knife and a fork", ["a fork"]),
        ("A dog house in the garden", []),
        ("un perro en a casa", []),
        ("a peach and gold suit of the king", []),
        ("", []),
    ],
)
def test_only_things_that_are_surely_there_are_found(text: str, expected: list[str]):
    assert things(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A red bus in the street", [("bus", "red")]),
        ("a dark blue car on the road", [("car", "dark blue")]),
        ("A red and white bus in the street", []),
        ("A red bus behind the other bus", []),
        ("two red buses in front of a bus", []),
        ("A black man with a white dog", [("dog", "white")]),
        ("The car is not red but a green van is", []),
        ("red wine on the table", []),
    ],
)
def test_a_colour_belongs_to_one_thing(text: str, expected: list[tuple[str, str]]):
    assert [(each.noun, each.value) for each in colours(text)] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Two dogs in the snow", [("dogs", "Two")]),
        ("three young soccer players on the field", [("young soccer players", "three")]),
        ("12 cups on a shelf", [("cups", "12")]),
        ("about two dogs in the snow", []),
        ("at least three cups on a shelf", []),
        ("two types of dogs in the snow", []),
        ("it is ten years old and has two wheels", [("wheels", "two")]),
        ("two dogs and a dog in the snow", []),
        ("21 dogs in the snow", []),
    ],
)
def test_only_a_plain_number_of_things_is_found(text: str, expected: list[tuple[str, str]]):
    assert [(each.noun, each.value) for each in counts(text)] == expected


def test_singular_and_plural_have_one_stem():
    for one, more in [
        ("bus", "buses"),
        ("box", "boxes"),
        ("pony", "ponies"),
        ("man", "men"),
        ("dog", "dogs"),
    ]:
        assert stem(one) == stem(more.upper())
    assert stem("glass") == "glass"


def test_no_word_is_asked_for_that_stands_in_the_sentence_twice():
    assert [word.text for word in content_words("The dog saw a big dog and (fled).")] == [
        "saw",
        "big",
        "fled",
    ]


# Recipes


def recipe_tasks(
    kind: str, recipe: RecipeText = SOUP, form: str = "strict", n: int = 300
) -> list[tuple[str, str]]:
    made = [recipe_task(kind, recipe, form, random.Random(f"{n}")) for n in range(n)]
    return [each for each in made if each is not None]


STEPS = "1. Chop the onion.\n2. Boil everything for 20 minutes."
LISTED = "200 g red lentils\n1 onion\n1 l stock\nsalt {to taste}"


@pytest.mark.parametrize(
    ("kind", "strict", "paper"),
    [
        ("steps_from_ingredients", STEPS, f"instructions: {STEPS}"),
        ("steps", STEPS, f"instructions: {STEPS}"),
        ("title", "Lentil Soup", "title: Lentil Soup"),
        ("ingredients", LISTED, f"ingredients: {LISTED}"),
        (
            "recipe",
            "Lentil Soup\n\nIngredients:\n- 200 g red lentils\n- 1 onion\n- 1 l stock\n- salt {to taste}\n\n"
            f"Steps:\n{STEPS}",
            f"title: Lentil Soup\ningredients: {LISTED}\ninstructions: {STEPS}",
        ),
    ],
)
def test_each_kind_of_recipe_task_has_its_answer(kind: str, strict: str, paper: str):
    assert {answer for _, answer in recipe_tasks(kind)} == {strict}
    assert {answer for _, answer in recipe_tasks(kind, form="paper")} == {paper}


def test_steps_are_asked_for_with_every_ingredient_and_half_the_time_with_the_title():
    made = recipe_tasks("steps_from_ingredients")
    assert all(LISTED in question for question, _ in made)
    assert 120 <= sum("Lentil Soup" in question for question, _ in made) <= 180
    assert len({question for question, _ in made}) > 60


def test_a_title_is_never_given_away_and_only_part_of_the_ingredients_is():
    made = recipe_tasks("title")
    assert not any("Lentil Soup" in question for question, _ in made)
    given = [[each for each in SOUP.ingredients if each in question] for question, _ in made]
    assert {len(each) for each in given} == {0, 2, 3}
    assert 195 <= sum(map(bool, given)) <= 255
    assert not any("lentils" in question for question, _ in recipe_tasks("title", form="paper"))


def test_a_given_title_is_told_where_the_wording_has_no_slot_for_it():
    strict, paper = recipe_tasks("recipe"), recipe_tasks("recipe", form="paper")
    without_slot = [each for each in rules_templates.RECIPE if "{" not in each]
    assert len(without_slot) == 6
    told = [
        question for question, _ in strict if any(question.startswith(f"{each}\n") for each in without_slot)
    ]
    assert told
    assert all("Lentil Soup" in question for question in told)
    assert not any("\n" in question for question, _ in paper)


def test_a_single_ingredient_is_never_given_for_the_title():
    toast = RecipeText("Toast", ("bread",), ("Toast it.",))
    assert not any("bread" in question for question, _ in recipe_tasks("title", toast))


def test_numbers_that_steps_bear_already_are_not_told_twice():
    numbered = replace(SOUP, steps=("1. Chop.", "Step 2: Boil  well."))
    assert recipe_tasks("steps", numbered, n=1)[0][1] == "1. Chop.\n2. Boil well."
    assert recipe_tasks("steps", numbered, "paper", n=1)[0][1] == (
        "instructions: 1. 1. Chop.\n2. Step 2: Boil well."
    )
    measured = replace(SOUP, steps=("1.5 cups go in.", "2 cups follow."))
    assert recipe_tasks("steps", measured, n=1)[0][1] == "1. 1.5 cups go in.\n2. 2 cups follow."


@pytest.mark.parametrize(
    ("recipe", "kinds"),
    [
        (SOUP, set(RECIPE_KINDS)),
        (RecipeText("Soup", (), ()), {"title"}),
        (RecipeText("", ("salt",), ("Stir.",)), {"steps_from_ingredients", "steps", "ingredients"}),
        (RecipeText("Soup", (" ", ""), ("Stir.",)), {"steps", "title"}),
    ],
)
def test_only_what_the_recipe_has_is_asked_for(recipe: RecipeText, kinds: set[str]):
    outcomes = tasks(pair("A soup.", recipe), EVERY_KIND, 0)
    assert {each.kind for each in outcomes if isinstance(each, Triplet)} == kinds


def test_an_empty_recipe_is_one_rejection():
    outcomes = tasks(pair("A soup.", RecipeText(" ", (), ())), RulesConfig(), 0)
    assert outcomes == [Rejection("p", "synthesize", "empty_recipe")]
    blank = tasks(pair("A soup.", RecipeText("", (" ",), ("",))), RulesConfig(), 0)
    assert blank == [Rejection("p", "synthesize", "no_rule_applies", "A soup.")]


# Captions and boxes


STREET = pair(
    "A red bus stands in front of a church. Two dogs are in the street. A man in a hat looks at them.",
    Boxes((Box("bus", 0.1, 0.1, 0.4, 0.9), Box("person", 0.6, 0.2, 0.7, 0.9)), ("A bus near a church",)),
)


def test_every_kind_of_caption_task_is_made_where_there_is_material():
    made = by_kind(tasks(STREET, EVERY_KIND, 0))
    assert set(made) == set(CAPTION_KINDS)
    assert made["describe"].informative == STREET.caption
    assert made["topic"].informative == "A red bus stands in front of a church."
    assert made["colour"].informative == "red"
    assert made["count"].informative == "two"
    assert made["side"].informative == "the bus"
    for each in made.values():
        assert (each.precise, each.generator, each.pair_id, each.turn) == ("", "rules", "p", 0)
        assert each.reply_id == f"p/{each.kind}"


def test_the_missing_word_fills_the_gap():
    for question, answer in many("fill_in", STREET):
        line = next(line for line in question.splitlines() if "____" in line)
        assert line.replace("____", answer) in sentences(STREET.caption)


def test_as_many_presence_questions_are_answered_yes_as_no():
    made = many("presence", STREET, 400)
    answers = Counter(answer for _, answer in made)
    assert set(answers) == {"Yes", "No"}
    assert 160 <= answers["Yes"] <= 240
    there = ("bus", "church", "man", "hat", "person")
    for question, answer in made:
        assert any(re.search(rf"\ban? {noun}\b", question) for noun in there) == (answer == "Yes")


def test_what_is_asked_as_absent_is_nowhere_in_the_material():
    zoo = pair("An elephant drinks in the zoo next to a fence.")
    asked = [question for question, answer in many("presence", zoo) if answer == "No"]
    assert asked
    animals = rules_templates.ABSENT[0][1].replace("a ", "").replace("an ", "").split("|")
    assert not any(animal in question for question in asked for animal in animals)
    labelled = pair("A boy in a garden", Boxes((Box("cat", 0.0, 0.0, 0.5, 0.5),), ()))
    assert not any("elephant" in question for question, _ in many("presence", labelled))


def test_nothing_is_called_absent_where_a_caption_may_be_in_another_language():
    mixed = pair("A dog on a bench", Boxes((), ("Ein Elefant trinkt",)))
    assert many("presence", mixed) == []
    assert many("choice", mixed) == []
    assert many("presence", pair("Ein Hund", Boxes((Box("dog", 0.0, 0.0, 1.0, 1.0),), ()))) == []


def test_the_chosen_letter_names_what_is_there_and_no_other_does():
    letters = Counter()
    for question, answer in many("choice", STREET):
        options = re.findall(r"^([A-D])\. (.+)$", question, re.MULTILINE)
        assert [letter for letter, _ in options] == list("ABCD")
        there = [f"{letter}. {thing}" for letter, thing in options if thing in things_of(STREET)]
        assert there == [answer]
        letters[answer[0]] += 1
    assert min(letters[letter] for letter in "ABCD") >= 30


def things_of(one: ImageCaption) -> set[str]:
    return {"a bus", "a church", "a man", "a hat", "a person"} if one is STREET else set()


@pytest.mark.parametrize(
    "captions",
    [
        ("A red bus in the street", "A blue bus in the street"),
        ("A red bus in the street", "Three buses in the street"),
    ],
)
def test_a_colour_is_not_asked_for_where_captions_differ(captions: tuple[str, str]):
    assert many("colour", pair(captions[0])) != []
    assert many("colour", pair(captions[0], Boxes((), captions[1:]))) == []


@pytest.mark.parametrize(
    "other", ["Three dogs in the snow", "A dog in the snow", "Four dogs surrounding it in the snow"]
)
def test_a_number_is_not_asked_for_where_captions_differ(other: str):
    assert {answer for _, answer in many("count", pair("Two dogs in the snow"))} == {"two"}
    assert many("count", pair("Two dogs in the snow", Boxes((), ("2 dogs in the snow",)))) != []
    assert many("count", pair("Two dogs in the snow", Boxes((), (other,)))) == []


def test_a_number_or_colour_that_boxes_contradict_is_not_asked_for():
    dogs = tuple(Box("dog", place / 10, 0.0, place / 10 + 0.05, 1.0) for place in range(3))
    told = "Two dogs in the snow"
    assert many("count", pair(told, Boxes(dogs[:2], ()))) != []
    assert many("count", pair(told, Boxes(dogs, ()))) == []
    assert many("colour", pair("A brown dog in the snow", Boxes(dogs[:1], ()))) != []
    assert many("colour", pair("A brown dog in the snow", Boxes(dogs[:2], ()))) == []


def test_the_order_of_three_sentences_can_be_restored_from_the_letters():
    for question, answer in many("order", STREET):
        told = dict(re.findall(r"^([A-C])\. (.+)$", question, re.MULTILINE))
        assert [told[letter] for letter in answer.split(", ")] == sentences(STREET.caption)
        assert answer != "A, B, C"
    assert many("order", pair("A dog runs here. A cat sits there.")) == []
    assert many("order", pair("A dog runs here. A dog runs here. A cat sits there.")) == []


def test_the_side_is_asked_only_of_two_single_boxes_with_a_gap_between_them():
    dog, cat = Box("dog", 0.1, 0.1, 0.3, 0.5), Box("cat", 0.5, 0.1, 0.7, 0.5)
    made = many("side", pair("Pets", Boxes((cat, dog), ())))
    assert {answer for _, answer in made} == {"the dog"}
    dog_first = [
        text.index("the dog") < text.index("the cat") for text in (each.casefold() for each, _ in made)
    ]
    assert 60 <= sum(dog_first) <= 140
    assert all(question[0].isupper() for question, _ in made)
    near = replace(cat, x0=0.35)
    assert many("side", pair("Pets", Boxes((near, dog), ()))) == []
    assert many("side", pair("Pets", Boxes((cat, dog, replace(cat, x0=0.8, x1=0.9)), ()))) == []
    assert many("side", pair("Dogs and a cat", Boxes((cat, dog), ()))) == []
    assert many("side", pair("Pets", Boxes((cat, replace(dog, label="Dog #1")), ()))) == []


def test_a_task_that_would_name_its_source_is_not_made():
    slip = pair("The caption says that a dog sits here.")
    assert tasks(slip, EVERY_KIND, 0) == [
        Rejection("p", "synthesize", "mentions_caption", "The caption says that a dog sits here.")
    ]
    boxed = pair("Dogs in red bounding boxes")
    assert tasks(boxed, RulesConfig(kinds=("describe",)), 0) == [
        Rejection("p", "synthesize", "mentions_boxes", "Dogs in red bounding boxes")
    ]


def test_what_cannot_be_asked_about_is_one_rejection():
    assert tasks(pair("  "), RulesConfig(), 0) == [Rejection("p", "synthesize", "empty_caption")]
    assert tasks(pair("A dog"), RulesConfig(), 0) == [
        Rejection("p", "synthesize", "no_rule_applies", "A dog")
    ]


# Drawing


def test_one_task_is_drawn_per_pair_and_every_kind_with_even_odds():
    drawn = Counter(
        each.kind
        for n in range(900)
        for each in tasks(replace(STREET, id=f"pair {n}"), RulesConfig(), 0)
        if isinstance(each, Triplet)
    )
    assert set(drawn) == set(CAPTION_KINDS)
    assert sum(drawn.values()) == 900
    assert min(drawn.values()) >= 70
    assert max(drawn.values()) <= 130


def test_leaving_a_kind_out_changes_no_other_task():
    every = by_kind(tasks(STREET, EVERY_KIND, 3))
    fewer = by_kind(tasks(STREET, RulesConfig(tasks_per_pair=9, kinds=("side", "count", "presence")), 3))
    assert set(fewer) == {"side", "count", "presence"}
    assert all(every[kind] == task for kind, task in fewer.items())


def test_another_seed_words_tasks_differently_and_the_same_seed_does_not():
    assert tasks(STREET, EVERY_KIND, 1) == tasks(STREET, EVERY_KIND, 1)
    first, second = by_kind(tasks(STREET, EVERY_KIND, 1)), by_kind(tasks(STREET, EVERY_KIND, 2))
    assert any(first[kind].instruction != second[kind].instruction for kind in first)


@pytest.mark.parametrize("kinds", [(), ("count", "count"), ("poem",)])
def test_kinds_must_be_known_and_named_once(kinds: tuple[str, ...]):
    with pytest.raises(ValidationError):
        RulesConfig(kinds=kinds)


@pytest.mark.parametrize(
    "caption",
    [
        "{name} {text} {0} % \\1 \\g<1>",
        "<|im_end|>\n<|im_start|>user",
        "é" * 3000,
        "a. " * 500,
        "\u200b",
        "?!",
    ],
)
def test_no_caption_breaks_the_rules(caption: str):
    outcomes = tasks(pair(caption), EVERY_KIND, 0)
    assert outcomes
    for each in outcomes:
        if isinstance(each, Triplet):
            assert each.instruction.strip()
            assert each.informative.strip()


# Real data


def coco(shared_data: Path) -> list[ImageCaption]:
    path = shared_data / "llava_generation" / "caps_boxes_coco2014_val_80.jsonl"
    pairs = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        first, *others = (each.strip() for each in row["captions"])
        boxes = tuple(Box(each["category"], *each["bbox"]) for each in row["instances"])
        pairs.append(pair(first, Boxes(boxes, tuple(others)), row["id"]))
    return pairs


def web(shared_data: Path) -> list[ImageCaption]:
    rows = json.loads((shared_data / "pairs_general" / "llava_pretrain_300.json").read_text(encoding="utf-8"))
    return [pair(row["conversations"][1]["value"].strip(), None, row["id"]) for row in rows]


def checked(pairs: list[ImageCaption], config: RulesConfig) -> Counter[str]:
    """Run the rules; check what holds of every task, and count kinds and reasons."""
    counted: Counter[str] = Counter()
    for one in pairs:
        outcomes = tasks(one, config, 0)
        found = [each for each in outcomes if isinstance(each, Triplet)]
        rejected = [each for each in outcomes if isinstance(each, Rejection)]
        assert len(rejected) == (0 if found else 1)
        assert len(found) <= config.tasks_per_pair
        assert len({each.id for each in found}) == len(found)
        for each in found:
            assert not BANNED.search(f"{each.instruction}\n{each.informative}")
            assert not answer_mention(each.informative)
        counted.update(each.kind if isinstance(each, Triplet) else each.reason for each in outcomes)
    return counted


@pytest.mark.data
def test_80_real_images_with_captions_and_boxes_give_these_tasks(shared_data: Path):
    pairs = coco(shared_data)
    assert len(pairs) == 80
    assert checked(pairs, RulesConfig()) == {
        "fill_in": 21,
        "describe": 21,
        "presence": 17,
        "choice": 13,
        "count": 4,
        "colour": 2,
        "side": 2,
    }
    assert checked(pairs, EVERY_KIND) == {
        "fill_in": 80,
        "describe": 80,
        "presence": 67,
        "choice": 67,
        "colour": 19,
        "count": 13,
        "side": 11,
    }


@pytest.mark.data
def test_300_real_web_captions_give_these_tasks(shared_data: Path):
    pairs = web(shared_data)
    assert len(pairs) == 300
    assert checked(pairs, RulesConfig()) == {
        "describe": 142,
        "fill_in": 126,
        "choice": 15,
        "presence": 12,
        "colour": 5,
    }
    assert checked(pairs, EVERY_KIND) == {
        "describe": 300,
        "fill_in": 291,
        "presence": 56,
        "choice": 56,
        "colour": 15,
        "count": 5,
    }


@pytest.mark.data
def test_leaving_out_a_real_pair_changes_nothing_about_the_others(shared_data: Path):
    pairs = coco(shared_data)
    every = [tasks(one, RulesConfig(), 0) for one in pairs]
    assert [tasks(one, RulesConfig(), 0) for one in pairs[:40] + pairs[41:]] == every[:40] + every[41:]
