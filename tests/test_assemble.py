"""Assembling a LLaVA from two parts, training it, and taking its language model out again."""

import dataclasses
import hashlib
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file

from acclimate.cli import app
from acclimate.engines.families import (
    collate_rows,
    encode,
    load_model,
    load_processor,
    markers,
    preprocess_image,
    render,
)
from acclimate.engines.open import open_engine
from acclimate.engines.protocol import Message, Request, Sampling
from acclimate.engines.spec import EngineExecution, EngineSpec
from acclimate.errors import ArtifactError, EngineError
from acclimate.evaluate.stage import EvaluateConfig
from acclimate.files import ImageStore
from acclimate.recipe import validated
from acclimate.records import Conversation, Turn
from acclimate.scoring import score_checkpoint
from acclimate.train.assemble import AssembleConfig, AssemblyPlan, assemble, plan_assembly
from acclimate.train.extract import extract_language_model
from acclimate.train.image_template import (
    chatml_template,
    plain_template,
    unwrapped,
    with_pictures,
    with_texts,
)
from acclimate.train.masks import token_mask, trained_spans
from acclimate.train.plain_folder import save_weights
from acclimate.train.stage import TrainConfig, TrainExecution, train
from tests import tiny_models, tiny_parts
from tests.small_lines import write_benchmark

LAB_LM = Path(__file__).parents[1] / "src" / "acclimate" / "lab" / "weights" / "text-lm"
LLMS = {"llama": tiny_parts.tiny_llama_lm, "qwen2": tiny_parts.tiny_qwen2_lm}
ENCODERS = {"clip": tiny_parts.tiny_clip_vision, "siglip": tiny_parts.tiny_siglip_vision}
MADE: dict[str, tuple[str, str, dict[str, Any]]] = {
    "llama+clip": ("llama", "clip", {}),
    "qwen2+siglip": ("qwen2", "siglip", {"dtype": "float32"}),
    "llama+siglip, chatml": ("llama", "siglip", {"template": "chatml"}),
    "qwen2+clip, tiles": ("qwen2", "clip", {"kind": "llava_next", "dtype": "float32"}),
}
"""Between them: both kinds, both encoders, all templates, a tied and an own head, spare embedding rows."""
TURNS = (
    Turn("user", "How many cells?", trained=False),
    Turn("assistant", "Three round cells.", trained=True),
    Turn("user", "Which are red?", trained=False),
    Turn("assistant", "Two.", trained=True),
)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("parts")
    return {name: build(root / name) for name, build in {**LLMS, **ENCODERS}.items()}


@pytest.fixture(scope="module")
def plans(tmp_path_factory, parts) -> dict[str, tuple[Path, AssemblyPlan]]:
    root = tmp_path_factory.mktemp("models")
    return {
        name: (
            root / str(number),
            assemble(parts[llm], parts[vision], root / str(number), AssembleConfig(**settings)),
        )
        for number, (name, (llm, vision, settings)) in enumerate(MADE.items())
    }


@pytest.fixture(scope="module")
def models(plans) -> dict[str, Path]:
    return {name: folder for name, (folder, _) in plans.items()}


@pytest.fixture(params=MADE)
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> ImageStore:
    return ImageStore(tmp_path_factory.mktemp("store"))


def picture(seed: int = 0, width: int = 64, height: int = 48) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8))


def png(seed: int) -> bytes:
    data = io.BytesIO()
    picture(seed).save(data, "PNG")
    return data.getvalue()


