"""Small JSON files of a checkpoint."""

import json
from pathlib import Path
from typing import Any

from acclimate.errors import EngineError


def read_json_object(path: Path) -> dict[str, Any]:
    """Read a small settings file.

    Raises:
        EngineError: it is not JSON, or not an object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EngineError(f"{path} cannot be read as JSON ({error}). Copy the checkpoint again.") from error
    if not isinstance(value, dict):
        raise EngineError(f"{path} is not a JSON object. Copy the checkpoint again.")
    return value
