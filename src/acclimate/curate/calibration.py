"""The door of calibration: labelled triplets in, the filter's threshold out."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from acclimate.artifacts import ReplyLog
from acclimate.curate.labelled import LabelledTriplet
from acclimate.curate.stage import CurateConfig, curate
from acclimate.curate.thresholds import Thresholds, table, thresholds
from acclimate.engines.protocol import Engine
from acclimate.errors import DataError, UsageError
from acclimate.files import JSON
from acclimate.records import Rejection, Triplet

_MOST_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the labelled triplets say about the judge."""

    thresholds: Thresholds
    rejections: tuple[Rejection, ...]
    """Rows that could not be used."""

    def lines(self) -> list[str]:
        """Return what the command prints."""
        bad = [f"Not used: {each.detail}" for each in self.rejections[:_MOST_SHOWN]]
        if len(self.rejections) > _MOST_SHOWN:
            bad.append(f"Not used: {len(self.rejections) - _MOST_SHOWN} more rows.")
        return [*bad, *table(self.thresholds)]

    def to_json(self) -> dict[str, JSON]:
        """Return everything as plain values."""
        found = self.thresholds
        rows: list[JSON] = [asdict(row) for row in found.rows]
        return {
            "n": found.n,
            "n_consistent": found.n_consistent,
            "margin": found.margin,
            "thresholds": rows,
            "picked": None if found.picked is None else found.picked.threshold,
            "rule": found.rule,
            "confusion": {f"{truth}/{said}": n for (truth, said), n in sorted(found.confusion.items())},
            "not_used": [each.detail for each in self.rejections],
        }


def calibrate(
    labelled: Sequence[LabelledTriplet | Rejection],
    engine: Engine,
    config: CurateConfig,
    *,
    log: ReplyLog | None,
    least_precision: float | None = None,
) -> Calibration:
    """Judge labelled triplets as the filter would, and return the table with the threshold to take.

    Args:
        labelled: as `read_labelled` returns them.
        config: whose prompt and margin are used; its threshold is what is looked for.
        least_precision: fraction, 0 to 1; None leaves the choice to F0.5.

    Raises:
        UsageError: the configuration has no judge that reads a prompt.
        DataError: there are no usable rows, or none of one side.
    """
    if not config.needs_judge or config.method != "prompt":
        raise UsageError(
            "Only a judge that reads a prompt can be calibrated from a file of texts. Set curate.method to "
            "prompt and curate.judge to a model."
        )
    rows = [each for each in labelled if isinstance(each, LabelledTriplet)]
    bad = tuple(each for each in labelled if isinstance(each, Rejection))
    n_consistent = sum(row.label == "consistent" for row in rows)
    if n_consistent in (0, len(rows)):
        first = f" The first row that could not be used: {bad[0].detail}." if bad else ""
        raise DataError(
            f"{len(rows)} labelled triplets can be used, {n_consistent} of them consistent. Precision and "
            f"recall need both kinds; label more triplets.{first}"
        )
    triplets = [
        Triplet(f"labelled/{at}", "", row.instruction, row.informative, row.precise, "", "")
        for at, row in enumerate(rows)
    ]
    judged = curate(triplets, engine, config, log=log)
    p = [(each.p_consistent, each.p_inconsistent, each.p_open) for each in judged]
    found = thresholds([row.label for row in rows], p, margin=config.margin, least_precision=least_precision)
    return Calibration(found, bad)
