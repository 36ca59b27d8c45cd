"""The verb `study`: grids of runs that answer one question each."""

import tempfile
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from acclimate.cli_options import (
    DryRun,
    Json,
    Limit,
    Overrides,
    StudyRun,
    Yes,
    keys,
    known_domain,
    lab_or_recipe,
    lab_plan,
    load,
    seeds_of,
    times_done,
)
from acclimate.cli_study_alignment import study_alignment
from acclimate.cli_study_reliance import study_reliance

study_app = typer.Typer(help="Grids of runs that answer one question each.", no_args_is_help=True)
study_app.command("reliance")(study_reliance)
study_app.command("alignment")(study_alignment)


@study_app.command("synthesis")
def study_synthesis(
    recipe: Annotated[
        Path | None, typer.Argument(metavar="[RECIPE]", help="Your recipe; the embedded lab where left out.")
    ] = None,
    overrides: Overrides = None,
    out: Annotated[Path, typer.Option("--out", help="Folder of the study's files and results.")] = Path(
        "acclimate-synthesis"
    ),
    seeds: Annotated[str, typer.Option("--seeds", help="Seeds, with commas.")] = "0,1,2",
    domain: Annotated[
        str | None, typer.Option("--domain", help="On the lab: cells (where left out) or meals.")
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option("--teacher", help="With a recipe: the text teacher, a checkpoint or openai:NAME@URL."),
    ] = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    limit: Limit = None,
    yes: Yes = False,
) -> None:
    """Measure synthetic tasks: by the synthesizer's inputs, with the filter, and against other methods."""
    from acclimate.studies.synthesis import Setting, run_study
    from acclimate.studies.synthesis_page import page

    recipe, overrides = lab_or_recipe(recipe, overrides)
    chosen = seeds_of(seeds)
    prepare, notes = _synthesis_setting(recipe, overrides, out, domain, teacher, limit)

    def run(display: Any) -> Any:  # noqa: ANN401 - imported late
        def made(seed: int) -> Setting:
            setting: Setting = prepare(seed, display)
            return setting

        return run_study(chosen, made, progress=display)

    plan = partial(_synthesis_plan, recipe, overrides, domain, limit, len(chosen), teacher)
    StudyRun(out, limit, as_json, dry_run, yes).go(plan, run, page, notes)


@study_app.command("training")
def study_training(
    recipe: Annotated[
        Path | None, typer.Argument(metavar="[RECIPE]", help="Your recipe; the embedded lab where left out.")
    ] = None,
    overrides: Overrides = None,
    out: Annotated[Path, typer.Option("--out", help="Folder of the study's files and results.")] = Path(
        "acclimate-training"
    ),
    seeds: Annotated[str, typer.Option("--seeds", help="Seeds, with commas.")] = "0,1,2",
    domain: Annotated[
        str | None, typer.Option("--domain", help="On the lab: cells (where left out) or meals.")
    ] = None,
    general: Annotated[
        list[Path] | None,
        typer.Option("--general", help="With a recipe: a benchmark of general skills, for forgetting."),
    ] = None,
    captions: Annotated[
        list[Path] | None,
        typer.Option("--captions", help="With a recipe: a benchmark that asks for captions."),
    ] = None,
    second_base: Annotated[
        str | None,
        typer.Option("--second-base", help="Another checkpoint that learns from the same conversations."),
    ] = None,
    without_second_base: Annotated[
        bool, typer.Option("--without-second-base", help="On the lab: train no second base.")
    ] = False,
    lora_rate: Annotated[
        float | None, typer.Option("--lora-rate", help="With a recipe: LoRA's learning rate.")
    ] = None,
    projector_rate: Annotated[
        float | None, typer.Option("--projector-rate", help="With a recipe: the projector's learning rate.")
    ] = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    limit: Limit = None,
    yes: Yes = False,
) -> None:
    """Compare ways of post-training: one stage or two, all weights, LoRA, or the projector alone."""
    from acclimate.studies.training import Setting, run_study
    from acclimate.studies.training_on_recipe import Beside
    from acclimate.studies.training_page import page

    recipe, overrides = lab_or_recipe(recipe, overrides)
    chosen = seeds_of(seeds)
    if second_base is not None and Path(second_base).is_dir():
        second_base = str(Path(second_base).resolve())
    beside = Beside(general or (), captions or (), second_base, lora_rate, projector_rate)
    is_left_out = without_second_base or second_base is not None
    prepare, notes = _training_setting(
        recipe, overrides, out, domain, beside, limit, own_second=not is_left_out
    )

    def run(display: Any) -> Any:  # noqa: ANN401 - imported late
        def made(seed: int) -> Setting:
            setting: Setting = prepare(seed, display)
            return setting

        return run_study(chosen, made, progress=display)

    plan = partial(_training_plan, recipe, overrides, domain, beside, limit, len(chosen), not is_left_out)
    StudyRun(out, limit, as_json, dry_run, yes).go(plan, run, page, notes)


