"""Writing a conversation as the one text a model reads, with the place of every turn in it.

The checkpoint's own chat template is rendered once per shape of conversation (roles, images, what is opened)
with a unique mark in the place of every text, and split there into literal pieces. Real texts are then put
between the pieces, so the span of every header, text and end marker is known exactly. Texts cannot open a
turn: special tokens in them are made harmless first.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, TypeAlias

import jinja2

from acclimate.engines.protocol import TurnMarkers
from acclimate.errors import EngineError
from acclimate.records import Role

Processor: TypeAlias = Any
"""A processor of transformers, which has no common type."""

WORD_JOINER = "\u2060"
"""Invisible; stands after the first character of a special token found in a text: it is text again."""

_NO_HEADER = "\ue002"
_MARK = "\ue000{index}\ue001"
_TODAY = datetime(2024, 7, 26, tzinfo=UTC)
"""The date a template is told that asks for today's, so that a prompt is the same tomorrow. Source: Llama 3's
own, where it has no clock."""


class RenderError(EngineError):
    """The chat template, or the conversation given to it, cannot be rendered."""


class RoleText(Protocol):
    """Anything with a role and a text: `records.Turn`, `protocol.Message`."""

    @property
    def role(self) -> Role:
        """Whose turn it is."""
        ...

    @property
    def text(self) -> str:
        """What it says."""
        ...


@dataclass(frozen=True, slots=True)
class TurnSpan:
    """Where one turn lies in the rendered text, in characters."""

    role: Role
    header_start: int
    """Start of the role's header, after the separator that follows the turn before."""
    text_start: int
    text_end: int
    end_marker_end: int
    """End of what closes the turn; the separator to the next header is not part of it. Equal to `text_end`
    where the template closes a turn with nothing."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation as one text."""

    text: str
    """Each image is one placeholder token here; `encode` expands it."""
    spans: tuple[TurnSpan, ...]
    end_of_text_start: int
    """Where the final end-of-text token starts; the text's length when it has none."""
    n_images: int


@dataclass(frozen=True, slots=True)
class _Shape:
    """The literal pieces of one shape of conversation."""

    pieces: tuple[str, ...]
    """One before each text and one after the last."""
    header_starts: tuple[int, ...]
    """In each turn's piece, where its header starts."""
    end_lengths: tuple[int, ...]
    """In the piece after each turn's text, how long its end marker is."""
    strips: tuple[tuple[bool, bool], ...]
    """Whether the template strips each text on the left, on the right."""


@dataclass(frozen=True, slots=True)
class _Closing:
    """What follows a turn's text before anything else."""

    end_of_turn: str
    separator: str

    @property
    def whole(self) -> str:
        return self.end_of_turn + self.separator


