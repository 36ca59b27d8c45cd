"""The embedded world: its words, its pictures, its oracle and the files it writes."""

import hashlib
import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from acclimate.evaluate.load import load_benchmark
from acclimate.files import ImageStore
from acclimate.ingest.seeds import SeedConfig, read_seeds
from acclimate.ingest.stage import IngestConfig, ingest
from acclimate.lab import pretrain
from acclimate.lab.documents import (
    LAST,
    LATE,
    MIDDLE,
    WEIGHING,
    Document,
    copying_document,
    judged,
    judged_with_slips,
    picture_document,
    scene_of,
    text_document,
)
from acclimate.lab.draw import SIDE_PX, draw, png
from acclimate.lab.language import CHOICE_KINDS, KINDS, OPEN_KINDS, TASK_TYPES, Asker, Task, caption
from acclimate.lab.oracle import is_right, read
from acclimate.lab.render import CAPTION_REQUESTS, scene_from, seed_example, write_world
from acclimate.lab.world import (
    CELLS,
    DOMAINS,
    GENERAL,
    MEALS,
    NUMBERS,
    PLACES,
    TARGETS,
    Domain,
    Lexicon,
    Scene,
    Subject,
    coined_lexicon,
    odd_one,
    rule_of,
    sample_scene,
)
from acclimate.records import ImageCaption, Rejection, SeedExample

PAPER_TYPES = {
    "Domain Classification",
    "Object Recognition",
    "Attribute and Context Recognition",
    "Style Classification",
    "Visual Grounding",
    "Data Representation and Visualization",
    "Image-Text Matching",
    "Task-Oriented Image Recognition",
    "Scene Classification",
    "Segmentation",
    "Step-by-Step Guidance",
    "Anomaly Detection",
    "Caption Generation",
    "Visual Storytelling",
}


def _texts(document: Document) -> Iterator[str]:
    return (line.text for line in document.lines)


def _lexicons(domain: Domain, rng: random.Random) -> list[Lexicon]:
    return [domain.lexicon, coined_lexicon(domain, rng)]


def _scenes(n: int, *, test: bool = False) -> Iterator[Scene]:
    for domain in DOMAINS.values():
        for index in range(n):
            yield sample_scene(domain, f"tests/{index}", test=test)


# What the pretraining text holds


def _target_words() -> re.Pattern[str]:
    words = {word.lower() for domain in TARGETS for word in domain.lexicon.words()}
    assert {"neutrophil", "leukaemic", "malady", "vegan", "falafel", "dye", "plate"} <= words
    return re.compile(r"\b(?:" + "|".join(map(re.escape, sorted(words))) + r")s?\b", re.IGNORECASE)


def test_no_word_of_a_target_domain_stands_in_the_pretraining_text() -> None:
    pattern = _target_words()
    assert pattern.search("At the centre is a Monocyte.")
    n_documents = 0
    for index in range(1000):
        documents = (
            text_document(f"test/{index}"),
            copying_document(f"test/{index}"),
            picture_document(
                f"test/{index}", 5000, (index % 5) / 4, (MIDDLE, LATE, LAST, WEIGHING)[index % 4]
            ),
        )
        for document in documents:
            n_documents += 1
            assert document.scene is None or not DOMAINS[document.scene.domain].target
            for text in _texts(document):
                assert not (found := pattern.search(text)), f"{found} in {text!r}"
    for index in range(500):
        scene, text, task = seed_example(index, 0)
        assert not DOMAINS[scene.domain].target
        for each in (text, task.question, task.precise, task.informative, *task.choices):
            assert not (found := pattern.search(each)), f"{found} in {each!r}"
    assert n_documents == 3000


@pytest.mark.slow
def test_no_word_of_a_target_domain_stands_in_any_document_the_shipped_models_read() -> None:
    pattern = _target_words()
    n_documents = 0
    for stage in ("text", "copying", "multimodal"):
        for step in range(pretrain.PLANS[stage].steps):
            for index in range(pretrain.PLANS[stage].rows):
                read = pretrain.document(stage, step, index)
                for text in _texts(read) if read is not None else ():
                    n_documents += 1
                    assert not (found := pattern.search(text)), f"{stage} {step} {index}: {found}"
    assert n_documents > 200_000


