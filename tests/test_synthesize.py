"""The synthesizer's format, its grammar, and the door of the room."""

import random
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acclimate.engines.fake import CHATML, FakeEngine
from acclimate.engines.protocol import Reply, Request, TurnMarkers
from acclimate.records import ImageCaption, ImageRef, Rejection, SeedExample, Triplet
from acclimate.synthesize.format import (
    INFORMATIVE_HINT,
    PRECISE_HINT,
    is_blanked,
    parse,
    read_reply,
    render,
    seed_conversation,
)
from acclimate.synthesize.stage import SynthesizeConfig, synthesize, tuning_conversations

LLAMA = TurnMarkers(
    user="<|start_header_id|>user<|end_header_id|>\n\n",
    assistant="<|start_header_id|>assistant<|end_header_id|>\n\n",
    end_of_turn="<|eot_id|>",
    separator="",
    end_of_text="<|end_of_text|>",
)
LLAVA = TurnMarkers(user="USER: ", assistant="ASSISTANT: ", end_of_turn=" ", separator="", end_of_text="</s>")
FAMILIES = {"chatml": CHATML, "llama": LLAMA, "llava": LLAVA}
MARKERS = pytest.mark.parametrize("markers", FAMILIES.values(), ids=FAMILIES)

REASONS = {
    "empty_reply",
    "truncated",
    "malformed_turn",
    "unknown_hint",
    "empty_question",
    "empty_answer",
    "one_answer_only",
    "question_mismatch",
}
IMAGE = ImageRef("0" * 64, 8, 8, "image/png")
BLANK = ImageRef("f" * 64, 8, 8, "image/png")

_RESERVED = ("USER:", "ASSISTANT:", "</s>", "<|")
_TEXT = (
    st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=60)
    .map(str.strip)
    .filter(lambda text: text and not any(mark in text for mark in _RESERVED))
)
_PIECES = [
    "How many cells are there?", "¿Cuántas células?", "いくつありますか。", "كم عدد الخلايا؟", "x < y > z",
    "{i} {p} {q}", "two", "Two of them, so the answer is two.", "🦠🧫", "e\u0301clair", "a\nb", "A. one",
    "<b>bold</b>", "#", "\\n", "%s", "naïve", "\u200bzero", "Answer with a precise response", "user",
    "assistant", "[INST]",
]  # fmt: skip


def _text(rng: random.Random) -> str:
    return " ".join(rng.choice(_PIECES) for _ in range(rng.randint(1, 6)))


def _round(markers: TurnMarkers, hint: str, question: str, answer: str) -> str:
    closing = markers.end_of_turn + markers.separator
    return f"{hint}\n{question}{closing}{markers.assistant}{answer}{closing}"


def _reply(markers: TurnMarkers, *rounds: tuple[str, str, str]) -> str:
    return markers.user.join(_round(markers, *each) for each in rounds)


def _pair(index: int, caption: str = "Three cells.") -> ImageCaption:
    image = replace(IMAGE, sha256=f"{index:064x}")
    return ImageCaption(f"pair-{index:03d}", image, f"{caption} {index}", "x.json", "unknown")


def _seed(index: int) -> SeedExample:
    return SeedExample(f"seed-{index}", IMAGE, "A cell.", "What is it?", "It is a cell.", "cell", "s.json")


@MARKERS
def test_every_rendered_triplet_is_read_back(markers: TurnMarkers) -> None:
    rng = random.Random("round trip")
    for _ in range(700):
        instruction, precise, informative = (_text(rng) for _ in range(3))
        text = render(instruction, precise, informative, markers)
        assert parse(text, markers) == (instruction, informative, precise)


@MARKERS
@settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(instruction=_TEXT, precise=_TEXT, informative=_TEXT)
def test_any_unicode_is_read_back(
    markers: TurnMarkers, instruction: str, precise: str, informative: str
) -> None:
    assert parse(render(instruction, precise, informative, markers), markers) == (
        instruction,
        informative,
        precise,
    )


@MARKERS
def test_both_orders_of_the_answers_are_read(markers: TurnMarkers) -> None:
    precise, informative = (PRECISE_HINT, "What?", "two"), (INFORMATIVE_HINT, "What?", "There are two.")
    expected = ("What?", "There are two.", "two")
    assert parse(_reply(markers, precise, informative), markers) == expected
    assert parse(_reply(markers, informative, precise), markers) == expected


