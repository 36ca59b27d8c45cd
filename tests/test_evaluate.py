"""Benchmarks from files, image conditions, and the room's door with the fake engine."""

import csv
import io
import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from acclimate.artifacts import ReplyLog
from acclimate.engines.fake import FakeEngine
from acclimate.engines.protocol import Request
from acclimate.errors import BenchmarkError
from acclimate.evaluate.conditions import shown_images
from acclimate.evaluate.donors import donor_by_id
from acclimate.evaluate.heldout import caption_items, task_items
from acclimate.evaluate.load import Benchmark, benchmark_files, load_benchmark
from acclimate.evaluate.stage import EvaluateConfig, in_order, predict, primary_by_benchmark, score
from acclimate.files import ImageStore
from acclimate.records import ImageCaption, ImageRef, Item, JudgedTriplet, Prediction

VQA_RAD = {
    "name": "vqa_rad",
    "version": 1,
    "file": "testset.json",
    "image_root": "images",
    "columns": {"id": "qid", "image": "image_name", "question": "question", "answer": "answer"},
    "kind": {"column": "answer_type", "values": {"OPEN": "open", "CLOSED": "closed"}},
}


def png(shade: int, size: tuple[int, int] = (8, 6)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, (shade, 10, 10)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "store")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A benchmark's folder with six pictures, p0.png to p5.png."""
    root = tmp_path / "bench ünïcode"
    (root / "images").mkdir(parents=True)
    for at in range(6):
        (root / "images" / f"p{at}.png").write_bytes(png(at))
    return root


def write(folder: Path, rows: Sequence[Mapping[str, object]], **fields: object) -> Path:
    """Write a benchmark; `fields` replace those of a small closed one."""
    (folder / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    spec: dict[str, object] = {
        "name": "small",
        "version": 1,
        "file": "rows.json",
        "image_root": "images",
        "columns": {"image": "image", "question": "question", "answer": "answer"},
        "kind": "closed",
    }
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(spec | fields, allow_unicode=True), encoding="utf-8")
    return path


def closed_rows(n_rows: int = 6) -> list[dict[str, object]]:
    return [
        {"image": f"p{at % 6}.png", "question": f"Is it {at}?", "answer": ("yes", "no")[at % 2]}
        for at in range(n_rows)
    ]


def reasons(benchmark: Benchmark) -> Mapping[str, int]:
    return Counter(each.reason for each in benchmark.rejections)


def test_every_row_is_an_item_or_exactly_one_rejection(folder: Path, store: ImageStore) -> None:
    (folder / "images" / "broken.png").write_bytes(b"not a picture")
    rows: list[dict[str, object]] = [
        *closed_rows(3),
        {"image": "gone.png", "question": "q", "answer": "yes"},
        {"image": "../small.yaml", "question": "q", "answer": "yes"},
        {"image": "https://example.org/p0.png", "question": "q", "answer": "yes"},
        {"image": "broken.png", "question": "q", "answer": "yes"},
        {"image": "p0.png", "question": "  ", "answer": "yes"},
        {"image": "p0.png", "question": "q", "answer": None},
        {"image": "p0.png", "question": "q", "answer": "?!"},
        {"image": None, "question": "q", "answer": "yes"},
    ]
    benchmark = load_benchmark(write(folder, rows), store)
    assert len(benchmark.items) == 3
    assert reasons(benchmark) == {
        "missing_image": 4,
        "image_unreadable": 1,
        "empty_question": 1,
        "empty_answer": 2,
    }
    ids = [each.id for each in benchmark.items] + [each.id for each in benchmark.rejections]
    assert len(set(ids)) == len(rows)
    assert benchmark.n_rows_by_benchmark == {"small": 11}
    assert "row 4" in benchmark.rejections[0].detail


