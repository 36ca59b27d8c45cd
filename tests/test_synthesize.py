"""The synthesizer's format, what it is asked, and the door of the room, for every method."""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from acclimate.artifacts import ReplyLog
from acclimate.engines.cost import estimate_cost
from acclimate.engines.fake import CHATML, FakeEngine
from acclimate.engines.protocol import Message, Reply, Request, TurnMarkers
from acclimate.errors import DataError, EngineError
from acclimate.records import ImageCaption, Rejection, SeedExample, Triplet
from acclimate.synthesize import stage
from acclimate.synthesize.format import (
    INFORMATIVE_HINT,
    NO_CAPTION,
    PRECISE_HINT,
    is_blanked,
    render,
    seed_conversation,
    synthesis_request,
)
from acclimate.synthesize.grammars import LLAMA_3
from acclimate.synthesize.json_tasks import json_schema
from acclimate.synthesize.stage import SynthesizeConfig, planned, synthesize, tuning_conversations
from tests.small_records import BLANK, IMAGE, pair, seed_example

LLAVA = TurnMarkers(user="USER: ", assistant="ASSISTANT: ", end_of_turn=" ", separator="", end_of_text="</s>")
MARKERS = pytest.mark.parametrize("markers", [CHATML, LLAMA_3, LLAVA], ids=["chatml", "llama", "llava"])

# --- tuning ---------------------------------------------------------------------------------------


def test_a_seed_conversation_trains_the_two_rounds_and_not_the_caption() -> None:
    conversation = seed_conversation(seed_example(1), "Describe the image.", 0, None)
    assert [turn.trained for turn in conversation.turns] == [False, False, True, True, True, True]
    assert [turn.role for turn in conversation.turns] == ["user", "assistant"] * 3
    assert conversation.images == (IMAGE,)
    assert conversation.sources == ("seed-1",)
    rounds = {turn.text for turn in conversation.turns[2:]}
    expected = {f"{PRECISE_HINT}\nWhat is it?", "cell", f"{INFORMATIVE_HINT}\nWhat is it?", "It is a cell."}
    assert rounds == expected


def test_about_half_of_the_seeds_put_the_precise_answer_first() -> None:
    first = [seed_conversation(seed_example(index), "?", 0, None).turns[2].text for index in range(1000)]
    assert 440 < sum(text.startswith(PRECISE_HINT) for text in first) < 560


def test_a_tenth_of_the_pictures_is_blanked_and_the_choice_is_each_records_own() -> None:
    examples = [seed_example(index) for index in range(5000)]

    def blanked(chosen: Iterable[SeedExample], seed: int = 0) -> set[str]:
        conversations = tuning_conversations(
            chosen, blank_rate=0.1, seed=seed, caption_question="?", blank=BLANK
        )
        return {each.sources[0] for each in conversations if each.images == (BLANK,)}

    hidden = blanked(examples)
    assert 0.085 <= len(hidden) / len(examples) <= 0.115
    some = examples[::3][::-1]
    assert blanked(some) == hidden & {example.id for example in some}
    assert blanked(examples, seed=1) != hidden
    assert not any(is_blanked(example.id, 0.0, 0) for example in examples)
    assert all(is_blanked(example.id, 1.0, 0) for example in examples)


@pytest.mark.parametrize("system", ["", "You see pictures."])
@pytest.mark.parametrize("inputs", ["image_and_caption", "caption_only", "image_only"])
def test_what_is_shown_in_tuning_is_what_is_shown_in_synthesis(inputs: str, system: str) -> None:
    example = seed_example(3)
    (tuned,) = tuning_conversations(
        [example],
        blank_rate=0.0,
        seed=0,
        caption_question="What is shown?",
        blank=BLANK,
        inputs=inputs,
        system=system,
    )
    own = {"inputs": inputs, "caption_question": "What is shown?", "system": system}
    seen = ImageCaption("p", example.image, example.caption, "x", "unknown")
    (request,) = asked([seen], synthesizer=own)
    told = [(message.role, message.text) for message in request.messages]
    assert [(turn.role, turn.text) for turn in tuned.turns[: len(told)]] == told
    assert tuned.turns[len(told)].role == request.opens == "user"
    assert tuned.images == tuple(image for message in request.messages for image in message.images)
    expected = [
        ("user", "What is shown?"),
        ("assistant", "A cell." if inputs != "image_only" else NO_CAPTION),
    ]
    assert told == ([("system", system)] if system else []) + expected
    assert tuned.images == (() if inputs == "caption_only" else (IMAGE,))


