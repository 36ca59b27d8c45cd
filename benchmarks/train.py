"""Trained tokens per second of our training against TRL's SFTTrainer and LLaMA-Factory, side by side.

All of them train the lab's shipped MLLM in full on the same conversations, each in its own interpreter. A
machine is never equally fast for long, so they take turns of two seconds: one runs, the others are stopped,
and the time that a process stood still is not its own. So all contestants of a round meet the same machine;
the median of the rounds' ratios is reported. Global batch, precision, threads, worker processes, learning
rate, schedule and seed are the same for all; TRL and LLaMA-Factory run at their defaults and at the best
settings that `--search` found.

Time runs from the end of the third optimizer step to the end of the last one, so loading, tokenising up
front and warming up are left out for all, and waiting for data in between is not. Trained tokens are counted
by one function from the batches that a contestant's model was given, against a table of the rows as plain
transformers encodes them: a conversation whose tokens or mask are not the same stops the benchmark. Held-out
loss is that of every contestant's final checkpoint, by one function, in this interpreter.

    .venv/bin/python benchmarks/train.py --trl TRL/bin/python --llamafactory LF/bin/python
    ... --search --conversations 480 --rounds 2       which settings of the peers are the best

TRL: `python -m venv TRL`, then `pip install torch==2.13.0` and `pip install -c constraints.txt trl`.
LLaMA-Factory: ../shared/tools/llamafactory_cpu_env.sh LF. A contestant whose interpreter is not given is
left out.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from train_data import MAX_TOKENS, TEMPLATE, Data, Seen, held_out_loss, histogram, prepare, seen

from acclimate.lab.demo import GENERAL_MLLM

PEERS = Path(__file__).resolve().parent / "peers"
WARM_UP_STEPS = 3
TURN_S = 2.0
"""Seconds that a contestant runs before the next one does."""
BATCH_SIZE = 8
OPTIMIZER = {"learning_rate": 1e-3, "weight_decay": 0.0, "warmup_ratio": 0.1, "max_gradient_norm": 1.0}
"""The demo's learning rate and decay; warm-up, then a cosine to 0."""
OUTSIDE = 0.05
"""The share of step time that may be spent outside forward, backward and optimizer step."""
LOSS_TARGET = 0.99
"""No worse: within 1 % of the peer's loss. Contestants see the rows in other orders, which moves it too."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """One tool at one group of settings."""

    name: str
    tool: str
    """`ours`, `trl` or `llamafactory`."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    target: float | None = None
    """How many times its trained tokens per second ours should have."""


