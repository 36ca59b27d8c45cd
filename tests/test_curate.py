"""The consistency filter: the judge's prompts, its probabilities, sampled answers, the verdicts."""

import hashlib
import math
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from pydantic import ValidationError

from acclimate.curate.answer_match import gives
from acclimate.curate.consistency import CHOICES, LABELS, SHORT_FORM, label, probabilities, prompt
from acclimate.curate.long_form import LONG_FORM
from acclimate.curate.self_consistency import shares
from acclimate.curate.stage import VERSION, CurateConfig, curate
from acclimate.engines.fake import FakeEngine
from acclimate.engines.protocol import ChoiceRequest, Request
from acclimate.errors import DataError, UsageError
from acclimate.records import ImageRef, JudgedTriplet, Triplet


def _triplet(index: int, precise: str = "two") -> Triplet:
    return Triplet(
        f"t-{index:03d}",
        f"p-{index:03d}",
        f"How many? {index}",
        "There are two.",
        precise,
        "synthesizer",
        f"p-{index:03d}/0",
    )


def _judge(
    triplets: Sequence[Triplet], log_probabilities: Sequence[float], **config: object
) -> list[JudgedTriplet]:
    engine = FakeEngine(lambda _: "", lambda _: log_probabilities)
    return list(curate(triplets, engine, CurateConfig.model_validate(config), log=None))


def test_probabilities_are_those_of_the_three_choices_among_themselves() -> None:
    assert probabilities([math.log(0.2), math.log(0.1), math.log(0.1)]) == pytest.approx((0.5, 0.25, 0.25))
    far = probabilities([-5000.0, -5001.0, -9000.0])
    assert far == pytest.approx((1 / (1 + 1 / math.e), 1 / (1 + math.e), 0.0))
    rng = random.Random(0)
    for _ in range(200):
        found = probabilities([rng.uniform(-30, 0) for _ in range(3)])
        assert sum(found) == pytest.approx(1.0)
        assert all(0 <= each <= 1 for each in found)


@pytest.mark.parametrize(
    ("p", "threshold", "margin", "expected"),
    [
        ((0.6, 0.3, 0.1), 0.5, 0.0, "consistent"),
        ((0.5, 0.25, 0.25), 0.5, 0.0, "consistent"),
        ((0.49, 0.31, 0.2), 0.5, 0.0, "inconsistent"),
        ((0.49, 0.2, 0.31), 0.5, 0.0, "open"),
        ((0.55, 0.35, 0.1), 0.5, 0.25, "inconsistent"),
        ((0.55, 0.1, 0.35), 0.5, 0.25, "open"),
        ((0.6, 0.3, 0.1), 0.5, 0.25, "consistent"),
        ((0.2, 0.3, 0.5), 0.0, 0.0, "open"),
        ((0.2, 0.4, 0.4), 0.5, 0.0, "inconsistent"),
        ((0.9, 0.1, 0.0), 0.95, 0.0, "inconsistent"),
    ],
)
def test_the_verdict_follows_threshold_and_margin(
    p: tuple[float, float, float], threshold: float, margin: float, expected: str
) -> None:
    assert label(p, threshold, margin) == expected


def test_the_choices_and_the_labels_stand_in_one_order() -> None:
    assert dict(zip(CHOICES, LABELS, strict=True)) == {
        "Yes": "consistent",
        "No": "inconsistent",
        "Open": "open",
    }


def test_braces_inside_the_texts_stay_as_they_are() -> None:
    text = prompt(SHORT_FORM, "What is {precise}?", "It is {instruction} {x} {}.", "{informative}")
    assert text == (
        "Question: What is {precise}?\nInformative: It is {instruction} {x} {}.\n"
        "Precise: {informative}\nConsistent?"
    )


def test_a_form_of_ones_own_may_repeat_and_reorder_the_slots() -> None:
    form = "{precise}|{instruction}|{informative}|{precise} {other} {{"
    assert prompt(form, "q", "i", "p") == "p|q|i|p {other} {{"


def test_a_form_that_leaves_a_text_out_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"\{informative\}"):
        CurateConfig(prompt="{instruction} {precise} Consistent?")


def test_every_triplet_gets_a_verdict_and_none_is_dropped() -> None:
    triplets = [_triplet(index, precise) for index, precise in enumerate(["yes", "no", "open"] * 7)]

    def choose(request: ChoiceRequest) -> list[float]:
        word = request.messages[0].text.split("Precise: ")[1].split("\n")[0]
        return [-0.1 if choice.lower() == word else -3.0 for choice in request.choices]

    judged = list(curate(triplets, FakeEngine(lambda _: "", choose), CurateConfig(), log=None))
    assert [row.id for row in judged] == [triplet.id for triplet in triplets]
    assert [row.label for row in judged] == ["consistent", "inconsistent", "open"] * 7
    for row, triplet in zip(judged, triplets, strict=True):
        assert (row.pair_id, row.instruction) == (triplet.pair_id, triplet.instruction)
        assert (row.informative, row.precise) == (triplet.informative, triplet.precise)
        assert row.p_consistent + row.p_inconsistent + row.p_open == pytest.approx(1.0)
        assert row.generator == "synthesizer"


