"""lmms-eval, in its own environment, gives our answers and our scores.

benchmarks/peers/lmms_env.sh DIR
ACCLIMATE_LMMS_ENV=DIR python -m pytest tests/parity/test_lmms_eval.py -m slow
"""

import json
import os
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from acclimate.engines.open import engine_identity
from acclimate.engines.spec import EngineExecution, EngineSpec
from acclimate.evaluate.lmms_eval import write_benchmark
from acclimate.evaluate.load import load_benchmark
from acclimate.evaluate.samples import read_samples
from acclimate.evaluate.stage import EvaluateConfig
from acclimate.files import ImageStore, read_records
from acclimate.lab.demo import GENERAL_MLLM
from acclimate.records import Prediction, Score
from acclimate.scoring import score_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.data]

ENVIRONMENT = os.environ.get("ACCLIMATE_LMMS_ENV", "")
ROWS = 16
"""Of a batch, in both programs: for so few questions 64 would be mostly filler."""
REFUSED = """
import sys
from lmms_eval.evaluator import simple_evaluate
args, cache = sys.argv[1:]
for more in ("", ",digest=sha256:0123456789abcdef"):
    try:
        simple_evaluate(model="acclimate", model_args=args + more, tasks=["any"], use_cache=cache)
    except Exception as error:
        print(type(error).__name__, error)
"""


@pytest.fixture
def python() -> Path:
    """The interpreter of the environment that lmms-eval is installed in."""
    if not ENVIRONMENT:
        pytest.skip("ACCLIMATE_LMMS_ENV names no environment; make one with benchmarks/peers/lmms_env.sh")
    found = Path(ENVIRONMENT).absolute() / "bin" / "python"
    if not found.is_file():
        pytest.skip(f"there is no {found}; make the environment with benchmarks/peers/lmms_env.sh")
    return found


def run(command: list[object], cwd: Path) -> str:
    """What a command says; it reaches no network."""
    more = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(cwd / "hf"), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env=os.environ | more,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def benchmark_of(folder: Path, vqa_rad: Path) -> Path:
    """Forty real questions, half of them open."""
    rows = json.loads((vqa_rad / "testset.json").read_text())
    chosen = [
        row for kind in ("OPEN", "CLOSED") for row in [r for r in rows if r["answer_type"] == kind][:20]
    ]
    (folder / "rows.json").write_text(json.dumps(chosen))
    definition = {
        "name": "vqa_rad",
        "version": 1,
        "file": "rows.json",
        "image_root": str(vqa_rad / "images"),
        "columns": {"id": "qid", "image": "image_name", "question": "question", "answer": "answer"},
        "kind": {"column": "answer_type", "values": {"OPEN": "open", "CLOSED": "closed"}},
    }
    path = folder / "vqa_rad.yaml"
    path.write_text(yaml.safe_dump(definition))
    return path


def test_answers_and_scores_are_the_same_in_both_programs(tmp_path: Path, shared_data: Path, python: Path):
    path = benchmark_of(tmp_path, shared_data / "vqa_rad")
    store = ImageStore(tmp_path / "store")
    names = write_benchmark(load_benchmark(path, store), tmp_path / "tasks", store=store)
    assert len(names) == 6
    digest = engine_identity(EngineSpec(model=str(GENERAL_MLLM))).digest
    model = f"pretrained={GENERAL_MLLM},rows={ROWS}"
    theirs = [python, "-m", "lmms_eval", "--model", "acclimate", "--include_path", "tasks"]
    theirs += ["--tasks", ",".join(names), "--model_args", f"{model},digest=sha256:{digest}", "--use_cache"]
    run([*theirs, "cache", "--log_samples", "--output_path", "lmms"], tmp_path)
    result = score_checkpoint(
        GENERAL_MLLM,
        [path],
        tmp_path / "ours",
        config=EvaluateConfig(),
        execution=EngineExecution(rows=ROWS),
    )

    where = Path(result["predictions"])
    answers = {(p.benchmark, p.condition, p.item_id): p.text for p in read_records(where, Prediction)}
    marks: dict[tuple[str, str, str], dict[str, float]] = defaultdict(dict)
    for each in read_records(where.parent / "scores.parquet", Score):
        marks[each.benchmark, each.condition, each.item_id][each.scorer] = each.value
    assert len(answers) == len(marks) == 3 * 40

    (report,) = (tmp_path / "lmms").rglob("*_results.json")
    totals: dict[str, Any] = json.loads(report.read_text())["results"]
    n_seen = 0
    for file in sorted((tmp_path / "lmms").rglob("*_samples_*.jsonl")):
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        for line, sample in zip(lines, read_samples(file), strict=True):
            key = (line["benchmark"], line["condition"], sample["id"])
            assert sample["text"] == answers[key]
            assert {name: line[name]["score"] for name in marks[key]} == marks[key]
            n_seen += 1
        benchmark, condition = lines[0]["benchmark"], lines[0]["condition"]
        measured = result["measurements"][benchmark][condition]["value"]
        primary = "recall_strict" if benchmark.endswith("open") else "accuracy_strict"
        found = totals[file.stem.partition("_samples_")[2]]
        assert found[f"{primary},none"] == pytest.approx(measured, abs=1e-12)
        if condition == "original":
            assert found[f"{primary}_stderr_clustered,none"] > 0
    assert n_seen == len(answers)

    said = run([python, "-c", REFUSED, model, tmp_path / "other-cache"], tmp_path)
    assert f"digest=sha256:{digest}" in said
    assert "is not the one that --model_args mean" in said
