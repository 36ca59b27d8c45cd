"""Engines: batch invariance with a real model, replay and order in `ask`, and errors with a remedy."""

import io
import json
import random
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from acclimate.artifacts import ReplyLog
from acclimate.engines.ask import ask, ask_choices, request_key
from acclimate.engines.fake import CHATML, FakeEngine
from acclimate.engines.families import encode, load_model, load_processor, render
from acclimate.engines.open import engine_identity, open_engine
from acclimate.engines.protocol import ChoiceReply, ChoiceRequest, Message, Reply, Request, Sampling
from acclimate.engines.spec import EngineExecution, EngineSpec
from acclimate.engines.transformers import length_bucket
from acclimate.errors import DataError, EngineError
from acclimate.files import ImageStore
from acclimate.records import ImageRef
from tests import tiny_models

WORDS = [
    *("the", "cell", "is", "red", "and", "blue", "round", "top"),
    *("left", "How", "many", "Answer", "with", "é", "細胞", "."),
]


def png(seed, width=64, height=64):
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return ImageStore(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def pictures(store):
    sizes = [(64, 64), (64, 64), (48, 80), (96, 32), (64, 64)]
    return [store.add(png(seed, *size)) for seed, size in enumerate(sizes)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("engines")
    return {
        "qwen3_vl": tiny_models.tiny_qwen3_vl(root / "qwen3_vl", hidden_size=64, n_layers=3),
        "qwen2_vl": tiny_models.tiny_qwen2_vl(root / "qwen2_vl"),
        "llava": tiny_models.tiny_llava(root / "llava"),
        "llava_next": tiny_models.tiny_llava_next(root / "llava_next"),
        "mllama": tiny_models.tiny_mllama(root / "mllama"),
    }


@pytest.fixture(scope="module")
def engine(folders, store):
    return opened(folders["qwen3_vl"], store, "bfloat16")


def opened(folder, store, dtype, rows=16):
    spec = EngineSpec(model=str(folder), dtype=dtype)
    return open_engine(spec, store, EngineExecution(device="cpu", rows=rows))


def mixed_requests(pictures, n_requests, *, temperature=None, opens=None):
    """Requests of many lengths, with and without images, greedy and sampled, both turns opened."""
    requests = []
    for index in range(n_requests):
        rng = random.Random(f"request {index}")
        images = tuple(rng.sample(pictures, rng.choice([0, 1, 1, 1, 2])))
        text = " ".join(rng.choices(WORDS, k=rng.randint(1, 30)))
        warm = rng.choice([0.0, 1.0]) if temperature is None else temperature
        requests.append(
            Request(
                id=f"r{index}",
                messages=(Message("user", text, images),),
                sampling=Sampling(
                    rng.choice([1, 3, 7, 12, 20, 30, 70]), temperature=warm, top_p=rng.choice([1.0, 0.9])
                ),
                opens=opens or rng.choice(["assistant", "user"]),
            )
        )
    return requests


def by_id(replies):
    return {reply.id: reply for reply in replies}


def test_a_reply_never_depends_on_its_neighbours_in_bf16(engine, pictures):
    requests = mixed_requests(pictures, 48)
    everyone = by_id(engine.generate(requests))
    assert len(everyone) == len(requests)
    assert len({reply.n_tokens for reply in everyone.values()}) > 3  # rows finish at different times
    assert by_id(engine.generate(reversed(requests))) == everyone
    some = random.Random(1).sample(requests, 17)
    assert by_id(engine.generate(some)) == {request.id: everyone[request.id] for request in some}
    alone = requests[5]
    assert by_id(engine.generate([alone])) == {alone.id: everyone[alone.id]}


def test_a_choice_never_depends_on_its_neighbours_to_the_last_bit(engine, pictures):
    requests = [
        ChoiceRequest(request.id, request.messages, ("Y", "N", "O") if index % 2 else ("a red cell", "blue"))
        for index, request in enumerate(mixed_requests(pictures, 30))
    ]
    everyone = by_id(engine.choose(requests))
    assert by_id(engine.choose(requests[::-3])) == {
        request.id: everyone[request.id] for request in requests[::-3]
    }
    assert by_id(engine.choose(requests[:1])) == {requests[0].id: everyone[requests[0].id]}


@pytest.mark.parametrize("name", ["qwen3_vl", "qwen2_vl", "llava", "llava_next", "mllama"])
def test_greedy_replies_equal_plain_transformers(folders, store, pictures, name):
    engine = opened(folders[name], store, "float32", rows=8)
    requests = mixed_requests(pictures, 10, temperature=0.0, opens="assistant")
    replies = by_id(engine.generate(requests))
    processor, model = load_processor(folders[name]), load_model(folders[name], "float32")
    for request in requests:
        images = [store.open(image) for image in request.messages[0].images]
        rendered = render(processor, request.messages, len(images), "assistant")
        row = encode(processor, rendered, images)
        ids = torch.tensor([row.input_ids])
        output = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=request.sampling.max_tokens,
            do_sample=False,
            **row.model_inputs,
        )
        expected = processor.tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True)
        assert replies[request.id].text == expected, request.id
        assert replies[request.id].n_prompt_tokens == ids.shape[1]


