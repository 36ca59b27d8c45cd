"""How other benchmarks' published scripts read replies, quirks included, written from descriptions of them.

`paper` holds those of the AdaMLLM family. Nothing here is ever the headline.
"""

import re
from collections.abc import Mapping, Sequence

from acclimate.evaluate.paper import paper_normalised

_CUT = re.compile(r"Question|Answer|###|</s>")
_MMBENCH_REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)
_MMBENCH_MARKS = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
_MMSTAR_PLACES = (("", 0), ("(", 1), ("option ", 7), ("the answer is ", 14))


def pope_answer(text: str) -> tuple[str, bool]:
    """Return POPE's reading of a reply, `yes` or `no`, and whether it only fell back on `yes`.

    Source:
        Sight Beyond Text's POPE script. Quirks kept: only the first sentence counts; the words "No", "not"
        and "no" mean no, anything else means yes, a refusal or an empty reply too.
    """
    first = text.partition(".")[0].replace(",", "")
    said = first.split(" ")
    if any(word in said for word in ("No", "not", "no")):
        return "no", False
    return "yes", "yes" not in (word.strip("!?:;\"'").lower() for word in first.split())


def mme_answer(text: str) -> str | None:
    """Return MME's reading of a reply: `yes`, `no`, or None for "other".

    Source:
        MME's evaluation as Sight Beyond Text carries it. Quirk kept: only the first four characters count, so
        "It is yes" is "other" and "None" is no. White space around the reply does not count; in MME's own
        script it does.
    """
    lowered = text.strip().lower()
    if lowered in ("yes", "no"):
        return lowered
    start = lowered[:4]
    return "yes" if "yes" in start else "no" if "no" in start else None


def starts_with_letter(letter: str, text: str) -> bool:
    """Return whether a reply begins with the right letter: the rule of Sight Beyond Text's MMLU script."""
    return text.strip().startswith(letter)


def mmstar_is_right(letter: str, text: str) -> bool:
    """Return MMStar's mark of a reply.

    Source:
        MMStar's evaluation: the reply in lower case has the letter at its start, after "(", "option " or "the
        answer is ". Quirk kept: any word that begins with the right letter is right ("Dogs" for D).
    """
    said = text.strip().lower().replace("\n", " ")
    return any(
        said[: len(lead)] == lead and said[at : at + 1] == letter.lower() for lead, at in _MMSTAR_PLACES
    )


def mmbench_choice(choices: Sequence[str], text: str) -> int | None:
    """Return the choice that MMBench's rules read without asking a judge; None where they read none.

    Source:
        VLMEvalKit's matching as the published tables had it, with its settings as they come. Quirks kept: the
        article "A" is the letter; contents are substrings; "Z" is its word for no choice. Versions of 2025
        read a letter only among a reply's last words, and contents only in short replies.
    """
    if any(refusal in text for refusal in _MMBENCH_REFUSALS):
        return None
    said = set(text.translate(_MMBENCH_MARKS).split())
    letters = [index for index in range(len(choices)) if chr(ord("A") + index) in said]
    if len(letters) == 1:
        return letters[0]
    if not letters and "Z" in said:
        return None
    lowered = text.lower()
    found = [index for index, choice in enumerate(choices) if choice.lower() in lowered]
    return found[0] if len(found) == 1 else None


def vqa_share(answers: Sequence[str], said: str) -> float:
    """Return how far annotators agree with an answer, each left out once: VQA's accuracy of one question.

    Args:
        answers: of the annotators, normalised like `said`; usually ten.

    Source:
        Antol et al. 2015 with the official script's mean over leaving one annotator out: min(1, matches / 3).
    """
    if not answers:
        return 0.0
    matches = sum(answer == said for answer in answers)
    shares = (min(1.0, (matches - (answer == said)) / 3) for answer in answers)
    return sum(shares) / len(answers)


def vqa_accuracy(answers: Sequence[str], text: str) -> float:
    """Return the official VQA accuracy.

    Source:
        The VQA v2 evaluation. Quirk kept: punctuation, numbers and articles are normalised only where the
        annotators disagree, so that a unanimous "yes" is not met by "Yes".
    """
    said = text.replace("\n", " ").replace("\t", " ").strip()
    plain = [answer.replace("\n", " ").replace("\t", " ").strip() for answer in answers]
    if len(set(plain)) > 1:
        said, plain = paper_normalised(said), [paper_normalised(answer) for answer in plain]
    return vqa_share(plain, said)


def vqa_sbt_answer(text: str) -> str:
    """Return a reply as Sight Beyond Text hands it to the VQA evaluation.

    Source:
        Its post-processing: cut at "Question", "Answer", "###" or "</s>". Quirk kept: "Yes" or "yes" anywhere
        becomes "Yes", else "No" or "no" anywhere "No", also inside "snow".
    """
    cut = _CUT.split(text, maxsplit=1)[0].strip()
    for words, answer in _SBT_WORDS.items():
        if any(word in cut for word in words):
            return answer
    return cut


_SBT_WORDS: Mapping[tuple[str, str], str] = {("Yes", "yes"): "Yes", ("No", "no"): "No"}
