"""Reading and marking answers: strict rules by table, the official quirks by their verified examples."""

import pytest

from acclimate.evaluate import answers, paper
from acclimate.evaluate.scorers import SCORERS, Scorer, primary_scorer, scorers_for
from acclimate.records import AnswerKind, Item, Mark

LETTERED = ("lung", "heart", "sweet potato", "potato")


def item(
    kind: AnswerKind,
    gold: tuple[str, ...],
    *,
    question: str = "?",
    choices: tuple[str, ...] = (),
) -> Item:
    return Item("i1", "bench", question, None, kind, gold, choices, "c")


def scorer(kind: AnswerKind, name: str) -> Scorer:
    (found,) = [each for each in SCORERS if (each.kind, each.name) == (kind, name)]
    return found


def marked(scorer: Scorer, asked: Item, text: str | None) -> Mark:
    (found,) = scorer.marks([asked], [text])
    return found


def mark(kind: AnswerKind, name: str, gold: str, text: str, *, question: str = "?") -> Mark:
    return marked(scorer(kind, name), item(kind, (gold,), question=question), text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("Yes", "yes", id="bare"),
        pytest.param("  no.", "no", id="full stop"),
        pytest.param("No, there is no nodule", "no", id="said twice"),
        pytest.param("Yes, there is no nodule", None, id="both"),
        pytest.param("It is abnormal", None, id="no inside another word"),
        pytest.param("I cannot determine this.", None, id="refusal"),
        pytest.param("", None, id="empty"),
        pytest.param("ＹＥＳ", "yes", id="full width"),
        pytest.param("是", None, id="another language"),
        pytest.param("yes " * 50_000, "yes", id="very long"),
    ],
)
def test_yes_or_no_is_read_as_a_word_and_only_one_of_them(text: str, expected: str | None) -> None:
    assert answers.yes_or_no(text) == expected


@pytest.mark.parametrize(
    ("question", "gold", "text", "value", "is_parsed"),
    [
        pytest.param("on the left or right?", "Left", "Left.", 1.0, True, id="equal"),
        pytest.param(
            "on the left or right?", "Left", "It is on the left side", 1.0, True, id="in a sentence"
        ),
        pytest.param("on the left or right?", "Left", "left or right", 0.0, False, id="both options"),
        pytest.param("on the left or right?", "Left", "the right", 0.0, True, id="the other option"),
        pytest.param("on the left or right?", "Left", "yes", 0.0, False, id="neither option"),
        pytest.param("on the left or right?", "Left", "", 0.0, False, id="empty"),
        pytest.param("normal or abnormal?", "normal", "abnormal", 0.0, True, id="gold inside another word"),
        pytest.param("normal or abnormal?", "Abnormal", "abnormal", 1.0, True, id="the longer word"),
        pytest.param("an MRI or a CT scan?", "MRI", "MRI", 1.0, True, id="articles between"),
        pytest.param("an MRI or a CT scan?", "MRI", "CT", 0.0, True, id="rival behind an article"),
        pytest.param("on the left or right side?", "Right side", "right side", 1.0, True, id="two words"),
        pytest.param("just one?", "one", "1", 1.0, True, id="number as digit"),
        pytest.param("true?", "true", "false", 0.0, True, id="no options known"),
    ],
)
def test_a_closed_question_without_yes_or_no_is_read_by_whole_words(
    question: str, gold: str, text: str, value: float, is_parsed: bool
) -> None:
    found = mark("closed", "accuracy_strict", gold, text, question=question)
    assert (found.value, found.parsed) == (value, is_parsed)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("B", 1, id="letter"),
        pytest.param("b", 1, id="small letter alone"),
        pytest.param("(B)", 1, id="brackets"),
        pytest.param("B.", 1, id="full stop"),
        pytest.param("B: heart", 1, id="letter and its text"),
        pytest.param("**B**", 1, id="markdown"),
        pytest.param("The answer is B.", 1, id="in a sentence"),
        pytest.param("heart", 1, id="content"),
        pytest.param("It shows the Heart, clearly", 1, id="content in a sentence"),
        pytest.param("sweet potato", 2, id="longest content"),
        pytest.param("potato", 3, id="content inside another one"),
        pytest.param("A lung", 0, id="an article and a content"),
        pytest.param("A large organ", None, id="an article is no letter"),
        pytest.param("A or B", None, id="two letters"),
        pytest.param("A. lung B. heart C. sweet potato", None, id="the choices repeated"),
        pytest.param("B. lung", None, id="letter and text disagree"),
        pytest.param("lung and heart", None, id="two contents"),
        pytest.param("E", None, id="no such letter"),
        pytest.param("hearty", None, id="content inside a word"),
        pytest.param("I cannot tell", None, id="refusal"),
        pytest.param("the lung(s)", 0, id="a plural in brackets is no letter"),
        pytest.param("", None, id="empty"),
    ],
)
def test_a_choice_is_read_by_letter_or_content_or_not_at_all(text: str, expected: int | None) -> None:
    assert answers.choice_index(LETTERED, text) == expected


