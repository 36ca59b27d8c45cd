"""Altered files, identities, pictures and scores of a run are found and named."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from acclimate.artifacts import RECORD, recorded_fingerprint
from acclimate.files import ImageStore, read_json, read_records, sha256_file, write_json, write_records
from acclimate.pipeline import Line, steps_of
from acclimate.recipe import load_recipe
from acclimate.records import Item, Prediction, Score
from acclimate.verify.integrity import artifact_findings, changed, picture_findings
from acclimate.verify.rescored import score_findings
from tests.small_lines import fake_engine, write_line


@pytest.fixture
def run(tmp_path: Path) -> Iterator[dict[str, Path]]:
    recipe = write_line(tmp_path)
    line = Line(load_recipe(recipe), tmp_path, substitute=fake_engine)
    line.build(["evaluate-base"])
    yield {name: home for name, home in steps_of(line.root).items() if (home / RECORD).is_file()}


def whole_fingerprints(run: dict[str, Path]) -> dict[str, str]:
    return {home.name: read_json(home / RECORD)["fingerprint"] for home in run.values()}


def stored(run: dict[str, Path]) -> list[Score]:
    return list(read_records(run["evaluate-base"] / "scores.parquet", Score))


def test_an_unaltered_run_has_no_findings(run: dict[str, Path]) -> None:
    known = whole_fingerprints(run)
    for name, home in run.items():
        assert list(artifact_findings(home, name, known)) == []
    assert list(score_findings(run["evaluate-base"], run["items"], "evaluate-base")) == []


def test_every_altered_file_of_an_artifact_is_named(run: dict[str, Path]) -> None:
    home = run["evaluate-base"]
    names = read_json(home / RECORD)["files"]
    for name in names:
        data = (home / name).read_bytes()
        at = len(data) // 2
        (home / name).write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        (found,) = artifact_findings(home, "evaluate-base", whole_fingerprints(run))
        assert (found.check, found.where) == ("file", f"evaluate-base/{name}")
        assert "altered" in found.found
        (home / name).write_bytes(data)


def test_a_config_altered_with_all_file_hashes_right_changes_the_fingerprint(run: dict[str, Path]) -> None:
    home = run["evaluate-base"]
    record = read_json(home / RECORD)
    record["config"]["seed"] = 17
    write_json(home / RECORD, record)
    found = list(artifact_findings(home, "evaluate-base", whole_fingerprints(run)))
    assert {each.check for each in found} == {"fingerprint"}
    record["fingerprint"] = recorded_fingerprint(record)
    write_json(home / RECORD, record)
    moved = list(artifact_findings(home, "evaluate-base", whole_fingerprints(run)))
    assert [each.where for each in moved] == ["evaluate-base"]  # the folder bears the old one


def test_an_input_that_is_no_artifact_of_the_run_is_named(run: dict[str, Path]) -> None:
    known = whole_fingerprints(run)
    del known[run["items"].name]
    (found,) = artifact_findings(run["evaluate-base"], "evaluate-base", known)
    assert found.where == "evaluate-base/record.json: inputs.items"


def test_missing_added_and_linked_files_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.txt", "deep/b.txt", "deep/c.txt"):
        (folder / name).write_text(name)
    files = {name: sha256_file(folder / name) for name in ("a.txt", "deep/b.txt")}
    assert list(changed(folder, files, "folder", ignored=("deep/c.txt",))) == []
    assert list(changed(folder, files, "folder", ignored=("deep/",))) == []
    (added,) = changed(folder, files, "folder")
    assert added.where == "folder/deep/c.txt"
    (folder / "a.txt").rename(folder / "elsewhere")
    (folder / "a.txt").symlink_to(folder / "elsewhere")  # the same bytes, but not the record's own file
    wheres = [each.where for each in changed(folder, files, "folder", ignored=("deep/c.txt",))]
    assert wheres == ["folder/a.txt", "folder/elsewhere"]


def test_an_altered_and_a_missing_picture_are_named(run: dict[str, Path], tmp_path: Path) -> None:
    items = list(read_records(run["items"] / "items.parquet", Item))
    store = (
        ImageStore(tmp_path / "run") if (tmp_path / "run").is_dir() else ImageStore(run["items"].parents[2])
    )
    refs = [item.image for item in items if item.image is not None]
    assert list(picture_findings(refs, store)) == []
    first, second = sorted(set(refs), key=lambda each: each.sha256)[:2]
    path = store.locate(first)
    assert path is not None
    path.write_bytes(path.read_bytes() + b"\0")
    gone = store.locate(second)
    assert gone is not None
    gone.unlink()
    found = {each.found.split(" ")[0]: each for each in picture_findings(refs, store)}
    assert set(found) == {"altered", "missing"}
    assert second.sha256[:16] in found["missing"].where


def forge(home: Path, name: str, kind: type, rows: list[object]) -> None:
    """Write other rows and make every hash of the artifact's own record right again."""
    write_records(home / name, rows, kind)
    record = read_json(home / RECORD)
    record["files"][name] = sha256_file(home / name)
    write_json(home / RECORD, record)