class _Template:
    """A processor's chat template, taken apart; one per processor, kept on it."""

    def __init__(self, processor: Processor) -> None:
        self._processor = processor
        tokenizer = processor.tokenizer
        added = tokenizer.added_tokens_decoder.values()
        image_token = getattr(processor, "image_token", None)
        video_token = getattr(processor, "video_token", None)
        special = {token.content for token in added if token.special} | set(tokenizer.all_special_tokens)
        special |= {token for token in (image_token, video_token) if isinstance(token, str)}
        self.special = re.compile(
            "|".join(re.escape(text) for text in sorted(special, key=len, reverse=True))
        )
        self.image_token = image_token if isinstance(image_token, str) else None
        self.end_of_text = _end_of_text(processor)
        self._shapes: dict[tuple[tuple[Role, ...], tuple[int, ...], Role | None, bool], _Shape] = {}
        self._clock = _stopped_clock(processor)
        self._system_is_string = False
        self._system_is_string = self._wants_system_as_string()
        self.user_closing = self._closing(("user",))
        self.assistant_closing = self._closing(("user", "assistant"))
        pieces = self._pieces(("user", "assistant", "user", "assistant"), (), opens_assistant=False)
        self._written_header = self._after(pieces[1], self.user_closing)
        self.assistant_header = self._prompted(self._written_header)
        self.user_header = self._after(pieces[2], self.assistant_closing)
        # Where a turn is opened or closed by plain words (`USER:`, `[/INST]`), the words must not do so in a
        # text.
        around = (self.user_header, self.assistant_header, *self._around_system())
        around += (self.user_closing.end_of_turn, self.assistant_closing.end_of_turn)
        plain = {words.strip() for words in around if words.strip() and not self.special.search(words)}
        self.guarded = re.compile(
            "|".join(re.escape(text) for text in sorted(special | plain, key=len, reverse=True))
        )
        self.turns_close_with_token = self.special.search(self.assistant_closing.end_of_turn) is not None

    def shape(
        self, roles: tuple[Role, ...], images: tuple[int, ...], opens: Role | None, *, whole: bool
    ) -> _Shape:
        """Return the pieces of one shape of conversation; `whole` closes it with the end of text."""
        key = (roles, images, opens, whole)
        found = self._shapes.get(key)
        if found is None:
            found = self._shapes[key] = self._build(roles, images, opens, whole=whole)
        return found

    def _build(
        self, roles: tuple[Role, ...], images: tuple[int, ...], opens: Role | None, *, whole: bool
    ) -> _Shape:
        pieces = self._prompted_pieces(roles, images, opens_assistant=opens == "assistant")
        header_starts: list[int] = []
        end_lengths: list[int] = []
        for index, role in enumerate(roles):
            if index == 0:
                header_starts.append(max(0, pieces[0].rfind(self._header(role))))
            closing = self._closing_of(role)
            after = pieces[index + 1]
            if not after.startswith(closing.whole):
                raise RenderError(
                    f"The chat template closes a {role} turn with {closing.whole!r} in one place and with "
                    f"{after!r} in another, so the places of turns cannot be known. Use a template that "
                    "closes a turn one way."
                )
            # A continued conversation (`opens` user) reads as one tuned with `whole`, up to its opening.
            if role == "assistant" and not self.turns_close_with_token and not whole and opens != "user":
                # LLaVA-1.5's template closes an assistant turn with a blank; the model was trained on its
                # end-of-text token there (conversation `vicuna_v1`, separator 2), and needs it to learn to
                # stop.
                pieces[index + 1] = after = self.end_of_text + after.removeprefix(closing.whole)
                closing = _Closing(self.end_of_text, "")
            end_lengths.append(len(closing.end_of_turn))
            if index + 1 < len(roles):
                header_starts.append(len(closing.whole))
        if opens is None:
            # The separator after the last turn stays, as the template writes it; end-of-text follows it.
            pieces[-1] += self.end_of_text if whole else ""
        elif opens == "user":
            header = self.user_header
            pieces[-1] += header if self.special.search(header) else header.rstrip(" ")
        elif opens != "assistant":
            raise RenderError(f"A {opens} turn cannot be opened for the model; open `assistant` or `user`.")
        return _Shape(tuple(pieces), tuple(header_starts), tuple(end_lengths), self._strips(roles, images))

    def _header(self, role: Role) -> str:
        if role == "user":
            return self.user_header
        return self.assistant_header if role == "assistant" else _NO_HEADER

    def _closing_of(self, role: Role) -> _Closing:
        if role == "system":
            return self._system_closing()
        return self.user_closing if role == "user" else self.assistant_closing

    def _system_closing(self) -> _Closing:
        pieces = self._pieces(("system", "user"), (), opens_assistant=False)
        if pieces[1].endswith(self.user_header):
            return self._split(pieces[1].removesuffix(self.user_header))
        return _Closing("", "")

    def _around_system(self) -> tuple[str, ...]:
        """Return what the template writes before and after a system text; nothing where it takes none."""
        try:
            before = self._pieces(("system", "user"), (), opens_assistant=False)[0]
        except RenderError:
            return ()
        return (before, self._system_closing().end_of_turn)

    def _prompted(self, written: str) -> str:
        """Return an assistant's header as the model is prompted with it, from what a written turn has.

        The template of LLaVA-NeXT on Llama 3 writes a line feed in a turn that the prompt for one lacks; a
        model trained with it would never see its prompt. A blank stays: it is part of the first word's token.
        """
        prompt = self._pieces(("user",), (), opens_assistant=True)[-1]
        opening = prompt.removeprefix(self.user_closing.whole)
        missing = written.removeprefix(opening)
        is_line_feed = not missing.strip() and bool(missing.strip(" "))
        return opening if opening and written.startswith(opening) and is_line_feed else written

    def _wants_system_as_string(self) -> bool:
        """Say whether a system text must be given as a string, as to Llama 3.2 Vision's template.

        It would write a list of parts as Python prints it.
        """
        texts = (_MARK.format(index=0), _MARK.format(index=1))
        for as_string in (False, True):
            self._system_is_string = as_string
            try:
                if texts[0] in self._render(("system", "user"), (), texts, opens_assistant=False):
                    return as_string
            except RenderError:
                continue
        return False

    def _closing(self, roles: tuple[Role, ...]) -> _Closing:
        return self._split(self._pieces(roles, (), opens_assistant=False)[-1])

    def _split(self, closing: str) -> _Closing:
        found = list(self.special.finditer(closing))
        cut = found[-1].end() if found else len(closing)
        return _Closing(closing[:cut], closing[cut:])

    def _after(self, piece: str, closing: _Closing) -> str:
        if not piece.startswith(closing.whole):
            raise RenderError(
                f"The chat template writes {piece!r} between two turns, but {closing.whole!r} after the last "
                "one, so the places of turns cannot be known. Use a template that closes a turn one way."
            )
        return piece.removeprefix(closing.whole)

    def _strips(self, roles: tuple[Role, ...], images: tuple[int, ...]) -> tuple[tuple[bool, bool], ...]:
        marks = [_MARK.format(index=index) for index in range(len(roles))]
        padded = self._render(roles, images, [f"\t{mark}\t" for mark in marks], opens_assistant=False)
        strips: list[tuple[bool, bool]] = []
        for mark in marks:
            at = padded.find(mark)
            strips.append((not padded[:at].endswith("\t"), not padded[at + len(mark) :].startswith("\t")))
        return tuple(strips)

    def _pieces(
        self, roles: tuple[Role, ...], images: tuple[int, ...], *, opens_assistant: bool
    ) -> list[str]:
        marks = [_MARK.format(index=index) for index in range(len(roles))]
        text = self._render(roles, images, marks, opens_assistant=opens_assistant)
        pieces: list[str] = []
        for mark in marks:
            before, found, text = text.partition(mark)
            if not found or mark in text:
                raise RenderError(
                    "The chat template does not write each text once and in order (roles "
                    f"{', '.join(roles)}). It cannot be used for training or synthesis; use the family's own "
                    "template."
                )
            pieces.append(before)
        return [*pieces, text]

    def _prompted_pieces(
        self, roles: tuple[Role, ...], images: tuple[int, ...], *, opens_assistant: bool
    ) -> list[str]:
        """Return the pieces with every assistant's turn opened as the model is prompted."""
        pieces = self._pieces(roles, images, opens_assistant=opens_assistant)
        for index, role in enumerate(roles):
            if role == "assistant" and pieces[index].endswith(self._written_header):
                pieces[index] = pieces[index].removesuffix(self._written_header) + self.assistant_header
        return pieces

    def _render(
        self, roles: tuple[Role, ...], images: tuple[int, ...], texts: Sequence[str], *, opens_assistant: bool
    ) -> str:
        counts = images or (0,) * len(roles)
        messages = [
            {"role": role, "content": text}
            if role == "system" and self._system_is_string
            else {"role": role, "content": [{"type": "image"}] * count + [{"type": "text", "text": text}]}
            for role, count, text in zip(roles, counts, texts, strict=True)
        ]
        try:
            rendered = self._processor.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=opens_assistant, **self._clock
            )
        except (jinja2.TemplateError, TypeError, ValueError) as error:
            raise RenderError(
                f"The checkpoint's chat template refuses a conversation of the roles {', '.join(roles)} "
                f"({error}). Leave out what it cannot write, or use another template."
            ) from error
        return str(rendered)


