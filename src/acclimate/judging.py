"""Judges beside the line: how good tasks are, how much they need pictures, where the filter should cut."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from acclimate import artifacts
from acclimate.curate.calibration import Calibration, calibrate
from acclimate.curate.labelled import read_labelled
from acclimate.curate.quality import Quality, write_quality
from acclimate.curate.quality_agreement import Agreement, write_agreement
from acclimate.curate.reliance import MEASURES, RelianceConfig
from acclimate.curate.reliance_table import Distribution, distribution
from acclimate.errors import DataError, UsageError
from acclimate.files import ImageStore, read_json, read_records, write_json
from acclimate.origin import MEASURED, QUALITY
from acclimate.pipeline import Line, steps_of
from acclimate.recipe import Recipe
from acclimate.records import ImageCaption, JudgedTriplet, content_id
from acclimate.steps import read_measures, read_pairs

ALL, KEPT = "all tasks", "kept tasks"


def measure_quality(line: Line, others: Mapping[str, Path] | None = None) -> tuple[Path, Quality]:
    """Judge a line's tasks if need be, measure them, and write everything about them; return where.

    The data sets are all tasks, the kept ones, and the kept ones of other runs. Every two are compared.

    Args:
        others: folders of other runs by the name they get, for instance another generator's on the same
            pairs.

    Raises:
        UsageError: a folder is no run's. DataError: a run has no judged tasks, or there are no tasks at all.
    """
    name = "curate" if "curate" in line.steps else "curate-general"
    homes = line.build([name])
    keep = line.recipe.compose.keep
    tasks = _tasks(homes[name])
    sets = {ALL: tasks, KEPT: [task for task in tasks if task.label in keep]}
    pairs = {pair.id: pair for pair in _pairs(homes, name)}
    for label, root in (others or {}).items():
        if label in sets:
            raise UsageError(f"Two data sets would be called {label!r}; give --with another name.")
        judged, other_pairs = _other(root.resolve())
        sets[label] = _told_apart([task for task in judged if task.label in keep], tasks, label)
        if not sets[label]:
            raise DataError(
                f"Of the {len(judged)} tasks of {root} none has a verdict that compose.keep names "
                f"({', '.join(keep)}), so there is nothing to compare; add the verdicts it has."
            )
        store, wanted = ImageStore(root.resolve()), {task.pair_id for task in sets[label]}
        for pair in other_pairs:
            if pair.id in wanted and pair.id not in pairs:
                line.store.add(store.read(pair.image))
                pairs[pair.id] = pair
    config = line.recipe.quality
    engine, log = None, None
    if (rater := line.rater()) is not None:
        engine, log = line.place.open(rater, config.execution)
    limit = line.recipe.limit
    folder = line.root / (QUALITY if limit is None else f"{QUALITY}-limit-{limit}")
    note = "" if limit is None else f"Test only: the run used a limit of {limit} rows."
    quality = write_quality(
        folder, sets, pairs.values(), engine, config, log=log, store=line.store, note=note
    )
    write_json(folder / MEASURED, read_json(homes[name] / artifacts.RECORD)["fingerprint"])
    return folder, quality


def with_reliance(recipe: Recipe) -> Recipe:
    """Return the recipe with the measuring of its tasks' reliance, by the defaults where it sets none."""
    if recipe.curate.reliance is not None:
        return recipe
    curate = recipe.curate.model_copy(update={"reliance": RelianceConfig()})
    return Recipe.model_validate({**recipe.model_dump(), "curate": curate.model_dump()})


def measured_steps(line: Line) -> list[str]:
    """Return the steps of a line that measure its tasks' reliance: of the pairs' own, and of general ones."""
    return [name for name in ("reliance", "reliance-general") if name in line.steps]


def measure_reliance(line: Line, *, aside: bool) -> dict[str, tuple[Path, Distribution]]:
    """Judge a line's tasks if need be and measure how much they need their pictures; return it by step.

    Args:
        line: of a recipe that `with_reliance` returned.
        aside: the run's own recipe does not measure it, and its folder goes on to say so.

    Returns:
        By step the file of measures and their distribution.

    Raises:
        DataError: the recipe makes no tasks.
    """
    config, names = line.recipe.curate.reliance, measured_steps(line)
    if config is None or not names:
        raise DataError("This recipe makes no tasks, so there is nothing to measure; see `synthesize`.")
    homes = line.build(names, aside=aside)
    found = {}
    for name in names:
        rows, unmeasured = read_measures(homes[name])
        found[name] = homes[name] / MEASURES, distribution(rows, unmeasured, config.floor)
    return found


def _told_apart(others: list[JudgedTriplet], own: list[JudgedTriplet], label: str) -> list[JudgedTriplet]:
    """Return another run's tasks, with ids of their own where one of ours has the same and says otherwise."""
    told = {task.id: _texts(task) for task in own}
    return [
        task
        if told.get(task.id, _texts(task)) == _texts(task)
        else replace(task, id=content_id("of another run", label, task.id))
        for task in others
    ]


def _texts(task: JudgedTriplet) -> tuple[str, str, str]:
    return task.instruction, task.informative, task.precise


def _tasks(home: Path) -> list[JudgedTriplet]:
    return list(read_records(home / "judged.parquet", JudgedTriplet))


def _pairs(homes: Mapping[str, Path], judged: str) -> list[ImageCaption]:
    """Return the pairs that a step's tasks were made from."""
    if judged == "curate":
        return read_pairs(homes["ingest"], "pairs")
    return read_pairs(homes["general" if "general" in homes else "seeds"], "examples")


def _other(root: Path) -> tuple[list[JudgedTriplet], list[ImageCaption]]:
    """Return another run's judged tasks and its pairs."""
    homes = steps_of(root)
    name = "curate" if "curate" in homes else "curate-general"
    if name not in homes or not (homes[name] / artifacts.RECORD).is_file():
        raise DataError(f"The run {root} has no judged tasks; run `acclimate curate` on its recipe first.")
    return _tasks(homes[name]), _pairs(homes, name)


def calibrate_filter(line: Line, labelled: Path, least_precision: float | None) -> Calibration:
    """Judge labelled triplets by the recipe's filter; return precision and recall by threshold.

    Args:
        labelled: a CSV with the columns instruction, informative, precise and label.
        least_precision: fraction, 0 to 1; None leaves the choice to F0.5.

    Raises:
        DataError: the file cannot be used. UsageError: the recipe has no judge that reads a prompt.
    """
    rows = read_labelled(labelled)
    judge = line.judge()
    if judge is None:
        raise UsageError("curate.judge is `none`, so there is nobody to calibrate; name a model.")
    engine, log = line.place.open(judge, line.recipe.curate.execution)
    return calibrate(rows, engine, line.recipe.curate, log=log, least_precision=least_precision)


def agreement_of(root: Path, sheets: Mapping[str, Path]) -> Agreement:
    """Read the sheets people filled in for a run's tasks; write and return how they agree.

    Raises:
        UsageError: the run's quality has not been measured.
    """
    folder = root / QUALITY
    if not folder.is_dir():
        raise UsageError(f"There is no {folder}; run `acclimate curate RECIPE --quality` first.")
    return write_agreement(folder, sheets)