def _training_setting(
    recipe: Path | None,
    overrides: list[str] | None,
    out: Path,
    domain: str | None,
    beside: Any,  # noqa: ANN401
    limit: int | None,
    *,
    own_second: bool,
) -> tuple[Any, tuple[str, ...]]:
    """Return what makes a seed's setting, and the notes on it.

    Args:
        own_second: on the lab, whether a second base is trained.
    """
    from acclimate.engines.spending import Accounts
    from acclimate.errors import UsageError

    accounts = Accounts()
    if recipe is None:
        from acclimate.lab import second_base as on_second
        from acclimate.lab import training_study as on_lab

        known_domain(domain or "cells")
        if beside.general or beside.captions or beside.lora_rate or beside.projector_rate:
            raise UsageError(
                "--general, --captions, --lora-rate and --projector-rate go with a recipe; the lab has its "
                "own."
            )
        extra = [*(overrides or []), *([f"limit={limit}"] if limit else [])]
        sizes, made = on_second.BaseSizes().limited(limit), [beside.second]

        def on_world(seed: int, display: Any) -> Any:  # noqa: ANN401
            if own_second and made[0] is None:
                made[0] = str(on_second.second_base(out / "second-base", sizes, progress=display))
            return on_lab.prepare(
                out,
                seed,
                domain=domain or "cells",
                second=made[0],
                overrides=extra,
                keys=keys(),
                accounts=accounts,
            )

        return on_world, (*on_lab.NOTES, *([on_second.NOTE] if own_second else []))
    from acclimate.studies import training_on_recipe as on_own

    if domain is not None:
        raise UsageError("--domain is the lab's; a recipe names its own data.")
    loaded, base = load(recipe, overrides, limit)

    def on_recipe(seed: int, _display: Any) -> Any:  # noqa: ANN401
        return on_own.prepare(loaded, base, seed, run_dir=out, beside=beside, keys=keys(), accounts=accounts)

    return on_recipe, (
        "The seeds are those of training; all of them share the tasks and the questions.",
        *(() if beside.general else ("No benchmark of general skills was named (--general).",)),
    )


def _training_plan(
    recipe: Path | None,
    overrides: list[str] | None,
    domain: str | None,
    beside: Any,  # noqa: ANN401
    limit: int | None,
    n_seeds: int,
    own_second: bool,
) -> list[Any]:
    """Return what the study takes, roughly: the recipe's own steps, as often as the arms need them."""
    from acclimate.estimate import Amounts, StepEstimate, amounts_of, estimate
    from acclimate.evaluate.load import load_benchmark
    from acclimate.files import ImageStore
    from acclimate.lab.second_base import BaseSizes
    from acclimate.lab.training_study import SIZES
    from acclimate.pipeline import Line

    one = ["compose.mixture=single_stage", "train.first_stage={}", "evaluate.conditions=[original]"]
    has_second = beside.second is not None or (recipe is None and own_second)
    if recipe is None:
        n = Amounts(
            limit or SIZES.pairs, limit or SIZES.seeds, min(limit or SIZES.questions, SIZES.questions)
        )
        rows = lab_plan(domain or "cells", 0, [*one, *(overrides or [])], n)
        asked = 9 / 4  # four sets of the domain, four general ones, and captions
        runs = n_seeds
    else:
        loaded, base = load(recipe, [*(overrides or []), *one], limit)
        with tempfile.TemporaryDirectory(prefix="acclimate-plan-") as scratch:
            line = Line(loaded, base, scratch=Path(scratch), keys=keys())
            amounts = amounts_of(line)
            rows = estimate(line, amounts)
            store = ImageStore(Path(scratch))
            files = (*beside.general, *beside.captions)
            n_beside = sum(len(load_benchmark(each, store, limit).items) for each in files)
        asked = 1 + n_beside / max(1, amounts.items)
        runs = 1
    shared = [
        *("ingest", "conversations", "seeds", "general", "tuning-data", "tune-synthesizer"),
        *("synthesize", "synthesize-heldout", "synthesize-general"),
        *("curate", "curate-heldout", "curate-general"),
    ]
    times = dict.fromkeys(shared, 1.0 * runs)
    times |= {"train": n_seeds * (4.0 + has_second), "evaluate-adapted": n_seeds * asked * (5.0 + has_second)}
    times["evaluate-base"] = runs * asked * (1.0 + has_second)
    found = times_done(rows, times)
    if recipe is None and own_second:
        sizes = BaseSizes().limited(limit)
        train = next(row for row in rows if row.step == "train")
        seconds = sizes.tokens * train.seconds / max(1, train.tokens)
        work = f"{sizes.captions + sizes.lessons:,} conversations and an encoder"
        own = StepEstimate("second base", finished=False, work=work, tokens=sizes.tokens, seconds=seconds,
                           disk_bytes=4000 * sizes.lessons)  # fmt: skip
        found = [own, *found]
    return found


