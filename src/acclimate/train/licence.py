"""The licence of a trained model, from those of what it was made from: derived by rule, or not at all."""

from collections.abc import Iterable
from pathlib import Path

import yaml

_STRICTNESS = (
    "cc0-1.0",
    "unlicense",
    "mit",
    "bsd-2-clause",
    "bsd-3-clause",
    "apache-2.0",
    "cdla-permissive-2.0",
    "odc-by",
    "cc-by-3.0",
    "cc-by-4.0",
    "cc-by-nc-4.0",
)
"""Each asks for no less than those before it, so a work made of several can be given under the last of them.
By the identifiers of the Hugging Face hub."""


def derived_licence(licences: Iterable[str | None]) -> str | None:
    """Return the licence a model can be given, or None where that is for people to decide.

    One and the same licence is kept. Several that ask for ever more give the one that asks for most. Share-
    alike, model licences of their own, and anything that is not known beside another give none.

    Args:
        licences: of the base model and of every source of data; None is one that is not known.

    Source: our own rule. It is no legal advice.
    """
    known = [None if each is None else each.strip().lower() for each in licences]
    if not known or None in known or "" in known or "unknown" in known:
        return None
    different = {each for each in known if each is not None}
    if len(different) == 1:
        return different.pop()
    if not different <= set(_STRICTNESS):
        return None
    return max(different, key=_STRICTNESS.index)


def licence_of(folder: Path) -> str | None:
    """Return the licence the head of the folder's README.md names; None where it names none."""
    card = folder / "README.md"
    if not card.is_file():
        return None
    text = card.read_text(encoding="utf-8", errors="replace")
    if not text.startswith("---\n"):
        return None
    try:
        head = yaml.safe_load(text[4:].partition("\n---")[0])
    except yaml.YAMLError:
        return None
    named = head.get("license") if isinstance(head, dict) else None
    if named == "other":
        named = head.get("license_name", named)
    return named if isinstance(named, str) and named else None