def test_choices_are_asked_with_letters_and_gold_is_named_by_text_or_letter(
    folder: Path, store: ImageStore
) -> None:
    rows: list[dict[str, object]] = [
        {"image": "p0.png", "question": "Which?", "answer": "Lung", "choices": ["lung", "heart"]},
        {"image": "p1.png", "question": "Which?", "answer": "B", "choices": {"B": "heart", "A": "lung"}},
        {"image": "p2.png", "question": "Which?", "answer": "liver", "choices": "lung|heart"},
        {"image": "p3.png", "question": "Which?", "answer": "lung", "choices": ["lung", "lung"]},
    ]
    columns = {"image": "image", "question": "question", "answer": "answer", "choices": "choices"}
    benchmark = load_benchmark(write(folder, rows, kind="choice", columns=columns), store)
    assert [item.gold for item in benchmark.items] == [("lung",), ("heart",)]
    assert benchmark.items[0].question == "Which?\nThe choices are: A. lung B. heart"
    assert reasons(benchmark) == {"gold_not_in_choices": 2}


def test_labels_come_from_a_list_or_a_text_and_must_be_known(folder: Path, store: ImageStore) -> None:
    rows: list[dict[str, object]] = [
        {"image": "p0.png", "question": "What?", "answer": ["Egg", "rice"]},
        {"image": "p1.png", "question": "What?", "answer": "rice | egg"},
        {"image": "p2.png", "question": "What?", "answer": ["rice", "stone"]},
        {"image": "p3.png", "question": "What?", "answer": []},
    ]
    path = write(folder, rows, kind="multi_label", labels=["rice", "egg", "ham"])
    benchmark = load_benchmark(path, store)
    assert [item.gold for item in benchmark.items] == [("egg", "rice"), ("rice", "egg")]
    assert benchmark.items[0].choices == ("rice", "egg", "ham")
    assert reasons(benchmark) == {"gold_not_in_choices": 1, "empty_answer": 1}


def test_a_mixed_file_gives_one_score_row_per_kind_and_rejects_unknown_kinds(
    folder: Path, store: ImageStore
) -> None:
    rows: list[dict[str, object]] = [
        dict(row, type=kind) for row, kind in zip(closed_rows(3), ["C", "O", "?"], strict=True)
    ]
    path = write(folder, rows, kind={"column": "type", "values": {"C": "closed", "O": "open"}})
    benchmark = load_benchmark(path, store)
    assert [(item.benchmark, item.kind) for item in benchmark.items] == [
        ("small_closed", "closed"),
        ("small_open", "open"),
    ]
    assert reasons(benchmark) == {"unknown_kind": 1}
    assert benchmark.max_tokens_by_benchmark == {"small_closed": 8, "small_open": 24}


def test_templates_replace_their_own_markers_only(folder: Path, store: ImageStore) -> None:
    rows: list[dict[str, object]] = [
        {"image": "p0.png", "question": "What is {choices} in {x}?", "answer": 3.0, "choices": "2|3"}
    ]
    columns = {"image": "image", "question": "question", "answer": "answer", "choices": "choices"}
    path = write(
        folder, rows, kind="choice", columns=columns, prompt="Pick {choices}. {question} Letter only."
    )
    (item,) = load_benchmark(path, store).items
    assert item.question == "Pick A. 2 B. 3. What is {choices} in {x}? Letter only."
    assert item.gold == ("3",)


@pytest.mark.parametrize("form", ["jsonl", "csv", "csv semicolons", "parquet"])
def test_every_file_form_gives_the_same_items(folder: Path, store: ImageStore, form: str) -> None:
    rows: list[dict[str, object]] = [
        {name: str(value) for name, value in row.items()} for row in closed_rows()
    ]
    expected = load_benchmark(write(folder, closed_rows()), store).items
    suffix = form.split()[0]
    path = write(folder, closed_rows(), file=f"rows.{suffix}")
    target = folder / f"rows.{suffix}"
    if form == "jsonl":
        target.write_text("\n".join(map(json.dumps, rows)) + "\n\n", encoding="utf-8")
    elif form == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), target)
    else:
        with target.open("w", encoding="utf-8-sig", newline="") as out:
            writer = csv.DictWriter(out, list(rows[0]), delimiter=";" if "semicolons" in form else ",")
            writer.writeheader()
            writer.writerows(rows)
    assert load_benchmark(path, store).items == expected
    assert benchmark_files(path) == (path, target)