def template_of(processor: Processor) -> _Template:
    """Return the processor's template taken apart; built at the first call and kept on the processor."""
    found = getattr(processor, "_acclimate_template", None)
    if not isinstance(found, _Template):
        found = _Template(processor)
        processor._acclimate_template = found
    return found


def neutralise(processor: Processor, text: str) -> str:
    """Return the text with every special token in it made plain, by U+2060 after its first character.

    Source: our own rule; without it a caption could close its turn and open another.
    """
    return template_of(processor).guarded.sub(lambda match: match[0][0] + WORD_JOINER + match[0][1:], text)


def markers(processor: Processor) -> TurnMarkers:
    """Return the literal strings the checkpoint's template puts around turns.

    Raises:
        EngineError: user and assistant turns are closed in different ways, so that a reply that holds both
            cannot be read.
    """
    template = template_of(processor)
    _require_one_closing(template)
    return TurnMarkers(
        user=template.user_header,
        assistant=template.assistant_header,
        end_of_turn=template.assistant_closing.end_of_turn,
        separator=template.assistant_closing.separator,
        end_of_text=template.end_of_text,
    )


def _require_one_closing(template: _Template) -> None:
    if template.user_closing != template.assistant_closing:
        raise RenderError(
            f"The checkpoint's chat template closes a user turn with {template.user_closing.whole!r} and an "
            f"assistant turn with {template.assistant_closing.whole!r}. It can answer and be trained, but it "
            "cannot be a synthesizer; take a checkpoint whose template closes every turn alike."
        )


