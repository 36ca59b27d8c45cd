"""The evidence record as a reader sees it: level, gate, grades, sources, corrections and limits (pure)."""

from collections.abc import Sequence

from acclimate.report.blocks import Block, Cell, Column, Points, Row, Table, Text, Tone
from acclimate.report.evidence.corrections import Correction
from acclimate.report.evidence.record import Dimension, Record, Status

LEVELS = {
    "L1": "extracted: a sentence, and nothing behind it",
    "L2": "source-grounded: a passage or a stored measurement stands behind every claim",
    "L3": "reproduced: an attached verification opened the gate",
    "L4": "externally archived: reproduced, and its digest is registered elsewhere",
}
"""Source: the seeds name L2 and L4; the ladder is our own."""
_TEXT = (
    "VERIFIED is the gate's word alone: it takes an attached artifact of a run that was repeated, sealed, "
    "with success. Tier and dimensions are computed by published rules (docs/record.md) and open no gate."
)
_TONES: dict[Status, Tone] = {"VERIFIED": "good", "FAILED": "bad", "UNVERIFIED": "open"}


def evidence(record: Record | None, corrections: Sequence[Correction]) -> tuple[Block, ...]:
    """Return the blocks of the record's section; none without a record."""
    if record is None:
        return ()
    answer = record.question.answer
    told = [f"Question: {record.question.text}"]
    if answer is not None:
        told.append(f"Answer ({answer.status.replace('_', ' ')}): {answer.sentence}")
    blocks: list[Block] = [Text(_TEXT), Points(tuple(told)), _standing(record)]
    if record.claims:
        blocks.append(_claims(record))
    if any(each.kind == "mathematical" for each in record.claims):
        blocks.append(_proofs(record))
    if record.provenance.sources:
        blocks.append(_sources(record))
    if corrections:
        blocks.append(_corrections(corrections))
    return (*blocks, Text("Limits"), Points(record.limits))


def _standing(record: Record) -> Table:
    verdict, grades = record.gate.verdict, record.dimensions
    rows = [
        ("level", Cell(record.level), LEVELS[record.level]),
        ("gate", Cell(verdict.status, tone=_TONES[verdict.status]), verdict.reason),
        ("tier", Cell(record.tier.name), "triage only"),
        ("evidence strength", *_grade(grades.evidence_strength)),
        ("citation grounding", *_grade(grades.citation_grounding)),
        ("uncertainty disclosure", *_grade(grades.uncertainty_disclosure)),
        ("reproducibility", *_grade(grades.reproducibility_status)),
        ("corrections", Cell(str(record.corrections.count)), record.corrections.status),
    ]
    return Table(
        "evidence",
        "How the record stands",
        (Column("what"), Column("standing"), Column("why", is_wide=True)),
        tuple(Row((Cell(name), cell, Cell(why))) for name, cell, why in rows),
    )


def _grade(found: Dimension) -> tuple[Cell, str]:
    values = ", ".join(f"{name} {value}" for name, value in found.values.items())
    return Cell(found.grade), f"{found.rule} ({values})" if values else found.rule


def _claims(record: Record) -> Table:
    return Table(
        "claim-verdicts",
        "What is behind each claim",
        (
            Column("claim"),
            Column("level"),
            Column("verdict"),
            Column("reason", is_wide=True),
            Column("bears on the question", is_wide=True),
        ),
        tuple(
            Row(
                (
                    Cell(each.id),
                    Cell(each.level),
                    Cell(each.verdict.status, tone=_TONES[each.verdict.status]),
                    Cell(each.verdict.reason),
                    Cell(each.bearing),
                )
            )
            for each in record.claims
        ),
    )


def _proofs(record: Record) -> Table:
    """Return each mathematical claim beside the theorem that was, or would be, proved."""
    rows = [
        Row(
            (
                Cell(each.id),
                Cell(each.sentence),
                Cell(each.printed or each.statement or "–"),
                Cell("as Lean prints it" if each.printed else "as the source states it"),
                Cell(each.verdict.status, tone=_TONES[each.verdict.status]),
                Cell("–" if each.proof is None else each.proof.path),
            )
        )
        for each in record.claims
        if each.kind == "mathematical"
    ]
    return Table(
        "proofs",
        "Claims by proof",
        (
            Column("claim"),
            Column("sentence", is_wide=True),
            Column("theorem", is_wide=True),
            Column("stated"),
            Column("verdict"),
            Column("proof"),
        ),
        tuple(rows),
        "A proof is of the theorem. That the theorem says what the sentence says is for the reader to judge.",
    )


def _sources(record: Record) -> Table:
    return Table(
        "sources",
        "Sources",
        (Column("source", is_wide=True), Column("file"), Column("licence"), Column("SHA-256")),
        tuple(
            Row((Cell(each.title), Cell(each.where), Cell(each.licence), Cell((each.sha256 or "–")[:16])))
            for each in record.provenance.sources
        ),
    )


def _corrections(lines: Sequence[Correction]) -> Table:
    return Table(
        "corrections",
        "Corrections",
        (
            Column("number", is_number=True),
            Column("date"),
            Column("where"),
            Column("what is now said", is_wide=True),
            Column("why", is_wide=True),
            Column("by"),
        ),
        tuple(
            Row(
                (
                    Cell(str(each.n)),
                    Cell(each.date),
                    Cell(each.where),
                    Cell(each.what),
                    Cell(each.why),
                    Cell(each.by),
                )
            )
            for each in lines
        ),
        "Corrections are only ever added; each has the hash of the one before.",
    )
