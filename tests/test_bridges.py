"""What other evaluation programs read and write: lmms-eval (tasks, model, samples), VLMEvalKit (tables)."""

import base64
import hashlib
import importlib.util
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import datasets
import pandas
import pytest
import yaml
from PIL import Image

from acclimate.engines.fake import FakeEngine
from acclimate.engines.protocol import ChoiceRequest, Message, Request, Sampling
from acclimate.errors import BenchmarkError, DataError, EngineError
from acclimate.evaluate import lmms_task
from acclimate.evaluate.conditions import shown_images
from acclimate.evaluate.lmms_eval import doc_of, metric_names, task_name, write_benchmark, write_tasks
from acclimate.evaluate.load import load_benchmark
from acclimate.evaluate.pictures import plain_picture, png
from acclimate.evaluate.samples import read_samples, write_samples
from acclimate.evaluate.stage import score
from acclimate.evaluate.vlmevalkit import question_alone, write_tsvs
from acclimate.files import ImageStore
from acclimate.lmms_model import AcclimateChat, AcclimateSimple, cut_at, manifests, messages_of, sampling_of
from acclimate.records import ImageRef, Item, Prediction

CONDITIONS = ("original", "mismatch", "blank")
LOGGED = Path(__file__).parent / "logged_samples"
"""Files that lmms-eval 0.7.3 wrote, for questions on drawn pictures."""


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "store")


def picture(store: ImageStore, shade: int, mode: str = "RGB", size: tuple[int, int] = (12, 8)) -> ImageRef:
    image = Image.new("RGB", size, (shade, 90, 160)).convert(mode)
    return store.add(png(image))


def item(name: str, image: ImageRef | None, **more: Any) -> Item:
    facts: dict[str, Any] = {"kind": "closed", "gold": ("yes",), "choices": (), "cluster": f"case {name}"}
    facts |= {"id": name, "benchmark": "cells", "question": f"Is {name} round?", "image": image}
    return Item(**(facts | more))


@pytest.fixture
def items(store: ImageStore) -> list[Item]:
    return [
        item("a", picture(store, 10), gold=("yes",), stratum="size"),
        item("b", picture(store, 20), gold=("no",), subsets=("organ lung", "organ heart")),
        item("c", picture(store, 30), gold=("left",), question='Left\tor "right"?\nSay one.\r'),
    ]


def shown(items: list[Item], store: ImageStore) -> dict[str, Any]:
    return {each: shown_images(items, each, seed=3, store=store) for each in CONDITIONS}


def written(items: list[Item], store: ImageStore, out: Path, **more: Any) -> tuple[str, ...]:
    lengths = {each.benchmark: 8 for each in items}
    return write_tasks(items, shown(items, store), out, store=store, max_tokens_by_benchmark=lengths, **more)


def config_of(path: Path) -> dict[str, Any]:
    """A task's YAML, functions as their names."""

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))
    found: dict[str, Any] = yaml.load(path.read_text(), Loader=Loader)
    return found