def test_pictures_may_lie_inside_a_parquet_file(folder: Path, store: ImageStore) -> None:
    rows: list[dict[str, object]] = [
        {"image": {"bytes": png(at), "path": f"{at}.png"}, "question": f"{at}?", "answer": "yes"}
        for at in range(2)
    ]
    path = write(folder, [], file="rows.parquet")
    pq.write_table(pa.Table.from_pylist(rows), folder / "rows.parquet")
    benchmark = load_benchmark(path, store)
    assert [item.image.sha256 for item in benchmark.items if item.image] == [
        store.add(png(at)).sha256 for at in range(2)
    ]


def test_ids_depend_on_content_and_not_on_the_order_or_other_rows(folder: Path, store: ImageStore) -> None:
    rows = closed_rows() + closed_rows(1)
    every = {item.id: item for item in load_benchmark(write(folder, rows), store).items}
    fewer = {item.id: item for item in load_benchmark(write(folder, rows[:0:-1]), store).items}
    assert len(every) == 7
    assert all(every[item_id] == item for item_id, item in fewer.items())


def test_own_ids_are_kept_and_must_be_unique(folder: Path, store: ImageStore) -> None:
    columns = {"id": "n", "image": "image", "question": "question", "answer": "answer"}
    rows: list[dict[str, object]] = [dict(row, n=at) for at, row in enumerate(closed_rows(3))]
    assert [item.id for item in load_benchmark(write(folder, rows, columns=columns), store).items] == [
        "0",
        "1",
        "2",
    ]
    with pytest.raises(BenchmarkError, match="'1' stands in several rows"):
        load_benchmark(write(folder, [*rows, rows[1]], columns=columns), store)


def test_a_limit_takes_the_same_rows_whatever_their_order(folder: Path, store: ImageStore) -> None:
    rows = closed_rows(30)
    first = load_benchmark(write(folder, rows), store, limit=5).items
    second = load_benchmark(write(folder, rows[::-1]), store, limit=5).items
    assert len(first) == 5
    assert {item.id for item in first} == {item.id for item in second}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        pytest.param(
            {"promt": "x {question}"}, "'promt'; the nearest known one is 'prompt'", id="unknown key"
        ),
        pytest.param(
            {"columns": {"imag": "image"}},
            "'columns.imag'; the nearest known one is 'image'",
            id="column key",
        ),
        pytest.param({"kind": "clsed"}, "kind", id="unknown kind"),
        pytest.param({"kind": None}, "give either `kind`", id="no kind"),
        pytest.param({"kind": "multi_label"}, "needs `labels`", id="no labels"),
        pytest.param({"kind": "choice"}, "needs `columns.choices`", id="no choices"),
        pytest.param({"prompt": "What?"}, "must contain {question}", id="template without question"),
        pytest.param({"file": "rows.xlsx"}, "must end in one of", id="file form"),
        pytest.param({"name": "macro"}, "macro", id="reserved name"),
        pytest.param({"file": "gone.json"}, "gone.json", id="missing file"),
        pytest.param(
            {"columns": {"image": "picture", "question": "question", "answer": "answer"}},
            "no column 'picture'; it has answer, image, question",
            id="missing column",
        ),
        pytest.param({"image_root": "nowhere"}, "none of the 6 rows", id="missing image folder"),
    ],
)
def test_a_wrong_definition_says_what_and_where(
    folder: Path, store: ImageStore, fields: dict[str, object], said: str
) -> None:
    with pytest.raises(BenchmarkError) as caught:
        load_benchmark(write(folder, closed_rows(), **fields), store)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_what_it_says_is_named(folder: Path, store: ImageStore) -> None:
    path = write(folder, closed_rows())
    (folder / "rows.json").write_text('{"a": 1', encoding="utf-8")
    with pytest.raises(BenchmarkError, match=r"rows\.json is not JSON"):
        load_benchmark(path, store)
    path.write_text("name: [", encoding="utf-8")
    with pytest.raises(BenchmarkError, match="is not YAML"):
        load_benchmark(path, store)
    with pytest.raises(BenchmarkError, match="cannot read the benchmark"):
        load_benchmark(folder / "gone.yaml", store)


