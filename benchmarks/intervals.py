"""How long 10,000 draws of a cluster bootstrap take, against drawing multinomial counts and against SciPy.

The table has 25,250 items (the largest benchmark we report) in as many clusters, with one column and with
eight. `resample` is timed whole: from values by item to draws. The other two get arrays: `multinomial` draws
how often each cluster comes, which is what we did before; `scipy` is `scipy.stats.bootstrap(method=
"percentile", vectorized=True, paired=False)` on the one column, where clusters are items, so that the two
intervals must agree. Times are those of the fastest round; the multinomial counts are drawn for a twentieth
of the draws and their time scaled up, for it is linear in them.

    nice .venv/bin/python benchmarks/intervals.py
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping

import numpy as np
import scipy.stats

from acclimate.report.comparisons import sign_flip_p
from acclimate.report.statistics import N_DRAWS, interval, resample

TARGET_S = 5.0
FEWER = 20
"""The multinomial counts are drawn for one draw of so many."""


def seconds(run: Callable[[], object], rounds: int) -> float:
    """Return the time of the fastest round."""
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        found.append(time.perf_counter() - start)
    return min(found)


def multinomial(table: np.ndarray, n_draws: int) -> np.ndarray:
    """Return means over resampled rows, from multinomial counts."""
    n = len(table)
    generator = np.random.default_rng(0)
    chunk = max(1, 4_000_000 // n)
    drawn = []
    for start in range(0, n_draws, chunk):
        times = generator.multinomial(n, np.full(n, 1 / n), size=min(chunk, n_draws - start))
        drawn.append(times.astype(np.float64) @ table / n)
    return np.concatenate(drawn)


def with_scipy(values: np.ndarray, n_draws: int) -> object:
    """Return SciPy's percentile interval of the mean."""
    return scipy.stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=n_draws,
        batch=100,
        vectorized=True,
        paired=False,
        method="percentile",
        rng=np.random.default_rng(0),
    )


def report(
    figure: str, ours_s: float, theirs_s: float, target: float | None, detail: Mapping[str, object]
) -> None:
    """Print one line of JSON: by how much ours is faster."""
    row = {"benchmark": "intervals", "figure": figure, "ratio": round(theirs_s / ours_s, 3), "target": target}
    print(
        json.dumps({**row, "detail": {**detail, "ours_s": round(ours_s, 3), "theirs_s": round(theirs_s, 3)}})
    )


def main() -> None:
    """Print a table, then one line of JSON a figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=25_250)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    n = options.items
    generator = np.random.default_rng(0)
    table = (generator.random((n, 8)) < 0.6).astype(np.float64)
    names = [f"i{at:06d}" for at in range(n)]
    clusters = {name: f"c{name}" for name in names}
    columns = {str(at): dict(zip(names, table[:, at].tolist(), strict=True)) for at in range(8)}
    found = resample(columns, clusters, key="k", seed=0)
    scipys = scipy.stats.bootstrap(
        (table[:, 0],), np.mean, n_resamples=1000, batch=100, method="percentile", rng=generator
    ).confidence_interval
    own = interval([found["0"]])
    if abs(own.low - scipys.low) > 0.002 or abs(own.high - scipys.high) > 0.002:
        raise SystemExit(f"the intervals differ: ours {own}, SciPy's {scipys}")
    ours = {
        wide: seconds(
            lambda wide=wide: resample(dict(list(columns.items())[:wide]), clusters, key="k", seed=0),  # type: ignore[misc]
            options.rounds,
        )
        for wide in (1, 8)
    }
    before = {
        wide: FEWER
        * seconds(lambda wide=wide: multinomial(table[:, :wide], N_DRAWS // FEWER), options.rounds)  # type: ignore[misc]
        for wide in (1, 8)
    }
    scipy_s = seconds(lambda: with_scipy(table[:, 0], N_DRAWS), options.rounds)
    flips_s = seconds(lambda: sign_flip_p(found["0"], found["1"], key="k", seed=0), options.rounds)
    print(f"{N_DRAWS} draws of {n} clusters of one item; seconds")
    print(f"{'':34s} {'1 column':>9s} {'8 columns':>9s}")
    print(f"{'resample':34s} {ours[1]:9.2f} {ours[8]:9.2f}")
    print(f"{'multinomial counts (before)':34s} {before[1]:9.2f} {before[8]:9.2f}")
    print(f"{'scipy.stats.bootstrap':34s} {scipy_s:9.2f} {'':>9s}")
    print(f"{'sign-flip test of two columns':34s} {flips_s:9.2f} {'':>9s}\n")
    setup = {"items": n, "draws": N_DRAWS, "rounds": options.rounds}
    for wide in (1, 8):
        report(f"time against multinomial counts, {wide} column(s)", ours[wide], before[wide], 1.0, setup)
    report("time against scipy.stats.bootstrap, 1 column", ours[1], scipy_s, 1.0, setup)
    for wide in (1, 8):
        report(f"{TARGET_S:g} s over the time of {wide} column(s)", ours[wide], TARGET_S, 1.0, setup)


if __name__ == "__main__":
    main()
