"""How the mask is made from spans, and what it makes of any text; `test_golden_masks` has each family's."""

import io
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import tiny_models
from PIL import Image

from acclimate.engines.families import load_processor
from acclimate.engines.render import TurnSpan
from acclimate.files import ImageStore
from acclimate.records import Conversation, ImageRef, Rejection, Turn
from acclimate.train.masks import MaskMode, token_mask, trained_spans
from acclimate.train.rows import Row, RowEncoder

BUILDERS: dict[str, Callable[[Path], Path]] = {
    "qwen3_vl": tiny_models.tiny_qwen3_vl,
    "qwen2_vl": tiny_models.tiny_qwen2_vl,
    "llava": tiny_models.tiny_llava,
    "mllama": tiny_models.tiny_mllama,
}
MANY_TURNS = (
    ("user", "Describe the image."),
    ("assistant", "a plate with red beans"),
    ("user", "How many?\nCount."),
    ("assistant", "three"),
    ("user", "Sure?"),
    ("assistant", "Yes"),
)


@pytest.fixture(scope="module")
def processors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("models")
    return {name: load_processor(build(folder / name)) for name, build in BUILDERS.items()}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    return ImageStore(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def picture(store: ImageStore) -> ImageRef:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (200, 30, 30)).save(buffer, "PNG")
    return store.add(buffer.getvalue())


def conversation(turns: Any, images: tuple[ImageRef, ...] = (), trains: Any = ("assistant",)) -> Conversation:
    records = tuple(Turn(role, text, role in trains) for role, text in turns)
    return Conversation("c", images, records, 1, ())


def encoded(processor: Any, store: ImageStore, mode: MaskMode, item: Conversation) -> Row:
    row = RowEncoder(processor, store, mode, 4096).encode(item)
    assert isinstance(row, Row), row
    return row


def trained_runs(processor: Any, row: Row) -> list[str]:
    """Return the text of every unbroken run of trained tokens."""
    pairs = groupby(zip(row.input_ids, row.trained, strict=True), key=lambda pair: bool(pair[1]))
    return [processor.tokenizer.decode([token for token, _ in run]) for counts, run in pairs if counts]


END = {"qwen3_vl": "<|im_end|>", "qwen2_vl": "<|im_end|>", "llava": "</s>", "mllama": "<|eot_id|>"}


@pytest.mark.parametrize("name", BUILDERS)
def test_responses_leaves_out_replies_that_are_not_trained(
    processors: dict[str, Any], store: ImageStore, picture: ImageRef, name: str
) -> None:
    turns = (
        Turn("user", "Describe the image.", trained=False),
        Turn("assistant", "a plate", trained=False),
        Turn("user", "How many?", trained=False),
        Turn("assistant", "three", trained=True),
    )
    row = encoded(processors[name], store, "responses", Conversation("c", (picture,), turns, 1, ()))
    assert trained_runs(processors[name], row) == [f"three{END[name]}"]


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Käse, 細胞 und 🧫", id="any Unicode"),
        pytest.param("two\n\nparagraphs", id="blank line inside"),
        pytest.param("x", id="one letter"),
    ],
)
def test_a_reply_of_any_text_is_trained_whole(
    processors: dict[str, Any], store: ImageStore, name: str, text: str
) -> None:
    turns = (("user", "Say it."), ("assistant", text))
    row = encoded(processors[name], store, "responses", conversation(turns))
    assert trained_runs(processors[name], row) == [f"{text}{END[name]}"]


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("mode", ["responses", "continuation"])
def test_end_markers_inside_a_reply_neither_end_it_nor_open_a_turn(
    processors: dict[str, Any], store: ImageStore, name: str, mode: MaskMode
) -> None:
    plain = encoded(processors[name], store, mode, conversation(MANY_TURNS))
    hostile = (*MANY_TURNS[:3], ("assistant", f"no {END[name]} yes"), *MANY_TURNS[4:])
    row = encoded(processors[name], store, mode, conversation(hostile))
    end_id = processors[name].tokenizer.convert_tokens_to_ids(END[name])
    assert list(row.input_ids).count(end_id) == list(plain.input_ids).count(end_id)


def test_a_conversation_without_an_assistant_has_nothing_to_continue(
    processors: dict[str, Any], store: ImageStore
) -> None:
    only_user = conversation((("user", "Hello"),))
    result = RowEncoder(processors["qwen3_vl"], store, "continuation", 4096).encode(only_user)
    assert isinstance(result, Rejection)
    assert result.reason == "nothing_to_learn"


SPANS = (
    TurnSpan("user", 0, 2, 4, 5),
    TurnSpan("assistant", 5, 7, 10, 11),
    TurnSpan("user", 11, 13, 15, 16),
    TurnSpan("assistant", 16, 18, 20, 21),
)


def test_spans_of_both_modes() -> None:
    flags = (False, True, False, True)
    assert trained_spans(SPANS, flags, 24, "responses") == ((7, 11), (18, 21))
    assert trained_spans(SPANS, flags, 24, "continuation") == ((11, 24),)
    assert trained_spans(SPANS[:1], (False,), 5, "continuation") == ()
    assert trained_spans(SPANS[:2], (False, True), 11, "continuation") == ()


@pytest.mark.parametrize(
    ("text", "offsets", "span", "expected"),
    [
        pytest.param(
            "A: yes.", [(0, 2), (2, 6), (6, 7)], (3, 7), [False, True, True], id="blank joined to a word"
        ),
        pytest.param(
            "yes B:", [(0, 3), (3, 5), (5, 6)], (0, 4), [True, False, False], id="blank joined to a header"
        ),
        pytest.param("ab", [(0, 2)], (1, 2), [False], id="a letter outside"),
        pytest.param("é", [(0, 1), (0, 1)], (0, 1), [True, True], id="bytes of one character"),
        pytest.param("ab", [(0, 0), (0, 2)], (0, 2), [False, True], id="a token without text"),
    ],
)
def test_tokens_that_cross_a_span_count_only_if_what_is_outside_is_blank(
    text: str, offsets: list[tuple[int, int]], span: tuple[int, int], expected: list[bool]
) -> None:
    assert token_mask(text, offsets, [span]) == expected


def test_the_mask_equals_a_slow_reference() -> None:
    text = "".join("ab \n"[(7 * index) % 4] for index in range(60))
    offsets = [(start, start + 3) for start in range(0, 60, 3)]
    spans = [(4, 9), (9, 10), (21, 40), (52, 60)]

    def slow(start: int, end: int) -> bool:
        first = next((span for span in spans if span[1] > start), None)
        if first is None or not set(range(start, end)) & set(range(*first)):
            return False
        return not "".join(text[i] for i in range(start, end) if not first[0] <= i < first[1]).strip()

    assert token_mask(text, offsets, spans) == [slow(*offset) for offset in offsets]
