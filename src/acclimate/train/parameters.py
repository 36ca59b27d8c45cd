"""Which parameters learn, and how fast: module groups, optimizer groups, LoRA targets, the dry run's plan."""
# ruff: noqa: ANN401

import importlib.util
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import peft
import torch
import transformers
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from acclimate.engines.checkpoint import adapter_base, require_checkpoint
from acclimate.engines.families import Family, family_of, module_group
from acclimate.errors import TrainError
from acclimate.train.memory import Shape, memory_bytes
from acclimate.train.schedule import n_steps
from acclimate.train.stage import Group, GroupPlan, TrainConfig, TrainPlan

GROUPS: tuple[Group, ...] = get_args(Group)


def prepare(model: nn.Module, config: TrainConfig, family: Family | None) -> nn.Module:
    """Freeze what does not learn, and for LoRA wrap the model.

    Args:
        model: with all parameters in fp32.
        config: `method`, `freeze`, `lora` and `seed` count.
        family: the model's; None where it is not one of ours.

    Raises:
        TrainError: nothing is left to learn.
    """
    if config.method == "full":
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(module_group(family, name) not in config.freeze)
    else:
        model = _with_lora(model, config, family)
    if config.execution.gradient_checkpointing:
        checkpointing: Any = model.gradient_checkpointing_enable
        checkpointing(gradient_checkpointing_kwargs={"use_reentrant": False})
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise TrainError(_nothing_learns(config))
    return model


def freeze_unreached(model: nn.Module, loss: Tensor) -> int:
    """Freeze what a loss on a row with a picture does not depend on; return how many parameters that are.

    A last layer whose output is not used, or a vision tower where no row has a picture: it would learn
    nothing, and only shrink by weight decay.

    Raises:
        TrainError: nothing is left to learn.
    """
    if loss.requires_grad:
        loss.backward()  # type: ignore[no-untyped-call]
    frozen = 0
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.grad is None:
            parameter.requires_grad = False
            frozen += parameter.numel()
        parameter.grad = None
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise TrainError(
            "Nothing would learn: what is not frozen plays no part in the loss. Take a group out of "
            "`train.freeze`, or bring conversations with pictures."
        )
    return frozen


def optimizer_groups(model: nn.Module, config: TrainConfig, family: Family | None) -> list[dict[str, Any]]:
    """Return AdamW's parameter groups, the language model's first.

    Vectors (norms, biases, and the like) are not decayed. Source: usual practice, and that of
    `transformers.Trainer`.
    """
    groups: list[dict[str, Any]] = []
    for group in reversed(GROUPS):
        learning = [
            parameter
            for name, parameter in model.named_parameters()
            if parameter.requires_grad and module_group(family, name) == group
        ]
        for decays in (True, False):
            parameters = [parameter for parameter in learning if (parameter.ndim >= 2) is decays]
            if parameters:
                groups.append(
                    {
                        "params": parameters,
                        "lr": config.learning_rate_of(group),
                        "weight_decay": config.weight_decay_of(group) if decays else 0.0,
                    }
                )
    return groups


def plan_training(
    config: TrainConfig, model: Path, n_conversations: int, tokens_per_conversation: float | None
) -> TrainPlan:
    """Return what a training would do; see `stage.plan`."""
    require_checkpoint(model)
    family = family_of(model)
    folder = adapter_base(model) or model
    settings = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    with torch.device("meta"):
        auto: Any = transformers.AutoModelForImageTextToText
        empty = auto.from_config(settings)
    total = dict.fromkeys(GROUPS, 0)
    for name, parameter in empty.named_parameters():
        total[module_group(family, name)] += parameter.numel()
    trainable = trainable_counts(empty, config, family, total)
    if not any(trainable.values()):
        raise TrainError(_nothing_learns(config))
    steps = n_steps(n_conversations, config.batch_size, config.epochs, config.max_steps)
    tokens = None
    if tokens_per_conversation is not None:
        seen = min(steps * config.batch_size, config.epochs * n_conversations)
        tokens = round(seen * tokens_per_conversation)
    groups = tuple(
        GroupPlan(
            group,
            total[group],
            trainable[group],
            config.learning_rate_of(group),
            config.weight_decay_of(group),
        )
        for group in GROUPS
    )
    largest = min(config.execution.tokens_per_pass, config.execution.micro_batch * config.max_tokens)
    if tokens_per_conversation is not None:
        largest = min(largest, round(config.execution.micro_batch * tokens_per_conversation))
    needed = memory_bytes(config, total, trainable, Shape.of(settings), tokens=largest)
    return TrainPlan(groups, steps, tokens, needed)


