"""The consistency judge's prompt and the reading of its probabilities (pure).

Source: the labels Yes, No and Open are AdaMLLM's consistency filter (section 3.2). The short prompt is our
own; the label is read from the log-probabilities of the three words, so no reply can fail to parse.
"""

import math
from collections.abc import Sequence

from acclimate.records import Label

CHOICES = ("Yes", "No", "Open")
"""What the judge may say: the precise answer follows from the informative one, or does not, or the question
has no single answer."""

LABELS: tuple[Label, Label, Label] = ("consistent", "inconsistent", "open")

SHORT_FORM = "Question: {instruction}\nInformative: {informative}\nPrecise: {precise}\nConsistent?"
"""The prompt that the lab's models are trained on."""


SLOTS = ("{instruction}", "{informative}", "{precise}")
"""What a form of the prompt must hold; each is replaced by the triplet's text."""


def prompt(form: str, instruction: str, informative: str, precise: str) -> str:
    """Return the judge's prompt; braces inside the texts are safe."""
    values = dict(zip(SLOTS, (instruction, informative, precise), strict=True))
    parts, rest = [], form
    while rest:
        found = [(rest.find(slot), slot) for slot in values if slot in rest]
        if not found:
            parts.append(rest)
            break
        at, slot = min(found)
        parts += [rest[:at], values[slot]]
        rest = rest[at + len(slot) :]
    return "".join(parts)


def among_themselves(log_probabilities: Sequence[float]) -> tuple[float, ...]:
    """Return the choices' probabilities, normalised over the choices.

    Args:
        log_probabilities: in nats, at least one of them finite.
    """
    top = max(log_probabilities)
    weights = [math.exp(value - top) for value in log_probabilities]
    total = sum(weights)
    return tuple(weight / total for weight in weights)


def probabilities(log_probabilities: Sequence[float]) -> tuple[float, float, float]:
    """Return the three choices' probabilities, normalised over the choices.

    Args:
        log_probabilities: in nats, in the order of `CHOICES`.
    """
    yes, no, open_ = among_themselves(log_probabilities)
    return yes, no, open_


def label(p: Sequence[float], threshold: float, margin: float) -> Label:
    """Return the verdict of three probabilities.

    `consistent` needs at least the threshold and a lead of at least the margin over both others; failing
    that, the likelier of the other two. Source: our own rule (the paper takes the first words of a reply).
    """
    yes, no, open_ = p
    if yes >= threshold and yes - max(no, open_) >= margin:
        return "consistent"
    return "inconsistent" if no >= open_ else "open"
