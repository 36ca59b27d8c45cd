"""Rows before training: measured without decoding, shortened as the settings allow, never cut."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import tiny_models
import torch
from PIL import Image
from test_train import config, conversations, run, weights

from acclimate.engines.families import family_of, load_model, load_processor
from acclimate.errors import EngineError, TrainError
from acclimate.files import ImageStore
from acclimate.records import Conversation, ImageRef, Rejection, Turn
from acclimate.train.parameters import freeze_unreached, optimizer_groups, prepare
from acclimate.train.rows import Row, RowEncoder, Rows
from acclimate.train.stage import TrainExecution, plan

BUILDERS: dict[str, Callable[[Path], Path]] = {
    "qwen2_vl": tiny_models.tiny_qwen2_vl,
    "qwen3_vl": tiny_models.tiny_qwen3_vl,
    "llava": tiny_models.tiny_llava,
    "llava_next": tiny_models.tiny_llava_next,
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {name: build(folder / name) for name, build in BUILDERS.items()}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    return ImageStore(tmp_path_factory.mktemp("store"))


def picture(store: ImageStore, width: int, height: int) -> ImageRef:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (90, width % 255, height % 255)).save(buffer, "PNG")
    return store.add(buffer.getvalue())


def talk(images: tuple[ImageRef, ...], n_rounds: int, **more: Any) -> Conversation:
    turns: list[Turn] = []
    for number in range(n_rounds):
        turns += [
            Turn("user", f"Question {number}?", False),
            Turn("assistant", f"answer {number} " * 4, True),
        ]
    return Conversation("c", images, tuple(turns), 1, (), **more)


def encoder(model: Path, store: ImageStore, limit: int, **more: Any) -> RowEncoder:
    return RowEncoder(load_processor(model), store, "responses", limit, **more)


def text_of(row: Row, processor: Any) -> str:
    kept = [token for token, counts in zip(row.input_ids, row.trained, strict=True) if counts]
    return str(processor.tokenizer.decode(kept))


@pytest.mark.parametrize("name", BUILDERS)
def test_a_row_is_as_long_as_was_measured_before_its_pictures_were_decoded(
    models: dict[str, Path], store: ImageStore, name: str
) -> None:
    made = encoder(models[name], store, 4096)
    for images in ((), (picture(store, 90, 41),), (picture(store, 64, 64), picture(store, 33, 80))):
        draft = made.draft(talk(images, 2))
        assert not isinstance(draft, Rejection)
        assert draft.n_image_tokens is not None, "no picture was decoded for it"
        row = made.row(draft, made.pictures(draft))
        assert row.size == draft.size


@pytest.mark.parametrize("name", ["qwen2_vl", "qwen3_vl"])
def test_pictures_are_made_smaller_until_the_conversation_fits(
    models: dict[str, Path], store: ImageStore, name: str
) -> None:
    item = talk((picture(store, 64, 64),), 1)
    wide = encoder(models[name], store, 4096)
    whole = wide.encode(item)
    assert isinstance(whole, Row)
    image_tokens = whole.n_image_tokens
    limit = len(whole.input_ids) - 1
    row = encoder(models[name], store, limit, too_long=("shrink_pictures",)).encode(item)
    assert isinstance(row, Row)
    assert row.n_image_tokens < image_tokens
    assert len(row.input_ids) <= limit
    processor = load_processor(models[name])
    assert text_of(row, processor) == text_of(whole, processor), "answers are never cut"


def test_last_questions_are_dropped_where_pictures_cannot_be_smaller(
    models: dict[str, Path], store: ImageStore
) -> None:
    images = (picture(store, 64, 64),)
    shorter = encoder(models["llava"], store, 4096).encode(talk(images, 2))
    assert isinstance(shorter, Row)
    limit = len(shorter.input_ids)
    both = ("shrink_pictures", "drop_turns")
    row = encoder(models["llava"], store, limit, too_long=both).encode(talk(images, 5))
    assert isinstance(row, Row)
    assert row.input_ids == shorter.input_ids
    assert row.trained == shorter.trained
    kept_picture = encoder(models["llava"], store, limit, too_long=both).encode(
        talk(images, 5, image_turns=(8,))
    )
    assert isinstance(kept_picture, Rejection), "a turn with a picture is not left out"
    assert kept_picture.reason == "too_long"


def test_what_nothing_helps_is_rejected_with_its_length(models: dict[str, Path], store: ImageStore) -> None:
    both = ("shrink_pictures", "drop_turns")
    found = encoder(models["llava"], store, 12, too_long=both).encode(talk((picture(store, 64, 64),), 3))
    assert isinstance(found, Rejection)
    assert (found.id, found.reason) == ("c", "too_long")
    assert found.detail.endswith("at most 12 are trained")


def test_how_many_were_shortened_is_counted(
    tmp_path: Path, models: dict[str, Path], store: ImageStore
) -> None:
    made = encoder(models["llava"], store, 4096)
    row = made.encode(talk((), 2))
    assert isinstance(row, Row)
    rows = Rows(
        [talk((), 2), talk((), 4)],
        encoder(models["llava"], store, len(row.input_ids), too_long=("drop_turns",)),
        2**20,
    )
    assert rows.shortened == {"turns_dropped": 1}


def test_the_plain_format_is_picture_answer_and_line_break(
    models: dict[str, Path], store: ImageStore
) -> None:
    processor = load_processor(models["llava"])
    row = encoder(models["llava"], store, 4096, format="plain").encode(talk((picture(store, 64, 64),), 1))
    assert isinstance(row, Row)
    whole = processor.tokenizer.decode(row.input_ids).replace(processor.image_token, "")
    said = ("answer 0 " * 4).strip()
    assert whole.replace(processor.tokenizer.bos_token or "\0", "").lstrip(" ") == f"{said}\n"
    assert text_of(row, processor) == f"{said}\n"
    many = encoder(models["llava"], store, 4096, format="plain").encode(talk((), 2))
    assert isinstance(many, Rejection)
    assert many.reason == "not_renderable"


def test_nothing_is_decoded_before_the_training_needs_it(
    tmp_path: Path, models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = ImageStore(tmp_path)
    items = [talk((picture(own, 64, 64 + index),), 1) for index in range(3)]
    opened: list[str] = []
    real = ImageStore.open
    monkeypatch.setattr(ImageStore, "open", lambda self, ref: opened.append(ref.sha256) or real(self, ref))
    rows = Rows(items, encoder(models["qwen3_vl"], own, 4096), 0)
    assert len(rows) == 3
    assert opened == []
    assert rows[1].n_images == 1
    assert opened == [items[1].images[0].sha256]


# --- what learns ---------------------------------------------------------------------------------------


def test_what_plays_no_part_is_frozen_and_not_decayed(
    tmp_path: Path, models: dict[str, Path], store: ImageStore
) -> None:
    """LLaVA reads its tower's last layer but one, so the last one learns nothing."""
    settings = config(epochs=2, precision="fp32", weight_decay=0.5)
    items = [
        talk((picture(store, 64, 64),), 1),
    ]
    run(tmp_path, items, settings, models["llava"], store)
    before, after = weights(models["llava"]), weights(tmp_path / "out")
    untouched = {name for name in before if torch.equal(before[name], after[name])}
    last = max(
        int(name.split("layers.")[1].split(".")[0])
        for name in before
        if "vision" in name and "layers." in name
    )
    assert {name for name in before if "vision" in name and f"layers.{last}." in name} <= untouched
    assert not any("language_model" in name for name in untouched)