@pytest.mark.parametrize("name", ["qwen3_vl", "llava", "mllama"])
def test_choices_are_scored_as_a_plain_forward_scores_them(folders, store, pictures, name):
    engine = opened(folders[name], store, "float32", rows=8)
    processor, model = load_processor(folders[name]), load_model(folders[name], "float32")
    message = Message("user", "is it red", (pictures[2],))
    for choices in (("Yes", "No", "a red cell"), ("Y", "N")):
        [reply] = engine.choose([ChoiceRequest("c", (message,), choices)])
        for choice, value in zip(choices, reply.log_probabilities, strict=True):
            rendered = render(processor, [message, Message("assistant", choice)], [1, 0])
            row = encode(processor, rendered, [store.open(pictures[2])])
            with torch.inference_mode():
                ids = torch.tensor([row.input_ids])
                logits = model(input_ids=ids, **row.model_inputs).logits[0].float()
            scores = torch.log_softmax(logits, dim=-1)
            span = rendered.spans[-1]
            expected = sum(
                float(scores[index - 1, row.input_ids[index]])
                for index, (start, end) in enumerate(row.offsets)
                if end > span.text_start and start < span.text_end
            )
            assert value == pytest.approx(expected, abs=1e-3)


def stopping_model(folder, target, token):
    """Copy a checkpoint whose model writes one token only."""
    shutil.copytree(folder, target)
    model = load_model(folder, "float32")
    processor = load_processor(folder)
    wanted = processor.tokenizer.convert_tokens_to_ids(token)
    with torch.no_grad():
        embedding = model.get_input_embeddings().weight
        embedding.zero_()
        embedding[wanted] = 1.0
        for parameter_name, parameter in model.named_parameters():
            if "language_model.layers" in parameter_name and parameter.dim() > 1:
                parameter.zero_()
            if parameter_name.endswith("language_model.norm.weight"):
                parameter.fill_(1.0)
        embedding += 0.1
    model.save_pretrained(target)
    return target


def test_the_assistants_turn_stops_at_its_end_and_the_users_only_at_the_end_of_text(folders, store, tmp_path):
    folder = stopping_model(folders["qwen3_vl"], tmp_path / "end_of_turn", "<|im_end|>")
    engine = opened(folder, store, "float32", rows=4)
    message = (Message("user", "x"),)
    answer, own = (
        next(iter(engine.generate([Request("a", message, Sampling(3), opens=opens)])))
        for opens in ("assistant", "user")
    )
    assert (answer.text, answer.finish_reason, answer.n_tokens) == ("", "stop", 1)
    assert (own.text, own.finish_reason, own.n_tokens) == ("<|im_end|>" * 3, "length", 3)
    folder = stopping_model(folders["qwen3_vl"], tmp_path / "end_of_text", "<|endoftext|>")
    engine = opened(folder, store, "float32", rows=4)
    [own] = engine.generate([Request("a", message, Sampling(3), opens="user")])
    assert (own.text, own.finish_reason, own.n_tokens) == ("", "stop", 1)


