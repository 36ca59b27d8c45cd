"""The openai engine against a real server on loopback that fails as told, and against vLLM where it is."""

import base64
import io
import json
import logging
import math
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from acclimate.artifacts import ReplyLog
from acclimate.curate.consistency import CHOICES, SHORT_FORM, prompt
from acclimate.engines.ask import ask, ask_choices, request_key
from acclimate.engines.cost import estimate_cost, image_tokens, most_prompt_tokens, text_tokens
from acclimate.engines.keys import Keys
from acclimate.engines.open import engine_identity, open_engine
from acclimate.engines.patience import retry_after_s, wait_s
from acclimate.engines.protocol import ChoiceRequest, Message, Reply, Request, Sampling
from acclimate.engines.served_template import harmless
from acclimate.engines.spec import EngineExecution, EngineSpec, Prices, ServerExecution, spec_of
from acclimate.errors import AcclimateError, EngineError, RecipeError
from acclimate.files import ImageStore
from acclimate.lab.start import GENERAL_MLLM
from acclimate.records import ImageRef
from tests import tiny_models
from tests.openai_server import Fault, Server, rendered, text_of, urls_of

SECRET = "sk-verysecret-0123456789"
RED = ImageRef("0" * 64, 28, 28, "image/png")


@pytest.fixture
def server():
    with Server() as running:
        yield running


@pytest.fixture
def store(tmp_path):
    return ImageStore(tmp_path / "store")


def png(width=48, height=32):
    data = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), 90, dtype=np.uint8)).save(data, "PNG")
    return data.getvalue()


def opened(server, store, *, key=None, spec=None, **execution):
    fields = {"backoff_s": 0.01, "concurrency": 4, **execution}
    return open_engine(
        EngineSpec(engine="openai", model="teacher", base_url=server.url, **(spec or {})),
        store,
        EngineExecution(server=ServerExecution(**fields)),
        keys=Keys({"TEACHER_KEY": key} if key else {}),
    )


def request(index, **changes):
    fields = {
        "id": f"r{index}",
        "messages": (Message("user", f"question {index}"),),
        "sampling": Sampling(8),
        **changes,
    }
    return Request(**fields)


def choice(index=0, choices=("Yes", "No", "Open")):
    return ChoiceRequest(f"c{index}", (Message("user", f"is it so {index}"),), choices)


def token(text, probability):
    return {"token": text, "logprob": math.log(probability), "bytes": list(text.encode())}


# --- what is sent, and how replies are read -------------------------------------------------------


def test_a_request_is_sent_whole_with_pictures_as_their_own_bytes(server, store):
    data = png()
    picture = store.add(data)
    engine = opened(server, store, key=SECRET, api_key_env="TEACHER_KEY")
    messages = (Message("system", "be brief"), Message("user", "what is it", (picture,)))
    asked = Request("a", messages, Sampling(8, temperature=0.7, top_p=0.9, seed=3))
    server.reply = lambda body: "a grey field"
    assert list(engine.generate([asked])) == [Reply("a", "a grey field", "stop", 5, 3)]
    body = server.bodies[0]
    assert body["messages"][0] == {"role": "system", "content": "be brief"}
    assert [part["type"] for part in body["messages"][1]["content"]] == ["image_url", "text"]
    assert urls_of(body) == [f"data:image/png;base64,{base64.b64encode(data).decode()}"]
    assert (body["model"], body["max_tokens"], body["temperature"], body["top_p"]) == ("teacher", 8, 0.7, 0.9)
    assert server.headers[0]["authorization"] == f"Bearer {SECRET}"


def test_noise_is_keyed_by_seed_request_and_sample_and_greedy_requests_have_none(server, store):
    def seed_of(**changes):
        fields = {"id": "a", "sample": 0, "seed": 1, **changes}
        sampling = Sampling(8, temperature=fields.pop("temperature", 1.0), seed=fields.pop("seed"))
        asked = Request(fields["id"], (Message("user", "x"),), sampling, sample=fields["sample"])
        list(opened(server, store).generate([asked]))
        return server.bodies[-1].get("seed")

    seeds = [seed_of(), seed_of(id="b"), seed_of(sample=1), seed_of(seed=2)]
    assert len(set(seeds)) == 4
    assert seed_of() == seeds[0]
    assert seed_of(temperature=0.0) is None


@pytest.mark.parametrize(
    ("message", "text"),
    [
        pytest.param({"content": "  as it is \n"}, "  as it is \n", id="nothing is stripped"),
        pytest.param({"content": None, "refusal": "I can't"}, "I can't", id="refusal in its own field"),
        pytest.param({"content": None, "reasoning_content": "hm"}, "", id="only thoughts"),
        pytest.param({"content": [{"text": "a"}, {"text": "b"}]}, "ab", id="parts"),
    ],
)
def test_a_reply_is_the_messages_text(server, store, message, text):
    server.reply = lambda body: message
    assert next(iter(opened(server, store).generate([request(0)]))).text == text