def utils_of(folder: Path) -> ModuleType:
    """A task's functions, loaded as lmms-eval loads them: from the file, in no package."""
    spec = importlib.util.spec_from_file_location("utils", folder / "utils.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def docs_of(folder: Path, name: str) -> list[dict[str, Any]]:
    """A task's rows, read by `datasets` as lmms-eval reads them."""
    config = config_of(folder / f"{name}.yaml")
    found = datasets.load_dataset(
        config["dataset_path"],
        data_files={"test": str(folder / config["dataset_kwargs"]["data_files"]["test"])},
        cache_dir=str(folder / "cache"),
    )
    return list(found["test"])


# --- lmms-eval's tasks -----------------------------------------------------------------------------


def test_a_task_holds_questions_and_pictures_as_lmms_eval_reads_them(
    tmp_path: Path, store: ImageStore, items: list[Item]
):
    names = written(items, store, tmp_path)
    assert names == tuple(f"acclimate_cells_{each}" for each in CONDITIONS)
    config = config_of(tmp_path / f"{names[1]}.yaml")
    assert config["generation_kwargs"] == {
        "max_new_tokens": 8,
        "temperature": 0,
        "do_sample": False,
        "until": [],
    }
    assert [each["metric"] for each in config["metric_list"]] == [
        "accuracy_strict",
        "accuracy_paper",
        "unparsed",
    ]
    assert config["cluster_key"] == "cluster"
    utils = utils_of(tmp_path)
    pictures = shown(items, store)["mismatch"]
    for doc, each in zip(docs_of(tmp_path, names[1]), items, strict=True):
        ref = pictures["cells", each.id]
        assert ref is not None and ref != each.image and doc["image_sha256"] == ref.sha256
        assert utils.item_of(doc) == Item(
            **{name: getattr(each, name) for name in each.__slots__} | {"image": None}
        )
        ((turn),) = utils.doc_to_messages(doc)
        assert [part["type"] for part in turn["content"]] == ["image", "text"]
        assert turn["content"][0]["url"].tobytes() == store.open(ref).tobytes()
        assert turn["content"][1]["text"] == each.question == utils.doc_to_text(doc)
        assert utils.doc_to_target(doc) == each.gold[0]


def test_scores_in_lmms_eval_are_ours(tmp_path: Path, store: ImageStore, items: list[Item]):
    (name, *_) = written(items, store, tmp_path)
    utils, docs = utils_of(tmp_path), docs_of(tmp_path, name)
    said = ("Yes, it is.", "maybe", "left")
    rows = [utils.process_results(doc, [text]) for doc, text in zip(docs, said, strict=True)]
    predictions = [
        Prediction(each.id, "cells", "model", "original", each.image, text, "stop")
        for each, text in zip(items, said, strict=True)
    ]
    ours = {(each.item_id, each.scorer): each for each in score(items, predictions)}
    for row in rows:
        for scorer in metric_names(items):
            mark = ours[row["item_id"], scorer]
            assert row[scorer] == {"score": mark.value, "cluster": mark.cluster}
    assert [row["score"] for row in rows] == [1.0, 0.0, 1.0]
    assert [row["parse_status"] for row in rows] == ["parsed", "unparsed", "parsed"]
    assert utils.aggregate([row["accuracy_strict"] for row in rows]) == pytest.approx(2 / 3)
    assert utils.aggregate([row["unparsed"] for row in rows]) == pytest.approx(1 / 3)


def test_metrics_of_a_whole_task_are_ours(tmp_path: Path, store: ImageStore):
    texts = ("a red round cell", "two blue cells", "a grey square", "red")
    golds = (("a red cell", "one round red cell"), ("two blue cells",), ("a square",), ("nothing to see",))
    names = ("cider_d_strict", "bleu_1_strict", "rouge_l_strict")
    captions = [
        item(f"i{at}", picture(store, 40 + at), kind="caption", gold=gold) for at, gold in enumerate(golds)
    ]
    (task, *_) = written(captions, store, tmp_path, scorers_by_benchmark={"cells": names})
    utils, docs = utils_of(tmp_path), docs_of(tmp_path, task)
    rows = [utils.process_results(doc, [text]) for doc, text in zip(docs, texts, strict=True)]
    assert "score" not in rows[0], "CIDEr of one answer alone means nothing"
    predictions = [
        Prediction(each.id, "cells", "model", "original", each.image, text, "stop")
        for each, text in zip(captions, texts, strict=True)
    ]
    scores = list(score(captions, predictions, {"cells": names}))
    of = {name: [each for each in scores if each.scorer == name] for name in names}
    for name in ("cider_d_strict", "rouge_l_strict"):
        mean = sum(each.value for each in of[name]) / len(captions)
        assert utils.aggregate([row[name] for row in rows]) == pytest.approx(mean)
    matches, candidates, length, reference = (
        sum(column) for column in zip(*(each.parts for each in of["bleu_1_strict"]), strict=True)
    )
    brevity = min(1.0, 2.718281828459045 ** (1 - reference / length))
    assert utils.aggregate([row["bleu_1_strict"] for row in rows]) == pytest.approx(
        brevity * matches / candidates
    )


def test_rates_and_groups_are_ratios_of_sums():
    rows = [
        {"value": 1.0, "cluster": "x", "parts": [1.0, 1.0]},
        {"value": 0.0, "cluster": "y", "parts": [0.0, 3.0]},
    ]
    assert lmms_task.aggregate(rows) == 0.25
    assert lmms_task.aggregate([{"value": 0.0, "cluster": "x", "parts": [0.0, 0.0]}]) == 0.0
    pair = [item("q1", None, group="g"), item("q2", None, group="g", gold=("no",))]
    docs = [doc_of(each, "original", None, ("accuracy_plus_strict",)) for each in pair]
    for said, value in ((("yes", "no"), 1.0), (("yes", "yes"), 0.0)):
        rows = [
            lmms_task.process_results(doc, [text])["accuracy_plus_strict"]
            for doc, text in zip(docs, said, strict=True)
        ]
        assert lmms_task.aggregate(rows) == value


def test_questions_without_a_picture_show_none(tmp_path: Path, store: ImageStore):
    questions = [item("a", None), item("b", None)]
    shown_ = {"original": {("cells", each.id): None for each in questions}}
    lengths = {"cells": 8}
    (name,) = write_tasks(questions, shown_, tmp_path, store=store, max_tokens_by_benchmark=lengths)
    (doc, _) = docs_of(tmp_path, name)
    assert doc["image"] is None and lmms_task.doc_to_visual(doc) == []
    assert [part["type"] for part in lmms_task.doc_to_messages(doc)[0]["content"]] == ["text"]


def test_other_pictures_change_the_yaml_which_lmms_evals_cache_looks_at(
    tmp_path: Path, store: ImageStore, items: list[Item]
):
    (name, *_) = written(items, store, tmp_path / "one")
    written(items, store, tmp_path / "again")
    first, again = ((tmp_path / each / f"{name}.yaml").read_bytes() for each in ("one", "again"))
    assert first == again
    items[0] = item("a", picture(store, 99), gold=("yes",), stratum="size")
    written(items, store, tmp_path / "other")
    assert (tmp_path / "other" / f"{name}.yaml").read_bytes() != first


def test_two_tasks_of_one_name_are_refused(tmp_path: Path, store: ImageStore):
    twins = [item("a", None, benchmark="x"), item("a", None, benchmark="x_y")]
    conditions = {each: {("x", "a"): None, ("x_y", "a"): None} for each in ("y_z", "z")}
    with pytest.raises(BenchmarkError, match="acclimate_x_y_z"):
        write_tasks(twins, conditions, tmp_path, store=store, max_tokens_by_benchmark={"x": 8, "x_y": 8})
    with pytest.raises(BenchmarkError, match="longest reply"):
        write_tasks(twins, conditions, tmp_path, store=store, max_tokens_by_benchmark={"x": 8})


def test_a_loaded_benchmark_is_written_with_its_lengths(tmp_path: Path, store: ImageStore):
    (tmp_path / "images").mkdir()
    rows = []
    for shade in (1, 2):
        Image.new("RGB", (9, 9), (shade, shade, 0)).save(tmp_path / "images" / f"{shade}.png")
        rows.append({"picture": f"{shade}.png", "q": "Is it dark?", "a": "yes"})
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    definition = {
        "name": "dark",
        "version": 4,
        "file": "rows.json",
        "image_root": "images",
        "columns": {"image": "picture", "question": "q", "answer": "a"},
        "kind": "closed",
        "max_tokens": 5,
    }
    (tmp_path / "dark.yaml").write_text(yaml.safe_dump(definition))
    loaded = load_benchmark(tmp_path / "dark.yaml", store)
    names = write_benchmark(loaded, tmp_path / "tasks", store=store, conditions=("blank",))
    assert names == ("acclimate_dark_blank",)
    config = config_of(tmp_path / "tasks" / f"{names[0]}.yaml")
    assert config["generation_kwargs"]["max_new_tokens"] == 5
    assert config["metadata"]["version"] == 4 and config["metadata"]["condition"] == "blank"


def test_the_tasks_functions_need_our_scorers_and_say_so(
    tmp_path: Path, store: ImageStore, items: list[Item]
):
    written(items, store, tmp_path)
    heavy = "{'torch', 'PIL', 'pyarrow', 'yaml', 'pydantic', 'datasets'}"
    code = (
        f"import sys, utils; sys.exit(str({heavy} & set(sys.modules)) if {heavy} & set(sys.modules) else 0)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    bare = subprocess.run(
        [sys.executable, "-S", "-c", "import utils"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert bare.returncode != 0 and "pip install --no-deps acclimate" in bare.stderr


# --- pictures --------------------------------------------------------------------------------------


def test_plain_pictures_keep_their_bytes_and_others_their_pixels(store: ImageStore):
    plain = picture(store, 7)
    assert plain_picture(store, plain) == store.read(plain)
    turned = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (6, 4), (200, 10, 10)).save(turned, "JPEG", exif=exif)
    clear = io.BytesIO()
    Image.new("RGBA", (5, 5), (255, 0, 0, 0)).save(clear, "PNG")
    deep = io.BytesIO()
    Image.new("I;16", (4, 4), 40_000).save(deep, "PNG")
    for data in (turned.getvalue(), clear.getvalue(), deep.getvalue()):
        ref = store.add(data)
        with Image.open(io.BytesIO(plain_picture(store, ref))) as image:
            assert image.mode in ("RGB", "L")
            assert image.convert("RGB").tobytes() == store.open(ref).tobytes()
            assert image.size == (ref.width_px, ref.height_px)


# --- the model -------------------------------------------------------------------------------------


def echo(request: Request) -> str:
    seen = ",".join(image.sha256[:6] for message in request.messages for image in message.images)
    return f"{request.messages[-1].text}|{seen}|{request.sampling.max_tokens}"


def instance(*args: object) -> SimpleNamespace:
    return SimpleNamespace(args=args)


def model_of(kind: Callable[..., Any], engine: FakeEngine, docs: list[Any]) -> Any:
    model = kind(engine=engine, pretrained="any", device="cpu", batch_size=1)
    model.task_dict = {"t": {"test": docs}}
    return model


def test_the_model_answers_requests_in_order_with_their_pictures():
    docs = [
        {"image": Image.new("RGB", (4, 4), (shade, 0, 0)), "question": f"Q{shade}"} for shade in (1, 2, 1)
    ]
    model = model_of(AcclimateChat, FakeEngine(echo), docs)
    arguments = {"max_new_tokens": 7, "temperature": 0.0, "do_sample": False, "until": ["\n\n"]}
    asked = [
        instance("", lmms_task.doc_to_messages, arguments, number, "t", "test") for number in (0, 1, 2, 2)
    ]
    first, second, third, again = (text.split("|") for text in model.generate_until(asked))
    assert [first[0], second[0], third[0]] == ["Q1", "Q2", "Q1"] and third == again
    assert first[1] == third[1] != second[1] and first[2] == "7"
    with pytest.raises(EngineError, match="--force_simple"):
        model.loglikelihood(asked)


def test_simple_mode_cuts_replies_and_scores_choices():
    def choose(request: ChoiceRequest) -> list[float]:
        return [-float(len(choice)) for choice in request.choices]

    docs = [{"image": Image.new("L", (4, 4), 9), "question": "Q"}]
    engine = FakeEngine(lambda request: "cat\n\nand more", choose)
    model = model_of(AcclimateSimple, engine, docs)
    generation = instance("Q", {"until": ["\n\n"]}, lmms_task.doc_to_visual, 0, "t", "test")
    assert model.generate_until([generation]) == ["cat"]
    choices = [
        instance("Q", f" {text}", lmms_task.doc_to_visual, 0, "t", "test") for text in ("cat", "horse")
    ]
    assert model.loglikelihood(choices) == [(3.0, True), (5.0, False)]
    with pytest.raises(EngineError, match="multiple_choice"):
        model.loglikelihood([instance("", "cat")])


def test_a_cached_run_needs_the_checkpoints_digest():
    engine = FakeEngine(echo)
    digest = f"sha256:{engine.identity.digest}"

    def simple_evaluate(use_cache: str | None, **more: str) -> Any:
        return AcclimateChat(engine=engine, pretrained="any", **more)

    assert simple_evaluate(None).digest == digest
    with pytest.raises(EngineError, match=digest):
        simple_evaluate("folder")
    assert simple_evaluate("folder", digest=digest[:23]).digest == digest
    with pytest.raises(EngineError, match="not the one"):
        simple_evaluate(None, digest=f"sha256:{hashlib.sha256(b'other').hexdigest()}")
    with pytest.raises(EngineError, match="too short"):
        simple_evaluate(None, digest="sha256:12")
    with pytest.raises(EngineError, match=r"temperature.*Known are pretrained"):
        simple_evaluate(None, temperature="0")


def test_messages_become_ours():
    ref = ImageRef("0" * 64, 1, 1, "image/png")
    messages = [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "See"},
                {"type": "image", "url": 1},
                {"type": "text", "text": "it?"},
            ],
        },
    ]
    assert messages_of(messages, lambda _: ref) == (
        Message("system", "Be brief."),
        Message("user", "See\nit?", (ref,)),
    )
    with pytest.raises(EngineError, match="video"):
        messages_of([{"role": "user", "content": [{"type": "video", "url": "x"}]}], lambda _: ref)


