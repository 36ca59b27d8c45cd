"""The measures of visual reliance of one model on one benchmark, from resampled columns. Pure.

    A_CONDITION   mean mark: A_orig, A_mismatch, A_blank, A_text, ...
    VRS           A_orig - A_mismatch: the score, `acc_real_minus_mismatch/v1`
    G_CONDITION   A_orig - A_CONDITION: G_blank, G_noise, G_patch, ...; of text_only it is called MG
    ML            max(0, A_text - A_text of the base language model)
    RET_CONDITION A_CONDITION / A_orig
    nVRS          VRS / (A_orig - chance)
    VBR, VDR      right to wrong, and wrong to right, when the picture is exchanged: VRS = VBR - VDR
    IS            share of answers that change with the picture; IS_retest: with nothing; IS_net = IS - that
    P_claim       share of replies to the original that claim to see something
    HVRR          ... and whose answer stays the same with another picture; HVRR_cond = HVRR / P_claim
    VRS_ll        loss of the right answer's log-likelihood with another picture, nats per token
    VRS_max       A_orig - q: what a model that always answers by the picture shown would reach (approximate)
    VRS_both_valid  VRS over answers that could be read under both conditions
    valid_CONDITION share of replies an answer could be read from

Sources: Zafar et al. 2026 (arXiv 2603.03437) for VRS, IS and HVRR; MMStar (arXiv 2403.20330), equations 1 and
2, for MG and ML; the guard of nVRS, the nets and the ceiling are our own rules.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from acclimate.report.reliance_rows import ORIGINAL, POLICIES, TEXT_ONLY, Table
from acclimate.report.statistics import Resampled, interval_of_sum

NO_POLICY = "none"
"""The donor policy of measures without donors."""
MISMATCH = "mismatch"
SHORT: Mapping[str, str] = {
    ORIGINAL: "orig",
    TEXT_ONLY: "text",
    "patch_shuffle": "patch",
    "pixel_shuffle": "pixel",
}
"""Conditions whose measures have a shorter name."""
NO_CHANCE = "no_chance"
NO_SKILL = "not_resolved_from_chance"
BELOW_CHANCE = "below_chance"
NO_SCORE = "no_original_score"
NO_CLAIMS = "no_claims"
NO_VALID_PAIRS = "no_valid_pairs"
NO_VARIATION = "no_variation"
Columns: TypeAlias = Mapping[str, Resampled]


@dataclass(frozen=True, slots=True)
class Estimate:
    """One measure of one model on one benchmark."""

    part: Resampled
    replicates: int = 1
    """Of the condition that it compares the original with."""
    flag: str = ""
    """Why the value is NaN, or what to beware of; several are joined by commas."""
    is_linear: bool = True
    """Whether it is a mean of something of each item."""
    tested: tuple[Resampled, Resampled] | None = field(default=None, compare=False)
    """Two columns; whether they could be exchanged is the test of the measure being 0."""


Measures: TypeAlias = dict[tuple[str, str], Estimate]
"""By measure and donor policy."""


def measures_of(
    columns: Columns, replicates: Mapping[str, int], *, collision: float, base_text: Resampled | None = None
) -> Measures:
    """Return one model's measures; what its conditions do not give is left out.

    Args:
        columns: as `reliance_rows.columns_of` names them, resampled together.
        replicates: by condition.
        collision: probability that two items' right answers are equal.
        base_text: the base language model's `s/text_only`, resampled with them.
    """
    found: Measures = {}
    for condition, n in replicates.items():
        policy = POLICIES.get(condition, NO_POLICY)
        short = _short(condition)
        one = 1 if condition == ORIGINAL else n
        found[f"A_{short}", policy] = Estimate(columns[f"s/{condition}"], one)
        found[f"valid_{short}", policy] = Estimate(columns[f"valid/{condition}"], one)
    original = columns.get(f"s/{ORIGINAL}")
    text = columns.get(f"s/{TEXT_ONLY}")
    if text is not None and base_text is not None:
        found["ML", NO_POLICY] = Estimate(_clipped(text - base_text), replicates[TEXT_ONLY], is_linear=False)
    if original is None:
        return found
    found["P_claim", NO_POLICY] = Estimate(columns["claim"])
    if "retest" in columns:
        found["IS_retest", NO_POLICY] = Estimate(_paired(columns["retest"]), replicates[ORIGINAL] - 1)
    for condition, n in replicates.items():
        if condition == ORIGINAL:
            continue
        policy = POLICIES.get(condition, NO_POLICY)
        other = columns[f"s/{condition}"]
        gain = (
            "VRS" if condition in POLICIES else "MG" if condition == TEXT_ONLY else f"G_{_short(condition)}"
        )
        found[gain, policy] = Estimate(original - other, n, tested=(original, other))
        found[f"RET_{_short(condition)}", policy] = _ratio(other, original, n, NO_SCORE)
        if condition in POLICIES:
            own = {
                name.rpartition("/")[0]: each
                for name, each in columns.items()
                if name.endswith(f"/{condition}")
            }
            found |= {(name, policy): each for name, each in _exchange(columns, own, n, collision).items()}
    return found


def _short(condition: str) -> str:
    return MISMATCH if condition in POLICIES else SHORT.get(condition, condition)


def _exchange(columns: Columns, own: Columns, n: int, collision: float) -> dict[str, Estimate]:
    """Return the further measures of one mismatch condition."""
    original, claim = columns[f"s/{ORIGINAL}"], columns["claim"]
    changed = _paired(own["changed"])
    found = {
        "nVRS": _above_chance(original - own["s"], original, columns.get("chance"), n),
        "VBR": Estimate(_paired(own["benefit"]), n),
        "VDR": Estimate(_paired(own["harm"]), n),
        "IS": Estimate(changed, n),
        "HVRR": Estimate(own["claim_same"], n),
        "HVRR_cond": _ratio(own["claim_same"], claim, n, NO_CLAIMS),
        "VRS_both_valid": _ratio(own["both"], own["both_n"], n, NO_VALID_PAIRS),
        "VRS_max": Estimate(_shifted(original, -collision), n),
    }
    if "retest" in columns:
        found["IS_net"] = Estimate(changed - columns["retest"], n)
    if "ll" in own:
        found["VRS_ll"] = Estimate(_paired(own["ll"]), n)
    return found


def _above_chance(vrs: Resampled, original: Resampled, chance: Resampled | None, n: int) -> Estimate:
    """Return nVRS; NaN unless the interval of A_orig - chance lies above 0, so there is skill to share."""
    if chance is None:
        return Estimate(_undefined(vrs), n, NO_CHANCE, is_linear=False)
    known = replace(chance, is_extreme=False)
    skill = interval_of_sum([[(original, 1.0), (known, -1.0)]])
    if skill.low <= 0.0:
        why = BELOW_CHANCE if skill.high < 0.0 else NO_SKILL
        return Estimate(_undefined(vrs), n, why, is_linear=False)
    return _ratio(vrs, original - known, n, NO_SKILL)


def _ratio(above: Resampled, below: Resampled, n: int, why: str) -> Estimate:
    """Return a ratio, recomputed in every draw; NaN where the denominator is 0."""
    if below.value == 0.0:
        return Estimate(_undefined(above), n, why, is_linear=False)
    draws = np.divide(above.draws, below.draws, out=np.full_like(above.draws, np.nan), where=below.draws != 0)
    part = Resampled(above.value / below.value, draws, above.n, above.n_clusters, is_difference=True)
    return Estimate(part, n, is_linear=False)


def _undefined(like: Resampled) -> Resampled:
    draws = np.full_like(like.draws, np.nan)
    return Resampled(math.nan, draws, like.n, like.n_clusters, is_difference=True)


def _paired(part: Resampled) -> Resampled:
    """Return a rate of differences between two answers to an item: where none differ, its interval is [0, 0].

    As that of a difference of marks is, and so that VRS = VBR - VDR holds for the ends too.
    """
    return replace(part, is_difference=True)


def _shifted(part: Resampled, by: float) -> Resampled:
    return replace(part, value=part.value + by, draws=part.draws + by, is_difference=True, terms=())


def _clipped(part: Resampled) -> Resampled:
    return replace(part, value=max(0.0, part.value), draws=np.maximum(part.draws, 0.0), terms=())


def collision_of(table: Table, *, within_stratum: bool = False) -> float:
    """Return the probability that two items of a benchmark (of a stratum) have the same right answer.

    The sum of the squared shares of the right answers; over strata, weighted by their items.
    """
    golds: dict[str, Counter[str]] = {}
    for facts in table.facts.values():
        golds.setdefault(facts.stratum if within_stratum else "", Counter())[facts.gold] += 1
    n = len(table.facts)
    return math.fsum(sum(k * k for k in each.values()) / each.total() for each in golds.values()) / n


def gain(one: Estimate, other: Estimate) -> Estimate:
    """Return the difference of one measure between two models on the same items."""
    part = one.part - other.part
    is_linear = one.is_linear and other.is_linear and bool(one.part.terms) and bool(other.part.terms)
    return Estimate(
        replace(part, terms=part.terms if is_linear else ()),
        one.replicates,
        joined([one.flag, other.flag]),
        is_linear=is_linear,
        tested=(one.part, other.part) if is_linear else None,
    )


def joined(flags: list[str]) -> str:
    """Return the flags that several estimates have, each once."""
    return ",".join(dict.fromkeys(name for flag in flags for name in flag.split(",") if name))