def digests(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())}


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def lm(folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()


@torch.no_grad()
def logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    return model(input_ids=ids).logits


# --- what is written ------------------------------------------------------------------------------


def test_the_folder_opens_in_plain_transformers_with_every_weight_in_its_place(models, name):
    folder = models[name]
    model, found = transformers.AutoModelForImageTextToText.from_pretrained(folder, output_loading_info=True)
    assert not found["missing_keys"] and not found["unexpected_keys"] and not found["mismatched_keys"]
    processor = transformers.AutoProcessor.from_pretrained(folder)
    assert type(processor).__name__ == ("LlavaNextProcessor" if "tiles" in name else "LlavaProcessor")
    rendered = render(load_processor(folder), TURNS[:1], 1, "assistant")
    inputs = processor(
        text=[rendered.text], images=[[picture()]], return_tensors="pt", add_special_tokens=False
    )
    row = encode(load_processor(folder), rendered, [picture()])
    assert inputs["input_ids"][0].tolist() == row.input_ids
    with torch.no_grad():
        theirs = model.eval()(**inputs).logits
        batch = collate_rows([row], pad_id=processor.tokenizer.pad_token_id)
        ours = load_model(folder)(**batch).logits
    assert torch.equal(theirs, ours)


def test_weights_are_safetensors_under_the_names_vllm_knows(models, name):
    assert [file.name for file in models[name].iterdir() if "model" in file.name] == ["model.safetensors"]
    prefixes = {".".join(key.split(".")[:2]) for key in weights(models[name]) if key != "image_newline"}
    assert prefixes - {"language_model.lm_head"} == {
        "vision_tower.vision_model",
        "multi_modal_projector.linear_1",
        "multi_modal_projector.linear_2",
        "language_model.model",
    }
    text = read(models[name] / "config.json")["text_config"]
    assert text["architectures"] == [MADE[name][0].capitalize() + "ForCausalLM"]


def test_weights_in_several_files_keep_those_names(models, tmp_path):
    model = load_model(models["llama+clip"])
    save_weights(model, tmp_path, most_per_file="60KB")
    index = read(tmp_path / "model.safetensors.index.json")["weight_map"]
    assert len(set(index.values())) > 2
    assert index.keys() == weights(models["llama+clip"]).keys()
    for file in set(index.values()):
        assert set(load_file(tmp_path / file)) == {key for key, where in index.items() if where == file}


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "vision model alone"])
@pytest.mark.parametrize(("encoder", "first"), [("clip", 1), ("siglip", 0)])
def test_a_picture_is_read_as_its_encoder_reads_it(tmp_path, parts, encoder, first, whole):
    vision = ENCODERS[encoder](tmp_path / "vision", whole=whole)
    plan = assemble(parts["llama"], vision, tmp_path / "model", AssembleConfig())
    processor, model = load_processor(tmp_path / "model"), load_model(tmp_path / "model")
    inputs = preprocess_image(processor, [picture(3)])
    tower: Any = {"clip": transformers.CLIPVisionModel, "siglip": transformers.SiglipVisionModel}[encoder]
    alone = tower.from_pretrained(vision).eval()
    projector = model.model.multi_modal_projector
    rendered = render(processor, TURNS[:1], 1, "assistant")
    row = encode(processor, rendered, [picture(3)])
    ids = torch.tensor([row.input_ids])
    own = lm(parts["llama"])
    with torch.no_grad():
        states = alone(inputs.tensors["pixel_values"], output_hidden_states=True).hidden_states
        assert len(states) == 4
        features = projector.linear_2(torch.nn.functional.gelu(projector.linear_1(states[-2][0, first:])))
        embedded = model.get_input_embeddings()(ids)
        embedded[0, ids[0] == processor.image_token_id] = features
        expected = own(inputs_embeds=embedded).logits
        found = model(**collate_rows([row], pad_id=0)).logits[..., : expected.shape[-1]]
    assert plan.image_tokens == len(features) == 16 == row.input_ids.count(processor.image_token_id)
    assert torch.allclose(found, expected, atol=1e-5)


def test_texts_are_answered_as_the_language_model_answers_them_and_old_rows_stay(parts, models, name):
    llm = parts[MADE[name][0]]
    before, after = lm(llm), load_model(models[name], "float32")
    n_old = len(transformers.AutoTokenizer.from_pretrained(llm))
    ids = torch.tensor([transformers.AutoTokenizer.from_pretrained(llm)("How many round cells?").input_ids])
    assert torch.equal(logits(after, ids)[..., :n_old], logits(before, ids)[..., :n_old])
    old, new = before.get_input_embeddings().weight, after.get_input_embeddings().weight
    assert torch.equal(new[:n_old], old[:n_old])
    added = sorted(set(load_processor(models[name]).tokenizer.get_vocab().values()) - set(range(n_old)))
    assert added
    mean = old[:n_old].mean(0, dtype=torch.float64).float()
    assert torch.allclose(new[added], mean.expand(len(added), -1), atol=1e-6)
    tied = MADE[name][0] == "qwen2"
    assert (after.get_output_embeddings().weight is new) == tied
    assert ("language_model.lm_head.weight" in weights(models[name])) == (not tied)
    if not tied:
        head = before.get_output_embeddings().weight[:n_old].mean(0)
        assert torch.allclose(
            after.get_output_embeddings().weight[added], head.expand(len(added), -1), atol=1e-6
        )


def test_rows_to_spare_are_used_before_new_ones_are_made(plans, parts):
    rows = lm(parts["qwen2"]).get_input_embeddings().num_embeddings
    assert plans["qwen2+siglip"][1].vocabulary == rows
    assert plans["llama+clip"][1].vocabulary == lm(parts["llama"]).get_input_embeddings().num_embeddings + 2
    assert plans["llama+clip"][1].added_tokens == ("<image>", "<pad>")
    assert plans["qwen2+siglip"][1].added_tokens == ("<image>",)


def test_tokens_and_ends_are_named_alike_everywhere(models, name):
    config = read(models[name] / "config.json")
    generation = read(models[name] / "generation_config.json")
    tokenizer = load_processor(models[name]).tokenizer
    vocabulary = tokenizer.get_vocab()
    assert config["image_token_index"] == vocabulary["<image>"]
    assert tokenizer.encode("a<image>b", add_special_tokens=False).count(vocabulary["<image>"]) == 1
    assert tokenizer.pad_token_id == generation["pad_token_id"] == config["text_config"]["pad_token_id"]
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    ends = {tokenizer.convert_ids_to_tokens(token) for token in generation["eos_token_id"]}
    wanted = {"llama": {"</s>"}, "qwen2": {"<|im_end|>", "<|endoftext|>"}}[MADE[name][0]]
    assert ends == wanted | ({"<|im_end|>"} if "chatml" in name else set())


