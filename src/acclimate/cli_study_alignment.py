"""`acclimate study alignment`: truth and norms of the language model before and after visual tuning."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from acclimate.cli_options import (
    DryRun,
    Json,
    Limit,
    Overrides,
    StudyRun,
    Yes,
    keys,
    lab_or_recipe,
    load,
    seeds_of,
)
from acclimate.errors import UsageError

_TOKENS_PER_CHOICE = {"truthfulqa": 450, "ethics": 110, "": 300}
_CHOICES = {"truthfulqa_mc1": 817 * 5, "truthfulqa_mc2": 817 * 8, "truthfulqa_gen": 817, "ethics": 2 * 20_000}
"""Of the published files, roughly; upper bounds for others."""


def study_alignment(
    recipe: Annotated[
        Path | None, typer.Argument(metavar="[RECIPE]", help="Your recipe; the embedded lab where left out.")
    ] = None,
    overrides: Overrides = None,
    scale: Annotated[
        Literal["lab"] | None, typer.Option("--scale", help="lab: the embedded lab, as without a recipe.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder of the study's files and results.")] = Path(
        "acclimate-alignment"
    ),
    seeds: Annotated[
        str, typer.Option("--seeds", help="Seeds, with commas; single arms have the first.")
    ] = "0,1,2",
    truthfulqa: Annotated[
        str | None, typer.Option("--truthfulqa", help="With a recipe: TruthfulQA.csv, or hub:COMMIT.")
    ] = None,
    ethics: Annotated[
        str | None,
        typer.Option("--ethics", help="With a recipe: folder of ETHICS' five test files, or hub:COMMIT."),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            "--text", help="With a recipe: text tasks with commas, such as truthfulqa,ethics,gsm8k:8."
        ),
    ] = None,
    include_path: Annotated[
        list[Path] | None, typer.Option("--include-path", help="With a recipe: a folder of lm-eval tasks.")
    ] = None,
    language_model: Annotated[
        str | None,
        typer.Option("--language-model", help="The text-only model that the recipe's was assembled from."),
    ] = None,
    chat_base: Annotated[
        str | None,
        typer.Option("--chat-base", help="Another checkpoint to tune, whose language model is chat-tuned."),
    ] = None,
    chat_language_model: Annotated[
        str | None,
        typer.Option("--chat-language-model", help="The text-only model that it was assembled from."),
    ] = None,
    part: Annotated[
        list[str] | None,
        typer.Option(
            "--part", metavar="NAME=SOURCE[,SOURCE]", help="Which of the recipe's conversations a part is."
        ),
    ] = None,
    falsehoods: Annotated[
        str | None, typer.Option("--falsehoods", help="Conversations that state falsehoods, for the control.")
    ] = None,
    lora_rate: Annotated[
        float | None, typer.Option("--lora-rate", help="With a recipe: LoRA's learning rate.")
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Text questions at a time.")] = 1,
    as_json: Json = False,
    dry_run: DryRun = False,
    limit: Limit = None,
    yes: Yes = False,
) -> None:
    """Ask what the language model holds for true and right, before and after visual instruction tuning."""
    from acclimate.studies.alignment import run_study
    from acclimate.studies.alignment_page import figures, page

    recipe, overrides = lab_or_recipe(recipe, overrides)
    chosen = seeds_of(seeds)
    options = {
        "--truthfulqa": truthfulqa, "--ethics": ethics, "--text": text, "--include-path": include_path,
        "--language-model": language_model, "--chat-base": chat_base, "--part": part,
        "--chat-language-model": chat_language_model, "--falsehoods": falsehoods, "--lora-rate": lora_rate,
    }  # fmt: skip
    _check_options(scale, recipe, options)

    def plan() -> list[Any]:
        with tempfile.TemporaryDirectory(prefix="acclimate-plan-") as scratch:
            return _plan(recipe, overrides, options, limit, chosen, Path(scratch))

    def run(display: Any) -> Any:  # noqa: ANN401 - imported late
        if recipe is None:
            setting = _on_lab(out, overrides, limit, display)
        else:
            setting = _on_recipe(recipe, overrides, options, limit, out, batch_size)
        return run_study(chosen, setting, progress=display)

    StudyRun(out, limit, as_json, dry_run, yes).go(plan, run, page, _notes(recipe), figures)


def _check_options(scale: str | None, recipe: Path | None, options: Mapping[str, Any]) -> None:
    """Refuse options that do not go together."""
    if scale is not None and recipe is not None:
        raise UsageError("--scale lab runs on the embedded lab; leave it out, or leave the recipe out.")
    given = next((name for name, value in options.items() if value), None)
    if recipe is None and given is not None:
        raise UsageError(f"{given} goes with a recipe; the lab has its own. Give a recipe, or leave it out.")


def _notes(recipe: Path | None) -> tuple[str, ...]:
    if recipe is None:
        from acclimate.lab.alignment_study import NOTES

        return NOTES
    return ("The seeds are those of training; all models share the conversations and the questions.",)


def _on_lab(out: Path, overrides: list[str] | None, limit: int | None, display: Any) -> Any:  # noqa: ANN401 - imported late
    from acclimate.lab.alignment_study import prepare

    return prepare(out, limit=limit, overrides=overrides or [], progress=display)


def _on_recipe(
    recipe: Path,
    overrides: list[str] | None,
    options: Mapping[str, Any],
    limit: int | None,
    out: Path,
    batch_size: int,
) -> Any:  # noqa: ANN401 - imported late
    from acclimate.studies.alignment_on_recipe import Beside, prepare
    from acclimate.text_scoring import TextConfig, TextExecution

    loaded, base = load(recipe, overrides, limit)
    tasks = _tasks(options)
    config = TextConfig(
        truthfulqa=_here(options["--truthfulqa"]),
        ethics=_here(options["--ethics"]),
        include_path=tuple(str(each.resolve()) for each in options["--include-path"] or ()),
        limit=limit,
    )
    beside = Beside(
        config,
        tasks,
        TextExecution(batch_size=batch_size),
        language_model=_here(options["--language-model"]),
        chat=_here(options["--chat-base"]),
        chat_language_model=_here(options["--chat-language-model"]),
        parts=_parts(options["--part"] or ()),
        falsehoods=_names(options["--falsehoods"]),
        lora_rate=options["--lora-rate"],
    )
    return prepare(loaded, base, run_dir=out, beside=beside, keys=keys())


def _tasks(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the text tasks: those that were named, else those whose files were given."""
    named = _names(options["--text"]) or tuple(
        name for name in ("truthfulqa", "ethics") if options[f"--{name}"]
    )
    if not named:
        raise UsageError(
            "Nothing is asked of the language models: give --truthfulqa TruthfulQA.csv, --ethics FOLDER, or "
            "--text with the names of lm-eval's tasks."
        )
    return named


