"""A record verifies as it was written; nothing that is altered in it passes: single edits and forgeries."""

import json
import random
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from acclimate.artifacts import RECORD
from acclimate.errors import ArtifactError, UsageError
from acclimate.evaluate.stage import score
from acclimate.files import ImageStore, read_json, read_records, sha256_file, write_json, write_records
from acclimate.lab.demo import Sizes, run_demo
from acclimate.origin import Origin
from acclimate.pipeline import Line
from acclimate.recipe import load_recipe
from acclimate.records import Item, Prediction, Score
from acclimate.report.evidence.corrections import FILE as CORRECTIONS
from acclimate.report.evidence.corrections import Note
from acclimate.report.evidence.digests import sealed
from acclimate.report.evidence.manifest import FILE as MANIFEST
from acclimate.report.evidence.manifest import manifest_text
from acclimate.sandbox import available
from acclimate.verify.stage import Asked, Verified, corrected, verify

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        available().tool is None, reason=f"nothing can be sealed here: {available().sentence}"
    ),
]
N_EDITS = 100


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the lab in miniature: the folder with its world, its run and its record."""
    folder = tmp_path_factory.mktemp("verify") / "demo"
    run_demo(folder, sizes=Sizes(seeds=60, pairs=40, questions=8, general=4), overrides=["train.epochs=1"])
    return folder


@pytest.fixture
def demo(original: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy that a test may alter, in the place where it was made: pages name no absolute path."""
    folder = tmp_path / "demo"
    shutil.copytree(original, folder, symlinks=True)
    yield folder


def record_of(demo: Path) -> Path:
    return demo / "run" / "report"


def reseal(demo: Path) -> None:
    """Make every hash right again: of the artifacts' own records, of the files, of the manifest."""
    root, record = demo / "run", record_of(demo)
    data = read_json(record / MANIFEST)
    for each in data["artifacts"]:
        home = root / each["folder"]
        own = read_json(home / RECORD)
        own["files"] = {name: sha256_file(home / name) for name in own["files"]}
        write_json(home / RECORD, own)
        each["files"] = {name: sha256_file(home / name) for name in each["files"]}
    for each in data["files"]:
        path = record / each["path"]
        each["sha256"], each["bytes"] = sha256_file(path), path.stat().st_size
    (record / MANIFEST).write_text(manifest_text(sealed(data)), encoding="utf-8")


def told(found: Verified) -> str:
    return "\n".join(str(each) for each in (*found.altered, *found.findings))


def test_an_unaltered_record_verifies_and_says_so_in_every_form(demo: Path) -> None:
    before = read_json(record_of(demo) / MANIFEST)
    assert before["gate"]["verdict"]["status"] == "UNVERIFIED"
    began = time.monotonic()
    found = verify(demo / "run", Asked())
    assert time.monotonic() - began < 60
    assert found.ok, told(found)
    assert found.verdict is not None
    assert (found.verdict.status, found.verdict.depth) == ("VERIFIED", "score")
    after = read_json(record_of(demo) / MANIFEST)
    assert after["gate"]["verdict"]["status"] == "VERIFIED"
    assert after["digest"] == found.digest != before["digest"]
    assert "VERIFIED" in (record_of(demo) / "index.html").read_text(encoding="utf-8")
    again = verify(demo / "run", Asked(expect=found.digest))
    assert again.ok, told(again)
    assert len(read_json(record_of(demo) / MANIFEST)["gate"]["attempts"]) == 2


def test_models_asked_again_give_the_stored_replies(demo: Path) -> None:
    found = verify(demo / "run", Asked(depth="generate", sample=6))
    assert found.ok, told(found)
    assert found.verdict is not None
    assert (found.verdict.status, found.verdict.depth) == ("VERIFIED", "generate")


