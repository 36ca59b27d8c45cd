"""Files of predictions of every form, joined with the questions they answer, and scored without a model."""

import csv
import json
import random
import re
import subprocess
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from acclimate.errors import BenchmarkError, DataError
from acclimate.evaluate.catalogue import locate
from acclimate.evaluate.predictions import match
from acclimate.scoring import score_predictions
from tests.test_benchmarks import FIXTURES, as_json, jsonl, own

ACCLIMATE = Path(sys.executable).parent / "acclimate"
Rows = list[dict[str, Any]]


def scored(folder: Path, rows: Sequence[Mapping[str, Any]], name: str, **how: Any) -> dict[str, Any]:
    """Score rows of JSON lines; the benchmark's files are looked for in `folder/data`."""
    path = folder / "said.jsonl"
    jsonl(path, rows)
    return score_predictions([path], [name], folder / "out", data=folder / "data", **how)


def values(result: Mapping[str, Any], row: str) -> dict[str, float]:
    return {what: each["value"] for what, each in result["measurements"][row].items()}


# --- every form of file -------------------------------------------------------------------------------------

SAID = {"11": "It shows a CT.", "12": "No, it is not.", "13": "perhaps"}
"""Answers to the three questions of the VQA-RAD fixture: recall 1, right, unread."""


def rad(folder: Path) -> Path:
    """Put the fixture of VQA-RAD's original layout into `folder/data`."""
    FIXTURES["vqa_rad"]["original"](folder / "data" / "vqa_rad")
    return folder / "data" / "vqa_rad" / "testset.json"


