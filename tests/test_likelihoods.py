"""Likelihoods of right answers, and the reliance that rests on them."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from acclimate.artifacts import fingerprint
from acclimate.engines.fake import FakeEngine
from acclimate.engines.protocol import ChoiceRequest
from acclimate.engines.spec import EngineExecution, spec_of
from acclimate.errors import EngineError, RecipeError
from acclimate.evaluate.likelihoods import (
    FILE,
    Likelihood,
    likelihoods,
    planned,
    right_answer,
    scored_conditions,
)
from acclimate.evaluate.load import load_benchmark
from acclimate.evaluate.stage import EvaluateConfig
from acclimate.files import ImageStore, read_records
from acclimate.lab.demo import GENERAL_MLLM
from acclimate.lab.render import write_general_benchmarks
from acclimate.pipeline import Line
from acclimate.recipe import load_recipe
from acclimate.records import Item
from acclimate.scoring import score_checkpoint
from acclimate.steps import evaluation_step
from acclimate.workplace import Model
from tests.small_lines import write_benchmark, write_line

CONDITIONS = ("original", "original.1", "mismatch", "mismatch.1", "blank", "text_only", "fog_3")


def item(kind: str, *gold: str, choices: tuple[str, ...] = ()) -> Item:
    return Item("q", "b", "What is it?", None, kind, gold, choices, "c")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (item("closed", "yes"), "yes"),
        (item("open", "left lung", "lung"), "left lung"),
        (item("choice", "a heart", choices=("a heart", "a lung")), "a heart"),
        (item("multi_label", "rice", "beans"), "rice, beans"),
        (item("vqa", "two", "2", "2", "two", "2"), "2"),
        (item("vqa", "two", "2"), "two"),
        (item("caption", "A dog.", "One dog."), "A dog."),
        (item("graded", "anything"), ""),
        (item("compared", "a rival's"), ""),
    ],
)
def test_the_right_answer_of_every_kind(asked: Item, text: str):
    assert right_answer(asked) == text


def test_only_exchanged_pictures_are_scored():
    assert scored_conditions(EvaluateConfig(conditions=CONDITIONS)) == ["original", "mismatch", "mismatch.1"]


def by_own_picture(items: list[Item]):
    """The right answer is likely (-1 per word) with the item's own picture, and less (-3) with another."""
    own = {(each.question, each.image.sha256) for each in items if each.image is not None}

    def choose(request: ChoiceRequest) -> tuple[float]:
        message = request.messages[-1]
        is_own = (message.text, message.images[0].sha256) in own
        return ((-1.0 if is_own else -3.0) * len(request.choices[0].split()),)

    return choose


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, list[Item]]:
    write_benchmark(tmp_path, 6)
    path = tmp_path / "small.yaml"
    return path, list(load_benchmark(path, ImageStore(tmp_path / "store")).items)


def test_every_item_is_scored_under_every_such_condition_in_nats_per_token(
    tmp_path: Path, small: tuple[Path, list[Item]]
):
    _, items = small
    engine = FakeEngine(lambda _: "yes", by_own_picture(items))
    config = EvaluateConfig(conditions=CONDITIONS)
    told = list(likelihoods(planned(items, config, store=ImageStore(tmp_path / "store")), engine, None))
    assert {(each.item_id, each.condition) for each in told} == {
        (each.id, condition) for each in items for condition in ("original", "mismatch", "mismatch.1")
    }
    assert len(told) == 18
    assert {(each.condition == "original", each.log_likelihood) for each in told} == {
        (True, -1.0),
        (False, -3.0),
    }


def test_it_becomes_a_measure_of_reliance_beside_the_others(tmp_path: Path, small: tuple[Path, list[Item]]):
    path, items = small
    config = EvaluateConfig(conditions=("original", "mismatch"), log_likelihood=True)
    result = score_checkpoint(
        GENERAL_MLLM,
        [path],
        tmp_path / "out",
        config=config,
        execution=EngineExecution(),
        substitute=lambda _: FakeEngine(lambda _: "yes", by_own_picture(items)),
    )
    found = {(each["benchmark"], each["measure"]): each for each in result["reliance"]}
    assert found["small", "VRS_ll"]["value"] == pytest.approx(2.0)
    assert found["small", "VRS"]["value"] == 0.0, "the replies do not depend on the picture"
    rows = list(read_records(Path(result["predictions"]).with_name(FILE), Likelihood))
    assert len(rows) == 2 * len(items)
    without = score_checkpoint(
        GENERAL_MLLM,
        [path],
        tmp_path / "out",
        config=config.model_copy(update={"log_likelihood": False}),
        execution=EngineExecution(),
        substitute=lambda _: FakeEngine(lambda _: "yes"),
    )
    assert "VRS_ll" not in {each["measure"] for each in without["reliance"]}


def test_an_engine_that_counts_no_tokens_is_refused(tmp_path: Path, small: tuple[Path, list[Item]]):
    _, items = small
    engine = FakeEngine(lambda _: "yes", lambda _: (-math.inf,))
    told = likelihoods(planned(items, EvaluateConfig(), store=ImageStore(tmp_path / "store")), engine, None)
    with pytest.raises(EngineError, match="no mean log-likelihood"):
        list(told)


def test_a_server_that_cannot_score_is_refused_before_anything_runs(tmp_path: Path):
    path = write_line(tmp_path, n=4, train={"model": str(GENERAL_MLLM)})
    line = Line(load_recipe(path, ["synthesize.generator=rules", "curate.judge=none"]), tmp_path)
    server = Model(spec_of("openai:big@http://127.0.0.1:9/v1", tmp_path))
    asked = line.steps["items"], server, line.recipe.evaluate, EngineExecution(), line.place
    evaluation_step("base", *asked)  # replies alone are no trouble
    scored = line.recipe.evaluate.model_copy(update={"log_likelihood": True})
    with pytest.raises(RecipeError, match=r"evaluate\.log_likelihood: the model .* cannot score"):
        evaluation_step("base", *asked[:2], scored, *asked[3:])


def test_leaving_it_out_changes_no_fingerprint(tmp_path: Path):
    path = write_line(tmp_path, n=4, train={"model": str(GENERAL_MLLM)})
    asked = ["synthesize.generator=rules", "curate.judge=none"]
    plain = Line(load_recipe(path, asked), tmp_path).steps["evaluate-adapted"]
    assert "log_likelihood" not in plain.config
    other = Line(load_recipe(path, [*asked, "evaluate.log_likelihood=true"]), tmp_path).steps[
        "evaluate-adapted"
    ]
    assert fingerprint(plain) != fingerprint(other)


@pytest.mark.slow
def test_the_shipped_model_holds_right_answers_likelier_with_their_pictures(tmp_path: Path):
    write_general_benchmarks(tmp_path, 12, 3)
    command = [sys.executable, "-m", "acclimate", "evaluate", "--model", str(GENERAL_MLLM), "--json"]
    command += ["--benchmark", "general_open.yaml", "--benchmark", "general_multi_label.yaml"]
    command += ["--conditions", "original,mismatch", "--log-likelihood"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = {
        each["benchmark"]: each for each in json.loads(done.stdout)["reliance"] if each["measure"] == "VRS_ll"
    }
    assert set(found) == {"general_open", "general_multi_label", "all"}
    assert all(each["low"] > 0.5 for each in found.values()), found