def test_a_record_that_was_moved_with_its_run_still_verifies(demo: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere with spaces"
    demo.rename(moved)
    found = verify(moved / "run" / "report", Asked())
    assert found.ok, told(found)


def test_another_digest_than_the_one_noted_is_named(demo: Path) -> None:
    found = verify(demo / "run", Asked(expect="0" * 64))
    assert "manifest.json: digest" in told(found)
    assert found.verdict is None


def editable(demo: Path) -> list[Path]:
    root, record = demo / "run", record_of(demo)
    listed = [path for path in record.rglob("*") if path.is_file()]
    listed += [path for path in root.glob("artifacts/*/*/**/*") if path.is_file()]
    listed += [path for path in root.glob("images/*/*") if path.is_file()]
    return sorted(path for path in listed if path.stat().st_size)


def test_every_single_edit_is_found_and_its_file_is_named(demo: Path) -> None:
    rng = random.Random(7)
    files = editable(demo)
    kinds: dict[str, list[Path]] = {}
    for path in files:
        kinds.setdefault(path.suffix, []).append(path)
    missed = []
    for number in range(N_EDITS):
        path = rng.choice(kinds[rng.choice(sorted(kinds))])
        data = path.read_bytes()
        at = rng.randrange(len(data))
        path.write_bytes(data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :])
        try:
            found = verify(demo / "run", Asked())
            said, is_found = told(found), bool(found.altered)
        except (ArtifactError, UsageError) as error:
            said, is_found = str(error), True
        except Exception as error:  # noqa: BLE001 - a crash is a miss, and is told as one
            said, is_found = f"{type(error).__name__}: {error}", False
        if not is_found or path.name not in said:
            missed.append(f"{number}: {path.relative_to(demo)} at {at}: {said[:200]}")
        path.write_bytes(data)
    assert missed == []
    assert verify(demo / "run", Asked()).ok


def swap_digit(path: Path, pattern: str) -> str:
    """Change the last digit of the first number that fits; return the new text of it."""
    text = path.read_text(encoding="utf-8")
    match = re.search(pattern, text)
    assert match is not None, (path, pattern)
    number = match.group(0)
    forged = number[:-1] + str((int(number[-1]) + 1) % 10)
    path.write_text(text[: match.start()] + forged + text[match.end() :], encoding="utf-8")
    return forged


PAGES = [
    "index.html",
    "report.md",
    "tables.tex",
    "summary.json",
    "figures/gain.csv",
    "figures/loss.csv",
    "figures/reliance.csv",
]


@pytest.mark.parametrize("name", PAGES)
def test_a_forged_number_of_a_page_is_named(demo: Path, name: str) -> None:
    forged = swap_digit(record_of(demo) / name, r"\d+\.\d+")
    reseal(demo)
    found = verify(demo / "run", Asked())
    assert not found.ok
    assert f"{name}: line" in told(found)
    assert forged in told(found)


def edit(data: Any, path: str, value: Any) -> None:
    *parents, last = path.split(".")
    level = data
    for part in parents:
        level = level[int(part)] if part.isdigit() else level[part]
    level[int(last) if last.isdigit() else last] = value


FIELDS: list[tuple[str, Any]] = [
    ("claims.0.measurement.value", 0.4321),
    ("claims.0.sentence", "The adapted model answers all questions of the domain right."),
    ("claims.0.written", "after"),
    ("seeds.train", 41),
    ("environment.python", "3.99.0"),
    ("provenance.publisher", "A university"),
    ("provenance.sources.0.licence", "MIT"),
    ("title", "Lab demo of another domain"),
]


@pytest.mark.parametrize(("field", "value"), FIELDS)
def test_a_forged_field_of_the_manifest_is_named(demo: Path, field: str, value: Any) -> None:
    path = record_of(demo) / MANIFEST
    data = read_json(path)
    edit(data, field, value)
    path.write_text(manifest_text(sealed(data)), encoding="utf-8")
    found = verify(demo / "run", Asked())
    assert not found.ok
    named = re.sub(r"\.(\d+)", r"[\1]", field)
    assert f"manifest.json: {named}: " in told(found)


def forge_scores(demo: Path) -> str:
    home = next((demo / "run" / "artifacts" / "evaluate-adapted").glob("*/scores.parquet"))
    rows = list(read_records(home, Score))
    wrong = next(at for at, each in enumerate(rows) if each.value == 0.0 and not each.parts)
    rows[wrong] = replace(rows[wrong], value=1.0)
    write_records(home, rows, Score)
    return rows[wrong].item_id


def forge_counts(demo: Path) -> str:
    path = next((demo / "run" / "artifacts" / "evaluate-adapted").glob("*/record.json"))
    data = read_json(path)
    data["counts"]["truncated"] += 5
    write_json(path, data)
    return "counts.truncated"


