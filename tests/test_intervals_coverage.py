"""How often the 95 % intervals hold the truth on SLAKE's real layout: questions about a picture go together.

Every picture has its own chance of a right answer, drawn from a beta distribution; answers to its questions
then have the correlation 0.4. The truth is the mean of that distribution.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from acclimate.report.statistics import Column, Resampled, interval, resample

pytestmark = pytest.mark.data

WITHIN = 0.4
Columns = Mapping[str, Column]
World = Callable[[np.random.Generator, np.ndarray], Columns]
"""Draws the columns of all questions from the place of their pictures."""


def pictures(shared_data: Path) -> list[str]:
    """The picture of every English test question."""
    rows = json.loads((shared_data / "slake_text" / "test.json").read_text(encoding="utf-8"))
    return [row["img_name"] for row in rows if row["q_lang"] == "en"]


def column(values: np.ndarray) -> Column:
    return Column({f"q{at:04d}": float(value) for at, value in enumerate(values)})


def marks(rng: np.random.Generator, picture: np.ndarray, truth: float) -> np.ndarray:
    """Marks of 0 or 1 with mean `truth` that are correlated within a picture (beta-binomial)."""
    strength = 1 / WITHIN - 1
    chances = rng.beta(truth * strength, (1 - truth) * strength, size=picture.max() + 1)
    return rng.random(len(picture)) < chances[picture]


def accuracy(truth: float) -> World:
    return lambda rng, picture: {"a": column(marks(rng, picture, truth))}


def f1(truth: float) -> World:
    """Half the golds are yes, so that F1, 2 TP / (2 TP + FP + FN), is the share of right answers."""

    def draw(rng: np.random.Generator, picture: np.ndarray) -> Columns:
        right, is_yes = marks(rng, picture, truth), rng.random(len(picture)) < 0.5
        hits = 2.0 * (right & is_yes)
        plain = column(right)
        parts = np.stack([hits, hits + ~right], axis=1).tolist()
        return {"a": Column(plain.values, dict(zip(plain.values, map(tuple, parts), strict=True)))}

    return draw


def gain(first: float, second: float) -> World:
    """Two models that share a part of every picture's luck: half of the second's marks are the first's."""

    def draw(rng: np.random.Generator, picture: np.ndarray) -> Columns:
        one, other = marks(rng, picture, first), marks(rng, picture, 2 * second - first)
        return {"a": column(one), "b": column(np.where(rng.random(len(picture)) < 0.5, one, other))}

    return draw


def value_of(found: Mapping[str, Resampled]) -> Resampled:
    return found["a"] - found["b"] if "b" in found else found["a"]


def coverage(names: list[str], world: World, truth: float, *, n: int, by_item: bool = False) -> float:
    """The share of n simulated benchmarks whose interval holds the truth."""
    places = {name: at for at, name in enumerate(sorted(set(names)))}
    picture = np.array([places[name] for name in names])
    clusters = {
        f"q{at:04d}": f"q{at:04d}" if by_item else f"p{place:03d}" for at, place in enumerate(picture)
    }
    rng = np.random.default_rng(0)
    held = 0
    for number in range(n):
        found = resample(world(rng, picture), clusters, key=f"simulation {number}", seed=0, n_draws=1000)
        each = interval([value_of(found)])
        held += each.low <= truth <= each.high
    return held / n


def test_the_layout_is_the_one_the_numbers_are_about(shared_data: Path) -> None:
    names = pictures(shared_data)
    assert (len(names), len(set(names))) == (1061, 96)


@pytest.mark.parametrize(
    ("world", "truth"),
    [
        pytest.param(accuracy(0.6), 0.6, id="accuracy 60"),
        pytest.param(accuracy(0.8), 0.8, id="accuracy 80"),
        pytest.param(f1(0.6), 0.6, id="F1 60"),
        pytest.param(gain(0.7, 0.6), 0.1, id="gain 10"),
    ],
)
def test_two_thousand_intervals_cover_the_truth_as_often_as_they_say(
    shared_data: Path, world: World, truth: float
) -> None:
    found = coverage(pictures(shared_data), world, truth, n=2000)
    assert 0.93 <= found <= 0.97


def test_intervals_over_questions_cover_far_too_seldom(shared_data: Path) -> None:
    assert coverage(pictures(shared_data), accuracy(0.6), 0.6, n=400, by_item=True) < 0.70
