"""What needs packages that are not installed here, in a side environment: Ray Train and QLoRA.

python3 -m venv /tmp/extras/v
/tmp/extras/v/bin/pip install torch==2.13.0
/tmp/extras/v/bin/pip install -c constraints.txt -e '.[ray]' bitsandbytes pytest
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import tiny_models
from test_ranks import held
from test_train import png

from acclimate.files import ImageStore
from acclimate.lab.demo import GENERAL_MLLM

EXTRAS = Path(os.environ.get("ACCLIMATE_EXTRAS_ENV", "/tmp/extras/v"))
ROOT = Path(__file__).resolve().parent.parent

SCRIPT = """
import json, sys
from pathlib import Path
from test_train import conversations, png, run
from test_ranks import settings
from acclimate.files import ImageStore

where, model, changes, execution = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]
store = ImageStore(where / "store")
pictures = [store.add(png(64, 64, (40 * index, 60, 200))) for index in range(6)]
chosen = settings(**json.loads(execution)).model_copy(update=json.loads(changes))
outcome = run(where, conversations(20, pictures), chosen, model, store)
(where / "losses.json").write_text(json.dumps([row.loss for row in outcome.losses]))
"""

pytestmark = pytest.mark.slow


def trained(where: Path, model: Path, package: str, changes: Any, execution: Any) -> list[float]:
    """Train in the side environment and return the losses."""
    python = EXTRAS / "bin" / "python"
    if not list(EXTRAS.glob(f"lib/python3*/site-packages/{package}")):
        pytest.skip(f"needs {package} in {EXTRAS}; {Path(__file__).name} says how to make it")
    where.mkdir()
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}:{ROOT}",
        "OMP_NUM_THREADS": "1",
    }
    command = [str(python), "-c", SCRIPT, str(where), str(model), json.dumps(changes), json.dumps(execution)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=600, check=False, cwd=where
    )
    assert done.returncode == 0, done.stderr[-3000:]
    losses: list[float] = json.loads((where / "losses.json").read_text())
    return losses


def test_ray_trains_as_one_process_does(tmp_path: Path) -> None:
    model = tiny_models.tiny_qwen3_vl(tmp_path / "model")
    store = ImageStore(tmp_path / "store")
    pictures = [store.add(png(64, 64, (40 * index, 60, 200))) for index in range(6)]
    alone, _, _ = held(tmp_path / "one", model, store, pictures)
    execution = {"processes": 2, "launch": "fsdp2", "engine": "ray", "micro_batch": 2}
    together = trained(tmp_path / "ray", model, "ray", {}, execution)
    assert together == pytest.approx(alone, abs=1e-4)


def test_weights_in_four_bits_learn_and_leave_a_plain_checkpoint(tmp_path: Path) -> None:
    changes = {"method": "qlora", "epochs": 6, "precision": "bf16", "learning_rate": 5e-3}
    losses = trained(tmp_path / "qlora", GENERAL_MLLM, "bitsandbytes", changes, {})
    assert losses[-1] < 0.6 * losses[0]
    out = tmp_path / "qlora" / "out"
    assert (out / "model.safetensors").is_file()
    assert "quantization_config" not in json.loads((out / "config.json").read_text())
