"""Models named as on the Hugging Face hub: found in the cache, or the message says how to get them."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from typer.testing import CliRunner

from acclimate.cli import app
from acclimate.engines.checkpoint import adapter_base
from acclimate.engines.hub import hub_name
from acclimate.engines.open import engine_identity
from acclimate.engines.spec import spec_of
from acclimate.errors import EngineError
from acclimate.evaluate.stage import EvaluateConfig
from acclimate.pipeline import Line
from acclimate.recipe import load_recipe
from acclimate.scoring import count_questions
from tests.small_lines import write_benchmark, write_line
from tests.tiny_models import tiny_qwen3_vl

COMMIT, OTHER = "a" * 40, "b" * 40
NAME = "acme/Tiny-VL-2B.v1"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_qwen3_vl(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def cache(tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with the model at two commits; `main` is the first, and its files are links to blobs."""
    cache = tmp_path / "hub cache"
    home = cache / "models--acme--Tiny-VL-2B.v1"
    blobs, snapshot = home / "blobs", home / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for number, file in enumerate(sorted(checkpoint.iterdir())):
        shutil.copy(file, blobs / f"{number}")
        (snapshot / file.name).symlink_to(f"../../blobs/{number}")
    shutil.copytree(checkpoint, home / "snapshots" / OTHER)
    (home / "refs" / "refs" / "pr").mkdir(parents=True)
    (home / "refs" / "main").write_text(COMMIT)
    (home / "refs" / "refs" / "pr" / "1").write_text(OTHER)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    return cache


@pytest.mark.parametrize(
    ("name", "commit"),
    [(NAME, COMMIT), (f"{NAME}@main", COMMIT), (f"{NAME}@refs/pr/1", OTHER), (f"{NAME}@{OTHER}", OTHER)],
)
def test_a_name_of_the_hub_means_its_snapshot_in_the_cache(
    cache: Path, tmp_path: Path, name: str, commit: str
):
    folder = Path(spec_of(name, tmp_path).model)
    assert folder == cache / "models--acme--Tiny-VL-2B.v1" / "snapshots" / commit
    assert hub_name(folder) == NAME


def test_where_a_model_lies_decides_nothing_and_its_name_is_the_hubs(cache, tmp_path, checkpoint):
    from_hub = engine_identity(spec_of(NAME, tmp_path))
    from_folder = engine_identity(spec_of(str(checkpoint), tmp_path))
    assert from_hub.digest == from_folder.digest
    assert from_hub.name == NAME
    assert from_folder.name == "tiny"


def test_a_folder_that_is_there_comes_before_the_cache(cache: Path, tmp_path: Path):
    (tmp_path / NAME).mkdir(parents=True)
    assert Path(spec_of(NAME, tmp_path).model) == tmp_path / NAME


@pytest.mark.parametrize("name", ["tiny", "./acme/tiny", "../acme/tiny", "a/b/c", "/acme/tiny"])
def test_what_is_no_name_of_the_hub_stays_a_path(cache: Path, tmp_path: Path, name: str):
    assert Path(spec_of(name, tmp_path).model) == (tmp_path / name).resolve()


def test_a_name_without_a_recipes_folder_is_left_as_it_is(cache: Path):
    assert spec_of(NAME).model == NAME


def test_a_model_that_is_not_in_the_cache_is_refused_with_the_command_that_gets_it(cache, tmp_path):
    with pytest.raises(EngineError) as refused:
        spec_of("Qwen/Qwen2-VL-2B-Instruct", tmp_path)
    said = str(refused.value)
    assert "hf download Qwen/Qwen2-VL-2B-Instruct (" in said
    assert "pip install huggingface_hub" in said
    assert str(tmp_path / "Qwen/Qwen2-VL-2B-Instruct") in said
    assert "\n" not in said


def test_a_revision_that_is_not_in_the_cache_names_those_that_are(cache: Path, tmp_path: Path):
    with pytest.raises(EngineError, match=f"It has {NAME}@main, @refs/pr/1.") as refused:
        spec_of(f"{NAME}@v2", tmp_path)
    assert f"hf download {NAME} --revision v2" in str(refused.value)


def test_a_copy_that_was_not_downloaded_to_its_end_is_refused(cache: Path, tmp_path: Path):
    snapshot = cache / "models--acme--Tiny-VL-2B.v1" / "snapshots" / COMMIT
    weights = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weights}))
    (snapshot / "model-00001-of-00002.safetensors").write_bytes(b"")
    with pytest.raises(EngineError, match=r"incomplete: model-00002-of-00002\.safetensors is missing"):
        spec_of(NAME, tmp_path)


def test_a_recipe_plans_with_names_of_the_hub_as_with_folders(cache, tmp_path, checkpoint):
    """The fingerprints of all steps are those of the same recipe with the folder's path in it."""
    lines = []
    for folder, name in ((tmp_path / "one", NAME), (tmp_path / "two", str(checkpoint))):
        recipe = write_line(folder, synthesize={"model": name}, train={"model": name})
        lines.append(Line(load_recipe(recipe), folder))
    assert lines[0].fingerprints() == lines[1].fingerprints()


def test_a_checkpoint_is_scored_by_its_name_on_the_hub(cache: Path, tmp_path: Path):
    write_benchmark(tmp_path, 4)
    counts = count_questions(Path(NAME), [tmp_path / "small.yaml"], EvaluateConfig())
    assert counts == {"small": 4}
    with pytest.raises(EngineError, match="hf download acme/other"):
        count_questions(Path("acme/other"), [tmp_path / "small.yaml"], EvaluateConfig())


def test_an_adapters_base_may_be_named_as_on_the_hub(cache: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": NAME}))
    base = adapter_base(adapter)
    assert base is not None
    assert hub_name(base) == NAME


@pytest.mark.parametrize(
    "arguments",
    [
        ["doctor", "acme/Other"],
        ["assemble", "--llm", "acme/Other", "--vision", "acme/Tower", "out"],
        ["assemble", "--extract", "acme/Other", "out"],
    ],
)
def test_a_name_that_is_not_in_the_cache_says_how_to_get_it(cache: Path, arguments: list[str]) -> None:
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, EngineError)
    assert "hf download acme/Other" in str(done.exception)


def test_doctor_looks_at_a_model_of_the_hubs_cache(cache: Path) -> None:
    def rows(*arguments: str) -> list[dict[str, Any]]:
        done = CliRunner().invoke(app, ["doctor", *arguments, "--json"])
        found: list[dict[str, Any]] = json.loads(done.stdout)["checks"]
        return found

    plain, named = rows(), rows(NAME)
    assert [row["what"] for row in named[:-1]] == [row["what"] for row in plain]
    assert named[-1]["ok"], named[-1]
    assert "Qwen3-VL" in f"{named[-1]['what']} {named[-1]['detail']}"