def test_target_and_general_domains_share_no_word() -> None:
    general = {word for domain in GENERAL for word in domain.lexicon.words()}
    for domain in TARGETS:
        assert not general & set(domain.lexicon.words())
    assert not set(CELLS.lexicon.words()) & set(MEALS.lexicon.words())


def test_the_general_world_has_many_domains_and_task_types() -> None:
    assert len(GENERAL) >= 10
    assert len({domain.background for domain in GENERAL}) == len(GENERAL)
    assert set(TASK_TYPES) == set(KINDS)
    assert len(set(TASK_TYPES.values()) & PAPER_TYPES) >= 12
    asked: set[str] = set()
    for scene in _scenes(40):
        asker = Asker(scene, DOMAINS[scene.domain].lexicon, random.Random(scene.key))
        asked |= {kind for kind in KINDS if asker.task(kind) is not None}
    assert asked == set(KINDS)


def test_documents_depend_on_their_seed_alone() -> None:
    assert text_document("a") == text_document("a") != text_document("b")
    assert copying_document("a") == copying_document("a") != copying_document("b")
    assert (
        picture_document("a", 100, 0.5) == picture_document("a", 100, 0.5) != picture_document("b", 100, 0.5)
    )


def test_a_task_whose_question_does_not_fit_its_answers_is_judged_no_though_they_agree() -> None:
    unlike = 0
    for index in range(200):
        rng = random.Random(index)
        task, word = judged(scene_of(index, test=False), rng, coined=index % 2 == 0, label="No", unfit=1.0)
        assert word == "No"
        assert not task.consistent
        unlike += task.precise in ("yes", "no") or task.precise in task.informative
    assert unlike > 150


def test_a_judge_weighs_misspelt_answers_and_other_attributes_beside_harmless_articles() -> None:
    seen: Counter[str] = Counter()
    for index in range(1500):
        rng = random.Random(f"slips/{index}")
        task, word = judged_with_slips(
            scene_of(index, test=False), rng, coined=index % 2 == 0, unfit=0.3, slips=0.35
        )
        told = set(re.findall(r"[a-z]+", task.informative))
        answered = set(re.findall(r"[a-z]+", task.precise)) - {"then", "yes", "no"}
        seen[word] += 1
        seen["bad article"] += bool(re.search(r"\ba [aeiou]", task.informative)) and word == "Yes"
        if word == "Yes":
            assert task.consistent and answered <= told
        elif word == "No":
            assert not task.consistent
            seen["misspelt"] += not answered <= told and task.kind not in ("count", "exist", "where")
            seen["agrees"] += answered <= told and task.kind in ("colour", "mark")
        else:
            assert task.kind in OPEN_KINDS
    assert all(430 < seen[word] < 570 for word in ("Yes", "No", "Open"))
    assert seen["bad article"] > 3 and seen["misspelt"] > 100 and seen["agrees"] > 40


def test_a_picture_document_speaks_of_the_picture_it_shows() -> None:
    shown = [picture_document(f"shown/{index}", 300, 0.5) for index in range(300)]
    shown = [each for each in shown if each.picture is not None]
    assert len(shown) > 200
    for document in shown:
        assert document.picture is not None
        assert 0 <= document.picture < 300
        assert document.scene == scene_of(document.picture, test=False)


# Scenes and words


def test_train_and_test_share_no_scene() -> None:
    for domain in DOMAINS.values():
        train = {sample_scene(domain, str(index), test=False).key for index in range(600)}
        test = {sample_scene(domain, str(index), test=True).key for index in range(600)}
        assert not train & test
        assert len(test) > 100


