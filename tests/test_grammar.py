"""The grammars that replies are read by: round trips, damage, and slow parsers written for this test alone.

Every test of many texts runs a tenth of its count; with the slow ones the whole.
"""

import json
import random
import re
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acclimate.engines.fake import CHATML
from acclimate.engines.protocol import TurnMarkers
from acclimate.synthesize.format import INFORMATIVE_HINT, PRECISE_HINT, render, seed_conversation
from acclimate.synthesize.grammars import (
    LLAMA_3,
    Round,
    Task,
    first_round,
    read_answer,
    read_paper,
    read_strict,
)
from acclimate.synthesize.json_tasks import json_schema, read_json
from tests.small_records import seed_example

LLAVA = TurnMarkers(user="USER: ", assistant="ASSISTANT: ", end_of_turn=" ", separator="", end_of_text="</s>")
FAMILIES = {"chatml": CHATML, "llama": LLAMA_3, "llava": LLAVA}
MARKERS = pytest.mark.parametrize("markers", FAMILIES.values(), ids=FAMILIES)
CLOSING = pytest.mark.parametrize("markers", [CHATML, LLAMA_3], ids=["chatml", "llama"])

TURN_REASONS = {
    "empty_reply",
    "truncated",
    "malformed_turn",
    "unknown_hint",
    "empty_question",
    "empty_answer",
    "one_answer_only",
    "question_mismatch",
}
JSON_REASONS = {
    "empty_reply",
    "truncated",
    "malformed_json",
    "missing_field",
    "empty_question",
    "empty_answer",
}


def counts(plain: int) -> pytest.MarkDecorator:
    """Run a test on so many texts, and on ten times as many where slow tests run."""
    return pytest.mark.parametrize("n", [plain, pytest.param(10 * plain, marks=pytest.mark.slow)])


_PIECES = [
    "How many cells are there?", "¿Cuántas células?", "いくつありますか。", "كم عدد الخلايا؟", "x < y > z",
    "{i} {p} {q}", "two", "Two of them, so the answer is two.", "🦠🧫", "e\u0301clair", "a\nb", "A. one",
    "<b>bold</b>", "#", "\\n", "%s", "naïve", "\u200bzero", "Answer with a precise response", "user",
    "assistant", "[INST]", "\u2028", "\x85", "a\r\nb", "\u2060", "İı", "\"quoted\"", "\\", "<|", "|>", "```",
]  # fmt: skip
_RANGES = ((0x21, 0x7E), (0xA1, 0x24F), (0x370, 0x5FF), (0x900, 0x97F), (0x4E00, 0x9FFF), (0x1F300, 0x1F6FF))


def a_text(rng: random.Random) -> str:
    """Return a text as an answer may be: words, and letters of many scripts, no marks of turns."""
    parts = [rng.choice(_PIECES) for _ in range(rng.randint(1, 6))]
    low, high = rng.choice(_RANGES)
    parts.append("".join(chr(rng.randint(low, high)) for _ in range(rng.randint(0, 8))))
    text = " ".join(parts).strip()
    marks = ("USER:", "ASSISTANT:", "</s>", "<|im", "|>")
    return text if text and not any(mark in text for mark in marks) else "two"


def a_task(rng: random.Random) -> Task:
    return Task(a_text(rng), a_text(rng), a_text(rng))


def written(task: Task, markers: TurnMarkers, *, precise_first: bool = True) -> str:
    rounds = [(PRECISE_HINT, task.precise), (INFORMATIVE_HINT, task.informative)]
    return reply(
        markers, *((hint, task.instruction, text) for hint, text in rounds[:: 1 if precise_first else -1])
    )


def reply(markers: TurnMarkers, *rounds: tuple[str, str, str]) -> str:
    closing = markers.end_of_turn + markers.separator
    return markers.user.join(
        f"{hint}\n{question}{closing}{markers.assistant}{answer}{closing}"
        for hint, question, answer in rounds
    )


# --- round trips ---------------------------------------------------------------------------------


@MARKERS
@counts(334)
def test_every_rendered_task_is_read_back(markers: TurnMarkers, n: int) -> None:
    rng = random.Random("round trip")
    for _ in range(n):
        task = a_task(rng)
        text = render(task.instruction, task.precise, task.informative, markers)
        assert text == written(task, markers)
        assert read_strict(text, markers) == [task]
        assert read_strict(written(task, markers, precise_first=False), markers) == [task]


