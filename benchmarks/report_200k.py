"""How long the record of a run of 200,000 questions takes to write, how large it is, and how fast it opens.

A run's folder is made as a run leaves it: artifacts of `ingest`, `curate`, `items`, `evaluate-base`, `train`
and `evaluate-adapted`, built by `acclimate.artifacts`, of eight benchmarks with five questions a picture,
three conditions, two models and the scorers that each kind of answer has by default (3.6 million scores).
What models would answer is drawn; no model runs, and the parts of a record that rest on a checkpoint's
bytes are left out. A fresh process then reads the artifacts and writes the record as `acclimate report` does
(`recorded.inputs_of`, `recorded.write_record`), with up to 1,000 tasks and 1,000 answers with their pictures.
Headless Chromium opens every page from disk: the time to the `load` event, and then the time from a letter
typed into the filter until the number of answers shown has changed and the frame is painted; the slowest page
of the quickest of three loads counts.

    nice .venv/bin/python benchmarks/report_200k.py --folder /tmp/report_200k

A folder that is kept is used again, so that only the first call makes the run.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from acclimate.artifacts import Outcome, Step, Workspace, build
from acclimate.files import ImageStore, blank_png, write_json, write_records, write_text
from acclimate.origin import Origin
from acclimate.recipe import load_recipe
from acclimate.recorded import inputs_of, write_record
from acclimate.records import (
    ImageCaption,
    ImageRef,
    Item,
    JudgedTriplet,
    Prediction,
    Rejection,
    Score,
    content_id,
)
from acclimate.report.inputs import BenchmarkFacts
from acclimate.train.stage import LossRow

OPEN_S, INTERACT_S, SIZE_MB = 2.0, 2.0, 10.0
"""The bars."""
CONDITIONS = ("original", "mismatch", "blank")
SCORERS = {
    "closed": ("accuracy_strict", "accuracy_paper"),
    "open": ("recall_strict", "f1_strict", "exact_strict", "recall_paper"),
    "choice": ("accuracy_strict", "accuracy_paper"),
    "multi_label": ("f1_strict", "recall_strict", "f1_paper", "recall_paper"),
}
"""What each kind of answer is marked by in a run."""
HALVES = ("cells", "general")
"""Benchmarks come in these two groups, one of each kind; the second asks for general skills."""
QUESTIONS_PER_PICTURE = 5
N_PICTURES = 600
N_PAIRS = 4_000
N_STEPS = 2_000
RIGHT = {"base": (0.45, 0.35, 0.34), "adapted": (0.65, 0.4, 0.36)}
"""A model's chance to be right, by condition."""
RECIPE = """\
name: 200k questions
ingest: {source: pairs.json}
train: {model: base}
report:
  title: A run of 200,000 questions
  n_examples: 1000
  n_answers: 1000
  general: [general_closed, general_open, general_choice, general_multi_label]
  claims:
  - {id: gain, sentence: The adapted model is better., measure: macro/adapted-base/original}
  - {id: looks, sentence: Its answers rest on the picture., measure: macro/adapted/vrs}
"""


# --- the run --------------------------------------------------------------------------------------


def photographs(store: ImageStore, n: int) -> list[ImageRef]:
    """Keep pictures as large and as hard to compress as small photographs, and return their references."""
    rng = np.random.default_rng(0)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(n):
            coarse = Image.fromarray(rng.integers(0, 255, (12, 16, 3), dtype="uint8"))
            smooth = np.asarray(coarse.resize((640, 480), Image.Resampling.BICUBIC), dtype=np.float64)
            noisy = np.clip(smooth + rng.normal(0, 12, smooth.shape), 0, 255).astype(np.uint8)
            path = Path(folder) / "one.jpg"
            Image.fromarray(noisy).save(path, quality=88)
            found.append(store.add(path.read_bytes()))
    return found