def test_a_scene_is_well_formed_and_its_key_reads_back() -> None:
    sizes: Counter[int] = Counter()
    for scene in _scenes(60):
        lexicon = DOMAINS[scene.domain].lexicon
        places = [subject.place for subject in scene.subjects]
        sizes[len(places)] += 1
        assert places == ([4] if len(places) == 1 else sorted(set(places) - {4}))
        for subject in scene.subjects:
            assert subject.form < len(lexicon.forms)
            assert subject.colour < len(lexicon.colours)
            assert subject.mark < len(lexicon.marks)
        assert scene_from(scene.key) == scene
    assert set(sizes) == {1, 2, 3, 4}


def test_coined_words_are_no_words_of_any_lexicon_and_never_stand_for_two_things() -> None:
    known = {word for domain in DOMAINS.values() for word in domain.lexicon.words()}
    for index in range(400):
        domain = GENERAL[index % len(GENERAL)]
        lexicon = coined_lexicon(domain, random.Random(f"coined/{index}"))
        words = lexicon.words()
        assert not known & set(words)
        assert len(set(words)) == len(words)
        assert len(lexicon.forms) == len(domain.lexicon.forms)
        assert lexicon == coined_lexicon(domain, random.Random(f"coined/{index}"))
    first, second = (coined_lexicon(GENERAL[0], random.Random(seed)) for seed in (1, 2))
    assert not set(first.forms) & set(second.forms)


def _scene(domain: str, *subjects: tuple[int, int, int, int]) -> Scene:
    return Scene(domain, tuple(Subject(*each) for each in subjects))


def test_the_rules_are_those_of_their_domains() -> None:
    basophil, neutrophil, other = (0, 5, 0, 0), (1, 2, 0, 0), (2, 0, 0, 0)
    assert CELLS.lexicon.rules[rule_of(_scene("cells", neutrophil, basophil)) or 0] == "leukaemic"
    assert rule_of(_scene("cells", neutrophil, other)) == CELLS.lexicon.rules.index("febrile")
    assert rule_of(_scene("cells", other)) == CELLS.lexicon.rules.index("benign")
    brisket, quiche = (0, 2, 0, 0), (1, 1, 0, 0)
    assert rule_of(_scene("meals", brisket, quiche)) == MEALS.lexicon.rules.index("paleo")
    assert rule_of(_scene("meals", quiche)) == MEALS.lexicon.rules.index("lacto")
    assert rule_of(_scene("meals", (2, 0, 0, 0))) == MEALS.lexicon.rules.index("vegan")
    assert rule_of(_scene("kites", (4, 0, 0, 0))) is None
    assert rule_of(_scene("kites", (0, 1, 0, 0), (1, 1, 2, 0))) == 0
    assert rule_of(_scene("kites", (0, 1, 3, 0), (1, 2, 3, 0))) == 1
    assert rule_of(_scene("kites", (0, 1, 3, 0), (1, 2, 4, 0))) == 2


def test_the_odd_one_is_the_only_one_of_its_colour_among_equals() -> None:
    red, blue, green = 0, 1, 2
    three = _scene("kites", (0, 0, red, 0), (1, 1, blue, 0), (2, 2, red, 0))
    assert odd_one(three) == three.subjects[1]
    assert odd_one(_scene("kites", (0, 0, red, 0), (1, 1, blue, 0))) is None
    assert odd_one(_scene("kites", (0, 0, red, 0), (1, 1, blue, 0), (2, 2, green, 0))) is None
    two_and_two = ((0, 0, red, 0), (1, 1, blue, 0), (2, 2, red, 0), (3, 3, blue, 0))
    assert odd_one(_scene("kites", *two_and_two)) is None


# Pictures


def test_a_picture_depends_on_its_scene_and_seed_alone() -> None:
    for scene in _scenes(2):
        first = draw(scene, "1")
        assert (first.size, first.mode) == ((SIDE_PX, SIDE_PX), "RGB")
        assert png(first) == png(draw(scene, "1"))
        assert png(first) != png(draw(scene, "2"))


