"""What `acclimate curate` does beside judging: quality, visual reliance, agreement, calibration."""

import sys
from pathlib import Path
from typing import Any

from acclimate.cli_options import confirm, keys, load, print_json, show_plan, untouched


def _named(values: list[str], option: str) -> dict[str, Path]:
    """Return the paths of `name=path` values by name."""
    from acclimate.errors import UsageError

    found: dict[str, Path] = {}
    for value in values:
        name, equals, path = value.partition("=")
        if not (name and equals and path) or name in found:
            raise UsageError(f"{option} {value!r} cannot be used; write NAME=PATH, each name once.")
        found[name] = Path(path)
    return found


def show_quality(
    recipe: Path,
    overrides: list[str] | None,
    others: list[str],
    *,
    limit: int | None,
    as_json: bool,
    yes: bool,
) -> None:
    """Measure a recipe's tasks and print the tables."""
    from acclimate.console import Display, backstage
    from acclimate.judging import measure_quality
    from acclimate.pipeline import Line

    loaded, base = load(recipe, overrides, limit)
    line, named = Line(loaded, base, keys=keys()), _named(others, "--with")
    if not yes:
        confirm(_quality_plan(line, len(named)), quiet=as_json)
    with backstage(line.root / "run.log", quiet=as_json) as console, Display(console) as display:
        line.place.progress = display
        folder, quality = measure_quality(line, named)
        if loaded.limit:
            console.print("Test only: this run used a limit on its rows.", style="yellow")
    if as_json:
        print_json({"folder": str(folder), "limit": loaded.limit, **quality.to_json()})
    else:
        sys.stdout.write((folder / "quality.md").read_text(encoding="utf-8"))
        sys.stdout.write(f"\nfor people: {folder / 'sheet.csv'}, {folder / 'rubric.md'}\n")


def plan_quality(
    recipe: Path, overrides: list[str] | None, others: list[str], *, limit: int | None, as_json: bool
) -> None:
    """Say what measuring a recipe's tasks takes; do nothing."""
    from acclimate.pipeline import Line

    loaded, base = load(recipe, overrides, limit)
    with untouched((base / str(loaded.run_dir)).resolve()) as scratch:
        line = Line(loaded, base, scratch=scratch, keys=keys())
        show_plan(_quality_plan(line, len(_named(others, "--with"))), as_json=as_json)


def _quality_plan(line: Any, n_others: int) -> list[Any]:  # noqa: ANN401
    from acclimate.estimate import estimate, estimate_rating

    name = "curate" if "curate" in line.steps else "curate-general"
    return [*estimate(line, wanted=line.needed([name])), estimate_rating(line, 2 + n_others)]


def show_reliance(
    recipe: Path, overrides: list[str] | None, *, limit: int | None, as_json: bool, yes: bool
) -> None:
    """Measure how much a recipe's tasks need their pictures, and print the distribution."""
    from acclimate.console import Display, backstage
    from acclimate.estimate import estimate
    from acclimate.judging import measure_reliance, measured_steps, with_reliance
    from acclimate.pipeline import Line

    loaded, base = load(recipe, overrides, limit)
    line = Line(with_reliance(loaded), base, keys=keys())
    is_aside = loaded.curate.reliance is None
    if not yes:
        confirm(estimate(line, wanted=line.needed(measured_steps(line))), quiet=as_json)
    with backstage(line.root / "run.log", quiet=as_json) as console, Display(console) as display:
        line.place.progress = display
        if is_aside:  # the run's folder shows the recipe as it is
            own = Line(loaded, base, progress=display, keys=keys())
            own.place.engines = line.place.engines  # one model in memory at a time
            own.build([name for name in ("curate", "curate-general") if name in own.steps])
        found = measure_reliance(line, aside=is_aside)
        if loaded.limit:
            console.print("Test only: this run used a limit on its rows.", style="yellow")
    if as_json:
        told = {name: {"file": str(file), **spread.to_json()} for name, (file, spread) in found.items()}
        print_json({"limit": loaded.limit, **told})
        return
    for name, (file, spread) in found.items():
        sys.stdout.write("\n".join([f"{name}:", *spread.lines(), f"{file}", ""]))


def plan_reliance(recipe: Path, overrides: list[str] | None, *, limit: int | None, as_json: bool) -> None:
    """Say what measuring the tasks' reliance takes; do nothing."""
    from acclimate.estimate import estimate
    from acclimate.judging import measured_steps, with_reliance
    from acclimate.pipeline import Line

    loaded, base = load(recipe, overrides, limit)
    with untouched((base / str(loaded.run_dir)).resolve()) as scratch:
        line = Line(with_reliance(loaded), base, scratch=scratch, keys=keys())
        show_plan(estimate(line, wanted=line.needed(measured_steps(line))), as_json=as_json)


def show_agreement(recipe: Path, overrides: list[str] | None, sheets: list[str], *, as_json: bool) -> None:
    """Read filled-in sheets and print how their writers agree with each other and with the judge."""
    from acclimate.judging import agreement_of

    loaded, base = load(recipe, overrides, None)
    root = (base / str(loaded.run_dir)).resolve()
    found = agreement_of(root, _named(sheets, "--agreement"))
    if as_json:
        print_json(found.to_json())
    else:
        sys.stdout.write((root / "quality" / "agreement.md").read_text(encoding="utf-8"))


def show_calibration(
    recipe: Path, overrides: list[str] | None, labelled: Path, precision: float | None, *, as_json: bool
) -> None:
    """Judge labelled triplets and print precision and recall by threshold."""
    from acclimate.console import backstage
    from acclimate.judging import calibrate_filter
    from acclimate.pipeline import Line

    loaded, base = load(recipe, overrides, None)
    line = Line(loaded, base, keys=keys())
    with backstage(line.root / "run.log", quiet=as_json):
        found = calibrate_filter(line, labelled, precision)
    if as_json:
        print_json(found.to_json())
    else:
        sys.stdout.write("\n".join(found.lines()) + "\n")