def test_the_same_parts_and_seed_give_the_same_bytes_wherever_they_lie(tmp_path, parts, models):
    elsewhere = tmp_path / "Prüf Ordner"
    elsewhere.mkdir()
    shutil.copytree(parts["llama"], elsewhere / "a language model")
    torch.manual_seed(99)  # only the setting's seed counts
    again = elsewhere / "model"
    assemble(elsewhere / "a language model", parts["clip"], again, AssembleConfig())
    assert digests(again) == digests(models["llama+clip"])
    for file in again.iterdir():
        assert str(tmp_path).encode() not in file.read_bytes(), file.name
        assert str(parts["clip"].parent).encode() not in file.read_bytes(), file.name
    assemble(parts["llama"], parts["clip"], tmp_path / "other", AssembleConfig(seed=1))
    first, other = weights(again), weights(tmp_path / "other")
    changed = {key for key in first if not torch.equal(first[key], other[key])}
    assert changed == {key for key in first if key.startswith("multi_modal_projector.")}


def test_a_linear_projector_begins_as_one_linear_map(tmp_path, parts):
    plan = assemble(parts["llama"], parts["clip"], tmp_path / "m", AssembleConfig(projector="linear"))
    assert any("vLLM" in note for note in plan.notes)
    projector = load_model(tmp_path / "m").model.multi_modal_projector
    features = torch.randn(5, 24, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(projector(features), projector.linear_1(features), atol=1e-6)


def test_rounded_weights_are_named(tmp_path, parts):
    plan = assemble(parts["qwen2"], parts["clip"], tmp_path / "m", AssembleConfig())
    assert plan.dtype == "bfloat16"
    assert plan.notes == ("the vision encoder's weights are rounded from float32 to bfloat16",)
    assert plan.notes[0] in (tmp_path / "m" / "README.md").read_text(encoding="utf-8")
    assert {value.dtype for value in weights(tmp_path / "m").values()} == {torch.bfloat16}
    widened = plan_assembly(parts["qwen2"], parts["clip"], AssembleConfig(dtype="float32"))
    assert widened.notes == ()


def test_the_card_derives_the_licence_of_the_parts(tmp_path, parts, models):
    def head(folder: Path) -> dict[str, Any]:
        text = (folder / "README.md").read_text(encoding="utf-8")
        return yaml.safe_load(text.split("---")[1])

    assert head(models["qwen2+siglip"])["license"] == "apache-2.0"
    two = head(models["llama+clip"])
    assert (two["license"], two["license_name"]) == ("other", "apache-2.0-and-mit")
    silent = tiny_parts.tiny_clip_vision(tmp_path / "clip", licence=None)
    assemble(parts["llama"], silent, tmp_path / "m", AssembleConfig())
    assert "license" not in head(tmp_path / "m")
    text = (tmp_path / "m" / "README.md").read_text(encoding="utf-8")
    assert "Licence: not derived. The source “vision encoder” states no licence." in text


def test_a_plan_is_what_is_made_and_writes_nothing(tmp_path, parts, plans):
    for name, (llm, vision, settings) in MADE.items():
        assert plan_assembly(parts[llm], parts[vision], AssembleConfig(**settings)) == plans[name][1]
    folder, plan = plans["qwen2+clip, tiles"]
    model = load_model(folder)
    assert sum(plan.parameters.values()) == sum(parameter.numel() for parameter in model.parameters())
    processor = load_processor(folder)
    counts = [preprocess_image(processor, [picture(0, *size)]).n_tokens[0] for size in ((64, 64), (30, 90))]
    assert max(counts) <= plan.image_tokens
    assert list(tmp_path.iterdir()) == []


# --- chat templates -------------------------------------------------------------------------------


def test_conversations_render_and_encode_as_plain_transformers_does(models, name):
    processor = load_processor(models[name])
    rendered = render(processor, TURNS, 1)
    for turn, span in zip(TURNS, rendered.spans, strict=True):
        assert rendered.text[span.text_start : span.text_end] == turn.text
    row = encode(processor, rendered, [picture()])
    n_tokens = preprocess_image(processor, [picture()]).n_tokens[0]
    assert row.input_ids.count(processor.image_token_id) == n_tokens
    content: list[dict[str, Any]] = [{"type": "image"}, {"type": "text", "text": TURNS[0].text}]
    messages = [{"role": "user", "content": content}]
    own = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert own == render(processor, TURNS[:1], 1, "assistant").text
    assert own.count("<image>\n") == 1


def test_a_turn_is_closed_one_way_so_that_a_synthesizer_can_read_its_reply(models, name):
    processor = load_processor(models[name])
    found = markers(processor)
    plain = MADE[name][0] == "llama" and "chatml" not in name
    assert found.user == ("USER: " if plain else "<|im_start|>user\n")
    assert found.end_of_turn == (" " if plain else "<|im_end|>")
    whole = render(processor, TURNS, 1, end_of_text=True)
    assert whole.text.endswith(found.end_of_text)
    expected = {"llama": "</s>", "qwen2": "<|endoftext|>"}[MADE[name][0]]
    assert found.end_of_text == expected


def test_exactly_the_replies_and_their_ends_are_trained(models, name):
    processor = load_processor(models[name])
    rendered = render(processor, TURNS, 1)
    row = encode(processor, rendered, [picture()])
    spans = trained_spans(rendered.spans, [turn.trained for turn in TURNS], len(rendered.text), "responses")
    mask = token_mask(rendered.text, row.offsets, spans)
    ids = [token for token, counts in zip(row.input_ids, mask, strict=True) if counts]
    end = "</s>" if MADE[name] == ("llama", "clip", {}) else "<|im_end|>"
    assert processor.tokenizer.decode(ids).replace(" ", "") == f"Threeroundcells.{end}Two.{end}"


def test_the_beginning_of_text_is_written_once_for_a_tokenizer_that_adds_it(models):
    for name in ("llama+clip", "llama+siglip, chatml"):
        processor = load_processor(models[name])
        row = encode(processor, render(processor, TURNS, 0), [])
        assert row.input_ids[0] == processor.tokenizer.bos_token_id
        assert row.input_ids.count(processor.tokenizer.bos_token_id) == 1
    qwen = load_processor(models["qwen2+siglip"])
    assert render(qwen, TURNS, 0).text.startswith("<|im_start|>user")


def test_the_language_models_own_template_writes_texts_as_before(parts, models):
    before = transformers.AutoTokenizer.from_pretrained(parts["qwen2"])
    after = transformers.AutoTokenizer.from_pretrained(models["qwen2+siglip"])
    system = {"role": "system", "content": "Be brief."}
    turns = [{"role": turn.role, "content": f"  {turn.text} "} for turn in TURNS]
    for messages in (turns, [system, *turns], turns[:1]):
        for opens in (False, True):
            texts = [
                each.apply_chat_template(messages, tokenize=False, add_generation_prompt=opens)
                for each in (before, after)
            ]
            assert texts[0] == texts[1]


MESSAGES = [
    {"role": "user", "content": "one"},
    {"role": "assistant", "content": None, "name": "kept"},
    {
        "role": "user",
        "content": [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}],
    },
    {"role": "user", "content": [{"type": "text", "text": "c", "image": None}, "d"]},
]


