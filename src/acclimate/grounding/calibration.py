"""How good predicted probabilities are: reliability, Brier score, log loss, area under the curve. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist

EDGES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
_LEVEL = 0.95
_LEAST = 1e-6


@dataclass(frozen=True, slots=True)
class Bin:
    """The pairs whose predicted probability lies between two edges."""

    low: float
    high: float
    n: int
    mean_predicted: float
    observed: float
    """Share of the pairs that truly support; its Wilson 95 % interval stands in the next two."""
    observed_low: float
    observed_high: float


@dataclass(frozen=True, slots=True)
class Quality:
    """What predictions are worth, beside always predicting the share of supporting pairs."""

    n: int
    n_supporting: int
    brier: float
    brier_base: float
    log_loss: float
    log_loss_base: float
    auc: float
    """Chance that a supporting pair is scored above another one; ties count half."""
    bins: tuple[Bin, ...]
    """Those that hold pairs."""


def quality(predicted: Sequence[float], truths: Sequence[bool]) -> Quality:
    """Return what the predictions are worth.

    Args:
        predicted: probabilities, 0 to 1, at least one of each truth.
    """
    n, positive = len(truths), sum(truths)
    base = [positive / n] * n
    return Quality(
        n,
        positive,
        _brier(predicted, truths),
        _brier(base, truths),
        _log_loss(predicted, truths),
        _log_loss(base, truths),
        auc(predicted, truths),
        _bins(predicted, truths),
    )


def auc(predicted: Sequence[float], truths: Sequence[bool]) -> float:
    """Return the area under the curve of true against false positives: the share of pairs in right order."""
    yes = [value for value, truth in zip(predicted, truths, strict=True) if truth]
    no = [value for value, truth in zip(predicted, truths, strict=True) if not truth]
    wins = sum((one > other) + 0.5 * (one == other) for one in yes for other in no)
    return wins / (len(yes) * len(no))


def wilson(share: float, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share seen in `n` trials. Source: Wilson 1927."""
    z = NormalDist().inv_cdf((1 + _LEVEL) / 2)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def _brier(predicted: Sequence[float], truths: Sequence[bool]) -> float:
    return math.fsum((value - truth) ** 2 for value, truth in zip(predicted, truths, strict=True)) / len(
        truths
    )


def _log_loss(predicted: Sequence[float], truths: Sequence[bool]) -> float:
    held = [min(1 - _LEAST, max(_LEAST, value)) for value in predicted]
    losses = [-math.log(value if truth else 1 - value) for value, truth in zip(held, truths, strict=True)]
    return math.fsum(losses) / len(truths)


def _bins(predicted: Sequence[float], truths: Sequence[bool]) -> tuple[Bin, ...]:
    found = []
    for low, high in pairwise(EDGES):
        held = [
            (value, truth)
            for value, truth in zip(predicted, truths, strict=True)
            if low <= value < high or value == high == EDGES[-1]
        ]
        if not held:
            continue
        n = len(held)
        observed = sum(truth for _, truth in held) / n
        mean = math.fsum(value for value, _ in held) / n
        found.append(Bin(low, high, n, mean, observed, *wilson(observed, n)))
    return tuple(found)
