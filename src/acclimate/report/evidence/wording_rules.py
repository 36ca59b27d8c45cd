"""Rules on the words of a record: whole, its own, meaning one thing. Pure."""

from collections.abc import Iterator

from acclimate.report.evidence.record import ClaimEntry
from acclimate.report.evidence.rules import Finding, Reading, Rule
from acclimate.report.evidence.wording import (
    borrowed,
    says_verified,
    sentence_is_cut,
    sentence_is_ended,
    title_is_cut,
)

_ONLY_THE_GATE = (
    "Say `extracted`, `grounded` or `reproduced`, or `not verified`; the word is the gate's verdict."
)


def verified_word(reading: Reading) -> Iterator[Finding]:
    """Find texts, marks and counts that call something verified though the gate does not."""
    record = reading.record
    status = record.gate.verdict.status
    for where, text in _own_words(reading):
        said = says_verified(text, gate_opened=status == "VERIFIED")
        if said:
            yield Finding(
                where, f"It says {said!r} while the gate's verdict is {status}.", _ONLY_THE_GATE, text
            )
    for where, claim in reading.claims():
        yield from _of_claim(where, claim)
    n = sum(each.verdict.status == "VERIFIED" for each in record.claims)
    stated = record.counts.verified
    if stated is not None and stated != n:
        yield Finding(
            "counts.verified",
            f"{stated} claims are counted as verified beside the gate's verdict {status}; {n} of "
            f"{len(record.claims)} claims have the verdict VERIFIED.",
            f"Count {n}, or leave the count out.",
            str(stated),
        )


def _of_claim(where: str, claim: ClaimEntry) -> Iterator[Finding]:
    status = claim.verdict.status
    names = ("reason", "bearing", "testable")
    texts = [(f"{where}.{name}", getattr(claim, name) or "") for name in names]
    texts.append((f"{where}.verdict.reason", claim.verdict.reason))
    if claim.kind != "literature":  # whose sentences are other people's
        texts.append((f"{where}.sentence", claim.sentence))
    if claim.confidence is not None:
        texts.append((f"{where}.confidence.meaning", claim.confidence.meaning or ""))
    texts += [(f"{where}.marks[{at}]", f"{mark.name} {mark.value}") for at, mark in enumerate(claim.marks)]
    for place, text in texts:
        said = says_verified(text, gate_opened=status == "VERIFIED")
        if said:
            yield Finding(place, f"It says {said!r}; the claim's verdict is {status}.", _ONLY_THE_GATE, text)


def _own_words(reading: Reading) -> Iterator[tuple[str, str]]:
    record = reading.record
    yield "title", record.title
    yield "abstract", record.abstract
    if record.question.answer is not None:
        yield "question.answer.sentence", record.question.answer.sentence
    yield "gate.verdict.reason", record.gate.verdict.reason
    yield "tier.name", record.tier.name
    yield "tier.note", record.tier.note
    for at, basis in enumerate(record.tier.basis):
        yield f"tier.basis[{at}].rule", basis.rule
    yield "provenance.note", record.provenance.note
    yield "provenance.method", record.provenance.method
    yield "provenance.lineage", record.provenance.lineage
    for at, reference in enumerate(record.provenance.references):
        yield f"provenance.references[{at}].use", reference.use
    if record.provenance.review is not None:
        yield "provenance.review.method", record.provenance.review.method
    for at, limit in enumerate(record.limits):
        yield f"limits[{at}]", limit


def title_cut(reading: Reading) -> Iterator[Finding]:
    """Find a title that stops in its middle."""
    title = reading.record.title
    if title_is_cut(title):
        end = title[-40:]
        yield Finding("title", f"The title stops at {end!r}.", "Write the title whole.", title)


def abstract_cut(reading: Reading) -> Iterator[Finding]:
    """Find an abstract that stops in its middle."""
    abstract = reading.record.abstract
    if not sentence_is_ended(abstract):
        end = abstract.rstrip()[-40:]
        yield Finding(
            "abstract",
            f"The abstract stops at {end!r}, not at the end of a sentence.",
            "Write it whole, to a full stop.",
            abstract,
        )