@pytest.mark.parametrize(
    ("arguments", "sampling"),
    [
        ({"max_new_tokens": 4, "temperature": 0.0, "do_sample": False}, Sampling(4)),
        ({"max_gen_toks": 9, "temperature": 0.7, "top_p": 0.9}, Sampling(9, 0.7, 0.9)),
        ({"do_sample": True}, Sampling(1024, 1.0)),
        ({"do_sample": False, "temperature": 0.7}, Sampling(1024)),
    ],
)
def test_generation_arguments_become_ours(arguments: dict[str, Any], sampling: Sampling):
    assert sampling_of(arguments) == sampling


def test_what_the_model_cannot_do_is_refused():
    with pytest.raises(EngineError, match="beams"):
        sampling_of({"num_beams": 3})
    with pytest.raises(EngineError, match="at least one token"):
        sampling_of({"max_new_tokens": 0})
    assert cut_at("a. b", ["", "."]) == "a" and cut_at("a", None) == "a"
    if importlib.util.find_spec("lmms_eval") is None:
        with pytest.raises(EngineError, match="lmms-eval is not installed"):
            manifests()


# --- VLMEvalKit ------------------------------------------------------------------------------------


def test_a_table_is_what_pandas_reads(tmp_path: Path, store: ImageStore, items: list[Item]):
    (original, *_) = write_tsvs(items, shown(items, store), tmp_path, store=store, split="test")
    assert original.name == f"{task_name('cells', 'original')}.tsv"
    table = pandas.read_csv(original, sep="\t")
    assert list(table["index"]) == [1, 2, 3] and list(table["id"]) == ["a", "b", "c"]
    assert list(table["question"]) == [each.question for each in items]
    assert list(table["answer"]) == ["yes", "no", "left"] and set(table["split"]) == {"test"}
    assert list(table["category"])[:2] == ["size", "organ lung"] and table["l2-category"][1] == "organ heart"
    for each, cell in zip(items, table["image"], strict=True):
        assert each.image is not None
        with Image.open(io.BytesIO(base64.b64decode(cell))) as image:
            assert image.tobytes() == store.open(each.image).tobytes()


