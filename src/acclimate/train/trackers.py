"""Where a training's losses are told while it goes on: a JSONL file always, trackers where wanted."""

import json
from pathlib import Path
from typing import Any

from accelerate.tracking import LOGGER_TYPE_TO_CLASS

from acclimate.errors import TrainError
from acclimate.train.stage import LossRow, TrainConfig, loss_line


class Trackers:
    """Told every step."""

    def __init__(self, path: Path, config: TrainConfig) -> None:
        """Write to `path`, and start the trackers of `train.execution.report_to`.

        Raises:
            TrainError: a tracker is not known, or its package is not installed.
        """
        self._path = path
        self._is_new = True
        path.parent.mkdir(parents=True, exist_ok=True)
        self._trackers = [_tracker(name, path.parent, config) for name in config.execution.report_to]

    def __call__(self, row: LossRow) -> None:
        """Tell one step; lines of steps that are done again after a crash are replaced."""
        if self._is_new and self._path.is_file():
            lines = self._path.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] < row.step]
            self._path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        self._is_new = False
        with self._path.open("a", encoding="utf-8") as file:
            file.write(loss_line(row))
        for tracker in self._trackers:
            values = {"loss": row.loss, "learning_rate": row.learning_rate, "epoch": row.epoch}
            tracker.log({**values, "trained_tokens": row.tokens}, step=row.step)

    def close(self) -> None:
        """End the trackers' runs."""
        for tracker in self._trackers:
            tracker.finish()


def _tracker(name: str, folder: Path, config: TrainConfig) -> Any:  # noqa: ANN401
    known = {str(getattr(key, "value", key)): kind for key, kind in LOGGER_TYPE_TO_CLASS.items()}
    if name not in known:
        raise TrainError(
            f"train.execution.report_to names {name!r}, which is no tracker. Known: "
            f"{', '.join(sorted(known))}."
        )
    kind: Any = known[name]
    wants_folder = bool(kind.requires_logging_directory)
    try:
        tracker = kind("acclimate", folder) if wants_folder else kind("acclimate")
        if hasattr(tracker, "start"):
            tracker.start()
        settings = config.model_dump(mode="json", exclude={"execution"})
        tracker.store_init_configuration({key: str(value) for key, value in settings.items()})
    except ImportError as error:
        raise TrainError(
            f"The tracker {name} cannot be used ({error}). Install its package, or take it out of "
            "train.execution.report_to."
        ) from error
    return tracker
