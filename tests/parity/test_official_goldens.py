"""The published scorers by every worked example of the description of what the official scripts do.

Sections are those of the specification of the official behaviour: 1.10.1 to 1.10.4 (AdaMLLM), 3.1
(ScienceQA), 4.2 and 4.3 (Sight Beyond Text) and the list of quirks, 6 (A4 to A10, B1, C5, C9). Where the
strict form marks the same reply, its mark stands beside.
"""

import pytest

from acclimate.evaluate import paper
from acclimate.evaluate.letters import paper_letter, strict_letter
from acclimate.evaluate.published import (
    mmbench_choice,
    mme_answer,
    mmstar_is_right,
    pope_answer,
    starts_with_letter,
    vqa_accuracy,
    vqa_sbt_answer,
)
from acclimate.evaluate.rouge import rouge_l_paper
from acclimate.evaluate.scorers import SCORERS
from acclimate.evaluate.sums import published_sums
from acclimate.records import AnswerKind, Item

ORGANS = ("lung", "heart", "liver", "spleen")


def both(
    kind: AnswerKind,
    metric: str,
    gold: tuple[str, ...],
    text: str,
    choices: tuple[str, ...] = (),
    question: str = "?",
) -> tuple[float | None, float | None]:
    """The published mark and the strict one."""
    item = Item("i1", "bench", question, None, kind, gold, choices, "c")
    found = {
        each.name: each.marks([item], [text])[0].value for each in SCORERS if each.kind == kind and each.mark
    }
    return found[f"{metric}_paper"], found[f"{metric}_strict"]


# --- 1.10.1: closed and open --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "gold", "text", "published", "strict"),
    [
        ("Is it?", "No", "I cannot determine this.", 1.0, 0.0),
        ("Is it?", "No", "It is normal.", 1.0, 0.0),
        ("Is it?", "No", "Yes, there is a nodule", 1.0, 0.0),
        ("Is it?", "No", "Unknown", 1.0, 0.0),
        ("normal or abnormal?", "Normal", "abnormal", 1.0, 0.0),
        ("left or right?", "Left", "It is on the left", 0.0, 1.0),
        ("left or right?", "Left", "It is on the left, no other", 1.0, 1.0),
        ("MRI or CT?", "MRI", "MRI", 0.0, 1.0),
    ],
)
def test_closed(question: str, gold: str, text: str, published: float, strict: float) -> None:
    assert both("closed", "accuracy", (gold,), text, question=question) == (published, strict)


@pytest.mark.parametrize("word", ["normal", "nodule", "unknown", "cannot", "abnormal"])
def test_a4_no_is_found_inside_other_words(word: str) -> None:
    assert both("closed", "accuracy", ("no",), f"It says {word}") == (1.0, 0.0)


@pytest.mark.parametrize(
    ("gold", "text", "published", "strict"),
    [
        ("left lung", "left left left", 0.75, 0.5),
        ("left lung", "left lung", 1.0, 1.0),
        ("left lung", "", 0.0, 0.0),
        ("left lung", "heart", 0.0, 0.0),
        ("the", "the", 0.0, 1.0),
        ("a", "a", 0.0, 1.0),
    ],
)
def test_open_recall(gold: str, text: str, published: float, strict: float) -> None:
    assert both("open", "recall", (gold,), text) == (published, strict)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # a: a mark is deleted where the text has it beside a space, or a comma between digits anywhere.
        *[(f"left{mark}lung", "left lung") for mark in ';/[]"{}()=+\\_-><@`,?!'],
        *[(f"left{mark} lung", "left lung") for mark in ';/[]"{}()=+\\_-><@`,?!'],
        *[(f"left {mark}lung", "left lung") for mark in ';/[]"{}()=+\\_-><@`,?!'],
        ("left-lung 1,5", "leftlung 15"),
        ("left-lung -right", "leftlung right"),
        # Marks that are not in the list stay.
        ("left:lung*", "left:lung*"),
        # b: the intended look-behind never blocks; only the first 32 dots go.
        ("1.5", "1.5"),
        ("5. lung", "5 lung"),
        ("x.y", "xy"),
        ("x. " * 33, " ".join(["x"] * 32 + ["x."])),
        # c
        ("none zero one ten eleven", "0 0 1 10 eleven"),
        ("A lung, an eye, the ear", "lung eye ear"),
        ("dont couldntve couldnt've", "don't couldntve couldn't've"),
        ("somebody'd ow's'at Im", "somebodyd 'ow's'at im"),
        ("LUNG", "lung"),
    ],
)
def test_normalisation(text: str, expected: str) -> None:
    assert paper.paper_normalised(text) == expected