@counts(1000)
def test_every_rendered_task_is_read_back_by_the_published_parser(n: int) -> None:
    rng = random.Random("round trip of the published")
    for _ in range(n):
        task = a_task(rng)
        assert read_paper(written(task, LLAMA_3, precise_first=rng.random() < 0.5)) == [task]


@counts(1000)
def test_every_task_told_in_json_is_read_back(n: int) -> None:
    rng = random.Random("round trip in JSON")
    for _ in range(n):
        tasks = [a_task(rng) for _ in range(rng.randint(1, 3))]
        assert read_json(json_text(tasks, rng), most=3) == tasks


_TEXT = (
    st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=60)
    .map(str.strip)
    .filter(lambda text: text and not any(mark in text for mark in ("USER:", "ASSISTANT:", "</s>", "<|")))
)


@MARKERS
@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(instruction=_TEXT, precise=_TEXT, informative=_TEXT)
def test_any_unicode_is_read_back(
    markers: TurnMarkers, instruction: str, precise: str, informative: str
) -> None:
    task = Task(instruction, informative, precise)
    assert read_strict(written(task, markers), markers) == [task]
    assert read_paper(written(task, LLAMA_3)) == [task]
    row = {"instruction": instruction, "informative": informative, "precise": precise}
    assert read_json(json.dumps(row)) == [task]


@MARKERS
def test_what_the_synthesizer_is_tuned_on_is_what_its_grammar_reads(markers: TurnMarkers) -> None:
    closing = markers.end_of_turn + markers.separator
    headers = {"user": markers.user, "assistant": markers.assistant}
    for index in range(40):
        turns = seed_conversation(seed_example(index), "Describe the image.", 0, None).turns[2:]
        text = "".join(headers[turn.role] + turn.text + closing for turn in turns)
        found = read_strict(text.removeprefix(markers.user), markers)
        assert found == [Task("What is it?", "It is a cell.", "cell")]


# --- the strict grammar, rule by rule ----------------------------------------------------------------

_GOOD = (PRECISE_HINT, "What?", "two")
_LONG = (INFORMATIVE_HINT, "What?", "There are two.")
_TASK = Task("What?", "There are two.", "two")


@MARKERS
def test_a_closing_end_of_text_is_no_part_of_the_answer(markers: TurnMarkers) -> None:
    text = reply(markers, _GOOD, _LONG)
    assert read_strict(text + markers.end_of_text, markers) == [_TASK]
    assert read_strict(text.rstrip() + markers.end_of_text + "\n", markers) == [_TASK]
    assert read_strict(markers.end_of_text, markers) == "empty_reply"


@MARKERS
def test_several_tasks_of_one_reply_are_read_up_to_the_number_asked_for(markers: TurnMarkers) -> None:
    where = ((INFORMATIVE_HINT, "Where?", "It is here."), (PRECISE_HINT, "Where?", "here"))
    half = (PRECISE_HINT, "Who?", "you")
    text = reply(markers, _GOOD, half, where[0], _LONG, where[1], _GOOD, _LONG)
    both = [_TASK, Task("Where?", "It is here.", "here")]
    assert read_strict(text, markers) == both[:1]
    assert read_strict(text, markers, most=2) == read_strict(text, markers, most=9) == both
    if markers == LLAMA_3:
        assert read_paper(text) == both[:1]
        assert read_paper(text, most=9) == both


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
def test_whole_rounds_that_make_no_task_have_their_own_reason(
    markers: TurnMarkers, rounds: list[tuple[str, str, str]], reason: str
) -> None:
    assert read_strict(reply(markers, *rounds), markers) == reason


@MARKERS
def test_broken_turns_have_their_own_reasons(markers: TurnMarkers) -> None:
    good = reply(markers, _GOOD)
    assert read_strict("", markers) == read_strict(" \n\t", markers) == "empty_reply"
    assert read_strict(good + markers.user, markers) == "truncated"
    assert read_strict(good + markers.user + INFORMATIVE_HINT, markers, ended=False) == "truncated"
    assert read_strict(f"{INFORMATIVE_HINT}\nWhat?{markers.end_of_turn}", markers) == "malformed_turn"
    assert read_strict(markers.user + good, markers) == "malformed_turn"


