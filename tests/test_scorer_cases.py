"""Every scorer by a table of replies: the mark, whether it was read, why not; and what holds of all texts."""

import time
import unicodedata
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acclimate.evaluate.scorers import CIDER_TOP, SCORERS, Scorer
from acclimate.records import Item, Mark

REFUSAL = "I'm sorry, I cannot determine this from the image."
NO_PICTURE = "There is no image provided."
FULL_WIDTH = str.maketrans({chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F)})
UNPARSED = (0.0, False, "unparsed")
READ_0, READ_1 = (0.0, True, ""), (1.0, True, "")
GUESSED_0, GUESSED_1 = (0.0, False, "guessed"), (1.0, False, "guessed")
NEEDS_JUDGE = (None, False, "needs_judge")
Expected = tuple[float | None, bool, str]
Case = tuple[Item, str | None, Expected]


def wide(text: str) -> str:
    """Full-width forms, as East Asian keyboards write them."""
    return text.translate(FULL_WIDTH)


def read(value: float) -> Expected:
    return value, True, ""


def an_item(
    kind: str, *gold: str, question: str = "?", choices: tuple[str, ...] = (), name: str = "i1"
) -> Item:
    return Item(name, "bench", question, None, kind, gold, choices, "c")  # type: ignore[arg-type]


def cases(item: Item, *pairs: tuple[str | None, Expected]) -> list[Case]:
    return [(item, text, expected) for text, expected in pairs]


YES = an_item("closed", "Yes", question="Is there a nodule?")
NO = an_item("closed", "no.", question="Is there a nodule?")
LEFT = an_item("closed", "Left", question="on the left or right?")
NORMAL = an_item("closed", "normal", question="normal or abnormal?")
LINKS = an_item("closed", "左肺", question="哪一侧?", choices=("左肺", "右肺"))
ORGANS = ("lung", "heart", "sweet potato", "potato")
HEART = an_item("choice", "heart", choices=ORGANS)
SIGNS = an_item("choice", "-5", choices=("+5", "-5", "3.5", "35"))
ODD = an_item("choice", "a+b(c", choices=("a.b", "a+b(c", "[x]*", "\\d"))
LETTERS = an_item("choice", "y", choices=("x", "y", "a", "1"))
TWINS = an_item("choice", "lung", choices=("lung", "lung", "heart", "rice"))
BLANK = an_item("choice", "heart", choices=("", "heart", "lung", "rice"))
ACCENTS = an_item("choice", "crème brûlée", choices=("tarte", "crème brûlée", "鍋", "قلب"))
DISHES = an_item("choice", "dish 117", choices=tuple(f"dish {number}" for number in range(100, 1100)))
LUNG = an_item("open", "left lung")
SIZE = an_item("open", "1,000 ml.")
RICE = an_item("multi_label", "rice", "egg", choices=("rice", "egg", "ham", "pho", "sweet potato", "potato"))
VQA = an_item("vqa", *["yes"] * 7, "no", "no", "maybe")
ALL_YES = an_item("vqa", *["yes"] * 10)
CAPTION = an_item("caption", "A cat sits on a mat", "the dog")
NONE_OF_ALL = ((None, UNPARSED), ("", UNPARSED), (REFUSAL, UNPARSED), ("🙂", UNPARSED), ("\u200b", UNPARSED))
NEVER_READ = tuple((text, READ_0) for text in (None, "", "🙂", "\u200b"))