def test_the_second_normalisation_takes_32_more_dots_and_else_changes_nothing() -> None:
    once = paper.paper_normalised("x. " * 70)
    twice = paper.paper_normalised(once)
    assert (once.count("."), twice.count(".")) == (70 - 32, 70 - 64)
    assert paper.paper_recall("x", "x. " * 64) == 1.0
    for text in ("1,000 T1-weighted none", "dont, a-b", "somebody'd"):
        assert paper.paper_normalised(paper.paper_normalised(text)) == paper.paper_normalised(text)


def test_contractions_are_those_of_the_published_list_that_can_occur_in_lower_case() -> None:
    # 120 entries: four begin with a capital I, and two ("let's", "she's") are read as themselves.
    assert len(paper._CONTRACTIONS) == 120 - 4 - 2
    assert not {"im", "ive", "lets", "shes", "ill", "wed", "hell", "shell", "id"} & set(paper._CONTRACTIONS)
    for short in (
        "aint",
        "maam",
        "oclock",
        "twas",
        "yall'd've",
        "y'alld've",
        "y'all'dve",
        "'ows'at",
        "'ow'sat",
    ):
        assert short in paper._CONTRACTIONS


# --- 1.10.2: multiple choice --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(B)", (1, False)),
        ("B", (1, False)),
        ("B.", (1, False)),
        (":'B'?", (1, False)),
        ("A large heart", (0, False)),
        ("b heart", (1, False)),
        ("heart", (1, False)),
        # Brackets come before letters, and letters before contents.
        ("A heart or (C)", (2, False)),
        ("heart C now", (2, False)),
        # Of several the one whose last occurrence is latest.
        ("(A) (B) (A)", (0, False)),
        ("B A B", (1, False)),
        ("lung heart lung", (0, False)),
        ("hearts", (1, False)),
    ],
)
def test_choice(text: str, expected: tuple[int, bool]) -> None:
    assert paper.paper_choice(ORGANS, text, "i1") == expected


@pytest.mark.parametrize("text", ["B: foo", "", "b", "E", "I cannot tell"])
def test_a7_a_choice_that_is_not_read_is_drawn(text: str) -> None:
    draws = {paper.paper_choice(ORGANS, text, str(number)) for number in range(60)}
    assert draws == {(index, True) for index in range(4)}
    # `B: foo` is read by the strict form: a letter, a colon and something that is no choice.
    assert both("choice", "accuracy", ("heart",), text, ORGANS)[1] == float(text in ("B: foo", "b"))


def test_a9_contents_are_searched_in_more_than_five_characters_with_the_blanks_around() -> None:
    choices = ("pho", "rice")
    assert paper.paper_choice(choices, "pho", "i1")[1]
    assert paper.paper_choice(choices, "pho!", "i1")[1]
    assert paper.paper_choice(choices, "pho a", "i1") == (0, False)
    assert paper.paper_choice(choices, "rice", "i1") == (1, False)


def test_a8_food101_digits_and_substrings() -> None:
    dishes = (*(f"dish {chr(97 + at // 26)}{chr(97 + at % 26)}" for at in range(99)), "pho", "pizza")
    assert paper.paper_choice(dishes, "I give it 5 stars", "i1") == (5, False)
    assert paper.paper_choice(dishes, "(100)", "i1") == (100, False)
    assert paper.paper_choice(dishes, "101", "i1")[1]
    assert both("choice", "accuracy", ("pizza",), "The food is pizza, as seen in the photo.", dishes) == (
        0.0,
        1.0,
    )
    assert both("choice", "accuracy", ("pho",), "The food is pizza, as seen in the photo.", dishes) == (
        1.0,
        0.0,
    )