def test_a_picture_that_is_not_shown_is_not_blanked_either() -> None:
    settings = {"blank_rate": 1.0, "seed": 0, "caption_question": "?", "blank": BLANK}
    shown = [
        next(tuning_conversations([seed_example(1)], **settings, inputs=inputs)).images
        for inputs in ("image_and_caption", "image_only", "caption_only")
    ]
    assert shown == [(BLANK,), (BLANK,), ()]


# --- the synthesizer at the door ------------------------------------------------------------------


def by_caption(request: Request) -> str:
    """Answer with a triplet, a broken reply or nothing, as the caption's number says."""
    number = int(request.messages[-1].text.rpartition(" ")[2])
    if number % 5 == 3:
        return ""
    if number % 5 == 4:
        return f"{PRECISE_HINT}\nHalf a"
    return render(f"What is {number}?", f"it is {number}", f"It must be {number}.", CHATML)


def run(
    pairs: Iterable[ImageCaption],
    answer: Callable[[Request], str] = by_caption,
    markers: TurnMarkers = CHATML,
    log: ReplyLog | None = None,
    **config: object,
) -> list[Triplet | Rejection]:
    engine = FakeEngine(answer, markers=markers)
    return list(synthesize(pairs, engine, SynthesizeConfig.model_validate(config), log=log))


def asked(pairs: Iterable[ImageCaption], answer: str = "", **config: object) -> list[Request]:
    requests: list[Request] = []

    def note(request: Request) -> str:
        requests.append(request)
        return answer

    run(pairs, note, **config)
    return requests


def reasons(outcomes: Iterable[Triplet | Rejection]) -> dict[str, int]:
    return dict(Counter(each.reason if isinstance(each, Rejection) else "triplet" for each in outcomes))


def test_every_pair_gives_a_triplet_or_a_rejection_in_order() -> None:
    pairs = [pair(index) for index in range(30)]
    outcomes = run(pairs)
    assert reasons(outcomes) == {"triplet": 18, "empty_reply": 6, "truncated": 6}
    for each, outcome in zip(pairs, outcomes, strict=True):
        number = int(each.caption.rpartition(" ")[2])
        if number % 5 >= 3:
            reason = "empty_reply" if number % 5 == 3 else "truncated"
            assert isinstance(outcome, Rejection)
            assert (outcome.id, outcome.reason, outcome.room) == (f"{each.id}/0", reason, "synthesize")
        else:
            assert isinstance(outcome, Triplet)
            assert (outcome.pair_id, outcome.reply_id) == (each.id, f"{each.id}/0")
            assert (outcome.instruction, outcome.precise) == (f"What is {number}?", f"it is {number}")
            assert (outcome.informative, outcome.generator) == (f"It must be {number}.", "synthesizer")


def test_the_model_is_asked_to_go_on_as_the_user_after_picture_and_caption() -> None:
    (request,) = asked([pair(7)], max_tokens=99)
    assert request.opens == "user"
    assert request.schema is None
    assert [message.role for message in request.messages] == ["user", "assistant"]
    assert request.messages[0].images == (pair(7).image,)
    assert request.messages[1].text == "Three cells. 7"
    assert (request.sampling.max_tokens, request.sampling.temperature) == (99, 0.0)


def test_the_same_task_from_several_samples_comes_out_once() -> None:
    outcomes = run([pair(0), pair(1)], samples_per_pair=3, temperature=1.0)
    assert [isinstance(each, Triplet) for each in outcomes] == [True, False, False, True, False, False]
    rejected = [each for each in outcomes if isinstance(each, Rejection)]
    assert {each.reason for each in rejected} == {"duplicate_task"}
    assert [each.id for each in rejected] == ["pair-000/1", "pair-000/2", "pair-001/1", "pair-001/2"]