def write_said(folder: Path, form: str) -> Path:
    rows: Rows = [{"qid": int(name), "text": text} for name, text in SAID.items()]
    path = folder / f"said.{form.split()[0]}"
    gold = json.loads((folder / "data" / "vqa_rad" / "testset.json").read_text())
    if form == "json map":
        as_json(path, SAID)
    elif form == "json outputs":
        as_json(path, {"acc": 12.5, "correct": 1, "count": 3, "results": {"11": 0}, "outputs": SAID})
    elif form == "json list":
        as_json(path, [{"id": row["qid"], "prediction": row["text"]} for row in rows])
    elif form == "jsonl":
        jsonl(path, [{"question_id": row["qid"], "text": row["text"], "model_id": "m"} for row in rows])
    elif form == "jsonl rows by number":
        jsonl(path, [{"doc_id": at, "response": row["text"]} for at, row in enumerate(rows)])
    elif form == "jsonl samples":
        jsonl(path, [{"doc_id": at, "resps": [[row["text"]]]} for at, row in enumerate(rows)])
    elif form == "jsonl samples with doc":
        docs = [{name: cell for name, cell in row.items() if name != "image_name"} for row in gold]
        jsonl(
            path,
            [
                {"doc_id": at, "doc": doc, "target": doc["answer"], "filtered_resps": [row["text"]]}
                for at, (row, doc) in enumerate(zip(rows, docs, strict=True))
            ],
        )
    elif form == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        with path.open("w", encoding="utf-8", newline="") as out:
            writer = csv.DictWriter(out, ["qid", "text"], delimiter="\t" if form == "tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return path


FORMS = [
    "json map", "json outputs", "json list", "jsonl", "jsonl rows by number", "jsonl samples",
    "jsonl samples with doc", "csv", "tsv", "parquet",
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_file_is_joined_with_the_questions(form: str, tmp_path: Path) -> None:
    rad(tmp_path)
    path = write_said(tmp_path, form)
    result = score_predictions([path], ["vqa_rad"], tmp_path / "out", data=tmp_path / "data")
    assert values(result, "vqa_rad_open")["original"] == 1.0
    closed = values(result, "vqa_rad_closed")
    assert (closed["original"], closed["unparsed"]) == (0.5, 0.5)
    assert result["missing"] == {str(path): 0}
    assert result["rows"] == {"vqa_rad_closed": 2, "vqa_rad_open": 1}


def cli(*args: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [str(ACCLIMATE), "evaluate", *map(str, args)]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL
    )


def test_predictions_are_scored_from_the_command_line(tmp_path: Path) -> None:
    rad(tmp_path)
    path = write_said(tmp_path, "jsonl")
    named = ("--benchmark", "vqa_rad", "--data", "data")
    done = cli("--predictions", path.name, *named, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert values(result, "vqa_rad_closed")["original"] == 0.5
    shown = cli("--predictions", path.name, *named, cwd=tmp_path)
    assert re.search(r"vqa_rad_open +original recall_strict +1\.000", shown.stdout)
    assert "vqa_rad: vqa_rad_open has 1 questions, published 179" in shown.stdout
    ours = tmp_path / "acclimate-scores" / "predictions.parquet"
    again = cli("--predictions", ours, *named, "--out", "again", "--json", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["measurements"] == result["measurements"]


def test_predictions_of_ones_own_benchmark_are_scored_by_its_yaml(tmp_path: Path) -> None:
    path = own(tmp_path, "csv")
    as_json(tmp_path / "said.json", {"1": "A", "2": "(A) cat"})
    done = cli("--predictions", "said.json", "--benchmark", path.name, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert values(json.loads(done.stdout), "mine")["original"] == 0.5


def test_one_file_may_answer_several_benchmarks(tmp_path: Path) -> None:
    rad(tmp_path)
    FIXTURES["pope"]["published"](tmp_path / "data" / "pope")
    rows: Rows = [
        {"id": name, "text": text, "benchmark": "vqa_rad_open" if name == "11" else "vqa_rad_closed"}
        for name, text in SAID.items()
    ]
    for part in ("random", "popular", "adversarial"):
        rows += [{"id": str(at), "text": "yes", "benchmark": f"pope_{part}"} for at in range(2)]
    jsonl(tmp_path / "said.jsonl", rows)
    path = tmp_path / "said.jsonl"
    result = score_predictions([path], ["vqa_rad", "pope"], tmp_path / "out", data=tmp_path / "data")
    assert values(result, "vqa_rad_closed")["original"] == 0.5
    assert values(result, "pope_random")["original/recall_strict"] == 1.0
    assert result["missing"] == {str(path): 0}
    assert values(result, "macro")["original"] == pytest.approx((1.0 + 0.5 + 3 * 0.5) / 5)


@pytest.mark.parametrize("made", ["predictions.parquet", "samples"])
def test_what_we_write_can_be_scored_again(made: str, tmp_path: Path) -> None:
    rad(tmp_path)
    first = score_predictions(
        [write_said(tmp_path, "csv")], ["vqa_rad"], tmp_path / "out", data=tmp_path / "data"
    )
    path = tmp_path / "out" / "predictions.parquet"
    if made == "samples":
        lines = [each.read_text() for each in sorted((tmp_path / "out" / "samples").rglob("*.jsonl"))]
        path = tmp_path / "samples.jsonl"
        path.write_text("".join(lines))
    again = score_predictions([path], ["vqa_rad"], tmp_path / "again", data=tmp_path / "data")
    assert again["measurements"] == first["measurements"]


# --- files that bring their questions along -----------------------------------------------------------------


def bare(rows: Rows, text: str = "prediction") -> Rows:
    """Return a fixture's rows without pictures, each with an answer: the gold."""
    return [
        {name: cell for name, cell in row.items() if name != "image"} | {text: str(row["answer"])}
        for row in rows
    ]


def table(name: str, form: str, folder: Path) -> Rows:
    """Return the rows of a fixture's only Parquet or JSON file, or TSV."""
    FIXTURES[name][form](folder / "made")
    (path,) = [each for each in (folder / "made").rglob("*") if each.suffix in (".parquet", ".json", ".tsv")]
    if path.suffix == ".parquet":
        return list(pq.read_table(path).to_pylist())
    if path.suffix == ".json":
        return list(json.loads(path.read_text()))
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


BRING = [
    ("pope", "published", "accuracy_strict"),
    ("mme", "published", "accuracy_strict"),
    ("mmstar", "published", "accuracy_strict"),
    ("mmbench", "published", "circular_strict"),
    ("vqa_rad", "original", "accuracy_strict"),
]


@pytest.mark.parametrize("shape", ["flat", "doc", "csv"])
@pytest.mark.parametrize(("name", "form", "headline"), BRING)
def test_rows_that_repeat_the_benchmarks_columns_need_no_files_here(
    name: str, form: str, headline: str, shape: str, tmp_path: Path
) -> None:
    rows = bare(table(name, form, tmp_path))
    expected = locate(name, data=tmp_path / "nowhere")
    assert expected.files == ()
    path = tmp_path / ("said.csv" if shape == "csv" else "said.jsonl")
    if shape == "doc":
        if (
            name == "pope"
        ):  # ids count anew in every category; lmms-eval's own number is what tells rows apart
            rows = [{key: cell for key, cell in row.items() if key != "id"} for row in rows]
        samples = []
        for at, row in enumerate(rows):
            text = row.pop("prediction")
            samples.append({"doc_id": at, "doc": row, "target": row["answer"], "resps": [[text]]})
        jsonl(path, samples)
    elif shape == "flat":
        jsonl(path, rows)
    else:
        with path.open("w", encoding="utf-8", newline="") as out:
            writer = csv.DictWriter(out, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    result = score_predictions([path], [name], tmp_path / "out", data=tmp_path / "nowhere")
    measured = {row: each for row, each in result["measurements"].items() if row in result["rows"]}
    assert sum(result["rows"].values()) == len(rows)
    assert all(each["original"]["value"] == 1.0 for each in measured.values())
    assert all(each["original"]["coverage"] == pytest.approx(1.0) for each in measured.values())
    assert result["rejections"] == {}
    if name == "mmbench":
        assert measured["mmbench"]["original"]["n_clusters"] == 2
        assert result["primary"] == {"mmbench": headline}


def test_rows_with_their_own_columns_find_their_questions_by_content(tmp_path: Path) -> None:
    """MME's file has no ids: two questions share the name of their picture."""
    rows = bare(table("mme", "published", tmp_path))
    FIXTURES["mme"]["published"](tmp_path / "data" / "mme")
    rows[0]["prediction"] = "No"
    result = scored(tmp_path, random.Random(0).sample(rows, len(rows)), "mme")
    assert result["missing"] == {str(tmp_path / "said.jsonl"): 0}
    assert values(result, "mme_existence")["original"] == 0.5
    assert values(result, "mme_ocr")["original"] == 1.0


# --- ids ----------------------------------------------------------------------------------------------------


def test_numbers_of_rows_are_not_taken_for_ids(tmp_path: Path) -> None:
    """lmms-eval counts rows from 0 where the benchmark's own ids may be such numbers too."""
    path = rad(tmp_path)
    rows = json.loads(path.read_text())
    for row, qid in zip(rows, (2, 0, 1), strict=True):
        row["qid"] = qid
    as_json(path, rows)
    said = [{"doc_id": at, "filtered_resps": [row["answer"]]} for at, row in enumerate(rows)]
    result = scored(tmp_path, said, "vqa_rad")
    assert values(result, "vqa_rad_closed")["original"] == 1.0
    assert values(result, "vqa_rad_open")["original"] == 1.0
    flat = [{"doc_id": at, "text": row["answer"]} for at, row in enumerate(rows)]
    assert scored(tmp_path, flat, "vqa_rad")["measurements"] == result["measurements"]


def test_ids_of_several_score_rows_have_to_say_which(tmp_path: Path) -> None:
    rows = table("pope", "published", tmp_path)
    FIXTURES["pope"]["published"](tmp_path / "data" / "pope")
    plain = [{"id": row["id"], "text": row["answer"]} for row in rows]
    with pytest.raises(BenchmarkError, match=r"several questions of pope are called '0'.*column `benchmark`"):
        scored(tmp_path, plain, "pope")
    named = [each | {"benchmark": f"pope_{row['category']}"} for each, row in zip(plain, rows, strict=True)]
    by_column = [each | {"category": row["category"]} for each, row in zip(plain, rows, strict=True)]
    first = scored(tmp_path, named, "pope")
    assert scored(tmp_path, by_column, "pope")["measurements"] == first["measurements"]
    assert all(
        values(first, f"pope_{part}")["original"] == 1.0 for part in ("random", "popular", "adversarial")
    )


def test_an_id_of_no_question_is_refused_and_shown_beside_a_real_one(tmp_path: Path) -> None:
    rad(tmp_path)
    with pytest.raises(BenchmarkError, match=r"row 2 answers '99', which is no question of vqa_rad; .* '11'"):
        scored(tmp_path, [{"id": 11, "text": "CT"}, {"id": 99, "text": "x"}], "vqa_rad")


def test_a_second_answer_is_refused(tmp_path: Path) -> None:
    rad(tmp_path)
    rows = [{"id": 11, "text": "CT"}, {"id": 12, "text": "no"}, {"id": 11, "text": "MRI"}]
    with pytest.raises(BenchmarkError, match=r"row 3 answers '11' a second time"):
        scored(tmp_path, rows, "vqa_rad")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        pytest.param([], "holds no predictions", id="empty"),
        pytest.param([{"id": 11}], "has no text; it has id", id="no text"),
        pytest.param([{"text": "x"}], "names no question", id="no id"),
    ],
)
def test_files_that_say_nothing_are_refused(rows: Rows, said: str, tmp_path: Path) -> None:
    rad(tmp_path)
    with pytest.raises(BenchmarkError, match=said):
        scored(tmp_path, rows, "vqa_rad")


@pytest.mark.parametrize("name", ["pope", "coco_captions"])
def test_the_benchmarks_own_answers_are_never_taken_for_replies(name: str, tmp_path: Path) -> None:
    """A file whose replies stand in a column that we do not know must not score the gold answers."""
    FIXTURES[name]["published"](tmp_path / "data" / name)
    made = table(name, "published", tmp_path)
    rows = [{key: cell for key, cell in row.items() if key != "image"} for row in made]
    with pytest.raises(BenchmarkError, match=r"row 1 has no text; .* call the reply `text`"):
        scored(tmp_path, [row | {"model_says": "no idea"} for row in rows], name)


def test_captions_in_cocos_own_form_of_results_are_scored(tmp_path: Path) -> None:
    FIXTURES["coco_captions"]["published"](tmp_path / "data" / "coco_captions")
    made = table("coco_captions", "published", tmp_path)
    as_json(tmp_path / "said.json", [{"image_id": row["id"], "caption": row["answer"][0]} for row in made])
    result = score_predictions(
        [tmp_path / "said.json"], ["coco_captions"], tmp_path / "out", data=tmp_path / "data"
    )
    assert values(result, "coco_captions")["original/bleu_4_strict"] == pytest.approx(1.0)


def test_answers_in_vqas_own_form_of_results_are_scored(tmp_path: Path) -> None:
    FIXTURES["vqav2"]["published"](tmp_path / "data" / "vqav2")
    said = [{"question_id": 262148000, "answer": "net"}, {"question_id": 262148001, "answer": "4"}]
    assert values(scored(tmp_path, said, "vqav2"), "vqav2")["original"] == 0.5


def test_broken_files_are_named(tmp_path: Path) -> None:
    rad(tmp_path)
    for name, text in (
        ("a.json", "{"),
        ("b.jsonl", "{"),
        ("c.parquet", "PAR1"),
        ("d.jsonl", '{"doc_id": 1, "resps": 3'),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises((BenchmarkError, DataError), match=name):
            score_predictions([tmp_path / name], ["vqa_rad"], tmp_path / "out", data=tmp_path / "data")
    with pytest.raises(BenchmarkError, match="gone"):
        score_predictions([tmp_path / "gone.json"], ["vqa_rad"], tmp_path / "out", data=tmp_path / "data")


# --- missing and empty answers ------------------------------------------------------------------------------


def test_missing_answers_are_counted_and_left_out_or_wrong(tmp_path: Path) -> None:
    rad(tmp_path)
    said = [{"id": 11, "text": "CT"}, {"id": 13, "text": "yes"}]
    left_out = scored(tmp_path, said, "vqa_rad")
    closed = left_out["measurements"]["vqa_rad_closed"]["original"]
    assert (closed["value"], closed["n"], closed["coverage"]) == (1.0, 1, 0.5)
    assert left_out["missing"] == {str(tmp_path / "said.jsonl"): 1}
    wrong = scored(tmp_path, said, "vqa_rad", missing_is_wrong=True)
    closed = wrong["measurements"]["vqa_rad_closed"]
    assert (closed["original"]["value"], closed["original"]["n"], closed["original"]["coverage"]) == (
        0.5,
        2,
        1.0,
    )
    assert closed["unparsed"]["value"] == 0.5


def test_missing_is_wrong_is_an_option_of_the_command_line(tmp_path: Path) -> None:
    rad(tmp_path)
    jsonl(tmp_path / "said.jsonl", [{"id": 11, "text": "CT"}, {"id": 13, "text": "yes"}])
    named = ("--predictions", "said.jsonl", "--benchmark", "vqa_rad", "--data", "data")
    done = cli(*named, "--missing-is-wrong", "--json", cwd=tmp_path)
    assert values(json.loads(done.stdout), "vqa_rad_closed")["original"] == 0.5
    shown = cli(*named, cwd=tmp_path)
    assert "said.jsonl: 1 questions without a prediction" in shown.stdout


def test_no_text_is_an_answer_that_cannot_be_read(tmp_path: Path) -> None:
    rad(tmp_path)
    said: Rows = [{"id": 11, "text": None}, {"id": 12, "text": None}, {"id": 13, "text": ""}]
    result = scored(tmp_path, said, "vqa_rad")
    for row in ("vqa_rad_open", "vqa_rad_closed"):
        assert (values(result, row)["original"], values(result, row)["unparsed"]) == (0.0, 1.0)
    as_json(tmp_path / "said.json", {"11": None, "12": "no", "13": "yes"})
    result = score_predictions([tmp_path / "said.json"], ["vqa_rad"], tmp_path / "o", data=tmp_path / "data")
    assert values(result, "vqa_rad_closed")["original"] == 1.0


def test_absent_files_and_rows_without_questions_say_what_to_put_where(tmp_path: Path) -> None:
    jsonl(tmp_path / "said.jsonl", [{"id": 11, "text": "CT"}])
    done = cli("--predictions", "said.jsonl", "--benchmark", "vqa_rad", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: the files of the benchmark vqa_rad are not here: put testset.json")


# --- order and comparison -----------------------------------------------------------------------------------


def messy_pope(n: int = 60) -> Rows:
    rng = random.Random("pope")
    rows = []
    for category in ("random", "popular", "adversarial"):
        for at in range(n):
            row = {"id": str(at), "category": category, "image_source": f"COCO_{at // 3}"}
            row |= {"question": f"Is there a {at} in the image?", "answer": ("yes", "no")[at % 2]}
            rows.append(row | {"prediction": rng.choice(MESSY)})
    return rows


MESSY = (
    "Yes", "yes.", "No, there is not", "no", "not sure", "NO!", "Yes, there is no cat.", "", "  ", "Ja",
    "Nope.", "There it is. Yes.", "There is one, yes", "YES", "yes, and no", "nothing", "I do not know", "No",
    "Ｙｅｓ", "None", "The answer is yes.", "a normal picture", "ｎｏ", "yes\nno", "Sorry, no", "不",
    "Yes\u200b",
)  # fmt: skip


def test_scores_do_not_depend_on_the_order_of_rows_to_the_last_digit(tmp_path: Path) -> None:
    rows = messy_pope()
    first = scored(tmp_path, rows, "pope")["measurements"]
    for seed in range(3):
        again = scored(tmp_path, random.Random(seed).sample(rows, len(rows)), "pope")["measurements"]
        assert json.dumps(again, sort_keys=True) == json.dumps(first, sort_keys=True)


def test_the_order_of_predictions_of_files_that_are_here_does_not_matter_either(tmp_path: Path) -> None:
    rows = messy_pope()
    jsonl(
        tmp_path / "data" / "pope" / "test.jsonl",
        [{k: v for k, v in each.items() if k != "prediction"} for each in rows],
    )
    said = [{"id": row["id"], "category": row["category"], "text": row["prediction"]} for row in rows]
    first = scored(tmp_path, said, "pope")["measurements"]
    again = scored(tmp_path, said[::-1], "pope")["measurements"]
    assert json.dumps(again, sort_keys=True) == json.dumps(first, sort_keys=True)


def test_two_files_are_compared_pair_by_pair(tmp_path: Path) -> None:
    rows = messy_pope(20)
    better = [row | {"prediction": row["answer"]} for row in rows]
    for name, table in (("a", rows), ("b", better), ("c", random.Random(1).sample(rows, len(rows)))):
        jsonl(tmp_path / f"{name}.jsonl", table)

    def compared(first: str, second: str) -> dict[str, Any]:
        paths = [tmp_path / f"{name}.jsonl" for name in (first, second)]
        result = score_predictions(paths, ["pope"], tmp_path / "out", data=tmp_path / "none")
        return dict(result["measurements"])

    equal = compared("a", "c")
    better_by = compared("b", "a")
    for row in ("pope_random", "pope_popular", "pope_adversarial"):
        same, gain = equal[row]["model-against/original"], better_by[row]["model-against/original"]
        assert (same["value"], same["low"], same["high"], same["p"], same["p_holm"]) == (0, 0, 0, 1, 1)
        difference = better_by[row]["original"]["value"] - better_by[row]["against/original"]["value"]
        assert gain["value"] == pytest.approx(difference)
        assert 0 < gain["p"] < 0.05
        assert "p_mcnemar" not in gain, "pictures have several questions each"
        f1 = better_by[row]["model-against/original/f1_strict"]
        assert f1["value"] > 0
        assert 0 < f1["p"] <= 1


def test_two_files_that_answer_different_questions_are_not_compared(tmp_path: Path) -> None:
    rad(tmp_path)
    as_json(tmp_path / "a.json", SAID)
    as_json(tmp_path / "b.json", {"11": "CT"})
    with pytest.raises(BenchmarkError, match="answered 1 "):
        score_predictions(
            [tmp_path / "a.json", tmp_path / "b.json"], ["vqa_rad"], tmp_path / "out", data=tmp_path / "data"
        )


# --- against straightforward implementations of the definitions ---------------------------------------------


def reads_yes_no(text: str) -> str | None:
    """One of the two words, and not the other."""
    found = set(re.findall(r"\w+", unicodedata.normalize("NFKC", text).lower())) & {"yes", "no"}
    return found.pop() if len(found) == 1 else None


def reads_pope(text: str) -> str:
    """First sentence, commas removed; the words No, not and no mean no, everything else yes."""
    said = text.split(".")[0].replace(",", "").split(" ")
    return "no" if "No" in said or "not" in said or "no" in said else "yes"


def reads_mme(text: str) -> str:
    """Equal to yes or no; else the first four characters have yes or no in them; else other."""
    lowered = text.lower()
    if lowered in ("yes", "no"):
        return lowered
    return next((word for word in ("yes", "no") if word in lowered[:4]), "other")


def test_pope_against_its_definition(tmp_path: Path) -> None:
    rows = messy_pope(167)
    result = scored(tmp_path, rows, "pope")
    for category in ("random", "popular", "adversarial"):
        own_rows = [row for row in rows if row["category"] == category]
        found = values(result, f"pope_{category}")
        for form, read in (("strict", reads_yes_no), ("paper", reads_pope)):
            said = [(row["answer"], read(row["prediction"])) for row in own_rows]
            tp = sum(each == ("yes", "yes") for each in said)
            fp = sum(each == ("no", "yes") for each in said)
            n_yes = sum(gold == "yes" for gold, _ in said)
            precision, recall = tp / (tp + fp), tp / n_yes
            expected = {
                "accuracy": sum(gold == each for gold, each in said) / len(said),
                "precision": precision,
                "recall": recall,
                "f1": 2 * precision * recall / (precision + recall),
                "yes_share": (tp + fp) / len(said),
            }
            for which, value in expected.items():
                name = f"pope_{which}_paper" if form == "paper" else f"{which}_strict"
                key = "original" if name == "accuracy_strict" else f"original/{name}"
                assert found[key] == pytest.approx(value, abs=1e-12), (category, name)
        unread = sum(reads_yes_no(row["prediction"]) is None for row in own_rows)
        assert found["unparsed"] == pytest.approx(unread / len(own_rows))


MME_TASKS = {
    "perception": (
        "existence", "count", "position", "color", "posters", "celebrity", "scene", "landmark", "artwork",
        "OCR",
    ),
    "cognition": ("commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning"),
}  # fmt: skip


def test_mme_against_its_definition(tmp_path: Path) -> None:
    rng = random.Random("mme")
    rows: Rows = []
    for task in (*MME_TASKS["perception"], *MME_TASKS["cognition"]):
        for at in range(18):
            for question, answer in (("A cat?", "Yes"), ("A dog?", "No")):
                # Often the gold, so that whole pairs are right.
                said = answer if rng.random() < 0.6 else rng.choice(MESSY)
                row = {"question_id": f"{task}/{at}.png", "question": question, "answer": answer}
                rows.append(row | {"category": task, "prediction": said})
    assert len(rows) >= 500
    result = scored(tmp_path, rows, "mme")
    for form, read in (("strict", reads_yes_no), ("paper", reads_mme)):
        points: dict[str, float] = {}
        for task in (*MME_TASKS["perception"], *MME_TASKS["cognition"]):
            pairs: dict[str, list[bool]] = defaultdict(list)
            for row in rows:
                if row["category"] == task:
                    pairs[row["question_id"]].append(read(row["prediction"]) == row["answer"].lower())
            every = [right for pair in pairs.values() for right in pair]
            accuracy = sum(every) / len(every)
            plus = sum(all(pair) for pair in pairs.values()) / len(pairs)
            found = values(result, f"mme_{task.lower()}")
            names = {
                "strict": ("original", "original/accuracy_plus_strict"),
                "paper": ("original/mme_accuracy_paper", "original/mme_accuracy_plus_paper"),
            }[form]
            assert found[names[0]] == pytest.approx(accuracy, abs=1e-12), task
            assert found[names[1]] == pytest.approx(plus, abs=1e-12), task
            points[task] = 100 * accuracy + 100 * plus
        totals = {group: sum(points[task] for task in tasks) for group, tasks in MME_TASKS.items()}
        totals["perception_of_8"] = totals["perception"] - points["landmark"] - points["artwork"]
        for group, total in totals.items():
            key = f"mme_{group}_{form}"
            assert 100 * values(result, key)["original"] == pytest.approx(total, abs=1e-9), key


ANIMALS = ("cat", "dog", "cow", "hen")


def templates(rng: random.Random, choices: Sequence[str]) -> tuple[str, int | None]:
    """Return a messy reply, and the choice that a careful reader reads in it (None: none, or several)."""
    first, second = rng.sample(range(len(choices)), 2)
    a, b, text = "ABCD"[first], "ABCD"[second], choices[first]
    return rng.choice(
        [
            (a, first), (f"({a})", first), (f"{a}.", first), (f"{a}. {text}", first), (f"{a}: {text}", first),
            (f"The answer is ({a}).", first), (f"The answer is {a}.", first), (f"Option {a}", first),
            (f"**{a}**", first), (text, first), (text.upper(), first), (f"It is a {text}.", first),
            (f"the {text}!", first), (f"{a} or {b}", None), ("", None), (" \n", None), ("not sure", None),
            (f"{text} or {choices[second]}", None), ("?", None), ("猫", None),
            (f"({a}) {choices[second]}", None), ("Z", None), ("Yes", None), (f"({a}) or ({b})", None),
            (f"{a.lower()}", first),
        ]
    )  # fmt: skip


def test_mmstar_against_its_definition(tmp_path: Path) -> None:
    rng = random.Random("mmstar")
    rows: Rows = []
    readings = []
    for at in range(500):
        choices = rng.sample(ANIMALS, 4)
        listed = ", ".join(f"{letter}: {text}" for letter, text in zip("ABCD", choices, strict=True))
        said, reading = templates(rng, choices)
        gold = "ABCD"[reading if reading is not None and rng.random() < 0.5 else rng.randrange(4)]
        row = {
            "index": at,
            "question": f"Which?\nOptions: {listed}",
            "answer": gold,
            "category": f"c{at % 6}",
        }
        rows.append(row | {"l2_category": f"d{at % 18}", "prediction": said})
        readings.append(None if reading is None else "ABCD"[reading])
    found = values(scored(tmp_path, rows, "mmstar"), "mmstar")
    strict = [reading == row["answer"] for row, reading in zip(rows, readings, strict=True)]
    assert found["original"] == pytest.approx(sum(strict) / 500, abs=1e-12)
    assert found["unparsed"] == pytest.approx(sum(each is None for each in readings) / 500)

    def official(letter: str, text: str) -> bool:
        letter, text = letter.lower(), text.lower().strip().replace("\n", " ")
        places = {"": 0, "(": 1, "option ": 7, "the answer is ": 14}
        return any(text[: len(lead)] == lead and text[at : at + 1] == letter for lead, at in places.items())

    paper = [official(row["answer"], row["prediction"]) for row in rows]
    assert found["original/mmstar_paper"] == pytest.approx(sum(paper) / 500, abs=1e-12)
    result = json.loads((tmp_path / "out" / "measurements.json").read_text())["measurements"]
    for part in range(6):
        own_rows = [right for row, right in zip(rows, strict, strict=True) if row["category"] == f"c{part}"]
        key = f"mmstar[category c{part}]"
        assert result[key]["original"]["value"] == pytest.approx(sum(own_rows) / len(own_rows), abs=1e-12)


def test_circular_mmbench_against_its_definition(tmp_path: Path) -> None:
    """Right is a question whose every rotation is right."""
    rng = random.Random("mmbench")
    rows: Rows = []
    right: dict[int, list[bool]] = defaultdict(list)
    clear: dict[int, list[bool]] = defaultdict(list)
    for at in range(170):
        n = rng.choice((2, 3, 4))
        choices = rng.sample(ANIMALS, n)
        gold = rng.choice(choices)
        for turn in range(n):
            turned = choices[turn:] + choices[:turn]
            letter = "ABCD"[turned.index(gold)]
            reading: int | None = turned.index(gold)
            if rng.random() < 0.85:
                said = rng.choice(
                    [letter, f"({letter})", f"{letter}. {gold}", gold, f"The answer is {letter}."]
                )
            else:
                said, reading = templates(rng, turned)
            row = {
                "index": turn * 1000000 + at,
                "question": "Which?",
                "hint": "",
                "answer": letter,
                "prediction": said,
            }
            cells = dict(zip("ABCD", [*turned, *[""] * (4 - n)], strict=True))
            rows.append(row | cells | {"category": f"c{at % 3}", "l2-category": "d"})
            right[at].append(reading is not None and turned[reading] == gold)
            clear[at].append(said in (letter, f"({letter})", gold))
    assert len(rows) >= 480
    result = scored(tmp_path, random.Random(0).sample(rows, len(rows)), "mmbench")
    found = values(result, "mmbench")
    whole = [all(each) for each in right.values()]
    every = [each for turns in right.values() for each in turns]
    assert 0.2 < sum(whole) / len(whole) < 0.9
    assert found["original"] == pytest.approx(sum(whole) / len(whole), abs=1e-12)
    assert found["original/accuracy_strict"] == pytest.approx(sum(every) / len(every), abs=1e-12)
    for part in range(3):
        own_rows = [right[at] for at in right if at % 3 == part]
        key = f"mmbench[category c{part}]"
        assert values(result, key)["original"] == pytest.approx(
            sum(map(all, own_rows)) / len(own_rows), abs=1e-12
        )
    # The published reading is another; where every reply is plain, it has to agree.
    plain = [at for at in clear if all(clear[at])]
    kept = [row for row in rows if row["index"] % 1000000 in plain]
    assert len(plain) > 5
    assert values(scored(tmp_path, kept, "mmbench"), "mmbench")["original/circular_paper"] == 1.0


# --- real data ----------------------------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "folder", "file"), [("slake", "slake_text", "test.json"), ("vqa_rad", "vqa_rad", "testset.json")]
)
def test_the_gold_answers_of_real_data_are_all_right(
    name: str, folder: str, file: str, shared_data: Path, tmp_path: Path
) -> None:
    (tmp_path / "data" / name).mkdir(parents=True)
    (tmp_path / "data" / name / file).symlink_to(shared_data / folder / file)
    rows = json.loads((shared_data / folder / file).read_text(encoding="utf-8"))
    english = [row for row in rows if row.get("q_lang", "en") == "en"]
    jsonl(tmp_path / "said.jsonl", [{"id": row["qid"], "text": str(row["answer"])} for row in english])
    located = locate(name, data=tmp_path / "data")
    matched = match(tmp_path / "said.jsonl", located, model="model")
    assert matched.n_missing == 0
    assert matched.benchmark.rejections == ()
    result = score_predictions([tmp_path / "said.jsonl"], [name], tmp_path / "out", data=tmp_path / "data")
    for row in (f"{name}_open", f"{name}_closed"):
        assert result["rows"][row] == locate(name).spec.counts[row]
        assert values(result, row)["original"] == 1.0
        assert values(result, row)["unparsed"] == 0.0
    assert values(result, f"{name}_open")["original/exact_strict"] == 1.0