def item(
    name: str, picture: str, *, cluster: str = "", benchmark: str = "b", size: tuple[int, int] = (8, 6)
) -> Item:
    image = ImageRef(picture * 64, *size, "image/png")
    return Item(name, benchmark, f"{name}?", image, "closed", ("yes",), (), cluster or image.sha256)


def layout(sizes: list[int], benchmark: str = "b") -> list[Item]:
    """Return items with `sizes[k]` questions on picture k."""
    return [
        item(f"i{picture:03d}{at}", f"{picture:x}", benchmark=benchmark)
        for picture, size in enumerate(sizes)
        for at in range(size)
    ]


def test_no_item_is_shown_a_picture_of_its_own_content_or_cluster() -> None:
    rng = random.Random("layouts")
    for trial in range(200):
        sizes = [rng.randint(1, 5) for _ in range(rng.randint(2, 16))]
        items = [replace(each, cluster=f"case {int(each.id[1:4]) // 2}") for each in layout(sizes)]
        by_id = {each.id: each for each in items}
        largest = max(Counter(each.cluster for each in items).values())
        if 2 * largest > len(items):
            with pytest.raises(BenchmarkError, match="not every question"):
                donor_by_id(items, trial)
            continue
        donors = donor_by_id(items, trial)
        assert donors.keys() == by_id.keys()
        assert sorted(donors.values()) == sorted(by_id), "every picture is shown as often as before"
        for item_id, donor in donors.items():
            assert by_id[donor].image != by_id[item_id].image
            assert by_id[donor].cluster != by_id[item_id].cluster


def test_one_picture_on_exactly_half_the_questions_is_possible_and_more_is_not() -> None:
    assert len(donor_by_id(layout([3, 1, 2]), 0)) == 6
    for sizes in ([4, 1, 2], [1], [5]):
        with pytest.raises(BenchmarkError, match="higher --limit"):
            donor_by_id(layout(sizes), 0)


def test_the_donor_map_depends_on_seed_benchmark_and_items_but_not_on_their_order() -> None:
    items = layout([2, 1, 3, 2, 1, 1, 2])
    shuffled = random.Random(0).sample(items, len(items))
    assert donor_by_id(items, 0) == donor_by_id(shuffled, 0)
    assert donor_by_id(items, 0) != donor_by_id(items, 1)
    assert donor_by_id(items, 0) != donor_by_id([replace(each, benchmark="c") for each in items], 0)


def test_donors_spread_over_pictures() -> None:
    items = layout([2] * 16)
    by_id = {each.id: each.image for each in items}
    maps = [donor_by_id(items, seed) for seed in range(40)]
    seen = {by_id[donors["i0000"]] for donors in maps}
    assert len(seen) > 8


def test_a_blank_picture_is_grey_and_has_the_size_of_the_one_it_replaces(store: ImageStore) -> None:
    first, second = store.add(png(1, (20, 12))), store.add(png(2, (8, 6)))
    items = [
        Item("a", "b", "?", first, "closed", ("yes",), (), "x"),
        Item("c", "b", "?", second, "closed", ("yes",), (), "y"),
        Item("d", "b", "?", None, "closed", ("yes",), (), "z"),
    ]
    shown = shown_images(items, "blank", seed=0, store=store)
    blank = shown["b", "a"]
    assert blank is not None
    picture = store.open(blank)
    assert picture.size == (20, 12)
    assert picture.getcolors() == [(240, (128, 128, 128))]
    assert store.open(shown["b", "c"] or blank).size == (8, 6)
    assert shown["b", "d"] is None


def evaluated(
    items: tuple[Item, ...], reply: Callable[[Request], str], store: ImageStore, *, model: str = "base"
) -> list[Prediction]:
    return list(predict(items, FakeEngine(reply), EvaluateConfig(), model=model, store=store, log=None))