def written(template: str, messages: list[Any], **more: Any) -> str:
    tokenizer = transformers.AutoTokenizer.from_pretrained(LAB_LM)
    return tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False, **more)


def test_a_wrapped_template_keeps_the_order_of_parts_and_other_keys():
    own = "{% for m in messages %}{{ m['role'][0] }}({{ m['content'] }}|{{ m['name'] }}){% endfor %}"
    assert written(with_pictures(own), MESSAGES) == "u(one|)a(None|kept)u(a<image>\nb|)u(cd|)"


@pytest.mark.parametrize(
    "own",
    [
        pytest.param(
            "\n  {% for m in messages %}\n {{ m['content'] }}\n{% endfor %}\n", id="line feeds and blanks"
        ),
        pytest.param(
            "{{ messages[0]['content'] }}{% set messages = messages[1:] %}{{ messages | length }}", id="set"
        ),
        pytest.param(
            "{% macro say(m) %}<{{ m.content }}>{% endmacro %}"
            "{% for m in messages %}{{ say(m) }}{% endfor %}",
            id="macro",
        ),
        pytest.param(chatml_template(writes_bos=False), id="chatml"),
        pytest.param(plain_template(writes_bos=False), id="plain"),
    ],
)
def test_wrapping_changes_nothing_for_texts_and_can_be_undone(own):
    messages = [{"role": "user", "content": " one "}, {"role": "assistant", "content": "two"}]
    for wrapped in (with_pictures(own), with_texts(own)):
        assert unwrapped(wrapped) == own
        assert unwrapped(own) == own
    assert written(with_pictures(own), messages) == written(own, messages)


THINKING = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}"
    "{% if m.role == 'assistant' and loop.last %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}"
    "{{ m.content + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}"
    "{% if enable_thinking is defined and not enable_thinking %}{{ '<think>\\n\\n</think>\\n\\n' }}"
    "{% endif %}{% endif %}"
)
"""As reasoning models write a reply: with an empty thought before the last one."""


def test_a_reasoning_model_is_prompted_as_its_replies_are_written(tmp_path, parts):
    llm = shutil.copytree(parts["qwen2"], tmp_path / "llm")
    (llm / "chat_template.jinja").write_text(THINKING, encoding="utf-8")
    plan = assemble(llm, parts["clip"], tmp_path / "out", AssembleConfig(dtype="float32"))
    assert plan.notes == ()
    processor = load_processor(tmp_path / "out")
    prompt = render(processor, TURNS[:1], 1, "assistant").text
    assert prompt.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    assert render(processor, TURNS[:2], 1).text.startswith(prompt)
    messages = [{"role": "user", "content": "How many?"}]
    asked = processor.tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True, enable_thinking=True
    )
    assert asked.endswith("<|im_start|>assistant\n")
    extract_language_model(tmp_path / "out", tmp_path / "lm")
    template = (tmp_path / "lm" / "chat_template.jinja").read_text(encoding="utf-8")
    assert template.endswith(THINKING) and "<image>" not in template
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "lm")
    alone = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert alone.endswith("</think>\n\n")


