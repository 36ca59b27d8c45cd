"""The licence of something made from several: derived by a published table, or refused with the reason.

Our own rule throughout, and no legal advice. `docs/cards.md` prints the table; a test compares the two.

    public          asks for nothing: falls away beside any other
    permissive      one stays; several are all named (`other`)
    share_alike     it alone, with public and permissive ones; two that are not the same refuse
    noncommercial   it, with public and permissive ones
    nc_share_alike  it, with public, permissive and noncommercial ones
    community       a model's own terms: carried through; several refuse, and so does share-alike beside it
    no_derivatives  refuses
    unknown         refuses: missing, proprietary, or not in the table
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from acclimate.errors import UsageError
from acclimate.licence_names import HUB, LATER, TABLE, Kind, identifier, kind_of, nearest, parts_of

OTHER = "other"
NOT_DERIVED = "not-derived"
"""`license_name` of a card whose licence was refused."""
NO_ADVICE = "Derived by acclimate's published table; this is not legal advice."

_NONE = ("", "unknown", "none", OTHER, "n-a", NOT_DERIVED)
_BASE = "the base model"
_REMEDY = (
    "State it in the recipe (`ingest.licence`, or `licence` beside the general data), or use another source."
)
_REMEDY_OF_BASE = (
    "Name a licence for the result, or train from a base model whose card names one that may be passed on."
)
_LLAMA_TERMS = (
    "Meta's community licence and acceptable-use policy go along with the model, with their notice; very "
    "large services need a licence of their own."
)
_LLAMA_NAME = " A model trained from it, or from what it wrote, has a name that begins with “Llama”."
_USES = "The use restrictions of this licence go along with the model, for whoever uses it or passes it on."
_OWN_TERMS = "A licence of the model's own: its text and what it restricts go along with the model."


@dataclass(frozen=True, slots=True)
class Derived:
    """A licence for a card's head, and why it is this one."""

    licence: str
    """`license`: an identifier of the hub, or `other`."""
    reason: str
    """Why, in plain sentences; of a refusal which input it is and what to do."""
    name: str = ""
    """`license_name`; empty unless `licence` is `other`."""
    link: str = ""
    """`license_link`; empty where there is none."""
    parts: tuple[str, ...] = ()
    """Every licence that asks for something, also one that gives way to a stricter: all are kept to."""
    restriction: str = ""
    """What a model's own licence asks for beside the usual; empty where there is none."""
    is_refused: bool = False
    is_named: bool = False
    """Named by whoever publishes: nothing was derived."""

    @property
    def printed(self) -> str:
        """The name to print: `license_name` where there is one."""
        return self.name or self.licence


def derived_licence(
    licences: Sequence[str], *, base_model: str | None, names: Sequence[str] = (), remedy: str = _REMEDY
) -> Derived:
    """Return the licence that follows from those of all inputs, or a refusal.

    Args:
        licences: of every source of data, as it states them, in any known spelling; an empty one is missing.
        base_model: of the model that was trained on; empty or `unknown` where its card names none. None where
            there is no base model: for a data set.
        names: what the sources are called, in the same order, for the refusal; empty numbers them.
        remedy: what to do about a source without a licence, for the refusal.

    Returns:
        Something for the card's head in any case; `is_refused` says that nobody derived it.
    """
    called = [*names, *(f"source {at + 1}" for at in range(len(names), len(licences)))]
    inputs = [(f"the source “{name}”", text) for name, text in zip(called, licences, strict=False)]
    if base_model is not None:
        inputs.append((_BASE, base_model))
    if not inputs:
        return _refused("There is no input whose licence could be derived. Name a licence for it.")
    inputs = [(who, part) for who, text in inputs for part in parts_of(text or "")]
    for who, text in inputs:
        problem = _problem(who, text, _REMEDY_OF_BASE if who == _BASE else remedy)
        if problem:
            return _refused(problem)
    found = {
        kind: sorted({identifier(text) for _, text in inputs if kind_of(text) == kind}) for kind in TABLE
    }
    return _combined(found, {identifier(text): who for who, text in reversed(inputs)})


def named_licence(licence: str, link: str = "") -> Derived:
    """Return the licence that whoever publishes names; nothing is derived."""
    name = identifier(licence)
    is_known = name in HUB
    return Derived(
        licence=name if is_known else OTHER,
        reason="Named by whoever publishes this; not derived from its inputs.",
        name="" if is_known else slug(licence),
        link=link,
        parts=(name,),
        restriction=restriction_of(name),
        is_named=True,
    )


def checked_licence(text: str) -> str:
    """Return a licence as whoever publishes wrote it, if it can stand in a card.

    One of the table in any spelling, or `other:NAME` for a licence that the table has not.

    Raises:
        UsageError: it is neither.
    """
    own = text.strip().removeprefix(f"{OTHER}:").strip()
    if identifier(own) not in _NONE and (own != text.strip() or all(map(_is_known, parts_of(own)))):
        return own
    near = nearest(own)
    meant = f" Did you mean {near}?" if near else ""
    raise UsageError(
        f"--licence {text!r} is no licence that the table in docs/cards.md has.{meant} Give one of it, for "
        "instance apache-2.0; or other:NAME, if you publish under another."
    )


def _is_known(text: str) -> bool:
    return kind_of(text) != "unknown"


def restriction_of(licence: str) -> str:
    """Return what a model's own licence asks for, in short; empty for any other. Not the licence's words."""
    name = identifier(licence)
    if kind_of(name) != "community":
        return ""
    if name.startswith("llama"):
        return _LLAMA_TERMS + (_LLAMA_NAME if name not in ("llama2", "llama3") else "")
    if name == "gemma":
        return "Google's Gemma terms and its prohibited-use policy go along with the model."
    return _USES if "openrail" in name else _OWN_TERMS