_GROUPED = {"train_sampling_strategy": "group_by_length"}
_TRL_PLAIN = {"gradient_checkpointing": False, "logging_steps": 500}
_TRL_GROUPED = {**_TRL_PLAIN, **_GROUPED, "remove_unused_columns": False}
_TRL_EAGER = {**_TRL_GROUPED, "attn_implementation": "eager"}
_LF_PLAIN = {"disable_gradient_checkpointing": True, "logging_steps": 500}
_LF_GROUPED = {**_LF_PLAIN, **_GROUPED}
_LF_EAGER = {**_LF_GROUPED, "flash_attn": "disabled"}
_LF_PACKED = {**_LF_PLAIN, "packing": True, "neat_packing": True, "per_device_train_batch_size": 1}
_HALVES = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}
OURS = Contestant("acclimate", "ours")
CONTESTANTS = (
    OURS,
    Contestant("acclimate, compiled", "ours", {"compile": True}),
    Contestant("TRL, defaults", "trl", {}, 1.5),
    Contestant("TRL, best settings", "trl", _TRL_EAGER, 1.1),
    Contestant("LLaMA-Factory, defaults", "llamafactory"),
    Contestant("LLaMA-Factory, best settings", "llamafactory", _LF_EAGER, 1.2),
    Contestant("LLaMA-Factory, best, compiled", "llamafactory", {**_LF_EAGER, "torch_compile": True}),
    Contestant(
        "LLaMA-Factory, rows in random order", "llamafactory", {**_LF_PLAIN, "flash_attn": "disabled"}
    ),
)
CANDIDATES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "trl": {
        "defaults": {},
        "no checkpointing": _TRL_PLAIN,
        "grouped": _TRL_GROUPED,
        "eager": {**_TRL_PLAIN, "attn_implementation": "eager"},
        "grouped + eager": _TRL_EAGER,
        "grouped + eager + 2 passes of 4": {**_TRL_EAGER, **_HALVES},
        "grouped + compiled": {**_TRL_GROUPED, "torch_compile": True},
        "grouped + eager + compiled": {**_TRL_EAGER, "torch_compile": True},
    },
    "llamafactory": {
        "defaults": {},
        "no checkpointing": _LF_PLAIN,
        "grouped": _LF_GROUPED,
        "eager": {**_LF_PLAIN, "flash_attn": "disabled"},
        "grouped + eager": _LF_EAGER,
        "grouped + eager + 2 passes of 4": {**_LF_EAGER, **_HALVES},
        "neatly packed to 1232": {**_LF_PACKED, "cutoff_len": 1232},
        "neatly packed to 1232 + eager": {**_LF_PACKED, "cutoff_len": 1232, "flash_attn": "disabled"},
        "neatly packed to 312 + eager + 4 passes": {
            **_LF_PACKED,
            "cutoff_len": 312,
            "flash_attn": "disabled",
            "gradient_accumulation_steps": 4,
        },
        "packed to 312 + eager + 4 rows": {
            **_LF_PACKED,
            "cutoff_len": 312,
            "flash_attn": "disabled",
            "per_device_train_batch_size": 4,
        },
        "grouped + compiled": {**_LF_GROUPED, "torch_compile": True},
        "grouped + eager + compiled": {**_LF_EAGER, "torch_compile": True},
    },
}
"""What `--search` tries. Packed by LLaMA-Factory, a step has about as many rows and not just as many."""


@dataclass(frozen=True, slots=True)
class Run:
    """One contestant's process, which runs only in its turns."""

    out: Path
    process: subprocess.Popen[bytes]
    turns: list[tuple[float, float]] = field(default_factory=list)
    """When each began and ended, by the monotonic clock, which is the same for every process."""

    def take_turn(self) -> None:
        """Let the process run for one turn, or until it ends."""
        if self.process.poll() is not None:
            return
        os.killpg(self.process.pid, signal.SIGCONT)
        began = time.monotonic()
        try:
            self.process.wait(TURN_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGSTOP)
        self.turns.append((began, time.monotonic()))

    def running(self, began: float, ended: float) -> float:
        """Return how many of the seconds between two times the process ran."""
        return sum(max(0.0, min(ended, last) - max(began, first)) for first, last in self.turns)

    def kill(self) -> None:
        """End the process if it has not ended by itself."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@dataclass(frozen=True, slots=True)
class Result:
    """One contestant's run in one round."""

    name: str
    trained_per_s: float
    trained_per_cpu_s: float
    """By CPU seconds of the process: what is left to compare on a machine that does other work too."""
    cores: float
    """CPU seconds per second and thread, 0 to 1."""
    seconds: float
    """From the end of the last warm-up step to the end of the last step."""
    steps: int
    seen: Seen
    shares: Mapping[str, float]
    """Seconds by what they were spent on, as shares of the time measured."""
    peak_rss_mib: float
    last_loss: float
    held_out: float | None
    notes: Mapping[str, Any]


