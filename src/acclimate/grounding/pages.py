"""A grounding as JSON, as lines of JSON and as a Markdown page. Pure but for `write_pages`."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from acclimate.errors import UsageError
from acclimate.files import JSON, write_text
from acclimate.grounding.question import QuestionCheck
from acclimate.grounding.stage import Checked, Found, Grounding, Result, Standing

MARKS: Mapping[Standing, str] = {"supported": "✓", "disputed": "≠", "contradicted": "✗", "unsupported": "–"}
"""What stands before a claim for people."""
_MEANING: Mapping[Standing, str] = {
    "supported": "a passage supports it and nothing speaks against it",
    "disputed": "a passage supports it, another one speaks against it: for a person to decide",
    "contradicted": "a passage speaks against it, none supports it",
    "unsupported": "no passage supports it well enough",
}


def to_json(grounding: Grounding) -> dict[str, JSON]:
    """Return everything as plain values."""
    question = grounding.question
    return {
        "claims_file": grounding.claims_file,
        "sources": grounding.sources,
        "threshold": grounding.threshold,
        "counts": counts(grounding),
        "claims": [result_json(result) for result in grounding.results],
        "documents_used": list(grounding.used),
        "copy_of_claims_file": [{**asdict(each), "signs": list(each.signs)} for each in grounding.copies],
        "duplicates": [asdict(each) for each in grounding.duplicates],
        "rejections": [
            {"document": each.id, "reason": each.reason, "detail": each.detail}
            for each in grounding.rejections
        ],
        "rejections_by_reason": dict(sorted(Counter(each.reason for each in grounding.rejections).items())),
        "question": None if question is None else _question_json(question, grounding.results),
    }


def counts(grounding: Grounding) -> dict[str, JSON]:
    """Return how many claims stand how, and what became of the documents."""
    standings = Counter(result.standing for result in grounding.results)
    parts = (grounding.used, grounding.copies, grounding.duplicates, grounding.rejections)
    return {
        "claims": len(grounding.results),
        **{standing: standings[standing] for standing in MARKS},
        "truncated": sum(result.claim.truncated for result in grounding.results),
        "documents": sum(len(part) for part in parts),
        "used": len(grounding.used),
        "copies": len(grounding.copies),
        "duplicates": len(grounding.duplicates),
        "rejected": len(grounding.rejections),
    }


def result_json(result: Result) -> dict[str, JSON]:
    """Return a claim's result as plain values."""
    features = result.features
    shown: dict[str, JSON] = {}
    if features is not None:
        shown = {name: value for name, value in asdict(features).items() if name != "conflicts"}
    return {
        "claim": result.claim.text,
        "line": result.claim.line,
        "truncated": result.claim.truncated,
        "standing": result.standing,
        "ticked": result.ticked,
        "score": round(result.score, 4),
        "passage": None if result.best is None else _found_json(result.best),
        "features": shown,
        "numbers": [asdict(each) for each in result.numbers],
        "names": [asdict(each) for each in result.names],
        "against": [
            {"kind": each.kind, "detail": each.detail, "passage": _found_json(each.found)}
            for each in result.against
        ],
        "bears_on_question": result.bears_on_question,
    }


def _found_json(found: Found) -> dict[str, JSON]:
    return {"document": found.document, "page": found.page, "line": found.line, "text": found.text}


def _question_json(question: QuestionCheck, results: Sequence[Result]) -> dict[str, JSON]:
    return {
        "question": question.question,
        "terms": list(question.terms),
        "terms_that_no_claim_names": list(question.terms_never_named),
        "overlaps": [round(each, 4) for each in question.overlaps],
        "claims_that_do_not_bear_on_it": [
            result.claim.text for result, bears in zip(results, question.bearing, strict=True) if not bears
        ],
    }


def flags(result: Result) -> list[str]:
    """Return what people should know of a claim beside its score, a line each."""
    found = ["truncated"] if result.claim.truncated else []
    found += [f"{each.kind}: {each.detail} ({each.found.where()})" for each in result.against]
    for each in (*result.numbers, *result.names):
        if each.where != "passage":
            found.append(f"{each.text}: {_where(each)}")
    return found


def _where(checked: Checked) -> str:
    return {
        "passage": "in the passage",
        "same_document": "elsewhere in that document",
        "other_document": "only in another document",
        "nowhere": "in no document",
    }[checked.where]