def test_a_reply_cut_by_its_bound_says_so(server, store):
    server.reply = lambda body: "one two three four five six seven eight"
    assert next(iter(opened(server, store).generate([request(0)]))).finish_reason == "length"


def test_replies_come_in_any_order_and_each_once(server, store, tmp_path):
    server.fault = lambda body: Fault(slow_s=0.15) if text_of(body["messages"][0]) == "question 0" else None
    engine = opened(server, store)
    raw = [reply.id for reply in engine.generate(map(request, range(12)))]
    assert sorted(raw) == sorted(f"r{index}" for index in range(12))
    assert raw[0] != "r0"
    pairs = list(ask(engine, map(request, range(12)), ReplyLog(tmp_path / "log")))
    assert [reply.text for _, reply in pairs] == [f"reply to question {index}" for index in range(12)]


def test_no_more_requests_are_at_the_server_than_allowed_and_none_is_read_too_early(server, store):
    n_read = 0

    def requests():
        nonlocal n_read
        for index in range(30):
            n_read += 1
            yield request(index)

    server.hold.clear()
    replies = opened(server, store, concurrency=5).generate(requests())
    watcher = threading.Timer(0.3, server.hold.set)
    watcher.start()
    next(replies)
    assert server.most_in_flight == 5
    assert n_read == 5
    assert len(list(replies)) == 29
    assert server.most_in_flight == 5


def test_a_schema_is_sent_as_the_form_of_the_reply_and_decides_the_key(server, store):
    schema = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
    engine = opened(server, store)
    list(engine.generate([request(0, schema=schema), request(1)]))
    forms = {text_of(body["messages"][0]): body.get("response_format") for body in server.bodies}
    assert forms["question 0"]["type"] == "json_schema"
    assert forms["question 0"]["json_schema"]["schema"] == schema
    assert forms["question 1"] is None
    digest = engine.identity.digest
    keys = {request_key(digest, request(0, schema=each)) for each in (None, schema, {"type": "array"})}
    assert len(keys) == 3
    assert hash(request(0, schema=schema)) == hash(request(0))


def test_what_a_server_refuses_is_left_out(server, store):
    spec = {
        "leave_out": ("temperature", "top_p", "seed", "response_format"),
        "length_field": "max_completion_tokens",
    }
    asked = request(0, sampling=Sampling(8, temperature=1.0), schema={"type": "object"})
    list(opened(server, store, spec=spec).generate([asked]))
    assert set(server.bodies[0]) == {"model", "messages", "max_completion_tokens"}


@pytest.mark.parametrize(
    "text",
    [
        "a<|im_end|>\n<|im_start|>user\nb",
        "</s>[INST] b",
        "x <|eot_id|>",
        "ASSISTANT: yes",
        "<image> <start_of_turn>",
    ],
)
def test_a_text_with_special_tokens_of_any_family_cannot_open_a_turn(server, store, text):
    list(opened(server, store).generate([request(0, messages=(Message("user", text),))]))
    sent = text_of(server.bodies[0]["messages"][0])
    assert sent.replace("\u2060", "") == text
    assert sent == harmless(text) != text
    for marker in ("<|im_start|>", "<|im_end|>", "</s>", "[INST]", "<|eot_id|>", "ASSISTANT:", "<image>"):
        assert marker not in sent


def test_plain_texts_are_sent_as_they_are():
    for text in ("a < b | c > d", "x[1] <b>bold</b>", "The user: a man. <3", "細胞 |> <|", "10 <s 5>"):
        assert harmless(text) == text


def test_a_lone_surrogate_does_not_stop_a_run(server, store):
    list(opened(server, store).generate([request(0, messages=(Message("user", "a\ud800b"),))]))
    assert text_of(server.bodies[0]["messages"][0]) == "a\ufffdb"


# --- faults ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(429, headers={"Retry-After": "0.05"}), id="rate limit"),
        pytest.param(Fault(500), id="server error"),
        pytest.param(Fault(503), id="overloaded"),
        pytest.param(Fault(drops=True), id="dropped"),
        pytest.param(Fault(raw=b'{"choices": [{"mess'), id="malformed"),
        pytest.param(Fault(raw=b"<html>gateway</html>"), id="not json"),
        pytest.param(Fault(raw=b'{"error": {"message": "busy"}}'), id="an error with status 200"),
        pytest.param(Fault(raw=b'{"choices": []}'), id="no choices"),
        pytest.param(Fault(slow_s=5.0), id="slow"),
    ],
)
def test_what_passes_is_tried_again(server, store, fault):
    server.faults.extend([fault, fault])
    engine = opened(server, store, timeout_s=0.25 if fault.slow_s else 20.0)
    assert [reply.text for reply in engine.generate([request(0)])] == ["reply to question 0"]
    assert len(server.bodies) == 3
    assert engine.usage.n_retries == 2
    assert engine.usage.n_answers == 1


