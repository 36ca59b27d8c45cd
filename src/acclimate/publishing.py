"""Sending a trained checkpoint to the Hugging Face hub: only where the command line asks for it.

The card gets the run's scores first. Repositories are made private; opening them is for people.
"""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

from acclimate.errors import UsageError
from acclimate.files import read_json, write_text


def push(checkpoint: Path, repo: str, *, summary: Path | None, api: Any = None) -> str:  # noqa: ANN401
    """Send a checkpoint; return where it is.

    Args:
        checkpoint: as training wrote it; it is not changed.
        repo: `organisation/name`; made, and private, where there is none.
        summary: the report's summary.json, whose scores the card gets; None or a missing file leaves them
            out.
        api: stands in for the hub, for tests.

    Raises:
        UsageError: the hub refuses the name or the token, or cannot be reached.
    """
    hub = huggingface_hub.HfApi() if api is None else api
    with tempfile.TemporaryDirectory(prefix="acclimate-push-") as name:
        folder = Path(name) / "checkpoint"
        shutil.copytree(checkpoint, folder, copy_function=_linked)
        if summary is not None and summary.is_file():
            card = folder / "README.md"
            text = card.read_text(encoding="utf-8") if card.is_file() else "# Model card\n"
            card.unlink(missing_ok=True)  # a hard link: the checkpoint's own stays as it is
            write_text(card, text.rstrip("\n") + "\n\n" + scores_table(read_json(summary)))
        try:
            hub.create_repo(repo, private=True, exist_ok=True)
            hub.upload_folder(repo_id=repo, folder_path=str(folder), commit_message="Trained by acclimate")
        except (HfHubHTTPError, HFValidationError, LocalTokenNotFoundError, OSError) as error:
            raise UsageError(
                f"The checkpoint could not be sent to {repo} ({' '.join(str(error).split())[:300]}). Log in "
                f"with `hf auth login`, check the name and your rights, and run the same command again. It "
                f"lies in {checkpoint}."
            ) from error
    return f"https://huggingface.co/{repo}"


def scores_table(summary: Mapping[str, Any]) -> str:
    """Return the scores of a report's summary as a section of a card."""
    lines = ["## Scores", "", "| benchmark | base | adapted |", "|---|---|---|"]
    for name, row in summary.get("benchmarks", {}).items():
        lines.append(f"| {name} | {_percent(row.get('base'))} | {_percent(row.get('adapted'))} |")
    means = (summary.get(model, {}).get("macro") for model in ("base", "adapted"))
    lines.append("| mean | " + " | ".join(_percent(each) for each in means) + " |")
    gain = summary.get("gain")
    if gain:
        lines += ["", f"Gain {gain['value']:+.3f}, 95 % interval {gain['low']:+.3f} to {gain['high']:+.3f}."]
    return "\n".join(lines) + "\n"


def _percent(value: object) -> str:
    return f"{value:.1%}" if isinstance(value, float) else "-"


def _linked(source: str, target: str) -> str:
    try:
        Path(target).hardlink_to(source)
    except OSError:
        shutil.copy2(source, target)
    return target