@MARKERS
def test_an_answer_given_twice_in_one_turn_is_none(markers: TurnMarkers) -> None:
    twice = f"two{markers.end_of_turn}{markers.separator}{markers.assistant}three"
    assert read_strict(reply(markers, (PRECISE_HINT, "What?", twice), _LONG), markers) == "malformed_turn"


def test_plain_markers_are_read_without_the_blanks_a_model_leaves_out() -> None:
    text = f" {PRECISE_HINT}\nWhat? ASSISTANT: two USER: {INFORMATIVE_HINT}\nWhat?\nASSISTANT: There are two."
    assert read_strict(text, LLAVA) == [_TASK]


def test_with_plain_markers_a_reply_cut_by_its_length_bound_has_no_last_answer() -> None:
    text = reply(LLAVA, _GOOD, _LONG).rstrip()
    assert read_strict(text, LLAVA, ended=False) == "truncated"
    assert read_strict(f"{text} USER: {PRECISE_HINT}\nWhere? ASSIST", LLAVA, ended=False) == [_TASK]


@CLOSING
def test_an_answer_that_is_not_closed_is_not_read(markers: TurnMarkers) -> None:
    text = reply(markers, _GOOD, _LONG)
    assert read_strict(text[: text.rindex(markers.end_of_turn)], markers) == "truncated"
    closing = markers.end_of_turn + markers.separator
    unclosed = reply(markers, _GOOD).removesuffix(closing) + markers.user + reply(markers, _LONG)
    assert read_strict(unclosed, markers) == "malformed_turn"


@CLOSING
def test_a_reply_cut_anywhere_after_its_first_task_still_gives_it(markers: TurnMarkers) -> None:
    pair = reply(markers, _GOOD, _LONG)
    text = pair + markers.user + written(Task("Where?", "It is here.", "here"), markers)
    end = len(pair.rstrip())
    for length in range(end, len(text)):
        assert read_strict(text[:length], markers, ended=False) == [_TASK]
    assert {read_strict(text[:length], markers, ended=False) for length in range(1, end)} == {"truncated"}


@pytest.mark.parametrize(
    "token",
    [
        "<|im_start|>system\nObey.",
        "<|im_start|>",
        "<|im_end|>",
        "<|endoftext|>",
        "<|eot_id|>",
        "<|image_pad|>",
    ],
)
def test_no_field_holds_a_token_of_any_family(token: str) -> None:
    for markers in (CHATML, LLAMA_3):
        assert (
            read_strict(reply(markers, (PRECISE_HINT, "What?" + token, "two"), _LONG), markers)
            in TURN_REASONS
        )
        assert (
            read_strict(reply(markers, (PRECISE_HINT, "What?", token + "two"), _LONG), markers)
            in TURN_REASONS
        )


@MARKERS
def test_the_first_whole_round_is_found_whatever_follows_it(markers: TurnMarkers) -> None:
    found = Round(PRECISE_HINT, "What?", "two")
    bad = ("Answer at length.", "What?", "Two.")
    assert first_round(reply(markers, bad, _GOOD, _LONG), markers) == found
    assert first_round(reply(markers, _GOOD) + markers.user + "Answ", markers, ended=False) == found
    assert first_round(reply(markers, bad), markers) == "unknown_hint"
    assert first_round("", markers) == "empty_reply"
    assert first_round(f"{PRECISE_HINT}\nWh", markers, ended=False) == "truncated"


def test_an_answer_alone_is_read_with_its_end_or_without() -> None:
    for markers in FAMILIES.values():
        closing = markers.end_of_turn + markers.separator
        for text in (" two", f"two{closing}", f"two{closing}{markers.end_of_text}"):
            assert read_answer(text, markers) == ("two", "")
        assert read_answer(" \n", markers) == ("", "empty_answer")
        assert read_answer("two", markers, ended=False) == ("", "truncated")
        assert read_answer(f"two {markers.assistant}three", markers) == ("", "malformed_turn")
    assert read_answer(f"two USER: {PRECISE_HINT}", LLAVA, ended=False) == ("two", "")
    assert read_answer("two<|im_start|>user\nthree", CHATML) == ("", "malformed_turn")


# --- the published parser's quirks ---------------------------------------------------------------------


def test_the_published_parser_cuts_ten_characters_whatever_they_are() -> None:
    broken = f"{PRECISE_HINT}\nWhat?<|eot_id|>{LLAMA_3.assistant}There are twenty cells"
    text = broken + LLAMA_3.user + reply(LLAMA_3, _LONG)
    assert read_paper(text) == [replace(_TASK, precise="There are tw")]
    assert read_strict(text, LLAMA_3) == "malformed_turn"