def test_retry_after_is_honoured_by_every_request(server, store):
    server.faults.append(Fault(429, headers={"Retry-After": "0.4"}))
    engine = opened(server, store, concurrency=1)
    assert len(list(engine.generate([request(0), request(1)]))) == 2
    assert server.times[1] - server.times[0] >= 0.4


def test_a_longer_wait_than_allowed_stops_the_run(server, store):
    server.fault = Fault(429, headers={"Retry-After": "7200"})
    with pytest.raises(EngineError, match=r"asks to wait for 7200 seconds.*longest_wait_s"):
        list(opened(server, store).generate([request(0)]))
    assert len(server.bodies) == 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault(500), "status 500: told to fail"),
        (Fault(drops=True), "dropped the connection"),
        (Fault(raw=b"{}"), "without choices"),
    ],
)
def test_attempts_are_bounded(server, store, fault, said):
    server.fault = fault
    with pytest.raises(EngineError, match=rf"{said}.*attempt 3 of 3"):
        list(opened(server, store, attempts=3).generate([request(0)]))
    assert len(server.bodies) == 3


def test_a_server_that_is_not_there_is_named(store):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spec = EngineSpec(engine="openai", model="m", base_url=f"http://127.0.0.1:{port}/v1")
    execution = EngineExecution(server=ServerExecution(attempts=2, backoff_s=0.01))
    engine = open_engine(spec, store, execution)
    with pytest.raises(EngineError, match=rf"127.0.0.1:{port}/v1 cannot be reached.*base_url"):
        list(engine.generate([request(0)]))
    assert engine.usage.lost_tokens == 0


@pytest.mark.parametrize(
    ("fault", "remedy"),
    [
        (Fault(400, "Unsupported parameter: 'max_tokens'"), "max_tokens.*length_field"),
        (Fault(401), "TEACHER_KEY"),
        (Fault(403), "TEACHER_KEY"),
        (Fault(404, "no such model"), "no such model.*base_url/models"),
        (Fault(413), "smaller pictures"),
        (Fault(422), "leave_out"),
        (Fault(307, headers={"Location": "http://127.0.0.1:9/v1"}), "sends on to another address.*base_url"),
        (Fault(429, code="insufficient_quota"), "no credit"),
    ],
)
def test_what_never_passes_is_an_error_at_once_that_names_the_remedy(server, store, fault, remedy):
    server.fault = fault
    with pytest.raises(EngineError, match=remedy):
        list(opened(server, store, key=SECRET, api_key_env="TEACHER_KEY").generate([request(0)]))
    assert len(server.bodies) == 1


def test_a_request_that_the_servers_filter_refuses_gets_an_empty_reply(server, store):
    server.faults.append(Fault(400, code="content_filter"))
    engine = opened(server, store, concurrency=1)
    replies = [(reply.id, reply.text) for reply in engine.generate([request(0), request(1)])]
    assert replies == [("r0", ""), ("r1", "reply to question 1")]


def test_what_is_at_the_server_when_one_request_fails_is_still_handed_on(server, store):
    server.fault = lambda body: (
        Fault(400) if "question 2" in text_of(body["messages"][0]) else Fault(slow_s=0.2)
    )
    replies = []
    with pytest.raises(EngineError, match="status 400"):
        for reply in opened(server, store, concurrency=3).generate(map(request, range(50))):
            replies.append(reply.id)
    assert sorted(replies) == ["r0", "r1"]
    assert len(server.bodies) == 3


def test_a_dead_server_leaves_what_was_answered_in_the_log(server, store, tmp_path):
    server.fault = lambda body: Fault(400) if text_of(body["messages"][0]) == "question 9" else None
    with pytest.raises(EngineError):
        list(ask(opened(server, store), map(request, range(30)), ReplyLog(tmp_path / "log")))
    n_first = len(server.bodies)
    n_kept = len(ReplyLog(tmp_path / "log"))
    assert n_kept == n_first - 1 >= 9
    server.fault = None
    pairs = list(ask(opened(server, store), map(request, range(30)), ReplyLog(tmp_path / "log")))
    assert [reply.text for _, reply in pairs] == [f"reply to question {index}" for index in range(30)]
    assert len(server.bodies) - n_first == 30 - n_kept


def test_a_missing_picture_stops_the_run_after_what_was_asked(server, store):
    asked = [request(0), request(1, messages=(Message("user", "x", (RED,)),)), request(2)]
    replies = []
    with pytest.raises(AcclimateError, match="cannot be had any more"):
        for reply in opened(server, store).generate(asked):
            replies.append(reply.id)
    assert replies == ["r0"]


def test_a_reader_that_stops_early_waits_for_nothing(server, store):
    server.fault = lambda body: None if text_of(body["messages"][0]) == "question 0" else Fault(slow_s=9.0)
    replies = opened(server, store).generate(map(request, range(50)))
    assert next(replies).id == "r0"
    started = time.monotonic()
    replies.close()
    assert time.monotonic() - started < 3.0


