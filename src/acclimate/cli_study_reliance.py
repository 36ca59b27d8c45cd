"""The verb `study reliance`."""

import tempfile
from collections.abc import Callable
from functools import partial
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
    known_domain,
    lab_or_recipe,
    lab_plan,
    load,
    seeds_of,
    times_done,
)

_DOMAINS = "cells,meals"


def study_reliance(
    recipe: Annotated[
        Path | None, typer.Argument(metavar="[RECIPE]", help="Your recipe; the embedded lab where left out.")
    ] = None,
    overrides: Overrides = None,
    scale: Annotated[
        Literal["lab"] | None, typer.Option("--scale", help="lab: the embedded lab, as without a recipe.")
    ] = None,
    authentic: Annotated[
        Path | None,
        typer.Option(
            "--authentic", help="With a recipe: a file of conversations that people wrote (docs/training.md)."
        ),
    ] = None,
    authentic_images: Annotated[
        Path | None, typer.Option("--authentic-images", help="The folder its image paths count from.")
    ] = None,
    authentic_benchmark: Annotated[
        list[str] | None,
        typer.Option(
            "--authentic-benchmark",
            help="Instead of a file: a benchmark, whose own training file is used (vqa_rad); repeatable.",
        ),
    ] = None,
    arms: Annotated[
        Literal["core", "all"],
        typer.Option("--arms", help="all: also without the filter, in two stages, without captions."),
    ] = "core",
    out: Annotated[Path, typer.Option("--out", help="Folder of the study's files and results.")] = Path(
        "acclimate-reliance"
    ),
    seeds: Annotated[str, typer.Option("--seeds", help="Seeds of training, with commas.")] = "0,1,2",
    domain: Annotated[
        str | None, typer.Option("--domain", help=f"On the lab: domains with commas; {_DOMAINS} if left out.")
    ] = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    limit: Limit = None,
    yes: Yes = False,
) -> None:
    """Compare training on synthetic and on authentic tasks: how much do the answers need the picture?"""
    from acclimate.errors import UsageError
    from acclimate.studies.reliance import run_study
    from acclimate.studies.reliance_page import page

    recipe, overrides = lab_or_recipe(recipe, overrides)
    if scale is not None and recipe is not None:
        raise UsageError("--scale lab runs on the embedded lab; leave it out, or leave the recipe out.")
    chosen = seeds_of(seeds)
    source = _source(recipe, authentic, authentic_images, authentic_benchmark)
    grounds, notes = _grounds(recipe, overrides, source, out, domain, limit)

    def run(display: Any) -> Any:  # noqa: ANN401 - imported late
        return run_study(chosen, grounds, arms=arms, progress=display)

    plan = partial(_plan, recipe, overrides, domain, limit, len(chosen), arms)
    study = StudyRun(out, limit, as_json, dry_run, yes).go(plan, run, page, notes, _files)
    if study is not None:
        _write_tables(out, study)


def _files(study: Any) -> dict[str, str]:  # noqa: ANN401 - imported late
    from acclimate.studies.reliance_page import csv_text, figures

    return {**figures(study), "reliance.csv": csv_text(study.measured)}


def _write_tables(out: Path, study: Any) -> None:  # noqa: ANN401 - imported late
    from acclimate.files import write_records
    from acclimate.report.reliance import ItemReliance, Reliance

    write_records(out / "reliance.parquet", study.measured, Reliance)
    write_records(out / "reliance_items.parquet", study.items, ItemReliance)


def _source(recipe: Path | None, file: Path | None, images: Path | None, benchmarks: list[str] | None) -> Any:  # noqa: ANN401 - imported late
    """Return what stands on the authentic side of a user's recipe; None on the lab."""
    from acclimate.errors import UsageError
    from acclimate.ingest.conversations import ConversationSource

    if recipe is None:
        if file or images or benchmarks:
            raise UsageError("--authentic goes with a recipe; the lab's oracle writes its own.")
        return None
    if (file is None) == (not benchmarks):
        raise UsageError(
            "Say what people wrote: --authentic FILE (conversations) or --authentic-benchmark NAME (its "
            "training file), one of the two."
        )
    if file is None:
        return tuple(benchmarks or ())
    root = "" if images is None else str(images.resolve())
    return ConversationSource(source=str(file.resolve()), image_root=root)


def _grounds(
    recipe: Path | None,
    overrides: list[str] | None,
    source: Any,  # noqa: ANN401 - imported late
    out: Path,
    domain: str | None,
    limit: int | None,
) -> tuple[list[Callable[[], Any]], tuple[str, ...]]:
    """Return what makes each ground, and the notes on them."""
    from acclimate.engines.spending import Accounts
    from acclimate.errors import UsageError

    if recipe is None:
        from acclimate.lab import reliance_study as on_lab

        extra = [*(overrides or []), *([f"limit={limit}"] if limit else [])]
        names = _domains(domain)
        made = [
            partial(on_lab.prepare, out, name, overrides=extra, keys=keys(), accounts=Accounts())
            for name in names
        ]
        return list(made), on_lab.NOTES
    from acclimate.studies.arms import replaced
    from acclimate.studies.reliance import Ground

    if domain is not None:
        raise UsageError("--domain is the lab's; a recipe names its own data.")
    loaded, base = load(recipe, overrides, limit)
    own = replaced(loaded, {"run_dir": str(out.resolve())})

    def ground() -> Ground:
        return Ground(own.name, own, base, source, keys=keys())

    return [ground], ("The seeds are those of training; all of them share the tasks and the questions.",)


def _domains(text: str | None) -> list[str]:
    names = [each.strip() for each in (text or _DOMAINS).split(",")]
    for each in names:
        known_domain(each)
    return names


def _plan(
    recipe: Path | None,
    overrides: list[str] | None,
    domain: str | None,
    limit: int | None,
    n_seeds: int,
    arms: str,
) -> list[Any]:
    """Return what the study takes, roughly: the recipe's own steps, as often as the arms need them."""
    from acclimate.estimate import Amounts, amounts_of, estimate
    from acclimate.lab.reliance_study import SIZES
    from acclimate.pipeline import Line
    from acclimate.studies.reliance import CONDITIONS, DESIGNS

    asked = f"evaluate.conditions=[{', '.join(CONDITIONS)}, mismatch_contrast]"
    one = ["compose.mixture=single_stage", "train.first_stage={}", asked]
    n_domains = 1
    if recipe is None:
        names = _domains(domain)
        n_domains = len(names)
        n = SIZES
        amounts = Amounts(limit or n.pairs, limit or n.seeds, min(limit or n.questions, n.questions))
        extra = [*one, *(overrides or []), *([f"limit={limit}"] if limit else [])]
        rows = lab_plan(names[0], 0, extra, amounts)
    else:
        loaded, base = load(recipe, [*(overrides or []), *one], limit)
        with tempfile.TemporaryDirectory(prefix="acclimate-plan-") as scratch:
            line = Line(loaded, base, scratch=Path(scratch), keys=keys())
            rows = estimate(line, amounts_of(line))
    n_models = n_seeds * (2 + (len(DESIGNS) if arms == "all" else 0))
    shared = [
        *("ingest", "seeds", "general", "tuning-data", "tune-synthesizer", "synthesize", "curate", "items"),
        *("synthesize-heldout", "synthesize-general", "curate-heldout", "curate-general", "evaluate-base"),
    ]
    times = dict.fromkeys(shared, float(n_domains))
    times |= dict.fromkeys(("train", "evaluate-adapted"), float(n_domains * n_models))
    return times_done(rows, times)
