"""The conversations of the training benchmark, in the form that each contestant reads, and what counts.

They come from the lab through the package's doors: pairs of a target domain are rendered and ingested, the
oracle asks a task about a part of them, and `compose` makes the mixture. The share of pairs with a task is
the demo's, where the judge keeps a task for 56 % of the pairs; `--run` takes a finished demo's own
conversations instead.
"""

import hashlib
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import nn

from acclimate.compose.stage import ComposeConfig, compose
from acclimate.engines.families import load_processor
from acclimate.files import ImageStore, read_records, write_records
from acclimate.ingest.stage import IngestConfig, ingest
from acclimate.lab.documents import draw_task
from acclimate.lab.language import Asker
from acclimate.lab.render import scene_from, write_pairs
from acclimate.lab.world import DOMAINS
from acclimate.records import Conversation, ImageCaption, JudgedTriplet, content_id

DOMAIN = "cells"
TASK_SHARE = 0.56
MAX_TOKENS = 512
"""As in the demo; no row comes near it."""


_IMAGE = "{{ '<|vision_start|><|image_pad|><|vision_end|>' }}"
_CONTENT = (
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}"
    + _IMAGE
    + "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
)
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}"
    + _CONTENT
    + "{{ '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}{% else %}"
    + _CONTENT
    + "{{ '<|im_end|>\\n' }}{% endif %}{% endfor %}"
)
"""The lab's chat template with what is trained marked, replies and their ends, for transformers' own mask."""


@dataclass(frozen=True, slots=True)
class Row:
    """One conversation as plain transformers encodes it: what every contestant is compared with."""

    id: str
    input_ids: torch.Tensor
    """(T,)"""
    trained: torch.Tensor
    """(T,) bool: where the loss counts a token."""
    inputs: Mapping[str, torch.Tensor]
    """What else the forward takes."""

    @property
    def n_trained(self) -> int:
        """Return how many tokens the loss counts."""
        return int(self.trained.sum())

    @property
    def key(self) -> str:
        """Return the row's `row_key`."""
        return row_key(self.input_ids.numpy(), self.trained.numpy())


@dataclass(frozen=True, slots=True)
class Data:
    """Where the contestants find the conversations, and the rows as plain transformers encodes them."""

    folder: Path
    store: Path
    conversations: Path
    sharegpt: Path
    trl_rows: Path
    train: tuple[Row, ...]
    held_out: tuple[Row, ...]
    image_token_id: int

    @property
    def starts(self) -> Sequence[int]:
        """Return the tokens that every row begins with and that stand nowhere else in it.

        Every conversation of the benchmark has one picture, before the text of its first turn.
        """
        first = self.train[0].input_ids.tolist()
        return first[: first.index(self.image_token_id)]

    @property
    def n_trained_by_key(self) -> dict[str, int]:
        """Return how many tokens of a row the loss counts, by `row_key`."""
        return {row.key: row.n_trained for row in self.train}


def row_key(ids: np.ndarray, trained: np.ndarray) -> str:
    """Return a hash of a row's tokens up to its last trained one, and of which of them are trained."""
    end = int(np.flatnonzero(trained)[-1]) + 1
    parts = ids[:end].astype("<i4").tobytes() + trained[:end].astype("u1").tobytes()
    return hashlib.sha256(parts).hexdigest()


def prepare(folder: Path, model: Path, n: int, n_held_out: int, run: Path | None) -> Data:
    """Write the conversations in every form and return them; `n` to train on and `n_held_out` others."""
    store = run or folder
    found = _of_run(run) if run else _rendered(folder, n + n_held_out)
    found = sorted(found, key=lambda each: content_id("benchmark", each.id))
    if len(found) < n + n_held_out:
        raise SystemExit(f"{len(found)} conversations were found and {n} + {n_held_out} are needed.")
    chosen, others = found[:n], found[n : n + n_held_out]
    write_records(folder / "conversations.parquet", chosen, Conversation)
    images = ImageStore(store)
    paths = {each.id: [str(images.locate(ref)) for ref in each.images] for each in chosen}
    processor = load_processor(model)
    train = [_row(processor, images, each) for each in chosen]
    (folder / "sharegpt.json").write_text(json.dumps([_sharegpt(each, paths) for each in chosen]))
    (folder / "dataset_info.json").write_text(json.dumps(DATASET_INFO))
    lengths = {row.id: len(row.input_ids) for row in train}
    (folder / "trl.json").write_text(json.dumps([_trl(each, paths, lengths) for each in chosen]))
    return Data(
        folder=folder,
        store=store,
        conversations=folder / "conversations.parquet",
        sharegpt=folder / "sharegpt.json",
        trl_rows=folder / "trl.json",
        train=tuple(train),
        held_out=tuple(_row(processor, images, each) for each in others),
        image_token_id=processor.image_token_id,
    )


