"""The verb `study`: grids of runs that answer one question each."""

import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from acclimate.cli_options import (
    DryRun,
    Json,
    Limit,
    Overrides,
    Yes,
    confirm,
    keys,
    known_domain,
    lab_plan,
    load,
    print_json,
    show_plan,
)

study_app = typer.Typer(help="Grids of runs that answer one question each.", no_args_is_help=True)


def _seeds(text: str) -> list[int]:
    from acclimate.errors import UsageError

    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() for part in parts) or len(set(parts)) < len(parts):
        raise UsageError(f"--seeds is {text!r}; give different whole numbers with commas, such as 0,1,2.")
    return [int(part) for part in parts]


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
    from acclimate.console import Display, backstage
    from acclimate.studies.synthesis import Setting, run_study
    from acclimate.studies.synthesis_page import page

    if recipe is not None and "=" in str(recipe) and not recipe.exists():  # an override, and no recipe
        recipe, overrides = None, [str(recipe), *(overrides or [])]
    chosen = _seeds(seeds)
    prepare, notes = _synthesis_setting(recipe, overrides, out, domain, teacher, limit)
    if dry_run:
        rows = _synthesis_plan(recipe, overrides, domain, limit, len(chosen), teacher)
        show_plan(rows, as_json=as_json)
        return
    if not yes:
        confirm(_synthesis_plan(recipe, overrides, domain, limit, len(chosen), teacher), quiet=as_json)
    with backstage(out / "study.log", quiet=as_json) as console, Display(console) as display:

        def made(seed: int) -> Setting:
            setting: Setting = prepare(seed, display)
            return setting

        study = run_study(chosen, made, progress=display)
        if limit:
            console.print("Test only: this study used a limit on its rows.", style="yellow")
    if limit:
        notes = (f"Test only: this study used a limit of {limit} rows.", *notes)
    text, result = page(study, notes), {"limit": limit, "notes": list(notes), **study.to_json()}
    _write_study(out, text, result)
    if as_json:
        print_json(result)
    else:
        sys.stdout.write(text + f"\n{out / 'study.md'}\n")


def _write_study(out: Path, text: str, result: dict[str, Any]) -> None:
    from acclimate.files import write_json, write_text

    write_text(out / "study.md", text)
    write_json(out / "study.json", result)


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