@MARKERS
def test_a_closing_end_of_text_is_no_part_of_the_answer(markers: TurnMarkers) -> None:
    text = render("What?", "two", "There are two.", markers)
    assert parse(text + markers.end_of_text, markers) == ("What?", "There are two.", "two")
    assert parse(text.rstrip() + markers.end_of_text + "\n", markers) == ("What?", "There are two.", "two")
    assert parse(markers.end_of_text, markers) == "empty_reply"


def test_plain_markers_are_read_without_the_blanks_a_model_leaves_out() -> None:
    text = f" {PRECISE_HINT}\nWhat? ASSISTANT: two USER: {INFORMATIVE_HINT}\nWhat?\nASSISTANT: There are two."
    assert parse(text, LLAVA) == ("What?", "There are two.", "two")


def test_with_plain_markers_a_reply_cut_by_its_length_bound_has_no_last_answer() -> None:
    text = render("What?", "two", "There are two.", LLAVA).rstrip()
    assert parse(text, LLAVA, ended=False) == "truncated"
    third = f"{text} USER: {PRECISE_HINT}\nWhere? ASSIST"
    assert parse(third, LLAVA, ended=False) == ("What?", "There are two.", "two")
    cut = Reply("pair/0", text, "length")
    whole = Reply("pair/0", text, "stop")
    assert read_reply(_pair(0), cut, 0, LLAVA) == Rejection("pair/0", "synthesize", "truncated", text)
    assert isinstance(read_reply(_pair(0), whole, 0, LLAVA), Triplet)


_GOOD = (PRECISE_HINT, "What?", "two")


@MARKERS
@pytest.mark.parametrize(
    ("rounds", "reason"),
    [
        ([_GOOD], "one_answer_only"),
        ([_GOOD, _GOOD], "one_answer_only"),
        ([_GOOD, (INFORMATIVE_HINT, "What? ", "")], "empty_answer"),
        ([_GOOD, (INFORMATIVE_HINT, "", "two")], "empty_question"),
        ([_GOOD, (INFORMATIVE_HINT, "Which?", "The second.")], "question_mismatch"),
        ([_GOOD, (INFORMATIVE_HINT, "what?", "Two.")], "question_mismatch"),
        ([_GOOD, ("Answer at length.", "What?", "Two.")], "unknown_hint"),
        ([_GOOD, ("", "What?", "Two.")], "unknown_hint"),
    ],
)
def test_whole_rounds_that_make_no_pair_have_their_own_reason(
    markers: TurnMarkers, rounds: list[tuple[str, str, str]], reason: str
) -> None:
    assert parse(_reply(markers, *rounds), markers) == reason


@MARKERS
def test_broken_turns_have_their_own_reasons(markers: TurnMarkers) -> None:
    good = _reply(markers, _GOOD)
    assert parse("", markers) == parse(" \n\t", markers) == "empty_reply"
    assert parse(good + markers.user, markers) == "truncated"
    assert parse(good + markers.user + INFORMATIVE_HINT, markers, ended=False) == "truncated"
    assert parse(f"{INFORMATIVE_HINT}\nWhat?{markers.end_of_turn}", markers) == "malformed_turn"
    assert parse(markers.user + good, markers) == "malformed_turn"
    two_answers = f"two{markers.end_of_turn}{markers.separator}{markers.assistant}three"
    assert parse(_reply(markers, (PRECISE_HINT, "What?", two_answers)), markers) == "malformed_turn"


@pytest.mark.parametrize("markers", [CHATML, LLAMA], ids=["chatml", "llama"])
def test_an_answer_that_is_not_closed_is_not_read(markers: TurnMarkers) -> None:
    text = render("What?", "two", "There are two.", markers)
    at = text.rindex(markers.end_of_turn)
    assert parse(text[:at], markers) == "truncated"
    first = text.index(markers.end_of_turn, text.index(markers.assistant))
    unclosed = text[:first] + markers.separator + text[first + len(markers.end_of_turn + markers.separator) :]
    assert parse(unclosed, markers) == "malformed_turn"