def test_choices_get_columns_and_are_not_asked_twice(tmp_path: Path, store: ImageStore):
    choices = ("red cell", "None", "a (b) cell?")
    listed = " ".join(f"{letter}. {text}" for letter, text in zip("ABC", choices, strict=True))
    question = f"What is it?\nThe choices are: {listed}\nAnswer with the letter."
    of = item("q", picture(store, 5), kind="choice", gold=("None",), choices=choices, question=question)
    assert question_alone(of) == "What is it?\nAnswer with the letter."
    shown_ = {"original": {("cells", "q"): of.image}}
    (path,) = write_tsvs([of], shown_, tmp_path, store=store)
    (row,) = pandas.read_csv(path, sep="\t").to_dict("records")
    assert [row[letter].strip() for letter in "ABC"] == list(choices), "pandas takes None for missing"
    assert row["answer"] == "B" and "split" not in row
    free = item("q", None, kind="choice", choices=choices, question="No list here.")
    assert question_alone(free) == "No list here."


def test_what_a_table_cannot_hold_is_refused(tmp_path: Path, store: ImageStore):
    mixed = [item("a", picture(store, 1)), item("b", None)]
    shown_ = {"original": {("cells", each.id): each.image for each in mixed}}
    with pytest.raises(BenchmarkError, match="1 of the 2 questions"):
        write_tsvs(mixed, shown_, tmp_path, store=store)
    lost = [item("a", None, kind="choice", gold=("x",), choices=("y", "z"))]
    with pytest.raises(BenchmarkError, match="none of its choices"):
        write_tsvs(lost, {"original": {("cells", "a"): None}}, tmp_path, store=store)
    several = [item("a", None, kind="vqa", gold=("red", "crimson"))]
    (path,) = write_tsvs(several, {"original": {("cells", "a"): None}}, tmp_path, store=store)
    (row,) = pandas.read_csv(path, sep="\t").to_dict("records")
    assert json.loads(row["answer"]) == ["red", "crimson"] and "image" not in row


