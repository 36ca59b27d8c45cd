"""Trains with LLaMA-Factory, in its own interpreter, and notes every step.

python run_llamafactory.py JOB.json
"""

import json
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from llamafactory.data.formatter import StringFormatter
from llamafactory.data.mm_plugin import get_mm_plugin
from llamafactory.data.template import register_template
from llamafactory.train.tuner import run_exp
from step_recorder import StepRecorder, record_trainer
from transformers import Trainer


@dataclass
class UserTurn(StringFormatter):
    """A user's turn; a later one begins with the line end that closes the reply before it.

    So the reply is trained up to its end marker and no further, as the lab's template and its mask have it.
    """

    def apply(self, **kwargs: Any) -> Any:  # noqa: ANN401
        """Return the turn's text."""
        first, *others = super().apply(**kwargs)
        return [first if kwargs.get("idx") == "0" else "\n" + first, *others]


def main(job: dict[str, Any]) -> None:
    """Train as the job says."""
    recorder = StepRecorder(job["threads"])
    record_trainer(recorder, Trainer)
    register_template(
        name="lab",
        format_user=UserTurn(slots=["<|im_start|>user\n{{content}}<|im_end|>\n<|im_start|>assistant\n"]),
        format_assistant=StringFormatter(slots=["{{content}}<|im_end|>"]),
        stop_words=["<|im_end|>"],
        replace_eos=True,
        mm_plugin=get_mm_plugin(name="qwen3_vl", image_token="<|image_pad|>", video_token="<|video_pad|>"),
    )
    out = Path(job["out"])
    data = Path(job["sharegpt"])
    arguments: dict[str, Any] = {
        "model_name_or_path": job["model"],
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "full",
        "freeze_vision_tower": False,
        "freeze_multi_modal_projector": False,
        "dataset": "conversations",
        "dataset_dir": str(data.parent),
        "template": "lab",
        "output_dir": str(out / "checkpoint"),
        "use_cpu": True,
        "bf16": job["precision"] == "bf16",
        "per_device_train_batch_size": job["batch_size"],
        "max_steps": job["steps"],
        "learning_rate": job["learning_rate"],
        "weight_decay": job["weight_decay"],
        "lr_scheduler_type": "cosine",
        "warmup_ratio": job["warmup_ratio"],
        "max_grad_norm": job["max_gradient_norm"],
        "seed": job["seed"],
        "dataloader_num_workers": job["workers"],
        "overwrite_cache": True,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }
    run_exp(arguments | job["settings"])
    recorder.save(out, version=version("llamafactory"))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
