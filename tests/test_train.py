"""The training room through its door, on tiny random checkpoints of real architectures."""

import dataclasses
import hashlib
import io
import json
import math
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import tiny_models
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file

from acclimate.engines.families import family_of, load_model, load_processor, module_group
from acclimate.errors import EngineError, TrainError
from acclimate.files import ImageStore
from acclimate.records import Conversation, ImageRef, Turn
from acclimate.train import save
from acclimate.train.collate import padded
from acclimate.train.loop import selected_logits
from acclimate.train.parameters import optimizer_groups, prepare
from acclimate.train.reload import largest_difference
from acclimate.train.rows import RowEncoder
from acclimate.train.schedule import Cut, RowSize, epoch_order, learning_rate_factor, n_steps, schedule
from acclimate.train.stage import Lora, TrainConfig, TrainExecution, TrainOutcome, TrainPlan, plan, train

BUILDERS: dict[str, Callable[[Path], Path]] = {
    "qwen3_vl": tiny_models.tiny_qwen3_vl,
    "qwen2_vl": tiny_models.tiny_qwen2_vl,
    "llava": tiny_models.tiny_llava,
    "mllama": tiny_models.tiny_mllama,
}
WORDS = ["three", "round", "green", "cells", "and", "red", "beans", "with", "a", "slice", "of", "bread"]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {name: build(folder / name) for name, build in BUILDERS.items()}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def store(root: Path) -> ImageStore:
    return ImageStore(root)


@pytest.fixture(scope="module")
def pictures(store: ImageStore) -> list[ImageRef]:
    return [store.add(png(64, 64, (40 * index, 60, 200))) for index in range(6)]


