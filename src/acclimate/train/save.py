"""Writing the finished model as a plain checkpoint, the same bytes for the same weights.

The folder is complete: weights as safetensors in the base checkpoint's precision, the base's configuration
and processor files as they are, the vision policy, and a card. No path, no time, no host is in it.
"""
# ruff: noqa: ANN401

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from acclimate.engines.checkpoint import adapter_base
from acclimate.engines.families import save_processor
from acclimate.errors import TrainError
from acclimate.files import read_json, write_json, write_text
from acclimate.licences import head_of, named_licence
from acclimate.train import reload
from acclimate.train.reload import largest_difference, probe_logits
from acclimate.train.rows import Row

PROBE_POSITIONS = 16
"""Positions at the end of each probe row whose logits are compared."""
TOLERANCE = 1e-3
"""Of the largest logit: what merging and reloading may change. Our own rule; kernels differ in less."""

_DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
_POLICY_KEYS = (
    "crop_size",
    "do_center_crop",
    "do_convert_rgb",
    "do_normalize",
    "do_pad",
    "do_rescale",
    "do_resize",
    "image_grid_pinpoints",
    "image_mean",
    "image_std",
    "max_image_tiles",
    "max_pixels",
    "merge_size",
    "min_pixels",
    "patch_size",
    "resample",
    "rescale_factor",
    "size",
    "temporal_patch_size",
)


def stored_dtype(checkpoint: Path) -> torch.dtype:
    """Return the precision most of the checkpoint's weights are stored in."""
    folder = adapter_base(checkpoint) or checkpoint
    counts: dict[torch.dtype, int] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118
                part = tensors.get_slice(name)
                dtype = _DTYPES.get(part.get_dtype(), torch.float32)
                counts[dtype] = counts.get(dtype, 0) + torch.Size(part.get_shape()).numel()
    return max(counts, key=lambda dtype: counts[dtype])


def probe_of(model: nn.Module, rows: Sequence[Row]) -> dict[str, Tensor]:
    """Return the rows' inputs and the model's logits at their last positions, as `reload` reads them."""
    probe: dict[str, Tensor] = {}
    for number, row in enumerate(rows):
        inputs = {"input_ids": torch.tensor([list(row.input_ids)]), **row.model_inputs}
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        logits = probe_logits(model, inputs, min(PROBE_POSITIONS, len(row.input_ids)))
        probe |= {f"{number}.{name}": value.contiguous() for name, value in inputs.items()}
        probe[f"{number}.logits"] = logits.contiguous()
    return probe


def merged(model: Any, rows: Sequence[Row]) -> Any:
    """Merge LoRA updates into the weights.

    Raises:
        TrainError: the merged model does not answer as the one with updates beside its weights.
    """
    probe = probe_of(model.eval(), rows)
    plain = model.merge_and_unload()
    _require_same(*largest_difference(plain.eval(), probe), what="merging the LoRA updates")
    return plain


def save_checkpoint(model: Any, base: Path, out: Path, dtype: torch.dtype) -> None:
    """Write weights, configuration and processor.

    Args:
        model: the trained model, LoRA merged; it is cast to `dtype`.
        base: the checkpoint it was trained from.
        out: older weights in it are removed.
        dtype: of the stored weights.
    """
    out.mkdir(parents=True, exist_ok=True)
    for stale in (*out.glob("*.safetensors"), *out.glob("*.safetensors.index.json")):
        stale.unlink()
    model.to(dtype).save_pretrained(out)
    save_processor(base, out)
    folder = adapter_base(base) or base
    shutil.copyfile(folder / "config.json", out / "config.json")
    _share(out)


def save_adapter(model: Any, out: Path) -> None:
    """Write LoRA updates by themselves; the base model's path is left out, for the user to fill in."""
    model.save_pretrained(out)
    (out / "README.md").unlink(missing_ok=True)
    settings = read_json(out / "adapter_config.json")
    settings |= {"base_model_name_or_path": "", "target_modules": sorted(settings["target_modules"])}
    write_json(out / "adapter_config.json", settings)
    _share(out)


def vision_policy(image_processor: Any) -> dict[str, Any]:
    """Return how pictures become pixels: what training, evaluation and serving must share."""
    settings = image_processor.to_dict()
    policy = {key: _plain(settings[key]) for key in _POLICY_KEYS if settings.get(key) is not None}
    return {"image_processor": settings.get("image_processor_type", type(image_processor).__name__), **policy}


def save_policy(image_processor: Any, out: Path) -> None:
    """Write `vision_policy.json`."""
    write_json(out / "vision_policy.json", vision_policy(image_processor))


def save_card(out: Path, *, facts: Mapping[str, Any], licence: str | None) -> None:
    """Write the model card: what the model was made from and how, nothing that changes between runs.

    Args:
        licence: its name; None where none was derived.
    """
    head = ["---", "library_name: transformers", "pipeline_tag: image-text-to-text"]
    said = "not derived: not every input names one that this may follow from"
    if licence:
        found = named_licence(licence)
        head += [f"{name}: {json.dumps(value)}" for name, value in head_of(found).items()]
        said = found.printed
    lines = [*head, "---", "", "# Model card", "", "A multimodal model trained by `acclimate`.", ""]
    lines += ["| | |", "|---|---|"]
    lines += [f"| {name} | {_cell(value)} |" for name, value in facts.items()]
    lines += ["", f"Licence: {said}.", ""]
    lines += [
        "Pictures are read as `vision_policy.json` says; evaluate and serve with the same settings.",
        "",
    ]
    write_text(out / "README.md", "\n".join(lines))


def check_reload(out: Path, probe: Mapping[str, Tensor], work: Path, device: str) -> None:
    """Load the checkpoint in a fresh process and compare its logits.

    Raises:
        TrainError: it cannot be loaded, or answers differently.
    """
    path = work / "probe.safetensors"
    save_file(dict(probe), path)
    command = [sys.executable, "-P", str(Path(reload.__file__)), str(out), str(path), device]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1][:300]
        raise TrainError(
            f"The trained checkpoint in {out} cannot be loaded by a fresh process ({last}). Install the "
            "transformers version in constraints.txt and run the same command; training is not repeated."
        )
    result = json.loads(done.stdout.strip().splitlines()[-1])
    _require_same(result["difference"], result["largest"], what="saving and loading again")
    path.unlink()


def _require_same(difference: float, largest: float, *, what: str) -> None:
    if difference <= TOLERANCE * max(1.0, largest):
        return
    raise TrainError(
        f"After {what} the model answers differently: its logits moved by {difference:.3g} (largest logit "
        f"{largest:.3g}). The checkpoint would not be the model that was trained, so it is not to be used. "
        "Train with `train.method: full`, or with the transformers and peft versions in constraints.txt."
    )


def _share(folder: Path) -> None:
    """Give weights the permissions other files get; safetensors makes them the owner's alone."""
    mode = next(folder.glob("*config.json")).stat().st_mode
    for file in folder.glob("*.safetensors"):
        file.chmod(mode)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items() if entry is not None}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value if isinstance(value, str | int | float | bool) else _plain(dict(value))


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