def test_different_samples_of_a_pair_are_different_triplets() -> None:
    outcomes = run(
        [pair(0)], lambda request: render("What?", f"{request.sample}", "Look.", CHATML), samples_per_pair=4
    )
    triplets = [each for each in outcomes if isinstance(each, Triplet)]
    assert len({triplet.id for triplet in triplets}) == len(outcomes) == 4


def test_the_same_task_about_two_pairs_is_no_duplicate() -> None:
    outcomes = run([pair(0), pair(1)], lambda _: render("What?", "two", "Look.", CHATML))
    assert reasons(outcomes) == {"triplet": 2}
    assert len({each.id for each in outcomes}) == 2


def test_several_tasks_of_one_reply_are_as_many_triplets() -> None:
    text = CHATML.user.join(render(f"{n}?", f"{n}", f"It is {n}.", CHATML) for n in ("a", "b", "c"))
    outcomes = run([pair(0)], lambda _: text, synthesizer={"triplets_per_reply": 2}, samples_per_pair=2)
    assert [each.id for each in outcomes[2:]] == ["pair-000/1#0", "pair-000/1#1"]
    assert reasons(outcomes) == {"triplet": 2, "duplicate_task": 2}
    first, second = outcomes[:2]
    assert isinstance(first, Triplet) and isinstance(second, Triplet)
    assert (first.instruction, second.instruction) == ("a?", "b?")
    assert (first.reply_id, second.reply_id, first.turn, second.turn) == ("pair-000/0", "pair-000/0", 0, 0)
    assert first.id != second.id
    assert reasons(run([pair(0)], lambda _: text)) == {"triplet": 1}


def test_a_published_checkpoint_is_read_by_its_own_parser_or_by_ours() -> None:
    repeated = LLAMA_3.user.join(
        f"{hint}\nWhat?<|eot_id|>{LLAMA_3.assistant}{answer}<|eot_id|>"
        for hint, answer in ((PRECISE_HINT, "two"), (PRECISE_HINT, "three"), (INFORMATIVE_HINT, "Look."))
    )
    (ours,) = run([pair(0)], lambda _: repeated, LLAMA_3)
    (theirs,) = run([pair(0)], lambda _: repeated, LLAMA_3, synthesizer={"grammar": "paper"})
    assert isinstance(ours, Triplet) and isinstance(theirs, Triplet)
    assert (ours.precise, theirs.precise) == ("two", "three")
    with pytest.raises(EngineError, match="Llama 3's turn markers only"):
        run([pair(0)], synthesizer={"grammar": "paper"})


def test_a_removed_pair_changes_no_other_triplet() -> None:
    pairs = [pair(index) for index in range(20)]
    kept = [each for index, each in enumerate(pairs) if index not in (0, 7)][::-1]
    before = {outcome.id: outcome for outcome in run(pairs)}
    after = {outcome.id: outcome for outcome in run(kept)}
    assert len(after) == 18
    assert all(before[key] == outcome for key, outcome in after.items())


# --- prompted -------------------------------------------------------------------------------------


def row(**values: str) -> dict[str, str]:
    return {"instruction": "What?", "informative": "There are two.", "precise": "two"} | values


def test_a_model_that_was_not_tuned_is_asked_for_json() -> None:
    (request,) = asked([pair(5)], synthesizer={"mode": "prompted"})
    (message,) = request.messages
    assert (message.role, request.opens, message.images) == ("user", "assistant", (pair(5).image,))
    assert request.schema == json_schema(1)
    assert message.text.endswith("Caption:\nThree cells. 5")
    assert all(f'"{name}"' in message.text for name in ("instruction", "informative", "precise"))
    assert "one task" in message.text and '"tasks"' not in message.text