# --- samples ---------------------------------------------------------------------------------------


def test_samples_come_back(tmp_path: Path, items: list[Item]):
    predictions = [
        Prediction(each.id, "cells", "model", "original", each.image, text, "stop")
        for each, text in zip(reversed(items), ("left\u2028", "No.", "yes"), strict=True)
    ]
    (path,) = write_samples(tmp_path, items, predictions, model_digest="d")
    assert path == tmp_path / "model" / "samples_acclimate_cells_original.jsonl"
    rows = read_samples(path)
    assert [row["id"] for row in rows] == ["a", "b", "c"]
    assert [row["text"] for row in rows] == ["yes", "No.", "left\u2028"]
    assert [row["target"] for row in rows] == ["yes", "no", "left"]
    assert rows[2]["doc"]["question"] == items[2].question
    (line, *_) = map(json.loads, path.read_text().split("\n")[:-1])
    assert line["doc_id"] == 0 and line["score"] == 1.0 and line["parse_status"] == "parsed"
    assert line["accuracy_strict"] == {"score": 1.0, "cluster": "case a"}
    assert items[0].image is not None and line["image_sha256"] == items[0].image.sha256
    assert (line["condition"], line["model_digest"], line["finish_reason"]) == ("original", "d", "stop")
    stray = Prediction("z", "cells", "model", "original", None, "", "stop")
    with pytest.raises(BenchmarkError, match="cells/z"):
        write_samples(tmp_path, items, [stray], model_digest="d")


