"""Claims written before a run are judged by the interval alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from acclimate.records import Measurement
from acclimate.report.stage import ReportConfig
from acclimate.report.tested import Claim, judge, judged


def measured(low: float, high: float, *, method: str = "cluster_bootstrap", key: str = "k") -> Measurement:
    return Measurement(key, (low + high) / 2, low, high, n=10, n_clusters=5, coverage=1.0, method=method)


def claim(direction: str = "higher", margin: float = 0.0, key: str = "k") -> Claim:
    return Claim(id=f"c-{direction}", sentence="It is so.", measure=key, direction=direction, margin=margin)


@pytest.mark.parametrize(
    ("direction", "margin", "low", "high", "expected"),
    [
        ("higher", 0.0, 0.01, 0.20, "supported"),
        ("higher", 0.0, 0.0, 0.20, "open"),  # more than 0 is claimed, and 0 is not ruled out
        ("higher", 0.0, -0.20, 0.0, "refuted"),
        ("higher", 0.0, -0.20, -0.01, "refuted"),
        ("higher", 0.05, 0.01, 0.20, "open"),
        ("higher", 0.05, 0.06, 0.20, "supported"),
        ("higher", 0.05, 0.01, 0.04, "refuted"),  # higher, but not by the margin
        ("lower", 0.0, -0.20, -0.01, "supported"),
        ("lower", 0.05, -0.20, -0.04, "open"),
        ("lower", 0.05, -0.04, 0.30, "refuted"),
        ("not_lower", 0.02, -0.01, 0.30, "supported"),
        ("not_lower", 0.02, -0.02, 0.30, "open"),
        ("not_lower", 0.02, -0.30, -0.02, "refuted"),
        ("not_higher", 0.02, -0.30, 0.01, "supported"),
        ("not_higher", 0.02, 0.02, 0.30, "refuted"),
        ("within", 0.05, -0.05, 0.05, "supported"),
        ("within", 0.05, -0.06, 0.05, "open"),
        ("within", 0.05, 0.06, 0.10, "refuted"),
        ("within", 0.05, -0.10, -0.06, "refuted"),
    ],
)
def test_the_interval_beside_the_margin_decides(
    direction: str, margin: float, low: float, high: float, expected: str
) -> None:
    assert judge(claim(direction, margin), measured(low, high), "before").standing == expected


bounds = st.tuples(st.floats(-1, 1), st.floats(-1, 1)).map(sorted)


@given(bounds, st.floats(0, 0.5))
def test_lower_is_higher_seen_in_a_mirror(ends: list[float], margin: float) -> None:
    low, high = ends
    higher = judge(claim("higher", margin), measured(low, high), "before").standing
    assert judge(claim("lower", margin), measured(-high, -low), "before").standing == higher


@given(bounds, st.floats(0, 0.5))
def test_no_two_opposite_claims_are_both_supported(ends: list[float], margin: float) -> None:
    found = measured(*ends)
    standings = [
        judge(claim(each, margin), found, "before").standing for each in ("higher", "lower", "within")
    ]
    assert standings.count("supported") <= 1


def test_what_was_not_measured_and_what_has_no_interval_is_open_and_says_why() -> None:
    missing = judge(claim(key="macro/adapted-base/original"), None, "before")
    assert (missing.standing, missing.measurement) == ("open", None)
    assert "macro/adapted-base/original" in missing.reason
    alone = judge(claim(), measured(0.9, 1.0, method="one_cluster"), "before")
    assert alone.standing == "open"
    assert "no interval" in alone.reason


def test_the_reason_names_interval_and_bar_in_points() -> None:
    reason = judge(claim("higher", 0.02), measured(0.01, 0.05), "before").reason
    assert reason == "+3.0 points, 95 % interval +1.0 to +5.0; claimed: more than +2.0."


def test_claims_keep_their_order_and_say_when_they_were_written() -> None:
    first, second = claim("higher"), claim("lower")
    found = judged([first, second], [measured(0.1, 0.2)], {first.id})
    assert [(each.claim.id, each.written) for each in found] == [(first.id, "before"), (second.id, "after")]


@pytest.mark.parametrize("margin", [-0.1, float("nan"), float("inf")])
def test_a_margin_is_a_finite_number_of_at_least_0(margin: float) -> None:
    with pytest.raises(ValidationError, match="margin"):
        claim(margin=margin)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"title": "Comparison of models for"}, "cut off"),
        ({"title": "A verified report"}, "only the gate"),
        ({"question": "Is it verified?"}, "only the gate"),
        ({"claims": [{"id": "a", "sentence": "It was verified.", "measure": "k"}]}, "only the gate"),
        ({"claims": [{"id": "a", "sentence": "It gains with", "measure": "k"}]}, "cut off"),
        ({"claims": [{"id": "a", "sentence": "It gains.", "measure": "k"}] * 2}, "twice"),
        ({"measures": []}, "measures"),
    ],
)
def test_what_no_record_may_hold_is_refused_before_the_run(values: dict[str, object], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        ReportConfig.model_validate(values)
    assert ReportConfig().claims == ()