# --- 1.10.3: multi-label ------------------------------------------------------------------------------------


def test_labels_are_read_from_the_longest_and_deleted() -> None:
    labels = ("potato", "sweet potato", "pho", "ham", "toast")
    assert paper.paper_labels(labels, "Sweet potato") == {"sweet potato"}
    assert paper.paper_labels(labels, "hasweet potatom") == {"sweet potato", "ham"}
    assert paper.paper_labels(labels, "toast TOAST hatoastm") == {"toast", "ham"}
    assert paper.paper_labels(labels, "phopho photo") == {"pho"}


@pytest.mark.parametrize(
    ("gold", "said", "recall", "f1"),
    [
        (("rice", "egg"), ("rice", "ham"), 0.5, 0.5),
        (("rice",), (), 0.0, 0.0),
        ((), ("rice",), 1.0, 0.0),
        ((), (), 1.0, 1.0),
        (("rice", "egg", "ham"), ("rice",), 1 / 3, 0.5),
    ],
)
def test_labels_count_as_with_zero_division_1(
    gold: tuple[str, ...], said: tuple[str, ...], recall: float, f1: float
) -> None:
    assert paper.paper_label_recall(gold, said) == pytest.approx(recall)
    assert paper.paper_label_f1(gold, said) == pytest.approx(f1)


# --- 1.10.4: ROUGE-L ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gold", "text", "published", "strict"),
    [
        # Kinds of words: each text has two, and both are shared.
        ("a a a b", "a b", 1.0, 2 * 2 / 6),
        ("Boil rice.", "boil rice.", 0.5, 1.0),
        ("Boil rice.", "Boil rice, then.", 2 * 0.5 * (1 / 3) / (0.5 + 1 / 3), 4 / 5),
        # The words of each pair of sentences are united: order across sentences does not count.
        ("boil rice. fry egg", "fry egg. boil rice", 1.0, 0.5),
        ("", "rice", 0.0, 0.0),
        ("rice", "", 0.0, 0.0),
        ("...", "rice", 0.0, 0.0),
        ("  rice \n soup ", "rice soup", 1.0, 1.0),
    ],
)
def test_rouge_l(gold: str, text: str, published: float, strict: float) -> None:
    found = both("caption", "rouge_l", (gold,), text)
    assert found[0] == pytest.approx(published, abs=1e-7)
    assert found[1] == pytest.approx(strict)


def test_a10_two_equal_texts_of_1200_words_without_a_period_score_0() -> None:
    text = " ".join(f"w{number}" for number in range(1200))
    assert both("caption", "rouge_l", (text,), text) == (0.0, 1.0)
    assert rouge_l_paper(text.replace(" w600", ". w600"), text.replace(" w600", ". w600")) == pytest.approx(
        1.0
    )


# --- 3.1: ScienceQA -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "published", "strict"),
    [
        ("B", 1, 1),
        ("E", None, None),
        ("b", None, 1),
        ("B. because", 1, 1),
        ("B.", None, 1),
        ("B.because", None, None),
        ("The answer is B.", 1, 1),
        ("The answer is B", None, 1),
        ("The answer is B,", 1, 1),
        ("The answer is Bats", 1, None),
        ("The answer is B. The answer is B.", None, 1),
        ("The answer is Z.", None, None),
        ("ANSWER: B.", None, 1),
        ("", None, None),
    ],
)
def test_b1_scienceqa(text: str, published: int | None, strict: int | None) -> None:
    assert (paper_letter(text, 4), strict_letter(text, 4)) == (published, strict)


