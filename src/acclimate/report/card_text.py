"""What the two cards share: sources of data, the head, and texts escaped for Markdown. Pure.

A card's head is made by huggingface_hub from plain values and written by its YAML dumper, so that no name can
break out of it; every text of a user goes through `render.markdown_text` in the templates.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from huggingface_hub.repocard_data import CardData

from acclimate.licences import Derived, head_of
from acclimate.report.characters import visible
from acclimate.report.render import templates

_HUB_ID = re.compile(r"(?=.{3,96}\Z)[A-Za-z0-9_](?:[\w.-]*\w)?/\w(?:[\w.-]*\w)?(?<!\.git)", re.ASCII)
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z]{2,4})?")


@dataclass(frozen=True, slots=True)
class DataSource:
    """A data set that went in."""

    name: str
    """As the recipe names it."""
    licence: str
    """As the source states it; empty or `unknown` where it states none."""
    n: int | None = None
    """Pairs or conversations that were taken from it; None where nobody counted."""
    where: str = ""
    """Address, DOI or file name."""
    hub_id: str = ""
    """`organisation/name` on the Hugging Face hub; empty where it is not there."""
    sha256: str = ""
    """Of the data as it was read."""
    note: str = ""


def line(text: str) -> str:
    """Return a text on one line, with what a reader cannot see named."""
    return " ".join(visible(text).split())


def hub_ids(names: Iterable[str]) -> list[str]:
    """Return the names that can be repositories of the hub, each once; the hub refuses a head with others."""
    return list(dict.fromkeys(name for name in names if is_hub_id(name)))


def is_hub_id(name: str) -> bool:
    """Return whether a name has the form `organisation/name` that the hub takes.

    Source: `huggingface_hub.utils.validate_repo_id`: letters, digits, `-`, `_`, `.`, neither `--` nor `..`,
    at most 96 characters, and neither `-` nor `.` at an end.
    """
    return bool(_HUB_ID.fullmatch(name)) and not any(each in name for each in ("--", ".."))


def languages(codes: Sequence[str]) -> list[str] | None:
    """Return the codes that the hub takes (ISO 639, and a region); None where there are none."""
    return [code for code in codes if _LANGUAGE.fullmatch(code) or code == "multilingual"] or None


def licence_head(derived: Derived) -> dict[str, Any]:
    """Return the fields of a head that say the licence."""
    return head_of(replace(derived, link=line(derived.link)))


def card(head: CardData, template: str, **values: object) -> str:
    """Return a whole card: the head, and the body from a template of this package."""
    body = templates(is_html=False).get_template(template).render(**values)
    body = re.sub(r"\n{3,}", "\n\n", body).strip("\n")
    return f"---\n{head.to_yaml()}\n---\n\n{body}\n"