def test_a_template_that_prompts_as_it_never_writes_is_named(tmp_path, parts):
    llm = shutil.copytree(parts["qwen2"], tmp_path / "llm")
    own = THINKING.replace("enable_thinking", "something_else")
    (llm / "chat_template.jinja").write_text(own, encoding="utf-8")
    (note,) = plan_assembly(llm, parts["clip"], AssembleConfig(dtype="float32")).notes
    assert "prompts for a reply in another way" in note


def test_what_is_neither_text_nor_picture_is_refused():
    from jinja2.exceptions import TemplateError

    messages = [{"role": "user", "content": [{"type": "video"}]}]
    with pytest.raises(TemplateError, match="neither"):
        written(with_pictures(chatml_template(writes_bos=False)), messages)


# --- training and answering -----------------------------------------------------------------------


def conversations(store: ImageStore, n: int) -> list[Conversation]:
    texts = ("three round cells", "a slice of bread", "two green beans", "one red cell")
    return [
        Conversation(
            f"c{index}",
            () if index % 4 == 3 else (store.add(png(index)),),
            (
                Turn("user", "Describe the image.", trained=False),
                Turn("assistant", texts[index % 4], trained=True),
            ),
            1,
            (),
        )
        for index in range(n)
    ]


def run_stage(items: Any, model: Path, store: ImageStore, where: Path, **changes: Any) -> Any:
    settings = TrainConfig(
        batch_size=4,
        learning_rate=5e-3,
        precision="fp32",
        check_reload=False,
        execution=TrainExecution(micro_batch=4, threads=1, device="cpu"),
        **changes,
    )
    return train(items, settings, model=model, store=store, out=where / "out", work=where / "work")


@pytest.mark.parametrize("name", ["llama+clip", "qwen2+siglip"])
def test_both_stages_train_what_they_should_and_the_result_answers(tmp_path, models, store, name):
    items, base = conversations(store, 12), models[name]
    first = run_stage(items, base, store, tmp_path / "1", freeze=("vision", "language"), epochs=4)
    assert first.losses[-1].loss < first.losses[0].loss
    start, aligned = weights(base), weights(tmp_path / "1" / "out")
    assert start.keys() == aligned.keys()
    changed = {key for key in start if not torch.equal(start[key], aligned[key])}
    assert changed == {key for key in start if key.startswith("multi_modal_projector.")}

    second = run_stage(items, tmp_path / "1" / "out", store, tmp_path / "2", freeze=("vision",), epochs=6)
    assert second.losses[-1].loss < first.losses[-1].loss
    tuned = weights(tmp_path / "2" / "out")
    assert start.keys() == tuned.keys()
    changed = {key for key in start if not torch.equal(aligned[key], tuned[key])}
    assert not any(key.startswith("vision_tower.") for key in changed)
    assert {key.split(".")[0] for key in changed} == {"multi_modal_projector", "language_model"}

    spec = EngineSpec(model=str(tmp_path / "2" / "out"), dtype="float32")
    engine = open_engine(spec, store, EngineExecution(device="cpu", rows=4))
    request = Request(
        id="r", messages=(Message("user", "Describe the image.", items[0].images),), sampling=Sampling(12)
    )
    (reply,) = engine.generate([request])
    plain = generated(tmp_path / "2" / "out", store.open(items[0].images[0]))
    assert reply.text.strip() == plain.strip() != ""

    write_benchmark(tmp_path / "benchmark", 4)
    scores = score_checkpoint(
        tmp_path / "2" / "out",
        [tmp_path / "benchmark" / "small.yaml"],
        tmp_path / "scores",
        config=EvaluateConfig(),
        execution=EngineExecution(device="cpu", rows=4),
    )
    assert scores["measurements"]["small"]["original"]["n"] == 4

    found = extract_language_model(tmp_path / "2" / "out", tmp_path / "lm")
    assert found.difference <= 1e-5
    check_language_model(tmp_path / "2" / "out", tmp_path / "lm")
    answer = answered(tmp_path / "lm", "Describe the image.")
    assert answer == generated(tmp_path / "2" / "out", None)


