"""A run on any model ends with a record: its claims are noted before the scores, and it verifies."""

from pathlib import Path

import pytest

from acclimate.artifacts import RECORD
from acclimate.files import read_json, write_json
from acclimate.pipeline import Line
from acclimate.recipe import load_recipe
from acclimate.report.evidence.manifest import read_manifest
from acclimate.sandbox import available
from acclimate.verify.stage import Asked, verify
from tests.test_pipeline import real_recipe
from tests.tiny_models import tiny_qwen3_vl

GAIN = "{id: gain, sentence: It gains., measure: small/adapted-base/original}"
LOOKS = "{id: looks, sentence: It looks., measure: small/adapted/vrs}"


def finished(recipe: Path, claims: str) -> Line:
    line = Line(load_recipe(recipe, [f"report.claims=[{claims}]"]), recipe.parent)
    line.report(line.build())
    return line


def test_a_run_ends_with_a_record_whose_claims_were_noted_before_the_scores(tmp_path: Path):
    recipe = real_recipe(tmp_path, tiny_qwen3_vl(tmp_path / "model"))
    line = finished(recipe, GAIN)
    data, problems = read_manifest(line.root / "report")
    assert problems == []
    (gain,) = data["claims"]
    assert (gain["id"], gain["written"]) == ("gain", "before")
    assert gain["measurement"]["n"] == 4
    assert data["gate"]["verdict"]["status"] == "UNVERIFIED"
    assert [each["step"] for each in data["artifacts"]] == list(line.build())
    page = (line.root / "report" / "index.html").read_text(encoding="utf-8")
    assert "It gains." in page
    assert "UNVERIFIED" in page
    assert str(tmp_path) not in page, "a record says nothing of where it was made"

    finished(recipe, f"{GAIN}, {LOOKS}")
    later, _ = read_manifest(line.root / "report")
    assert [(each["id"], each["written"]) for each in later["claims"]] == [
        ("gain", "before"),
        ("looks", "after"),
    ]

    if available().tool is None:
        pytest.skip(f"nothing can be sealed here: {available().sentence}")
    found = verify(line.root, Asked())
    assert found.ok, [str(each) for each in (*found.altered, *found.findings)]
    assert found.verdict is not None
    assert found.verdict.status == "VERIFIED"
    counts = next((line.root / "artifacts" / "evaluate-base").glob(f"*/{RECORD}"))
    told = read_json(counts)
    told["counts"]["outputs"] += 1
    write_json(counts, told)
    altered = verify(line.root, Asked())
    assert not altered.ok
    assert any(RECORD in each.where for each in altered.altered)