def questions(pictures: list[ImageRef], n_items: int) -> Iterator[Item]:
    """Yield the items, benchmark by benchmark; the photographs stand for as many as there are clusters."""
    names = [(half, kind) for half in HALVES for kind in SCORERS]
    for half, kind in names:
        for at in range(n_items // len(names)):
            cluster = at // QUESTIONS_PER_PICTURE
            yield Item(
                id=content_id(half, kind, str(at)),
                benchmark=f"{half}_{kind}",
                question=f"Which of the particles on slide {cluster} lies nearest to the left edge ({at})?",
                image=pictures[cluster % len(pictures)],
                kind=kind,  # type: ignore[arg-type]
                gold=("a neutrophil with three lobes",),
                choices=("a neutrophil with three lobes", "a platelet") if kind == "choice" else (),
                cluster=f"slide {cluster}",
            )


def tasks(pictures: list[ImageRef]) -> Iterator[tuple[ImageCaption, JudgedTriplet]]:
    """Yield pairs, each with a judged task."""
    for at in range(N_PAIRS):
        caption = f"A smear with {at} particles, stained, at forty times their size; two of them overlap."
        pair = ImageCaption(content_id(caption), pictures[at % len(pictures)], caption, "pairs.json", "MIT")
        label = ("consistent", "consistent", "inconsistent")[at % 3]
        yield (
            pair,
            JudgedTriplet(
                id=content_id(pair.id, "task"),
                pair_id=pair.id,
                instruction=f"How many particles does the smear hold, and which overlap ({at})?",
                informative=f"The caption says that there are {at}, and that two of them overlap. " * 3,
                precise=f"{at} particles; two overlap.",
                generator="synthesizer",
                label=label,  # type: ignore[arg-type]
                p_consistent=0.9 if label == "consistent" else 0.05,
                p_inconsistent=0.05 if label == "consistent" else 0.9,
                p_open=0.05,
                judge="drawn",
            ),
        )


def predictions(items: list[Item], role: str, blank: ImageRef) -> Iterator[Prediction]:
    """Yield a reply to every item under every condition."""
    for condition in CONDITIONS:
        for at, item in enumerate(items):
            other = items[at - QUESTIONS_PER_PICTURE].image
            image = {"original": item.image, "mismatch": other, "blank": blank}[condition]
            text = f"The particle nearest to the left edge of {item.cluster} is a neutrophil, says {role}."
            yield Prediction(item.id, item.benchmark, role, condition, image, text, "stop")


def scores(items: list[Item], role: str) -> Iterator[Score]:
    """Yield every scorer's mark of every reply; items of a picture are right or wrong together in part."""
    rng = np.random.default_rng(len(role))
    for condition, chance in zip(CONDITIONS, RIGHT[role], strict=True):
        of_cluster = rng.normal(0, 0.15, len(items))
        drawn = rng.random(len(items))
        for at, item in enumerate(items):
            value = float(drawn[at] < chance + of_cluster[at // QUESTIONS_PER_PICTURE])
            for scorer in SCORERS[item.kind]:
                yield Score(
                    item.id, item.benchmark, role, condition, scorer, value, at % 50 != 0, "", item.cluster
                )


def made(folder: Path, n_items: int) -> dict[str, Path]:
    """Return the finished artifacts of the run in this folder, by step; what stands is kept."""
    root = folder / "run"
    store = ImageStore(root)
    pictures = photographs(store, N_PICTURES)
    blank = store.add(blank_png(640, 480, 128))
    items = list(questions(pictures, n_items))

    def ingest(space: Workspace) -> Outcome:
        n = write_records(space.out / "pairs.parquet", (pair for pair, _ in tasks(pictures)), ImageCaption)
        return Outcome({"inputs": n, "outputs": n}, {}, ("MIT",))

    def curate(space: Workspace) -> Outcome:
        n = write_records(space.out / "judged.parquet", (task for _, task in tasks(pictures)), JudgedTriplet)
        write_records(space.out / "rejections.parquet", [], Rejection)
        return Outcome({"inputs": n, "outputs": n}, {})

    def ask(space: Workspace) -> Outcome:
        write_records(space.out / "items.parquet", items, Item)
        names = {item.benchmark: item.kind for item in items}
        facts = [
            asdict(
                BenchmarkFacts(
                    name,
                    SCORERS[kind][0],
                    n_items // len(names),
                    licence="MIT",
                    citation=f"{name}, drawn",
                    sha256="0" * 64,
                )
            )
            for name, kind in names.items()
        ]
        scorers = {name: list(SCORERS[kind]) for name, kind in names.items()}
        write_json(space.out / "benchmarks.json", {"facts": facts, "scorers": scorers, "sums": {}})
        return Outcome({"inputs": len(items), "outputs": len(items)}, {})

    def train(space: Workspace) -> Outcome:
        rows = (
            LossRow(at, at / 500, 0.4 + 3 / at, 1e-4 * (1 - at / N_STEPS), 1000) for at in range(1, N_STEPS)
        )
        write_records(space.out / "losses.parquet", rows, LossRow)
        facts = {"trained_tokens": 1000 * N_STEPS, "total_tokens": 3000 * N_STEPS}
        return Outcome({"inputs": N_PAIRS, "outputs": N_PAIRS}, {}, facts=facts, run={"threads": 1})

    def evaluate(space: Workspace, role: str) -> Outcome:
        n = write_records(space.out / "predictions.parquet", predictions(items, role, blank), Prediction)
        write_records(space.out / "scores.parquet", scores(items, role), Score)
        return Outcome({"inputs": n, "outputs": n}, {})

    asked = Step("items", 1, {"n": n_items}, {}, ask)
    pairs = Step("ingest", 1, {"n": N_PAIRS}, {}, ingest)
    judged = Step("curate", 1, {}, {"pairs": pairs}, curate)
    trained = Step("train", 1, {}, {"judged": judged}, train)
    chain = {
        "ingest": pairs,
        "curate": judged,
        "items": asked,
        "evaluate-base": Step("evaluate-base", 1, {}, {"items": asked}, partial(evaluate, role="base")),
        "train": trained,
        "evaluate-adapted": Step(
            "evaluate-adapted", 1, {}, {"items": asked, "model": trained}, partial(evaluate, role="adapted")
        ),
    }
    return {name: build(step, root) for name, step in chain.items()}


# --- its record -----------------------------------------------------------------------------------


def rendered(folder: Path, homes: Mapping[str, Path]) -> dict[str, float]:
    """Write the record in this process; return seconds and its largest memory in GB."""
    recipe = load_recipe(folder / "recipe.yaml")
    root = folder / "run"
    out = root / "report"
    origin = Origin.of(folder, root, out, (), ())
    clocks = [(time.perf_counter(), time.process_time())]
    inputs = inputs_of(recipe, root, homes, ImageStore(root), origin)
    clocks.append((time.perf_counter(), time.process_time()))
    write_record(recipe, root, homes, inputs, out, origin=origin)
    clocks.append((time.perf_counter(), time.process_time()))
    took = {
        f"{what}_{clock}_s": round(clocks[at + 1][which] - clocks[at][which], 2)
        for at, what in enumerate(("read", "write"))
        for which, clock in enumerate(("wall", "cpu"))
    }
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {**took, "peak_gb": round(largest, 2), "scores": len(inputs.scores)}


def rendered_apart(folder: Path, homes: Mapping[str, Path]) -> dict[str, float]:
    """Return the same of a fresh process, so that its memory is its own."""
    told = folder / "homes.json"
    write_json(told, [[step, str(home)] for step, home in homes.items()])
    command = [sys.executable, __file__, "--render", str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8")
    return dict(json.loads(done.stdout))


# --- in the browser -------------------------------------------------------------------------------


def opened(browser: Browser, path: Path) -> tuple[float, float]:
    """Return the seconds to the load event, and from a typed letter to the painted frame after it."""
    context = browser.new_context(viewport={"width": 1600, "height": 900})
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda said: wrong.append(said.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    started = time.perf_counter()
    page.goto(path.resolve().as_uri(), wait_until="load")
    loaded = time.perf_counter() - started
    filtered = 0.0
    if page.locator("#filter-text").count():
        page.locator("#filter-text").focus()
        before = page.locator("#filter-status").inner_text()
        started = time.perf_counter()
        page.keyboard.type("7")
        page.wait_for_function(
            "(before) => document.getElementById('filter-status').textContent !== before", arg=before
        )
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        filtered = time.perf_counter() - started
    context.close()
    if wrong:
        raise SystemExit(f"{path} says: {wrong[:3]}")
    return loaded, filtered


def slowest(record: Path, chromium: str) -> dict[str, tuple[float, float]]:
    """Return for every page the quickest of three loads and of three interactions."""
    found = {}
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"], timeout=300_000)
        for path in sorted(record.rglob("*.html")):
            runs = [opened(browser, path) for _ in range(3)]
            found[path.name] = (min(load for load, _ in runs), min(wait for _, wait in runs))
        browser.close()
    return found


# --- all of it ------------------------------------------------------------------------------------


def figure(name: str, measured: float, bar: float | None, detail: Mapping[str, Any]) -> None:
    """Print one line of JSON: how many times the bar holds what was measured."""
    ratio = None if bar is None else round(bar / measured, 3)
    target = None if bar is None else 1.0
    row = {"benchmark": "report_200k", "figure": name, "ratio": ratio, "target": target}
    print(json.dumps({**row, "detail": {"measured": round(measured, 3), "bar": bar, **detail}}))


def main() -> None:
    """Print a table, then one line of JSON a figure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--folder", type=Path, help="where the run lies; a temporary folder where left out")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--render", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.render is not None:
        told = json.loads((options.render / "homes.json").read_text())
        print(json.dumps(rendered(options.render, {step: Path(home) for step, home in told})))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "recipe.yaml", RECIPE)
        took = rendered_apart(folder, made(folder, options.items))
        record = folder / "run" / "report"
        sizes = {
            path.relative_to(record).as_posix(): path.stat().st_size
            for path in record.rglob("*")
            if path.is_file()
        }
        pages = slowest(record, options.chromium)
    whole, index = sum(sizes.values()) / 1e6, sizes["index.html"] / 1e6
    load, wait = (max(each[at] for each in pages.values()) for at in (0, 1))
    setup = {"items": options.items, "scores": took["scores"], "pages": len(pages)}
    print(f"{options.items:,} questions, {took['scores']:,.0f} scores")
    for what, title in (("read", "reading the artifacts"), ("write", "writing the record")):
        wall, cpu = took[f"{what}_wall_s"], took[f"{what}_cpu_s"]
        print(f"{title:26s} {wall:8.1f} s ({cpu:.1f} s of processor time)")
    print(f"largest memory             {took['peak_gb']:8.2f} GB")
    print(f"the record's folder        {whole:8.2f} MB (bar: {SIZE_MB:g})")
    print(f"index.html                 {index:8.2f} MB")
    for name, (loaded, filtered) in pages.items():
        print(f"{name:26s} {loaded:8.2f} s to load, {filtered:.2f} s to filter")
    print()
    figure("size of the record, MB", whole, SIZE_MB, {**setup, "index_mb": round(index, 3)})
    figure("time to open the slowest page, s", load, OPEN_S, setup)
    figure("time to the first interaction on it, s", wait, INTERACT_S, setup)
    figure("time to write the record, s", took["read_wall_s"] + took["write_wall_s"], None, {**setup, **took})


if __name__ == "__main__":
    main()
