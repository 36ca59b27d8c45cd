"""The support score: a logistic regression on `features`, its weights stored beside this module.

Source: ordinary logistic regression with a ridge; fitted by `acclimate.grounding.fit` on hand-labelled pairs.
"""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from acclimate.errors import DataError
from acclimate.files import read_json
from acclimate.grounding.features import FEATURES, Features, features
from acclimate.grounding.reading import Reading

WEIGHTS = Path(__file__).with_name("weights.json")
_LEAST_RARITY = 0.05


class Model(BaseModel):
    """Weights of the score, the words' weights, the threshold, and the figures of the fit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    features: tuple[str, ...]
    """In the order of the weights."""
    intercept: float
    weights: tuple[float, ...]
    rarity: Mapping[str, float]
    """Weight of frequent stems, above 0 and below 1; others weigh 1."""
    threshold: float = Field(gt=0.0, lt=1.0)
    """A claim is ticked from this score on."""
    fit: Mapping[str, Any]
    """How it was fitted and how well it does; figures for people."""

    def score(self, found: Features) -> float:
        """Return the probability, 0 to 1, that a passage with these features supports its claim."""
        return logistic(self.intercept + dot(self.weights, found.vector()))

    def compare(self, claim: Reading, passage: Sequence[Reading]) -> tuple[float, Features]:
        """Return the score of a claim and a passage, and the features that it rests on."""
        found = features(claim, passage, self.rarity)
        return self.score(found), found


@lru_cache(maxsize=1)
def shipped() -> Model:
    """Return the model that ships with the package.

    Raises:
        DataError: its file is broken or belongs to another version.
    """
    model = Model.model_validate(read_json(WEIGHTS))
    if model.features != FEATURES:
        raise DataError(
            f"{WEIGHTS} holds weights of other features; fit them again with "
            "`python -m acclimate.grounding.fit tests/grounding_pairs.jsonl --write`."
        )
    return model


def logistic(value: float) -> float:
    """Return 1 / (1 + exp(-value)), safe for any value."""
    if value >= 0:
        return 1.0 / (1.0 + math.exp(-value))
    return math.exp(value) / (1.0 + math.exp(value))


def dot(weights: Sequence[float], values: Sequence[float]) -> float:
    """Return the sum of the products."""
    return math.fsum(weight * value for weight, value in zip(weights, values, strict=True))


def rarity_of(texts: Sequence[frozenset[str]]) -> dict[str, float]:
    """Return the weight of every stem that three or more of the texts hold: ln(N/n) / ln(N), at least 0.05.

    Stems that fewer texts hold weigh 1.

    Source: inverse document frequency, scaled to 1; the bounds are our own rule.
    """
    counts: dict[str, int] = {}
    for text in texts:
        for each in text:
            counts[each] = counts.get(each, 0) + 1
    n = len(texts)
    return {
        each: round(max(_LEAST_RARITY, math.log(n / count) / math.log(n)), 4)
        for each, count in sorted(counts.items())
        if count >= 3 and n > 1
    }