def head_of(derived: Derived) -> dict[str, str]:
    """Return the fields of a card's head that say a licence, those that are empty left out."""
    fields = {"license": derived.licence, "license_name": derived.name, "license_link": derived.link}
    return {name: value for name, value in fields.items() if value}


def licence_of(folder: Path) -> str:
    """Return the licence that the head of a folder's README.md names; empty where it names none."""
    card = folder / "README.md"
    if not card.is_file():
        return ""
    head = _head(card.read_text(encoding="utf-8", errors="replace"))
    named = head.get("license")
    if named == OTHER:
        named = head.get("license_name", named)
    return named if isinstance(named, str) else ""


def refusal_in(card: str) -> str:
    """Return why a card cannot be published as it is; empty where its head names a licence.

    Args:
        card: the whole README.md.
    """
    head = _head(card)
    licence, name = head.get("license"), head.get("license_name")
    if licence in (None, "", [], "unknown") or (licence == OTHER and name in (None, "", NOT_DERIVED)):
        return (
            "The card names no licence: none could be derived from the inputs' (its section “Licence” says "
            "which). Name one, or state the sources' in the recipe (`ingest.licence`) and run again."
        )
    return ""


def slug(text: str) -> str:
    """Return a text in the form of `license_name`: lower case letters, digits, `.`, `+` and `-`."""
    return re.sub(r"[^a-z0-9.+]+", "-", text.casefold()).strip("-")[:96] or "unnamed"


def _head(card: str) -> Mapping[str, Any]:
    if not card.startswith("---\n"):
        return {}
    try:
        head = yaml.safe_load(card[4:].partition("\n---")[0])
    except yaml.YAMLError:
        return {}
    return head if isinstance(head, dict) else {}


def _problem(who: str, text: str, remedy: str) -> str:
    """Return why one input refuses all by itself; empty where it does not."""
    kind, name = kind_of(text), identifier(text)
    if kind == "no_derivatives":
        return f"{_first(who)} is under {name}, which allows no derived works. {remedy}"
    if kind != "unknown":
        return ""
    if name in _NONE:
        return f"{_first(who)} states no licence. {remedy}"
    said = " ".join(text.split())[:80]
    return (
        f"{_first(who)} states “{said}”, which is not in the table of licences that a result may follow "
        f"from. {remedy}"
    )


def _combined(found: Mapping[Kind, Sequence[str]], who: Mapping[str, str]) -> Derived:
    """Return the licence of inputs none of which refuses by itself.

    Args:
        found: identifiers by kind, sorted.
        who: the first input of each.
    """
    shares = _joined([*found["share_alike"], *found["nc_share_alike"]])
    noncommercial, community = _joined(found["noncommercial"]), found["community"]
    conflict = _conflict(shares, noncommercial, community, who)
    if conflict:
        return _refused(conflict)
    asked = tuple(name for kind, names in found.items() if kind != "public" for name in names)
    if community:
        return _one_or_all((*community, *shares, *noncommercial), asked)
    if shares:
        return _one_or_all(shares, asked)
    return _one_or_all(noncommercial or found["permissive"] or found["public"][:1], asked)


def _conflict(
    shares: Sequence[str], noncommercial: Sequence[str], community: Sequence[str], who: Mapping[str, str]
) -> str:
    """Return why licences do not go together; empty where they do."""
    remedy = "Use only one of them, or name a licence that you have the right to give."
    if len(shares) > 1:
        pair = shares[:2]
        why = "each asks that the whole is given under itself"
    elif len(community) > 1:
        pair = community[:2]
        why = "each is a model's own terms, and the table does not know whether they allow each other's"
    elif shares and community:
        pair = (shares[0], community[0])
        why = "the first forbids the further terms that the second sets"
    elif shares and noncommercial and kind_of(shares[0]) == "share_alike":
        pair = (shares[0], noncommercial[0])
        why = "the first allows commercial use of the whole, which the second forbids"
    else:
        return ""
    first, second = (f"{who.get(name, 'an input')} ({name})" for name in pair)
    return f"The licences of {first} and {second} do not go together: {why}. {remedy}"


def _joined(names: Sequence[str]) -> tuple[str, ...]:
    """Return licences with the earlier versions of one replaced by its latest."""
    kept = list(names)
    for versions in LATER.values():
        for earlier in [name for name in versions if name in kept][:-1]:
            kept.remove(earlier)
    return tuple(kept)


def _one_or_all(names: Sequence[str], asked: tuple[str, ...]) -> Derived:
    """Return the only licence, or `other` with the names of all."""
    ordered = tuple(dict.fromkeys(names))
    restriction = " ".join(filter(None, map(restriction_of, ordered)))
    others = [name for name in asked if name not in ordered]
    beside = ""
    if others:
        beside = f" What {_and(others)} asks for (naming authors, keeping notices) is kept to as well."
    if len(ordered) == 1:
        only = ordered[0]
        is_known = only in HUB
        return Derived(
            licence=only if is_known else OTHER,
            reason=f"It follows from the inputs' licences: {only}.{beside}",
            name="" if is_known else slug(only),
            parts=asked or ordered,
            restriction=restriction,
        )
    return Derived(
        licence=OTHER,
        reason=f"The inputs are under {_and(ordered)}; whoever passes this on keeps to all of them.{beside}",
        name=slug("-and-".join(ordered)),
        parts=asked,
        restriction=restriction,
    )


def _refused(reason: str) -> Derived:
    return Derived(OTHER, reason, NOT_DERIVED, is_refused=True)


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _first(text: str) -> str:
    return text[0].upper() + text[1:]
