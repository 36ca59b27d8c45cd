"""Licences by name: identifiers that the hub knows and others, their spellings and their kinds. Pure."""

import difflib
import re
from collections.abc import Mapping
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal[
    "public",
    "permissive",
    "share_alike",
    "noncommercial",
    "nc_share_alike",
    "community",
    "no_derivatives",
    "unknown",
]

_CC_KINDS: Mapping[str, Kind] = {
    "cc-by": "permissive",
    "cc-by-sa": "share_alike",
    "cc-by-nc": "noncommercial",
    "cc-by-nc-sa": "nc_share_alike",
    "cc-by-nd": "no_derivatives",
    "cc-by-nc-nd": "no_derivatives",
}
TABLE: Mapping[Kind, tuple[str, ...]] = {
    "public": ("cc0-1.0", "pddl", "unlicense", "wtfpl"),
    "permissive": (
        "afl-3.0", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "bsl-1.0", "cc-by-2.0", "cc-by-2.5",
        "cc-by-3.0", "cc-by-4.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "etalab-2.0", "isc", "mit",
        "ncsa", "odc-by", "postgresql", "zlib",
    ),
    "share_alike": ("agpl-3.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cdla-sharing-1.0", "gpl-3.0", "odbl"),
    "noncommercial": ("cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0"),
    "nc_share_alike": ("cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0"),
    "community": (
        "bigcode-openrail-m", "bigscience-openrail-m", "creativeml-openrail-m", "gemma", "llama2", "llama3",
        "llama3.1", "llama3.2", "llama3.3", "openrail", "openrail++",
    ),
    "no_derivatives": ("cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0"),
    "unknown": (),
}  # fmt: skip
"""Identifiers that the Hugging Face hub knows, by kind. Source of the identifiers: the hub's page of licences
(huggingface.co/docs/hub/repositories-licenses); of the kinds: our own reading."""
MORE: Mapping[Kind, tuple[str, ...]] = {
    "permissive": ("cc-by",),
    "share_alike": ("cc-by-sa",),
    "noncommercial": ("cc-by-nc",),
    "nc_share_alike": ("cc-by-nc-sa",),
    "community": ("deepseek", "health-ai-developer-foundations", "llama4", "qwen", "tongyi-qianwen"),
    "no_derivatives": ("cc-by-nd", "cc-by-nc-nd"),
}
"""Names without a hub identifier: published as `license: other` with this name. A Creative Commons licence
without its version is not given one."""

_KIND_BY_NAME: Mapping[str, Kind] = {
    name: kind for table in (TABLE, MORE) for kind, names in table.items() for name in names
}
HUB = frozenset(name for names in TABLE.values() for name in names)
"""Names that a card's `license` may have."""
LATER: Mapping[str, tuple[str, ...]] = {
    "cc-by-sa": ("cc-by-sa-3.0", "cc-by-sa-4.0"),
    "cc-by-nc": ("cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0"),
    "cc-by-nc-sa": ("cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0"),
}
"""Versions of one licence, each of which lets adapted work be given under a later one."""
SPELLINGS: Mapping[str, str] = {
    "apache": "apache-2.0",
    "apache-2": "apache-2.0",
    "apache2": "apache-2.0",
    "apache2.0": "apache-2.0",
    "apache-license-2.0": "apache-2.0",
    "apache-license-version-2.0": "apache-2.0",
    "mit-license": "mit",
    "bsd-2": "bsd-2-clause",
    "bsd-3": "bsd-3-clause",
    "new-bsd": "bsd-3-clause",
    "cc0": "cc0-1.0",
    "cc-0": "cc0-1.0",
    "cc-zero": "cc0-1.0",
    "cc-0-1.0": "cc0-1.0",
    "public-domain": "cc0-1.0",
    "pddl-1.0": "pddl",
    "the-unlicense": "unlicense",
    "odbl-1.0": "odbl",
    "odc-odbl": "odbl",
    "odc-by-1.0": "odc-by",
    "gpl-3.0-only": "gpl-3.0",
    "gpl-3.0-or-later": "gpl-3.0",
    "agpl-3.0-only": "agpl-3.0",
    "agpl-3.0-or-later": "agpl-3.0",
    "boost-1.0": "bsl-1.0",
    "bsl": "unknown",
    "gemma-terms-of-use": "gemma",
    "llama-2": "llama2",
    "llama-3": "llama3",
    "llama-3.1": "llama3.1",
    "llama-3.2": "llama3.2",
    "llama-3.3": "llama3.3",
    "llama-4": "llama4",
    "hai-def": "health-ai-developer-foundations",
}
"""Further spellings, in lower case with hyphens. `public-domain` is read as CC0, which asks for as little;
`bsl` may be two licences and is read as neither."""
_CC_ADDRESS = re.compile(
    r"creativecommons\.org/(?:licenses/([a-z-]+)/(\d\.\d)|publicdomain/(zero|mark)/1\.0)"
)
_CC_WORDS = re.compile(
    r"^(?:cc|creative-commons)-(.+?)(?:-v?(\d(?:\.\d)?))?(?:-(?:international|intl|unported|deed))?$"
)
_CC_PARTS: Mapping[str, str] = {
    "attribution": "by", "noncommercial": "nc", "sharealike": "sa", "noderivatives": "nd", "noderivs": "nd",
}  # fmt: skip
_LLAMA = re.compile(r"^(llama-?\d(?:\.\d)?)-community(?:-license)?(?:-agreement)?$")
_ORDER = ("by", "nc", "sa", "nd")