def test_a_prompt_shows_what_it_may_and_asks_for_as_many_tasks_as_wanted() -> None:
    own = {"mode": "prompted", "triplets_per_reply": 3, "system": "You are careful."}
    (seen,) = asked([pair(5)], synthesizer=own | {"inputs": "image_only"})
    (told,) = asked([pair(5)], synthesizer=own | {"inputs": "caption_only"})
    assert seen.messages[0] == told.messages[0] == Message("system", "You are careful.")
    assert "Three cells" not in seen.messages[1].text and seen.messages[1].images
    assert "Three cells" in told.messages[1].text and not told.messages[1].images
    assert "3 different tasks" in told.messages[1].text and '{"tasks": [' in told.messages[1].text
    assert told.schema == json_schema(3)


def test_replies_in_json_are_counted_task_by_task() -> None:
    replies = {
        0: json.dumps(row()),
        1: json.dumps([row(), row(), row(precise=""), row(instruction="Where?")]),
        2: "Sure! Here is a task.",
        3: json.dumps(row(informative=" ")),
    }
    outcomes = run(
        [pair(index) for index in range(4)],
        lambda request: replies[int(request.messages[-1].text[-1])],
        synthesizer={"mode": "prompted", "triplets_per_reply": 3},
    )
    assert [(each.id, each.reason) for each in outcomes if isinstance(each, Rejection)] == [
        ("pair-001/0#1", "duplicate_task"),
        ("pair-001/0#2", "empty_answer"),
        ("pair-002/0", "malformed_json"),
        ("pair-003/0", "empty_answer"),
    ]
    assert reasons(outcomes)["triplet"] == 3


def test_a_text_that_no_file_could_hold_is_rejected() -> None:
    outcomes = run([pair(0)], lambda _: json.dumps(row(precise="\ud800")), synthesizer={"mode": "prompted"})
    assert outcomes == [Rejection("pair-000/0", "synthesize", "bad_unicode", "What?")]
    (broken,) = run([pair(0)], lambda _: "\ud800", synthesizer={"mode": "prompted"})
    assert broken == Rejection("pair-000/0", "synthesize", "malformed_json", "?")


# --- in two steps ---------------------------------------------------------------------------------

REPEATED = {"second_question": "repeated"}


def mismatched(markers: TurnMarkers, *, precise_first: bool = True) -> Callable[[Request], str]:
    """Return a model that asks something else the second time, and answers what it is asked."""

    def answer(request: Request) -> str:
        if request.opens == "assistant":
            return f" {request.messages[-1].text.partition(chr(10))[0]} {request.sample}"
        hints = [PRECISE_HINT, INFORMATIVE_HINT][:: 1 if precise_first else -1]
        closing = markers.end_of_turn + markers.separator
        return markers.user.join(
            f"{hint}\n{question}{closing}{markers.assistant}first {request.sample}{closing}"
            for hint, question in zip(hints, ("What?", "Which?"), strict=True)
        )

    return answer


@MARKERS
@pytest.mark.parametrize("precise_first", [True, False])
def test_a_question_put_again_by_us_saves_the_task(markers: TurnMarkers, precise_first: bool) -> None:
    model = mismatched(markers, precise_first=precise_first)
    assert reasons(run([pair(0)], model, markers)) == {"question_mismatch": 1}
    outcomes = run([pair(0), pair(1)], model, markers, synthesizer=REPEATED, samples_per_pair=2, seed=5)
    assert reasons(outcomes) == {"triplet": 4}
    assert [each.reply_id for each in outcomes if isinstance(each, Triplet)] == [
        "pair-000/0", "pair-000/1", "pair-001/0", "pair-001/1",
    ]  # fmt: skip
    one = outcomes[3]
    assert isinstance(one, Triplet)
    assert one.instruction == "What?"
    both = (f"{INFORMATIVE_HINT} 1", "first 1") if precise_first else ("first 1", f"{PRECISE_HINT} 1")
    assert (one.informative, one.precise) == both