def test_samples_differ_by_sample_seed_and_id_and_repeat_exactly(engine):
    base = Request("r", (Message("user", "the cell"),), Sampling(12, temperature=1.5))
    variants = {
        "base": base,
        "sample": replace(base, sample=1),
        "seed": replace(base, sampling=replace(base.sampling, seed=1)),
        "id": replace(base, id="other"),
        "cold": replace(base, sampling=Sampling(12)),
    }
    texts = {name: next(iter(engine.generate([request]))).text for name, request in variants.items()}
    assert len(set(texts.values())) == len(variants)
    assert next(iter(engine.generate([base]))).text == texts["base"]
    nearly_greedy = replace(base, sampling=Sampling(12, temperature=1.5, top_p=1e-9))
    assert next(iter(engine.generate([nearly_greedy]))).text == texts["cold"]


def test_the_image_is_read(engine, pictures):
    def choice(image):
        request = ChoiceRequest("c", (Message("user", "what", (image,)),), ("Y", "N"))
        return next(iter(engine.choose([request]))).log_probabilities

    assert choice(pictures[0]) != choice(pictures[1])


def test_a_prompt_is_always_padded(engine):
    for n_tokens in (1, 31, 32, 255, 256, 1024, 5000):
        assert length_bucket(n_tokens) > n_tokens
    assert length_bucket(33) == length_bucket(60)


def test_the_engine_reads_a_bounded_window(engine):
    n_read = 0

    def many():
        nonlocal n_read
        for index in range(5000):
            n_read += 1
            yield Request(f"r{index}", (Message("user", "a cell"),), Sampling(1))

    replies = engine.generate(many())
    next(replies)
    assert n_read <= 32 * 16 + 16
    replies.close()


def test_a_missing_image_is_named(engine):
    ghost = ImageRef("0" * 64, 8, 8, "image/png")
    request = Request("r", (Message("user", "x", (ghost,)),), Sampling(1))
    with pytest.raises(DataError, match="0000"):
        list(engine.generate([request]))


def test_a_request_for_nothing_is_refused(engine):
    with pytest.raises(EngineError, match="max_tokens"):
        list(engine.generate([Request("r", (Message("user", "x"),), Sampling(0))]))
    with pytest.raises(EngineError, match="no choices"):
        list(engine.choose([ChoiceRequest("c", (Message("user", "x"),), ())]))


# Identity and opening


def test_identity_follows_content_and_dtype_not_the_path(folders, tmp_path):
    source = folders["qwen3_vl"]
    copied = tmp_path / "größe and spaces"
    shutil.copytree(source, copied)
    first = engine_identity(EngineSpec(model=str(source), dtype="bfloat16"))
    assert engine_identity(EngineSpec(model=str(copied), dtype="bfloat16")).digest == first.digest
    assert first.name == "qwen3_vl"
    assert engine_identity(EngineSpec(model=str(source), dtype="float32")).digest != first.digest
    assert engine_identity(EngineSpec(model=str(source))) == engine_identity(
        EngineSpec(model=str(source), dtype="float32")
    )
    (copied / "README.md").write_text("a card")
    assert engine_identity(EngineSpec(model=str(copied), dtype="bfloat16")).digest == first.digest
    for file in ("chat_template.jinja", "processor_config.json", "model.safetensors"):
        content = (copied / file).read_bytes()
        (copied / file).write_bytes(content + b" ")
        assert engine_identity(EngineSpec(model=str(copied), dtype="bfloat16")).digest != first.digest
        (copied / file).write_bytes(content)