def test_every_item_is_asked_once_under_every_condition_with_its_picture_first(
    folder: Path, store: ImageStore
) -> None:
    benchmark = load_benchmark(write(folder, closed_rows(), max_tokens=5), store)
    asked: list[Request] = []

    def reply(request: Request) -> str:
        asked.append(request)
        return "yes"

    predictions = list(
        predict(
            benchmark.items,
            FakeEngine(reply),
            EvaluateConfig(),
            model="base",
            store=store,
            log=None,
            max_tokens_by_benchmark=benchmark.max_tokens_by_benchmark,
        )
    )
    expected = [(c, i.id) for c in ("original", "mismatch", "blank") for i in benchmark.items]
    sorted_out = in_order(predictions, benchmark.items, EvaluateConfig().conditions)
    assert [(each.condition, each.item_id) for each in sorted_out] == expected
    shown = [each.image.sha256 for each in predictions if each.image is not None]
    turns = [name for at, name in enumerate(shown) if at == 0 or shown[at - 1] != name]
    assert len(turns) == len(set(turns)), "questions that show one picture are asked together"
    assert [each.image for each in sorted_out[:6]] == [each.image for each in benchmark.items]
    assert {request.sampling.max_tokens for request in asked} == {5}
    assert all(
        request.messages[0].images == (each.image,) for request, each in zip(asked, predictions, strict=True)
    )


def test_a_model_that_sees_is_right_on_its_own_picture_only_and_a_blind_one_on_all_alike(
    folder: Path, store: ImageStore
) -> None:
    benchmark = load_benchmark(write(folder, closed_rows()), store)
    truth = {(each.question, each.image): each.gold[0] for each in benchmark.items}
    wrong = {"yes": "no", "no": "yes"}
    gold = {each.question: each.gold[0] for each in benchmark.items}

    def seeing(request: Request) -> str:
        (message,) = request.messages
        return truth.get((message.text, message.images[0]), wrong[gold[message.text]])

    def mean(reply: Callable[[Request], str]) -> Mapping[str, float]:
        scores = score(benchmark.items, evaluated(benchmark.items, reply, store))
        totals: dict[str, float] = defaultdict(float)
        for each in scores:
            if each.scorer == "accuracy_strict":
                totals[each.condition] += each.value / len(benchmark.items)
        return {name: round(totals[name], 9) for name in ("original", "mismatch", "blank")}

    assert mean(seeing) == {"original": 1.0, "mismatch": 0.0, "blank": 0.0}
    assert len(set(mean(lambda _: "yes").values())) == 1


def test_both_models_are_shown_the_same_pictures(folder: Path, store: ImageStore) -> None:
    items = load_benchmark(write(folder, closed_rows()), store).items
    first = evaluated(items, lambda _: "yes", store, model="base")
    second = evaluated(items, lambda _: "no", store, model="adapted")
    assert [each.image for each in first] == [each.image for each in second]


def test_an_interrupted_evaluation_goes_on_from_its_log(
    folder: Path, store: ImageStore, tmp_path: Path
) -> None:
    items = load_benchmark(write(folder, closed_rows()), store).items
    whole = evaluated(items, lambda request: request.messages[0].text, store)
    log_folder = tmp_path / "log"
    asked = []

    def reply(request: Request) -> str:
        asked.append(request.id)
        return request.messages[0].text

    engine = FakeEngine(reply)
    for _ in range(2):
        log = ReplyLog(log_folder)
        again = list(predict(items, engine, EvaluateConfig(), model="base", store=store, log=log))
        assert again == whole
    assert len(asked) == len(set(asked)) == 18


def test_an_impossible_mismatch_is_refused_before_anything_is_asked(folder: Path, store: ImageStore) -> None:
    rows: list[dict[str, object]] = [
        {"image": "p0.png", "question": f"{at}?", "answer": "yes"} for at in range(3)
    ]
    items = load_benchmark(write(folder, rows), store).items

    def reply(request: Request) -> str:
        pytest.fail("nothing may be asked")

    with pytest.raises(BenchmarkError, match="mismatch"):
        evaluated(items, reply, store)