def test_the_second_request_tells_the_first_round_and_asks_again() -> None:
    requests: list[Request] = []
    model = mismatched(CHATML)

    def note(request: Request) -> str:
        requests.append(request)
        return model(request)

    run([pair(0), pair(1)], note, synthesizer=REPEATED, samples_per_pair=2, temperature=0.5, seed=9)
    assert [request.id for request in requests] == [
        "pair-000/0", "pair-000/1", "pair-001/0", "pair-001/1",
        "pair-000/0/second", "pair-000/1/second", "pair-001/0/second", "pair-001/1/second",
    ]  # fmt: skip
    first, second = requests[1], requests[5]
    assert (second.opens, second.sample, second.sampling) == ("assistant", 1, first.sampling)
    assert second.messages == (
        *first.messages,
        Message("user", f"{PRECISE_HINT}\nWhat?"),
        Message("assistant", "first 1"),
        Message("user", f"{INFORMATIVE_HINT}\nWhat?"),
    )


def test_each_reply_of_two_steps_has_one_outcome() -> None:
    def model(request: Request) -> str:
        number = int(request.messages[1].text.rpartition(" ")[2])
        if request.opens == "assistant":
            return "" if number % 4 == 1 else "second"
        return "" if number % 4 == 2 else mismatched(CHATML)(request)

    pairs = [pair(index) for index in range(40)]
    outcomes = run(pairs, model, synthesizer=REPEATED)
    assert reasons(outcomes) == {"triplet": 20, "empty_answer": 10, "empty_reply": 10}
    units = [each.reply_id if isinstance(each, Triplet) else each.id for each in outcomes]
    assert units == [f"{each.id}/0" for each in pairs]