def png(width: int, height: int, colour: tuple[int, int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "PNG")
    return buffer.getvalue()


def conversation(name: str, pictures: list[ImageRef]) -> Conversation:
    """Return a conversation that depends on its name alone; every fourth has no picture."""
    chance = random.Random(name)
    text = " ".join(chance.choice(WORDS) for _ in range(chance.randint(1, 8)))
    images = () if int(name[1:]) % 4 == 3 else (chance.choice(pictures),)
    turns = (Turn("user", "Describe the image.", trained=False), Turn("assistant", text, trained=True))
    return Conversation(name, images, turns, 1, ())


def conversations(n: int, pictures: list[ImageRef]) -> list[Conversation]:
    return [conversation(f"c{index}", pictures) for index in range(n)]


def config(**changes: Any) -> TrainConfig:
    values: dict[str, Any] = {
        "batch_size": 8,
        "learning_rate": 3e-3,
        "check_reload": False,
        "execution": TrainExecution(micro_batch=4, threads=1, device="cpu"),
    }
    return TrainConfig(**(values | changes))


def run(
    where: Path, items: list[Conversation], settings: TrainConfig, model: Path, store: ImageStore, **more: Any
) -> TrainOutcome:
    return train(items, settings, model=model, store=store, out=where / "out", work=where / "work", **more)


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


# --- the checkpoint -------------------------------------------------------------------------------


def test_training_lowers_the_loss_and_leaves_a_complete_plain_checkpoint(
    tmp_path: Path,
    models: dict[str, Path],
    store: ImageStore,
    pictures: list[ImageRef],
    capfd: pytest.CaptureFixture[str],
) -> None:
    base, seen, plans = models["qwen3_vl"], list[tuple[int, int, float]](), list[TrainPlan]()
    items = conversations(24, pictures)
    settings = config(epochs=8, check_reload=True)
    told = {"on_progress": lambda *step: seen.append(step), "on_plan": plans.append}
    outcome = run(tmp_path, items, settings, base, store, **told)
    out = tmp_path / "out"

    assert [(each.steps, each.tokens) for each in plans] == [(24, outcome.total_tokens)]

    assert outcome.losses[-1].loss < outcome.losses[0].loss - 1.0
    assert [row.step for row in outcome.losses] == list(range(1, 25))
    assert [row.epoch for row in outcome.losses][-1] == 8.0
    assert seen == [(row.step, 24, row.loss) for row in outcome.losses]
    assert sum(row.tokens for row in outcome.losses) == outcome.trained_tokens < outcome.total_tokens
    assert outcome.trained == tuple(item.id for item in items)

    for name in (
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "processor_config.json",
    ):
        assert (out / name).read_bytes() == (base / name).read_bytes(), name
    names = {path.name for path in out.iterdir()}
    assert {"model.safetensors", "vision_policy.json", "README.md"} <= names
    assert not any(name.endswith((".bin", ".pt", ".pth")) for name in names)
    for path in out.iterdir():
        assert str(tmp_path).encode() not in path.read_bytes()
        assert str(base.parent).encode() not in path.read_bytes()
    assert {name: value.dtype for name, value in weights(out).items()} == {
        name: value.dtype for name, value in weights(base).items()
    }
    policy = json.loads((out / "vision_policy.json").read_text())
    assert policy["patch_size"] == 8
    assert policy["size"] == {"longest_edge": 4096, "shortest_edge": 1024}
    loaded = transformers.AutoModelForImageTextToText.from_pretrained(out)
    assert type(loaded).__name__ == "Qwen3VLForConditionalGeneration"
    printed = capfd.readouterr()
    assert "Writing model" not in printed.err + printed.out
    assert "train_runtime" not in printed.out


@pytest.mark.parametrize("name", BUILDERS)
def test_every_family_trains_on_mixed_rows_and_reloads_as_it_was(
    tmp_path: Path, models: dict[str, Path], store: ImageStore, pictures: list[ImageRef], name: str
) -> None:
    settings = config(epochs=4, precision="fp32", mask="continuation" if name == "mllama" else "responses")
    items = conversations(8, pictures)
    assert {len(item.images) for item in items} == {0, 1}
    outcome = run(tmp_path, items, settings, models[name], store)
    assert outcome.losses[-1].loss < outcome.losses[0].loss
    processor = load_processor(tmp_path / "out")
    encoder = RowEncoder(processor, store, "responses", 4096)
    row: Any = encoder.encode(items[0])
    trained = load_model(tmp_path / "out", "float32")
    before = load_model(models[name], "float32")
    probe = save.probe_of(trained, [row])
    assert largest_difference(trained, probe)[0] == 0.0
    assert largest_difference(before, probe)[0] > 0.01


def test_a_checkpoint_that_answers_differently_is_refused(
    tmp_path: Path, models: dict[str, Path], store: ImageStore, pictures: list[ImageRef]
) -> None:
    processor = load_processor(models["qwen3_vl"])
    row: Any = RowEncoder(processor, store, "responses", 4096).encode(conversation("c0", pictures))
    other = tiny_models.tiny_qwen3_vl(tmp_path / "other", seed=1)
    probe = save.probe_of(load_model(models["qwen3_vl"], "float32"), [row])
    (tmp_path / "work").mkdir()
    with pytest.raises(TrainError, match="answers differently"):
        save.check_reload(other, probe, tmp_path / "work", "cpu")


# --- what decides the weights, and what does not -----------------------------------------------------


@pytest.fixture(scope="module")
def reference(
    tmp_path_factory: pytest.TempPathFactory,
    models: dict[str, Path],
    store: ImageStore,
    pictures: list[ImageRef],
) -> Path:
    """Return the folder of an undisturbed run of `reference_config`."""
    where = tmp_path_factory.mktemp("reference")
    run(where, conversations(20, pictures), reference_config(), models["qwen3_vl"], store)
    return where


def reference_config(**changes: Any) -> TrainConfig:
    return config(
        **({"epochs": 3, "save_every": 2, "method": "lora", "lora": Lora(rank=4, dropout=0.2)} | changes)
    )


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import torch
from acclimate.files import ImageStore
from acclimate.train import checkpoints
from acclimate.train.stage import train
import test_train as t

torch.set_num_threads(1)
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
root, where, model = map(Path, sys.argv[1:4])
store = ImageStore(root)
pictures = [store.add(t.png(64, 64, (40 * index, 60, 200))) for index in range(6)]
if sys.argv[4] == "writing":
    finish, count = checkpoints.finish, iter(range(9))
    checkpoints.finish = lambda *a: die() if next(count) == 1 else finish(*a)
    report = None
else:
    report = lambda step, total, loss: die() if step == 5 else None
t.run(where, t.conversations(20, pictures), t.reference_config(), model, store, on_progress=report)
"""


@pytest.mark.parametrize("instant", ["between checkpoints", "writing"])
def test_a_killed_training_goes_on_to_the_same_bytes(
    tmp_path: Path,
    reference: Path,
    root: Path,
    models: dict[str, Path],
    store: ImageStore,
    pictures: list[ImageRef],
    instant: str,
) -> None:
    script = KILLED.format(tests=str(Path(__file__).parent))
    arguments = [str(root), str(tmp_path), str(models["qwen3_vl"]), instant]
    killed = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (tmp_path / "out" / "model.safetensors").exists()

    redone: list[int] = []
    outcome = run(
        tmp_path,
        conversations(20, pictures),
        reference_config(),
        models["qwen3_vl"],
        store,
        on_progress=lambda step, total, loss: redone.append(step),
    )
    assert redone[0] == (5 if instant == "between checkpoints" else 3)
    assert [row.step for row in outcome.losses] == list(range(1, 10))
    assert digests(tmp_path / "out") == digests(reference / "out")


def test_order_of_arrival_and_row_cache_change_no_byte(
    tmp_path: Path, reference: Path, models: dict[str, Path], store: ImageStore, pictures: list[ImageRef]
) -> None:
    items = conversations(20, pictures)
    random.Random(1).shuffle(items)
    execution = TrainExecution(micro_batch=4, threads=1, device="cpu", row_cache_mb=0)
    run(tmp_path, items, reference_config(execution=execution), models["qwen3_vl"], store)
    assert digests(tmp_path / "out") == digests(reference / "out")


def test_a_checkpoint_of_another_run_is_not_taken_up(
    tmp_path: Path, models: dict[str, Path], store: ImageStore, pictures: list[ImageRef]
) -> None:
    items = conversations(8, pictures)
    run(tmp_path, items, config(epochs=2), models["qwen3_vl"], store)
    steps: list[int] = []
    changed = config(epochs=2, learning_rate=1e-4)
    run(tmp_path, items, changed, models["qwen3_vl"], store, on_progress=lambda *step: steps.append(step[0]))
    assert steps == [1, 2]
    steps.clear()
    run(tmp_path, items, changed, models["qwen3_vl"], store, on_progress=lambda *step: steps.append(step[0]))
    assert steps == []


@pytest.mark.parametrize("name", ["qwen3_vl", "llava"])
def test_a_step_is_the_same_in_one_pass_or_in_many(
    tmp_path: Path, models: dict[str, Path], store: ImageStore, pictures: list[ImageRef], name: str
) -> None:
    found = {}
    for micro_batch in (8, 2):
        execution = TrainExecution(micro_batch=micro_batch, threads=1, device="cpu")
        settings = config(epochs=2, precision="fp32", learning_rate=1e-3, execution=execution)
        where = tmp_path / str(micro_batch)
        outcome = run(where, conversations(16, pictures), settings, models[name], store)
        found[micro_batch] = [row.loss for row in outcome.losses], weights(where / "out")
    assert found[8][0] == pytest.approx(found[2][0], abs=1e-5)
    for tensor_name, value in found[8][1].items():
        if tensor_name.endswith("k_proj.bias"):
            continue  # softmax does not see it: its gradient is rounding alone, which AdamW scales up
        assert torch.allclose(value, found[2][1][tensor_name], atol=1e-5), tensor_name


def test_the_loss_is_the_mean_over_trained_tokens(
    tmp_path: Path, models: dict[str, Path], store: ImageStore, pictures: list[ImageRef]
) -> None:
    items = conversations(6, pictures)
    outcome = run(tmp_path, items, config(precision="fp32"), models["qwen3_vl"], store)
    model = load_model(models["qwen3_vl"], "float32")
    processor = load_processor(models["qwen3_vl"])
    total, count = 0.0, 0
    for item in items:
        row: Any = RowEncoder(processor, store, "responses", 4096).encode(item)
        inputs = {"input_ids": torch.tensor([list(row.input_ids)]), **row.model_inputs}
        with torch.no_grad():
            surprise = -model(**inputs).logits[0].log_softmax(-1)
        for position, flag in enumerate(row.trained):
            if flag:
                total += float(surprise[position - 1, row.input_ids[position]])
                count += 1
    assert outcome.losses[0].tokens == count
    assert outcome.losses[0].loss == pytest.approx(total / count, abs=1e-4)


@pytest.mark.parametrize("name", BUILDERS)
def test_narrowed_logits_are_the_models_own(
    models: dict[str, Path], store: ImageStore, pictures: list[ImageRef], name: str
) -> None:
    model = load_model(models[name], "float32")
    processor = load_processor(models[name])
    encoder = RowEncoder(processor, store, "responses", 4096)
    with_image = [item for item in conversations(8, pictures) if item.images][:3]
    rows: Any = [encoder.encode(item) for item in with_image]
    batch = padded(rows, pad_id=0, image_token_id=processor.image_token_id)
    trained = batch.pop("trained")
    with torch.no_grad():
        whole = model(**batch, use_cache=False).logits[trained]
        narrow = selected_logits(model, model.get_output_embeddings(), batch, trained)
    assert torch.allclose(whole, narrow, atol=1e-5)
    assert len(narrow) == int(trained.sum())


# --- what learns ---------------------------------------------------------------------------------------


def test_frozen_groups_stay_and_the_others_move(
    tmp_path: Path, models: dict[str, Path], store: ImageStore, pictures: list[ImageRef]
) -> None:
    base = models["qwen3_vl"]
    run(tmp_path, conversations(8, pictures), config(freeze=("vision", "language")), base, store)
    before, after = weights(base), weights(tmp_path / "out")
    moved = {
        module_group(family_of(base), name) for name in before if not torch.equal(before[name], after[name])
    }
    assert moved == {"projector"}


def test_lora_moves_language_layers_only_and_is_merged(
    tmp_path: Path, models: dict[str, Path], store: ImageStore, pictures: list[ImageRef]
) -> None:
    base = models["qwen3_vl"]
    settings = config(
        method="lora", lora=Lora(rank=4, save_adapter=True), learning_rate=2e-2, epochs=6, precision="fp32"
    )
    outcome = run(tmp_path, conversations(16, pictures), settings, base, store)
    assert outcome.losses[-1].loss < outcome.losses[0].loss
    before, after = weights(base), weights(tmp_path / "out")
    assert before.keys() == after.keys()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert all("language_model.layers" in name and name.endswith("proj.weight") for name in moved)
    adapter = tmp_path / "out" / "adapter"
    assert json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"] == ""
    assert (adapter / "adapter_model.safetensors").is_file()


def test_groups_have_their_own_learning_rates_and_vectors_no_decay(models: dict[str, Path]) -> None:
    settings = config(
        learning_rate=3e-4, vision_learning_rate=2e-5, projector_learning_rate=1e-3, weight_decay=0.1
    )
    family = family_of(models["qwen3_vl"])
    model = prepare(load_model(models["qwen3_vl"], "float32"), settings, family)
    groups = optimizer_groups(model, settings, family)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    placed = [names[id(parameter)] for group in groups for parameter in group["params"]]
    assert sorted(placed) == sorted(names.values())
    rates = {"vision": 2e-5, "projector": 1e-3, "language": 3e-4}
    for group in groups:
        for parameter in group["params"]:
            assert group["lr"] == rates[module_group(family, names[id(parameter)])]
            assert group["weight_decay"] == (0.1 if parameter.ndim > 1 else 0.0)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="full"),
        pytest.param({"freeze": ("vision",)}, id="frozen tower"),
        pytest.param({"method": "lora", "lora": Lora(rank=4, targets=("language", "vision"))}, id="lora"),
    ],
)
def test_a_plan_counts_what_training_would_train(models: dict[str, Path], changes: dict[str, Any]) -> None:
    settings = config(epochs=2, max_steps=5, **changes)
    base = models["qwen3_vl"]
    found = plan(settings, model=base, n_conversations=20, tokens_per_conversation=50)
    model = prepare(load_model(base, "float32"), settings, family_of(base))
    counts = dict.fromkeys(("vision", "projector", "language"), 0)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            counts[module_group(family_of(base), name)] += parameter.numel()
    assert {group.group: group.trainable for group in found.groups} == counts
    assert (found.steps, found.tokens) == (5, 2000)


# --- what is refused -----------------------------------------------------------------------------------


def test_every_conversation_is_trained_on_or_rejected_once(
    tmp_path: Path, models: dict[str, Path], store: ImageStore, pictures: list[ImageRef]
) -> None:
    good = conversations(5, pictures)
    ask, answer = Turn("user", "What?", trained=False), Turn("assistant", "red", trained=True)
    gone = dataclasses.replace(pictures[0], sha256="0" * 64)
    thin = store.add(png(2, 600, (1, 2, 3)))
    bad = {
        "too_long": Conversation("long", (), (ask, dataclasses.replace(answer, text="cells " * 200)), 1, ()),
        "nothing_to_learn": Conversation(
            "mute", (), (ask, dataclasses.replace(answer, trained=False)), 1, ()
        ),
        "image_unreadable": Conversation("gone", (gone,), (ask, answer), 1, ()),
        "image_refused": Conversation("thin", (thin,), (ask, answer), 1, ()),
        "not_renderable": Conversation("alone", (pictures[0],), (answer,), 1, ()),
    }
    items = [*bad.values(), *good]
    outcome = run(tmp_path, items, config(max_tokens=200), models["qwen3_vl"], store)
    assert {rejection.reason: rejection.id for rejection in outcome.rejections} == {
        reason: item.id for reason, item in bad.items()
    }
    assert all(rejection.room == "train" and rejection.detail for rejection in outcome.rejections)
    assert [*(rejection.id for rejection in outcome.rejections), *outcome.trained] == [
        item.id for item in items
    ]


def test_a_row_longer_than_the_models_positions_is_too_long(
    tmp_path: Path, models: dict[str, Path], store: ImageStore, pictures: list[ImageRef]
) -> None:
    reply = Turn("assistant", "cells " * 5000, trained=True)
    long = Conversation("long", (), (Turn("user", "What?", trained=False), reply), 1, ())
    items = [long, *conversations(3, pictures)]
    outcome = run(tmp_path, items, config(max_tokens=100_000), models["qwen3_vl"], store)
    assert [(rejection.id, rejection.reason) for rejection in outcome.rejections] == [("long", "too_long")]


def test_image_tokens_without_features_name_the_conversation(
    models: dict[str, Path], store: ImageStore, pictures: list[ImageRef]
) -> None:
    processor = load_processor(models["qwen3_vl"])
    item = next(item for item in conversations(8, pictures) if item.images)
    row: Any = RowEncoder(processor, store, "responses", 4096).encode(item)
    broken = dataclasses.replace(row, n_image_tokens=row.n_image_tokens - 1)
    with pytest.raises(TrainError, match=rf"Conversation {item.id} has 16 image tokens and 15"):
        padded([row, broken], pad_id=0, image_token_id=processor.image_token_id)


def copied(source: Path, target: Path, without: str = "") -> Path:
    target.mkdir()
    for path in source.iterdir():
        if path.name != without:
            (target / path.name).write_bytes(path.read_bytes())
    return target


def test_training_that_cannot_start_says_why_before_the_first_step(
    tmp_path: Path, models: dict[str, Path], store: ImageStore, pictures: list[ImageRef]
) -> None:
    base, items = models["qwen3_vl"], conversations(4, pictures)
    mute = [
        dataclasses.replace(
            item, turns=tuple(dataclasses.replace(turn, trained=False) for turn in item.turns)
        )
        for item in items
    ]
    untold = copied(base, tmp_path / "untold", without="chat_template.jinja")
    blind = copied(base, tmp_path / "blind")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        text = (blind / name).read_text(encoding="utf-8")
        (blind / name).write_text(text.replace("<|image_pad|>", "<|no_image|>"), encoding="utf-8")
    cases: list[tuple[list[Conversation], TrainConfig, Path, str]] = [
        ([], config(), base, "no conversations"),
        (mute, config(), base, r"None of the 4 conversations can be trained on \(4 nothing_to_learn\)"),
        ([*items, items[0]], config(), base, "more than once"),
        (items, config(freeze=("vision", "projector", "language")), base, "Nothing would learn"),
        (items, config(method="lora", lora=Lora(targets=())), base, "Nothing would learn"),
        (items, config(), untold, "chat template"),
        (items, config(), blind, "tokenizer does not know"),
    ]
    if not torch.cuda.is_available():
        cases.append(
            (items, config(execution=TrainExecution(device="cuda")), base, "device cuda is not there")
        )
    for given, settings, model, message in cases:
        with pytest.raises(TrainError, match=message):
            run(tmp_path, given, settings, model, store)
    with pytest.raises(EngineError, match="There is no model"):
        run(tmp_path, items, config(), tmp_path / "nowhere", store)
    assert not (tmp_path / "out").exists()


def test_a_loss_that_is_not_finite_stops_the_training_with_the_remedy(
    tmp_path: Path, models: dict[str, Path], store: ImageStore, pictures: list[ImageRef]
) -> None:
    settings = config(learning_rate=1e30, warmup_ratio=0.0, epochs=4, max_gradient_norm=1e30)
    with pytest.raises(TrainError, match=r"Lower `train.learning_rate`"):
        run(tmp_path, conversations(8, pictures), settings, models["qwen3_vl"], store)
    assert not (tmp_path / "out").exists()


# --- the schedule --------------------------------------------------------------------------------------


def test_removing_a_conversation_moves_no_other() -> None:
    ids = [f"c{index}" for index in range(50)]
    for epoch in (0, 1):
        order = [ids[position] for position in epoch_order(ids, 3, epoch)]
        fewer = [name for name in ids if name != "c17"]
        assert [fewer[position] for position in epoch_order(fewer, 3, epoch)] == [
            name for name in order if name != "c17"
        ]
    assert epoch_order(ids, 3, 0) != epoch_order(ids, 3, 1) != epoch_order(ids, 4, 1)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_an_epoch_visits_every_row_once(packed: bool, ranks: int) -> None:
    rows = [RowSize(f"r{index}", 10 + 7 * index % 40, 1 + index % 3, index % 3) for index in range(45)]
    cut = Cut(rows=4, tokens=90, packed=packed, ranks=ranks)
    steps = schedule(rows, batch_size=16, cut=cut, epochs=2, max_steps=None, seed=0)
    assert [step.epoch for step in steps] == [0, 0, 0, 1, 1, 1]
    for epoch in (0, 1):
        mine = [step for step in steps if step.epoch == epoch]
        assert sorted(at for step in mine for each in step.passes for one in each for at in one.rows) == [
            *range(45)
        ]
    for step in steps:
        assert len(step.passes) == ranks
        assert len({len(passes) for passes in step.passes}) == 1, "every process does as many passes"
        positions = [position for passes in step.passes for each in passes for position in each.rows]
        assert step.n_trained == sum(rows[position].n_trained for position in positions)
        assert step.n_tokens == sum(rows[position].n_tokens for position in positions)
        for number in range(len(step.passes[0])):
            together = [passes[number] for passes in step.passes]
            for each in together:
                assert len(each.rows) <= 4
                if packed and len(each.rows) > 1:
                    assert sum(rows[position].n_tokens for position in each.rows) <= 90
            shown = [[*each.rows, *([] if each.filler is None else [each.filler])] for each in together]
            assert all(shown), "no process is without rows"
            if packed and ranks > 1:
                assert all(any(rows[position].n_images for position in each) for each in shown)
            if not packed:
                assert len({rows[position].n_images for each in shown for position in each}) == 1


def test_a_row_longer_than_a_pass_has_one_to_itself() -> None:
    rows = [RowSize(f"r{index}", length, 1, 0) for index, length in enumerate((500, 30, 30, 30))]
    cut = Cut(rows=8, tokens=100, packed=True)
    (step,) = schedule(rows, batch_size=4, cut=cut, epochs=1, max_steps=None, seed=0)
    assert sorted(each.rows for each in step.passes[0]) == [(0,), (1, 2, 3)]


def test_packs_of_a_step_are_of_even_size() -> None:
    rows = [RowSize(f"r{index}", 10 + 3 * index, 1, 0) for index in range(16)]
    cut = Cut(rows=8, tokens=400, packed=True, ranks=2)
    (step,) = schedule(rows, batch_size=16, cut=cut, epochs=1, max_steps=None, seed=0)
    loads = [sum(rows[at].n_tokens for at in each.rows) for passes in step.passes for each in passes]
    assert max(loads) - min(loads) <= 10


@pytest.mark.parametrize(
    ("rows", "batch", "epochs", "most", "expected"),
    [(20, 8, 2, None, 6), (16, 8, 1, None, 2), (3, 8, 4, None, 4), (20, 8, 2, 4, 4), (20, 8, 1, 99, 3)],
)
def test_number_of_steps(rows: int, batch: int, epochs: int, most: int | None, expected: int) -> None:
    assert n_steps(rows, batch, epochs, most) == expected
    sizes = [RowSize(str(index), 5, 1, 0) for index in range(rows)]
    steps = schedule(sizes, batch_size=batch, cut=Cut(rows=3), epochs=epochs, max_steps=most, seed=0)
    assert len(steps) == expected


def test_the_learning_rate_rises_over_the_warm_up_and_falls_to_nothing() -> None:
    factors = [learning_rate_factor(step, 10, 0.2) for step in range(11)]
    assert factors[:3] == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert factors[6] == pytest.approx(0.5)
    assert all(after < before for before, after in pairwise(factors[2:]))
    assert factors[10] == pytest.approx(0.0, abs=1e-12)
    assert learning_rate_factor(0, 1, 0.0) == 1.0
    assert all(math.isfinite(learning_rate_factor(step, 3, 1.0)) for step in range(4))


# --- the door ------------------------------------------------------------------------------------------


def test_the_door_loads_no_torch() -> None:
    code = "import sys, acclimate.train.stage; print('torch' in sys.modules, 'transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="learning_rat"):
        TrainConfig(learning_rat=1.0)  # type: ignore[call-arg]