DATASET_INFO = {
    "conversations": {
        "file_name": "sharegpt.json",
        "formatting": "sharegpt",
        "columns": {"messages": "conversations", "images": "images"},
        "tags": {
            "role_tag": "from",
            "content_tag": "value",
            "user_tag": "human",
            "assistant_tag": "gpt",
        },
    }
}


def _row(processor: Any, images: ImageStore, conversation: Conversation) -> Row:  # noqa: ANN401
    first, *others = conversation.turns
    pictures = [{"type": "image", "image": images.open(ref)} for ref in conversation.images]
    messages = [
        {"role": first.role, "content": [*pictures, {"type": "text", "text": first.text}]},
        *({"role": turn.role, "content": [{"type": "text", "text": turn.text}]} for turn in others),
    ]
    encoded = processor.apply_chat_template(
        [messages],
        chat_template=TEMPLATE,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        return_assistant_tokens_mask=True,
    )
    named = dict(encoded)
    ids, trained = named.pop("input_ids"), named.pop("assistant_masks")
    del named["attention_mask"]
    return Row(conversation.id, ids[0], torch.as_tensor(trained)[0].bool(), named)


def _of_run(run: Path) -> list[Conversation]:
    homes = sorted(
        run.glob("artifacts/compose/*/conversations.parquet"), key=lambda path: path.stat().st_mtime
    )
    if not homes:
        raise SystemExit(
            f"{run} holds no artifacts/compose/*/conversations.parquet; give a demo's `run` folder."
        )
    return list(read_records(homes[-1], Conversation))