def main() -> None:
    """Run the benchmark and print its table and figures."""
    options = _options()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(options.folder or scratch).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        bench = Bench(
            options, prepare(folder, options.model, options.conversations, options.held_out, options.run)
        )
        bench.describe()
        if options.search:
            bench.search()
        else:
            bench.compare()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trl", type=Path, help="Python of an environment with TRL")
    parser.add_argument("--llamafactory", type=Path, help="Python of an environment with LLaMA-Factory")
    parser.add_argument("--steps", type=int, help="optimizer steps; one epoch if left out")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=0, help="data loader processes of every contestant")
    parser.add_argument("--conversations", type=int, default=2000)
    parser.add_argument("--held-out", type=int, default=200)
    parser.add_argument("--run", type=Path, help="a finished demo's `run` folder, for its own conversations")
    parser.add_argument("--model", type=Path, default=GENERAL_MLLM)
    parser.add_argument("--only", default="", help="parts of contestants' names, with commas between")
    parser.add_argument("--ours", default="{}", help="execution settings of ours, as JSON")
    parser.add_argument("--folder", type=Path, help="where files go; a temporary folder if left out")
    parser.add_argument("--search", action="store_true", help="try the peers' settings instead")
    return parser.parse_args()


class Bench:
    """One run of the benchmark."""

    def __init__(self, options: argparse.Namespace, data: Data) -> None:
        """Take the command line's options and the data."""
        self.options = options
        self.data = data
        self.keys = data.n_trained_by_key
        self.pythons = {
            "ours": Path(sys.executable),
            "trl": options.trl,
            "llamafactory": options.llamafactory,
        }
        self.one_epoch = -(-len(data.train) // BATCH_SIZE)
        self.steps = options.steps or self.one_epoch

    def describe(self) -> None:
        """Print what is trained on, and how."""
        rows = self.data.train
        print(histogram([len(row.input_ids) for row in rows], 20, "Tokens per conversation"))
        print(histogram([row.n_trained for row in rows], 20, "Trained tokens per conversation"))
        print(
            f"{len(rows)} conversations, {sum(row.n_trained for row in rows)} trained of "
            f"{sum(len(row.input_ids) for row in rows)} tokens; {len(self.data.held_out)} held out\n"
            f"{self.steps} steps of {BATCH_SIZE} conversations, {self.options.precision}, "
            f"{self.options.threads} threads, {self.options.workers} workers, {OPTIMIZER}",
            flush=True,
        )
        if self.steps % self.one_epoch:
            print(
                "Not whole epochs: contestants see different rows, and where rows are grouped by length the "
                "longest come first, which makes those contestants look faster than they are.",
                flush=True,
            )

    def contestants(self, among: Sequence[Contestant]) -> Iterator[Contestant]:
        """Yield those that can run, and say of the others why not."""
        wanted = [part.strip().lower() for part in self.options.only.split(",")]
        for each in among:
            python = self.pythons[each.tool]
            if each is not OURS and not any(part in each.name.lower() for part in wanted):
                continue
            if python is None or not python.exists():
                where = f"{python} is not there" if python else f"--{each.tool} is not given"
                print(f"Left out: {each.name}; {where}.", flush=True)
                continue
            yield each

    def compare(self) -> None:
        """Run every contestant in every round and print the comparison."""
        chosen = list(self.contestants(CONTESTANTS))
        rounds: list[dict[str, Result]] = []
        for number in range(self.options.rounds):
            rounds.append({})
            for each, run in self.race(chosen, number):
                rounds[-1][each.name] = result = self._result(each, run, evaluate=True)
                print(f"round {number + 1}  {_line(result)}", flush=True)
        _print_table(chosen, rounds)
        _print_figures(chosen, rounds, self.options)

    def search(self) -> None:
        """Run the candidates of every peer and print how fast they were; one that fails says why."""
        among = [
            Contestant(f"{tool}: {name}", tool, settings)
            for tool, candidates in CANDIDATES.items()
            for name, settings in candidates.items()
        ]
        for number in range(self.options.rounds):
            for each, run in self.race(list(self.contestants([OURS, *among])), number):
                try:
                    line = _line(self._result(each, run, evaluate=False))
                except ContestantError as error:
                    line = f"{each.name}: {error}"
                print(f"round {number + 1}  {line}", flush=True)

    def race(self, contestants: Sequence[Contestant], number: int) -> list[tuple[Contestant, "Run"]]:
        """Run contestants in turns until all have ended."""
        runs = [(each, self._started(each, number)) for each in contestants]
        try:
            while any(run.process.poll() is None for _, run in runs):
                for _, run in runs:
                    run.take_turn()
        finally:
            for _, run in runs:
                run.kill()
        return runs

    def _started(self, contestant: Contestant, number: int) -> "Run":
        """Start a contestant in its own interpreter, and stop it."""
        out = self.data.folder / "runs" / f"{contestant.name}-{number}-{time.time_ns()}".replace(" ", "-")
        out.mkdir(parents=True)
        settings = json.loads(self.options.ours) if contestant.tool == "ours" else {}
        job = {
            **OPTIMIZER,
            "model": str(self.options.model.resolve()),
            "store": str(self.data.store),
            "conversations": str(self.data.conversations),
            "sharegpt": str(self.data.sharegpt),
            "trl_rows": str(self.data.trl_rows),
            "template": TEMPLATE,
            "out": str(out),
            "steps": self.steps,
            "batch_size": BATCH_SIZE,
            "max_tokens": MAX_TOKENS,
            "seed": number,
            "precision": self.options.precision,
            "threads": self.options.threads,
            "workers": self.options.workers,
            "settings": {**settings, **contestant.settings},
        }
        (out / "job.json").write_text(json.dumps(job, indent=1))
        command = [str(self.pythons[contestant.tool]), str(PEERS / f"run_{contestant.tool}.py"), "job.json"]
        environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.data.folder),
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": str(self.options.threads),
            "CUDA_VISIBLE_DEVICES": "",
        }
        with (out / "log").open("w") as log:
            process = subprocess.Popen(
                command, cwd=out, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        os.killpg(process.pid, signal.SIGSTOP)
        return Run(out, process)

    def _result(self, contestant: Contestant, run: "Run", *, evaluate: bool) -> Result:
        if run.process.returncode:
            last = "\n".join((run.out / "log").read_text().splitlines()[-12:])
            raise ContestantError(f"{contestant.name} failed, exit {run.process.returncode}:\n{last}")
        notes = json.loads((run.out / "steps.json").read_text())
        found = seen(run.out / "seen.npz", self.keys, self.data.starts)
        if found.n_unlike:
            raise ContestantError(
                f"{contestant.name} trained on {found.n_unlike} of {sum(found.rows)} conversations with "
                f"other tokens or another mask than its rows have; see {run.out}."
            )
        ended = notes["ended"]
        measured = range(WARM_UP_STEPS, len(ended))
        seconds = run.running(ended[WARM_UP_STEPS - 1], ended[-1])
        spent: dict[str, float] = defaultdict(float)
        for step in measured:
            for name, began, done in notes["spans"][step]:
                spent[name] += run.running(began, done)
        if "forward_backward" in spent:
            spent["forward"] = spent.pop("forward_backward") - spent["backward"]
        n_trained = sum(found.trained[step] for step in measured)
        cpu_seconds = notes["cpu"][-1] - notes["cpu"][WARM_UP_STEPS - 1]
        return Result(
            name=contestant.name,
            trained_per_s=n_trained / seconds,
            trained_per_cpu_s=n_trained / cpu_seconds,
            cores=cpu_seconds / seconds / self.options.threads,
            seconds=seconds,
            steps=len(ended),
            seen=found,
            shares={name: value / seconds for name, value in sorted(spent.items())},
            peak_rss_mib=notes["peak_rss_mib"],
            last_loss=statistics.fmean(notes["losses"][-10:]),
            held_out=held_out_loss(run.out / "checkpoint", self.data.held_out) if evaluate else None,
            notes=notes,
        )


class ContestantError(Exception):
    """A contestant did not train, or not on the same thing."""


def _outside(result: Result) -> float:
    """Return the share of time spent outside forward, backward and optimizer step."""
    return 1.0 - sum(result.shares.get(name, 0.0) for name in ("forward", "backward", "optimizer"))


def _line(result: Result) -> str:
    shares = " ".join(f"{name} {value:.1%}" for name, value in result.shares.items())
    held_out = "" if result.held_out is None else f"held-out loss {result.held_out:.4f}; "
    n_rows = sum(result.seen.rows) / result.steps
    n_positions = sum(result.seen.positions) / sum(result.seen.rows)
    return (
        f"{result.name:38s} {result.trained_per_s:6.0f} trained tokens/s, "
        f"{result.trained_per_cpu_s:.0f} a CPU second, {result.cores:.0%} of its cores; "
        f"{result.steps} steps of {n_rows:.2f} rows and {n_positions:.0f} positions a row, "
        f"{sum(result.seen.trained)} trained tokens, masks equal; {held_out}last losses "
        f"{result.last_loss:.4f}; {result.peak_rss_mib:.0f} MiB; {shares}"
    )


def _print_table(chosen: Sequence[Contestant], rounds: Sequence[Mapping[str, Result]]) -> None:
    print(f"\n{'':30s} {'tokens/s':>8s} {'ours is':>8s}  {'held-out':>8s} {'MiB':>6s}  each round; settings")
    for each in chosen:
        results = [results[each.name] for results in rounds]
        ratios = _ratios(rounds, each.name)
        print(
            f"{each.name:30s} {statistics.median(r.trained_per_s for r in results):8.0f} "
            f"{statistics.median(ratios):7.2f}x  {_mean_loss(rounds, each.name):8.4f} "
            f"{max(r.peak_rss_mib for r in results):6.0f}  "
            f"{' '.join(f'{ratio:.2f}' for ratio in ratios)}; {json.dumps(dict(each.settings))}"
        )


def _ratios(rounds: Sequence[Mapping[str, Result]], name: str) -> list[float]:
    """Return ours over the contestant's trained tokens per second, round by round."""
    return [results[OURS.name].trained_per_s / results[name].trained_per_s for results in rounds]


def _mean_loss(rounds: Sequence[Mapping[str, Result]], name: str) -> float:
    return statistics.fmean(results[name].held_out or 0.0 for results in rounds)


def _print_figures(
    chosen: Sequence[Contestant], rounds: Sequence[Mapping[str, Result]], options: argparse.Namespace
) -> None:
    setup = {name: getattr(options, name) for name in ("precision", "threads", "workers", "rounds")}
    for each in chosen:
        if each is OURS:
            continue
        ratios = _ratios(rounds, each.name)
        rates = {
            who: [round(results[who].trained_per_s) for results in rounds] for who in (OURS.name, each.name)
        }
        detail = {
            **setup,
            "ratios": ratios,
            "trained_tokens_per_s": rates,
            "settings": dict(each.settings),
        }
        figure = f"trained tokens/s against {each.name}"
        _print_figure(figure, statistics.median(ratios), each.target, detail)
    for each in chosen:
        if each is OURS:
            continue
        ours, theirs = _mean_loss(rounds, OURS.name), _mean_loss(rounds, each.name)
        detail = {**setup, "ours": ours, "theirs": theirs}
        _print_figure(f"held-out loss of {each.name} over ours", theirs / ours, LOSS_TARGET, detail)
    shares = [_outside(results[OURS.name]) for results in rounds]
    where = {
        name: statistics.median(results[OURS.name].shares.get(name, 0.0) for results in rounds)
        for name in sorted(rounds[0][OURS.name].shares)
    }
    detail = {**setup, "shares": shares, "median": statistics.median(shares), "limit": OUTSIDE, **where}
    figure = f"{OUTSIDE} over the share of step time outside forward, backward and optimizer step"
    _print_figure(figure, OUTSIDE / statistics.median(shares), 1.0, detail)


def _print_figure(figure: str, ratio: float, target: float | None, detail: Mapping[str, Any]) -> None:
    row = {"benchmark": "train", "figure": figure, "ratio": round(ratio, 4), "target": target}
    print(json.dumps({**row, "detail": detail}), flush=True)


if __name__ == "__main__":
    main()
