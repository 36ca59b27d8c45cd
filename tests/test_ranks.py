"""Training in several processes is the training in one: same losses, same weights, sharded where it says."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_models
import torch
from test_train import config, conversations, png, run, weights

from acclimate.errors import TrainError
from acclimate.files import ImageStore
from acclimate.records import ImageRef
from acclimate.train.launch import CONFIGS, launch_command, launch_config
from acclimate.train.schedule import Cut, RowSize, schedule
from acclimate.train.stage import TrainExecution

BUILDERS: dict[str, Callable[[Path], Path]] = {
    "qwen3_vl": tiny_models.tiny_qwen3_vl,
    "qwen2_5_vl": tiny_models.tiny_qwen2_5_vl,
    "llava": tiny_models.tiny_llava,
    "mllama": tiny_models.tiny_mllama,
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {name: build(folder / name) for name, build in BUILDERS.items()}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    return ImageStore(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def pictures(store: ImageStore) -> list[ImageRef]:
    return [store.add(png(64, 64, (40 * index, 60, 200))) for index in range(6)]


def settings(**execution: Any) -> Any:
    how = TrainExecution(**({"micro_batch": 8, "threads": 1, "device": "cpu"} | execution))
    return config(epochs=2, precision="fp32", learning_rate=1e-3, execution=how)


def test_the_mixed_set_has_a_pass_of_text_alone_beside_one_with_pictures() -> None:
    """What the tests below train on: else they would not show what they claim to."""
    rows = [RowSize(f"c{number}", 40, 5, int(number % 4 != 3)) for number in range(20)]
    cut = Cut(rows=2, packed=True, ranks=2)
    steps = schedule(rows, batch_size=8, cut=cut, epochs=2, max_steps=None, seed=0)
    fillers = [each for step in steps for passes in step.passes for each in passes if each.filler is not None]
    assert any(each.rows and not any(rows[at].n_images for at in each.rows) for each in fillers)
    assert all(rows[each.filler or 0].n_images for each in fillers)


def held(
    where: Path, model: Path, store: ImageStore, pictures: list[ImageRef], **execution: Any
) -> tuple[list[float], dict[str, torch.Tensor], str]:
    outcome = run(where, conversations(20, pictures), settings(**execution), model, store)
    log = where / "work" / "job" / "processes.log"
    told = log.read_text() if log.is_file() else ""
    return [row.loss for row in outcome.losses], weights(where / "out"), told


def require_same(one: Any, other: Any) -> None:
    assert one[0] == pytest.approx(other[0], abs=1e-4)
    for name, value in one[1].items():
        if not name.endswith("k_proj.bias"):  # its gradient is rounding alone, which AdamW scales up
            assert torch.allclose(value.float(), other[1][name].float(), atol=2e-4), name


def test_two_processes_with_sharded_weights_train_as_one_does(
    tmp_path: Path, models: dict[str, Path], store: ImageStore, pictures: list[ImageRef]
) -> None:
    alone = held(tmp_path / "one", models["qwen3_vl"], store, pictures)
    steps: list[tuple[float, ...]] = []
    where = tmp_path / "two"
    execution = {"processes": 2, "launch": "fsdp2", "micro_batch": 2}
    outcome = run(
        where,
        conversations(20, pictures),
        settings(**execution),
        models["qwen3_vl"],
        store,
        on_progress=lambda *step: steps.append(step),
    )
    require_same(alone, ([row.loss for row in outcome.losses], weights(where / "out")))
    assert [int(step) for step, _, _ in steps] == [1, 2, 3, 4, 5, 6]
    log = (where / "work" / "job" / "processes.log").read_text()
    assert "2 processes (FSDP): 63 of 63 weights are sharded" in log


@pytest.mark.slow
@pytest.mark.parametrize("micro_batch", [8, 1], ids=["one pass", "four passes"])
@pytest.mark.parametrize("launch", ["ddp", "fsdp2"])
@pytest.mark.parametrize("name", BUILDERS)
def test_losses_and_weights_are_those_of_one_process(
    tmp_path: Path,
    models: dict[str, Path],
    store: ImageStore,
    pictures: list[ImageRef],
    name: str,
    launch: str,
    micro_batch: int,
) -> None:
    alone = held(tmp_path / "one", models[name], store, pictures)
    more = {"processes": 2, "launch": launch, "micro_batch": micro_batch}
    both = held(tmp_path / "two", models[name], store, pictures, **more)
    require_same(alone, both)
    total = len(list(torch.nn.Module.parameters(_model(models[name]))))
    shared = total if launch == "fsdp2" else 0
    assert f"{shared} of {total} weights are sharded" in both[2]


def _model(path: Path) -> Any:
    from acclimate.engines.families import load_model

    return load_model(path, "float32")


@pytest.mark.slow
@pytest.mark.parametrize("launch", ["ddp", "fsdp2"])
def test_a_killed_training_of_two_processes_goes_on(
    tmp_path: Path, models: dict[str, Path], store: ImageStore, pictures: list[ImageRef], launch: str
) -> None:
    execution = {"processes": 2, "launch": launch, "micro_batch": 2}
    whole = held(tmp_path / "whole", models["qwen3_vl"], store, pictures, **execution)
    often = settings(**execution).model_copy(update={"save_every": 2})
    where = tmp_path / "killed"
    script = (
        "import sys; from pathlib import Path\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import test_ranks as t\n"
        "from acclimate.files import ImageStore\n"
        "import os, signal\n"
        f"store = ImageStore(Path({str(store.root)!r}))\n"
        "pictures = [store.add(t.png(64, 64, (40 * index, 60, 200))) for index in range(6)]\n"
        f"often = t.settings(**{execution!r}).model_copy(update={{'save_every': 2}})\n"
        "die = lambda step, *_: os.killpg(0, signal.SIGKILL) if step >= 3 else None\n"
        f"where, model = Path({str(where)!r}), Path({str(models['qwen3_vl'])!r})\n"
        "t.run(where, t.conversations(20, pictures), often, model, store, on_progress=die)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script], check=False, start_new_session=True)
    assert killed.returncode == -signal.SIGKILL
    subprocess.run(["pkill", "-9", "-f", str(where / "work" / "job")], check=False)
    outcome = run(where, conversations(20, pictures), often, models["qwen3_vl"], store)
    require_same(whole, ([row.loss for row in outcome.losses], weights(where / "out")))


@pytest.mark.parametrize("name", ["ddp", "fsdp2", "zero2", "zero3"])
def test_shipped_launch_configurations_are_named_in_a_recipe(name: str, tmp_path: Path) -> None:
    chosen = config(execution=TrainExecution(processes=2, launch=name))
    assert launch_config(chosen) == CONFIGS / f"{name}.yaml"
    command = launch_command(tmp_path, chosen)
    assert command[command.index("--num_processes") + 1] == "2"


def test_an_unknown_launch_configuration_is_refused_with_those_there_are(
    tmp_path: Path, models: dict[str, Path], store: ImageStore, pictures: list[ImageRef]
) -> None:
    with pytest.raises(TrainError, match="Shipped are ddp, fsdp2, zero2, zero3"):
        run(
            tmp_path,
            conversations(4, pictures),
            settings(processes=2, launch="fsdp3"),
            models["llava"],
            store,
        )


@pytest.mark.slow
def test_what_a_process_refuses_is_said_in_its_own_words(
    tmp_path: Path, models: dict[str, Path], store: ImageStore, pictures: list[ImageRef]
) -> None:
    changed = settings(processes=2).model_copy(update={"learning_rate": 1e30})
    with pytest.raises(TrainError, match="The loss is not finite at step"):
        run(tmp_path, conversations(20, pictures), changed, models["llava"], store)


def test_deepspeed_without_its_package_or_a_gpu_is_refused_before_anything_starts(
    tmp_path: Path, models: dict[str, Path], store: ImageStore, pictures: list[ImageRef]
) -> None:
    how = settings(processes=2, launch="zero2")
    with pytest.raises(TrainError, match=r"DeepSpeed.*set train.execution.launch to fsdp2"):
        run(tmp_path, conversations(4, pictures), how, models["llava"], store)
    assert not (tmp_path / "work" / "job" / "processes.log").exists()


def test_ray_without_its_package_names_the_extra(
    tmp_path: Path,
    models: dict[str, Path],
    store: ImageStore,
    pictures: list[ImageRef],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(TrainError, match=r"acclimate\[ray\]"):
        run(
            tmp_path,
            conversations(4, pictures),
            settings(processes=2, engine="ray"),
            models["llava"],
            store,
        )