# --- 4.2 and 4.3: Sight Beyond Text -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "is_right"),
    [("B", True), (" B. x", True), ("Bats", True), ("b", False), ("(B)", False), ("", False)],
)
def test_mmlu(text: str, is_right: bool) -> None:
    assert starts_with_letter("B", text) == is_right


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yes", "yes"),
        ("NO", "no"),
        ("Yes, it is", "yes"),
        ("No.", "no"),
        ("  yes", "yes"),
        ("It is yes", None),
        ("Unknown", None),
        ("None", "no"),
        ("Ano", "no"),
        ("", None),
        ("-yes", "yes"),
        ("not", "no"),
    ],
)
def test_mme(text: str, expected: str | None) -> None:
    assert mme_answer(text) == expected


def test_c9_sight_beyond_text_leaves_two_of_mmes_tasks_out() -> None:
    tasks = "existence count position color posters celebrity scene landmark artwork ocr"
    names = tasks.split()
    scores = {f"mme_{name}": ("mme_accuracy_paper", "mme_accuracy_plus_paper") for name in names}
    sums = published_sums(scores)
    eight = {row for row, _, _ in sums["mme_perception_of_8_paper"]}
    assert {row for row, _, _ in sums["mme_perception_paper"]} - eight == {"mme_landmark", "mme_artwork"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yes, there is.", "yes"),
        ("No, there is none.", "no"),
        ("There is no dog. Yes.", "no"),
        ("There is a dog. It is not big.", "yes"),
        ("It is not there", "no"),
        ("NO", "yes"),
        ("no\nyes", "yes"),
        ("nothing", "yes"),
        ("", "yes"),
        ("I cannot tell", "yes"),
    ],
)
def test_pope(text: str, expected: str) -> None:
    assert pope_answer(text)[0] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("snow", "No"),
        ("yes it is", "Yes"),
        ("No, yes", "Yes"),
        ("a cat\nQuestion: yes?", "a cat"),
        ("cat###no", "cat"),
        ("cat</s>no", "cat"),
        ("Answer: cat", ""),
    ],
)
def test_vqa_replies(text: str, expected: str) -> None:
    assert vqa_sbt_answer(text) == expected


def test_c5_unanimous_yes_is_never_met() -> None:
    unanimous, nearly = ["yes"] * 10, ["yes"] * 9 + ["no"]
    assert [vqa_accuracy(answers, vqa_sbt_answer("yes")) for answers in (unanimous, nearly)] == [0.0, 1.0]
    assert vqa_accuracy(unanimous, "yes") == 1.0


def test_vqa_accuracy_is_leave_one_out() -> None:
    answers = ["2 cats"] * 2 + ["two cats"] + ["cats"] * 7
    # Normalised, three say "2 cats": of three left out in turn two others remain, of the other seven three.
    assert vqa_accuracy(answers, "Two cats!") == pytest.approx((3 * 2 / 3 + 7) / 10)
    assert vqa_accuracy(answers, "the cats") == 1.0
    assert vqa_accuracy(answers, "dogs") == 0.0


# --- MMStar and MMBench, whose scripts the specification does not have --------------------------------------


@pytest.mark.parametrize(
    ("text", "is_right"),
    [
        ("B", True),
        ("b.", True),
        ("(B)", True),
        ("( B)", False),
        ("Option B", True),
        ("The answer is B", True),
        ("The answer is (B)", False),
        ("Answer: B", False),
        ("Because", True),
        ("", False),
    ],
)
def test_mmstar(text: str, is_right: bool) -> None:
    assert mmstar_is_right("B", text) == is_right


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("B", 1),
        ("(B)", 1),
        ("B: heart", 1),
        ("The answer is {B}!", 1),
        ("b", None),
        ("A large heart", 0),
        ("It is the heart", 1),
        ("A or B", None),
        ("A or B heart", 1),
        ("lung, heart", None),
        ("Z. heart", None),
        ("Cannot determine the answer", None),
        ("B-heart", 1),
        ("", None),
    ],
)
def test_mmbench(text: str, expected: int | None) -> None:
    assert mmbench_choice(ORGANS, text) == expected