@pytest.mark.parametrize("forge", [forge_scores, forge_counts])
def test_a_forgery_in_an_artifact_is_named_by_its_row(demo: Path, forge: Callable[[Path], str]) -> None:
    named = forge(demo)
    reseal(demo)
    found = verify(demo / "run", Asked())
    assert not found.ok
    assert named in told(found)


@pytest.mark.parametrize("at", [0, 5, 11])
def test_forged_answers_are_found_only_by_asking_the_models_and_are_named(demo: Path, at: int) -> None:
    root = demo / "run"
    home = next((root / "artifacts" / "evaluate-adapted").glob("*/predictions.parquet")).parent
    items_home = next((root / "artifacts" / "items").glob("*/items.parquet")).parent
    items = list(read_records(items_home / "items.parquet", Item))
    answers = list(read_records(home / "predictions.parquet", Prediction))
    gold = {(each.benchmark, each.id): each.gold for each in items}
    true = answers[at]
    answers[at] = replace(true, text=", ".join(gold[true.benchmark, true.item_id]) + " indeed")
    scorers = read_json(items_home / "benchmarks.json")["scorers"]
    write_records(home / "predictions.parquet", answers, Prediction)
    write_records(home / "scores.parquet", list(score(items, answers, scorers)), Score)
    reseal(demo)
    line = Line(load_recipe(demo / "recipe.yaml", ["train.epochs=1"]), demo)
    homes = {each["step"]: root / each["folder"] for each in read_json(root / "line.json")}
    origin = Origin.read(record_of(demo))
    line.report(homes, audits=origin.audits, notes=origin.notes)  # all pages follow from the forged answers
    found = verify(root, Asked())
    assert found.ok, told(found)
    deep = verify(root, Asked(depth="generate"))
    assert not deep.ok
    assert f"adapted/{true.condition}/{true.benchmark}/{true.item_id}: text" in told(deep)
    assert deep.verdict is not None
    assert deep.verdict.status == "FAILED"


def test_a_picture_exchanged_for_another_is_named(demo: Path) -> None:
    pictures = sorted((demo / "run" / "images").glob("*/*"))
    pictures[0].write_bytes(pictures[1].read_bytes())
    found = verify(demo / "run", Asked())
    assert pictures[0].name in told(found)


def test_corrections_are_listed_and_counted_and_their_history_cannot_be_edited(demo: Path) -> None:
    record = record_of(demo)
    for number in (1, 2):
        note = Note(
            "2026-11-22", f"It is {number} and not 0.", "It was miscounted.", "claims[0]", "the authors"
        )
        assert corrected(record, note).corrections.count == number
    page = (record / "index.html").read_text(encoding="utf-8")
    assert "It is 1 and not 0." in page
    assert "It is 2 and not 0." in page
    assert verify(record, Asked()).ok
    lines = (record / CORRECTIONS).read_text(encoding="utf-8").splitlines(keepends=True)
    edited = json.loads(lines[0])
    edited["what"] = "Nothing was wrong."
    for forged in (
        [json.dumps(edited, sort_keys=True, separators=(",", ":")) + "\n", lines[1]],
        lines[:1],
        lines[1:],
        [],
    ):
        (record / CORRECTIONS).write_text("".join(forged), encoding="utf-8")
        found = verify(record, Asked())
        assert not found.ok
        assert CORRECTIONS in told(found)
        with pytest.raises(ArtifactError, match=re.escape(CORRECTIONS)):
            corrected(record, Note("2026-11-22", "More.", "It was.", "claims[0]", "the authors"))


def test_a_folder_that_is_no_record_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"manifest\.json"):
        verify(tmp_path, Asked())


def test_pictures_kept_outside_the_run_are_looked_at_too(demo: Path) -> None:
    store = ImageStore(demo / "run")
    items_home = next((demo / "run" / "artifacts" / "items").glob("*/items.parquet"))
    ref = next(each.image for each in read_records(items_home, Item) if each.image is not None)
    inside = store.locate(ref)
    assert inside is not None
    outside = demo / "kept" / "picture.png"
    outside.parent.mkdir()
    shutil.move(inside, outside)
    store.add_file(outside, "reference")
    assert verify(demo / "run", Asked()).ok
    outside.write_bytes(outside.read_bytes() + b"\0")
    found = verify(demo / "run", Asked())
    assert "picture.png" in told(found)