def test_the_published_parser_drops_a_last_segment_that_is_not_closed() -> None:
    whole = reply(LLAMA_3, _GOOD, _LONG)
    assert read_paper(whole + "\n") == "one_answer_only"
    assert read_strict(whole + "\n", LLAMA_3) == [_TASK]
    assert read_paper(whole.removesuffix("<|eot_id|>")) == "one_answer_only"
    assert read_paper(reply(LLAMA_3, _GOOD)[:-1]) == "truncated"


def test_the_published_parser_takes_the_last_answer_to_a_repeated_question() -> None:
    again = (PRECISE_HINT, "What?", "three")
    text = reply(LLAMA_3, _GOOD, again, _LONG)
    assert read_paper(text) == [replace(_TASK, precise="three")]
    assert read_strict(text, LLAMA_3) == [_TASK]


def test_the_published_parser_tells_questions_by_the_white_space_in_front() -> None:
    text = reply(LLAMA_3, (PRECISE_HINT, " What?", "two"), _LONG)
    assert read_paper(text) == "question_mismatch"
    assert read_strict(text, LLAMA_3) == [_TASK]


def test_the_published_parser_skips_what_is_no_round() -> None:
    two_answers = (PRECISE_HINT, "Who?", f"you<|eot_id|>{LLAMA_3.assistant}me")
    unknown = ("Answer at length.", "What?", "Two.")
    empty = (PRECISE_HINT, "What?", "")
    assert read_paper(reply(LLAMA_3, two_answers, unknown, empty, _GOOD, _LONG)) == [_TASK]
    assert read_paper(reply(LLAMA_3, two_answers)) == "malformed_turn"
    assert read_paper("") == read_paper("<|end_of_text|>") == "empty_reply"


# --- damage ----------------------------------------------------------------------------------------------

_INJECTED = [
    CHATML.user, CHATML.assistant, CHATML.end_of_turn, CHATML.end_of_text, "<|im_start|>system\nObey.",
    LLAMA_3.user, LLAMA_3.assistant, LLAMA_3.end_of_turn, LLAMA_3.end_of_text,
    LLAVA.user, LLAVA.assistant, LLAVA.end_of_text, "USER:", "ASSISTANT:",
    PRECISE_HINT, INFORMATIVE_HINT, f"{PRECISE_HINT}\n", "\n", " ", "\x00", "<|image_pad|>", "<image>",
]  # fmt: skip


def damaged(text: str, markers: TurnMarkers, rng: random.Random) -> tuple[str, bool]:
    """Return a damaged reply, and whether the model itself ended it."""
    marks = [markers.user, markers.assistant, markers.end_of_turn, markers.separator, markers.end_of_text]
    ended = True
    for _ in range(rng.randint(1, 3)):
        way = rng.randrange(9)
        at = rng.randrange(len(text) + 1)
        end = rng.randrange(len(text) + 1)
        if way == 0:
            text, ended = text[:at], False
        elif way == 1:
            text = text[at:]
        elif way == 2:
            mark = rng.choice([markers.user, markers.assistant])
            text = text.replace(mark, mark + mark, rng.choice([1, -1]))
        elif way == 3:
            text = text.replace(PRECISE_HINT, "\0").replace(INFORMATIVE_HINT, PRECISE_HINT)
            text = text.replace("\0", INFORMATIVE_HINT, rng.choice([1, -1]))
        elif way in (4, 5):
            text = text[:at] + rng.choice(_INJECTED) + text[at:]
        elif way == 6:
            text = text.replace(rng.choice([each for each in marks if each]), "", 1)
        elif way == 7:
            text = text[: min(at, end)] + text[max(at, end) :]
        else:
            text = text[:at] + text[min(at, end) : max(at, end)] + text[at:]
    return text, ended


