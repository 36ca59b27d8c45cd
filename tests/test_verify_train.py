"""A record verified at depth train: the line is built again from its sources, and every file compared."""

import json
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from acclimate.artifacts import RUN
from acclimate.cli import app
from acclimate.errors import UsageError
from acclimate.files import read_json, write_json
from acclimate.pipeline import Line
from acclimate.recipe import Recipe, load_recipe
from acclimate.report.evidence.digests import sealed
from acclimate.report.evidence.manifest import FILE as MANIFEST
from acclimate.report.evidence.manifest import manifest_text
from acclimate.sandbox import Sealed, available
from acclimate.verify.rebuild import Built
from acclimate.verify.retrained import Retrained, compared
from acclimate.verify.sources import shown, sources_of
from acclimate.verify.stage import Asked, Verified, verify
from tests.evidence_parts import whole
from tests.small_lines import write_line, write_recipe
from tests.test_pipeline import real_recipe
from tests.test_verify import record_of, reseal
from tests.tiny_models import tiny_qwen3_vl

sealable = pytest.mark.skipif(
    available().tool is None, reason=f"nothing can be sealed here: {available().sentence}"
)
GAIN = "report.claims=[{id: gain, sentence: It gains., measure: small/adapted-base/original}]"

# --- what a line reads ---------------------------------------------------------------------------


def models_in(folder: Path) -> None:
    for name in ("base", "synth"):
        (folder / name).mkdir()


def loaded(recipe: Path, *overrides: str) -> Recipe:
    return load_recipe(recipe, overrides)


def test_what_a_line_reads_is_shown_and_nothing_that_it_made(tmp_path: Path) -> None:
    recipe = write_line(tmp_path)
    models_in(tmp_path)
    (tmp_path / "run" / "artifacts").mkdir(parents=True)
    found = sources_of(loaded(recipe), tmp_path)
    assert {"ingest.source", "ingest.image_root", "train.model", "synthesize.model"} <= {
        each.key for each in found
    }
    paths = shown(found, tmp_path / "run", [])
    names = {path.relative_to(tmp_path).as_posix() for path in paths}
    assert names == {"base", "images", "pairs.json", "recipe.yaml", "small.json", "small.yaml", "synth"}
    assert shown(found, tmp_path / "run", [tmp_path]) == []


@pytest.mark.parametrize(
    ("gone", "key"),
    [
        ("pairs.json", "ingest.source"),
        ("images", "ingest.image_root"),
        ("small.json", "evaluate.benchmarks.0"),
        ("base", "train.model"),
    ],
)
def test_a_source_that_is_gone_is_named_by_its_key(tmp_path: Path, gone: str, key: str) -> None:
    recipe = write_line(tmp_path)
    models_in(tmp_path)
    path = tmp_path / gone
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    with pytest.raises(UsageError, match=rf"cannot be built again: {key}.*{gone}"):
        sources_of(loaded(recipe), tmp_path)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("curate.judge=openai:big@http://127.0.0.1:1/v1", "curate.judge names big, a model on a server"),
        ("evaluate.judge=openai:big@http://127.0.0.1:1/v1", "evaluate.judge names big, a model on a server"),
        ("train.execution.engine=ray", "train.execution.engine is ray"),
    ],
)
def test_what_a_sealed_run_cannot_reach_is_refused(tmp_path: Path, override: str, said: str) -> None:
    recipe = write_line(tmp_path)
    models_in(tmp_path)
    with pytest.raises(UsageError, match=said):
        sources_of(loaded(recipe, override), tmp_path)