def test_more_than_26_choices_have_no_letters() -> None:
    names = tuple(f"dish {number}" for number in range(100, 140))
    assert answers.choice_index(names, "It is dish 117.") == 17
    assert answers.choice_index(names, "B") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("rice, sweet potato", ("rice", "sweet potato"), id="longest first"),
        pytest.param("sweet potato and potato", ("sweet potato", "potato"), id="both"),
        pytest.param("photo of licorice", None, id="inside words"),
        pytest.param("None of them", (), id="none"),
        pytest.param("", None, id="empty"),
        pytest.param("Crème brûlée!", ("crème brûlée",), id="accents"),
        pytest.param("Cre\u0300me bru\u0302le\u0301e", ("crème brûlée",), id="accents written apart"),
    ],
)
def test_labels_are_whole_words(text: str, expected: tuple[str, ...] | None) -> None:
    labels = ("pho", "rice", "sweet potato", "potato", "crème brûlée")
    assert answers.labels_said(labels, text) == expected


@pytest.mark.parametrize(
    ("gold", "text", "recall", "f1", "exact"),
    [
        pytest.param("left lung", "The left lung.", 1.0, 1.0, 1.0, id="right"),
        pytest.param("left lung", "left left left", 0.5, 0.4, 0.0, id="repeated"),
        pytest.param("left lung", "heart", 0.0, 0.0, 0.0, id="wrong"),
        pytest.param("left lung", "lung left", 1.0, 1.0, 0.0, id="another order"),
        pytest.param("the", "the", 1.0, 1.0, 1.0, id="nothing but an article"),
        pytest.param("2 cm", "two cm wide", 1.0, 0.8, 0.0, id="numbers"),
        pytest.param("左肺", "左", 0.5, 2 / 3, 0.0, id="Chinese by character"),
        pytest.param("3.5", "35", 0.0, 0.0, 0.0, id="a decimal point counts"),
    ],
)
def test_open_answers_are_marked_with_true_counts(
    gold: str, text: str, recall: float, f1: float, exact: float
) -> None:
    assert mark("open", "recall_strict", gold, text).value == pytest.approx(recall)
    assert mark("open", "f1_strict", gold, text).value == pytest.approx(f1)
    assert mark("open", "exact_strict", gold, text).value == exact


@pytest.mark.parametrize("kind", ["closed", "choice", "open", "multi_label"])
@pytest.mark.parametrize("text", ["", "   ", "?!", "\u200b"])
def test_an_unreadable_reply_is_marked_zero_and_counted(kind: AnswerKind, text: str) -> None:
    found = marked(scorers_for(kind)[0], item(kind, ("lung",), choices=("lung", "heart")), text)
    assert found == Mark(0.0, parsed=False, reason="unparsed")


def test_every_kind_has_a_strict_primary_scorer_and_a_paper_one() -> None:
    for kind in ("closed", "choice", "open", "multi_label", "vqa", "caption"):
        names = [each.name for each in scorers_for(kind)]
        assert primary_scorer(kind) == names[0]
        assert names[0].endswith("_strict")
        assert any(name.endswith("_paper") for name in names)
    assert primary_scorer("caption") == "rouge_l_strict"
    assert len({(each.name, each.kind) for each in SCORERS}) == len(SCORERS)