def test_two_steps_go_on_in_groups_without_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [pair(index) for index in range(7)]
    whole = run(pairs, mismatched(CHATML), synthesizer=REPEATED, samples_per_pair=2)
    monkeypatch.setattr(stage, "_HELD", 2)
    assert run(pairs, mismatched(CHATML), synthesizer=REPEATED, samples_per_pair=2) == whole
    assert len(whole) == 14


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"second_question": "repeated", "triplets_per_reply": 2}, "one task per reply"),
        ({"second_question": "repeated", "grammar": "paper"}, "one task per reply"),
        ({"second_question": "repeated", "mode": "prompted"}, "both answers at once"),
        ({"grammar": "paper", "mode": "prompted"}, "both answers at once"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(own: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SynthesizeConfig.model_validate({"synthesizer": own})


def test_only_the_synthesizer_is_sampled() -> None:
    with pytest.raises(ValidationError, match="only the synthesizer is sampled"):
        SynthesizeConfig.model_validate({"generator": "text_teacher", "samples_per_pair": 2})


# --- resuming -------------------------------------------------------------------------------------


class KilledError(Exception):
    """What stands for the end of the process."""


@pytest.mark.parametrize("second", ["written", "repeated"])
@pytest.mark.parametrize("after", [1, 20, 57, 75])
def test_a_killed_run_asks_only_what_is_missing_and_ends_the_same(
    second: str, after: int, tmp_path: Path
) -> None:
    pairs = [pair(index) for index in range(50)]
    config = {"synthesizer": {"second_question": second}, "temperature": 1.0}
    whole = run(pairs, mismatched(CHATML), **config)
    total = 50 if second == "written" else 100
    n_asked = 0

    def counting(request: Request) -> str:
        nonlocal n_asked
        if n_asked == after:
            raise KilledError
        n_asked += 1
        return mismatched(CHATML)(request)

    if after < total:
        with pytest.raises(KilledError):
            run(pairs, counting, log=ReplyLog(tmp_path), **config)
    else:
        run(pairs, counting, log=ReplyLog(tmp_path), **config)
    kept = len(ReplyLog(tmp_path))
    assert kept == min(after, total)
    n_asked, after = 0, -1
    assert run(pairs, counting, log=ReplyLog(tmp_path), **config) == whole
    assert n_asked == total - kept


# --- the other methods ----------------------------------------------------------------------------


def teacher(request: Request) -> str:
    """Answer as a teacher would whose every fifth reply fails."""
    number = int("".join(filter(str.isdigit, request.id.partition("/")[0])))
    if number % 5 == 4:
        return ""
    if request.schema is not None:
        keys = request.schema["required"]
        return json.dumps(
            {key: f"What is {number}?" if key == "question" else f"A cell, {number}." for key in keys}
        )
    if request.id.endswith("/detail"):
        return f"A round cell stands at the left, number {number}."
    return f"Question: Where is it?\nAnswer: At the left, {number}.\n\nQuestion: Where is it?\nAnswer: There."


METHODS = ["synthesizer", "rules", "text_teacher", "vision_teacher", "caption_only"]


def outcomes_of(method: str, pairs: list[ImageCaption]) -> list[Triplet | Rejection]:
    return run(pairs, by_caption if method == "synthesizer" else teacher, generator=method)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_accounts_for_every_pair_in_order(method: str) -> None:
    pairs = [pair(index, "A red cell is at the left of two round cells.") for index in range(20)]
    pairs[6] = replace(pairs[6], caption=" ")
    outcomes = outcomes_of(method, pairs) if method != "synthesizer" else run(pairs, lambda _: "")
    ids = [each.pair_id if isinstance(each, Triplet) else each.id.partition("/")[0] for each in outcomes]
    assert list(dict.fromkeys(ids)) == [each.id for each in pairs]
    assert ids == sorted(ids)
    assert {each.generator for each in outcomes if isinstance(each, Triplet)} <= {method}
    units = [each.id for each in outcomes]
    assert len(set(units)) == len(units)
    if method not in ("synthesizer", "caption_only"):
        assert sum(isinstance(each, Triplet) for each in outcomes) >= 15
        (refused,) = [each for each in outcomes if each.id == "pair-006"]
        assert isinstance(refused, Rejection)


@pytest.mark.parametrize("method", METHODS)
def test_a_removed_pair_changes_no_outcome_of_any_method(method: str) -> None:
    pairs = [pair(index, "A red cell is at the left of two round cells.") for index in range(20)]
    kept = [each for index, each in enumerate(pairs) if index not in (0, 7)][::-1]
    before = {outcome.id: outcome for outcome in outcomes_of(method, pairs)}
    after = {outcome.id: outcome for outcome in outcomes_of(method, kept)}
    left = {each.id for each in kept}
    assert after == {
        key: outcome
        for key, outcome in before.items()
        if (outcome.pair_id if isinstance(outcome, Triplet) else key.partition("/")[0]) in left
    }


def test_a_method_that_makes_no_tasks_says_so_of_every_pair() -> None:
    outcomes = list(
        synthesize([pair(0), pair(1)], None, SynthesizeConfig(generator="caption_only"), log=None)
    )
    assert [(each.id, each.reason) for each in outcomes if isinstance(each, Rejection)] == [
        ("pair-000", "caption_only"),
        ("pair-001", "caption_only"),
    ]


def test_seed_examples_pass_through_as_tasks() -> None:
    config = SynthesizeConfig(generator="general_task")
    hollow = replace(seed_example(2), precise=" ")
    outcomes = list(synthesize([seed_example(1), hollow], None, config, log=None))
    (task, rejected) = outcomes
    assert isinstance(task, Triplet)
    assert (task.pair_id, task.instruction, task.precise) == ("seed-1", "What is it?", "cell")
    assert task.generator == "general_task"
    assert isinstance(rejected, Rejection)
    assert (rejected.id, rejected.reason) == ("seed-2", "empty_answer")
    with pytest.raises(DataError, match="cannot use pairs"):
        list(synthesize([pair(0)], None, config, log=None))


def test_seed_examples_can_be_asked_about_as_pairs_can() -> None:
    model = mismatched(CHATML)
    outcomes = list(
        synthesize([seed_example(4)], FakeEngine(model), SynthesizeConfig(synthesizer=REPEATED), log=None)
    )
    assert [each.pair_id for each in outcomes if isinstance(each, Triplet)] == ["seed-4"]


def test_a_method_that_asks_needs_an_engine() -> None:
    with pytest.raises(EngineError, match="text_teacher, which needs a model"):
        list(synthesize([pair(0)], None, SynthesizeConfig(generator="text_teacher"), log=None))


def test_a_vision_teacher_is_held_to_its_schema() -> None:
    (request,) = asked([pair(3)], "{}", generator="vision_teacher")
    assert request.schema is not None
    assert set(request.schema["required"]) == {"description", "question", "answer"}


def test_a_reply_of_which_a_method_makes_nothing_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage.text_teacher, "read", lambda *_: [])
    outcomes = run([pair(0)], lambda _: "x", generator="text_teacher")
    assert [(each.id, each.reason) for each in outcomes if isinstance(each, Rejection)] == [
        ("pair-000/conversation", "no_task"),
        ("pair-000/detail", "no_task"),
        ("pair-000/reasoning", "no_task"),
    ]


def test_a_pair_that_a_method_has_no_question_for_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage.text_teacher, "requests", lambda *_: [])
    outcomes = run([pair(0), pair(1)], lambda _: "x", generator="text_teacher")
    assert outcomes == [Rejection(f"pair-00{n}", "synthesize", "nothing_to_ask") for n in (0, 1)]