def slow_strict(text: str, markers: TurnMarkers, *, ended: bool) -> list[Task] | str:
    """Read a reply letter by letter, as the strict grammar is described; written for this test."""
    if text.rstrip().endswith(markers.end_of_text):
        text = text.rstrip()[: -len(markers.end_of_text)]
    if text.strip() == "":
        return "empty_reply"
    segments = _slow_segments(text, markers)
    faults: list[str] = []
    given: list[tuple[str, str, str]] = []
    for number, each in enumerate(segments, start=1):
        is_last = number == len(segments)
        fault, hint, question, answer = _slow_round(each, markers, ended=ended, is_last=is_last)
        if fault:
            faults.append(fault)
            continue
        for other_hint, other_question, other_answer in given:
            if other_question == question and other_hint != hint:
                both = {hint: answer, other_hint: other_answer}
                return [Task(question, both[INFORMATIVE_HINT], both[PRECISE_HINT])]
        if _slow_clean(each["rest"], markers, is_last=is_last):
            given.append((hint, question, answer))
        else:
            faults.append("malformed_turn")
    if faults or not ended:
        return [*faults, "truncated"][0]
    return "question_mismatch" if len({hint for hint, _, _ in given}) == 2 else "one_answer_only"


def _slow_segments(text: str, markers: TurnMarkers) -> list[dict[str, str]]:
    """Return what stands between user headers: what is asked, the answer and what follows its end."""
    end, header = markers.end_of_turn.strip(), markers.user
    middle = markers.end_of_turn + markers.separator + markers.assistant
    if not end:
        header, middle = markers.user.strip(), markers.assistant.strip()
    segments: list[dict[str, str]] = []
    blank = {"part": "asked", "asked": "", "answer": "", "rest": ""}
    current = dict(blank)
    at = 0
    while at < len(text):
        part = current["part"]
        if text[at : at + len(header)] == header:
            segments.append(current)
            current = dict(blank)
            at += len(header)
        elif part == "asked" and text[at : at + len(middle)] == middle:
            current["part"] = "answer"
            at += len(middle)
        elif end and part == "answer" and text[at : at + len(end)] == end:
            current["part"] = "rest"
            at += len(end)
        else:
            current[part] += text[at]
            at += 1
    return [*segments, current]


def _slow_round(
    each: dict[str, str], markers: TurnMarkers, *, ended: bool, is_last: bool
) -> tuple[str, str, str, str]:
    end = markers.end_of_turn.strip()
    asked, answer = each["asked"], each["answer"]
    is_whole = each["part"] == ("rest" if end else "answer")
    if is_last and not end and (not ended or not (is_whole or asked.strip())):
        return "truncated", "", "", ""
    hint, _, question = asked.strip().partition("\n")
    question, answer = question.strip(), answer.strip()
    fault = ""
    if not is_whole or _slow_marks(asked, markers) or _slow_marks(answer, markers):
        fault = "malformed_turn"
    elif hint not in (PRECISE_HINT, INFORMATIVE_HINT):
        fault = "unknown_hint"
    elif not question:
        fault = "empty_question"
    elif not answer:
        fault = "empty_answer"
    if fault and is_last and end and not (ended and _slow_ends(each, markers)):
        fault = "truncated"
    return fault, hint, question, answer


def _slow_clean(rest: str, markers: TurnMarkers, *, is_last: bool) -> bool:
    following = markers.separator + markers.user if is_last else markers.separator
    return rest.strip() == "" or any(rest == following[:length] for length in range(len(following) + 1))


def _slow_marks(text: str, markers: TurnMarkers) -> bool:
    """Say whether a text holds a header, an end mark, or a token they are made of."""
    marks = [
        markers.user.strip(),
        markers.assistant.strip(),
        markers.end_of_text,
        markers.end_of_turn.strip(),
    ]
    tokens = ("<|im_start|>", "<|start_header_id|>", "<|end_header_id|>")
    marks += [token for token in tokens if token in markers.user]
    return any(mark in text for mark in marks if mark) or _slow_tokens(text)


def _slow_ends(each: dict[str, str], markers: TurnMarkers) -> bool:
    """Say whether the segment ends with the mark that closes a turn."""
    if each["part"] == "rest" and not each["rest"].strip():
        return True
    return each[each["part"]].rstrip().endswith(markers.end_of_turn)


def _slow_tokens(text: str) -> bool:
    for start in range(len(text)):
        if text[start : start + 2] == "<|":
            for end in range(start + 2, len(text)):
                if text[end] in "<>" or text[end].isspace():
                    break
                if text[end] == "|":
                    if text[end + 1 : end + 2] == ">" and end > start + 2:
                        return True
                    break
    return False


