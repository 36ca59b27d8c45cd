"""Sending a checkpoint or a data set to the Hugging Face hub: only where the command line asks for it.

Each goes with its card, and nothing goes where the card names no licence. Repositories are made private;
opening them is for people.
"""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

from acclimate.carded import DATA_FILE, README
from acclimate.errors import UsageError
from acclimate.files import write_text
from acclimate.licences import refusal_in


def push(checkpoint: Path, repo: str, *, card: Mapping[str, str], api: Any = None) -> str:  # noqa: ANN401
    """Send a checkpoint with its card; return where it is.

    Args:
        checkpoint: as training wrote it; it is not changed.
        repo: `organisation/name`; made, and private, where there is none.
        card: files that stand in the checkpoint's place or beside it, by their path in the repository;
            README.md is among them.
        api: stands in for the hub, for tests.

    Raises:
        UsageError: the card names no licence: then nothing is made or sent. Or the hub refuses the name or
            the token, or cannot be reached.
    """
    files = {path.relative_to(checkpoint).as_posix(): path for path in checkpoint.rglob("*")}
    return _send(files, card, repo, kind="model", where=checkpoint, api=api)


def push_dataset(conversations: Path, repo: str, *, card: str, api: Any = None) -> str:  # noqa: ANN401
    """Send composed conversations with their card; return where they are. Pictures do not go along.

    Args:
        conversations: the Parquet file that was composed. card: README.md.
        repo, api: as in `push`.

    Raises:
        UsageError: as in `push`.
    """
    files = {DATA_FILE: conversations}
    return _send(files, {README: card}, repo, kind="dataset", where=conversations, api=api)


def _send(
    files: Mapping[str, Path],
    texts: Mapping[str, str],
    repo: str,
    *,
    kind: str,
    where: Path,
    api: Any,  # noqa: ANN401
) -> str:
    refusal = refusal_in(texts[README])
    if refusal:
        raise UsageError(
            f"Nothing was sent to {repo}. {refusal} To name one yourself, add --licence NAME to the same "
            "command."
        )
    hub = huggingface_hub.HfApi() if api is None else api
    with tempfile.TemporaryDirectory(prefix="acclimate-push-") as name:
        folder = Path(name) / "content"
        for place, source in files.items():
            if place not in texts and source.is_file():
                (folder / place).parent.mkdir(parents=True, exist_ok=True)
                _link(source, folder / place)
        for place, text in texts.items():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            write_text(folder / place, text)
        try:
            hub.create_repo(repo, repo_type=kind, private=True, exist_ok=True)
            hub.upload_folder(
                repo_id=repo, repo_type=kind, folder_path=str(folder), commit_message="Made by acclimate"
            )
        except (HfHubHTTPError, HFValidationError, LocalTokenNotFoundError, OSError) as error:
            said = " ".join(str(error).split())[:300]
            raise UsageError(
                f"The {kind} could not be sent to {repo} ({said}). Log in with `hf auth login`, check the "
                f"name and your rights, and run the same command again. It lies in {where}."
            ) from error
    return f"https://huggingface.co/{'datasets/' if kind == 'dataset' else ''}{repo}"


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copy2(source, target)
