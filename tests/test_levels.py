"""The oracle's levels: what it says of tasks that the world wrote, spoilt, swapped and garbled."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest

from acclimate.curate.quality_types import TASK_TYPES as PAPER_TYPES
from acclimate.lab.conclusions import conclusion, statements
from acclimate.lab.language import CHOICE_KINDS, KINDS, OPEN_KINDS, TEMPLATES, Asker, caption
from acclimate.lab.language import Task as Asked
from acclimate.lab.levels import DETAIL, MAPPING, RULES, informative_right, precise_right, rating, truth
from acclimate.lab.world import (
    CELLS,
    DOMAINS,
    GENERAL,
    MEALS,
    Lexicon,
    Scene,
    Subject,
    coined_lexicon,
    sample_scene,
)
from acclimate.records import ImageCaption, ImageRef, Rejection, Triplet
from acclimate.synthesize.rules import RulesConfig, tasks

IMAGE = ImageRef("0" * 64, 8, 8, "image/png")
CELLS_WORDS = CELLS.lexicon
SMEAR = Scene("cells", (Subject(0, 5, 0, 1), Subject(2, 1, 1, 1), Subject(3, 1, 1, 2)))
"""Upper left a basophil, phloxine and granular; lower left a monocyte, cresyl and granular; lower right a
monocyte, cresyl and vacuolated."""


def triplet(instruction: str, informative: str, precise: str = "", **more: str) -> Triplet:
    return Triplet(
        "t", "p", instruction, informative, precise, more.pop("generator", "synthesizer"), "r", **more
    )


def written(task: Asked) -> Triplet:
    return triplet(task.question, task.informative, task.precise)


def worlds(n: int) -> Iterator[tuple[Scene, Lexicon, random.Random]]:
    """Scenes of everyday and both target domains; every sixth one is spoken of in invented words."""
    for index in range(n):
        rng = random.Random(f"levels/{index}")
        domain = (*GENERAL, CELLS, MEALS, CELLS, MEALS)[index % 16]
        scene = sample_scene(domain, f"levels/{index}", test=False)
        yield scene, coined_lexicon(domain, rng) if index % 6 == 0 else domain.lexicon, rng


def asked(n: int, **noise: float) -> Iterator[tuple[Asked, Scene, Lexicon]]:
    for scene, lexicon, rng in worlds(n):
        asker = Asker(scene, lexicon, rng, **noise)
        found = [asker.task(kind) for kind in KINDS] + [asker.choice(rng.choice(CHOICE_KINDS))]
        yield from ((task, scene, lexicon) for task in found if task is not None)


def complexity(task: Asked) -> int:
    """What the table and its two exceptions say, from the task and not from its words."""
    if task.choices and task.kind in ("reverse", "rule"):
        return 5
    if task.kind == "exist" and any(word in task.question.split() for word in ("with", "at")):
        return 3
    return MAPPING[task.kind].complexity


def test_the_table_of_levels_is_the_one_written_down():
    golden = {
        "domain": ("Domain Classification", 2, 2),
        "object": ("Object Recognition", 4, 2),
        "colour": ("Attribute and Context Recognition", 4, 3),
        "mark": ("Style Classification", 4, 3),
        "where": ("Visual Grounding", 4, 3),
        "exist": ("Image-Text Matching", 4, 2),
        "count": ("Data Representation and Visualization", 5, 4),
        "reverse": ("Task-Oriented Image Recognition", 5, 4),
        "rule": ("Scene Classification", 5, 4),
        "list": ("Segmentation", 5, 4),
        "odd": ("Anomaly Detection", 5, 4),
        "order": ("Step-by-Step Guidance", 5, 5),
        "describe": ("Caption Generation", 3, 1),
        "story": ("Visual Storytelling", 3, 2),
    }
    rules = {
        "describe": ("Caption Generation", 3, 1),
        "topic": ("Caption Generation", 3, 1),
        "fill_in": ("Attribute and Context Recognition", 4, 1),
        "presence": ("Image-Text Matching", 4, 2),
        "choice": ("Object Recognition", 4, 2),
        "colour": ("Attribute and Context Recognition", 4, 3),
        "count": ("Data Representation and Visualization", 5, 4),
        "order": ("Step-by-Step Guidance", 2, 3),
        "side": ("Visual Grounding", 4, 3),
    }
    for table, wanted in ((MAPPING, golden), (RULES, rules)):
        assert {kind: (r.task_type, r.knowledge, r.complexity) for kind, r in table.items()} == wanted
        assert {row.task_type for row in table.values()} <= set(PAPER_TYPES)
    assert set(MAPPING) == set(KINDS) == set(TEMPLATES)


def test_what_the_world_writes_is_right_consistent_and_rated_as_tabled():
    seen = Counter()
    for task, scene, lexicon in asked(200):
        found = rating(written(task), scene, "", lexicon)
        row = MAPPING[task.kind]
        label = "open" if task.kind in OPEN_KINDS else "consistent"
        assert (found.accuracy, found.accuracy_precise, found.accuracy_informative) == (5, 5, 5), task
        assert found.consistent == truth(written(task), scene, lexicon) == label, task
        assert (found.task_type, found.knowledge) == (row.task_type, row.knowledge), task
        assert found.complexity == complexity(task), task
        assert (found.task_id, found.rater) == ("t", "oracle")
        seen[task.kind] += 1
        seen[f"complexity {found.complexity}"] += 1
    assert set(KINDS) <= set(seen)
    assert {f"complexity {level}" for level in (1, 2, 3, 4, 5)} <= set(seen)
    assert min(seen[kind] for kind in KINDS) > 10


def test_a_wrong_precise_answer_beside_right_reasons_is_level_three():
    seen = set()
    for task, scene, lexicon in asked(100, precise_noise=1.0):
        if task.consistent:
            continue
        found = rating(written(task), scene, "", lexicon)
        assert (found.accuracy, found.accuracy_precise, found.accuracy_informative) == (3, 2, 5), task
        assert found.consistent == "inconsistent", task
        seen.add(task.kind)
    assert seen == set(KINDS) - {"domain", *OPEN_KINDS}


def test_a_wrong_informative_answer_beside_a_right_precise_one_is_level_four():
    seen = set()
    for task, scene, lexicon in asked(100, informative_noise=1.0):
        if task.consistent:
            continue
        found = rating(written(task), scene, "", lexicon)
        assert (found.accuracy, found.accuracy_precise, found.accuracy_informative) == (4, 5, 2), task
        assert precise_right(written(task), scene, lexicon)
        assert not informative_right(written(task), scene, lexicon)
        assert found.consistent == "inconsistent", task
        seen.add(task.kind)
    assert seen == set(KINDS) - {"domain", *OPEN_KINDS}


def test_two_wrong_answers_are_below_level_four_and_consistent_where_they_are_the_same():
    labels = Counter()
    for task, scene, lexicon in asked(100, precise_noise=1.0, informative_noise=1.0):
        wrong = not precise_right(written(task), scene, lexicon)
        if task.kind in ("domain", *OPEN_KINDS) or not wrong:
            continue
        found = rating(written(task), scene, "", lexicon)
        assert found.accuracy in (2, 3), task
        assert found.consistent == ("consistent" if task.consistent else "inconsistent"), task
        labels[found.consistent] += 1
    assert min(labels["consistent"], labels["inconsistent"]) > 30


def test_tasks_of_another_scene_are_mostly_not_right():
    scenes = [sample_scene(CELLS, f"swap/{index}", test=False) for index in range(40)]
    levels = Counter()
    for index, (scene, other) in enumerate(pairwise(scenes)):
        asker = Asker(scene, CELLS_WORDS, random.Random(index))
        found = [task for kind in KINDS if kind != "domain" and (task := asker.task(kind))]
        levels.update(rating(written(task), other, "").accuracy for task in found)
    assert levels[5] < 0.3 * levels.total()
    assert set(levels) == {2, 3, 4, 5}


@pytest.mark.parametrize(
    ("question", "informative", "precise", "wanted"),
    [
        # accuracy, precise, informative, consistent, knowledge, complexity
        (
            "Where is the basophil?",
            "The basophil stands at the upper left of the smear.",
            "upper left",
            (5, 5, 5, "consistent", 4, 3),
        ),
        # The reasons speak of a thing that is not there.
        (
            "What is the dye of the basophil?",
            "The platelet at the upper left has a phloxine dye.",
            "phloxine",
            (4, 5, 5, "consistent", 4, 3),
        ),
        # Another attribute than the one asked for concludes nothing.
        (
            "What is the plasm of the basophil?",
            "The basophil at the upper left has a phloxine dye.",
            "granular",
            (4, 5, 2, "inconsistent", 4, 3),
        ),
        # Misspelt: read as written, and never taken for the word it resembles.
        (
            "What particle can be seen at the upper left?",
            "The particle at the upper left of the smear is a basofil.",
            "basophil",
            (4, 5, 2, "inconsistent", 4, 2),
        ),
        (
            "What particle can be seen at the upper left?",
            "The particle at the upper left of the smear is a basofil.",
            "basofil",
            (1, 2, 2, "consistent", 4, 2),
        ),
        # The clause that concludes is cut off.
        (
            "Is there a basophil?",
            "The smear holds a basophil at the upper left, so the",
            "yes",
            (5, 5, 2, "inconsistent", 4, 2),
        ),
        # The reasons are right and end in the wrong word.
        (
            "Is there a basophil at the centre?",
            "The smear holds a basophil at the upper left, so the answer is yes.",
            "yes",
            (3, 2, 2, "consistent", 4, 3),
        ),
        (
            "Is there a basophil at the centre?",
            "The smear holds a basophil at the centre, so the answer is yes.",
            "yes",
            (2, 2, 2, "consistent", 4, 3),
        ),
        (
            "How many particles are there?",
            "The smear holds a basophil, a monocyte and a monocyte, that is three particles.",
            "3",
            (5, 5, 5, "consistent", 5, 4),
        ),
        (
            "How many particles are there?",
            "The smear holds three particles and a falafel at the centre, that is three particles.",
            "three",
            (4, 5, 5, "consistent", 5, 4),
        ),
        (
            "What is the malady?\nThe choices are: A. benign B. leukaemic",
            "The smear holds a basophil, so the malady is leukaemic.",
            "B. leukaemic",
            (5, 5, 5, "consistent", 5, 5),
        ),
        (
            "List the particles.",
            "The particles on the smear are a basophil and a monocyte.",
            "monocyte, basophil",
            (5, 5, 5, "consistent", 5, 4),
        ),
        (
            "What is the picture of?",
            "The picture shows a plate with servings, so it is of a smear.",
            "particles",
            (4, 5, 5, "consistent", 2, 2),
        ),
        # The premise is false: nothing said to it is right.
        (
            "What is the dye of the platelet?",
            "The basophil at the upper left has a phloxine dye.",
            "phloxine",
            (3, 2, 2, "consistent", 1, 1),
        ),
        # Two right answers are none.
        (
            "What is the plasm of the monocyte?",
            "The monocyte at the lower left has a granular plasm.",
            "granular",
            (3, 2, 2, "consistent", 1, 1),
        ),
        # One answer only.
        (
            "Where is the basophil?",
            "The basophil stands at the upper left of the smear.",
            "",
            (5, None, 5, None, 4, 3),
        ),
        (
            "Where is the basophil?",
            "The basophil stands at the centre of the smear.",
            "",
            (2, None, 2, None, 4, 3),
        ),
        ("Where is the basophil?", "Upper left.", "", (5, None, 5, None, 4, 3)),
        ("Where is the basophil?", "The basophil has a phloxine dye.", "", (1, None, 2, None, 4, 3)),
        ("Where is the basophil?", "", "", (1, None, 2, None, 4, 3)),
        ("Is there a basophil?", "Yes, there is a basophil at the upper left.", "", (5, None, 5, None, 4, 2)),
        ("Is there a basophil?", "No.", "", (2, None, 2, None, 4, 2)),
        (
            "Describe the smear.",
            "The smear holds a basophil at the upper left.",
            "",
            (5, None, 5, None, 3, 1),
        ),
        ("Describe the smear.", "The smear holds a basophil at the centre.", "", (4, None, 2, None, 3, 1)),
        (
            "Describe the smear.",
            "The smear holds a basophil at the upper left.",
            "two particles",
            (3, 2, 5, "open", 3, 1),
        ),
        ("Describe the smear.", "So it goes.", "", (1, None, 2, None, 3, 1)),
        (
            "Tell a short story about the particles.",
            "Once upon a time a platelet lived on a smear.",
            "the platelet went home",
            (2, 2, 2, "open", 3, 2),
        ),
        # The question cannot be read.
        (
            "Where is the basofil?",
            "The basophil stands at the upper left of the smear.",
            "upper left",
            (1, 1, 1, "consistent", 1, 1),
        ),
        (
            "",
            "The basophil stands at the upper left of the smear.",
            "centre",
            (1, 1, 1, "inconsistent", 1, 1),
        ),
        ("Why?", "", "", (1, None, 1, None, 1, 1)),
    ],
)
def test_a_task_is_rated_by_what_it_says_of_the_scene(question, informative, precise, wanted):
    found = rating(triplet(question, informative, precise), SMEAR, "")
    assert (
        found.accuracy,
        found.accuracy_precise,
        found.accuracy_informative,
        found.consistent,
        found.knowledge,
        found.complexity,
    ) == wanted
    assert (found.task_type is None) == (found.knowledge == found.complexity == 1 and found.accuracy == 1)


@pytest.mark.parametrize(
    ("kind", "answer", "value"),
    [
        ("list", "The particles on the smear are a phagocyte.", "phagocyte"),
        ("list", "The particles are a star, an arrow and a moon.", "star, arrow, moon"),
        ("list", "star, arrow and moon", "star, arrow and moon"),
        ("list", "The particles on the smear are two stars.", None),
        (
            "order",
            "They stand in order: a star at the upper left and a moon at the centre.",
            "star, then moon",
        ),
        ("order", "They stand in order: a star at the upper left and a moon.", None),
        ("odd", "Only the star has a red dye, so it is unlike the others.", "star"),
        ("odd", "The star has a red dye.", None),
        ("colour", "The star has a thenred.", None),
        ("colour", "The star has a red dye and more besides.", None),
        ("colour", "The star has a red plasm.", None),
        ("mark", "The star has a wild plasm!", "wild"),
        ("count", "The smear holds a star, that is one particle.", "one"),
        ("count", "Three.", "three"),
        ("exist", "The answer is yes or no.", None),
        ("exist", "Nobody knows.", None),
        ("rule", "The smear holds a star, so the malady is benign.", "benign"),
        ("rule", "The smear holds a star, so the order is benign.", None),
        ("where", "The star stands at the upper left of the smear", "upper left"),
        ("where", "The star stands at the lower right.", "lower right"),
        ("where", "The star stands at the upper left of the", None),
        ("where", "The star stands at the", None),
        ("domain", "The picture shows a smear with stars, so it is of a smear.", "smear"),
        ("object", "The particle at the centre of the smear is a star at the centre.", None),
        ("reverse", "The particle with a red dye is the star at the centre.", "star"),
        ("describe", "The smear holds a star.", None),
        ("story", "", None),
    ],
)
def test_a_conclusion_is_read_as_written_or_not_at_all(kind, answer, value):
    found = conclusion(kind, answer, CELLS_WORDS)
    assert (found.value if found else None) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("At the upper left is a basophil with a phloxine dye and a granular plasm.", True),
        ("At the upper left is a basophil with a phloxine dye and a hyaline plasm.", False),
        ("The basophil at the upper left has a granular plasm.", True),
        ("The basophil at the upper left has a cresyl dye.", False),
        ("The basophil at the upper left has a be colour.", False),
        ("The basophil is at the centre.", False),
        ("The particle with a cresyl dye is the monocyte at the lower left.", True),
        ("The particle with a cresyl dye is the basophil at the upper left.", False),
        ("The smear holds a basophil and a platelet.", False),
        ("The smear holds a basophil and a phandocyte.", False),
        ("The smear shows three particles.", True),
        ("The smear shows 2 particles.", False),
        ("The plate shows three particles.", False),
        ("This is a plate with three particles.", False),
        ("The malady is leukaemic.", True),
        ("The malady is benign.", False),
        ("It is a nice day.", None),
    ],
)
def test_statements_about_the_scene_are_true_or_false(text, said):
    found = statements(text, SMEAR, CELLS_WORDS)
    assert (all(found) if found else None) == said


def test_every_caption_states_what_is_true_and_of_another_scene_mostly_what_is_not():
    false = total = 0
    for index, (scene, lexicon, rng) in enumerate(worlds(96)):
        text, _ = caption(scene, lexicon, rng)
        assert statements(text, scene, lexicon), text
        assert all(statements(text, scene, lexicon)), text
        if lexicon is DOMAINS[scene.domain].lexicon:
            other = sample_scene(DOMAINS[scene.domain], f"other/{index}", test=False)
            false += not all(statements(text, other, lexicon))
            total += 1
    assert false > 0.9 * total


def mutated(text: str, rng: random.Random) -> str:
    way, at = rng.randrange(6), rng.randrange(len(text) + 1)
    if way == 0:
        return text[:at]
    if way == 1:
        return text[:at] + rng.choice("éß中\u2028\ud83d𝒳\0%{}[(|\\\n") + text[at:]
    if way == 2:
        return text[at:] + text[:at]
    if way == 3:
        return text.upper()
    parts = text.split()
    if way == 4:
        rng.shuffle(parts)
        return " ".join(parts)
    return text + " " + text[at:]


def test_garbled_texts_are_rated_and_never_crash():
    levels = Counter()
    for index, (task, scene, lexicon) in enumerate(asked(100)):
        rng = random.Random(index)
        question, informative, precise = (
            mutated(text, rng) if rng.random() < 0.7 else text
            for text in (task.question, task.informative, task.precise)
        )
        for generator, kind in (
            ("synthesizer", ""),
            ("text_teacher", "detail"),
            ("rules", rng.choice(list(RULES))),
        ):
            found = rating(
                triplet(question, informative, precise, generator=generator, kind=kind), scene, "", lexicon
            )
            levels[generator, found.accuracy] += 1
            assert found.accuracy in (1, 2, 3, 4, 5)
    assert {level for generator, level in levels if generator == "synthesizer"} == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("text", ["", " ", "\n", "\0", "中文", "?!", "%s {x} \\g", "\ud83d", "the a an"])
def test_texts_of_no_sense_are_level_one(text):
    for question in (text, "Where is the basophil?"):
        for precise in ("", text):
            assert rating(triplet(question, text, precise), SMEAR, text).accuracy == 1
    assert rating(triplet(text, text, text), SMEAR, text).task_type is None
    for kind in ("describe", "topic"):
        assert rating(triplet(text, text, generator="rules", kind=kind), SMEAR, text).accuracy == 1
    assert rating(triplet("Look.", text, generator="text_teacher", kind="detail"), SMEAR, text).accuracy == 1


def test_what_rules_make_of_captions_is_right_and_rated_by_kind():
    seen, wrong = Counter(), Counter()
    for index, (scene, lexicon, rng) in enumerate(worlds(96)):
        text, _ = caption(scene, lexicon, rng, even=True)
        other = sample_scene(CELLS, f"rules/{index}", test=False)
        for task in tasks(ImageCaption(f"p{index}", IMAGE, text, "s", "u"), RulesConfig(tasks_per_pair=9), 0):
            if isinstance(task, Rejection):
                continue
            found = rating(task, scene, text, lexicon)
            row = RULES[task.kind]
            assert (found.accuracy, found.accuracy_informative) == (5, 5), task
            assert (found.accuracy_precise, found.consistent) == (None, None)
            assert (found.task_type, found.knowledge, found.complexity) == (
                row.task_type,
                row.knowledge,
                row.complexity,
            )
            seen[task.kind] += 1
            wrong[task.kind] += rating(task, other, "Nothing of the sort.").accuracy != 5
    assert set(seen) == {"describe", "topic", "fill_in", "presence", "choice", "count", "order"}
    assert min(seen.values()) > 20
    assert all(wrong[kind] > 0.4 * seen[kind] for kind in seen)
    assert wrong["fill_in"] == seen["fill_in"]
    assert wrong["order"] == seen["order"]


@pytest.mark.parametrize(
    ("kind", "question", "answer", "level"),
    [
        ("presence", "Is there a basophil in the image?", "Yes", 5),
        ("presence", "Is there a basophil in the image?", "No", 2),
        ("presence", "Is there a platelet in the image?", "Yes", 2),
        ("presence", "Is there an elephant in the image?", "No", 5),
        ("presence", "Is there an elephant in the image?", "Yes", None),
        ("presence", "Is there a granular in the image?", "Yes", None),
        ("presence", "Whose is it?", "Yes", None),
        ("choice", "Choose what the image shows.\nA. a tuba\nB. a monocyte", "B. a monocyte", 5),
        ("choice", "Choose what the image shows.\nA. a tuba\nB. a monocyte", "A. a tuba", None),
        ("choice", "Choose what the image shows.\nA. a platelet\nB. a monocyte", "A. a platelet", 2),
        ("choice", "Choose what the image shows.\nA. a basophil\nB. a monocyte", "B. a monocyte", 2),
        ("count", "How many particles are there?", "three", 5),
        ("count", "How many particles are there?", "two", 2),
        ("count", "How many monocytes are there?", "2", 5),
        ("count", "How many platelets are there?", "two", 2),
        ("count", "How many elephants are there?", "two", None),
        ("colour", "What colour is the basophil?", "phloxine", 5),
        ("colour", "What colour is the basophil?", "cresyl", 2),
        ("colour", "What colour are the particles?", "cresyl", 5),
        ("colour", "What colour is the elephant?", "cresyl", None),
        ("side", "What is on the left: the monocyte or the basophil?", "the basophil", 2),
        ("side", "What is on the left: the platelet or the basophil?", "the basophil", 2),
        ("side", "What is on the left: the tuba or the basophil?", "the basophil", None),
        ("fill_in", "Fill the gap.\nThe ____ is leukaemic.", "malady", 5),
        ("fill_in", "Fill the gap.\nThe ____ is leukaemic.", "menu", 2),
        ("order", "Sort.\nA. The malady is leukaemic.\nB. The smear shows particles.", "B, A", 5),
        ("order", "Sort.\nA. The malady is leukaemic.\nB. The smear shows particles.", "A, B", 2),
        ("order", "Sort.\nA. The malady is leukaemic.\nB. The smear shows particles.", "B", 2),
        ("order", "Sort.\nA. The malady is leukaemic.\nB. The smear shows particles.", "", 1),
        ("topic", "What is this?", "The smear shows three particles.", 5),
        ("describe", "What is this?", "The smear shows four particles.", 2),
    ],
)
def test_a_rule_task_is_rated_by_its_answer(kind, question, answer, level):
    text = "The smear shows particles. The malady is leukaemic."
    found = rating(triplet(question, answer, generator="rules", kind=kind), SMEAR, text)
    assert found.accuracy == (level or 1)
    assert (found.task_type, found.knowledge) == (
        (RULES[kind].task_type, RULES[kind].knowledge) if level else (None, 1)
    )


def test_the_left_one_of_two_things_is_told_by_their_places():
    scene = Scene("cells", (Subject(0, 5, 0, 1), Subject(1, 1, 1, 1)))
    question = "What is on the left: the monocyte or the basophil?"
    for answer, level in (("the basophil", 5), ("the monocyte", 2)):
        assert rating(triplet(question, answer, generator="rules", kind="side"), scene, "").accuracy == level


def test_the_text_teachers_descriptions_are_captions_and_its_questions_are_read():
    for text, level in (
        ("The smear shows three particles. At the upper left is a basophil.", 5),
        ("The smear shows three particles. At the upper left is a platelet.", 2),
        ("What a day.", 1),
    ):
        found = rating(triplet("Tell all.", text, generator="text_teacher", kind="detail"), SMEAR, text)
        assert (found.accuracy, found.task_type, found.knowledge, found.complexity) == (level, *_row())
    answer = "The basophil stands at the upper left of the smear."
    for kind in ("conversation", "reasoning"):
        one = triplet("Where is the basophil?", answer, generator="text_teacher", kind=kind)
        assert rating(one, SMEAR, "") == rating(replace(one, generator="vision_teacher"), SMEAR, "")
        assert (rating(one, SMEAR, "").task_type, rating(one, SMEAR, "").accuracy) == ("Visual Grounding", 5)
    assert truth(one, SMEAR) == "unjudged"


def _row() -> tuple[str, int, int]:
    return DETAIL.task_type, DETAIL.knowledge, DETAIL.complexity


def test_an_invented_form_that_is_a_common_word_makes_no_answer_wrong():
    lexicon = replace(CELLS_WORDS, forms=("the", *CELLS_WORDS.forms[1:]))
    one = triplet(
        "Where is the basophil?", "The basophil stands at the upper left of the smear.", "upper left"
    )
    assert rating(one, SMEAR, "", lexicon).accuracy == 5