def test_another_form_colour_mark_or_place_gives_another_picture() -> None:
    for domain in (GENERAL[0], *TARGETS):
        pictures = {
            form: png(draw(_scene(domain.key, (4, form, 0, 0)), "x"))
            for form in range(len(domain.form_shapes))
        }
        assert len(set(pictures.values())) == len(domain.form_shapes)
        base = (0, 1, 0, 0)
        for changed in ((1, 1, 0, 0), (0, 2, 0, 0), (0, 1, 1, 0), (0, 1, 0, 1)):
            assert png(draw(_scene(domain.key, base), "x")) != png(draw(_scene(domain.key, changed), "x"))


# Captions and the oracle


def test_a_full_caption_names_every_fact() -> None:
    for scene in _scenes(10):
        lexicon = DOMAINS[scene.domain].lexicon
        text, stated = caption(scene, lexicon, random.Random(0), full=True)
        assert text.count(".") == len(scene.subjects) + 1
        assert stated.colours == stated.marks == frozenset(range(len(scene.subjects)))
        for subject in scene.subjects:
            for word in (
                lexicon.forms[subject.form],
                lexicon.colours[subject.colour],
                lexicon.marks[subject.mark],
                PLACES[subject.place],
            ):
                assert re.search(rf"\b{word}\b", text)


def test_a_caption_says_no_more_than_it_states() -> None:
    for scene in _scenes(20):
        lexicon = coined_lexicon(DOMAINS[scene.domain], random.Random(scene.key))
        text, stated = caption(scene, lexicon, random.Random(scene.key))
        colours = {lexicon.colours[scene.subjects[index].colour] for index in stated.colours}
        assert {word for word in lexicon.colours if re.search(rf"\b{word}\b", text)} == colours
        said_rule = any(re.search(rf"\b{word}\b", text) for word in lexicon.rules)
        assert said_rule == stated.rule


def test_an_even_caption_tells_a_value_of_every_subject_that_has_it() -> None:
    n_more = 0
    for i in range(300):
        scene = sample_scene(CELLS, f"even/{i}", test=False)
        _, loose = caption(scene, CELLS.lexicon, random.Random(i))
        text, stated = caption(scene, CELLS.lexicon, random.Random(i), even=True)
        assert loose.colours <= stated.colours and loose.marks <= stated.marks
        for told, values in (
            (stated.colours, [s.colour for s in scene.subjects]),
            (stated.marks, [s.mark for s in scene.subjects]),
        ):
            assert told == {j for j, value in enumerate(values) if value in {values[k] for k in told}}
        n_words = sum(text.count(f"{mark} {CELLS.lexicon.mark_attribute}") for mark in CELLS.lexicon.marks)
        assert n_words == len(stated.marks)
        n_more += stated != loose
    assert n_more > 30


@pytest.mark.parametrize("kind", KINDS)
def test_the_oracle_agrees_with_the_asker_in_everyday_target_and_invented_words(kind: str) -> None:
    n_asked: Counter[str] = Counter()
    for scene in _scenes(25):
        rng = random.Random(f"{kind}/{scene.key}")
        for name, lexicon in zip(("plain", "coined"), _lexicons(DOMAINS[scene.domain], rng), strict=True):
            task = Asker(scene, lexicon, rng).task(kind)
            if task is None:
                continue
            n_asked["target" if DOMAINS[scene.domain].target else name] += 1
            reading = read(scene, task.question, lexicon)
            assert reading is not None, task.question
            assert reading.kind == kind
            assert reading.open == (kind in OPEN_KINDS)
            assert task.consistent
            assert is_right(scene, task.question, task.precise, lexicon) is True, task
    assert all(n_asked[name] >= 5 for name in ("plain", "coined", "target")), n_asked


_NOISY = [kind for kind in KINDS if kind not in ("domain", *OPEN_KINDS)]


@pytest.mark.parametrize("kind", _NOISY)
def test_the_oracle_sees_a_wrong_precise_answer(kind: str) -> None:
    n_wrong = 0
    for scene in _scenes(25):
        rng = random.Random(f"noise/{kind}/{scene.key}")
        for lexicon in _lexicons(DOMAINS[scene.domain], rng):
            wrong = Asker(scene, lexicon, rng, precise_noise=1.0).task(kind)
            if wrong is not None:
                n_wrong += 1
                assert not wrong.consistent
                assert is_right(scene, wrong.question, wrong.precise, lexicon) is False, wrong
            right = Asker(scene, lexicon, rng, informative_noise=1.0).task(kind)
            if right is not None:
                assert not right.consistent
                assert is_right(scene, right.question, right.precise, lexicon) is True, right
    assert n_wrong > 30