def test_a_vision_tower_that_sees_no_picture_stays_as_it_is(
    tmp_path: Path, models: dict[str, Path], store: ImageStore
) -> None:
    run(tmp_path, [talk((), 1)], config(epochs=2, weight_decay=0.5), models["qwen3_vl"], store)
    before, after = weights(models["qwen3_vl"]), weights(tmp_path / "out")
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert not any("visual" in name for name in moved)


def test_nothing_reached_is_nothing_to_learn(models: dict[str, Path]) -> None:
    model = prepare(load_model(models["llava"], "float32"), config(), family_of(models["llava"]))
    with pytest.raises(TrainError, match="plays no part in the loss"):
        freeze_unreached(model, torch.zeros(()))


def test_groups_have_their_own_weight_decay(models: dict[str, Path]) -> None:
    settings = config(weight_decay=0.1, vision_weight_decay=0.0, projector_weight_decay=0.3)
    family = family_of(models["llava"])
    model = prepare(load_model(models["llava"], "float32"), settings, family)
    found = {(each["lr"], each["weight_decay"]) for each in optimizer_groups(model, settings, family)}
    assert {decay for _, decay in found} == {0.1, 0.0, 0.3}


# --- what is said and refused before the first step ----------------------------------------------------


def test_a_plan_says_groups_rates_decays_and_memory(models: dict[str, Path]) -> None:
    settings = config(vision_learning_rate=1e-6, projector_weight_decay=0.2, freeze=("language",))
    found = plan(settings, model=models["llava"], n_conversations=20, tokens_per_conversation=50.0)
    by_group = {each.group: each for each in found.groups}
    assert by_group["language"].trainable == 0 < by_group["language"].parameters
    assert by_group["vision"].learning_rate == 1e-6
    assert by_group["projector"].weight_decay == 0.2
    total = sum(each.parameters for each in found.groups)
    learning = sum(each.trainable for each in found.groups)
    assert found.memory_bytes > 4 * total + 12 * learning
    checked = settings.model_copy(
        update={
            "execution": settings.execution.model_copy(
                update={"tokens_per_pass": 100_000, "micro_batch": 999}
            )
        }
    )
    longer = plan(checked, model=models["llava"], n_conversations=20, tokens_per_conversation=5000.0)
    assert longer.memory_bytes > found.memory_bytes
    saved = checked.model_copy(
        update={"execution": checked.execution.model_copy(update={"gradient_checkpointing": True})}
    )
    assert plan(
        saved, model=models["llava"], n_conversations=20, tokens_per_conversation=5000.0
    ).memory_bytes < (longer.memory_bytes)
    shared = settings.model_copy(
        update={"execution": settings.execution.model_copy(update={"processes": 4, "launch": "fsdp2"})}
    )
    assert plan(
        shared, model=models["llava"], n_conversations=20, tokens_per_conversation=50.0
    ).memory_bytes < (found.memory_bytes)