YES_NO_STRICT = [
    *cases(
        YES, *NONE_OF_ALL, ("Yes", READ_1), ("No.", READ_0), (wide("Yes!"), READ_1), ("ye\u00ads", READ_1)
    ),
    *cases(
        YES,
        ("yes or no", UNPARSED),
        ("yesterday", UNPARSED),
        ("“Yes”", READ_1),
        ("Yes\u00a0—\u00a0sure", READ_1),
    ),
    *cases(YES, ("I cannot say yes.", UNPARSED), ("If yes, treat it.", UNPARSED), ("Not yes", UNPARSED)),
    # Two statements that may contradict each other: which of them answers is a guess.
    *cases(YES, ("Yes. No nodules are seen.", UNPARSED), ("是", UNPARSED), ("نعم", UNPARSED)),
    *cases(NO, ("It is abnormal, unknown to me", UNPARSED), ("No evidence of a nodule.", READ_1)),
    *cases(NO, (NO_PICTURE, UNPARSED), ("There is no doubt, yes.", READ_0), ("I see none, so no", READ_1)),
    *cases(NO, ("No. There is no nodule.", READ_1), ("No doubt.", UNPARSED), ("\u200bno\u200b", READ_1)),
]
CLOSED_STRICT = [
    *YES_NO_STRICT,
    *cases(
        LEFT, *NONE_OF_ALL, ("It's on the LEFT side.", READ_1), ("right", READ_0), ("left or right", UNPARSED)
    ),
    *cases(LEFT, ("no, it isn't the left", UNPARSED), ("left, not right", READ_1), ("leftover", UNPARSED)),
    *cases(LEFT, ("not the right", UNPARSED), (wide("left"), READ_1), ("It is not left but right", READ_0)),
    *cases(
        NORMAL, ("abnormal", READ_0), ("not abnormal", UNPARSED), ("Normal", READ_1), ("not normal", UNPARSED)
    ),
    *cases(LINKS, ("左肺。", READ_1), ("是右肺", READ_0), ("肺", UNPARSED), ("左肺和右肺", UNPARSED)),
    # Nothing is known of the options: any other answer is wrong, and read.
    *cases(an_item("closed", "true"), ("false", READ_0), ("not true", UNPARSED), ("True!", READ_1)),
    *cases(
        an_item("closed", "1,000", question="1000 or 10?"),
        ("1000", READ_1),
        ("10", READ_0),
        ("1,000.", READ_1),
    ),
]
CLOSED_PAPER = [
    *cases(YES, *NEVER_READ, ("yes", READ_1), ("No", READ_0), ("yesterday", READ_1), (wide("Yes"), READ_0)),
    *cases(
        NO, (REFUSAL, READ_1), ("normal", READ_1), ("Yes, a mass", READ_0), ("Yes, there is a nodule", READ_1)
    ),
    *cases(LEFT, ("left", READ_0), ("left, no other", READ_1), ("no, it isn't the left", READ_1)),
]
POPE_PAPER = [
    *cases(YES, ("Yes.", READ_1), ("No", READ_0), ("", GUESSED_1), (None, GUESSED_1), (REFUSAL, GUESSED_1)),
    *cases(
        NO, ("no, it is not", READ_1), ("Yes. No more.", READ_0), ("abnormal", GUESSED_0), ("NO", GUESSED_0)
    ),
    *cases(NO, ("Yes, there is not one", READ_1), ("是", GUESSED_0), (wide("no"), GUESSED_0)),
]
MME_PAPER = [
    *cases(YES, (None, UNPARSED), ("", UNPARSED), (REFUSAL, UNPARSED), ("Yes", READ_1), (" \nYES.", READ_1)),
    *cases(YES, ("It is yes", UNPARSED), ("No, yes", READ_0), ("yesterday", READ_1), ("是", UNPARSED)),
    *cases(
        NO, ("None", READ_1), ("Unknown", UNPARSED), ("no", READ_1), ("Eno", READ_1), (wide("no"), UNPARSED)
    ),
]
CHOICE_STRICT = [
    *cases(
        HEART,
        *NONE_OF_ALL,
        ("B", READ_1),
        ("b", READ_1),
        ("A", READ_0),
        ("E", UNPARSED),
        (wide("(B)."), READ_1),
    ),
    *cases(HEART, ("Answer: (B) heart.", READ_1), ("Answer: (C) heart.", UNPARSED), ("B) the heart", READ_1)),
    *cases(HEART, ("The correct option is **B**", READ_1), ("Answer:\n\nB\nExplanation: it beats.", READ_1)),
    *cases(
        HEART, ("$\\boxed{B}$", READ_1), ("<answer>B</answer>", READ_1), ("答案：B", READ_1), ("“B”", READ_1)
    ),
    *cases(
        HEART, ("B - heart", READ_1), ("B is correct.", READ_1), ("I think it's B.", READ_1), ("B 🙂", READ_1)
    ),
    *cases(HEART, ("I think it's B because A is a lung", UNPARSED), ("It's B because of its shape", READ_1)),
    *cases(
        HEART,
        ("hearty", UNPARSED),
        ("photo", UNPARSED),
        ("It is vitamin C.", UNPARSED),
        ("A large one", UNPARSED),
    ),
    *cases(
        HEART,
        ("A or B", UNPARSED),
        ("B, C", UNPARSED),
        ("B\nC", UNPARSED),
        ("B/C", UNPARSED),
        ("A: B", UNPARSED),
    ),
    *cases(HEART, ("not B", UNPARSED), ("It is not (B).", UNPARSED), ("I rule out option B.", UNPARSED)),
    *cases(HEART, ("(B) is incorrect.", UNPARSED), ("All except B.", UNPARSED), ("Incorrect: (B)", UNPARSED)),
    *cases(
        HEART, ("not a heart", UNPARSED), ("The heart is not visible.", UNPARSED), ("heart, not lung", READ_1)
    ),
    *cases(HEART, ("It isn't a lung, it is a heart.", READ_1), ("neither lung nor heart", UNPARSED)),
    *cases(HEART, ("It is not a lung, a heart or a potato.", UNPARSED), ("sweet potato", READ_0)),
    *cases(HEART, ("As panel (A) shows, it is the heart", READ_1), ("The answer is B, I think.", READ_1)),
    *cases(HEART, ("A. lung B. heart C. sweet potato", UNPARSED), ("A. lung\nB. heart\nAnswer: B", READ_1)),
    *cases(
        HEART, ("Option A is wrong; the answer is B.", READ_1), ("The answer is A. Wait, it is B.", UNPARSED)
    ),
    *cases(HEART, ("The answer is A. No wait, the answer is B.", UNPARSED), ("heart\u00a0", READ_1)),
    *cases(SIGNS, ("-5", READ_1), ("+5", READ_0), ("It is 5", UNPARSED), ("B", READ_1), ("3.5", READ_0)),
    *cases(ODD, ("a+b(c", READ_1), ("\\d", READ_0), ("B. a+b(c", READ_1), ("a b c", UNPARSED)),
    *cases(LETTERS, ("B. y", READ_1), ("y", READ_1), ("(D) 1", READ_0), ("B", READ_1), ("B. x", UNPARSED)),
    *cases(TWINS, ("lung", READ_1), ("A", READ_1), ("B", READ_1), ("C", READ_0), ("A or B", UNPARSED)),
    *cases(BLANK, ("heart", READ_1), ("A", READ_0), ("B", READ_1), ("", UNPARSED), ("none", UNPARSED)),
    *cases(ACCENTS, (unicodedata.normalize("NFD", "Crème brûlée"), READ_1), ("creme brulee", UNPARSED)),
    *cases(ACCENTS, ("这是鍋。", READ_0), ("قلب", READ_0), ("\u2067قلب\u2069", READ_0), (wide("B"), READ_1)),
    *cases(DISHES, ("It is dish 117.", READ_1), ("dish 1170", UNPARSED), ("B", UNPARSED), ("17", UNPARSED)),
]
CHOICE_PAPER = [
    *cases(
        HEART,
        ("(B)", READ_1),
        ("B.", READ_1),
        ("A heart", READ_0),
        ("hearty", READ_1),
        ("(A) or (B)", READ_1),
    ),
    *cases(HEART, ("not B", READ_1), ("B (A)", READ_0), ("A lung, then B", READ_1), ("lung heart", READ_1)),
    *cases(BLANK, ("(B)", READ_1), (REFUSAL, READ_0)),
    # Numbered from 0 where there are more choices than letters.
    *cases(replace(DISHES, choices=DISHES.choices[:101]), ("a stray 17 here", READ_1), ("(17)", READ_1)),
    *cases(replace(DISHES, choices=DISHES.choices[:101]), ("dish 117", READ_1), ("dish 118", READ_0)),
]
LETTER_STRICT = [
    *cases(HEART, *NONE_OF_ALL, ("B", READ_1), ("(A)", READ_0), ("E", UNPARSED), ("heart", UNPARSED)),
    *cases(HEART, ("The answer is B.", READ_1), ("The answer is B", READ_1), ("**Answer:** B", READ_1)),
    *cases(
        HEART, ("The answer is B. The answer is B.", READ_1), ("The answer is A. The answer is B.", UNPARSED)
    ),
    *cases(
        HEART, ("The answer is B, I think.", READ_1), ("The answer is A or B.", UNPARSED), ("B, C", UNPARSED)
    ),
    *cases(
        HEART,
        ("not sure if the answer is B.", UNPARSED),
        ("The answer is not B.", UNPARSED),
        ("A\nB", UNPARSED),
    ),
    *cases(HEART, ("The answer is a plant", UNPARSED), ("the answer is b.", READ_1), (wide("B"), READ_1)),
    *cases(
        HEART,
        ("A. ... The answer is B.", UNPARSED),
        ("The answer is A. Wait, it is B.", UNPARSED),
        ("B. heart\n\nA is a lung.", READ_1),
    ),
    *cases(TWINS, ("The answer is B.", READ_1)),
]
LETTER_PAPER = [
    *cases(HEART, *NONE_OF_ALL, ("B", READ_1), ("B. heart", READ_1), ("B.", UNPARSED), ("b", UNPARSED)),
    *cases(
        HEART, ("The answer is B.", READ_1), ("The answer is B", UNPARSED), ("The answer is Bold", READ_1)
    ),
    *cases(HEART, ("The answer is B. The answer is B.", UNPARSED), ("E", UNPARSED), ("(B)", UNPARSED)),
]
FIRST_LETTER_PAPER = [
    *cases(HEART, *NEVER_READ, (REFUSAL, READ_0), ("B", READ_1), (" \nB. heart", READ_1), ("Both", READ_1)),
    *cases(HEART, ("b", READ_0), ("(B)", READ_0), ("A", READ_0), (wide("B"), READ_0), ("A or B", READ_0)),
    *cases(TWINS, ("A", READ_1), ("B", READ_1), ("C", READ_0)),
]
MMSTAR_PAPER = [
    *cases(HEART, *NEVER_READ, (REFUSAL, READ_0), ("B", READ_1), ("b) heart", READ_1), ("beats me", READ_1)),
    *cases(
        HEART, ("(B", READ_1), ("Option B", READ_1), ("The answer is B.", READ_1), ("The answer: B", READ_0)
    ),
    *cases(HEART, ("the\nanswer is b", READ_1), ("heart", READ_0), ("A or B", READ_0), (wide("B"), READ_0)),
]
MMBENCH_PAPER = [
    *cases(HEART, *NONE_OF_ALL, ("B", READ_1), ("(B).", READ_1), ("A or B", UNPARSED), ("**B**", READ_1)),
    *cases(HEART, ("A large red heart is shown here", READ_0), ("a large red heart is shown here", READ_1)),
    *cases(
        HEART, ("hearty", READ_1), ("not B", READ_1), ("Z", UNPARSED), ("Z heart", UNPARSED), ("E", UNPARSED)
    ),
    *cases(HEART, ("sweet potato", UNPARSED), ("Cannot determine the answer: B", UNPARSED)),
]
OPEN_UNREAD = cases(
    LUNG, (None, UNPARSED), ("", UNPARSED), ("?!", UNPARSED), ("🙂", UNPARSED), ("\u200b", UNPARSED)
)
RECALL_STRICT = [
    *OPEN_UNREAD,
    *cases(
        LUNG,
        ("The left\u00a0lung.", READ_1),
        ("left left left", read(0.5)),
        ("heart", READ_0),
        (REFUSAL, READ_0),
    ),
    *cases(LUNG, ("leftover lungs", READ_0), (wide("LEFT lung"), READ_1), ("le\u00adft lung", READ_1)),
    *cases(
        SIZE, ("1000 ML", READ_1), ("1.000 ml", read(0.5)), ("1,000", read(0.5)), ("one thousand", READ_0)
    ),
    *cases(an_item("open", "左肺"), ("左", read(0.5)), ("肺左", READ_1), ("右肺", read(0.5))),
    *cases(an_item("open", "हृदय"), ("हृदय", READ_1), ("हद", READ_0)),
    *cases(an_item("open", "it's"), ("it’s", READ_1), ("its", READ_0)),
    *cases(an_item("open", "+"), ("plus", READ_0), ("+", UNPARSED)),
]
F1_STRICT = [
    *OPEN_UNREAD,
    # One of two gold words, one of three said: 2 * 1 / (2 + 3).
    *cases(
        LUNG, ("left lung", READ_1), ("left left left", read(0.4)), ("the left lung of it", read(0.5 + 1 / 6))
    ),
    *cases(LUNG, ("heart", READ_0), (REFUSAL, READ_0)),
    *cases(an_item("open", "+"), ("plus", READ_0)),
]
EXACT_STRICT = [
    *OPEN_UNREAD,
    *cases(
        LUNG,
        ("The Left Lung!", READ_1),
        ("lung left", READ_0),
        ("left lung heart", READ_0),
        (REFUSAL, READ_0),
    ),
    *cases(SIZE, ("1000 ml", READ_1), ("1,000 ml.", READ_1), ("1.000 ml", READ_0)),
    *cases(an_item("open", "2 cm"), ("two cm", READ_1), ("2cm", READ_1), ("2.0 cm", READ_0)),
]
RECALL_PAPER = [
    *cases(LUNG, *NEVER_READ, (REFUSAL, READ_0), ("left lung", READ_1), ("left left left", read(0.75))),
    *cases(LUNG, ("LEFT-LUNG", READ_1), (wide("left lung"), READ_0), ("leftover", READ_0)),
    *cases(SIZE, ("1000 ml", READ_1), ("1,000 ml", READ_1)),
    *cases(an_item("open", "the"), ("the", READ_0)),
]
LABELS_F1_STRICT = [
    *cases(RICE, *NONE_OF_ALL, ("Rice, egg.", READ_1), ("rice and ham", read(0.5)), ("none", READ_0)),
    *cases(
        RICE,
        ("rice, but no egg", read(2 / 3)),
        ("no rice, egg, or ham", UNPARSED),
        ("photo of licorice", UNPARSED),
    ),
    *cases(RICE, ("sweet potato", READ_0), ("egg egg egg rice", READ_1), (wide("rice egg"), READ_1)),
]
LABELS_RECALL_STRICT = [
    *cases(
        RICE, *NONE_OF_ALL, ("rice egg ham", READ_1), ("egg", read(0.5)), ("ham", READ_0), ("None.", READ_0)
    ),
    *cases(RICE, ("rice without egg", read(0.5)), ("riceegg", UNPARSED)),
]
LABELS_F1_PAPER = [
    *cases(
        RICE,
        *NEVER_READ,
        (REFUSAL, READ_0),
        ("rice egg", READ_1),
        ("RICE", read(2 / 3)),
        ("haricem", read(0.5)),
    ),
    *cases(
        RICE, ("photo with rice and eggs", read(0.8)), ("no rice, no egg", READ_1), (wide("rice"), READ_0)
    ),
]
LABELS_RECALL_PAPER = [
    *cases(
        RICE, *NEVER_READ, (REFUSAL, READ_0), ("licorice", read(0.5)), ("riceegg", READ_1), ("ham", READ_0)
    ),
]
# Seven of ten say yes: whoever is left out, three are left. Two say no: of them, left out, one is left (1/3);
# where one of the eight others is left out, two are (2/3).
VQA_NO = (8 * 2 / 3 + 2 * 1 / 3) / 10
VQA_STRICT = [
    *cases(VQA, (None, UNPARSED), ("", UNPARSED), ("?", UNPARSED), (REFUSAL, READ_0), ("Yes.", READ_1)),
    *cases(VQA, ("no", read(VQA_NO)), ("maybe", read(9 / 30)), ("yes no", READ_0), ("yesterday", READ_0)),
    *cases(ALL_YES, ("Yes", READ_1), (wide("yes"), READ_1), ("the yes", READ_1)),
    *cases(an_item("vqa", "2"), ("two", READ_0)),
]
VQA_PAPER = [
    *cases(
        VQA, *NEVER_READ, (REFUSAL, READ_0), ("Yes.", READ_1), ("NO!", read(VQA_NO)), ("maybe", read(0.3))
    ),
    # They all agree, so nothing is normalised.
    *cases(ALL_YES, ("yes", READ_1), ("Yes", READ_0), (" yes\n", READ_1), ("yes.", READ_0)),
]
VQA_SBT_PAPER = [
    *cases(VQA, *NEVER_READ, ("Yes, it is", READ_1), ("snow", read(VQA_NO)), ("Question: yes", READ_0)),
    *cases(ALL_YES, ("yes", READ_0), ("yes Answer: no", READ_0)),
]
ROUGE_STRICT = [
    *cases(CAPTION, (None, UNPARSED), ("", UNPARSED), ("?!", UNPARSED), ("a cat sits on a mat.", READ_1)),
    # Of six words "a cat on a mat" has five in order: 2 * 5 / (6 + 5). "dog" is half of the other reference.
    *cases(
        CAPTION,
        ("A cat on a mat", read(10 / 11)),
        ("dog", read(2 / 3)),
        ("xyz", READ_0),
        (REFUSAL, read(2 / 11)),
    ),
    *cases(CAPTION, (wide("the dog"), READ_1), ("the\u00a0dog", READ_1)),
]
ROUGE_PAPER = [
    *cases(CAPTION, *NEVER_READ, (REFUSAL, READ_0), ("A cat sits on a mat", READ_1), ("a", read(2 / 7))),
    *cases(CAPTION, ("the dog", READ_0), ("A cat sits on a mat.", READ_1), ("mat", read(2 / 7))),
]
# Corpus metrics of one caption: no word is rare among one item, so CIDEr is 0.
CORPUS = [
    *cases(CAPTION, (None, UNPARSED), ("", UNPARSED), ("?", UNPARSED)),
]
CIDER = [*CORPUS, *cases(CAPTION, ("a cat sits on a mat", READ_0), ("xyz", READ_0), (REFUSAL, READ_0))]
COCO_F = (1 + 1.2**2) * (1 / 1) * (1 / 6) / (1 / 6 + 1.2**2 * 1)
ROUGE_COCO = [
    *CORPUS,
    # One of one word said is right; of the references' words one of six, or of two none.
    *cases(
        CAPTION,
        ("A cat sits on a mat!", READ_1),
        ("mat", read(COCO_F)),
        ("xyz", READ_0),
        (REFUSAL, read(-1.0)),
    ),
][:-1]
BLEU = [*CORPUS, *cases(CAPTION, ("a cat sits on a mat", READ_1), ("xyz uvw", READ_0))]
JUDGED = {
    kind: cases(an_item(kind, "a"), ("a", NEEDS_JUDGE), (None, NEEDS_JUDGE))
    for kind in ("graded", "compared")
}


