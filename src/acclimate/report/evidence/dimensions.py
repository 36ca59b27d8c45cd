"""The four dimensions of quality and the tier, by published rules, from the record. Pure.

Names of the dimensions and of the highest tier: seed 000, which states no rule for them. All rules and
thresholds here are our own. They read the gate's verdict; the gate never reads them.
"""

from collections.abc import Mapping
from statistics import fmean

from acclimate.report.evidence.ladder import is_grounded
from acclimate.report.evidence.record import (
    Basis,
    ClaimEntry,
    Dimension,
    Dimensions,
    Grade,
    Record,
    Tier,
)
from acclimate.report.tested import NO_INTERVAL

N_CLUSTERS = 30
"""HIGH evidence rests on at least so many clusters."""
CONFIDENCE = 0.5
"""Least mean confidence of the two higher tiers, where confidences are given."""
FLAGSHIP = "flagship candidate"
STANDARD = "standard"
LISTED = "listed"

EVIDENCE_RULE = (
    f"HIGH: every claim that bears on the question is decided, by an interval over at least {N_CLUSTERS} "
    "clusters or by a proof. MEDIUM: at least one is decided by an interval or a proof. LOW: none is."
)
CITATION_RULE = (
    "HIGH: there is a source, each has a hash, each claim about the literature has a passage from a listed "
    "source, and each reference is used. MEDIUM: there is a source and at least half of the claims about "
    "the literature have such a passage. LOW: anything less."
)
UNCERTAINTY_RULE = (
    "Numbers are measurements and printed confidences; a measurement discloses by an interval, a confidence "
    "by its meaning and a calibration on labelled cases. HIGH: there are numbers, and all disclose. MEDIUM: "
    "at least half do. LOW: fewer, or no numbers."
)
REPRODUCIBILITY_RULE = (
    "HIGH: the gate is VERIFIED by a proof or at depth generate or train. MEDIUM: VERIFIED at depth score, "
    "or not FAILED while the code's hash, the environment, a seed and an artifact with hashes are given. "
    "LOW: anything less."
)


def dimensions_of(record: Record) -> Dimensions:
    """Return the four grades with the values that gave them."""
    return Dimensions(
        evidence_strength=_evidence(record),
        citation_grounding=_citation(record),
        uncertainty_disclosure=_uncertainty(record),
        reproducibility_status=_reproducibility(record),
    )


def has_interval(claim: ClaimEntry) -> bool:
    """Return whether the claim was measured with an interval."""
    return claim.measurement is not None and claim.measurement.method != NO_INTERVAL


def has_passage(record: Record, claim: ClaimEntry) -> bool:
    """Return whether the claim has a passage from a source that the record lists."""
    listed = {each.id for each in record.provenance.sources}
    return any(each.source in listed for each in claim.passages)


def _is_decided(claim: ClaimEntry) -> bool:
    if claim.kind == "mathematical":
        return claim.verdict.status == "VERIFIED"
    return claim.kind == "empirical" and claim.standing != "open" and has_interval(claim)


def _evidence(record: Record) -> Dimension:
    bearing = [each for each in record.claims if each.bears_on_question]
    decided = [each for each in bearing if _is_decided(each)]
    clusters = [each.measurement.n_clusters for each in decided if each.measurement is not None]
    fewest = min(clusters, default=None)
    grade: Grade = "LOW"
    if decided:
        is_broad = len(decided) == len(bearing) and (fewest is None or fewest >= N_CLUSTERS)
        grade = "HIGH" if is_broad else "MEDIUM"
    values = {
        "claims": len(record.claims),
        "bearing": len(bearing),
        "bearing_decided": len(decided),
        "fewest_clusters": fewest,
    }
    return Dimension(grade=grade, rule=EVIDENCE_RULE, values=dict(values))


def _citation(record: Record) -> Dimension:
    listed = record.provenance
    literature = [each for each in record.claims if each.kind == "literature"]
    grounded = sum(has_passage(record, each) for each in literature)
    hashed = sum(each.sha256 is not None for each in listed.sources)
    used = sum(bool(each.claims or each.use) for each in listed.references)
    grade: Grade = "LOW"
    if listed.sources and 2 * grounded >= len(literature):
        is_whole = (hashed, grounded, used) == (
            len(listed.sources),
            len(literature),
            len(listed.references),
        )
        grade = "HIGH" if is_whole else "MEDIUM"
    values = {
        "sources": len(listed.sources),
        "sources_hashed": hashed,
        "literature_claims": len(literature),
        "literature_claims_with_passage": grounded,
        "references": len(listed.references),
        "references_used": used,
    }
    return Dimension(grade=grade, rule=CITATION_RULE, values=dict(values))


