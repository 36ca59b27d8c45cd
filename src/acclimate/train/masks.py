"""Which tokens the loss counts: pure functions on character spans and token offsets.

Two modes. `responses` trains the replies: the text of every trained turn and its end marker, nothing
else. `continuation` trains the synthesizer: everything after the first assistant turn (the caption)
and its end marker, role headers and the end-of-text token included, so that the model learns to open
the user's turn by itself.

Source: `spec/official-behaviour.md` 1.2 for `continuation` (the reference masks system, caption question
and caption, and counts every later token); `responses` is the usual supervised fine-tuning loss.
"""

from collections.abc import Sequence
from typing import Literal

from acclimate.engines.render import TurnSpan

MaskMode = Literal["responses", "continuation"]
Span = tuple[int, int]
"""Half open, in characters of the rendered text."""


def trained_spans(
    turns: Sequence[TurnSpan], trained: Sequence[bool], length: int, mode: MaskMode
) -> tuple[Span, ...]:
    """Return the spans of characters the loss counts, in order.

    Args:
        turns: in the order of the conversation.
        trained: one per turn; in `continuation` they play no part.
        length: of the rendered text, in characters.
        mode: see the module's docstring.

    Returns:
        No span where nothing is trained: no trained turn, or no assistant turn to continue.
    """
    if mode == "responses":
        spans = zip(turns, trained, strict=True)
        return tuple((turn.text_start, turn.end_marker_end) for turn, counts in spans if counts)
    for turn in turns:
        if turn.role == "assistant":
            return ((turn.end_marker_end, length),) if turn.end_marker_end < length else ()
    return ()


def token_mask(text: str, offsets: Sequence[Span], spans: Sequence[Span]) -> list[bool]:
    """Return for every token whether the loss counts it.

    A token counts if it shares a character with a span and has nothing but white space outside of it.
    The second half is for tokenizers that join the space before a word to it: the first word of a reply
    counts although its token begins in the header. A token that joins an end marker made of white space
    to the next header does not count. Our own rule.

    Args:
        text: the rendered text.
        offsets: the tokens' spans in `text`, in order; an empty span (a token without text) never counts.
        spans: from `trained_spans`.
    """
    mask = []
    position = 0
    for start, end in offsets:
        while position < len(spans) and spans[position][1] <= start:
            position += 1
        if start >= end or position == len(spans):
            mask.append(False)
            continue
        inside, outside = spans[position]
        overlaps = max(start, inside) < min(end, outside)
        mask.append(overlaps and not (text[start:inside] + text[outside:end]).strip())
    return mask