def _synthesis_setting(
    recipe: Path | None,
    overrides: list[str] | None,
    out: Path,
    domain: str | None,
    teacher: str | None,
    limit: int | None,
) -> tuple[Any, tuple[str, ...]]:
    """Return what makes a seed's setting, and the notes on it."""
    from acclimate.engines.spending import Accounts
    from acclimate.errors import UsageError

    accounts = Accounts()
    if recipe is None:
        from acclimate.lab import synthesis_study as on_lab

        known_domain(domain or "cells")
        if teacher is not None:
            raise UsageError("--teacher goes with a recipe; the lab trains its own.")
        extra = [*(overrides or []), *([f"limit={limit}"] if limit else [])]

        def on_world(seed: int, display: Any) -> Any:  # noqa: ANN401
            return on_lab.prepare(
                out,
                seed,
                domain=domain or "cells",
                overrides=extra,
                progress=display,
                keys=keys(),
                accounts=accounts,
            )

        return on_world, on_lab.NOTES
    from acclimate.studies import synthesis_by_judge as by_judge

    if domain is not None:
        raise UsageError("--domain is the lab's; a recipe names its own data.")
    loaded, base = load(recipe, overrides, limit)
    if teacher is not None and Path(teacher).is_dir():
        teacher = str(Path(teacher).resolve())

    def on_recipe(seed: int, display: Any) -> Any:  # noqa: ANN401
        return by_judge.prepare(
            loaded, base, seed, run_dir=out, teacher=teacher, progress=display, keys=keys(), accounts=accounts
        )

    return on_recipe, (
        f"Rated by the recipe's judge (quality.judge), {loaded.quality.per_set} pairs per set.",
    )


def _synthesis_plan(
    recipe: Path | None,
    overrides: list[str] | None,
    domain: str | None,
    limit: int | None,
    n_seeds: int,
    teacher: str | None,
) -> list[Any]:
    """Return what the study takes, roughly: the recipe's own steps, as often as the arms need them."""
    from dataclasses import replace

    from acclimate.estimate import Amounts, estimate, estimate_rating
    from acclimate.lab.synthesis_study import SIZES
    from acclimate.pipeline import Line
    from acclimate.studies.synthesis import N_TUNED, VALIDATION

    rated, n_sets = None, N_TUNED + 3
    if recipe is None:
        extra = [*(overrides or []), *([f"limit={limit}"] if limit else [])]
        rows, n = (
            lab_plan(domain or "cells", 0, extra, Amounts(limit or SIZES.pairs, limit or SIZES.seeds, 0)),
            SIZES,
        )
        shown = VALIDATION * n.seeds / n.pairs
    else:
        loaded, base = load(recipe, overrides, limit)
        with tempfile.TemporaryDirectory(prefix="acclimate-plan-") as scratch:
            own = {"generator": "synthesizer", "model": "tuned", "samples_per_pair": 1}
            whole = loaded.model_copy(update={"synthesize": loaded.synthesize.model_copy(update=own)})
            line = Line(whole, base, scratch=Path(scratch), keys=keys())
            rows = estimate(line, wanted=line.needed(["curate"]))
            rated = estimate_rating(line, n_sets + bool(teacher), ("combined", "precise", "informative"))
        shown = VALIDATION
    times = {"ingest": 1.0, "seeds": 1.0, "tuning-data": N_TUNED, "tune-synthesizer": N_TUNED + 1}
    times |= {"synthesize": 2 + (N_TUNED + 1) * shown, "curate": 1.0, "rate": 1.0}
    rows = [*rows, *([rated] if rated is not None else [])]
    return [
        replace(
            row,
            finished=False,
            work=f"{n_seeds} seeds, each {times[row.step]:.1f} times {row.work}",
            tokens=round(row.tokens * times[row.step] * n_seeds),
            seconds=row.seconds * times[row.step] * n_seeds,
            disk_bytes=round(row.disk_bytes * times[row.step] * n_seeds),
            cost=row.cost and row.cost.times(times[row.step] * n_seeds),
        )
        for row in rows
        if row.step in times
    ]