def test_what_is_asked_about_a_caption_needs_no_word_that_it_does_not_hold() -> None:
    n_tasks = 0
    for scene in _scenes(12):
        rng = random.Random(f"stated/{scene.key}")
        lexicon = coined_lexicon(DOMAINS[scene.domain], rng)
        text, stated = caption(scene, lexicon, rng)
        asker = Asker(scene, lexicon, rng, stated=stated)
        held = {word for word in lexicon.words() if re.search(rf"\b{word}\b", text)}
        # a caption of one subject holds the noun, the question its plural, and the other way round
        held |= {lexicon.noun, lexicon.plural}
        for kind in ("object", "colour", "where", "count", "list", "order", "rule", "exist"):
            task = asker.task(kind)
            if task is None:
                continue
            n_tasks += 1
            asked = " ".join((task.question, task.precise, task.informative))
            used = {word for word in lexicon.words() if re.search(rf"\b{word}\b", asked)}
            if kind != "rule":
                used -= {lexicon.colour_attribute}
            assert used <= held, (kind, task, text)
    assert n_tasks > 300


@pytest.mark.parametrize("kind", CHOICE_KINDS)
def test_choices_hold_the_right_answer_once_and_the_oracle_reads_past_them(kind: str) -> None:
    n_asked, at = 0, Counter[int]()
    for scene in _scenes(25):
        lexicon = DOMAINS[scene.domain].lexicon
        task = Asker(scene, lexicon, random.Random(scene.key)).choice(kind)
        if task is None:
            continue
        n_asked += 1
        at[task.choices.index(task.precise)] += 1
        assert task.choices.count(task.precise) == 1
        assert len(set(task.choices)) == len(task.choices) >= 2
        for letter, choice in zip("ABCD", task.choices, strict=False):
            right = choice == task.precise
            assert is_right(scene, task.question, choice) is right
            assert is_right(scene, task.question, f"{letter}. {choice}") is right
    assert n_asked > 50
    assert set(at) >= {0, 1, 2}


SKY = _scene("kites", (0, 0, 0, 0), (1, 0, 3, 1), (3, 2, 3, 1))
"""Kites: two of the first form in different colours, and another form."""


def test_an_ambiguous_question_has_no_right_answer() -> None:
    words = DOMAINS["kites"].lexicon
    form = words.forms[0]
    for question in (f"Where is the {form}?", f"What is the colour of the {form}?"):
        reading = read(SKY, question)
        assert reading is not None
        assert reading.answers == ()
        for answer in (*PLACES, *words.colours):
            assert is_right(SKY, question, answer) is False
    both = f"Which kite has a {words.marks[1]} pattern?"
    assert is_right(SKY, both, form) is False
    assert is_right(SKY, both, words.forms[2]) is False
    assert is_right(SKY, f"Where is the {words.forms[2]}?", "lower right") is True


def test_a_question_with_a_false_premise_has_no_right_answer() -> None:
    words = DOMAINS["kites"].lexicon
    absent = words.forms[5]
    assert is_right(SKY, f"Where is the {absent}?", "upper left") is False
    assert is_right(SKY, f"What is the colour of the {absent}?", words.colours[0]) is False
    assert is_right(SKY, "Which kite is at the lower left?", words.forms[0]) is False
    assert is_right(_scene("kites", (4, 0, 0, 0)), "What is the order?", "mixed") is False
    assert is_right(SKY, f"Is there a {absent}?", "no") is True


