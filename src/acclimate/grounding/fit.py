"""Fit the support score on hand-labelled pairs and say how good it is.

Run as `python -m acclimate.grounding.fit PAIRS`. With `--write` the weights beside
`acclimate.grounding.model` are replaced. Everything is deterministic.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from acclimate.errors import AcclimateError, DataError
from acclimate.files import write_json
from acclimate.grounding.calibration import Quality, quality
from acclimate.grounding.features import FEATURES, Features, features
from acclimate.grounding.model import WEIGHTS, dot, logistic, rarity_of
from acclimate.grounding.pairs import Pair, folds, read_pairs
from acclimate.grounding.reading import Reading

RIDGE = 0.5
"""On every weight but the intercept. Source: our own choice, made once before any score was looked at."""
N_FOLDS = 10
LEAST_PRECISION = 0.85
"""Of ticks on pairs that the fit has not seen; the least threshold that keeps it is taken."""
_STEPS = 100
_CLOSE = 1e-10
_DIGITS = 4
Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ticks:
    """What a threshold does on pairs that the fit has not seen; a conflict forbids the tick."""

    threshold: float
    precision: float
    recall: float
    n_ticked: int


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted score and what cross-validation says about it."""

    intercept: float
    weights: tuple[float, ...]
    rarity: dict[str, float]
    ticks: Ticks
    unseen: Quality
    """Of predictions for pairs whose group was left out of the fit."""
    seen: Quality
    """Of predictions for the pairs that were fitted."""
    conflicts: dict[str, int]
    """Flagged and not, by label: `contradicts/flagged`, ..."""
    n_groups: int
    labels: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """Return what is stored as weights."""
        return {
            "features": list(FEATURES),
            "intercept": self.intercept,
            "weights": list(self.weights),
            "rarity": self.rarity,
            "threshold": self.ticks.threshold,
            "fit": {
                "ridge": RIDGE,
                "n_folds": N_FOLDS,
                "n_groups": self.n_groups,
                "labels": self.labels,
                "least_precision": LEAST_PRECISION,
                "ticks": _rounded(asdict(self.ticks)),
                "cross_validated": _rounded(asdict(self.unseen)),
                "fitted": _rounded(asdict(self.seen)),
                "conflicts": self.conflicts,
            },
        }


def fit(pairs: Sequence[Pair]) -> Fit:
    """Fit the score on labelled pairs, and again without each fold for its quality.

    Words' weights are counted anew in every fold too, from the texts that it fits.

    Raises:
        DataError: fewer than 60 pairs, or a label is missing.
    """
    truths = np.array([pair.label == "supports" for pair in pairs], dtype=np.float64)
    labels = Counter(pair.label for pair in pairs)
    if len(pairs) < 60 or len(labels) < 3:
        raise DataError(
            f"{len(pairs)} pairs with the labels {', '.join(sorted(labels)) or 'none'} are too few for "
            "a fit; label at least 60, of all three kinds."
        )
    read = [(pair.claim_read(), pair.passage_read()) for pair in pairs]
    fold_of = folds(pairs, N_FOLDS)
    unseen = np.zeros(len(pairs))
    for fold in range(N_FOLDS):
        kept = [at for at, each in enumerate(fold_of) if each != fold]
        left = [at for at, each in enumerate(fold_of) if each == fold]
        if left:
            intercept, weights, rarity = _fitted([read[at] for at in kept], truths[kept])
            for at in left:
                found = features(*read[at], rarity)
                unseen[at] = logistic(intercept + dot(weights, found.vector()))
    intercept, weights, rarity = _fitted(read, truths)
    held = [features(*each, rarity) for each in read]
    seen = [logistic(intercept + dot(weights, each.vector())) for each in held]
    truth_list = [bool(each) for each in truths]
    flagged = Counter(
        f"{pair.label}/{'flagged' if each.conflicts else 'not flagged'}"
        for pair, each in zip(pairs, held, strict=True)
    )
    return Fit(
        intercept,
        weights,
        rarity,
        threshold([float(each) for each in unseen], held, truth_list),
        quality([float(each) for each in unseen], truth_list),
        quality(seen, truth_list),
        dict(sorted(flagged.items())),
        len({pair.group for pair in pairs}),
        dict(sorted(labels.items())),
    )


def _fitted(
    read: Sequence[tuple[Reading, Sequence[Reading]]], truths: Array
) -> tuple[float, tuple[float, ...], dict[str, float]]:
    texts: dict[str, frozenset[str]] = {}
    for claim, passage in read:
        for sentence in (claim, *passage):
            texts[sentence.text] = frozenset(sentence.stems)
    rarity = rarity_of(list(texts.values()))
    values = np.array([features(claim, passage, rarity).vector() for claim, passage in read])
    intercept, *weights = regression(values, truths)
    return intercept, tuple(weights), rarity


def regression(values: Array, truths: Array) -> list[float]:
    """Return intercept and weights of a logistic regression with a ridge, rounded to four digits.

    Args:
        values: (pairs, features). truths: (pairs,) 0 or 1.

    Source: Newton's method (iteratively reweighted least squares).
    """
    design = np.hstack([np.ones((len(values), 1)), values])
    ridge = np.diag([0.0, *([RIDGE] * values.shape[1])])
    beta = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        p = 1.0 / (1.0 + np.exp(-np.clip(design @ beta, -30.0, 30.0)))
        slope = design.T @ (truths - p) - ridge @ beta
        curve = (design * (p * (1 - p))[:, None]).T @ design + ridge
        step = np.linalg.solve(curve, slope)
        beta = beta + step
        if float(np.abs(step).max()) < _CLOSE:
            break
    return [round(float(each), _DIGITS) for each in beta]