def test_identity_and_ask_load_no_torch(folders):
    script = (
        "import sys; import acclimate.engines.ask, acclimate.engines.fake\n"
        "from acclimate.engines.open import engine_identity\n"
        "from acclimate.engines.spec import EngineSpec\n"
        f"engine_identity(EngineSpec(model={str(folders['llava'])!r}))\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def broken(folders, target, *, remove=(), write=None):
    shutil.copytree(folders["qwen3_vl"], target)
    for file in remove:
        (target / file).unlink()
    for file, content in (write or {}).items():
        (target / file).write_bytes(content)
    return target


@pytest.mark.parametrize(
    ("remove", "write", "message"),
    [
        pytest.param(("config.json",), {}, r"not a checkpoint: it has no config\.json", id="no config"),
        pytest.param(("model.safetensors",), {}, r"no \*\.safetensors weights", id="no weights"),
        pytest.param(
            ("model.safetensors",), {"pytorch_model.bin": b"x"}, "pickled .*safe_serialization", id="pickled"
        ),
        pytest.param(
            ("chat_template.jinja",), {}, r"no chat template.*chat_template\.jinja", id="no template"
        ),
        pytest.param((), {"config.json": b"{"}, "cannot be read as JSON", id="broken config"),
        pytest.param(
            (),
            {"config.json": b'{"model_type": "nothing_known"}'},
            "not a checkpoint transformers",
            id="unknown",
        ),
    ],
)
def test_a_folder_that_is_no_checkpoint_is_refused_with_a_remedy(
    folders, store, tmp_path, remove, write, message
):
    folder = broken(folders, tmp_path / "broken", remove=remove, write=write)
    with pytest.raises(EngineError, match=message) as caught:
        opened(folder, store, "float32")
    assert "\n" not in str(caught.value)


def test_a_path_that_is_not_there_is_refused(store, tmp_path):
    with pytest.raises(EngineError, match="There is no model at"):
        opened(tmp_path / "nowhere", store, "auto")
    (tmp_path / "file").write_text("x")
    with pytest.raises(EngineError, match="is a file"):
        opened(tmp_path / "file", store, "auto")
    with pytest.raises(EngineError, match="FakeEngine"):
        open_engine(EngineSpec(engine="fake", model=""), store, EngineExecution())


def test_weights_larger_than_memory_are_refused_before_loading(folders, store, tmp_path):
    header = json.dumps({"w": {"dtype": "F32", "shape": [10**9, 10**4], "data_offsets": [0, 0]}}).encode()
    content = len(header).to_bytes(8, "little") + header
    folder = broken(folders, tmp_path / "huge", write={"model.safetensors": content})
    with pytest.raises(EngineError, match="GiB free"):
        opened(folder, store, "float32")


def test_an_adapter_without_its_base_is_refused(folders, store, tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "nowhere/base"}')
    with pytest.raises(EngineError, match=r"the base model 'nowhere/base'\..*hf download nowhere/base"):
        opened(tmp_path, store, "float32")


# ask


def request(index, **changes):
    made = Request(f"r{index}", (Message("user", f"question {index}"),), Sampling(8))
    return replace(made, **changes)


class CountingEngine(FakeEngine):
    """Answers in reverse within a window, fails on demand, and remembers what it was asked."""

    def __init__(self, *, fail_after=None, lose=(), repeat=()):
        super().__init__(lambda asked: f"answer to {asked.messages[0].text}")
        self.asked = []
        self.fail_after = fail_after
        self.lose = lose
        self.repeat = repeat

    def generate(self, requests):
        window = []
        for asked in requests:
            window.append(asked)
            if len(window) == 7:
                yield from self.answer(window[::-1])
                window = []
        yield from self.answer(window[::-1])

    def answer(self, window):
        for reply in super().generate(window):
            if self.fail_after is not None and len(self.asked) >= self.fail_after:
                raise EngineError("the model failed")
            self.asked.append(reply.id)
            if reply.id not in self.lose:
                yield reply
            if reply.id in self.repeat:
                yield reply


def test_replies_come_in_input_order_each_once(tmp_path):
    pairs = list(ask(CountingEngine(), (request(index) for index in range(40)), ReplyLog(tmp_path)))
    assert [asked.id for asked, _ in pairs] == [f"r{index}" for index in range(40)]
    assert all(reply.id == asked.id and reply.text.endswith(asked.messages[0].text) for asked, reply in pairs)
    assert list(ask(CountingEngine(), [], None)) == []


def test_only_missing_replies_are_asked_after_an_interruption(tmp_path):
    failing = CountingEngine(fail_after=23)
    with pytest.raises(EngineError, match="the model failed"):
        list(ask(failing, map(request, range(40)), ReplyLog(tmp_path)))
    again = CountingEngine()
    pairs = list(ask(again, map(request, range(40)), ReplyLog(tmp_path)))
    assert set(again.asked) == {f"r{index}" for index in range(40)} - set(failing.asked)
    assert pairs == list(ask(CountingEngine(), map(request, range(40)), None))
    idle = CountingEngine()
    assert list(ask(idle, map(request, range(40)), ReplyLog(tmp_path))) == pairs
    assert idle.asked == []


def test_what_was_answered_is_kept_when_the_reader_stops(tmp_path):
    stopped = CountingEngine()
    pairs = ask(stopped, map(request, range(40)), ReplyLog(tmp_path))
    for _ in range(9):
        next(pairs)
    pairs.close()
    again = CountingEngine()
    list(ask(again, map(request, range(40)), ReplyLog(tmp_path)))
    assert len(again.asked) <= 40 - 9


def test_known_replies_are_handed_on_before_later_requests_are_made(tmp_path):
    list(ask(CountingEngine(), map(request, range(5)), ReplyLog(tmp_path)))
    n_made = 0

    def endless():
        nonlocal n_made
        for index in range(5):
            n_made += 1
            yield request(index)

    pairs = ask(CountingEngine(), endless(), ReplyLog(tmp_path))
    next(pairs)
    assert n_made == 1


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        pytest.param(CountingEngine(lose=("r3", "r9")), "2 requests got no reply", id="loses"),
        pytest.param(CountingEngine(repeat=("r3",)), "more than once", id="repeats"),
    ],
)
def test_an_engine_that_breaks_its_promise_stops_the_run(engine, message, tmp_path):
    with pytest.raises(EngineError, match=message):
        list(ask(engine, map(request, range(20)), ReplyLog(tmp_path)))