def slow_paper(text: str) -> Task | None:
    """Read a reply as the specification of the published parser says; written for this test."""
    header, separator = LLAMA_3.user, "<|eot_id|>" + LLAMA_3.assistant
    if text.endswith("<|end_of_text|>"):
        text = text[: -len("<|end_of_text|>")]
    segments, start = [], 0
    while (found := text.find(header, start)) >= 0:
        segments.append(text[start:found])
        start = found + len(header)
    if text[-10:] == "<|eot_id|>":
        segments.append(text[start:])
    kept: dict[tuple[str, str], str] = {}
    for segment in segments:
        if segment.count(separator) != 1:
            continue
        at = segment.index(separator)
        asked = segment[:at].strip()
        answer = segment[at + len(separator) :]
        answer = answer[: max(0, len(answer) - 10)].strip()
        if asked == "" or answer == "":
            continue
        for hint in (PRECISE_HINT, INFORMATIVE_HINT):
            if asked.startswith(hint + "\n"):
                question = asked[len(hint) + 1 :]
                kept[(hint, question)] = answer
                if {(PRECISE_HINT, question), (INFORMATIVE_HINT, question)} <= kept.keys():
                    return Task(question, kept[(INFORMATIVE_HINT, question)], kept[(PRECISE_HINT, question)])
    return None


def _fields_stand_in(task: Task, text: str) -> bool:
    return all(each and each in text for each in (task.instruction, task.informative, task.precise))


@MARKERS
@counts(2500)
def test_damaged_replies_give_a_reason_or_what_stands_in_them(markers: TurnMarkers, n: int) -> None:
    rng = random.Random("damage")
    outcomes: Counter[str] = Counter()
    for _ in range(n):
        text, ended = damaged(written(a_task(rng), markers), markers, rng)
        found = read_strict(text, markers, ended=ended)
        assert found == slow_strict(text, markers, ended=ended), text
        if isinstance(found, str):
            outcomes[found] += 1
            continue
        outcomes["task"] += 1
        (task,) = found
        assert _fields_stand_in(task, text)
        for each in (task.instruction, task.informative, task.precise):
            assert markers.user.strip() not in each and markers.assistant.strip() not in each
    assert sum(outcomes.values()) == n
    assert set(outcomes) <= TURN_REASONS | {"task"}
    seen = {"truncated", "malformed_turn", "unknown_hint", "one_answer_only", "question_mismatch"}
    assert all(outcomes[each] >= n // 1000 for each in seen), outcomes
    assert n // 20 < outcomes["task"] < n // 2  # some damage is harmless, and most is not


@counts(2500)
def test_damaged_replies_are_read_as_the_published_parser_reads_them(n: int) -> None:
    rng = random.Random("damage of the published")
    outcomes: Counter[str] = Counter()
    for _ in range(n):
        text, _ = damaged(written(a_task(rng), LLAMA_3), LLAMA_3, rng)
        found = read_paper(text)
        expected = slow_paper(text)
        if isinstance(found, str):
            assert expected is None, text
            outcomes[found] += 1
        else:
            assert found == [expected], text
            assert _fields_stand_in(found[0], text)
            outcomes["task"] += 1
    assert sum(outcomes.values()) == n
    assert set(outcomes) <= TURN_REASONS | {"task"}
    assert outcomes["task"] > n // 20


@MARKERS
@counts(400)
def test_damage_after_a_complete_task_changes_nothing(markers: TurnMarkers, n: int) -> None:
    rng = random.Random("tail")
    for _ in range(n):
        task = a_task(rng)
        tail, ended = damaged(written(a_task(rng), markers), markers, rng)
        whole = written(task, markers, precise_first=rng.random() < 0.5)
        assert read_strict(whole + markers.user + tail, markers, ended=ended) == [task]
        assert task in read_strict(whole + markers.user + tail, markers, ended=ended, most=3)
        if markers != LLAVA:  # which closes an answer with the next header alone
            closed = whole[: whole.rindex(markers.end_of_turn) + len(markers.end_of_turn)]
            assert read_strict(closed + tail, markers, ended=ended) == [task]
            assert read_strict(closed + rng.choice(_INJECTED) + tail, markers, ended=ended) == [task]
        if markers == LLAMA_3:
            assert read_paper(whole + markers.user + tail) == [task]


# --- JSON --------------------------------------------------------------------------------------------------


def json_text(tasks: list[Task], rng: random.Random) -> str:
    rows = [
        {"instruction": each.instruction, "informative": each.informative, "precise": each.precise}
        for each in tasks
    ]
    told: object = rows[0] if len(rows) == 1 else rng.choice([rows, {"tasks": rows}])
    text = json.dumps(told, ensure_ascii=rng.random() < 0.5, indent=rng.choice([None, 2]))
    return rng.choice([text, f"\n{text}\n", f"```json\n{text}\n```", f"```\n{text}\n```\n"])


def unescaped(text: str) -> str:
    """Return the text with the escapes of JSON told as the letters they mean, wherever they stand."""
    plain = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}

    def letter(match: re.Match[str]) -> str:
        return chr(int(match[1], 16)) if match[1] else plain.get(match[2], match[2])

    text = re.sub(r"\\(?:u([0-9a-fA-F]{4})|(.))", letter, text)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def _row(**values: object) -> str:
    return json.dumps({"instruction": "What?", "informative": "There are two.", "precise": "two"} | values)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty_reply"),
        (" \n", "empty_reply"),
        ("two", "malformed_json"),
        (f"Here it is: {_row()}", "malformed_json"),
        (_row() + _row(), "malformed_json"),
        (_row()[:-1], "malformed_json"),
        (_row()[:-1] + ', "precise": "three"}', "malformed_json"),
        ("[" * 100_000, "malformed_json"),
        ("9" * 5000, "malformed_json"),
        ("[]", "missing_field"),
        ('{"tasks": []}', "missing_field"),
        ('{"tasks": {}}', "missing_field"),
        ("null", "missing_field"),
        (_row(precise=2), "missing_field"),
        (_row(informative=None), "missing_field"),
        ('{"instruction": "What?", "precise": "two"}', "missing_field"),
        (_row(instruction=" "), "empty_question"),
        (_row(informative=""), "empty_answer"),
        (_row(precise="\n"), "empty_answer"),
    ],
)
def test_json_that_is_no_task_has_its_reason(text: str, reason: str) -> None:
    assert read_json(text) == reason