def test_what_lmms_eval_logged_is_read(tmp_path: Path):
    (path,) = LOGGED.glob("*.jsonl")
    rows = read_samples(path)
    assert [row["id"] for row in rows] == ["round", "dark", "two"]
    assert all(isinstance(row["text"], str) for row in rows) and all(row["doc"] is None for row in rows)
    theirs = json.loads(path.read_text().split("\n")[0])
    of = item("round", None)
    prediction = Prediction("round", "cells", "model", "original", None, theirs["filtered_resps"], "stop")
    (ours,) = write_samples(tmp_path, [of], [prediction], model_digest="d")
    mine = json.loads(ours.read_text())
    assert theirs.keys() - mine.keys() <= {"token_counts"}, "our lines hold what theirs hold"
    assert {name: type(mine[name]) for name in ("doc_id", "target", "input", "score")} == {
        name: type(theirs[name]) for name in ("doc_id", "target", "input", "score")
    }


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ({"doc_id": 3, "doc": {"id": "q"}, "resps": [["yes"]], "filtered_resps": ["yes"]}, "yes"),
        ({"doc_id": 3, "doc": {"id": "q"}, "resps": [["yes", "no"]]}, "yes"),
        ({"doc_id": 3, "doc": {"id": "q"}, "filtered_resps": "yes", "target": ["yes"]}, "yes"),
        (
            {"doc_id": 3, "doc": {"id": "q"}, "resps": ["<think>no</think>yes"], "filtered_resps": "yes"},
            "yes",
        ),
        ({"doc_id": 3, "doc": {"id": "q"}, "filtered_resps": [["0.1", "False"], ["2.0", "True"]]}, None),
        ({"doc_id": 3, "doc": {"id": "q"}, "resps": [["2", "True or not?"]], "filtered_resps": []}, "2"),
        ({"doc_id": 3, "doc": {"id": "q"}, "filtered_resps": [[-0.1, False], [-2.0, False]]}, None),
        ({"item_id": "q"}, None),
    ],
)
def test_every_form_of_a_logged_answer_is_read(tmp_path: Path, line: dict[str, Any], text: str | None):
    path = tmp_path / "samples.jsonl"
    path.write_text(json.dumps(line) + "\n")
    (row,) = read_samples(path)
    assert row["id"] == "q" and row["text"] == text and row["target"] == line.get("target")
    path.write_text(json.dumps([line]))
    assert read_samples(path) == [row]


def test_samples_that_cannot_be_used_are_refused(tmp_path: Path):
    path = tmp_path / "samples.jsonl"
    filtered = [{"doc_id": 1, "filter": name, "filtered_resps": [name]} for name in ("strict", "loose")]
    path.write_text("".join(json.dumps(each) + "\n" for each in filtered))
    with pytest.raises(DataError, match="loose, strict"):
        read_samples(path)
    assert [row["text"] for row in read_samples(path, "loose")] == ["loose"]
    with pytest.raises(DataError, match="no answers of the filter"):
        read_samples(path, "none")
    for text, said in (
        ('{"doc_id": 1}\n{"doc_id": 1}\n', "twice"),
        ('{"doc_id": 1}\n{"doc_', "line 2 is not JSON"),
        ('{"question": 1}\n', "--log_samples"),
        ("\n", "holds no samples"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=said):
            read_samples(path)
    with pytest.raises(DataError, match="check the path"):
        read_samples(tmp_path / "missing.jsonl")
