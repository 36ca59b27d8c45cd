"""What we know of the turns of a model on a server: from its own files where we have them, else in general.

The server writes the prompt. A text that holds a special token would be read as that token there, so such
texts are made harmless before they are sent. And with the model's own template at hand, a user's turn can be
opened: the last message is sent with everything that follows it up to the user's text, and the server is
asked to continue it.
"""

import re
from collections.abc import Sequence

from acclimate.engines.protocol import Message, TurnMarkers
from acclimate.engines.render import WORD_JOINER, Processor, markers, neutralise, render, template_of

_ANY_FAMILY = re.compile(
    r"<\|[^<>|\s]{1,40}\|>"  # ChatML, Llama 3, Phi
    r"|<｜[^<>｜\s]{1,40}｜>"  # DeepSeek
    r"|</?(?:s|bos|eos|pad|unk|image|video|start_of_turn|end_of_turn|start_of_image|img)>"
    r"|\[/?(?:INST|IMG|SYSTEM_PROMPT|AVAILABLE_TOOLS)\]"
    r"|<</?SYS>>"
    r"|\b(?:USER|ASSISTANT|HUMAN|SYSTEM):"
)
"""Special tokens and role headers of the families we know of, for servers whose template is not at hand."""


def harmless(text: str) -> str:
    """Return the text with the special tokens and role headers of any known family made plain.

    Source: our own rule, as in `render.neutralise`: U+2060 after the first character.
    """
    return _ANY_FAMILY.sub(lambda match: match[0][0] + WORD_JOINER + match[0][1:], text)


class ServedTemplate:
    """The served model's own template."""

    def __init__(self, processor: Processor) -> None:
        """Take the processor of the checkpoint that the server runs."""
        self._processor = processor

    @property
    def markers(self) -> TurnMarkers:
        """As the template writes them."""
        return markers(self._processor)

    @property
    def end_of_text(self) -> str:
        """What ends a whole text."""
        return template_of(self._processor).end_of_text

    def harmless(self, text: str) -> str:
        """Return the text with the family's special tokens made plain."""
        return neutralise(self._processor, text)

    def opening_user(self, messages: Sequence[Message]) -> tuple[str, str]:
        """Return what is sent as the last message's text, and the part of it that opens the user's turn.

        Its own text, then what closes its turn and opens the next, up to where the user's text begins.
        """
        rendered = render(self._processor, messages, [len(message.images) for message in messages], "user")
        last = rendered.spans[-1]
        return rendered.text[last.text_start :], rendered.text[last.text_end :]

    def ends_with(self, token_ids: Sequence[int], opening: str) -> bool:
        """Tell whether a prompt ends with what opens the user's turn, the blanks at its end included.

        Blanks inside may differ: some tokenizers do not give them back.
        """
        tail = token_ids[-2 * len(opening.encode()) :]
        text = str(self._processor.tokenizer.decode(list(tail), skip_special_tokens=False))
        squeezed = "".join(text.split())
        same_blanks = text[len(text.rstrip()) :] == opening[len(opening.rstrip()) :]
        return same_blanks and squeezed.endswith("".join(opening.split()))