def _here(value: str | None) -> str | None:
    """Return a file or folder as a whole path; names on the hub stay."""
    return str(Path(value).resolve()) if value is not None and Path(value).exists() else value


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(each.strip() for each in (text or "").split(",") if each.strip())


def _parts(given: Sequence[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for each in given:
        name, mark, sources = each.partition("=")
        if not mark or not name or not _names(sources) or name in found:
            raise UsageError(
                f"--part is {each!r}; write each part once, as detail=SOURCE or detail=SOURCE,SOURCE."
            )
        found[name] = _names(sources)
    return found


def _plan(
    recipe: Path | None,
    overrides: list[str] | None,
    options: Mapping[str, Any],
    limit: int | None,
    seeds: list[int],
    scratch: Path,
) -> list[Any]:
    """Return what the study takes, roughly: trainings and questions, and the tokens of both."""
    from acclimate.engines.spec import spec_of
    from acclimate.estimate import StepEstimate, estimate, flops_per_second, parameters
    from acclimate.pipeline import Line
    from acclimate.recipe import Recipe
    from acclimate.studies.alignment import alignment_of, arms_of, recipe_of

    speed = flops_per_second()
    if recipe is None:
        from acclimate.lab.alignment_study import plan_setting

        setting, sizes = plan_setting(scratch, overrides or [], limit)
    else:
        setting, sizes = _on_recipe(recipe, overrides, options, limit, scratch, 1), None
    start = next(iter(setting.starts.values())).model
    size = parameters(Path(spec_of(start, setting.base).model))
    rows: list[Any] = []

    def row(step: str, work: str, tokens: float, flops: float, disk: float) -> None:
        seconds = flops * size * tokens / speed
        rows.append(StepEstimate(step, finished=False, work=work, tokens=round(tokens), seconds=seconds,
                                 disk_bytes=round(disk)))  # fmt: skip

    def trained(one: Recipe) -> StepEstimate:
        found = estimate(Line(one, setting.base, scratch=scratch), wanted=["train"])
        return next(each for each in found if each.step == "train")

    arms = arms_of(setting, seeds)
    n_trained = sum(map(len, arms.values()))
    if sizes is not None:
        for step, tokens in sizes.tokens_before().items():
            row(step, "the lab's own", tokens, 30.0, 16 * size)
    first = alignment_of(setting, start)
    scaled = {"alignment": (first, len(setting.starts))} if first is not None else {}
    for step, (one, times) in scaled.items():
        each = trained(one)
        n = each.tokens if sizes is None else sizes.alignment_tokens()
        row(step, f"{times} times", times * n, 30.0, 16 * size * times)
    tokens = 0
    for arm, own in arms.items():
        if sizes is None:
            tokens += len(own) * trained(recipe_of(setting, arm, start, 0)).tokens
        else:
            tokens += len(own) * sizes.arm_tokens(arm.part)
    row("arms", f"{n_trained} trainings", tokens, 30.0, 4 * size * n_trained)
    n_models = n_trained + len(setting.starts) + (setting.untold is not None)
    asked = sizes.asked_tokens() if sizes is not None else _asked_tokens(setting.tasks, limit)
    row("text questions", f"{n_models} models", n_models * asked, 20.0, 10_000_000 * n_models)
    return rows


def _asked_tokens(tasks: tuple[str, ...], limit: int | None) -> int:
    """Return the tokens that one model reads for the tasks, from the published files' sizes."""
    wanted = [
        name
        for each in tasks
        for name in _CHOICES
        if name == each or name.startswith(f"{each}_") or each.startswith(f"{name}_")
    ]
    total = 0
    for name in wanted:
        choices = min(_CHOICES[name], 10 * limit) if limit else _CHOICES[name]
        total += choices * _TOKENS_PER_CHOICE[name.partition("_")[0]]
    others = [each for each in tasks if each.partition("_")[0] not in ("truthfulqa", "ethics")]
    return total + len(others) * (10 * limit if limit else 4000) * _TOKENS_PER_CHOICE[""]
