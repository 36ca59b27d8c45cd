"""How often diversity's 95 % interval holds the truth, by simulation.

Pictures carry two tasks each; the types' shares fall off like those of the lab (a few common types, a long
tail of rare ones). The truth is the rarefied diversity of 200,000 tasks drawn in the same way.

    .venv/bin/python benchmarks/diversity_interval.py
"""

import json

import numpy as np

from acclimate.curate.intervals import Draws, rarefied_span

N_TYPES, N_SAMPLE, N_SIMULATIONS, N_DRAWS = 20, 200, 400, 400


def tasks(rng: np.random.Generator, shares: np.ndarray, n_pictures: int) -> list[tuple[str, str]]:
    """Return (picture, type) of two tasks a picture."""
    drawn = rng.choice(N_TYPES, p=shares, size=(n_pictures, 2))
    return [(f"p{at}", f"t{kind}") for at, both in enumerate(drawn) for kind in both]


def coverage(decay: float, n_pictures: int) -> float:
    """Return the share of simulations whose interval holds the truth; each type has `decay` of the last."""
    shares = decay ** np.arange(N_TYPES)
    shares /= shares.sum()
    missed = (1 - shares) ** N_SAMPLE
    truth = float((1 - missed).sum() / N_TYPES)
    known = [f"t{kind}" for kind in range(N_TYPES)]
    rng = np.random.default_rng(0)
    held = 0
    for number in range(N_SIMULATIONS):
        span = rarefied_span(
            tasks(rng, shares, n_pictures), known, N_SAMPLE, Draws(0, N_DRAWS), key=str(number)
        )
        held += span.low <= truth <= span.high
    return held / N_SIMULATIONS


def main() -> None:
    """Print a row per setting, then one line of JSON each."""
    for decay in (0.9, 0.75, 0.6):
        for n_pictures in (250, 1000):
            share = coverage(decay, n_pictures)
            figure = f"types falling by {decay}, {n_pictures} pictures"
            detail = {"simulations": N_SIMULATIONS, "draws": N_DRAWS}
            row = {"benchmark": "diversity_interval", "figure": figure, "ratio": share, "target": 0.95}
            print(json.dumps({**row, "detail": detail}), flush=True)


if __name__ == "__main__":
    main()
