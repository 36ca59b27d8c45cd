"""Trains with TRL's SFTTrainer, in TRL's own interpreter, and notes every step.

python run_trl.py JOB.json
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
import trl
from datasets import Dataset, Image, List
from step_recorder import StepRecorder, record_trainer
from transformers import AutoModelForImageTextToText, AutoProcessor, Qwen3VLProcessor, Trainer
from trl import SFTConfig, SFTTrainer


def processor_of(model: str, template: str) -> Any:  # noqa: ANN401
    """Return the processor with the template, and without the video part, which needs torchvision."""
    Qwen3VLProcessor.get_attributes = classmethod(lambda _: ["image_processor", "tokenizer"])
    processor = AutoProcessor.from_pretrained(model)
    processor.chat_template = template
    return processor


def main(job: dict[str, Any]) -> None:
    """Train as the job says."""
    recorder = StepRecorder(job["threads"])
    record_trainer(recorder, Trainer)
    rows = Dataset.from_list(json.loads(Path(job["trl_rows"]).read_text())).cast_column(
        "images", List(Image())
    )
    out = Path(job["out"])
    settings = dict(job["settings"])
    attention = settings.pop("attn_implementation", None)
    arguments: dict[str, Any] = {
        "output_dir": str(out / "work"),
        "use_cpu": True,
        "bf16": job["precision"] == "bf16",
        "per_device_train_batch_size": job["batch_size"],
        "max_steps": job["steps"],
        "learning_rate": job["learning_rate"],
        "weight_decay": job["weight_decay"],
        "lr_scheduler_type": "cosine",
        "warmup_steps": job["warmup_ratio"],
        "max_grad_norm": job["max_gradient_norm"],
        "seed": job["seed"],
        "dataloader_num_workers": job["workers"],
        "assistant_only_loss": True,
        "max_length": None,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }
    model = AutoModelForImageTextToText.from_pretrained(
        job["model"], dtype=torch.float32, attn_implementation=attention
    )
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(**(arguments | settings)),
        train_dataset=rows,
        processing_class=processor_of(job["model"], job["template"]),
    )
    trainer.train()
    recorder.save(out, version=trl.__version__, attention=model.config._attn_implementation)
    trainer.save_model(str(out / "checkpoint"))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