def test_retry_after_is_read_in_every_form():
    now = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT
    assert retry_after_s({"retry-after": "2"}, now) == 2.0
    assert retry_after_s({"retry-after": "0.5"}, now) == 0.5
    assert retry_after_s({"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}, now) == 30.0
    assert retry_after_s({"retry-after": "Tue, 14 Nov 2023 22:13:00 GMT"}, now) == 0.0
    assert retry_after_s({"retry-after-ms": "250", "retry-after": "9"}, now) == 0.25
    for nonsense in ({}, {"retry-after": "soon"}, {"retry-after": "-3"}, {"retry-after": "nan"}):
        assert retry_after_s(nonsense, now) is None


def test_waits_double_are_jittered_and_never_shorter_than_asked():
    noise = random.Random(1)
    waits = [[wait_s(attempt, 1.0, None, noise) for _ in range(200)] for attempt in range(1, 12)]
    for attempt, each in enumerate(waits, start=1):
        longest = min(2.0 ** (attempt - 1), 60.0)
        assert longest / 2 <= min(each) < max(each) <= longest
    assert all(7.0 <= wait_s(1, 1.0, 7.0, noise) <= 8.0 for _ in range(50))


# --- money ----------------------------------------------------------------------------------------


def test_a_run_stops_before_it_passes_its_budget_and_what_was_answered_stays(server, store, tmp_path):
    server.reply = lambda body: (
        "one two three"
    )  # of 8 it may have; with the prompt's two words, five are used
    asked = [request(index) for index in range(10, 90)]
    most = most_prompt_tokens(asked[0].messages) + 8
    log = tmp_path / "log"
    engine = opened(server, store, budget_tokens=10 * 5 + most, concurrency=3)
    with pytest.raises(EngineError, match=r"of `budget_tokens` .*Raise the ceiling"):
        list(ask(engine, asked, ReplyLog(log)))
    usage = engine.usage
    assert usage.prompt_tokens + usage.reply_tokens <= 10 * 5 + most
    assert usage.n_answers == len(server.bodies) == len(ReplyLog(log)) == 11
    richer = opened(server, store)
    assert len(list(ask(richer, asked, ReplyLog(log)))) == 80
    assert richer.usage.n_answers == 80 - 11


def test_money_is_counted_by_the_given_prices(server, store):
    engine = opened(server, store, prices=Prices(prompt=1000.0, reply=10_000.0))
    list(engine.generate(map(request, range(3))))
    assert (engine.usage.prompt_tokens, engine.usage.reply_tokens) == (6, 12)
    assert engine.usage.money == pytest.approx(6 * 0.001 + 12 * 0.01)
    capped = opened(server, store, prices=Prices(prompt=1000.0, reply=10_000.0), budget=0.5, concurrency=8)
    with pytest.raises(EngineError, match=r"of `budget` 0.5"):
        list(capped.generate(map(request, range(100))))
    assert 0.3 < capped.usage.money <= 0.5


def test_answers_without_a_count_are_counted_at_their_most(server, store):
    server.counts_tokens = False
    engine = opened(server, store)
    reply = next(iter(engine.generate([request(0)])))
    assert (reply.n_prompt_tokens, reply.n_tokens) == (0, 0)
    assert engine.usage.n_unmetered == 1
    assert engine.usage.prompt_tokens == most_prompt_tokens(request(0).messages)
    assert engine.usage.reply_tokens == 8


def test_attempts_that_may_be_on_the_bill_count_against_the_budget(server, store):
    server.fault = Fault(drops=True)
    most = most_prompt_tokens(request(0).messages) + 8
    engine = opened(server, store, budget_tokens=3 * most + 1, attempts=50)
    with pytest.raises(EngineError, match="might pass the ceiling"):
        list(engine.generate([request(0)]))
    assert len(server.bodies) == 3
    assert engine.usage.lost_tokens == 3 * most
    free = opened(server, store, attempts=4)
    server.fault = Fault(503)
    with pytest.raises(EngineError):
        list(free.generate([request(0)]))
    assert free.usage.lost_tokens == 0


def test_a_budget_needs_prices():
    with pytest.raises(ValidationError, match="needs prices"):
        ServerExecution(budget=1.0)


def test_the_cost_is_estimated_before_anything_is_sent():
    picture = ImageRef("1" * 64, 1024, 512, "image/png")
    requests = [
        Request("a", (Message("user", "twelve chars", (picture,)),), Sampling(100)),
        ChoiceRequest("b", (Message("user", "細胞 is"),), ("Yes", "No")),
    ]
    assert text_tokens("twelve chars") == 3
    assert text_tokens("細胞 is") == 3  # two characters and " is"
    assert image_tokens(picture) == 703  # 37 x 19 cells of 28 pixels; two tiles would be 425
    assert image_tokens(ImageRef("1" * 64, 100, 100, "image/png")) == 255  # one tile; 16 cells
    estimate = estimate_cost(iter(requests), Prices(prompt=10.0, reply=20.0))
    assert (estimate.n_requests, estimate.n_images) == (2, 1)
    assert estimate.prompt_tokens == 4 + 3 + 703 + 4 + 3
    assert estimate.reply_tokens == 101
    assert estimate.money_least == pytest.approx(717 * 10 / 1e6)
    assert estimate.money_most == pytest.approx((717 * 10 + 101 * 20) / 1e6)
    assert "2 requests with 1 pictures" in str(estimate)
    twice = estimate_cost(requests, image_tokens=64, log_probabilities="prompt")
    assert (twice.n_requests, twice.money_most) == (4, None)
    assert twice.prompt_tokens == 4 + 3 + 64 + 3 * (4 + 3)


# --- choices --------------------------------------------------------------------------------------


def test_choices_among_the_likeliest_first_tokens_are_scored_exactly(server, store):
    server.top_logprobs = lambda body: [
        token("No", 0.6),
        token("Yes", 0.3),
        token("no", 0.05),
        token("Open", 0.01),
    ]
    reply = next(iter(opened(server, store).choose([choice()])))
    assert reply.log_probabilities == pytest.approx((math.log(0.3), math.log(0.6), math.log(0.01)))
    body = server.bodies[0]
    assert (body["logprobs"], body["top_logprobs"], body["max_tokens"]) == (True, 20, 1)


def test_a_choice_that_is_not_listed_gets_the_most_it_can_have(server, store):
    engine = opened(server, store)
    server.top_logprobs = lambda body: [token("Yes", 0.9), token("No", 0.05), token(" x", 0.002)]
    reply = next(iter(engine.choose([choice()])))
    assert reply.log_probabilities[2] == pytest.approx(
        math.log(0.002)
    )  # no likelier than the last one listed
    server.top_logprobs = lambda body: [token("Yes", 0.9), token("No", 0.0999)]
    reply = next(iter(engine.choose([choice()])))
    assert reply.log_probabilities[2] == pytest.approx(math.log(0.0001))  # no likelier than what is left


@pytest.mark.parametrize(
    ("top", "message"),
    [
        pytest.param(None, "gave no log-probabilities", id="none given"),
        pytest.param([token("The", 0.9), token("A", 0.1)], "None of the choices", id="not an answer"),
        pytest.param([token("Yes", 0.5), token("Op", 0.4)], "'Open'.*more than one token", id="in pieces"),
    ],
)
def test_choices_that_cannot_be_scored_are_refused(server, store, top, message):
    server.top_logprobs = lambda body: top
    with pytest.raises(EngineError, match=message):
        list(opened(server, store).choose([choice()]))
    assert len(server.bodies) == 1


def test_a_server_said_to_give_no_log_probabilities_is_not_asked_for_choices(server, store):
    with pytest.raises(EngineError, match="log_probabilities"):
        list(opened(server, store, spec={"log_probabilities": "none"}).choose([choice()]))
    assert server.bodies == []


def characters(body):
    return [ord(character) for character in rendered(body)]


def test_choices_of_any_length_are_scored_by_their_tokens_in_the_prompt(server, store, tmp_path):
    server.prompt_tokens = characters  # each token's log-probability is minus its number over 1000
    engine = opened(server, store, spec={"log_probabilities": "prompt"})
    requests = [choice(0, ("Yes", "Yes, so")), choice(1, ("é",))]
    replies = {asked.id: reply for asked, reply in ask_choices(engine, requests, ReplyLog(tmp_path))}
    expected = [-sum(map(ord, text)) / 1000 for text in ("Yes", "Yes, so")]
    assert replies["c0"].log_probabilities == pytest.approx(expected)
    assert replies["c1"].log_probabilities == pytest.approx([-0.233])
    assert [replies[name].n_tokens for name in ("c0", "c1")] == [(3, 7), (1,)]
    assert len(server.bodies) == 3 + 2
    assert list(ask_choices(engine, requests, ReplyLog(tmp_path)))
    assert len(server.bodies) == 5


def test_prompts_that_cannot_be_compared_are_refused(server, store):
    engine = opened(server, store, spec={"log_probabilities": "prompt"})
    with pytest.raises(EngineError, match=r"no log-probabilities of the prompt.*first_token"):
        list(engine.choose([choice()]))
    server.prompt_tokens = lambda body: [1, 2, 3] if body.get("continue_final_message") else [1, 9]
    with pytest.raises(EngineError, match="opens an assistant's turn in one way"):
        list(engine.choose([choice()]))


# --- continuing as the user -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_models.tiny_qwen2_vl(tmp_path_factory.mktemp("served") / "qwen2_vl")


def as_vllm(folder):
    """What vLLM does with a chat: the checkpoint's template by transformers, and its tokens."""
    from acclimate.engines.families import load_processor

    processor = load_processor(folder)

    def tokens(body):
        messages = [
            {"role": each["role"], "content": [{"type": "text", "text": text_of(each)}]}
            for each in body["messages"]
        ]
        text = processor.apply_chat_template(
            messages,
            tokenize=False,
            add_generation_prompt=body.get("add_generation_prompt", True),
            continue_final_message=body.get("continue_final_message", False),
        )
        return processor.tokenizer(text, add_special_tokens=False)["input_ids"]

    return processor, tokens


def test_continuing_as_the_user_sends_the_prompt_that_the_local_engine_reads(server, store, folder):
    from acclimate.engines.families import render

    processor, server.prompt_tokens = as_vllm(folder)
    engine = opened(server, store, spec={"template": str(folder)})
    messages = (Message("user", "Describe it."), Message("assistant", "A cell.<|im_end|>"))
    server.reply = lambda body: "Answer precisely.<|im_end|>\n<|im_start|>assistant\nTwo.<|endoftext|>"
    reply = next(iter(engine.generate([request(0, messages=messages, opens="user", sampling=Sampling(99))])))
    assert reply.text == "Answer precisely.<|im_end|>\n<|im_start|>assistant\nTwo."
    body = server.bodies[0]
    ours = render(processor, messages, [0, 0], "user").text
    assert processor.tokenizer.decode(server.prompt_tokens(body)) == ours
    assert (body["stop"], body["ignore_eos"], body["skip_special_tokens"]) == (["<|endoftext|>"], True, False)


def test_continuing_as_the_user_is_refused_where_the_server_does_not_show_it(server, store, folder):
    asked = request(0, opens="user", messages=(Message("user", "q"), Message("assistant", "a")))
    with pytest.raises(EngineError, match=r"it cannot continue as the user.*vLLM.*template"):
        list(opened(server, store).generate([asked]))
    assert server.bodies == []
    engine = opened(server, store, spec={"template": str(folder)})
    with pytest.raises(EngineError, match="did not show that it let the model continue"):
        list(engine.generate([asked]))
    _, tokens = as_vllm(folder)
    ignoring = {"continue_final_message": False, "add_generation_prompt": True}
    server.prompt_tokens = lambda body: tokens({**body, **ignoring})
    with pytest.raises(EngineError, match="did not show that it let the model continue"):
        list(engine.generate([asked]))


def test_a_template_that_trims_texts_is_refused_for_continuing(server, store, tmp_path_factory):
    folder = tiny_models.tiny_qwen2_vl(tmp_path_factory.mktemp("trims") / "qwen2_vl")
    template = folder / "chat_template.jinja"
    plain = template.read_text()
    trimming = plain.replace("content['text']", "content['text'] | trim").replace(
        "{{ message['content'] }}", "{{ message['content'] | trim }}"
    )
    assert trimming != plain
    template.write_text(trimming)
    _, server.prompt_tokens = as_vllm(folder)
    engine = opened(server, store, spec={"template": str(folder)})
    with pytest.raises(EngineError, match="a chat template that trims texts"):
        list(engine.generate([request(0, opens="user")]))


def test_turn_markers_come_from_the_served_models_template(server, store, folder):
    from acclimate.engines.fake import CHATML

    assert opened(server, store, spec={"template": str(folder)}).markers == CHATML
    with pytest.raises(EngineError, match="template"):
        opened(server, store).markers  # noqa: B018


# --- specs, identity and keys ---------------------------------------------------------------------


def test_a_recipes_value_becomes_a_spec(tmp_path):
    folder = spec_of("./models/base", tmp_path)
    assert (folder.engine, folder.model) == ("transformers", str(tmp_path / "models" / "base"))
    served = spec_of("openai:org/qwen@v2@http://127.0.0.1:8000/v1/", tmp_path)
    assert (served.engine, served.model, served.base_url) == (
        "openai",
        "org/qwen@v2",
        "http://127.0.0.1:8000/v1",
    )
    same = spec_of({"model": "org/qwen@v2", "base_url": "http://127.0.0.1:8000/v1"}, tmp_path)
    assert same == served == spec_of(served, tmp_path)
    assert spec_of({"model": "m", "base_url": "https://x/v1", "template": "t"}, tmp_path).template == str(
        tmp_path / "t"
    )


@pytest.mark.parametrize(
    "value",
    [
        "openai:gpt",
        "openai:@http://x/v1",
        {"model": "m", "engine": "openai"},
        {"model": "m", "base_url": "ftp://x"},
        {"model": "m", "base_url": f"https://me:{SECRET}@x/v1"},
        {"model": "m", "base_url": f"https://x/v1?key={SECRET}"},
        {"model": "m", "base_url": "https://x/v1", "api_key": SECRET},
        {"model": "m", "base_url": "https://x/v1", "engine": "transformers"},
    ],
)
def test_a_value_that_means_no_model_is_refused_without_repeating_it(value):
    with pytest.raises(RecipeError) as caught:
        spec_of(value)
    shown = "".join(traceback.format_exception(caught.value))
    assert SECRET not in shown


def test_a_key_in_place_of_its_variable_is_refused_without_repeating_it():
    for key in (SECRET, "sk-ABC-123", "abcdef0123456789"):
        with pytest.raises(ValidationError) as caught:
            ServerExecution(api_key_env=key)
        assert key not in str(caught.value)


def test_identity_is_what_decides_replies_and_never_the_key_or_how_it_is_asked(folder, tmp_path):
    base = {"engine": "openai", "model": "m", "base_url": "http://127.0.0.1:8000/v1"}
    first = engine_identity(EngineSpec(**base))
    assert first.name == "m"
    assert engine_identity(EngineSpec(**{**base, "base_url": base["base_url"] + "/"})) == first
    others = [
        {"model": "n"},
        {"base_url": "http://127.0.0.1:8001/v1"},
        {"revision": "2"},
        {"log_probabilities": "prompt"},
        {"leave_out": ("seed",)},
        {"template": str(folder)},
    ]
    digests = {engine_identity(EngineSpec(**{**base, **each})).digest for each in others} | {first.digest}
    assert len(digests) == len(others) + 1
    moved = tmp_path / "moved"
    moved.symlink_to(folder)
    assert engine_identity(EngineSpec(**base, template=str(moved))).digest in digests
    store = ImageStore(tmp_path)
    for key in ("one", "two"):
        execution = EngineExecution(server=ServerExecution(api_key_env="K", concurrency=len(key) + 1))
        engine = open_engine(EngineSpec(**base), store, execution, keys=Keys({"K": key}))
        assert engine.identity == first


def test_a_key_that_is_missing_or_no_key_is_named_by_its_variable(store):
    spec = EngineSpec(engine="openai", model="m", base_url="http://127.0.0.1:9/v1")
    execution = EngineExecution(server=ServerExecution(api_key_env="TEACHER_KEY"))
    for keys in (None, Keys({}), Keys({"TEACHER_KEY": " "})):
        with pytest.raises(EngineError, match="TEACHER_KEY is not set"):
            open_engine(spec, store, execution, keys=keys)
    with pytest.raises(EngineError, match="TEACHER_KEY holds characters") as caught:
        open_engine(spec, store, execution, keys=Keys({"TEACHER_KEY": f"{SECRET}\nx"}))
    assert SECRET not in str(caught.value)


def test_keys_of_other_accounts_in_the_environment_are_never_sent(server, store, monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/other")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", f"Authorization: Bearer {SECRET}")
    list(opened(server, store).generate([request(0)]))
    assert SECRET not in json.dumps(server.headers[0])
    list(opened(server, store, key="mine", api_key_env="TEACHER_KEY").generate([request(0)]))
    assert server.headers[1]["authorization"] == "Bearer mine"


def test_the_key_is_in_nothing_that_is_written_or_shown(server, store, tmp_path, monkeypatch):
    """Servers that quote their requests' headers, every log open, replies, errors and reprs kept."""
    monkeypatch.setenv("OPENAI_LOG", "debug")
    out = tmp_path / "out"
    out.mkdir()
    handler = logging.FileHandler(out / "everything.log")
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    shown = []
    try:
        for status in (400, 401, 403, 404, 422, 429, 500, None):
            engine = opened(server, store, key=SECRET, api_key_env="TEACHER_KEY", attempts=2)
            server.fault = None if status is None else Fault(status, echoes_headers=True)
            shown += [repr(engine), repr(vars(engine)), repr(engine.identity), repr(engine.usage)]
            try:
                pairs = list(ask(engine, [request(0)], ReplyLog(out / f"log-{status}")))
            except EngineError as error:
                shown += [str(error), *traceback.format_exception(error)]
                logging.getLogger("acclimate").exception("failed")
            else:
                shown.append(repr(pairs))
        execution = EngineExecution(server=ServerExecution(api_key_env="TEACHER_KEY"))
        shown += [execution.model_dump_json(), repr(Keys({"TEACHER_KEY": SECRET}))]
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        logging.getLogger("openai").setLevel(logging.NOTSET)
        handler.close()
    (out / "shown.txt").write_text("\n".join(shown))
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) >= 3
    assert any(SECRET in header.get("authorization", "") for header in server.headers)
    for path in written:
        assert SECRET.encode() not in path.read_bytes(), path
    assert "[key]" in (out / "shown.txt").read_text()  # the server did quote it


def test_the_client_is_loaded_only_for_a_server_and_its_absence_is_named(store, monkeypatch):
    code = "import sys, acclimate.engines.open, acclimate.engines.cost; print('openai' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    for name in [each for each in sys.modules if each.split(".")[0] == "openai"]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("acclimate.engines.openai", "acclimate.engines.exchange"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "openai", None)
    spec = EngineSpec(engine="openai", model="m", base_url="http://127.0.0.1:9/v1")
    with pytest.raises(EngineError, match=r"pip install 'acclimate\[openai\]'"):
        open_engine(spec, store, EngineExecution())


# --- a real server --------------------------------------------------------------------------------

VLLM = Path(os.environ.get("ACCLIMATE_VLLM_ENV", "/tmp/vllm"))
"""Made by `vllm_cpu_env.sh DIR`, in the tools beside the checkout."""


@pytest.fixture(scope="module")
def vllm(tmp_path_factory):
    """`vllm serve` with the lab's general model, in float32: its address."""
    if not (VLLM / "bin" / "vllm").is_file():
        pytest.skip(f"needs vLLM in {VLLM}: run ../shared/tools/vllm_cpu_env.sh {VLLM}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("vllm") / "vllm.log"
    command = [
        *(str(VLLM / "bin" / "vllm"), "serve", str(GENERAL_MLLM), "--host", "127.0.0.1", "--port", str(port)),
        *("--dtype", "float32", "--enforce-eager", "--max-model-len", "512", "--max-num-seqs", "4"),
        *("--limit-mm-per-prompt", '{"image":1}', "--served-model-name", "lab"),
        *("--generation-config", "vllm", "--api-key", SECRET),
    ]
    environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, stdout=stream, stderr=stream, env=environment, start_new_session=True
        )
    try:
        for _ in range(600):
            assert process.poll() is None, log.read_text()[-3000:]
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).close()
                break
            except OSError:
                time.sleep(0.5)
        else:
            pytest.fail(f"vLLM did not start: {log.read_text()[-3000:]}")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