def remarks(grounding: Grounding) -> list[str]:
    """Return what is to be said below the table of claims, a line each."""
    told = [
        f"copy_of_claims_file: {each.document} ({', '.join(each.signs)}; {each.overlap:.0%} of it stands in "
        f"the claims file, {each.overlap_of_claims_file:.0%} the other way); it gives no support."
        for each in grounding.copies
    ]
    told += [
        f"duplicate: {each.document} has the words of {each.of}; counted once."
        for each in grounding.duplicates
    ]
    told += [f"rejected: {each.id}: {each.reason} ({each.detail})" for each in grounding.rejections]
    told += _question_remarks(grounding)
    numbers = counts(grounding)
    told.append(
        f"{numbers['claims']} claims: " + ", ".join(f"{numbers[standing]} {standing}" for standing in MARKS)
        + f"; {numbers['truncated']} truncated. {numbers['documents']} files: {numbers['used']} used, "
        f"{numbers['copies']} copies, {numbers['duplicates']} duplicates, {numbers['rejected']} rejected. "
        f"A tick needs a score of {grounding.threshold:.2f}."
    )  # fmt: skip
    return told


def _question_remarks(grounding: Grounding) -> list[str]:
    question = grounding.question
    if question is None:
        return ["No research question is stated; give one with --question to see which claims bear on it."]
    n_claims = len(question.bearing)
    told = [f"Research question: {question.question}"]
    if question.terms_never_named:
        told.append(f"No claim mentions {', '.join(question.terms_never_named)}.")
    if all(question.bearing):
        told.append(f"All {n_claims} claims bear on the question.")
        return told
    n_off = n_claims - sum(question.bearing)
    told.append(f"{n_off} of {n_claims} claims do not bear on the question:")
    told += [
        f"  - {result.claim.text}"
        for result, bears in zip(grounding.results, question.bearing, strict=True)
        if not bears
    ]
    return told


def markdown(grounding: Grounding) -> str:
    """Return the page for people; every text of a file is escaped."""
    lines = [
        "# Claims against their sources",
        "",
        f"Claims: `{_code(grounding.claims_file)}`. Sources: `{_code(grounding.sources)}`. "
        "The comparison is of words, not of meaning; see docs/claims.md.",
        "",
        "| | score | claim | where | flags |",
        "|---|---:|---|---|---|",
    ]
    for result in grounding.results:
        where = "" if result.best is None else result.best.where()
        cells = (result.claim.text, where, "; ".join(flags(result)))
        shown = " | ".join(_cell(each) for each in cells)
        lines.append(f"| {MARKS[result.standing]} | {result.score:.2f} | {shown} |")
    lines += ["", *(f"- {MARKS[standing]} {standing}: {meaning}" for standing, meaning in _MEANING.items())]
    lines += ["", "## Passages", ""]
    lines += _passages(grounding.results)
    lines += ["## Documents and question", ""]
    lines += [f"- {_cell(each)}" for each in remarks(grounding)]
    return "\n".join(lines) + "\n"


def _passages(results: Sequence[Result]) -> Iterator[str]:
    for number, result in enumerate(results, start=1):
        yield f"{number}. {MARKS[result.standing]} {_cell(result.claim.text)}"
        if result.best is not None:
            yield f"   - {_cell(result.best.where())}: {_cell(result.best.text)}"
        for each in result.against:
            yield f"   - against ({each.kind}), {_cell(each.found.where())}: {_cell(each.found.text)}"
        yield ""


def _cell(text: str) -> str:
    """Return text that a Markdown page shows as it is: no table bars, no links, no HTML."""
    plain = re.sub(r"\s+", " ", text).strip()
    plain = plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|!#])", r"\\\1", plain)


def _code(text: str) -> str:
    return text.replace("`", "'").replace("\n", " ")


def targets(out: Path) -> tuple[Path, Path]:
    """Return the files that `write_pages` writes: lines of JSON and the page, named alike."""
    bare = out.with_suffix("") if out.suffix.casefold() in (".jsonl", ".md") else out
    return bare.with_name(f"{bare.name}.jsonl"), bare.with_name(f"{bare.name}.md")


def check_targets(out: Path, claims: Path, sources: Path) -> None:
    """Refuse an output that would overwrite the claims or become a source of the next run.

    Raises:
        UsageError: it would.
    """
    for target in targets(out):
        place = target.resolve()
        if place == claims.resolve() or place.is_relative_to(sources.resolve()):
            raise UsageError(
                f"--out {out} would write {target}, which is the claims file or lies in the sources."
            )


def write_pages(grounding: Grounding, out: Path) -> tuple[Path, Path]:
    """Write one line of JSON per claim, and the page beside it; return both files."""
    rows, page = targets(out)
    rows.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(result_json(result), ensure_ascii=False) for result in grounding.results]
    write_text(rows, "\n".join(lines) + "\n")
    write_text(page, markdown(grounding))
    return rows, page