def test_a_forged_score_is_named_by_its_row(run: dict[str, Path]) -> None:
    rows = stored(run)
    forged = [replace(rows[0], value=1.0 - rows[0].value), *rows[1:]]
    forge(run["evaluate-base"], "scores.parquet", Score, list(forged))
    assert list(artifact_findings(run["evaluate-base"], "e", whole_fingerprints(run))) == []
    (found,) = score_findings(run["evaluate-base"], run["items"], "evaluate-base")
    first = rows[0]
    key = "/".join((first.model, first.condition, first.benchmark, first.item_id, first.scorer))
    assert found.where == f"evaluate-base/scores.parquet: {key}: value"
    assert found.found == repr(1.0 - first.value)
    assert found.expected.startswith(repr(first.value))


def test_a_score_left_out_or_doubled_is_named(run: dict[str, Path]) -> None:
    rows = stored(run)
    forge(run["evaluate-base"], "scores.parquet", Score, list(rows[1:]))
    (gone,) = score_findings(run["evaluate-base"], run["items"], "e")
    assert gone.found == "no score"
    forge(run["evaluate-base"], "scores.parquet", Score, [*rows, rows[0]])
    (twice,) = score_findings(run["evaluate-base"], run["items"], "e")
    assert twice.found == "a second one"


def test_another_answer_than_the_one_that_was_scored_is_named(run: dict[str, Path]) -> None:
    home = run["evaluate-base"]
    answers = list(read_records(home / "predictions.parquet", Prediction))
    other = "No." if answers[0].text.startswith("Yes") else "Yes."
    forge(home, "predictions.parquet", Prediction, [replace(answers[0], text=other), *answers[1:]])
    found = list(score_findings(home, run["items"], "e"))
    assert found
    assert all(answers[0].item_id in each.where for each in found)


def test_an_answer_left_out_is_named(run: dict[str, Path]) -> None:
    home = run["evaluate-base"]
    answers = list(read_records(home / "predictions.parquet", Prediction))
    forge(home, "predictions.parquet", Prediction, list(answers[1:]))
    (found,) = score_findings(home, run["items"], "e")
    assert answers[0].item_id in found.found


def test_forged_counts_are_named(run: dict[str, Path]) -> None:
    record = run["evaluate-base"] / RECORD
    told = json.loads(record.read_text())
    told["counts"]["truncated"] += 3
    write_json(record, told)
    (found,) = score_findings(run["evaluate-base"], run["items"], "e")
    assert found.where == "e/record.json: counts.truncated"


def test_a_file_that_is_no_parquet_is_a_finding_and_not_a_crash(run: dict[str, Path]) -> None:
    (run["evaluate-base"] / "predictions.parquet").write_bytes(b"PAR1 and nothing more")
    (found,) = score_findings(run["evaluate-base"], run["items"], "e")
    assert "predictions.parquet" in found.found