def yes_rate(table: list[Case], which: str) -> list[Case]:
    """What a rate's value is where accuracy is marked so: hits of those said, of those that are yes, ..."""
    found = []
    for item, text, (value, parsed, reason) in table:
        is_gold = item is YES
        is_said = (value == 1.0) == is_gold and (parsed or value == 1.0 or reason == "guessed")
        hit = float(is_gold and is_said)
        sums = {
            "precision": (hit, is_said),
            "recall": (hit, is_gold),
            "f1": (2 * hit, is_said + is_gold),
            "yes_share": (is_said, 1),
        }[which]
        mark = read(sums[0] / sums[1] if sums[1] else 0.0) if reason != "unparsed" else UNPARSED
        found.append((item, text, mark))
    return found


OUTSIDE = {"meteor_paper"}
RATES = ("precision", "recall", "f1", "yes_share")
TABLES: dict[tuple[str, str], list[Case]] = {
    ("closed", "accuracy_strict"): CLOSED_STRICT,
    ("closed", "accuracy_paper"): CLOSED_PAPER,
    ("closed", "accuracy_plus_strict"): CLOSED_STRICT,
    ("closed", "mme_accuracy_paper"): MME_PAPER,
    ("closed", "mme_accuracy_plus_paper"): MME_PAPER,
    ("closed", "pope_accuracy_paper"): POPE_PAPER,
    **{("closed", f"{which}_strict"): yes_rate(YES_NO_STRICT, which) for which in RATES},
    **{("closed", f"pope_{which}_paper"): yes_rate(POPE_PAPER, which) for which in RATES},
    ("choice", "accuracy_strict"): CHOICE_STRICT,
    ("choice", "accuracy_paper"): CHOICE_PAPER,
    ("choice", "letter_strict"): LETTER_STRICT,
    ("choice", "letter_paper"): LETTER_PAPER,
    ("choice", "first_letter_paper"): FIRST_LETTER_PAPER,
    ("choice", "mmstar_paper"): MMSTAR_PAPER,
    ("choice", "mmbench_paper"): MMBENCH_PAPER,
    ("choice", "circular_strict"): CHOICE_STRICT,
    ("choice", "circular_paper"): MMBENCH_PAPER,
    ("open", "recall_strict"): RECALL_STRICT,
    ("open", "f1_strict"): F1_STRICT,
    ("open", "exact_strict"): EXACT_STRICT,
    ("open", "recall_paper"): RECALL_PAPER,
    ("multi_label", "f1_strict"): LABELS_F1_STRICT,
    ("multi_label", "recall_strict"): LABELS_RECALL_STRICT,
    ("multi_label", "f1_paper"): LABELS_F1_PAPER,
    ("multi_label", "recall_paper"): LABELS_RECALL_PAPER,
    ("vqa", "vqa_strict"): VQA_STRICT,
    ("vqa", "vqa_paper"): VQA_PAPER,
    ("vqa", "vqa_sbt_paper"): VQA_SBT_PAPER,
    ("caption", "rouge_l_strict"): ROUGE_STRICT,
    ("caption", "rouge_l_paper"): ROUGE_PAPER,
    ("caption", "rouge_l_coco_paper"): ROUGE_COCO,
    **{("caption", f"cider{which}_{form}"): CIDER for which in ("", "_d") for form in ("strict", "paper")},
    **{("caption", f"bleu_{n}_{form}"): BLEU for n in (1, 2, 3, 4) for form in ("strict", "paper")},
    ("graded", "grade_strict"): JUDGED["graded"],
    ("compared", "relative_strict"): JUDGED["compared"],
    ("compared", "relative_paper"): JUDGED["compared"],
    ("compared", "relative_of_items_strict"): JUDGED["compared"],
}