def _uncertainty(record: Record) -> Dimension:
    measured = [each for each in record.claims if each.measurement is not None]
    confidences = [each.confidence for each in record.claims if each.confidence is not None]
    with_interval = sum(has_interval(each) for each in measured)
    calibrated = sum(
        bool(each.meaning) and each.calibration is not None and each.calibration.n > 0 for each in confidences
    )
    n_numbers, n_disclosed = len(measured) + len(confidences), with_interval + calibrated
    grade: Grade = "LOW"
    if n_numbers and 2 * n_disclosed >= n_numbers:
        grade = "HIGH" if n_disclosed == n_numbers else "MEDIUM"
    values = {
        "measurements": len(measured),
        "measurements_with_interval": with_interval,
        "confidences": len(confidences),
        "confidences_calibrated": calibrated,
    }
    return Dimension(grade=grade, rule=UNCERTAINTY_RULE, values=dict(values))


def _reproducibility(record: Record) -> Dimension:
    verdict = record.gate.verdict
    held = verdict.status == "VERIFIED"
    given = {
        "code_hash": int(record.code is not None and record.code.source_sha256 is not None),
        "environment": int(record.environment is not None and bool(record.environment.packages)),
        "seeds": len(record.seeds),
        "artifacts": sum(bool(each.files) for each in record.artifacts),
    }
    grade: Grade = "LOW"
    if held:
        grade = "MEDIUM" if verdict.depth == "score" else "HIGH"
    elif verdict.status != "FAILED" and all(given.values()):
        grade = "MEDIUM"
    values = {"gate_verified": int(held), "gate_failed": int(verdict.status == "FAILED"), **given}
    return Dimension(grade=grade, rule=REPRODUCIBILITY_RULE, values=dict(values))


def mean_confidence(record: Record) -> float | None:
    """Return the mean of the printed confidences, 0 to 1, or None where there are none."""
    values = [each.confidence.value for each in record.claims if each.confidence is not None]
    return fmean(values) if values else None


_FLAGSHIP_RULES: Mapping[str, float | int] = {
    "share_of_claims_grounded": 1.0,
    "bearing_claims_decided": 1,
    "share_of_bearing_written_before": 0.5,
    "artifacts_with_hashes": 1,
    "mean_confidence": CONFIDENCE,
}
_STANDARD_RULES: Mapping[str, float | int] = {
    "share_of_claims_grounded": 0.5,
    "mean_confidence": CONFIDENCE,
}


def tier_of(record: Record) -> Tier:
    """Return the highest tier whose every threshold is met, with the rules of the highest tier as its basis.

    `mean_confidence` is a rule only where confidences are printed.
    """
    values = _tier_values(record)
    basis = tuple(
        Basis(rule=rule, value=values[rule], threshold=least, met=values[rule] >= least)
        for rule, least in _FLAGSHIP_RULES.items()
        if rule in values
    )
    name = LISTED
    if record.claims and all(values.get(rule, least) >= least for rule, least in _STANDARD_RULES.items()):
        name = FLAGSHIP if all(each.met for each in basis) else STANDARD
    note = "Triage by the thresholds above; it says nothing on truth and never reaches the gate."
    return Tier(name=name, basis=basis, note=note)


def _tier_values(record: Record) -> dict[str, float | int]:
    bearing = [each for each in record.claims if each.bears_on_question]
    values: dict[str, float | int] = {
        "share_of_claims_grounded": _share([is_grounded(each) for each in record.claims]),
        "bearing_claims_decided": sum(_is_decided(each) for each in bearing),
        "share_of_bearing_written_before": _share([each.written == "before" for each in bearing]),
        "artifacts_with_hashes": sum(bool(each.files) for each in record.artifacts),
    }
    mean = mean_confidence(record)
    return values if mean is None else {**values, "mean_confidence": round(mean, 6)}


def _share(flags: list[bool]) -> float:
    return sum(flags) / len(flags) if flags else 0.0