def generated(folder: Path, image: Image.Image | None) -> str:
    """What plain transformers answers with the multimodal model."""
    processor = transformers.AutoProcessor.from_pretrained(folder)
    model = transformers.AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    content: list[dict[str, Any]] = [{"type": "image"}] if image else []
    content.append({"type": "text", "text": "Describe the image."})
    text = processor.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    inputs = processor(
        text=[text], images=[[image]] if image else None, return_tensors="pt", add_special_tokens=False
    )
    ids = model.generate(**inputs, max_new_tokens=12, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    return str(processor.tokenizer.decode(ids, skip_special_tokens=True))


def answered(folder: Path, question: str) -> str:
    """What plain transformers answers with the language model alone."""
    tokenizer, model = transformers.AutoTokenizer.from_pretrained(folder), lm(folder)
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
    )
    assert question in text
    inputs = tokenizer(text, return_tensors="pt", add_special_tokens=False)
    ids = model.generate(**inputs, max_new_tokens=12, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    return str(tokenizer.decode(ids, skip_special_tokens=True))


# --- taking the language model out ----------------------------------------------------------------


def check_language_model(mllm: Path, folder: Path) -> Any:
    """A plain causal language model, with nothing of the vision tower, that computes the same for texts."""
    whole = load_model(mllm, "float32")
    model, found = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    assert not found["missing_keys"] and not found["unexpected_keys"] and not found["mismatched_keys"]
    names = [key for file in folder.glob("*.safetensors") for key in load_file(file)]
    assert names and not any("vis" in key or "projector" in key or "cross_attn" in key for key in names)
    assert not list(folder.glob("*processor*"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    text = "How many round cells are red, 12 or 3?"
    assert tokenizer(text).input_ids == load_processor(mllm).tokenizer(text).input_ids
    ids = tokenizer(text, return_tensors="pt").input_ids
    assert torch.allclose(logits(model.eval(), ids), logits(whole, ids), atol=1e-5)
    return model


FAMILIES = {
    "qwen2_vl": (tiny_models.tiny_qwen2_vl, "Qwen2ForCausalLM"),
    "qwen2_5_vl": (tiny_models.tiny_qwen2_5_vl, "Qwen2ForCausalLM"),
    "qwen3_vl": (tiny_models.tiny_qwen3_vl, "Qwen3ForCausalLM"),
    "llava": (tiny_models.tiny_llava, "LlamaForCausalLM"),
    "llava_next": (tiny_models.tiny_llava_next, "LlamaForCausalLM"),
    "mllama": (tiny_models.tiny_mllama, "LlamaForCausalLM"),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_language_model_of_every_family_answers_texts_as_the_whole_does(tmp_path, family):
    build, expected = FAMILIES[family]
    mllm, out = build(tmp_path / "mllm"), tmp_path / "lm"
    found = extract_language_model(mllm, out)
    assert found.language == expected
    assert found.difference <= 1e-5
    model = check_language_model(mllm, out)
    assert type(model).__name__ == expected
    assert found.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert found.parameters + found.left_out == sum(
        parameter.numel() for parameter in load_model(mllm).parameters()
    )
    rope = read(out / "config.json")["rope_parameters"]
    assert not any("mrope" in key for key in rope)
    assert (
        read(out / "generation_config.json")["eos_token_id"]
        == read(mllm / "generation_config.json")["eos_token_id"]
    )
    answered(out, "How many cells?")  # its template takes plain texts, LLaVA's own does not
    for file in out.iterdir():
        assert str(tmp_path).encode() not in file.read_bytes(), file.name


def test_mllamas_image_token_is_taken_out_of_the_tokenizer(tmp_path):
    mllm = tiny_models.tiny_mllama(tmp_path / "mllm")
    extract_language_model(mllm, tmp_path / "lm")
    before = transformers.AutoTokenizer.from_pretrained(mllm)
    after = transformers.AutoTokenizer.from_pretrained(tmp_path / "lm")
    assert before.get_vocab().keys() - after.get_vocab().keys() == {"<|image|>"}
    rows = lm(tmp_path / "lm").get_input_embeddings().num_embeddings
    assert max(after("a <|image|> b").input_ids) < rows


def test_an_adapters_language_model_is_the_tuned_one(tmp_path):
    import peft

    base = tiny_models.tiny_qwen3_vl(tmp_path / "base")
    settings = peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    torch.manual_seed(0)
    peft.get_peft_model(load_model(base), settings).save_pretrained(tmp_path / "adapter")
    config = read(tmp_path / "adapter" / "adapter_config.json") | {"base_model_name_or_path": str(base)}
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(config))
    extract_language_model(tmp_path / "adapter", tmp_path / "lm")
    extract_language_model(base, tmp_path / "untuned")
    tuned = check_language_model(tmp_path / "adapter", tmp_path / "lm")
    ids = torch.tensor([[5, 6, 7]])
    assert not torch.allclose(logits(tuned, ids), logits(lm(tmp_path / "untuned"), ids), atol=1e-3)


def test_the_labs_language_model_survives_assembly_and_extraction(tmp_path, parts):
    plan = assemble(LAB_LM, parts["clip"], tmp_path / "mllm", AssembleConfig())
    assert plan.template == "own"
    assert plan.added_tokens == ("<image>",)
    extract_language_model(tmp_path / "mllm", tmp_path / "lm")
    before, after = lm(LAB_LM), lm(tmp_path / "lm")
    n_old = before.get_input_embeddings().num_embeddings
    assert torch.equal(after.get_input_embeddings().weight[:n_old], before.get_input_embeddings().weight)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "lm")
    own = transformers.AutoTokenizer.from_pretrained(LAB_LM)
    texts = [
        each.apply_chat_template(
            [{"role": "user", "content": "What is on the plate?"}], tokenize=False, add_generation_prompt=True
        )
        for each in (own, tokenizer)
    ]
    assert texts[0] == texts[1]
    assert (tmp_path / "lm" / "chat_template.jinja").read_text() == (
        LAB_LM / "chat_template.jinja"
    ).read_text()
    ids = own(texts[0], return_tensors="pt").input_ids
    assert ids.tolist() == tokenizer(texts[0], return_tensors="pt").input_ids.tolist()
    assert torch.equal(logits(after, ids)[..., :n_old], logits(before, ids))
    for model in (before, after):  # greedy answers stop where the lab's own do
        model.generation_config = transformers.GenerationConfig.from_pretrained(LAB_LM)
    assert torch.equal(
        *(model.generate(ids, max_new_tokens=20, do_sample=False) for model in (before, after))
    )


# --- bad input ------------------------------------------------------------------------------------


def without(folder: Path, out: Path, *names: str) -> Path:
    shutil.copytree(folder, out)
    for file in names:
        (out / file).unlink()
    return out


def changed(folder: Path, out: Path, file: str, **values: Any) -> Path:
    shutil.copytree(folder, out)
    (out / file).write_text(json.dumps(read(out / file) | values))
    return out


def pickled(folder: Path, out: Path) -> Path:
    shutil.copytree(folder, out)
    (out / "model.safetensors").rename(out / "pytorch_model.bin")
    return out


def remote(folder: Path, out: Path) -> Path:
    return changed(
        folder,
        out,
        "config.json",
        model_type="mine",
        auto_map={"AutoConfig": "mine.Mine", "AutoModel": "mine.M"},
    )


def half(folder: Path, out: Path) -> Path:
    shutil.copytree(folder, out)
    some = dict(list(weights(folder).items())[::2])
    save_file(some, out / "model.safetensors", metadata={"format": "pt"})
    return out


BAD_LLMS = {
    "multimodal already": (lambda parts, out: tiny_models.tiny_llava(out), "reads images already.*--extract"),
    "does not write": (lambda parts, out: shutil.copytree(parts["clip"], out), "does not write text"),
    "no folder": (lambda parts, out: out, "There is no model at"),
    "no tokenizer": (
        lambda parts, out: without(parts["llama"], out, "tokenizer.json", "tokenizer_config.json"),
        r"no tokenizer\. Copy tokenizer\.json",
    ),
    "no end of text": (
        lambda parts, out: changed(parts["llama"], out, "tokenizer_config.json", eos_token=None),
        "no end-of-text token.*eos_token",
    ),
    "pickled": (lambda parts, out: pickled(parts["llama"], out), "pickled.*refused.*safetensors"),
    "remote code": (lambda parts, out: remote(parts["llama"], out), "code of their own are not run"),
    "half the weights": (lambda parts, out: half(parts["llama"], out), "incomplete"),
    "other sizes": (
        lambda parts, out: changed(parts["llama"], out, "config.json", hidden_size=64),
        r"sizes in config\.json",
    ),
    "too short": (
        lambda parts, out: changed(parts["llama"], out, "config.json", max_position_embeddings=16),
        "A picture takes 16 tokens.*at most 16.*do not fit",
    ),
}
BAD_ENCODERS = {
    "a language model": (lambda parts, out: shutil.copytree(parts["llama"], out), "is a CLIP or SigLIP"),
    "no image processor": (
        lambda parts, out: without(parts["clip"], out, "preprocessor_config.json"),
        r"no image processor.*preprocessor_config\.json",
    ),
    "pickled": (lambda parts, out: pickled(parts["clip"], out), "vision encoder's weights.*pickled"),
    "other pixels": (
        lambda parts, out: changed(
            parts["clip"], out, "preprocessor_config.json", crop_size={"height": 40, "width": 40}
        ),
        "40x40 pixels, and the encoder reads 32x32",
    ),
    "half the weights": (lambda parts, out: half(parts["siglip"], out), "incomplete"),
}


@pytest.mark.parametrize("what", BAD_LLMS)
def test_a_language_model_that_cannot_be_used_is_refused_with_a_remedy(tmp_path, parts, what):
    make, message = BAD_LLMS[what]
    llm = make(parts, tmp_path / "llm")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(EngineError, match=message):
        assemble(llm, parts["clip"], tmp_path / "out", AssembleConfig())
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("what", BAD_ENCODERS)
def test_an_encoder_that_cannot_be_used_is_refused_with_a_remedy(tmp_path, parts, what):
    make, message = BAD_ENCODERS[what]
    vision = make(parts, tmp_path / "vision")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(EngineError, match=message):
        assemble(parts["llama"], vision, tmp_path / "out", AssembleConfig())
    assert sorted(tmp_path.iterdir()) == before


def test_a_tokenizer_that_is_not_fast_is_refused(tmp_path, parts):
    slow = without(parts["llama"], tmp_path / "slow", "tokenizer.json", "tokenizer_config.json")
    transformers.ByT5Tokenizer().save_pretrained(slow)
    (slow / "vocab.txt").write_text("a\n")
    with pytest.raises(EngineError, match=r"no fast tokenizer.*tokenizer\.json"):
        assemble(slow, parts["clip"], tmp_path / "out", AssembleConfig())


def test_a_language_model_whose_logits_are_scaled_has_no_place_in_a_llava(tmp_path, parts):
    tokenizer = transformers.AutoTokenizer.from_pretrained(parts["llama"])
    config = transformers.GraniteConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=4,
        logits_scaling=4.0,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=None,
    )
    torch.manual_seed(0)
    transformers.GraniteForCausalLM(config).save_pretrained(tmp_path / "granite")
    tokenizer.save_pretrained(tmp_path / "granite")
    with pytest.raises(EngineError, match="would not answer as it does alone"):
        assemble(tmp_path / "granite", parts["clip"], tmp_path / "out", AssembleConfig())
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob("*unfinished*"))


