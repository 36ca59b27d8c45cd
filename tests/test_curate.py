"""The consistency judge: its prompt, its probabilities, its verdicts."""

import math
import random
from collections.abc import Sequence

import pytest
from pydantic import ValidationError

from acclimate.curate.consistency import CHOICES, LABELS, SHORT_FORM, label, probabilities, prompt
from acclimate.curate.stage import CurateConfig, curate
from acclimate.engines.fake import FakeEngine
from acclimate.engines.protocol import ChoiceRequest
from acclimate.records import JudgedTriplet, Triplet


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