@pytest.mark.parametrize(
    "question",
    [
        "",
        "Why?",
        "What is the colour?",
        "Which kite is at the top?",
        "What is the colour of the unicorn?",
        "Is there a kite with a wrong pattern word?",
        "What is the stain of the lymphocyte?",
        "Where is the star? And the moon?",
    ],
)
def test_a_question_the_oracle_cannot_read_has_no_verdict(question: str) -> None:
    assert read(SKY, question) is None
    assert is_right(SKY, question, "red") is None


def test_the_whole_answer_must_be_right() -> None:
    words = DOMAINS["kites"].lexicon
    form, other = words.forms[0], words.forms[2]
    question = "Which kite is at the upper left?"
    for answer in (form, f"{form}.", form.upper(), f"a {form}", f"the {form}"):
        assert is_right(SKY, question, answer) is True
    for answer in ("", other, f"{form} and {other}", f"{form} {form}", f"not {form}", "a"):
        assert is_right(SKY, question, answer) is False
    assert is_right(SKY, "How many kites are there?", "three") is True
    assert is_right(SKY, "How many kites are there?", "3") is True
    assert is_right(SKY, "How many kites are there?", "two") is False
    assert is_right(SKY, "List the kites.", f"{other}, {form}") is True
    assert is_right(SKY, "List the kites.", f"{form} and {other}") is True
    assert is_right(SKY, "List the kites.", form) is False
    assert is_right(SKY, "List the kites.", f"{form}, {other}, {words.forms[5]}") is False
    ordered = f"{form}, then {form}, then {other}"
    assert is_right(SKY, "Read the kites in order.", ordered) is True
    assert is_right(SKY, "Read the kites in order.", f"{other}, then {form}, then {form}") is False
    assert is_right(SKY, "Describe the picture.", "three kites") is True
    assert is_right(SKY, "Describe the picture.", f"two {words.forms[5]}") is False


def test_half_of_the_existence_questions_are_about_what_is_there() -> None:
    answers: Counter[str] = Counter()
    for scene in _scenes(60, test=True):
        task = Asker(scene, DOMAINS[scene.domain].lexicon, random.Random(scene.key)).task("exist")
        assert task is not None
        answers[task.precise] += 1
    assert 0.42 < answers["yes"] / answers.total() < 0.58


# Seed data and files


def test_seed_examples_depend_on_number_and_seed_alone() -> None:
    assert [seed_example(index, 3) for index in range(20)] == [seed_example(index, 3) for index in range(20)]
    assert seed_example(0, 3) != seed_example(0, 4)


def test_seed_examples_show_general_train_scenes_of_many_kinds_mostly_in_invented_words() -> None:
    kinds: Counter[str] = Counter()
    n_coined = 0
    for index in range(400):
        scene, text, task = seed_example(index, 0)
        assert not DOMAINS[scene.domain].target
        kinds[task.kind] += 1
        everyday = set(DOMAINS[scene.domain].lexicon.forms)
        n_coined += not any(re.search(rf"\b{word}\b", text) for word in everyday)
    assert set(kinds) == set(KINDS)
    assert 0.5 < n_coined / 400 < 0.8


def test_seed_examples_in_invented_words_ask_for_what_is_there_so_that_yes_and_no_are_as_likely() -> None:
    seen: Counter[tuple[bool, bool, str]] = Counter()
    for index in range(4000):
        scene, text, task = seed_example(index, 0)
        everyday = set(DOMAINS[scene.domain].lexicon.forms)
        if task.kind == "exist" and not any(re.search(rf"\b{word}\b", text) for word in everyday):
            seen[" with a" in task.question, " at the " in task.question, task.precise] += 1
    assert sum(seen.values()) > 300
    assert not any(has_place is False and has_colour is False for has_colour, has_place, _ in seen)
    for has_colour in (False, True):
        yes, no = seen[has_colour, True, "yes"], seen[has_colour, True, "no"]
        assert 0.4 < no / (yes + no) < 0.6


