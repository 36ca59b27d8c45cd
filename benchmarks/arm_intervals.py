"""How often the interval of a difference between two arms holds the truth, by number of training seeds.

    python benchmarks/arm_intervals.py [--runs 300] [--draws 500]

Two arms with the same true reliance. Every seed of either answers a share of the questions by the picture,
drawn anew (standard deviation 0.10, more than what the questions add): seeds vary more than questions. Prints
the share of 95 % intervals of dVRS (macro over two benchmarks) that hold 0.
"""

import argparse
import json

import numpy as np

from acclimate.report.reliance import How, measure_reliance
from acclimate.report.reliance_rows import Row

N, BENCHMARKS, SPREAD, MEAN = 60, ("one", "two"), 0.10, 0.5


def rows_of(model: str, share: float, rng: np.random.Generator) -> list[Row]:
    """Return a model's rows: right on its own picture with this probability, never with another's."""
    found = []
    for benchmark in BENCHMARKS:
        for at in range(N):
            is_right = bool(rng.random() < share)
            for condition in ("original", "mismatch"):
                right = is_right and condition == "original"
                found.append(
                    Row(
                        model=model,
                        item=f"q{at}",
                        benchmark=benchmark,
                        condition=condition,
                        replicate=0,
                        s=float(right),
                        y="y" if right else condition,
                        valid=True,
                        cluster=f"p{at}",
                        chance=0.0,
                        kind="open",
                        gold="y",
                        image=f"{condition}{at}",
                    )
                )
    return found


def holds(n_seeds: int, run: int, n_draws: int) -> bool:
    """Say whether one simulated study's interval holds the true difference, 0."""
    rng = np.random.default_rng([n_seeds, run])
    arms = {arm: [f"{arm}-{seed}" for seed in range(n_seeds)] for arm in ("first", "second")}
    rows = [
        row
        for models in arms.values()
        for model in models
        for row in rows_of(model, float(np.clip(rng.normal(MEAN, SPREAD), 0, 1)), rng)
    ]
    how = How(comparisons=[("first", "second")], arms=arms, seed=run, n_draws=n_draws)
    found = next(
        each
        for each in measure_reliance(rows, how)
        if (each.level, each.kind, each.model, each.measure) == ("macro", "all", "first-second", "dVRS")
    )
    return found.low <= 0.0 <= found.high


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--draws", type=int, default=500)
    asked = parser.parse_args()
    shares = {
        n: sum(holds(n, run, asked.draws) for run in range(asked.runs)) / asked.runs for n in (1, 3, 5, 10)
    }
    for n, share in shares.items():
        print(f"{n:>2} seeds a side: {100 * share:.1f} % of {asked.runs} intervals hold the truth")
    print(json.dumps({"benchmark": "arm_intervals", "coverage": shares, "runs": asked.runs}))


if __name__ == "__main__":
    main()
