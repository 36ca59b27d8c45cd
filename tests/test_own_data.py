"""A user's own data: `acclimate init` and what it leads to, on real pictures and a real benchmark."""

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from acclimate.inspection import status
from acclimate.lab.demo import GENERAL_MLLM

pytestmark = pytest.mark.data

ACCLIMATE = Path(sys.executable).parent / "acclimate"
SMALL = (
    "synthesizer.train.max_steps=2",
    "synthesizer.train.batch_size=4",
    "synthesizer.train.check_reload=false",
    "synthesizer.seeds.limit=8",
    "train.max_steps=2",
    "train.batch_size=4",
    "train.check_reload=false",
    "synthesize.max_tokens=16",
    "evaluate.caption_max_tokens=8",
)
"""Settings that keep a run on few pairs short."""


def acclimate(*args: object, cwd: Path) -> dict[str, Any]:
    command = [str(ACCLIMATE), *map(str, args), "--json"]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def real_rows(shared_data: Path, n: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(
        (shared_data / "pairs_general" / "llava_pretrain_300.json").read_text()
    )
    return rows[:n]


def copy_images(shared_data: Path, rows: list[dict[str, Any]], folder: Path) -> None:
    folder.mkdir(parents=True)
    for row in rows:
        target = folder / row["image"]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(shared_data / "pairs_general" / "images" / row["image"], target)


def caption_of(row: dict[str, Any]) -> str:
    return str(next(turn["value"] for turn in row["conversations"] if turn["from"] == "gpt"))


def as_llava(rows: list[dict[str, Any]], folder: Path) -> None:
    (folder / "pairs.json").write_text(json.dumps(rows))


def as_sharegpt(rows: list[dict[str, Any]], folder: Path) -> None:
    """LLaMA-Factory's form: a list of images, `from` human and gpt, paths that name the image folder."""
    told = [{"images": [f"images/{row['image']}"], "conversations": row["conversations"]} for row in rows]
    (folder / "pairs.json").write_text(json.dumps(told))


def as_csv(rows: list[dict[str, Any]], folder: Path) -> None:
    with (folder / "captions.csv").open("w", encoding="utf-8-sig", newline="") as handle:
        writer = csv.writer(handle, delimiter=";")
        writer.writerow(["file", "caption"])
        writer.writerows([row["image"], caption_of(row)] for row in rows)


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(as_llava, marks=pytest.mark.slow),
        pytest.param(as_sharegpt, marks=pytest.mark.slow),
        as_csv,
    ],
)
def test_the_recipe_that_init_writes_runs_as_it_is(
    tmp_path: Path, shared_data: Path, form: Callable[[list[dict[str, Any]], Path], None]
):
    folder = tmp_path / "meine Daten"
    rows = real_rows(shared_data, 20)
    copy_images(shared_data, rows, folder / "images")
    form(rows, folder)
    notes = acclimate("init", folder, cwd=tmp_path)["notes"]
    assert any("20 rows" in note for note in notes)
    recipe = yaml.safe_load((tmp_path / "recipe.yaml").read_text())
    assert "&id" not in (tmp_path / "recipe.yaml").read_text()
    assert recipe["synthesizer"]["model"] == recipe["train"]["model"]
    result = acclimate("run", "recipe.yaml", *SMALL, cwd=tmp_path)
    ingest = result["rooms"]["ingest"]
    assert ingest["inputs"] == 20
    assert ingest["outputs"] + sum(ingest["rejections"].values()) == 20
    assert ingest["counts"]["pairs"] + ingest["counts"]["held_out"] == ingest["outputs"]
    assert "heldout_captions" in result["benchmarks"]
    page = Path(result["report"]).read_text(encoding="utf-8")
    assert "not checked by people" in page
    for each in recipe["report"]["claims"]:
        assert each["sentence"].replace("'", "&#39;") in page
    assert "written after the results" not in page
    assert (tmp_path / "acclimate-run" / "run.log").is_file()


def test_every_one_of_300_real_images_is_accounted_for(tmp_path: Path, shared_data: Path):
    acclimate("init", shared_data / "pairs_general", cwd=tmp_path)
    before = {path.name for path in (shared_data / "pairs_general").iterdir()}
    room = acclimate("ingest", "recipe.yaml", cwd=tmp_path)["rooms"]["ingest"]
    assert room["inputs"] == 300
    assert room["outputs"] + sum(room["rejections"].values()) == 300
    assert room["outputs"] >= 290
    assert {path.name for path in (shared_data / "pairs_general").iterdir()} == before


