"""A judgement as a table's cells, as Markdown and as plain values (pure)."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from acclimate.claim_sets.judge import Compared, Judgement, Result
from acclimate.files import JSON

HEAD = ("claim", "standing", "reason", "numbers")
_SHOWN = 4
"""Rows that disagree, or parts, that a cell names; the rest is counted."""


def summary(judgement: Judgement) -> str:
    """Return how many claims stand how."""
    counted = Counter(each.standing for each in judgement.results)
    told = ", ".join(f"{counted[name]} {name}" for name in ("supported", "refuted", "open"))
    return f"{len(judgement.results)} claims of {judgement.claims.id} on {judgement.form}: {told}."


def cells(judgement: Judgement) -> Iterator[tuple[str, str, str, str]]:
    """Yield every claim's row of the table whose head is `HEAD`."""
    for each in judgement.results:
        claim = f"{each.claim.id}: {each.claim.sentence} ({_origin(each)})"
        yield claim, each.standing, each.reason, numbers(each)


def numbers(result: Result, shown: int | None = _SHOWN) -> str:
    """Return what the numbers say beside the standing.

    Args:
        shown: how many rows are named; None names them all.
    """
    if result.n_agree is not None:
        mean = "" if result.mean is None else f"; mean difference {result.mean:+.1f}"
        told = f"agrees in {result.n_agree} of {len(result.rows)} rows (claimed: {result.claim.extent}){mean}"
        against = [f"{each.what} {each.difference:+.1f}" for each in result.rows if each.agrees is False]
        return f"{told}. Not in: {_some(against, shown)}" if against else f"{told}."
    if len(result.rows) < 2:
        return _of_part(result.rows[0]) if result.rows else "-"
    return _some([f"{_of_part(each)}: {each.standing}" for each in result.rows], shown)


def markdown(judgement: Judgement) -> str:
    """Return the judgement as a page: the table, and the rows that disagree in full."""
    claims = judgement.claims
    lines = [
        f"# {claims.title}: its claims on {judgement.form}",
        "",
        f"Source: {claims.source.title} ({claims.source.id}). Numbers: `{judgement.numbers}`. "
        f"{summary(judgement)}",
        "",
        *([claims.source.note.strip(), ""] if claims.source.note else []),
        "| " + " | ".join(HEAD) + " |",
        "| " + " | ".join("---" for _ in HEAD) + " |",
    ]
    for each, row in zip(judgement.results, cells(judgement), strict=True):
        told = [*row[:3], numbers(each, None)]
        lines.append("| " + " | ".join(_escaped(cell) for cell in told) + " |")
    if judgement.remarks:
        lines += ["", "## Remarks", "", *(f"- {_escaped(each)}" for each in judgement.remarks)]
    return "\n".join(lines) + "\n"


def to_json(judgement: Judgement) -> dict[str, JSON]:
    """Return everything as plain values; numbers are points of 100."""
    results: list[JSON] = []
    for each in judgement.results:
        rows: list[JSON] = [_plain(row) for row in each.rows]
        results.append(
            {
                "id": each.claim.id,
                "sentence": each.claim.sentence,
                "in": each.claim.place,
                "said": each.claim.said,
                "paper": each.claim.paper,
                "direction": each.claim.direction,
                "margin": each.claim.margin,
                "claimed_of": each.claim.extent,
                "standing": each.standing,
                "reason": each.reason,
                "agree": each.n_agree,
                "n": len(each.rows),
                "mean_difference": each.mean,
                "rows": rows,
            }
        )
    counted = Counter(each.standing for each in judgement.results)
    return {
        "set": judgement.claims.id,
        "source": judgement.claims.source.id,
        "numbers": judgement.numbers,
        "form": judgement.form,
        "standings": {name: counted[name] for name in ("supported", "refuted", "open")},
        "claims": results,
        "remarks": list(judgement.remarks),
    }


def _plain(row: Compared) -> dict[str, JSON]:
    values = asdict(row) | {"by_seed": list(row.by_seed)}
    return {name: value for name, value in values.items() if value not in (None, [], "")}


def _origin(result: Result) -> str:
    by = {"text": "", "numbers": "; its numbers, not its words", "ours": "; our own"}[result.claim.said]
    return f"{result.claim.place}{by}"


def _of_part(row: Compared) -> str:
    if row.difference is None:
        return f"{row.what}: not measured"
    seeds = " ".join(f"{each:+.1f}" for each in row.by_seed) if len(row.by_seed) > 1 else ""
    spread = f"{row.low:+.1f} to {row.high:+.1f}" if row.low is not None and row.high is not None else ""
    return f"{row.what} {row.difference:+.1f} ({spread}{f'; {seeds}' if seeds else ''})"


def _some(told: Sequence[str], shown: int | None) -> str:
    kept = list(told if shown is None else told[:shown])
    rest = len(told) - len(kept)
    return "; ".join(kept) + (f"; and {rest} more" if rest else "") + "."


def _escaped(text: str) -> str:
    """Return text as one line that opens no cell and no tag."""
    flat = " ".join(text.split())
    return flat.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
