"""The processes of a training on a cluster, by Ray Train (the extra `ray`).

Every machine needs this package and sees the run's folder under the same path.
"""

import importlib.util
from pathlib import Path
from typing import Any

import yaml

from acclimate.errors import TrainError
from acclimate.train.launch import launch_config
from acclimate.train.stage import TrainConfig


def run(folder: Path, config: TrainConfig) -> str:
    """Run the job in `folder` in as many workers as the settings say; return what they said of an error.

    Raises:
        TrainError: Ray is not installed, or the launch configuration is one of DeepSpeed.
    """
    if importlib.util.find_spec("ray") is None:
        raise TrainError(
            "train.execution.engine is ray, and Ray is not installed. Install the extra: pip install "
            "'acclimate[ray]'; or set train.execution.engine to local."
        )
    import ray
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    execution = config.execution
    library: Any = ray
    library.init(
        ignore_reinit_error=True,
        log_to_driver=False,
        runtime_env={"env_vars": _variables(launch_config(config))},
    )
    on_gpu = execution.device != "cpu" and float(library.cluster_resources().get("GPU", 0)) > 0
    trainer = TorchTrainer(
        _worker,
        train_loop_config={"folder": str(folder.resolve())},
        scaling_config=ScalingConfig(num_workers=execution.processes, use_gpu=on_gpu),
        torch_config=TorchConfig(backend="nccl" if on_gpu else "gloo"),
        run_config=RunConfig(name="acclimate", storage_path=str((folder / "ray").resolve())),
    )
    try:
        trainer.fit()
    except (ray.exceptions.RayError, RuntimeError) as error:
        return " ".join(str(error).split())[-300:]
    finally:
        library.shutdown()
    return ""


def _worker(settings: dict[str, str]) -> None:
    from acclimate.train.worker import work

    work(Path(settings["folder"]))


def _variables(launch: Path) -> dict[str, str]:
    """Return what `accelerate launch` would tell its processes of a configuration.

    Raises:
        TrainError: DeepSpeed's configuration, which Ray Train does not start.
    """
    settings = yaml.safe_load(launch.read_text(encoding="utf-8"))
    kind = settings.get("distributed_type")
    if kind == "DEEPSPEED":
        raise TrainError(
            f"{launch.name} is a configuration of DeepSpeed, which is started on one machine or by its own "
            "launcher. With train.execution.engine: ray, set train.execution.launch to fsdp2 or ddp."
        )
    if kind != "FSDP":
        return {}
    own = settings["fsdp_config"].items()
    return {"ACCELERATE_USE_FSDP": "true", **{key.upper(): str(value) for key, value in own}}