def test_an_engine_that_invents_a_reply_stops_the_run():
    class Inventing(FakeEngine):
        def generate(self, requests):
            yield from super().generate(requests)
            yield Reply("ghost", "boo", "stop")

    with pytest.raises(EngineError, match="'ghost' without being asked"):
        list(ask(Inventing(lambda asked: "x"), [request(0)], None))


def test_two_requests_of_one_id_are_refused():
    with pytest.raises(EngineError, match="Two requests have the id 'r1'"):
        list(ask(CountingEngine(), [request(1), request(2), request(1)], None))


def test_a_reply_is_remembered_by_everything_that_decides_it(pictures):
    base = request(0)
    other = [
        request(0, messages=(Message("assistant", "question 0"),)),
        request(0, messages=(Message("user", "question 0", (pictures[0],)),)),
        request(0, sampling=Sampling(9)),
        request(0, sampling=Sampling(8, temperature=1.0)),
        request(0, sample=1),
        request(0, opens="user"),
    ]
    keys = {request_key("engine", each) for each in (base, *other)} | {request_key("another", base)}
    assert len(keys) == len(other) + 2
    assert request_key("engine", replace(base, id="renamed")) == request_key("engine", base)
    warm = other[3]
    assert request_key("engine", replace(warm, id="renamed")) != request_key("engine", warm)


def test_choices_are_replayed_to_the_last_bit(tmp_path):
    values = (-0.1, -2.3025850929940455, -1e-17)
    requests = [ChoiceRequest(f"c{index}", (Message("user", "x"),), ("Yes", "No", "Open")) for index in (1,)]
    asked = FakeEngine(lambda _: "", choose=lambda _: values)
    first = list(ask_choices(asked, requests, ReplyLog(tmp_path)))
    mute = FakeEngine(lambda _: "")
    assert (
        list(ask_choices(mute, requests, ReplyLog(tmp_path)))
        == first
        == [(requests[0], ChoiceReply("c1", values, (1, 1, 1)))]
    )
    with pytest.raises(EngineError, match="made without `choose`"):
        list(ask_choices(mute, requests, None))
    short = FakeEngine(lambda _: "", choose=lambda _: [0.0])
    with pytest.raises(EngineError, match="1 values for the 3 choices"):
        list(ask_choices(short, requests, None))


def test_the_fake_engines_marks_are_those_of_the_qwen_family(engine):
    assert FakeEngine(lambda _: "").markers == engine.markers == CHATML


def test_a_real_engine_resumes_to_the_same_replies(engine, pictures, tmp_path):
    requests = mixed_requests(pictures, 24)
    whole = list(ask(engine, requests, None))
    pairs = ask(engine, requests, ReplyLog(tmp_path))
    for _ in range(5):
        next(pairs)
    pairs.close()
    assert list(ask(engine, requests, ReplyLog(tmp_path))) == whole
