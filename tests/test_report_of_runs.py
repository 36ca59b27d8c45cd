"""What a run's report shows beside the headline: further models, general skills, reliance, quality, costs."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from acclimate import artifacts
from acclimate.engines.spec import ServerExecution
from acclimate.errors import RecipeError, UsageError
from acclimate.files import read_json, read_records, write_json, write_records
from acclimate.judging import measure_quality
from acclimate.pipeline import Line
from acclimate.recipe import load_recipe
from acclimate.records import Prediction, Score
from acclimate.sandbox import available
from acclimate.verify.asked import binds_of_asked
from acclimate.verify.stage import Asked, verify
from tests.small_lines import BENCHMARK, write_benchmark, write_pairs, write_recipe
from tests.tiny_models import tiny_qwen3_vl

CONDITIONS = "[original, mismatch, blank, gaussian_noise_1, gaussian_noise_3]"


def line_of(folder: Path, *further: str) -> Line:
    """Return a run of a tiny model with two benchmarks, of which one asks for general skills."""
    model = tiny_qwen3_vl(folder / "model")
    write_pairs(folder, range(8))
    write_benchmark(folder, 4)
    few = {"batch_size": 4, "max_steps": 2, "max_tokens": 4096, "check_reload": False}
    recipe = write_recipe(
        folder,
        synthesize={"generator": "rules"},
        curate={"judge": "none"},
        quality={"judge": "none"},
        train={"model": str(model), **few},
        evaluate={"max_tokens": {"small": 4, "scenes": 4}},
    )
    (folder / "general.yaml").write_text(yaml.safe_dump({**BENCHMARK, "name": "scenes"}), encoding="utf-8")
    settings = (
        "evaluate.benchmarks=[small.yaml, general.yaml]",
        f"evaluate.conditions={CONDITIONS}",
        f"evaluate.further=[{{role: rival, name: Rival-7B, model: '{model}'}}, "
        f"{{role: unfiltered, name: no filter, model: '{model}', differs: every task is kept}}]",
        "report.general=[scenes]",
        "report.published={source: Table 14, scores: {small: {adapted: 61.5}, macro: {base: 33.25}}}",
    )
    return Line(load_recipe(recipe, [*settings, *further]), recipe.parent)


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Line:
    line = line_of(tmp_path_factory.mktemp("run"))
    line.report(line.build())
    return line


def page_of(line: Line) -> str:
    return (line.root / "report" / "report.md").read_text(encoding="utf-8").replace("\\", "")


def test_further_models_stand_beside_the_run_s_own(reported: Line):
    page = page_of(reported)
    assert "adapted − Rival-7B" in page
    assert "| no filter | every task is kept |" in page
    assert "61.5" in page
    assert "Published: Table 14." in page
    homes = reported.build()
    assert {"evaluate-rival", "evaluate-unfiltered"} <= homes.keys()
    marks = {
        role: [
            (each.benchmark, each.item_id, each.condition, each.value)
            for each in read_records(homes[f"evaluate-{role}"] / "scores.parquet", Score)
        ]
        for role in ("base", "rival")
    }
    assert marks["rival"] == marks["base"], "the rival is the base model"


def test_a_general_benchmark_stands_under_forgetting_and_not_in_the_headline(reported: Line):
    page = page_of(reported)
    before, _, after = page.partition("## Forgetting")
    assert "| scenes |" not in before.partition("## Claims")[0]
    assert "| scenes |" in after
    summary = read_json(reported.root / "report" / "summary.json")
    assert list(summary["benchmarks"]) == ["small"]
    assert list(summary["general"]["benchmarks"]) == ["scenes"]
    assert summary["general"]["macro"] == summary["general"]["benchmarks"]["scenes"]


def test_reliance_and_robustness_of_the_run_are_shown(reported: Line):
    page = page_of(reported)
    assert "Visual reliance: the whole vector" in page
    assert "nVRS" in page
    assert "Share of the score that is lost when pictures are corrupted" in page
    figures = {path.name for path in (reported.root / "report" / "figures").glob("*.csv")}
    assert "reliance-conditions.csv" in figures
    told = (reported.root / "report" / "figures" / "reliance-conditions.csv").read_text(encoding="utf-8")
    assert "gaussian_noise" not in told


def test_a_general_benchmark_that_was_not_asked_is_refused(tmp_path: Path):
    with pytest.raises(RecipeError, match=r"'sceens', which this run does not ask; it asks small, scenes"):
        line_of(tmp_path, "report.general=[sceens]")
    assert not list(tmp_path.glob("run/artifacts/*")), "before anything is run"


def test_quality_is_shown_where_it_was_measured_of_these_tasks(reported: Line):
    folder, _ = measure_quality(reported)
    assert folder == reported.root / "quality"
    reported.report(reported.build())
    assert "Tasks, labels and picture domains" in page_of(reported)
    of = folder / "of.json"
    write_json(of, "of another recipe's tasks")
    reported.report(reported.build())
    page = page_of(reported)
    assert "Tasks, labels and picture domains" not in page
    assert "The quality of tasks was measured for another recipe's and is left out" in page


def test_what_a_server_took_is_shown(reported: Line):
    home = reported.build()["curate"]
    ran = read_json(home / artifacts.RUN)
    spent = {"model": "big", "requests": 12, "prompt_tokens": 3400, "reply_tokens": 560, "lost_tokens": 0}
    write_json(home / artifacts.RUN, {**ran, "served": [{**spent, "money": 0.25}]})
    reported.report(reported.build())
    assert "| curate: big | 12 | 3,400 | 560 | 0.25 |" in page_of(reported)


def test_a_step_notes_what_servers_took_for_it_alone(reported: Line):
    place, server = reported.place, ServerExecution.model_validate({"prices": {"prompt": 1.0, "reply": 2.0}})
    account = place.engines.accounts.of("digest", server, "big")
    account.spend(100, 10, account.reserve(100, 10) or pytest.fail("it fits"))
    place.begin()
    account.spend(1000, 200, account.reserve(1000, 200) or pytest.fail("it fits"))
    (spent,) = place.how(server)["served"]
    assert (spent["model"], spent["requests"], spent["prompt_tokens"], spent["reply_tokens"]) == (
        "big", 1, 1000, 200,
    )  # fmt: skip
    assert spent["money"] == pytest.approx(0.0014)
    place.begin()
    assert "served" not in place.how(server)


@pytest.mark.slow
def test_answers_of_further_models_are_scored_and_asked_again_too(reported: Line):
    if available().tool is None:
        pytest.skip(f"nothing can be sealed here: {available().sentence}")
    homes = reported.build()
    reported.report(homes)
    found = verify(reported.root, Asked("generate", sample=2))
    assert found.ok, [str(each) for each in (*found.altered, *found.findings)]
    path = homes["evaluate-rival"] / "predictions.parquet"
    rows = list(read_records(path, Prediction))
    forged = [replace(rows[0], text=f"{rows[0].text} forged"), *rows[1:]]
    whole = path.read_bytes()
    write_records(path, forged, Prediction)
    folder = path.parent.relative_to(reported.root).as_posix()
    assert any(
        f"{folder}/predictions.parquet" in each.where for each in verify(reported.root, Asked()).altered
    )
    path.write_bytes(whole)


def test_a_further_model_on_a_server_is_not_asked_again(tmp_path: Path):
    line = line_of(tmp_path)
    served = line.recipe.evaluate.further[0].model_copy(update={"model": "openai:big@http://127.0.0.1:9/v1"})
    evaluate = line.recipe.evaluate.model_copy(update={"further": (served,)})
    recipe = line.recipe.model_copy(update={"evaluate": evaluate})
    with pytest.raises(UsageError, match=r"evaluate\.further\.0\.model names big, a model on a server"):
        binds_of_asked(recipe, tmp_path)
