"""Forged predictions whose scores follow from them are found by asking the models again."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from acclimate.artifacts import RECORD
from acclimate.engines.spec import EngineExecution
from acclimate.evaluate.stage import score
from acclimate.files import read_json, read_records, sha256_file, write_json, write_records
from acclimate.pipeline import Line, steps_of
from acclimate.recipe import load_recipe
from acclimate.records import Item, Prediction, Score
from acclimate.verify.findings import Finding
from acclimate.verify.integrity import artifact_findings
from acclimate.verify.regenerated import reply_findings, sample_of
from acclimate.verify.rescored import score_findings
from tests.small_lines import fake_engine, write_line

STEP = "evaluate-base"


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    found = Line(load_recipe(write_line(tmp_path)), tmp_path, substitute=fake_engine)
    found.build([STEP])
    yield found


def asked_again(line: Line, n: int | None = None) -> list[Finding]:
    homes = steps_of(line.root)
    items = list(read_records(homes["items"] / "items.parquet", Item))
    role, model = line.scored[STEP]
    return list(
        reply_findings(
            homes,
            STEP,
            role,
            model,
            line.place,
            config=line.recipe.evaluate,
            execution=EngineExecution(),
            only=sample_of(items, n, seed=0),
        )
    )


def forge(line: Line, at: int, text: str) -> Prediction:
    """Replace one reply, and make scores and hashes follow from it; return the true one."""
    homes = steps_of(line.root)
    home = homes[STEP]
    answers = list(read_records(home / "predictions.parquet", Prediction))
    forged = [replace(each, text=text) if place == at else each for place, each in enumerate(answers)]
    items = list(read_records(homes["items"] / "items.parquet", Item))
    write_records(home / "predictions.parquet", forged, Prediction)
    scorers = read_json(homes["items"] / "benchmarks.json")["scorers"]
    write_records(home / "scores.parquet", list(score(items, forged, scorers)), Score)
    record = read_json(home / RECORD)
    for name in ("predictions.parquet", "scores.parquet"):
        record["files"][name] = sha256_file(home / name)
    write_json(home / RECORD, record)
    return answers[at]


def test_the_models_own_replies_stand(line: Line) -> None:
    assert asked_again(line) == []


def test_a_forged_reply_is_named_although_everything_follows_from_it(line: Line) -> None:
    true = forge(line, 3, "Yes, surely.")
    homes = steps_of(line.root)
    known = {home.name: read_json(home / RECORD)["fingerprint"] for home in homes.values() if home.is_dir()}
    assert list(artifact_findings(homes[STEP], STEP, known)) == []
    assert list(score_findings(homes[STEP], homes["items"], STEP)) == []
    (found,) = asked_again(line)
    assert found.check == "reply"
    assert found.where == (
        f"{STEP}/predictions.parquet: base/{true.condition}/{true.benchmark}/{true.item_id}: text"
    )
    assert (found.expected, found.found) == (repr(true.text), repr("Yes, surely."))


def test_a_picture_that_a_condition_would_not_show_is_named(line: Line) -> None:
    home = steps_of(line.root)[STEP]
    answers = list(read_records(home / "predictions.parquet", Prediction))
    at = next(place for place, each in enumerate(answers) if each.condition == "mismatch")
    own = next(
        each for each in answers if each.condition == "original" and each.item_id == answers[at].item_id
    )
    answers[at] = replace(answers[at], image=own.image)
    write_records(home / "predictions.parquet", answers, Prediction)
    assert [each.where.rpartition(": ")[2] for each in asked_again(line)] == ["image"]


def test_a_sample_asks_only_its_items_and_gives_the_same_replies(line: Line) -> None:
    assert asked_again(line, 2) == []
    items = list(read_records(steps_of(line.root)["items"] / "items.parquet", Item))
    chosen = sample_of(items, 2, seed=0)
    assert chosen is not None
    assert len(chosen) == 2
    assert chosen == sample_of(list(reversed(items)), 2, seed=0)
    assert sample_of(items, len(items), seed=0) is None
    places = [at for at, item in enumerate(items) if (item.benchmark, item.id) in chosen]
    others = [at for at in range(len(items)) if at not in places]
    forge(line, others[0], "Forged.")
    assert asked_again(line, 2) == []
    forge(line, places[0], "Forged.")
    (found,) = asked_again(line, 2)
    assert items[places[0]].id in found.where
