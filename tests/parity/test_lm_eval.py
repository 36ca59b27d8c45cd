"""Our library calls give what the command line of lm-eval gives on the same exported model.

The environment of these tests has lm-eval; ACCLIMATE_LM_EVAL_ENV names another one
(benchmarks/peers/lm_eval_env.sh DIR makes one).
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.data]

ENVIRONMENT = os.environ.get("ACCLIMATE_LM_EVAL_ENV", sys.prefix)
WEIGHTS = Path(__file__).parents[2] / "src" / "acclimate" / "lab" / "weights"
LIMIT = 200
OURS = """
import sys
from pathlib import Path
from acclimate.text_scoring import TextConfig, TextExecution, score_text
model, out, truthfulqa, ethics, limit = sys.argv[1:]
score_text(
    model,
    ["truthfulqa", "ethics"],
    Path(out),
    config=TextConfig(truthfulqa=truthfulqa, ethics=ethics, limit=int(limit)),
    execution=TextExecution(device="cpu"),
)
"""


@pytest.fixture
def programs() -> Path:
    """The folder of the environment's programs."""
    found = Path(ENVIRONMENT).absolute() / "bin"
    if not (found / "lm_eval").is_file():
        pytest.skip(f"there is no {found / 'lm_eval'}; install the extra lm-eval")
    return found


def run(command: list[object], cwd: Path) -> None:
    """Run a command that reaches no network."""
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


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().split("\n") if line]


@pytest.mark.parametrize("which", ["text-lm", "general-mllm"])
def test_library_and_command_line_agree(which: str, tmp_path: Path, shared_data: Path, programs: Path):
    source = exported = WEIGHTS / which
    if which == "general-mllm":
        exported = tmp_path / "exported"
        run([programs / "python", "-m", "acclimate", "assemble", "--extract", source, exported], tmp_path)
    truthfulqa, ethics = shared_data / "truthfulqa" / "TruthfulQA.csv", shared_data / "ethics"
    arguments = [source, tmp_path / "ours", truthfulqa, ethics, LIMIT]
    run([programs / "python", "-c", OURS, *arguments], tmp_path)
    result = json.loads((tmp_path / "ours" / "measurements.json").read_text())
    ours = result["harness"]["model"]
    assert len(ours) == 8

    command = [programs / "lm_eval", "--model", "hf", "--model_args", f"pretrained={exported}"]
    command += ["--include_path", tmp_path / "ours" / "tasks", "--tasks", ",".join(ours), "--device", "cpu"]
    run([*command, "--limit", LIMIT, "--log_samples", "--output_path", "theirs"], tmp_path)
    (report,) = (tmp_path / "theirs").rglob("results_*.json")
    theirs: dict[str, dict[str, Any]] = json.loads(report.read_text())["results"]
    for task in ours:  # every question, all that is said of it
        (samples,) = (tmp_path / "theirs").rglob(f"samples_{task}_2*.jsonl")
        assert lines(Path(result["sample_files"]["model"][task])) == lines(samples)

    for task, row in ours.items():
        for name, value in row.items():
            if "," in name and "stderr" not in name:
                assert value == theirs[task][name], (task, name)

    measured = result["measurements"]
    for task, row in theirs.items():
        name = task.removeprefix("acclimate_")
        if name.startswith("ethics") or name == "truthfulqa_mc1":
            paper = measured[name]["original/accuracy_paper"]
        elif name == "truthfulqa_mc2":
            paper = measured[name]["original/mc2_paper"]
        else:
            assert measured[name]["original"]["value"] == pytest.approx(row["rougeL_acc,none"], abs=1e-12)
            assert measured[name]["original/bleu_diff"]["value"] == pytest.approx(row["bleu_diff,none"] / 100)
            continue
        assert paper["value"] == pytest.approx(row["acc,none"], abs=1e-9)
        assert paper["n"] == LIMIT
