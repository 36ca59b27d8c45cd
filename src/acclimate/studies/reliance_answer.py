"""The reliance study's answer in plain words, from its measures alone (pure)."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

from acclimate.report.reliance import Reliance
from acclimate.studies.reliance import AUTHENTIC, BASE, DESIGNS, SYNTHETIC, Study

WITHIN, NO_POLICY = "within_benchmark", "none"
Verdict: TypeAlias = Literal["more", "less", "no difference found", "not measured"]
TOKENS_APART = 0.1
"""From which difference in trained tokens on the answer says so. Source: our own rule."""
_WHAT: Mapping[str, str] = {
    "unfiltered": "Leaving out the filter",
    "two stages": "Training in two stages",
    "no captions": "Leaving captions out of the mixture",
}


def macro(rows: Sequence[Reliance], model: str, measure: str) -> Reliance | None:
    """Return a measure over all benchmarks, with donors of the default policy; None where it is not there."""
    return next(
        (
            each
            for each in rows
            if (each.level, each.kind, each.model, each.measure) == ("macro", "all", model, measure)
            and each.donor_policy in (WITHIN, NO_POLICY)
        ),
        None,
    )


def verdict(found: Reliance | None) -> Verdict:
    """Return what a difference in reliance says: told only where its whole interval is on one side of 0."""
    if found is None or math.isnan(found.value):
        return "not measured"
    return "more" if found.low > 0 else "less" if found.high < 0 else "no difference found"


def answer(study: Study) -> list[str]:
    """Return the answer as paragraphs."""
    return [
        _main(study),
        _beside(study),
        *_without_picture(study),
        *_designs(study),
        _matching(study),
    ]


def _main(study: Study) -> str:
    found = macro(study.measured, f"{SYNTHETIC}-{AUTHENTIC}", "dVRS")
    said = verdict(found)
    if found is None or said == "not measured":
        return "**The difference in visual reliance could not be measured.**"
    numbers = f"{spread(found)} points"
    n_seeds = f"{len(study.seeds)} seed{'s' if len(study.seeds) > 1 else ''} a side"
    if said == "no difference found":
        return (
            "**No difference in visual reliance was found between training on synthetic and on authentic "
            f"tasks.** VRS, synthetic minus authentic: {numbers}, {n_seeds}. A true difference of "
            f"{100 * found.mde:.1f} points would have been found four times out of five; smaller ones cannot "
            "be excluded."
        )
    return (
        f"**The model trained on synthetic tasks relies on the picture {said} than the one trained on "
        f"authentic tasks.** VRS, synthetic minus authentic: {numbers}, {n_seeds} (smallest difference found "
        f"four times out of five: {100 * found.mde:.1f})."
    )


def _beside(study: Study) -> str:
    """Say whether reliance differs because accuracy does."""
    pair = f"{SYNTHETIC}-{AUTHENTIC}"
    rows = study.measured
    scores = [macro(rows, side, "A_orig") for side in (SYNTHETIC, AUTHENTIC)]
    own = macro(rows, pair, "dA_orig")
    nets = [macro(rows, side, "nVRS") for side in (SYNTHETIC, AUTHENTIC)]
    net = macro(rows, pair, "dnVRS")
    text = (
        f"With the right picture they score {_percent(scores[0])} and {_percent(scores[1])} (difference "
        f"{spread(own)})."
    )
    is_there = all(each is not None and not math.isnan(each.value) for each in (*nets, net))
    if not is_there:
        return text + " VRS rises with that score; the share of it above chance could not be resolved here."
    return (
        f"{text} VRS rises with that score; as a share of what lies above chance (nVRS) it is "
        f"{_percent(nets[0])} and {_percent(nets[1])} (difference {spread(net)}): {_said(verdict(net))}."
    )


def _said(said: Verdict) -> str:
    return {
        "more": "reliance differs beyond accuracy, in favour of synthetic",
        "less": "reliance differs beyond accuracy, in favour of authentic",
        "no difference found": "beyond accuracy no difference was found",
    }.get(said, "not measured")


def _without_picture(study: Study) -> Iterator[str]:
    rows = study.measured
    arms = (BASE, SYNTHETIC, AUTHENTIC)
    text = [macro(rows, each, "A_text") for each in arms]
    if all(each is not None for each in text):
        told = ", ".join(f"{arm} {_percent(each)}" for arm, each in zip(arms, text, strict=True))
        difference = macro(rows, f"{SYNTHETIC}-{AUTHENTIC}", "dA_text")
        yield (
            f"Without any picture: {told}; synthetic minus authentic {spread(difference)}. What training "
            "adds there was learned from texts alone."
        )


def _designs(study: Study) -> Iterator[str]:
    for row in study.measured:
        arm = row.model.rpartition("-")[0]
        if row is macro(study.measured, row.model, "dVRS") and arm in DESIGNS:
            said = verdict(row)
            what = _WHAT[arm]
            if said == "no difference found":
                yield (
                    f"{what} changes reliance by {spread(row)} points: not told from 0 (smallest difference "
                    f"found four times out of five: {100 * row.mde:.1f})."
                )
            elif said != "not measured":
                word = {"more": "raises", "less": "lowers"}[said]
                yield f"{what} {word} reliance: {spread(row)} points."


def _matching(study: Study) -> str:
    ratio = study.token_ratio()
    by_side = {side: [each for each in study.learned if each.arm == side] for side in (SYNTHETIC, AUTHENTIC)}
    same = all(
        {getattr(each, what) for each in by_side[SYNTHETIC]}
        == {getattr(each, what) for each in by_side[AUTHENTIC]}
        for what in ("conversations", "images", "steps")
    )
    told = "the same number of conversations, pictures and steps" if same else "not quite the same amounts"
    text = f"Both sides had {told}; trained tokens {ratio:.3f} : 1."
    if abs(ratio - 1) > TOKENS_APART:
        text += (
            " **Their tokens are not matched**: the two sets' answers differ in length, and part of any "
            "difference may be that."
        )
    return text


def spread(found: Reliance | None) -> str:
    """Return a difference in points with its interval."""
    if found is None or math.isnan(found.value):
        return "not measured"
    return f"{100 * found.value:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f})"


def _percent(found: Reliance | None) -> str:
    return "not measured" if found is None or math.isnan(found.value) else f"{100 * found.value:.1f}"