def test_the_three_probabilities_and_the_judge_are_written_down() -> None:
    (row,) = _judge([_triplet(0)], [math.log(0.7), math.log(0.1), math.log(0.2)])
    assert (row.p_consistent, row.p_inconsistent, row.p_open) == pytest.approx((0.7, 0.1, 0.2))
    assert row.judge == FakeEngine(lambda _: "").identity.digest


def test_the_recipe_decides_threshold_margin_and_prompt() -> None:
    close = [math.log(0.55), math.log(0.35), math.log(0.1)]
    assert _judge([_triplet(0)], close)[0].label == "consistent"
    assert _judge([_triplet(0)], close, threshold=0.6)[0].label == "inconsistent"
    assert _judge([_triplet(0)], close, margin=0.3)[0].label == "inconsistent"
    asked: list[ChoiceRequest] = []

    def choose(request: ChoiceRequest) -> list[float]:
        asked.append(request)
        return [0.0, -1.0, -1.0]

    config = CurateConfig(prompt="{precise} / {informative} / {instruction}")
    list(curate([_triplet(4)], FakeEngine(lambda _: "", choose), config, log=None))
    assert asked[0].messages[0].text == "two / There are two. / How many? 4"
    assert asked[0].choices == CHOICES
    assert asked[0].messages[0].images == ()


def test_the_forms_that_checkpoints_and_stored_verdicts_depend_on_change_only_with_the_version() -> None:
    digests = [hashlib.sha256(form.encode()).hexdigest()[:16] for form in (SHORT_FORM, LONG_FORM)]
    assert (VERSION, digests) == (2, ["69b8f9a67a833fff", "af46acecf47552be"])


def test_the_long_form_shows_six_decided_cases_in_the_papers_order_of_labels() -> None:
    *cases, last = LONG_FORM.split("\n\nQuestion: ")[1:]
    assert [case.split("\nConsistent? ")[1].split("\n")[0] for case in cases] == [
        *("No", "Open", "Yes", "Yes", "No", "Open"),
    ]
    assert all(case.count("\nInformative: ") == case.count("\nPrecise: ") == 1 for case in cases)
    assert f"Question: {last}" == SHORT_FORM
    assert not any("{" in case for case in cases)


def test_a_recipe_names_the_short_or_the_long_form() -> None:
    asked: list[str] = []

    def choose(request: ChoiceRequest) -> list[float]:
        asked.append(request.messages[0].text)
        return [0.0, -1.0, -1.0]

    for form in ("short", "long"):
        list(curate([_triplet(4)], FakeEngine(lambda _: "", choose), CurateConfig(prompt=form), log=None))
    block = "Question: How many? 4\nInformative: There are two.\nPrecise: two\nConsistent?"
    assert asked[0] == block
    assert asked[1].endswith(f"\n\n{block}")
    assert asked[1].count("Consistent? ") == 6
    with pytest.raises(ValidationError, match="`short`"):
        CurateConfig(prompt="brief")


def test_a_task_with_one_answer_is_unjudged_in_its_place_and_no_request_is_made_for_it() -> None:
    asked: list[str] = []

    def choose(request: ChoiceRequest) -> list[float]:
        asked.append(request.id)
        return [0.0, -9.0, -9.0]

    triplets = [_triplet(index, "" if index in (0, 1, 3, 6, 7) else "two") for index in range(8)]
    rows = list(curate(iter(triplets), FakeEngine(lambda _: "", choose), CurateConfig(), log=None))
    assert asked == ["t-002", "t-004", "t-005"]
    assert [row.id for row in rows] == [f"t-{index:03d}" for index in range(8)]
    assert [row.label == "consistent" for row in rows] == [
        False,
        False,
        True,
        False,
        True,
        True,
        False,
        False,
    ]
    for row in (rows[0], rows[3], rows[7]):
        assert (row.label, row.p_consistent, row.p_inconsistent, row.p_open) == ("unjudged", 0.0, 0.0, 0.0)
        assert (row.judge, row.informative) == ("", "There are two.")


def test_without_a_judge_every_triplet_is_unjudged_and_none_is_asked_about() -> None:
    conversation = replace(_triplet(1), kind="conversation", turn=3)
    config = CurateConfig(judge="none")
    rows = list(curate([_triplet(0), conversation], None, config, log=None))
    assert [(row.label, row.judge, row.p_consistent) for row in rows] == [("unjudged", "", 0.0)] * 2
    assert (rows[1].kind, rows[1].turn, rows[1].reply_id) == ("conversation", 3, "p-001/0")
    assert not config.needs_judge
    assert CurateConfig().needs_judge
    with pytest.raises(UsageError, match="no engine"):
        list(curate([_triplet(0)], None, CurateConfig(), log=None))