def scorer_id(scorer: Scorer) -> str:
    return f"{scorer.kind}-{scorer.name}"


@pytest.mark.parametrize("scorer", SCORERS, ids=scorer_id)
def test_a_scorer_marks_every_case_of_its_table(scorer: Scorer) -> None:
    if scorer.name in OUTSIDE:
        pytest.skip("a program of its own, which takes seconds; tests/test_caption_metrics.py has it")
    table = TABLES[scorer.kind, scorer.name]
    assert len(table) >= 2
    for item, text, (value, parsed, reason) in table:
        (mark,) = scorer.marks([item], [text])
        case = f"{item.gold} <- {text!r}"
        # BLEU is the mean's ratio of sums; as a mark of one item it says only whether a word is right.
        expected = value if value is None else pytest.approx(value, abs=1e-6)
        assert (mark.value, mark.parsed, mark.reason) == (expected, parsed, reason), case


def test_every_scorer_has_a_table() -> None:
    assert {(each.kind, each.name) for each in SCORERS if each.name not in OUTSIDE} == set(TABLES)


@pytest.mark.parametrize("text", ["B: foo", REFUSAL, "", None, "🙂", "not sure"])
def test_the_official_choice_reader_says_that_it_guessed(text: str | None) -> None:
    scorer = next(each for each in SCORERS if (each.kind, each.name) == ("choice", "accuracy_paper"))
    items = [replace(HEART, id=f"i{number}") for number in range(40)]
    marks = scorer.marks(items, [text] * len(items))
    assert {(mark.parsed, mark.reason) for mark in marks} == {(False, "guessed")}
    assert {mark.value for mark in marks} == {0.0, 1.0}