@pytest.fixture(scope="module", params=["cells", "meals"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A small world on the disk, under a name with a space and no ASCII."""
    folder = tmp_path_factory.mktemp("world") / "kleine Wélt"
    write_world(folder, request.param, n_seeds=12, n_pairs=15, n_questions=10, seed=5)
    return request.param, folder


def _files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _scenes_of(folder: Path) -> dict[str, Scene]:
    rows: dict[str, str] = json.loads((folder / "oracle" / "scenes.json").read_text())
    return {sha256: scene_from(text) for sha256, text in rows.items()}


def test_the_same_world_is_written_to_the_byte(world: tuple[str, Path], tmp_path: Path) -> None:
    key, folder = world
    write_world(tmp_path / "again", key, n_seeds=12, n_pairs=15, n_questions=10, seed=5)
    write_world(tmp_path / "other", key, n_seeds=12, n_pairs=15, n_questions=10, seed=6)
    first, again, other = _files(folder), _files(tmp_path / "again"), _files(tmp_path / "other")
    assert first == again
    assert first["pairs/pairs.json"] != other["pairs/pairs.json"]
    assert not {name for name in first if name.endswith(".png")} & set(other)


def test_ingest_reads_every_pair_and_the_caption_is_true(world: tuple[str, Path], tmp_path: Path) -> None:
    key, folder = world
    scenes = _scenes_of(folder)
    store = ImageStore(tmp_path / "store")
    config = IngestConfig(source="pairs/pairs.json", image_root="pairs/images")
    rows = list(ingest(config, store=store, base=folder))
    pairs = [row for row in rows if isinstance(row, ImageCaption)]
    assert len(pairs) == len(rows) == 15
    for pair in pairs:
        scene = scenes[pair.image.sha256]
        assert scene.domain == key
        assert pair.caption not in CAPTION_REQUESTS
        for subject in scene.subjects:
            assert DOMAINS[key].lexicon.forms[subject.form] in pair.caption
        named = {number for number in NUMBERS if re.search(rf"\b{number}\b", pair.caption)}
        assert named <= {NUMBERS[len(scene.subjects)]}


def test_ingest_reads_every_seed_example(world: tuple[str, Path], tmp_path: Path) -> None:
    _, folder = world
    config = SeedConfig(source="seeds/seeds.json", image_root="seeds/images")
    rows = list(read_seeds(config, store=ImageStore(tmp_path / "store"), base=folder))
    assert not [row for row in rows if isinstance(row, Rejection)]
    tasks: list[Task] = [seed_example(index, 5)[2] for index in range(12)]
    examples = [row for row in rows if isinstance(row, SeedExample)]
    assert [(row.instruction, row.precise) for row in examples] == [
        (task.question, task.precise) for task in tasks
    ]


def test_the_benchmarks_gold_is_right_and_their_scenes_are_not_among_the_pairs(
    world: tuple[str, Path], tmp_path: Path
) -> None:
    key, folder = world
    scenes = _scenes_of(folder)
    store = ImageStore(tmp_path / "store")
    pair_keys = {
        scenes[hashlib.sha256(path.read_bytes()).hexdigest()].key
        for path in (folder / "pairs" / "images").iterdir()
    }
    kinds = set()
    for path in sorted((folder / "benchmarks").glob("*.yaml")):
        benchmark = load_benchmark(path, store)
        assert benchmark.rejections == ()
        assert len(benchmark.items) == 10
        kinds.add(benchmark.spec.kind)
        rows = {row["id"]: row for row in json.loads(path.with_suffix(".json").read_text())}
        for item in benchmark.items:
            assert item.image is not None
            scene = scenes[item.image.sha256]
            assert scene.domain == key
            assert scene.key not in pair_keys
            question = rows[item.id]["question"]
            assert item.question.startswith(question)
            gold = ", ".join(item.gold)
            if item.kind == "choice":
                gold = (
                    item.gold[0] if item.gold[0] in item.choices else item.choices["ABCD".index(item.gold[0])]
                )
                assert all(choice in item.question for choice in item.choices)
            assert is_right(scene, question, gold) is True, item
            if item.kind == "multi_label":
                assert set(item.gold) <= set(item.choices) == set(DOMAINS[key].lexicon.forms)
    assert kinds == {"closed", "open", "choice", "multi_label"}