@pytest.mark.slow
def test_a_whole_run_accounts_for_300_real_images_in_every_room(tmp_path: Path, shared_data: Path):
    acclimate("init", shared_data / "pairs_general", cwd=tmp_path)
    overrides = [
        "synthesizer.train.max_steps=40",
        "synthesizer.seeds.limit=1280",
        "synthesize.max_tokens=96",
        "train.epochs=1",
    ]
    result = acclimate("run", "recipe.yaml", *overrides, "--yes", cwd=tmp_path)
    rooms = result["rooms"]
    assert rooms["ingest"]["inputs"] == 300
    for name, room in rooms.items():
        assert room["finished"], name
        if not name.startswith("evaluate"):
            assert room["inputs"] == room["outputs"] + sum(room["rejections"].values()), name
    counts = rooms["ingest"]["counts"]
    assert rooms["synthesize"]["inputs"] == counts["pairs"]
    assert rooms["synthesize-heldout"]["inputs"] == counts["held_out"]
    assert 15 <= counts["held_out"] <= 50
    assert rooms["train"]["inputs"] == rooms["compose"]["counts"]["conversations"]
    assert status(tmp_path / "acclimate-run")["rooms"] == rooms


VQA_RAD = {
    "name": "vqa_rad",
    "version": 1,
    "columns": {"id": "qid", "image": "image_name", "question": "question", "answer": "answer"},
    "kind": {"column": "answer_type", "values": {"OPEN": "open", "CLOSED": "closed"}},
    "licence": "CC0",
    "citation": "Lau et al. 2018",
}


def vqa_rad(folder: Path, data: Path) -> Path:
    """Write the benchmark's YAML beside links to the data; the data itself is read-only."""
    folder.mkdir()
    (folder / "testset.json").symlink_to(data / "testset.json")
    (folder / "images").symlink_to(data / "images")
    path = folder / "vqa_rad.yaml"
    path.write_text(yaml.safe_dump({**VQA_RAD, "file": "testset.json", "image_root": "images"}))
    return path


def scored(tmp_path: Path, shared_data: Path, *more: object) -> dict[str, Any]:
    benchmark = vqa_rad(tmp_path / "vqa", shared_data / "vqa_rad")
    return acclimate("evaluate", "--model", GENERAL_MLLM, "--benchmark", benchmark, *more, cwd=tmp_path)


def check_intervals(measured: dict[str, Any], n: int | None = None) -> None:
    for what in ("original", "mismatch", "blank", "vrs", "unparsed"):
        each = measured[what]
        assert -1 <= each["low"] <= each["value"] <= each["high"] <= 1
        assert n is None or each["n"] == n
        assert each["method"]


def test_the_lab_model_is_scored_on_some_of_vqa_rad(tmp_path: Path, shared_data: Path):
    result = scored(tmp_path, shared_data, "--limit", 24)
    assert result["limit"] == 24
    measured = result["measurements"]
    assert sum(each["original"]["n"] for name, each in measured.items() if name != "macro") == 24
    assert result["rejections"] == {}
    for name in ("vqa_rad_open", "vqa_rad_closed", "macro"):
        check_intervals(measured[name])
    found = {(row["benchmark"], row["measure"]): row for row in result["reliance"]}
    for name, beside in (
        ("vqa_rad_open", "vqa_rad_open"),
        ("vqa_rad_closed", "vqa_rad_closed"),
        ("all", "macro"),
    ):
        assert found[name, "VRS"]["value"] == pytest.approx(measured[beside]["vrs"]["value"])
        assert found[name, "VRS"]["definition"] == "acc_real_minus_mismatch/v1"
    assert (tmp_path / "acclimate-scores" / "reliance.parquet").is_file()


@pytest.mark.slow
def test_the_lab_model_is_scored_on_all_of_vqa_rad_in_both_forms(tmp_path: Path, shared_data: Path):
    asked = ("evaluate", "--model", GENERAL_MLLM, "--benchmark", "vqa_rad", "--data", shared_data)
    result = acclimate(*asked, cwd=tmp_path)
    assert result["limit"] is None
    assert result["rows"] == {"vqa_rad_closed": 272, "vqa_rad_open": 179}
    assert result["rejections"] == {}
    measured = result["measurements"]
    check_intervals(measured["vqa_rad_closed"], 272)
    check_intervals(measured["vqa_rad_open"], 179)
    check_intervals(measured["macro"], 451)
    assert "original/accuracy_paper" in measured["vqa_rad_closed"]
    assert "original/recall_paper" in measured["vqa_rad_open"]
    beside = result["beside"]
    assert round(beside["vqa_rad_closed"]["prior"], 3) == 0.529
    assert round(beside["vqa_rad_open"]["prior"], 3) == 0.095
    assert (beside["vqa_rad"]["n_pictures"], beside["vqa_rad"]["n_pictures_in_train"]) == (203, 203)
    samples = list(Path(result["samples"]).glob("**/samples_*.jsonl"))
    assert len(samples) == 6, "two score rows under three conditions"
    again = acclimate(
        *("evaluate", "--predictions", result["predictions"], "--benchmark", "vqa_rad"),
        *("--data", shared_data, "--out", "again"),
        cwd=tmp_path,
    )
    for name in ("vqa_rad_closed", "vqa_rad_open"):
        for what, each in measured[name].items():
            assert again["measurements"][name][what]["value"] == each["value"], (name, what)