def identifier(text: str) -> str:
    """Return a licence by the identifier the table has; a text it does not know, in its own form.

    Reads SPDX and hub identifiers in any case, with spaces, underscores or hyphens, addresses of Creative
    Commons, and the spellings of `SPELLINGS`. A version is never made up.
    """
    plain = text.strip().casefold()
    address = _CC_ADDRESS.search(plain)
    if address:
        return "cc0-1.0" if address[3] else f"cc-{address[1]}-{address[2]}"
    name = re.sub(r"[\s_/,()-]+", "-", plain.replace("non-commercial", "noncommercial")).strip("-.")
    name = name.replace("non-derivative", "noderivative").replace("share-alike", "sharealike")
    name = SPELLINGS.get(name, name)
    if name in _KIND_BY_NAME:
        return name
    llama = _LLAMA.match(name)
    if llama:
        return SPELLINGS.get(llama[1], llama[1])
    return _creative_commons(name) or name


def _creative_commons(name: str) -> str:
    """Return a Creative Commons licence that is written out or shortened; empty where it is none."""
    found = _CC_WORDS.match(name)
    if found is None:
        return ""
    parts = [_CC_PARTS.get(part, part) for part in found[1].split("-")]
    if set(parts) - set(_ORDER) or len(set(parts)) != len(parts):
        return ""
    family = "-".join(["cc", *sorted(parts, key=_ORDER.index)])
    version = found[2] or ""
    version = f"{version}.0" if len(version) == 1 else version
    return f"{family}-{version}" if version else family


def kind_of(licence: str) -> Kind:
    """Return the kind of a licence, by any spelling of it."""
    name = identifier(licence)
    found = _KIND_BY_NAME.get(name)
    if found is not None:
        return found
    family, _, version = name.rpartition("-")
    # A version that the hub does not list is of the same kind: `cc-by-sa-2.5`.
    return _CC_KINDS.get(family, "unknown") if re.fullmatch(r"\d\.\d", version) else "unknown"


def parts_of(text: str) -> tuple[str, ...]:
    """Return the licences that a name of ours joins, as in `apache-2.0-and-mit`; else the text alone."""
    parts = tuple(identifier(text).split("-and-"))
    return parts if len(parts) > 1 and all(kind_of(part) != "unknown" for part in parts) else (text,)


def nearest(text: str) -> str:
    """Return the identifier of the table that a text is most like; empty where it is like none."""
    found = difflib.get_close_matches(identifier(text), _KIND_BY_NAME, n=1, cutoff=0.7)
    return found[0] if found else ""