def test_tasks_of_one_answer_are_duplicates_where_question_and_answer_are_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def read(seen: ImageCaption, request: Request, reply: Reply, _config: object) -> list[Triplet]:
        answers = ("a", "b", "a")
        return [
            Triplet(f"{reply.id}{n}", seen.id, "Q?", text, "", "text_teacher", reply.id, turn=n)
            for n, text in enumerate(answers)
        ]

    monkeypatch.setattr(stage.text_teacher, "read", read)
    own = {"kinds": ["detail"]}
    outcomes = run([pair(0), pair(1)], lambda _: "x", generator="text_teacher", text_teacher=own)
    assert reasons(outcomes) == {"triplet": 4, "duplicate_task": 2}
    assert [each.id for each in outcomes if isinstance(each, Rejection)] == [
        "pair-000/detail#2",
        "pair-001/detail#2",
    ]


# --- before it runs -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"samples_per_pair": 3, "synthesizer": {"inputs": "caption_only"}},
        {"synthesizer": {"mode": "prompted"}},
        {"generator": "text_teacher"},
        {"generator": "vision_teacher"},
    ],
)
def test_what_is_planned_is_what_is_asked(config: dict[str, object]) -> None:
    pairs = [pair(0), replace(pair(1), caption=" "), pair(2)]
    plan = list(planned(pairs, SynthesizeConfig.model_validate(config)))
    assert plan == asked(pairs, **config)
    assert plan


def test_a_plan_counts_second_questions_too() -> None:
    config = SynthesizeConfig.model_validate(
        {"synthesizer": REPEATED, "samples_per_pair": 2, "max_tokens": 50}
    )
    cost = estimate_cost(planned([pair(0), pair(1), pair(2)], config))
    assert (cost.n_requests, cost.n_images, cost.reply_tokens) == (12, 12, 600)
    assert not list(planned([pair(0)], SynthesizeConfig(generator="rules")))


def test_parts_that_a_method_does_not_read_do_not_decide_its_identity() -> None:
    plain = SynthesizeConfig(generator="rules")
    other = SynthesizeConfig.model_validate(
        {
            "generator": "rules",
            "model": "x",
            "temperature": 0.7,
            "synthesizer": {"mode": "prompted"},
            "text_teacher": {"kinds": ["detail"]},
        }
    )
    assert other != plain and other.decisive() == plain.decisive()
    for change in ({"seed": 1}, {"rules": {"tasks_per_pair": 2}}):
        changed = SynthesizeConfig.model_validate({"generator": "rules"} | change)
        assert changed.decisive() != plain.decisive()
    warm = SynthesizeConfig(temperature=0.7, synthesizer={"inputs": "image_only"})
    assert warm.decisive() == warm


def test_a_synthesis_request_is_told_apart_by_pair_and_sample() -> None:
    sampling = SynthesizeConfig().sampling
    ids = {synthesis_request(pair(n), "?", sampling, sample).id for n in range(3) for sample in range(4)}
    assert len(ids) == 12