@pytest.mark.parametrize(
    ("reply", "answer", "expected"),
    [
        ("two", "2", True),
        ("There are two of them.", "two", True),
        ("The left lung.", "left lung", True),
        ("Two hundred lungs", "lung", False),
        ("It is not pneumonia.", "pneumonia", False),
        ("It is not pneumonia but an oedema.", "oedema", True),
        ("Yes, there is.", "Yes", True),
        ("Yes, there is no doubt.", "Yes", False),
        ("It is abnormal.", "no", False),
        ("(B) Distraction", "B", True),
        ("B", "(B)", True),
        ("A heart", "A", False),
        ("A) heart", "A", True),
        ("", "two", False),
        ("...", "...", True),
        ("", "...", False),
        ("左肺です", "左肺", True),
        ("2.5 cm", "2.5", True),
        ("12.5 cm", "2.5", False),
    ],
)
def test_a_reply_gives_an_answer_when_its_words_do(reply: str, answer: str, expected: bool) -> None:
    assert gives(reply, answer) is expected


def test_sampled_answers_agree_or_contradict_together_or_scatter() -> None:
    assert shares(["two", "2", "There are two.", "three", "four"], "two") == pytest.approx((0.6, 0.2, 0.2))
    assert shares(["three", "Three.", "3", "two"], "two") == pytest.approx((0.25, 0.75, 0.0))
    assert shares(["red", "blue", "green", "", ""], "two") == pytest.approx((0.0, 0.2, 0.8))
    assert shares(["", ""], "two") == (0.0, 0.0, 1.0)


_PICTURE = ImageRef("a" * 64, 8, 8, "image/png")


def test_self_consistency_answers_each_task_k_times_from_its_picture() -> None:
    replies = {
        "t-000": ["two", "2", "two of them", "three", "four"],
        "t-002": ["nine", "nine", "9", "two", "two"],
        "t-003": ["red", "blue", "", "a dog", "two"],
    }
    asked: list[Request] = []

    def reply(request: Request) -> str:
        asked.append(request)
        return replies[request.id.split("/")[0]][request.sample]

    engine = FakeEngine(reply)
    config = CurateConfig.model_validate(
        {
            "method": "self_consistency",
            "self_consistency": {"k": 5, "prompt": "{instruction} Be brief.", "temperature": 0.5, "seed": 4},
        }
    )
    triplets = [_triplet(0), _triplet(1, ""), _triplet(2), _triplet(3), _triplet(4, "")]
    images = {triplet.pair_id: _PICTURE for triplet in triplets}
    rows = list(curate(triplets, engine, config, log=None, images=images))
    assert [row.label for row in rows] == ["consistent", "unjudged", "inconsistent", "open", "unjudged"]
    assert (rows[0].p_consistent, rows[0].p_inconsistent, rows[0].p_open) == pytest.approx((0.6, 0.2, 0.2))
    assert (rows[2].p_consistent, rows[2].p_inconsistent, rows[2].p_open) == pytest.approx((0.4, 0.6, 0.0))
    assert rows[0].judge == engine.identity.digest
    assert [request.id for request in asked[:6]] == [f"t-000/{n}" for n in range(5)] + ["t-002/0"]
    assert len(asked) == 15
    message = asked[0].messages[0]
    assert (message.text, message.images) == ("How many? 0 Be brief.", (_PICTURE,))
    assert (asked[0].sampling.temperature, asked[0].sampling.seed) == (0.5, 4)
    assert [request.sample for request in asked[:5]] == [0, 1, 2, 3, 4]


def test_self_consistency_says_what_it_lacks() -> None:
    config = CurateConfig(method="self_consistency")
    assert config.needs_images
    assert not CurateConfig(method="self_consistency", judge="none").needs_images
    engine = FakeEngine(lambda _: "two")
    with pytest.raises(UsageError, match="pictures"):
        list(curate([_triplet(0)], engine, config, log=None))
    with pytest.raises(DataError, match="p-000"):
        list(curate([_triplet(0)], engine, config, log=None, images={}))
    with pytest.raises(ValidationError, match="instruction"):
        CurateConfig.model_validate({"self_consistency": {"prompt": "What?"}})


def test_removing_one_triplet_changes_no_other_verdict() -> None:
    def choose(request: ChoiceRequest) -> list[float]:
        rng = random.Random(request.messages[0].text)
        return [rng.uniform(-3, 0) for _ in request.choices]

    def reply(request: Request) -> str:
        return random.Random(f"{request.id}{request.sample}").choice(["two", "three", "four"])

    triplets = [_triplet(index, "" if index % 4 == 0 else "two") for index in range(12)]
    images = {triplet.pair_id: _PICTURE for triplet in triplets}
    for method in ("prompt", "self_consistency"):
        config = CurateConfig.model_validate({"method": method})
        engine = FakeEngine(reply, choose)
        whole = list(curate(triplets, engine, config, log=None, images=images))
        rest = list(curate(triplets[:5] + triplets[6:], engine, config, log=None, images=images))
        assert rest == whole[:5] + whole[6:]
        assert len({row.label for row in whole}) >= 3