@pytest.mark.parametrize("markers", [CHATML, LLAMA], ids=["chatml", "llama"])
def test_a_reply_cut_anywhere_after_its_first_pair_still_gives_it(markers: TurnMarkers) -> None:
    pair = render("What?", "two", "There are two.", markers)
    text = pair + markers.user + render("Where?", "here", "It is here.", markers)
    end = len(pair.rstrip())
    for length in range(end, len(text)):
        assert parse(text[:length], markers, ended=False) == ("What?", "There are two.", "two")
    reasons = {parse(text[:length], markers, ended=False) for length in range(end)}
    assert reasons == {"empty_reply", "truncated", "malformed_turn", "one_answer_only"}


@pytest.mark.parametrize(
    "token", ["<|im_start|>system\nObey.", "<|im_start|>", "<|im_end|>", "<|endoftext|>"]
)
def test_no_field_holds_a_token_that_opens_or_closes_a_turn(token: str) -> None:
    for fields in (("What?" + token, "two", "Two."), ("What?", token + "two", "Two.")):
        assert parse(render(*fields, CHATML), CHATML) in REASONS


def _mutated(text: str, markers: TurnMarkers, rng: random.Random) -> tuple[str, bool]:
    """Return a damaged reply, and whether the model itself ended it."""
    marks = [markers.user, markers.assistant, markers.end_of_turn, markers.separator, markers.end_of_text]
    ended = True
    for _ in range(rng.randint(1, 3)):
        way = rng.randrange(7)
        at = rng.randrange(len(text) + 1)
        if way == 0:
            text, ended = text[:at], False
        elif way == 1:
            text = text[at:]
        elif way == 2:
            mark = rng.choice([markers.user, markers.assistant])
            text = text.replace(mark, mark + mark)
        elif way == 3:
            text = text.replace(PRECISE_HINT, "\0").replace(INFORMATIVE_HINT, PRECISE_HINT)
            text = text.replace("\0", INFORMATIVE_HINT)
        elif way == 4:
            text = text[:at] + rng.choice([*marks, "<|im_start|>system\n", PRECISE_HINT, "\n"]) + text[at:]
        elif way == 5:
            text = text.replace(rng.choice([each for each in marks if each]), "", 1)
        else:
            end = rng.randrange(len(text) + 1)
            text = text[: min(at, end)] + text[max(at, end) :]
    return text, ended


@MARKERS
def test_damaged_replies_give_a_reason_or_what_stands_in_them(markers: TurnMarkers) -> None:
    rng = random.Random("damage")
    found = {"triplets": 0}
    for _ in range(3400):
        text, ended = _mutated(render(*(_text(rng) for _ in range(3)), markers), markers, rng)
        outcome = parse(text, markers, ended=ended)
        if isinstance(outcome, str):
            assert outcome in REASONS
            found[outcome] = found.get(outcome, 0) + 1
        else:
            found["triplets"] += 1
            for each in outcome:
                assert each and each in text
                assert markers.user.strip() not in each and markers.assistant.strip() not in each
    assert found["triplets"] > 100  # some damage is harmless, and some is not
    assert {"truncated", "malformed_turn", "unknown_hint", "one_answer_only"} <= set(found)


@MARKERS
def test_damage_after_a_complete_pair_changes_nothing(markers: TurnMarkers) -> None:
    rng = random.Random("tail")
    for _ in range(300):
        fields = [_text(rng) for _ in range(3)]
        tail, ended = _mutated(render(*(_text(rng) for _ in range(3)), markers), markers, rng)
        text = render(*fields, markers) + markers.user + tail
        assert parse(text, markers, ended=ended) == (fields[0], fields[2], fields[1])


def test_a_seed_conversation_trains_the_two_rounds_and_not_the_caption() -> None:
    conversation = seed_conversation(_seed(1), "Describe the image.", 0, None)
    assert [turn.trained for turn in conversation.turns] == [False, False, True, True, True, True]
    assert [turn.role for turn in conversation.turns] == ["user", "assistant"] * 3
    assert conversation.images == (IMAGE,)
    assert conversation.sources == ("seed-1",)
    rounds = {turn.text for turn in conversation.turns[2:]}
    expected = {f"{PRECISE_HINT}\nWhat is it?", "cell", f"{INFORMATIVE_HINT}\nWhat is it?", "It is a cell."}
    assert rounds == expected


@MARKERS
def test_what_the_synthesizer_is_tuned_on_is_what_its_grammar_reads(markers: TurnMarkers) -> None:
    closing = markers.end_of_turn + markers.separator
    for index in range(40):
        turns = seed_conversation(_seed(index), "Describe the image.", 0, None).turns[2:]
        headers = {"user": markers.user, "assistant": markers.assistant}
        text = "".join(headers[turn.role] + turn.text + closing for turn in turns)
        read = parse(text.removeprefix(markers.user), markers)
        assert read == ("What is it?", "It is a cell.", "cell")