def render(
    processor: Processor,
    turns: Sequence[RoleText],
    n_images: int | Sequence[int],
    opens: Role | None = None,
    *,
    end_of_text: bool = False,
) -> Rendered:
    """Write a conversation as the text the model reads.

    Args:
        processor: from `load_processor`.
        turns: at least one.
        n_images: images of the first user turn, or one count per turn. They stand before the turn's text.
        opens: whose turn is opened after the last one; None opens none.
        end_of_text: close the conversation with the family's end-of-text token, as a synthesizer is tuned
        (only where nothing is opened).

    Returns:
        The text and the spans of its turns. Where the template closes an assistant's turn with no token
        (LLaVA-1.5), the end-of-text token closes it, unless `end_of_text` is asked for: then it stands only
        at the end, and turns are closed as the template writes them.

    Raises:
        EngineError: the template cannot write such a conversation, or `end_of_text` is asked of one whose
            turns are closed in different ways, which no synthesizer can write.
    """
    if not turns:
        raise RenderError("An empty conversation cannot be rendered. Give at least one turn.")
    if end_of_text and opens is not None:
        raise RenderError("A conversation that opens a turn has no end of text. Ask for one of the two.")
    template = template_of(processor)
    if end_of_text:
        _require_one_closing(template)
    roles = tuple(turn.role for turn in turns)
    if isinstance(n_images, int):
        counts = [0] * len(roles)
        if n_images:
            if "user" not in roles:
                raise RenderError("Images stand in a user turn, and this conversation has none. Add one.")
            counts[roles.index("user")] = n_images
        images = tuple(counts)
    else:
        images = tuple(n_images)
    shape = template.shape(roles, images, opens, whole=end_of_text)
    parts = [shape.pieces[0]]
    position = len(shape.pieces[0])
    spans: list[TurnSpan] = []
    piece_start = 0
    for index, turn in enumerate(turns):
        left, right = shape.strips[index]
        text = turn.text
        if left or right:
            text = text.strip() if left and right else (text.lstrip() if left else text.rstrip())
        text = template.guarded.sub(lambda match: match[0][0] + WORD_JOINER + match[0][1:], text)
        header_start = piece_start + shape.header_starts[index]
        text_start = position
        text_end = text_start + len(text)
        spans.append(
            TurnSpan(turn.role, header_start, text_start, text_end, text_end + shape.end_lengths[index])
        )
        after = shape.pieces[index + 1]
        parts += (text, after)
        piece_start = text_end
        position = text_end + len(after)
    start = position - len(template.end_of_text) if end_of_text else position
    return Rendered("".join(parts), tuple(spans), start, sum(images))


def _stopped_clock(processor: Processor) -> dict[str, Any]:
    """Return what `apply_chat_template` must be given where the template asks for today's date."""
    template = processor.chat_template
    text = template.get("default", "") if isinstance(template, dict) else str(template)
    if "strftime_now" not in text:
        return {}
    # Under its own name it would be taken for an argument of the processor. The empty text saves a line feed.
    told = "{% set strftime_now = acclimate_clock %}{{ '' }}"
    return {"chat_template": told + text, "acclimate_clock": _TODAY.strftime}


def _end_of_text(processor: Processor) -> str:
    """Return the token that ends a whole text, as against a turn.

    The tokenizer's `eos_token` is the end of a turn in chat models of Qwen and Llama 3; their end of text is
    the other of the two. Source: the families' generation_config.json, which lists both.
    """
    tokenizer = processor.tokenizer
    vocabulary = tokenizer.get_vocab()
    for token in ("<|endoftext|>", "<|end_of_text|>"):
        if token in vocabulary:
            return token
    if tokenizer.eos_token is None:
        raise RenderError(
            "The checkpoint's tokenizer has no end-of-text token, so replies would never stop. Set eos_token "
            "in tokenizer_config.json."
        )
    return str(tokenizer.eos_token)