def threshold(predicted: Sequence[float], held: Sequence[Features], truths: Sequence[bool]) -> Ticks:
    """Return the least threshold, in steps of 0.01, from which on ticks are precise enough.

    Precise enough: `LEAST_PRECISION` or more of the ticked pairs support, at this and at every higher
    threshold
    that ticks ten pairs or more. Source: our own rule.
    """
    picked = None
    for hundredth in range(99, 0, -1):
        bar = hundredth / 100
        ticked = [
            truth
            for value, found, truth in zip(predicted, held, truths, strict=True)
            if value >= bar and not found.conflicts
        ]
        if len(ticked) >= 10:
            if sum(ticked) / len(ticked) < LEAST_PRECISION:
                break
            picked = Ticks(bar, sum(ticked) / len(ticked), sum(ticked) / sum(truths), len(ticked))
    if picked is None:
        raise DataError("No threshold makes ticks precise enough on these pairs; look at their labels.")
    return picked


def report(found: Fit) -> list[str]:
    """Return the figures of a fit as lines of Markdown."""
    lines = [f"{found.unseen.n} pairs in {found.n_groups} groups: "
             + ", ".join(f"{n} {label}" for label, n in found.labels.items()) + "."]  # fmt: skip
    lines += ["", "| weight | value |", "|---|---:|", f"| intercept | {found.intercept:.2f} |"]
    lines += [f"| {name} | {value:.2f} |" for name, value in zip(FEATURES, found.weights, strict=True)]
    lines += [
        "",
        f"Cross-validated in {N_FOLDS} folds; a claim's and a passage's pairs stay in one fold.",
        "",
    ]
    lines += [
        "| figure | cross-validated | always the base rate | on the fitted pairs |",
        "|---|---:|---:|---:|",
    ]
    unseen, seen = found.unseen, found.seen
    lines += [
        f"| Brier score | {unseen.brier:.3f} | {unseen.brier_base:.3f} | {seen.brier:.3f} |",
        f"| log loss | {unseen.log_loss:.3f} | {unseen.log_loss_base:.3f} | {seen.log_loss:.3f} |",
        f"| AUC | {unseen.auc:.3f} | 0.500 | {seen.auc:.3f} |",
        "",
        "| predicted | pairs | mean predicted | observed | 95 % interval |",
        "|---|---:|---:|---:|---|",
    ]
    for each in found.unseen.bins:
        span = f"{each.observed_low:.2f} to {each.observed_high:.2f}"
        bounds = f"{each.low:.2f} to {each.high:.2f}"
        lines.append(f"| {bounds} | {each.n} | {each.mean_predicted:.2f} | {each.observed:.2f} | {span} |")
    ticks = found.ticks
    lines += [
        "",
        f"Threshold {ticks.threshold:.2f}: {ticks.n_ticked} pairs ticked, precision {ticks.precision:.2f}, "
        f"recall {ticks.recall:.2f} (cross-validated; a flagged pair is never ticked).",
        "",
        "| label | flagged as a contradiction | not flagged |",
        "|---|---:|---:|",
    ]
    for label in found.labels:
        yes, no = (found.conflicts.get(f"{label}/{side}", 0) for side in ("flagged", "not flagged"))
        lines.append(f"| {label} | {yes} | {no} |")
    return lines


def check(found: Fit, pairs: Sequence[Pair]) -> list[str]:
    """Return how the fitted score does on pairs that had no part in anything, as lines of Markdown.

    Args:
        pairs: of both truths.
    """
    held = [features(pair.claim_read(), pair.passage_read(), found.rarity) for pair in pairs]
    scores = [logistic(found.intercept + dot(found.weights, each.vector())) for each in held]
    rows = list(zip(pairs, held, scores, strict=True))
    worth = quality(scores, [pair.label == "supports" for pair in pairs])
    ticked = Counter(
        pair.label for pair, each, score in rows if score >= found.ticks.threshold and not each.conflicts
    )
    flagged = Counter(pair.label for pair, each, _ in rows if each.conflicts)
    lines = [
        f"{worth.n} other pairs: Brier score {worth.brier:.3f} (base rate {worth.brier_base:.3f}), log loss "
        f"{worth.log_loss:.3f} ({worth.log_loss_base:.3f}), AUC {worth.auc:.3f}.",
        "",
        "| label | pairs | ticked | flagged as a contradiction |",
        "|---|---:|---:|---:|",
    ]
    for label, n in sorted(Counter(pair.label for pair in pairs).items()):
        lines.append(f"| {label} | {n} | {ticked[label]} | {flagged[label]} |")
    return lines


def _rounded(value: Any) -> Any:  # noqa: ANN401 -- plain JSON values, nested
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return round(value, _DIGITS) if isinstance(value, float) else value


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the arguments, fit, and say what came out; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m acclimate.grounding.fit", description=__doc__)
    parser.add_argument("pairs", type=Path, help="JSON lines: claim, passage, label, source, note")
    parser.add_argument(
        "--check", type=Path, help="pairs that have no part in the fit: say how it does on them"
    )
    parser.add_argument("--write", action="store_true", help=f"replace {WEIGHTS.name} of the package")
    chosen = parser.parse_args(arguments)
    try:
        found = fit(read_pairs(chosen.pairs))
        lines = report(found)
        if chosen.check is not None:
            lines += ["", *check(found, read_pairs(chosen.check))]
        if chosen.write:
            write_json(WEIGHTS, found.to_json())
    except AcclimateError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