def test_too_little_memory_is_refused_before_the_first_step_with_what_would_help(
    tmp_path: Path, models: dict[str, Path], store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Little:
        available = 10_000

    monkeypatch.setattr(psutil, "virtual_memory", Little)
    seen: list[float] = []
    with pytest.raises(TrainError, match=r"GB are free.*gradient_checkpointing: true.*lora.*fsdp2"):
        run(tmp_path, [talk((), 1)], config(), models["llava"], store, on_progress=lambda *s: seen.extend(s))
    assert seen == []
    unchecked = config(execution=TrainExecution(threads=1, device="cpu", check_memory=False))
    run(tmp_path, [talk((), 1)], unchecked, models["llava"], store)


def test_weights_of_another_family_are_refused(
    tmp_path: Path, models: dict[str, Path], store: ImageStore
) -> None:
    wrong = tiny_models.tiny_qwen2_vl(tmp_path / "wrong")
    (wrong / "model.safetensors").write_bytes((models["llava"] / "model.safetensors").read_bytes())
    with pytest.raises(EngineError, match="belong to another model or another family"):
        run(tmp_path, [talk((), 1)], config(), wrong, store)


def test_gradient_checkpointing_changes_no_weight(
    tmp_path: Path, models: dict[str, Path], store: ImageStore
) -> None:
    items = conversations(8, [picture(store, 64, 64)])
    found = []
    for kept in (False, True):
        how = TrainExecution(micro_batch=4, threads=1, device="cpu", gradient_checkpointing=kept)
        where = tmp_path / str(kept)
        run(where, items, config(epochs=2, precision="fp32", execution=how), models["qwen3_vl"], store)
        found.append(weights(where / "out"))
    for name, value in found[0].items():
        assert torch.allclose(value.float(), found[1][name].float(), atol=1e-5), name


def test_every_step_is_told_to_a_file_while_training_goes_on(
    tmp_path: Path, models: dict[str, Path], store: ImageStore
) -> None:
    outcome = run(
        tmp_path, conversations(8, [picture(store, 64, 64)]), config(epochs=3), models["llava"], store
    )
    lines = (tmp_path / "work" / "losses.jsonl").read_text().splitlines()
    assert [json.loads(line)["loss"] for line in lines] == [row.loss for row in outcome.losses]
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3]


def test_an_unknown_tracker_is_refused_with_those_there_are(
    tmp_path: Path, models: dict[str, Path], store: ImageStore
) -> None:
    how = TrainExecution(threads=1, device="cpu", report_to=("tensorbored",))
    with pytest.raises(TrainError, match=r"no tracker. Known: .*tensorboard.*wandb"):
        run(tmp_path, [talk((), 1)], config(execution=how), models["llava"], store)


def test_data_workers_change_no_byte(tmp_path: Path, models: dict[str, Path], store: ImageStore) -> None:
    items = conversations(12, [picture(store, 64, 64), picture(store, 40, 90)])
    found = []
    for workers in (0, 2):
        how = TrainExecution(micro_batch=4, threads=1, device="cpu", workers=workers)
        where = tmp_path / str(workers)
        run(where, items, config(epochs=2, execution=how), models["qwen3_vl"], store)
        found.append((where / "out" / "model.safetensors").read_bytes())
    assert found[0] == found[1]