# --- length -------------------------------------------------------------------------------------------------

LONG = 1_000_000
RECURRING = (
    "answer ",
    "(A",
    "a.",
    " ",
    "\n",
    "(A) ",
    "A. ",
    "The answer is B. ",
    "not ",
    "yes ",
    "rice ",
    "' ",
)
OPENING = ("answer" + " " * LONG, "A" + " " * LONG + "x", "answer" + "(" * LONG, "yes" + "." * LONG)
READERS = [
    each
    for each in SCORERS
    if each.mark is not None
    and not each.name.removeprefix("pope_").startswith((*RATES[:1], "yes_share"))
    and each.kind != "caption"
]
EXAMPLES = {
    "closed": LEFT,
    "choice": HEART,
    "open": LUNG,
    "multi_label": an_item("multi_label", "dish 5", choices=tuple(f"dish {number}" for number in range(300))),
    "vqa": VQA,
    "caption": CAPTION,
}


def seconds(scorer: Scorer, text: str) -> float:
    start = time.process_time()
    (mark,) = scorer.marks([EXAMPLES[scorer.kind]], [text])
    assert mark.value is not None
    return time.process_time() - start


@pytest.mark.parametrize("scorer", READERS, ids=scorer_id)
def test_no_text_of_this_length_takes_more_than_in_proportion(scorer: Scorer) -> None:
    """A tenth of the length in a tenth of the time: whatever is quadratic takes minutes."""
    for text in RECURRING:
        assert seconds(scorer, text * (LONG // 10 // len(text))) < 0.5, text
    for text in OPENING:
        assert seconds(scorer, text[: LONG // 10]) < 0.5, text[:20]


@pytest.mark.slow
@pytest.mark.parametrize("scorer", READERS, ids=scorer_id)
def test_a_megabyte_is_marked_within_two_seconds(scorer: Scorer) -> None:
    for text in (*(each * (LONG // len(each)) for each in RECURRING), *OPENING):
        assert seconds(scorer, text) < 2, text[:20]


# --- what holds of all texts --------------------------------------------------------------------------------

QUIET = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
ANY_TEXT = st.text(max_size=60) | st.lists(
    st.sampled_from(
        ["A", "(B)", "c.", "yes", "no", "not", "lung", "heart", "the answer is", ",", "\n", "5", "pho"]
    )
).map(" ".join)
# Words of the Greek alphabet and marks: no letter of a choice, no choice, no yes or no, no "none".
SAYS_NOTHING = st.text(alphabet="αβγδεζηθικλμ 0123456789.,:;!?()*-\n\u00a0", max_size=80)
STRICT = [
    each
    for each in SCORERS
    if each.name.endswith("_strict") and each.kind in ("closed", "choice", "multi_label")
]
ITEMS: dict[str, list[Item]] = {
    "closed": [YES, NO, replace(LEFT, group="g")],
    "choice": [HEART, TWINS, replace(ACCENTS, group="g"), replace(ODD, group="g")],
    "open": [LUNG, SIZE, an_item("open", "+")],
    "multi_label": [RICE, replace(RICE, gold=("ham",))],
    "vqa": [VQA, ALL_YES],
    "caption": [CAPTION, replace(CAPTION, gold=("xyz. uvw",)), replace(CAPTION, gold=("",))],
    "graded": [an_item("graded", "a")],
    "compared": [an_item("compared", "a")],
}
ITEMS = {kind: [replace(each, id=f"i{at}") for at, each in enumerate(items)] for kind, items in ITEMS.items()}


@pytest.mark.parametrize("scorer", STRICT, ids=scorer_id)
@given(text=SAYS_NOTHING)
@QUIET
def test_strict_reads_nothing_where_nothing_is_said(scorer: Scorer, text: str) -> None:
    items = [each for each in ITEMS[scorer.kind] if each.choices or scorer.kind == "closed"]
    for item in items:
        (mark,) = scorer.marks([item], [text])
        assert (mark.value, mark.parsed, mark.reason) == UNPARSED


@pytest.mark.parametrize("scorer", [each for each in SCORERS if each.name not in OUTSIDE], ids=scorer_id)
@given(data=st.data())
@QUIET
def test_marks_are_bounded_and_do_not_depend_on_the_order_of_items(
    scorer: Scorer, data: st.DataObject
) -> None:
    items = ITEMS[scorer.kind]
    texts = data.draw(st.lists(st.none() | ANY_TEXT, min_size=len(items), max_size=len(items)))
    marks = scorer.marks(items, texts)
    order = data.draw(st.permutations(range(len(items))))
    shuffled = scorer.marks([items[at] for at in order], [texts[at] for at in order])
    assert shuffled == [marks[at] for at in order]
    assert scorer.marks(items, texts) == marks
    top = CIDER_TOP if scorer.name.startswith("cider") else 1.0
    assert all(mark.value is None or 0 <= mark.value <= top + 1e-9 for mark in marks)
    assert all(bool(mark.reason) != mark.parsed for mark in marks)


@pytest.mark.parametrize(
    "name", ["accuracy_plus_strict", "mme_accuracy_plus_paper", "circular_strict", "circular_paper"]
)
@given(data=st.data())
@QUIET
def test_a_group_weighs_as_one_question_and_is_right_where_all_are(name: str, data: st.DataObject) -> None:
    scorer = next(each for each in SCORERS if each.name == name)
    base = YES if scorer.kind == "closed" else HEART
    groups = data.draw(st.lists(st.sampled_from(["", "g", "h"]), min_size=1, max_size=6))
    items = [replace(base, id=f"i{at}", group=group) for at, group in enumerate(groups)]
    said = data.draw(st.lists(st.booleans(), min_size=len(items), max_size=len(items)))
    right, wrong = ("yes", "no") if scorer.kind == "closed" else ("B", "A")
    marks = scorer.marks(items, [right if each else wrong for each in said])
    weighed: dict[str, list[tuple[float, ...]]] = {}
    for item, mark in zip(items, marks, strict=True):
        weighed.setdefault(item.group or item.id, []).append(mark.parts)
    for key, parts in weighed.items():
        is_right = float(all(s for i, s in zip(items, said, strict=True) if (i.group or i.id) == key))
        assert sorted(parts) == [(0.0, 0.0)] * (len(parts) - 1) + [(is_right, 1.0)]


LETTERED = st.sampled_from(
    ["{}", "({})", "{}.", "{}: {text}", "**{}**", "The answer is {}.", "option {}", "{text}"]
)


@pytest.mark.parametrize("name", ["accuracy_strict", "letter_strict", "circular_strict"])
@given(order=st.permutations(range(4)), at=st.integers(0, 3), form=LETTERED)
@QUIET
def test_relabelling_the_choices_keeps_the_strict_mark(
    name: str, order: list[int], at: int, form: str
) -> None:
    scorer = next(each for each in SCORERS if (each.kind, each.name) == ("choice", name))

    def mark(choices: tuple[str, ...]) -> Mark:
        text = form.format("ABCD"[choices.index(ORGANS[at])], text=ORGANS[at])
        return scorer.marks([replace(HEART, choices=choices)], [text])[0]

    assert mark(tuple(ORGANS[index] for index in order)) == mark(ORGANS)