def abstract_copied(reading: Reading) -> Iterator[Finding]:
    """Find an abstract whose words are a source's."""
    theirs = dict(reading.texts)
    for where, claim in reading.claims():
        if claim.kind == "literature":
            theirs[f"{where}.sentence"] = claim.sentence
        theirs |= {f"{where}.passages[{at}]": each.quote for at, each in enumerate(claim.passages)}
    found = borrowed(reading.record.abstract, theirs)
    if found:
        name, run = found
        yield Finding(
            "abstract",
            f"{len(run.split())} words in a row also stand in {name}: {run!r}.",
            "Write the abstract in the record's own words, or put what is quoted in quotation marks.",
            run,
        )


def claim_cut(reading: Reading) -> Iterator[Finding]:
    """Find claims whose sentence was cut."""
    for where, claim in reading.claims():
        if sentence_is_cut(claim.sentence):
            end = claim.sentence[-40:]
            yield Finding(
                f"{where}.sentence",
                f"The sentence stops at {end!r} after {len(claim.sentence)} characters.",
                "Write the sentence whole: a claim is judged by its words.",
                claim.sentence,
            )


def claim_not_testable(reading: Reading) -> Iterator[Finding]:
    """Find claims that do not say what would test them."""
    for where, claim in reading.claims():
        if not (claim.testable or "").strip():
            yield Finding(
                f"{where}.testable",
                f"Nothing says what would test {claim.sentence!r}.",
                "Name the measurement, the proof or the look-up that would decide it, or drop the claim.",
            )


def confidence_unexplained(reading: Reading) -> Iterator[Finding]:
    """Find confidences that do not say what they mean and how they were calibrated."""
    for where, claim in reading.claims():
        given = claim.confidence
        if given is None or (given.meaning and given.calibration is not None):
            continue
        lacks = [
            *([] if given.meaning else ["what it means"]),
            *([] if given.calibration else ["its calibration"]),
        ]
        yield Finding(
            f"{where}.confidence",
            f"The confidence {given.value} stands without {' and '.join(lacks)}.",
            "Say what has this probability and on how many labelled cases that was checked (0 for none), "
            "or leave the number out.",
            str(given.value),
        )


WORDING_RULES = (
    Rule(
        "verified_word",
        "`Verified` is the gate's verdict and nothing else: no text, mark or count may say it otherwise; "
        "nothing is `independently verified`.",
        "Seed 000 `Unverified` beside seed 001 `8 independently verified` and a column `Verified`",
        verified_word,
    ),
    Rule(
        "title_cut",
        "A title is whole.",
        "Seeds 000 and 001: the title ends with `for`",
        title_cut,
    ),
    Rule(
        "abstract_cut",
        "An abstract ends with a sentence.",
        "Seed 000 `Our early experime`; seed 001 `Our early exper-`",
        abstract_cut,
    ),
    Rule(
        "abstract_copied",
        "An abstract is in the record's own words: no 12 words in a row, quotations apart, that also stand "
        "in a claim about the literature, a passage, or a source's text where one is given.",
        "Seeds 000 and 001: the abstract of the examined paper as the record's own",
        abstract_copied,
    ),
    Rule(
        "claim_cut",
        "A claim's sentence is whole.",
        "Seed 001: sentences cut at 120 characters",
        claim_cut,
    ),
    Rule(
        "claim_not_testable",
        "Each claim says what would test it.",
        "Seed 001: `publicly available`, `impressive`, `less explored`, all ticked",
        claim_not_testable,
    ),
    Rule(
        "confidence_unexplained",
        "A confidence says what it is the probability of, and on how many labelled cases it was calibrated.",
        "Seed 001: a column `Confidence` from .22 to .46",
        confidence_unexplained,
    ),
)
