"""Labels a lab run's triplets by the oracle, for the calibration of the filter."""

from pathlib import Path

from acclimate import artifacts
from acclimate.curate.labelled import write_labelled
from acclimate.errors import UsageError
from acclimate.files import read_json, read_records
from acclimate.lab.levels import truth
from acclimate.lab.render import scene_from
from acclimate.pipeline import steps_of
from acclimate.records import ImageCaption, Triplet

SCENES = "world/oracle/scenes.json"


def write_lab_labels(folder: Path, out: Path) -> int:
    """Write a CSV with every synthetic triplet and whether its two answers agree; return its rows.

    Args:
        folder: a demo's: it holds `run` and `world`.

    Raises:
        UsageError: it is none, or its tasks are not written yet.
    """
    if not (folder / SCENES).is_file():
        raise UsageError(f"{folder} is no demo's folder: it has no {SCENES}. Run `acclimate demo` first.")
    homes = steps_of(folder / "run")
    if not (homes["synthesize"] / artifacts.RECORD).is_file():
        raise UsageError(f"{folder} has no synthetic tasks yet; run `acclimate demo` first.")
    scenes = {key: scene_from(text) for key, text in read_json(folder / SCENES).items()}
    pairs = {pair.id: pair for pair in read_records(homes["ingest"] / "pairs.parquet", ImageCaption)}
    triplets = list(read_records(homes["synthesize"] / "triplets.parquet", Triplet))
    labels = {each.id: truth(each, scenes[pairs[each.pair_id].image.sha256]) for each in triplets}
    return write_labelled(out, triplets, labels)