def test_pictures_and_data_outside_the_recipes_folder_are_shown_where_they_lie(tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "data"
    for each in (home, other):
        each.mkdir()
    write_line(other)
    models_in(home)
    recipe = write_recipe(
        home,
        ingest={"source": "../data/pairs.json", "image_root": str(other / "images")},
        evaluate={"benchmarks": ["../data/small.yaml"]},
    )
    paths = shown(sources_of(loaded(recipe), home), home / "run", [])
    assert other in paths  # the benchmark's own folder, with its pictures; what lies in it is not shown twice
    assert home / "base" in paths
    assert not any(path.is_relative_to(other / "images") for path in paths)


def test_a_tolerance_that_lets_everything_pass_is_refused(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text("{}")
    with pytest.raises(UsageError, match=r"0 to 0\.1"):
        verify(tmp_path, Asked(depth="train", tolerance=0.5))


# --- what is compared ----------------------------------------------------------------------------

ENVIRONMENT = {"python": "3.11", "platform": "Linux", "versions": {"torch": "2"}, "cpus": 2}
HERE = {**ENVIRONMENT, "host": platform.node(), "threads": 2}
ELSEWHERE = {**HERE, "host": "another-machine"}
GAINED = {"value": 0.05, "low": 0.02, "high": 0.08, "standing": "supported"}
LOOKED = {"value": 0.0, "low": -0.01, "high": 0.01, "standing": "refuted"}


def compared_with(gain: dict[str, Any], ran: dict[str, Any], weights: str = "c" * 64) -> Retrained:
    """Compare the small record, whose claims are `gain` and `looks`, with a line that gave these."""
    record = whole()
    identities = {
        each.step: {"fingerprint": each.fingerprint, "inputs": {}, "version": 1, "config": {}, "engines": {}}
        for each in record.artifacts
    }
    files = {each.step: dict(each.files) for each in record.artifacts}
    files["train"]["x"] = weights
    again = {each.step: {**HERE, "host": "sealed"} for each in record.artifacts}
    built = Built(identities, files, again, {"gain": gain, "looks": LOOKED})
    steps = {each.step: ran for each in record.artifacts}
    return compared(record, Path("nowhere"), SEALED, built, steps, 0.02)


SEALED = Sealed(
    ("python",), "bwrap", "0.8", 0, 1.0, False, Path("a"), Path("b"), 0, 0, (), {}, 1.0, None
)  # fmt: skip


def failed(found: Retrained) -> list[str]:
    return [each.name for each in found.checks if not each.ok]


def test_on_the_machine_that_made_a_run_one_bit_is_enough_and_elsewhere_it_is_named() -> None:
    assert failed(compared_with(GAINED, HERE)) == []
    here, there = compared_with(GAINED, HERE, "9" * 64), compared_with(GAINED, ELSEWHERE, "9" * 64)
    assert failed(here) == ["artifacts that are bit for bit the recorded ones"]
    assert [each.where for each in here.findings] == ["artifacts/train/1/x"]
    assert failed(there) == []
    assert there.findings == ()
    assert [each.where for each in there.unequal] == ["artifacts/train/1/x"]
    assert (there.n_equal, there.n_artifacts, there.otherwise) == (1, 2, ("host",))


@pytest.mark.parametrize("host", [HERE, ELSEWHERE])
def test_a_measurement_beyond_the_tolerance_or_another_standing_fails_its_claim(host: dict[str, Any]) -> None:
    assert failed(compared_with({**GAINED, "value": 0.069}, host)) == []
    (far,) = [each for each in compared_with({**GAINED, "value": 0.071}, host).checks if not each.ok]
    assert (far.claims, far.expected, far.found, far.tolerance) == (("gain",), 0.05, 0.071, 0.02)
    (turned,) = [each for each in compared_with({**GAINED, "standing": "open"}, host).checks if not each.ok]
    assert (turned.claims, turned.expected, turned.found) == (("gain",), "supported", "open")
    assert failed(compared_with({}, host)) == [
        "gain, trained again: macro/adapted-base/original",
        "gain, trained again: standing",
    ]


# --- a whole run ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on a tiny model: the folder with its sources, its run and its record."""
    folder = tmp_path_factory.mktemp("train") / "work"
    folder.mkdir()
    recipe = real_recipe(folder, tiny_qwen3_vl(folder / "model"))
    text = recipe.read_text(encoding="utf-8")
    recipe.write_text(text.replace(str(folder / "model"), "model"), encoding="utf-8")
    line = Line(load_recipe(recipe, [GAIN]), folder)
    line.report(line.build())
    return folder


@pytest.fixture
def work(original: Path, tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "work"
    shutil.copytree(original, folder, symlinks=True)
    yield folder


def told(found: Verified) -> str:
    return "\n".join(str(each) for each in (*found.altered, *found.findings))


@pytest.mark.slow
@sealable
def test_a_line_that_is_built_again_is_bit_for_bit_the_recorded_one(work: Path) -> None:
    spoken = CliRunner().invoke(app, ["verify", str(work / "run"), "--depth", "train", "--json"])
    assert spoken.exit_code == 0, spoken.output
    found = json.loads(spoken.stdout)
    n = len(read_json(record_of(work) / MANIFEST)["artifacts"])
    assert (found["retrained"]["artifacts"], found["retrained"]["artifacts_equal"]) == (n, n)
    assert found["retrained"]["otherwise"] == []
    assert (found["verdict"]["status"], found["verdict"]["depth"]) == ("VERIFIED", "train")
    assert "steps took" in spoken.stderr
    assert f"{n} of {n}" in spoken.stderr
    result = read_json(record_of(work) / "verification" / "1" / "result.json")
    checks = {each["name"]: each for each in result["checks"]}
    assert checks["artifacts that are bit for bit the recorded ones"]["found"] == n
    again = checks["gain, trained again: small/adapted-base/original"]
    assert (again["claims"], again["tolerance"], again["ok"]) == (["gain"], 0.02, True)
    (gain,) = read_json(record_of(work) / MANIFEST)["claims"]
    standing = checks["gain, trained again: standing"]
    assert (standing["expected"], standing["found"], standing["ok"]) == (gain["standing"],) * 2 + (True,)
    assert verify(work / "run", Asked()).ok


@pytest.mark.slow
@sealable
def test_a_source_that_changed_since_the_run_is_named_by_its_step_and_nothing_is_trained(work: Path) -> None:
    rows = read_json(work / "pairs.json")
    rows[2]["conversations"][1]["value"] = "Another caption altogether."
    (work / "pairs.json").write_text(json.dumps(rows), encoding="utf-8")
    before = read_json(record_of(work) / MANIFEST)
    found = verify(work / "run", Asked(depth="train"))
    assert not found.ok
    assert [each.where.partition(":")[0] for each in found.findings] == ["ingest"]
    assert "config." in found.findings[0].where
    assert found.verdict is None
    assert read_json(record_of(work) / MANIFEST) == before


@pytest.mark.slow
@sealable
def test_a_record_of_another_version_of_the_program_is_not_called_altered_and_is_left_as_it_is(
    work: Path,
) -> None:
    path = record_of(work) / MANIFEST
    data = read_json(path)
    data["code"]["source_sha256"] = "a" * 64
    path.write_text(manifest_text(sealed(data)), encoding="utf-8")
    before = path.read_bytes()
    spoken = CliRunner().invoke(app, ["verify", str(work / "run"), "--depth", "train"])
    assert spoken.exit_code == 1
    assert "not reproduced: the program" in spoken.stdout
    assert "Another version of this program made the record" in spoken.stdout
    assert "steps took" not in spoken.stderr
    assert path.read_bytes() == before


def forged(work: Path) -> Path:
    """Alter the trained weights a little and make every hash and page follow; return the file."""
    (path,) = (work / "run" / "artifacts" / "train").glob("*/checkpoint/model.safetensors")
    weights: dict[str, Any] = load_file(path)
    name = sorted(weights)[0]
    weights[name] = weights[name] * 1.01
    save_file(weights, path, metadata={"format": "pt"})
    reseal(work)
    return path


def elsewhere(work: Path) -> None:
    """Let the run say that it was made on another machine, with every hash right."""
    for path in (work / "run" / "artifacts").glob(f"*/*/{RUN}"):
        write_json(path, {**read_json(path), "host": "another-machine"})
    reseal(work)
    recipe = load_recipe(record_of(work) / "recipe.yaml")
    line = Line(recipe, work)
    line.report(line.build())


@pytest.mark.slow
@sealable
def test_forged_weights_are_found_and_named_where_every_hash_follows(work: Path) -> None:
    path = forged(work)
    assert verify(work / "run", Asked()).ok
    found = verify(work / "run", Asked(depth="train"))
    assert not found.ok
    assert path.relative_to(work / "run").as_posix() in told(found)
    assert found.retrained is not None
    assert found.retrained.n_equal == found.retrained.n_artifacts - 1
    assert found.verdict is not None
    assert (found.verdict.status, found.verdict.depth) == ("FAILED", "train")


@pytest.mark.slow
@sealable
def test_on_another_machine_claims_decide_and_files_that_differ_are_named(work: Path) -> None:
    path = forged(work)
    elsewhere(work)
    found = verify(work / "run", Asked(depth="train"))
    assert found.ok, told(found)
    assert found.retrained is not None
    assert not found.retrained.is_same_machine
    assert path.relative_to(work / "run").as_posix() in "\n".join(map(str, found.retrained.unequal))
    assert found.verdict is not None
    assert (found.verdict.status, found.verdict.depth) == ("VERIFIED", "train")
