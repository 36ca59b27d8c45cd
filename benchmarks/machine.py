"""Scores of the machine itself, so that absolute times of other benchmarks can be read.

    .venv/bin/python benchmarks/machine.py --threads 2

Prints one line of JSON per figure: matrix products in float32 and bfloat16, products of the sizes that the
lab's small model makes, memory bandwidth, a Python loop, and how much of a core a process gets, which is
less than 1 where other work runs beside. A ratio here is the score itself, in the unit that stands with it;
more is better, and there is no target.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable

import torch

UNITS = {
    "matmul_fp32": "GFLOP/s, 2048 x 2048 x 2048",
    "matmul_bf16": "GFLOP/s, 2048 x 2048 x 2048",
    "matmul_small_bf16": "GFLOP/s, 1232 x 192 x 512: a feed-forward layer of the lab's model on 8 rows",
    "memory": "GB/s read and written by an addition of two tensors of 256 MB to a third",
    "python": "million additions in a loop per second, one thread",
    "core_share": "CPU seconds per second of a process that only computes on one thread",
}
SECONDS = 1.0
"""Each figure is the median of five repeats of about this long."""


def rate(work: Callable[[], object], amount: float) -> float:
    """Return the amount of work done per second: the median of five repeats."""
    work()
    began = time.perf_counter()
    work()
    n = max(1, round(SECONDS / max(1e-6, time.perf_counter() - began)))
    rates = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(n):
            work()
        rates.append(amount * n / (time.perf_counter() - began))
    return statistics.median(rates)


def matmul(shape: tuple[int, int, int], dtype: torch.dtype) -> float:
    """Return GFLOP/s of a matrix product; 2 m n k operations each."""
    m, k, n = shape
    left, right = torch.randn(m, k).to(dtype), torch.randn(k, n).to(dtype)
    return rate(lambda: torch.mm(left, right), 2.0 * m * n * k / 1e9)


def memory() -> float:
    """Return GB/s of a sum of two large tensors: two reads and one write."""
    n = 2**26
    left, right, out = torch.randn(n), torch.randn(n), torch.empty(n)
    return rate(lambda: torch.add(left, right, out=out), 3 * 4 * n / 1e9)


def _loop() -> int:
    total = 0
    for number in range(1_000_000):
        total += number
    return total


def core_share() -> float:
    """Return the CPU seconds per second that this process gets while it does nothing but compute."""
    began, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - began < 2 * SECONDS:
        _loop()
    return (time.process_time() - cpu) / (time.perf_counter() - began)


def main() -> None:
    """Print every score."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    threads = parser.parse_args().threads
    torch.set_num_threads(threads)
    scores = {
        "core_share": core_share(),
        "python": rate(_loop, 1.0),
        "matmul_fp32": matmul((2048, 2048, 2048), torch.float32),
        "matmul_bf16": matmul((2048, 2048, 2048), torch.bfloat16),
        "matmul_small_bf16": matmul((1232, 192, 512), torch.bfloat16),
        "memory": memory(),
    }
    for name, score in scores.items():
        detail = {
            "unit": UNITS[name],
            "threads": threads,
            "processor": platform.processor() or platform.machine(),
            "torch": torch.__version__,
        }
        row = {
            "benchmark": "machine",
            "figure": name,
            "ratio": round(score, 3),
            "target": None,
            "detail": detail,
        }
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