def trainable_counts(
    model: Any, config: TrainConfig, family: Family | None, total: Mapping[Group, int]
) -> dict[Group, int]:
    """Return how many parameters learn, by group: of the model, or of the updates beside its weights."""
    if config.method == "full":
        return {group: 0 if group in config.freeze else count for group, count in total.items()}
    trainable = dict.fromkeys(GROUPS, 0)
    for name, layer in _lora_layers(model, config, family):
        added = config.lora.rank * (layer.in_features + layer.out_features)
        trainable[module_group(family, f"{name}.weight")] += added
    return trainable


def load_frozen(base: Path) -> Any:
    """Load a checkpoint with the language model's and the vision tower's matrices in 4 bits, for QLoRA.

    Source: QLoRA (Dettmers et al. 2023): NormalFloat 4, doubly quantised, computed in bfloat16.

    Raises:
        TrainError: bitsandbytes is not installed, or the checkpoint is an adapter.
    """
    if adapter_base(base) is not None:
        raise TrainError(
            f"{base} is an adapter, which QLoRA cannot start from. Merge it into its base first."
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise TrainError(
            "train.method is qlora, and bitsandbytes is not installed. Install the extra: pip install "
            "'acclimate[gpu]'; or set train.method to lora."
        )
    library: Any = transformers
    settings = library.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
        llm_int8_skip_modules=["lm_head"],
    )
    return library.AutoModelForImageTextToText.from_pretrained(
        base,
        quantization_config=settings,
        dtype=torch.float32,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
    )


def compile_layers(model: nn.Module) -> None:
    """Send the repeated layers of a model through torch.compile, each by itself."""
    for layer in repeated_layers(model):
        layer.compile(dynamic=True)


def repeated_layers(model: nn.Module) -> list[nn.Module]:
    """Return the layers that a model's towers are stacked from."""
    return [
        layer
        for layers in model.modules()
        if isinstance(layers, nn.ModuleList)
        for layer in layers
        if isinstance(layer, GradientCheckpointingLayer)
    ]


def _with_lora(model: nn.Module, config: TrainConfig, family: Family | None) -> nn.Module:
    targets = [name for name, _ in _lora_layers(model, config, family)]
    if not targets:
        raise TrainError(_nothing_learns(config))
    settings = peft.LoraConfig(
        r=config.lora.rank,
        lora_alpha=config.lora.alpha,
        lora_dropout=config.lora.dropout,
        target_modules=targets,
    )
    torch.manual_seed(config.seed)
    return peft.get_peft_model(model, settings)


def _lora_layers(model: Any, config: TrainConfig, family: Family | None) -> Iterator[tuple[str, nn.Linear]]:
    wanted: Collection[Group] = set(config.lora.targets) - set(config.freeze)
    head = model.get_output_embeddings()
    for name, layer in model.named_modules():
        if (
            isinstance(layer, nn.Linear)
            and layer is not head
            and module_group(family, f"{name}.weight") in wanted
        ):
            yield name, layer


def _nothing_learns(config: TrainConfig) -> str:
    return (
        f"Nothing would learn: method {config.method} with {', '.join(config.freeze) or 'nothing'} frozen "
        "leaves no parameter free. Take a group out of `train.freeze`, or put one into `train.lora.targets`."
    )
