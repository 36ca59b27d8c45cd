"""Measures a lab run from outside: are the synthetic answers right, and does the filter know?

The audit sees finished artifacts and the scenes behind the images; no room sees it.
"""

import json
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

from acclimate.files import read_records
from acclimate.lab.language import TASK_TYPES
from acclimate.lab.oracle import is_right, read
from acclimate.lab.render import scene_from
from acclimate.records import ImageCaption, JudgedTriplet, Label
from acclimate.report.inputs import Audit


def synthesis_audit(
    homes: Mapping[str, Path], scenes_file: Path, *, keep: Collection[Label]
) -> dict[str, object]:
    """Return what the oracle says of a run's synthetic tasks; shares are fractions, 0 to 1.

    `accuracy` counts a triplet as right when the oracle marks its *precise* answer right; a question that the
    oracle cannot read counts as wrong (`unreadable` is their share). `distinct_instructions` is the number of
    different instructions over triplets, `top_instruction` the share of the commonest one, `task_types` the
    paper's types among kept triplets, and `copied` the share whose precise answer stands word for word in
    the caption. Of a task with one answer that answer is taken.

    Args:
        keep: verdicts whose tasks are trained on.
    """
    scenes = {key: scene_from(text) for key, text in json.loads(scenes_file.read_text()).items()}
    pairs = {pair.id: pair for pair in read_records(homes["ingest"] / "pairs.parquet", ImageCaption)}
    rows = list(read_records(homes["curate"] / "judged.parquet", JudgedTriplet))
    right: list[bool] = []
    kinds: list[str | None] = []
    copied = 0
    for row in rows:
        pair = pairs[row.pair_id]
        scene = scenes[pair.image.sha256]
        answer = row.precise or row.informative
        verdict = is_right(scene, row.instruction, answer)
        reading = read(scene, row.instruction)
        right.append(bool(verdict))
        kinds.append(reading.kind if reading else None)
        copied += answer.lower() in pair.caption.lower()
    kept = [row.label in keep for row in rows]
    n, n_kept = len(rows), sum(kept)
    instructions = Counter(row.instruction for row in rows)
    kept_types = Counter(TASK_TYPES[k] for k, keep in zip(kinds, kept, strict=True) if keep and k)
    return {
        "pairs": len(pairs),
        "triplets": n,
        "kept": n_kept,
        "accuracy_all": sum(right) / n if n else None,
        "accuracy_kept": sum(r for r, keep in zip(right, kept, strict=True) if keep) / n_kept
        if n_kept
        else None,
        "unreadable": sum(kind is None for kind in kinds) / n if n else None,
        "distinct_instructions": len(instructions) / n if n else None,
        "top_instruction": instructions.most_common(1)[0][1] / n if n else None,
        "task_types": len(kept_types),
        "copied": copied / n if n else None,
        "types": dict(sorted(kept_types.items())),
    }


def audit_table(audit: Mapping[str, object]) -> Audit:
    """Return the audit as a table for the report."""
    names = {
        "triplets": "synthetic tasks",
        "kept": "kept by the filter",
        "accuracy_all": "right answers, all tasks",
        "accuracy_kept": "right answers, kept tasks",
        "unreadable": "questions the oracle cannot read",
        "distinct_instructions": "different instructions",
        "task_types": "task types kept",
        "copied": "answers that stand in the caption",
    }
    rows = []
    for key, label in names.items():
        value = audit[key]
        rows.append((label, f"{value:.1%}" if isinstance(value, float) else str(value)))
    return Audit(
        title="Synthetic tasks, judged by the world's oracle",
        columns=("measure", "value"),
        rows=tuple(rows),
        note="The oracle knows what every picture contains; no room of the line sees it.",
    )