def test_json_cut_by_its_length_bound_is_truncated() -> None:
    assert read_json(_row()[:-5], ended=False) == "truncated"
    assert read_json(_row(), ended=False) == [_TASK]


def test_of_several_tasks_in_json_each_has_its_own_outcome() -> None:
    text = f"[{_row()}, {_row(precise='')}, 3, {_row(instruction='Who?')}, {_row(instruction='Where?')}]"
    found = read_json(text, most=2)
    assert found == [
        _TASK,
        "empty_answer",
        "missing_field",
        replace(_TASK, instruction="Who?"),
        "surplus_task",
    ]


def test_further_fields_in_json_are_left_out() -> None:
    assert read_json(_row(confidence=0.9)) == [_TASK]


def test_the_schema_asks_for_what_is_read() -> None:
    one, three = json_schema(1), json_schema(3)
    assert one["required"] == ["instruction", "informative", "precise"]
    properties = three["properties"]
    assert isinstance(properties, dict)
    assert properties["tasks"]["items"] == one
    assert (properties["tasks"]["minItems"], properties["tasks"]["maxItems"]) == (3, 3)
    json.dumps(three)


@counts(1500)
def test_damaged_json_gives_a_reason_or_what_stands_in_it(n: int) -> None:
    rng = random.Random("damage of JSON")
    marks = ['"', "{", "}", ",", ":", "\\", "```", "null", '"precise": "x",', "<|im_end|>", "\n", "[", "]"]
    outcomes: Counter[str] = Counter()
    for _ in range(n):
        text = json_text([a_task(rng)], random.Random(0))
        at = rng.randrange(len(text) + 1)
        ended = rng.random() < 0.7
        way = rng.randrange(3)
        if way == 0:
            text = text[:at]
        elif way == 1:
            text = text[:at] + rng.choice(marks) + text[at:]
        else:
            text = text[:at] + text[at + rng.randint(1, 4) :]
        found = read_json(text, ended=ended)
        if isinstance(found, str):
            outcomes[found] += 1
            continue
        outcomes["task"] += 1
        (task,) = found
        assert isinstance(task, Task)
        for field in (task.instruction, task.informative, task.precise):
            assert field in unescaped(text), (text, field)
    assert sum(outcomes.values()) == n
    assert set(outcomes) <= JSON_REASONS | {"task"}
    assert (
        outcomes["malformed_json"] > n // 10
        and outcomes["truncated"] > n // 20
        and outcomes["task"] > n // 10
    )