def test_a_template_that_cannot_carry_pictures_is_refused_with_a_remedy(tmp_path, parts):
    llm = shutil.copytree(parts["qwen2"], tmp_path / "llm")
    (llm / "chat_template.jinja").write_text("{% for m in messages %}{{ m['role'] }}\n{% endfor %}")
    with pytest.raises(EngineError, match="--template chatml"):
        assemble(llm, parts["clip"], tmp_path / "out", AssembleConfig())
    assemble(llm, parts["clip"], tmp_path / "out", AssembleConfig(template="chatml"))
    assert markers(load_processor(tmp_path / "out")).assistant == "<|im_start|>assistant\n"


def test_a_layer_that_the_encoder_lacks_is_refused(tmp_path, parts):
    for layer in (-4, 0, 2):
        with pytest.raises(EngineError, match="-1 is the last, -3 the first"):
            assemble(parts["llama"], parts["clip"], tmp_path / "out", AssembleConfig(vision_layer=layer))
    assemble(parts["llama"], parts["clip"], tmp_path / "out", AssembleConfig(vision_layer=-1))
    assert read(tmp_path / "out" / "config.json")["vision_feature_layer"] == -1


def test_nothing_is_written_over(tmp_path, parts, models):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    with pytest.raises(ArtifactError, match="not empty"):
        assemble(parts["llama"], parts["clip"], tmp_path / "out", AssembleConfig())
    with pytest.raises(ArtifactError, match="not empty"):
        extract_language_model(models["llama+clip"], tmp_path / "out")
    with pytest.raises(ArtifactError, match="is a file"):
        extract_language_model(models["llama+clip"], tmp_path / "out" / "mine.txt")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_a_language_model_is_not_taken_out_of_a_language_model(tmp_path, parts):
    with pytest.raises(EngineError, match="does not read images"):
        extract_language_model(parts["llama"], tmp_path / "out")
    with pytest.raises(EngineError, match="does not read images"):
        extract_language_model(parts["clip"], tmp_path / "out")