def test_rouge_l_follows_the_longest_common_subsequence() -> None:
    # Lin 2004, section 3.1: both replies share three words; the second has only two of them in order.
    rouge = scorer("caption", "rouge_l_strict")
    caption = item("caption", ("Police killed the gunman",))
    assert marked(rouge, caption, "police kill the gunman").value == pytest.approx(0.75)
    assert marked(rouge, caption, "the gunman kill police").value == pytest.approx(0.5)
    assert marked(rouge, caption, "Police killed the gunman.").value == 1.0


def test_multi_label_f1_by_hand() -> None:
    labels = item("multi_label", ("rice", "egg"), choices=("rice", "egg", "ham"))
    # Named: rice and ham; one of two named is right, one of two right ones is named.
    f1, recall = scorer("multi_label", "f1_strict"), scorer("multi_label", "recall_strict")
    assert marked(f1, labels, "rice and ham").value == pytest.approx(0.5)
    assert marked(recall, labels, "rice and ham").value == pytest.approx(0.5)
    assert marked(f1, labels, "none").value == 0.0


@pytest.mark.parametrize(
    ("gold", "text", "expected"),
    [
        ("No", "I cannot determine this.", 1.0),
        ("No", "It is normal.", 1.0),
        ("No", "Yes, there is a nodule", 1.0),
        ("No", "Yes, a mass", 0.0),
        ("No", "Unknown", 1.0),
        ("Normal", "abnormal", 1.0),
        ("Left", "It is on the left", 0.0),
        ("Left", "It is on the left, no other", 1.0),
        ("MRI", "MRI", 0.0),
        ("Yes", "yes", 1.0),
    ],
)
def test_the_official_closed_scorer_searches_substrings(gold: str, text: str, expected: float) -> None:
    assert mark("closed", "accuracy_paper", gold, text).value == expected


def test_the_official_recall_counts_the_replys_words() -> None:
    assert paper.paper_recall("left lung", "left left left") == pytest.approx(0.75)
    assert paper.paper_recall("the", "the lung") == 0.0
    assert paper.paper_recall("left lung", "") == 0.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("T1-weighted", "t1 weighted", id="inside a word becomes a space"),
        pytest.param("left - lung", "left lung", id="beside a space is deleted"),
        pytest.param("1,000 T1-weighted", "1000 t1weighted", id="a digit comma anywhere deletes all marks"),
        pytest.param("one. two.", "1 2", id="numbers and dots"),
        pytest.param("none", "0", id="none is zero"),
        pytest.param("size 3.5", "size 3.5", id="decimals stay"),
        pytest.param("a." * 40, "a" * 32 + "a." * 8, id="only 32 dots go"),
        pytest.param("dont", "don't", id="contraction"),
    ],
)
def test_the_official_normalisation_keeps_its_quirks(text: str, expected: str) -> None:
    assert paper.paper_normalised(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("(B)", 1, id="brackets"),
        pytest.param("B", 1, id="letter"),
        pytest.param("A large heart", 0, id="an article counts as A"),
        pytest.param("A then B then A", 0, id="the last one said wins"),
        pytest.param("hearty", 1, id="content inside a word"),
    ],
)
def test_the_official_choice_reader(text: str, expected: int) -> None:
    assert paper.paper_choice(("lung", "heart", "rice", "egg"), text, "i1") == (expected, False)


def test_the_official_choice_guess_is_flagged_and_depends_on_the_item_only() -> None:
    choices = ("lung", "heart", "rice", "egg")
    guesses = {name: paper.paper_choice(choices, "B: foo", name) for name in map(str, range(40))}
    assert all(was_guessed for _, was_guessed in guesses.values())
    assert {index for index, _ in guesses.values()} == {0, 1, 2, 3}
    assert guesses == {name: paper.paper_choice(choices, "no idea", name) for name in guesses}
    found = marked(scorer("choice", "accuracy_paper"), item("choice", ("lung",), choices=choices), "B: foo")
    assert (found.reason, found.parsed) == ("guessed", False)


def test_the_official_label_reader_searches_substrings_and_glues_neighbours() -> None:
    assert paper.paper_labels(("pho", "pizza"), "The food is pizza, as seen in the photo.") == {
        "pho",
        "pizza",
    }
    assert paper.paper_labels(("ham", "toast"), "hatoastm") == {"ham", "toast"}
    assert paper.paper_label_f1((), ()) == 1.0
    assert paper.paper_label_recall((), ("egg",)) == 1.0