def test_scores_say_what_could_not_be_read(folder: Path, store: ImageStore) -> None:
    items = load_benchmark(write(folder, closed_rows()), store).items
    scores = [
        each for each in score(items, evaluated(items, lambda _: "perhaps", store)) if "strict" in each.scorer
    ]
    assert {(each.value, each.parsed, each.reason) for each in scores} == {(0.0, False, "unparsed")}
    assert primary_by_benchmark(items) == {"small": "accuracy_strict"}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(lambda found: found[:-1], "the first missing one", id="one is missing"),
        pytest.param(lambda found: [*found, found[0]], "stands twice", id="one stands twice"),
        pytest.param(
            lambda found: [*found, replace(found[0], item_id="?")], "belongs to no item", id="one of no item"
        ),
    ],
)
def test_conditions_must_cover_the_same_items(
    folder: Path, store: ImageStore, spoil: Callable[[list[Prediction]], list[Prediction]], said: str
) -> None:
    items = load_benchmark(write(folder, closed_rows()), store).items
    with pytest.raises(BenchmarkError, match=said):
        list(score(items, spoil(evaluated(items, lambda _: "yes", store))))


def test_two_benchmarks_of_one_name_are_refused(folder: Path, store: ImageStore) -> None:
    items = load_benchmark(write(folder, closed_rows()), store).items
    with pytest.raises(BenchmarkError, match="twice"):
        evaluated((*items, items[0]), lambda _: "yes", store)


def test_held_out_pairs_are_scored_by_their_captions_and_kept_tasks(store: ImageStore) -> None:
    pairs = [
        ImageCaption(f"p{at}", store.add(png(at)), caption, "x", "unknown")
        for at, caption in enumerate(["A red cell.", "Two blue cells.", " "])
    ]
    kept = [
        JudgedTriplet(
            f"t{at}",
            f"p{at}",
            f"How many in {at}?",
            "There is one.",
            "one",
            "rules",
            "consistent",
            1,
            0,
            0,
            "j",
        )
        for at in (0, 1, 9)
    ]
    items = (*caption_items(pairs, "Describe."), *task_items(kept, pairs))
    assert [(each.benchmark, each.id) for each in items] == [
        ("heldout_captions", "p0"),
        ("heldout_captions", "p1"),
        ("heldout_tasks", "t0"),
        ("heldout_tasks", "t1"),
    ]
    scores = list(score(items, evaluated(items, lambda _: "a red cell", store)))
    original = {(each.item_id, each.scorer): each.value for each in scores if each.condition == "original"}
    assert original["p0", "rouge_l_strict"] == 1.0
    assert original["p1", "rouge_l_strict"] == 0.0
    assert original["t0", "recall_strict"] == 0.0
    assert primary_by_benchmark(items) == {
        "heldout_captions": "rouge_l_strict",
        "heldout_tasks": "recall_strict",
    }


def test_the_real_vqa_rad_test_set_is_read_whole(
    shared_data: Path, store: ImageStore, tmp_path: Path
) -> None:
    spec = VQA_RAD | {
        "file": str(shared_data / "vqa_rad" / "testset.json"),
        "image_root": str(shared_data / "vqa_rad" / "images"),
    }
    path = tmp_path / "vqa_rad.yaml"
    path.write_text(yaml.safe_dump(spec), encoding="utf-8")
    benchmark = load_benchmark(path, store)
    assert benchmark.rejections == ()
    assert benchmark.n_rows_by_benchmark == {"vqa_rad_closed": 272, "vqa_rad_open": 179}
    assert len({each.image for each in benchmark.items}) == 203

    # Answering with the gold itself is right everywhere, either-or questions included.
    gold = {(each.question, each.image): each.gold[0] for each in benchmark.items}

    def oracle(request: Request) -> str:
        (message,) = request.messages
        return gold.get((message.text, message.images[0]), "I cannot tell")

    strict = [
        each
        for each in score(benchmark.items, evaluated(benchmark.items, oracle, store))
        if each.scorer in ("accuracy_strict", "recall_strict")
    ]
    assert len(strict) == 3 * 451
    assert all(each.value == 1.0 for each in strict if each.condition == "original")
    assert all(
        not each.parsed for each in strict if each.condition == "blank" and each.benchmark == "vqa_rad_closed"
    )