def test_a_model_without_a_plain_class_says_so(tmp_path):
    config = transformers.Blip2Config(
        text_config={
            "model_type": "t5",
            "vocab_size": 32,
            "d_model": 8,
            "d_kv": 4,
            "d_ff": 8,
            "num_layers": 1,
            "num_heads": 2,
        },
        vision_config={
            "hidden_size": 8,
            "intermediate_size": 8,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
        },
        qformer_config={
            "hidden_size": 8,
            "intermediate_size": 8,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "encoder_hidden_size": 8,
        },
        num_query_tokens=2,
    )
    transformers.Blip2ForConditionalGeneration(config).save_pretrained(tmp_path / "blip")
    with pytest.raises(EngineError, match=r"Models it can be taken out of: Qwen2-VL.*Mllama"):
        extract_language_model(tmp_path / "blip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


# --- the command ----------------------------------------------------------------------------------


def acclimate(*args: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "acclimate"), *map(str, args)]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL
    )


def test_the_command_plans_makes_and_takes_apart(tmp_path, parts, plans, capfd):
    def said(*args: object) -> str:
        app(["assemble", *map(str, args)], standalone_mode=False)
        printed = capfd.readouterr()
        assert printed.err == ""
        return printed.out

    both = ("--llm", parts["qwen2"], "--vision", parts["siglip"], "--dtype", "float32")
    mllm, out = tmp_path / "mllm", tmp_path / "lm"
    planned = json.loads(said(*both, mllm, "--dry-run", "--json"))
    assert list(tmp_path.iterdir()) == []
    folder, plan = plans["qwen2+siglip"]
    assert planned == {"plan": json.loads(json.dumps(dataclasses.asdict(plan)))}

    made = said(*both, mllm)
    assert "tokens of a picture     16\n" in made
    assert digests(mllm) == digests(folder)
    snippet = yaml.safe_load(made[made.index("compose:") :])
    assert snippet["train"]["model"] == str(mllm)
    recipe = validated({"ingest": {"source": "pairs.json"}, **snippet}, "the snippet")
    assert recipe.train.of_stage(1).freeze == ("vision", "language")
    assert recipe.train.of_stage(1).learning_rate_of("projector") == 2e-3
    assert recipe.train.of_stage(2).freeze == ("vision",)

    taken = json.loads(said("--extract", mllm, out, "--json"))["model"]
    assert (taken["language"], taken["difference"]) == ("Qwen2ForCausalLM", 0.0)
    check_language_model(mllm, out)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        pytest.param(("out",), "--llm DIR --vision DIR OUT", id="no part"),
        pytest.param(("--llm", "a", "out"), "Give two parts", id="one part"),
        pytest.param(("--llm", "a", "--vision", "b", "--extract", "c", "out"), "Give two parts", id="both"),
        pytest.param(("--extract", "c", "out", "--dry-run"), "no --dry-run", id="dry extraction"),
        pytest.param(
            ("--llm", "a", "--vision", "b", "out", "--template", "x"), "own, plain, chatml", id="template"
        ),
    ],
)
def test_a_wrong_command_says_what_to_write(tmp_path, args, words):
    done = acclimate("assemble", *args, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert words in done.stderr
