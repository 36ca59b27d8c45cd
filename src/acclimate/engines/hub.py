"""Model names of the Hugging Face hub, found in this machine's cache; nothing is ever fetched.

The cache's layout, as huggingface_hub documents it: `models--ORG--NAME/refs/REVISION` holds a commit, and
`models--ORG--NAME/snapshots/COMMIT` is the folder of the files.
"""

import re
from pathlib import Path

from huggingface_hub import constants

from acclimate.engines.settings_file import read_json_object
from acclimate.errors import EngineError

_PART = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_HUB_ID = re.compile(rf"(?P<name>{_PART}/{_PART})(?:@(?P<revision>{_PART}(?:/{_PART})*))?")
_MAIN = "main"
_INDEX = "model.safetensors.index.json"


def model_folder(name: str, base: Path) -> Path:
    """Return the folder that a model's name means.

    A folder that is there comes first. A name such as `Qwen/Qwen2-VL-2B-Instruct`, or with a revision
    `Qwen/Qwen2-VL-2B-Instruct@main`, is otherwise looked for in the cache of the Hugging Face hub. Anything
    else is a path, there or not.

    Args:
        base: what a relative folder counts from.

    Raises:
        EngineError: the name is a hub's and the cache has no complete copy; the message says how to get one.
    """
    folder = (base / name).resolve()
    found = _HUB_ID.fullmatch(name)
    if folder.exists() or found is None:
        return folder
    cache = Path(constants.HF_HUB_CACHE)
    repository, revision = found["name"], found["revision"]
    get = f"hf download {repository}" + (f" --revision {revision}" if revision else "")
    remedy = (
        f"Download it once where there is a network: {get} (pip install huggingface_hub brings hf); or give "
        "a checkpoint's folder."
    )
    snapshot = _snapshot(cache, repository, revision or _MAIN)
    if snapshot is None:
        others = _revisions(cache, repository)
        there = f" It has {repository}@{', @'.join(others)}." if others else ""
        raise EngineError(
            f"There is no model {name}: no folder {folder}, and no such copy in the Hugging Face cache "
            f"{cache}.{there} {remedy}"
        )
    missing = _missing_weights(snapshot)
    if missing:
        raise EngineError(
            f"The copy of {name} in the Hugging Face cache is incomplete: {missing} is missing in "
            f"{snapshot}. {remedy}"
        )
    return snapshot


def hub_name(folder: Path) -> str | None:
    """Return the name of the model whose snapshot in the hub's cache a folder is; None where it is none."""
    owner = folder.parent.parent.name
    if folder.parent.name != "snapshots" or not owner.startswith("models--"):
        return None
    return owner.removeprefix("models--").replace("--", "/")


def _home(cache: Path, repository: str) -> Path:
    return cache / f"models--{repository.replace('/', '--')}"


def _snapshot(cache: Path, repository: str, revision: str) -> Path | None:
    home = _home(cache, repository)
    reference = home / "refs" / revision
    commit = reference.read_text(encoding="utf-8").strip() if reference.is_file() else revision
    snapshot = home / "snapshots" / commit
    return snapshot if snapshot.is_dir() else None


def _revisions(cache: Path, repository: str) -> list[str]:
    """Return the names and commits that the cache has of a model."""
    home = _home(cache, repository)
    references = home / "refs"
    named = [path.relative_to(references).as_posix() for path in references.rglob("*") if path.is_file()]
    return sorted(named) or sorted(path.name for path in (home / "snapshots").glob("*") if path.is_dir())


def _missing_weights(snapshot: Path) -> str:
    """Return the name of a file that the weights' index lists and the folder lacks; empty where none is."""
    if not (snapshot / _INDEX).is_file():
        return ""
    listed = read_json_object(snapshot / _INDEX).get("weight_map")
    files = set(listed.values()) if isinstance(listed, dict) else set()
    return next((name for name in sorted(map(str, files)) if not (snapshot / name).is_file()), "")
