"""What bears on the question, and what the claims that do answer to it. Pure; all rules are our own."""

from collections.abc import Sequence

from acclimate.report.evidence.record import Answer, ClaimEntry, Question
from acclimate.report.evidence.wording import names


def bears(sentence: str, measure: str | None, question: Question) -> tuple[bool, str]:
    """Return whether a claim bears on the question, and why, in one sentence.

    It does where its measurement is one of those that would answer the question, or where its sentence names
    one of the quantities that would.
    """
    if measure is not None and measure in question.measures:
        return True, f"It is about {measure}, which would answer the question."
    named = next((each for each in question.measures if names(sentence, each)), None)
    if named is not None:
        return True, f"It names {named}, which would answer the question."
    return False, f"It is about none of what would answer the question ({', '.join(question.measures)})."


def answer_of(claims: Sequence[ClaimEntry]) -> Answer:
    """Return what the claims that bear on the question answer to it.

    `answered` where each of them is supported or refuted, `partly` where some are, else `not_answered`.
    """
    bearing = [each for each in claims if each.bears_on_question]
    decided = [each for each in bearing if each.standing != "open"]
    if not bearing:
        return Answer(status="not_answered", sentence="No claim of this record bears on the question.")
    said = [f"{each.id} is {each.standing}" for each in bearing]
    start = f"{len(decided)} of the {len(bearing)} claims that bear on the question are decided"
    if len(bearing) == 1:
        start = f"The one claim that bears on the question is {'decided' if decided else 'open'}"
    sentence = f"{start}: {', '.join(said)}."
    if not decided:
        return Answer(status="not_answered", sentence=sentence)
    return Answer(
        status="answered" if len(decided) == len(bearing) else "partly",
        sentence=sentence,
        claims=tuple(each.id for each in decided),
    )