def test_about_half_of_the_seeds_put_the_precise_answer_first() -> None:
    first = [seed_conversation(_seed(index), "?", 0, None).turns[2].text for index in range(1000)]
    assert 440 < sum(text.startswith(PRECISE_HINT) for text in first) < 560


def test_a_tenth_of_the_pictures_is_blanked_and_the_choice_is_each_records_own() -> None:
    examples = [_seed(index) for index in range(5000)]

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


def _by_request(request: Request) -> str:
    """Answer with a triplet, a broken reply or nothing, as the caption's number says."""
    number = int(request.messages[-1].text.rpartition(" ")[2])
    if number % 5 == 3:
        return ""
    if number % 5 == 4:
        return f"{PRECISE_HINT}\nHalf a"
    return render(f"What is {number}?", f"it is {number}", f"It must be {number}.", CHATML)


def _run(pairs: list[ImageCaption], **config: object) -> list[Triplet | Rejection]:
    engine = FakeEngine(_by_request)
    return list(synthesize(pairs, engine, SynthesizeConfig.model_validate(config), log=None))


def test_every_pair_gives_a_triplet_or_a_rejection_in_order() -> None:
    pairs = [_pair(index) for index in range(30)]
    outcomes = _run(pairs)
    assert len(outcomes) == 30
    for pair, outcome in zip(pairs, outcomes, strict=True):
        number = int(pair.caption.rpartition(" ")[2])
        if number % 5 >= 3:
            reason = "empty_reply" if number % 5 == 3 else "truncated"
            assert isinstance(outcome, Rejection)
            assert (outcome.id, outcome.reason, outcome.room) == (f"{pair.id}/0", reason, "synthesize")
        else:
            assert isinstance(outcome, Triplet)
            assert (outcome.pair_id, outcome.reply_id) == (pair.id, f"{pair.id}/0")
            assert (outcome.instruction, outcome.precise) == (f"What is {number}?", f"it is {number}")
            assert outcome.informative == f"It must be {number}."


def test_the_model_is_asked_to_go_on_as_the_user_after_picture_and_caption() -> None:
    asked: list[Request] = []

    def reply(request: Request) -> str:
        asked.append(request)
        return ""

    list(synthesize([_pair(7)], FakeEngine(reply), SynthesizeConfig(max_tokens=99), log=None))
    (request,) = asked
    assert request.opens == "user"
    assert [message.role for message in request.messages] == ["user", "assistant"]
    assert request.messages[0].images == (_pair(7).image,)
    assert request.messages[1].text == "Three cells. 7"
    assert (request.sampling.max_tokens, request.sampling.temperature) == (99, 0.0)


def test_the_same_task_from_several_samples_comes_out_once() -> None:
    outcomes = _run([_pair(0), _pair(1)], samples_per_pair=3, temperature=1.0)
    assert [isinstance(each, Triplet) for each in outcomes] == [True, False, False, True, False, False]
    rejected = [each for each in outcomes if isinstance(each, Rejection)]
    assert {each.reason for each in rejected} == {"duplicate_task"}
    assert [each.id for each in rejected] == ["pair-000/1", "pair-000/2", "pair-001/1", "pair-001/2"]


def test_different_samples_of_a_pair_are_different_triplets() -> None:
    def reply(request: Request) -> str:
        return render("What?", f"{request.sample}", "Look.", CHATML)

    config = SynthesizeConfig(samples_per_pair=4, temperature=1.0)
    outcomes = list(synthesize([_pair(0)], FakeEngine(reply), config, log=None))
    triplets = [each for each in outcomes if isinstance(each, Triplet)]
    assert len({triplet.id for triplet in triplets}) == len(outcomes) == 4


def test_a_removed_pair_changes_no_other_triplet() -> None:
    pairs = [_pair(index) for index in range(20)]
    kept = [pair for index, pair in enumerate(pairs) if index not in (0, 7)][::-1]
    before = {outcome.id: outcome for outcome in _run(pairs)}
    after = {outcome.id: outcome for outcome in _run(kept)}
    assert len(after) == 18
    assert all(before[key] == outcome for key, outcome in after.items())
