"""The verb `assemble`: a multimodal model from two parts, and its language model out of one."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from acclimate.cli_options import DryRun, Json, print_json

_PROJECTORS = ("mlp", "linear")
_TEMPLATES = ("own", "plain", "chatml")
_KINDS = ("llava", "llava_next")
_DTYPES = ("auto", "bfloat16", "float32")

STAGES = """\
compose:
  mixture: two_stage               # captions first, then tasks
train:
  model: {model}
  batch_size: 128
  learning_rate: 2.0e-5
  weight_decay: 0.0
  warmup_ratio: 0.03
  freeze: [vision]                 # second stage: projector and language model
  first_stage:
    freeze: [vision, language]     # first stage: the fresh projector alone
    learning_rate: 2.0e-3
"""
"""What LLaVA's two stages look like in a recipe. Source: the LLaVA paper (Liu et al. 2023) for the rates and
the first stage's batch."""


def assemble(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the new model; new or empty.")],
    llm: Annotated[
        str | None, typer.Option("--llm", metavar="LLM", help="A causal language model's folder or name.")
    ] = None,
    vision: Annotated[
        str | None, typer.Option("--vision", metavar="TOWER", help="A CLIP's or SigLIP's folder or name.")
    ] = None,
    extract: Annotated[
        str | None,
        typer.Option("--extract", metavar="MLLM", help="Take this model's language model out instead."),
    ] = None,
    kind: Annotated[str, typer.Option("--kind", help="llava, or llava_next with tiles.")] = "llava",
    projector: Annotated[str, typer.Option("--projector", help="mlp or linear.")] = "mlp",
    template: Annotated[
        str, typer.Option("--template", help="Chat template: own (plain where there is none), plain, chatml.")
    ] = "own",
    vision_layer: Annotated[
        int | None,
        typer.Option("--vision-layer", help="Layer that is read, from the end; else -2."),
    ] = None,
    dtype: Annotated[str, typer.Option("--dtype", help="auto, bfloat16 or float32.")] = "auto",
    seed: Annotated[int, typer.Option("--seed", help="Seed of the projector.")] = 0,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Make a multimodal model of a language model and a vision encoder; or take the language model out."""
    from acclimate.engines.hub import model_folder
    from acclimate.errors import UsageError

    if (extract is None) == (llm is None and vision is None) or (llm is None) != (vision is None):
        raise UsageError(
            "Give two parts (acclimate assemble --llm DIR --vision DIR OUT), or a model whose language model "
            "is taken out (acclimate assemble --extract MLLM OUT)."
        )
    if extract is not None:
        if dry_run:
            raise UsageError("--extract writes one model and measures it: no --dry-run.")
        _extract(model_folder(extract, Path.cwd()), out, as_json=as_json)
        return
    named = {
        "--kind": (kind, _KINDS),
        "--projector": (projector, _PROJECTORS),
        "--template": (template, _TEMPLATES),
        "--dtype": (dtype, _DTYPES),
    }
    for option, (value, known) in named.items():
        if value not in known:
            raise UsageError(f"{option} is {value!r}; choose one of {', '.join(known)}.")
    settings = {
        "kind": kind,
        "projector": projector,
        "template": template,
        "vision_layer": vision_layer,
        "dtype": dtype,
        "seed": seed,
    }
    language, tower = (model_folder(str(name), Path.cwd()) for name in (llm, vision))
    _assemble(language, tower, out, settings, as_json=as_json, dry_run=dry_run)


def _assemble(
    llm: Path, vision: Path, out: Path, settings: dict[str, Any], *, as_json: bool, dry_run: bool
) -> None:
    from acclimate.train.assemble import AssembleConfig, assemble, plan_assembly
    from acclimate.train.plain_folder import quiet, require_free

    config = AssembleConfig.model_validate(settings)
    require_free(out)
    with quiet():
        plan = plan_assembly(llm, vision, config) if dry_run else assemble(llm, vision, out, config)
    if as_json:
        print_json({"plan" if dry_run else "model": asdict(plan), **({} if dry_run else {"out": str(out)})})
        return
    sys.stdout.write(_plan_text(asdict(plan)))
    if dry_run:
        sys.stdout.write("nothing was written\n")
    else:
        sys.stdout.write(f"\nwrote {out}\n\n" + _next_text(out))


def _plan_text(plan: dict[str, Any]) -> str:
    counts = plan["parameters"]
    rows = {
        "language model": f"{plan['language']}, width {plan['language_width']}",
        "vision encoder": f"{plan['vision']}, width {plan['vision_width']}, {plan['image_px']} px, "
        f"layer {plan['vision_layer']}",
        "tokens of a picture": f"{plan['image_tokens']}{' at most' if plan['kind'] == 'llava_next' else ''}",
        "embedding rows": f"{plan['vocabulary']:,}, new tokens {', '.join(plan['added_tokens']) or 'none'}",
        "chat template": plan["template"],
        "stored as": plan["dtype"],
        **{f"parameters, {group}": f"{count:,}" for group, count in counts.items()},
        "parameters": f"{sum(counts.values()):,}",
    }
    lines = [f"{name:<24}{value}" for name, value in rows.items()]
    return "\n".join([*lines, *(f"note: {note}" for note in plan["notes"])]) + "\n"


def _next_text(out: Path) -> str:
    return (
        "Its projector is fresh: train it in two stages before asking it about pictures. In a recipe:\n\n"
        + STAGES.format(model=json.dumps(str(out.resolve()), ensure_ascii=False))
    )


def _extract(mllm: Path, out: Path, *, as_json: bool) -> None:
    from acclimate.train.extract import extract_language_model
    from acclimate.train.plain_folder import quiet

    with quiet():
        found = extract_language_model(mllm, out)
    if as_json:
        print_json({"model": asdict(found), "out": str(out)})
        return
    sys.stdout.write(
        f"{found.language} out of a {found.source} model: {found.parameters:,} parameters, "
        f"{found.left_out:,} left out, {found.dtype}\n"
        f"largest difference of a text's logits: {found.difference:.3g}\n"
        f"wrote {out}\n\n"
        f"load        transformers.AutoModelForCausalLM.from_pretrained({str(out)!r})\n"
        f"serve       vllm serve '{out}'\n"
    )