@pytest.mark.slow
def test_a_real_vllm_answers_as_the_local_engine_does(vllm, tmp_path):
    from acclimate.lab import draw as lab_draw
    from acclimate.lab.documents import scene_of

    store = ImageStore(tmp_path)
    pictures = [store.add(lab_draw.png(lab_draw.draw(scene_of(index, test=True), "x"))) for index in range(3)]
    local = open_engine(
        EngineSpec(model=str(GENERAL_MLLM), dtype="float32"), store, EngineExecution(device="cpu", rows=4)
    )

    def remote(**spec):
        return open_engine(
            EngineSpec(engine="openai", model="lab", base_url=vllm, template=str(GENERAL_MLLM), **spec),
            store,
            EngineExecution(server=ServerExecution(api_key_env="K", concurrency=2)),
            keys=Keys({"K": SECRET}),
        )

    questions = ["Describe the image.", "What shape is shown?"]
    requests = [
        Request(f"{place}/{text}", (Message("user", text, (picture,)),), Sampling(24))
        for place, picture in enumerate(pictures)
        for text in questions
    ]
    requests.append(
        Request("no picture", (Message("user", "Answer Yes or No. Is red a colour?"),), Sampling(8))
    )
    theirs = {reply.id: reply for reply in remote().generate(requests)}
    ours = {reply.id: reply for reply in local.generate(requests)}
    assert theirs == ours

    continued = [
        Request(
            f"u{place}",
            (Message("user", "Describe the image.", (picture,)), Message("assistant", "A scene.")),
            Sampling(24),
            opens="user",
        )
        for place, picture in enumerate(pictures)
    ]
    theirs = {reply.id: reply for reply in remote().generate(continued)}
    ours = {reply.id: reply for reply in local.generate(continued)}
    assert theirs == ours

    choices = [
        ChoiceRequest(
            f"c{place}", (Message("user", "Is it red?", (picture,)),), ("Yes", "No", "a red circle")
        )
        for place, picture in enumerate(pictures)
    ]
    expected = {reply.id: reply.log_probabilities for reply in local.choose(choices)}
    for reply in remote(log_probabilities="prompt").choose(choices):
        assert reply.log_probabilities == pytest.approx(expected[reply.id], abs=1e-3)
    judged = [
        ChoiceRequest(
            f"j{informative}",
            (Message("user", prompt(SHORT_FORM, "What colour is it?", informative, "Red")),),
            CHOICES,
        )
        for informative in ("It is red.", "It is blue.", "The picture does not show it.")
    ]
    exact = {reply.id: reply.log_probabilities for reply in local.choose(judged)}
    for reply in remote().choose(judged):
        theirs, ours = reply.log_probabilities, exact[reply.id]
        assert max(theirs) == pytest.approx(max(ours), abs=1e-3)  # the likeliest choice is always listed
        for a, b in zip(theirs, ours, strict=True):
            assert a >= b - 1e-3  # others are exact, or the most they can be
            assert math.exp(a) == pytest.approx(math.exp(b), abs=1e-3)

    wrong = open_engine(
        EngineSpec(engine="openai", model="lab", base_url=vllm), store, EngineExecution(), keys=None
    )
    with pytest.raises(EngineError, match="API key"):
        list(wrong.generate(requests[:1]))