def _rendered(folder: Path, n: int) -> list[Conversation]:
    """Return at least n conversations of the lab's world."""
    domain = DOMAINS[DOMAIN]
    scenes = write_pairs(folder / "pairs", domain, n + n // 20, seed=0)  # some pairs are drawn twice
    config = IngestConfig(source="pairs/pairs.json", image_root="pairs/images", licence="Apache-2.0")
    pairs = [
        each
        for each in ingest(config, store=ImageStore(folder), base=folder)
        if isinstance(each, ImageCaption)
    ]
    judged = [each for pair in pairs for each in _task(pair, scenes[pair.image.sha256])]
    mixture = compose(pairs, judged, ComposeConfig())
    return [each for each in mixture if isinstance(each, Conversation)]


def _task(pair: ImageCaption, scene: str) -> list[JudgedTriplet]:
    """Return the oracle's task about a pair, for a part of the pairs."""
    rng = random.Random(f"benchmark/{pair.id}")
    if rng.random() >= TASK_SHARE:
        return []
    shown = scene_from(scene)
    asker = Asker(shown, DOMAINS[shown.domain].lexicon, rng, balanced=True)
    task = draw_task(asker, rng, choice_rate=0.3)
    return [
        JudgedTriplet(
            id=content_id("benchmark", pair.id),
            pair_id=pair.id,
            instruction=task.question,
            informative=task.informative,
            precise=task.precise,
            generator="oracle",
            label="consistent",
            p_consistent=1.0,
            p_inconsistent=0.0,
            p_open=0.0,
            judge="oracle",
        )
    ]


def _sharegpt(conversation: Conversation, paths: Mapping[str, list[str]]) -> dict[str, Any]:
    markers = "<image>" * len(conversation.images)
    turns = [
        {"from": "human" if turn.role == "user" else "gpt", "value": turn.text} for turn in conversation.turns
    ]
    turns[0]["value"] = markers + turns[0]["value"]
    return {"conversations": turns, "images": paths[conversation.id]}


def _trl(
    conversation: Conversation, paths: Mapping[str, list[str]], lengths: Mapping[str, int]
) -> dict[str, Any]:
    return {
        "messages": [{"role": turn.role, "content": turn.text} for turn in conversation.turns],
        "images": paths[conversation.id],
        "length": lengths[conversation.id],
    }


# --- what was trained -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Seen:
    """What a contestant's model was given, counted by this module and not by the contestant."""

    trained: tuple[int, ...]
    """Trained tokens per optimizer step."""
    rows: tuple[int, ...]
    """Conversations per optimizer step."""
    positions: tuple[int, ...]
    """Positions computed per optimizer step, padding included."""
    n_unlike: int
    """Conversations whose tokens or mask are not those of our rows."""


def seen(path: Path, n_trained_by_key: Mapping[str, int], starts: Sequence[int]) -> Seen:
    """Read what a contestant noted, find every conversation in it and count its trained tokens.

    Args:
        path: `seen.npz` of a recorder.
        n_trained_by_key: of the rows, by `row_key`.
        starts: the tokens that every row begins with and that stand nowhere else in it.
    """
    notes = np.load(path)
    steps = notes["step"]
    n_steps = int(steps.max()) + 1
    trained, rows, positions = [0] * n_steps, [0] * n_steps, [0] * n_steps
    n_unlike = 0
    for index, step in enumerate(steps):
        ids, counts = notes[f"ids{index}"], notes[f"trained{index}"]
        positions[step] += ids.size
        for row_ids, row_counts in _split(ids, counts, starts):
            n_trained = n_trained_by_key.get(row_key(row_ids, row_counts)) if row_counts.any() else None
            rows[step] += 1
            n_unlike += n_trained is None
            trained[step] += int(row_counts.sum()) if n_trained is None else n_trained
    return Seen(tuple(trained), tuple(rows), tuple(positions), n_unlike)


def _split(
    ids: np.ndarray, counts: np.ndarray, starts: Sequence[int]
) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Yield the conversations of a batch, packed or not."""
    for row_ids, row_counts in zip(ids, counts, strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(row_ids, len(starts))
        begins = np.flatnonzero((windows == np.array(starts)).all(axis=1))
        for begin, end in zip(begins, [*begins[1:], len(row_ids)], strict=True):
            yield row_ids[begin:end], row_counts[begin:end]


# --- what was learned -----------------------------------------------------------------------------


def held_out_loss(checkpoint: Path, rows: Sequence[Row]) -> float:
    """Return the mean cross-entropy over the rows' trained tokens, in nats.

    The weights are rounded to bfloat16, as checkpoints store them, whatever the tool wrote; the forward pass
    is in float32, one row at a time, by plain transformers.
    """
    transformers.utils.logging.disable_progress_bar()
    auto: Any = transformers.AutoModelForImageTextToText
    model = auto.from_pretrained(checkpoint, dtype=torch.float32).eval()
    for parameter in model.parameters():
        parameter.data = parameter.data.to(torch.bfloat16).to(torch.float32)
    total, n = 0.0, 0
    with torch.inference_mode():
        for row in rows:
            ids, counted = row.input_ids[None], row.trained[1:]
            logits = model(
                input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, **row.inputs
            ).logits
            total += float(
                nn.functional.cross_entropy(logits[0, :-1][counted], ids[0, 1:][counted], reduction="sum")
            )
            n += row.n_trained
    return total / n


def histogram(values: Sequence[int], width: int, title: str) -> str:
    """Return the values' histogram as text, in classes of `width`."""
    classes = [value // width for value in values]
    lines = [f"{title}: mean {np.mean(values):.1f}, median {np.median(values):.0f}, largest {max(values)}"]
    for index in range(min(classes), max(classes) + 1):
        count = classes.count(index)
        bar = "#" * round(60 * count / max(classes.count(each) for each in set(classes)))
        lines.append(f"  {index * width:4d} to {index * width + width - 1:4d} {count:5d} {bar}")
    return "\n".join(lines)
