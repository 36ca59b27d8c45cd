"""The support score: its labelled pairs, its fit, and how good its probabilities are."""

import json
from collections import Counter
from pathlib import Path

import pytest

from acclimate.errors import DataError
from acclimate.grounding.calibration import auc, quality, wilson
from acclimate.grounding.fit import N_FOLDS, fit, main
from acclimate.grounding.model import WEIGHTS, logistic, rarity_of, shipped
from acclimate.grounding.pairs import folds, grouped, read_pairs

PAIRS = Path(__file__).with_name("grounding_pairs.jsonl")
UNSEEN = Path(__file__).with_name("grounding_pairs_unseen.jsonl")


@pytest.fixture(scope="module")
def pairs():
    return read_pairs(PAIRS)


def test_the_pairs_are_many_and_of_all_kinds(pairs):
    labels = Counter(pair.label for pair in pairs)
    assert len(pairs) >= 80
    assert min(labels.values()) >= 0.15 * len(pairs)
    assert 0.25 <= labels["supports"] / len(pairs) <= 0.75
    assert {"own:radiology", "own:cooking", "own:factory"} <= {pair.source for pair in pairs}


def test_fitting_again_gives_the_shipped_weights(pairs):
    stored = json.loads(WEIGHTS.read_text(encoding="utf-8"))
    again = json.loads(json.dumps(fit(pairs).to_json()))
    assert again["weights"] == pytest.approx(stored["weights"], abs=2e-4)
    assert again["intercept"] == pytest.approx(stored["intercept"], abs=2e-4)
    assert again["threshold"] == stored["threshold"]
    assert again["rarity"] == stored["rarity"]
    assert again["fit"]["conflicts"] == stored["fit"]["conflicts"]
    assert again["fit"]["cross_validated"]["brier"] == pytest.approx(
        stored["fit"]["cross_validated"]["brier"], abs=1e-3
    )


def test_unseen_folds_are_predicted_better_than_by_the_base_rate():
    found = shipped().fit["cross_validated"]
    assert found["brier"] < 0.6 * found["brier_base"]
    assert found["log_loss"] < 0.7 * found["log_loss_base"]
    assert found["auc"] > 0.85
    assert all(each["observed_low"] - 0.1 <= each["mean_predicted"] <= each["observed_high"] + 0.1
               for each in found["bins"])  # fmt: skip


def test_pairs_written_after_the_rules_were_fixed_are_predicted_better_than_by_the_base_rate(pairs):
    known = {text for pair in pairs for text in (pair.claim, pair.passage)}
    fresh = read_pairs(UNSEEN)
    assert not known & {text for pair in fresh for text in (pair.claim, pair.passage)}
    compared = [shipped().compare(pair.claim_read(), pair.passage_read()) for pair in fresh]
    found = quality([score for score, _ in compared], [pair.label == "supports" for pair in fresh])
    assert found.brier < found.brier_base
    assert found.auc > 0.75


def test_pairs_that_share_a_claim_or_a_passage_stay_in_one_fold(pairs):
    fold_of = folds(pairs, N_FOLDS)
    for field in ("claim", "passage"):
        seen: dict[str, int] = {}
        for pair, fold in zip(pairs, fold_of, strict=True):
            assert seen.setdefault(getattr(pair, field), fold) == fold
    assert set(fold_of) == set(range(N_FOLDS))


def test_groups_join_over_a_third_pair(pairs):
    base = pairs[0]
    trio = [
        base.model_copy(update={"claim": "a", "passage": "p"}),
        base.model_copy(update={"claim": "b", "passage": "q"}),
        base.model_copy(update={"claim": "b", "passage": "p"}),
        base.model_copy(update={"claim": "c", "passage": "r"}),
    ]
    groups = [pair.group for pair in grouped(trio)]
    assert groups[0] == groups[1] == groups[2] != groups[3]


def test_quality_of_predictions_by_hand():
    found = quality([0.8, 0.4, 0.2, 0.6], [True, True, False, False])
    assert found.brier == pytest.approx((0.04 + 0.36 + 0.04 + 0.36) / 4)
    assert found.brier_base == pytest.approx(0.25)
    assert found.auc == pytest.approx(0.75)
    assert [each.n for each in found.bins] == [1, 1, 1, 1]
    assert auc([0.5, 0.5], [True, False]) == 0.5


def test_wilson_interval_of_eight_in_ten():
    low, high = wilson(0.8, 10)  # 0.4901 to 0.9433 by hand
    assert (low, high) == (pytest.approx(0.4902, abs=1e-3), pytest.approx(0.9433, abs=1e-3))


def test_logistic_is_safe_far_out():
    assert logistic(0.0) == 0.5
    assert logistic(-1000.0) == 0.0
    assert logistic(1000.0) == 1.0


def test_frequent_stems_weigh_less():
    texts = [frozenset({"model", f"word{number}"}) for number in range(8)]
    assert rarity_of(texts) == {"model": 0.05}
    assert rarity_of([*texts, *(frozenset({"x"}) for _ in range(8))])["model"] == pytest.approx(0.25)


def test_a_line_that_is_no_pair_is_named(tmp_path):
    file = tmp_path / "pairs.jsonl"
    file.write_text('{"claim": "a", "passage": "b", "label": "perhaps", "source": "x"}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"pairs\.jsonl, line 1"):
        read_pairs(file)


def test_the_script_says_what_is_wrong_with_too_few_pairs(tmp_path, capsys):
    file = tmp_path / "pairs.jsonl"
    row = {"claim": "a b", "passage": "a b", "label": "supports", "source": "x"}
    file.write_text(json.dumps(row) + "\n", encoding="utf-8")
    assert main([str(file)]) == 1
    assert "label at least 60" in capsys.readouterr().err


def test_the_script_prints_the_reliability_table(capsys):
    assert main([str(PAIRS), "--check", str(UNSEEN)]) == 0
    told = capsys.readouterr().out
    assert "| predicted | pairs | mean predicted | observed | 95 % interval |" in told
    assert "Brier score" in told
    assert "always the base rate" in told
    assert f"{len(read_pairs(UNSEEN))} other pairs: Brier score" in told
