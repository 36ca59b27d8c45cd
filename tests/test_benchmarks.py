"""Published benchmarks in their published layouts: found, read, asked, scored; one's own in ten lines."""

import base64
import csv
import io
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from acclimate.cli_evaluate import scores_text
from acclimate.engines.fake import FakeEngine
from acclimate.errors import BenchmarkError
from acclimate.evaluate.catalogue import digest, locate, published
from acclimate.evaluate.judge import JudgeConfig
from acclimate.evaluate.judged import judge, require_judge
from acclimate.evaluate.load import Benchmark, load_benchmark
from acclimate.evaluate.stage import primary_by_benchmark, score
from acclimate.evaluate.sums import published_sums
from acclimate.files import ImageStore
from acclimate.records import Item, Prediction
from acclimate.report.measure import Sum, measure
from acclimate.scoring import score_predictions
from tests.small_lines import write_pairs, write_recipe
from tests.tiny_models import tiny_qwen3_vl

ACCLIMATE = Path(sys.executable).parent / "acclimate"
LETTERS = "ABCDEFGH"
USELESS = "I cannot tell."
SINGLE = "\nAnswer the question using a single word or phrase."
DIRECTLY = "\nAnswer with the option's letter from the given choices directly."
DESCRIBE = "Please provide a description of the picture."


# --- writing data sets as they are published ----------------------------------------------------------------


def png(shade: int) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((24, 20), 40 + shade).point(lambda value: (value + shade) % 256).save(out, "PNG")
    return out.getvalue()


PICTURES = [png(shade) for shade in range(8)]
BASE64 = [base64.b64encode(each).decode("ascii") for each in PICTURES]
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def embedded(at: int, path: str | None = None) -> dict[str, object]:
    """A picture as the `datasets` library stores it."""
    return {"bytes": PICTURES[at], "path": path}


def parquet(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {name: [row.get(name) for row in rows] for name in rows[0]}
    table = pa.table(
        {name: pa.array(cells, STRUCT if name == "image" else None) for name, cells in columns.items()}
    )
    pq.write_table(table, path)


def jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def as_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def delimited(path: Path, rows: Sequence[Mapping[str, Any]], delimiter: str = "\t") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


def pictures(folder: Path, *names: str) -> None:
    for at, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(PICTURES[at])


@dataclass(frozen=True)
class Want:
    """One question, as it has to come out of a file."""

    row: str
    kind: str
    prompt: str
    gold: tuple[str, ...]
    choices: tuple[str, ...] = ()
    picture: int | None = 0
    cluster: str | None = None
    """None: the picture's content."""
    group: str = ""
    subsets: tuple[str, ...] = ()
    id: str | None = None
    context: str = ""


Fixture = Callable[[Path], list[Want]]
FIXTURES: dict[str, dict[str, Fixture]] = {}


def layout(name: str, form: str = "published") -> Callable[[Fixture], Fixture]:
    def keep(write: Fixture) -> Fixture:
        FIXTURES.setdefault(name, {})[form] = write
        return write

    return keep


MED = [
    ("What modality is used to take this image?", "CT", "OPEN"),
    ("Is the lung healthy?", "No", "CLOSED"),
    ("Does the picture contain a lung?", "Yes", "CLOSED"),
]


def med_wants(name: str, first: int = 0) -> list[Want]:
    return [
        Want(f"{name}_{kind.lower()}", kind.lower(), question, (answer,), picture=first + at % 2)
        for at, (question, answer, kind) in enumerate(MED)
    ]


def adapted_med(path: Path) -> None:
    """AdaptLLM/biomed-VQA-benchmark: image, input, label, answer_type."""
    parquet(
        path,
        [
            {"image": embedded(at % 2), "input": question, "label": answer, "answer_type": kind}
            for at, (question, answer, kind) in enumerate(MED)
        ],
    )


@layout("slake")
def _(folder: Path) -> list[Want]:
    adapted_med(folder / "SLAKE" / "test-00000-of-00001.parquet")
    return med_wants("slake")


@layout("slake", "original")
def _(folder: Path) -> list[Want]:
    pictures(folder / "imgs", "xmlab1/source.jpg", "xmlab2/source.jpg")
    names = ["xmlab1/source.jpg", "xmlab2/source.jpg"]
    same = {
        "img_id": 1,
        "location": "Lung",
        "modality": "CT",
        "base_type": "vqa",
        "triple": ["vhead", "_", "_"],
    }
    rows = [
        {
            "img_name": names[at % 2],
            "question": question,
            "answer": answer,
            "q_lang": "en",
            "answer_type": kind,
        }
        | {"qid": 11934 + at}
        | same
        for at, (question, answer, kind) in enumerate(MED)
    ]
    chinese = rows[0] | {"question": "肺健康吗？", "q_lang": "zh", "qid": 12000}
    as_json(folder / "test.json", [*rows, chinese])
    return [
        replace(want, cluster=names[at % 2], subsets=("modality CT", "organ Lung"), id=str(11934 + at))
        for at, want in enumerate(med_wants("slake"))
    ]


@layout("pathvqa")
def _(folder: Path) -> list[Want]:
    adapted_med(folder / "PathVQA" / "test-00000-of-00002.parquet")
    adapted_med(folder / "PathVQA" / "test-00001-of-00002.parquet")
    return med_wants("pathvqa") * 2


@layout("pathvqa", "raw columns")
def _(folder: Path) -> list[Want]:
    pictures(folder / "images", "a.jpg", "b.jpg")
    jsonl(
        folder / "test.jsonl",
        [
            {"id": f"t{at}", "image": "ab"[at % 2] + ".jpg", "question": q, "answer": a, "answer_type": kind}
            for at, (q, a, kind) in enumerate(MED)
        ],
    )
    return [replace(want, id=f"t{at}") for at, want in enumerate(med_wants("pathvqa"))]


@layout("vqa_rad")
def _(folder: Path) -> list[Want]:
    adapted_med(folder / "VQA_RAD" / "test-00000-of-00001.parquet")
    return med_wants("vqa_rad")


@layout("vqa_rad", "original")
def _(folder: Path) -> list[Want]:
    pictures(folder / "images", "synpic1.jpg", "synpic2.jpg")
    as_json(
        folder / "testset.json",
        [
            {
                "qid": 11 + at,
                "image_name": f"synpic{1 + at % 2}.jpg",
                "image_organ": "CHEST",
                "answer": answer,
            }
            | {"answer_type": kind, "question_type": "PRES", "question": question, "phrase_type": "freeform"}
            for at, (question, answer, kind) in enumerate(MED)
        ],
    )
    return [
        replace(want, subsets=("organ CHEST",), id=str(11 + at))
        for at, want in enumerate(med_wants("vqa_rad"))
    ]


PMC_ASKED = "Question: What is shown?\nThe choices are: (A) MRI (B) CT scan (C) X-ray (D) Ultrasound"
PMC_CHOICES = ("MRI", "CT scan", "X-ray", "Ultrasound")


@layout("pmc_vqa")
def _(folder: Path) -> list[Want]:
    letters = dict(zip("ABCD", PMC_CHOICES, strict=True))
    rows = [
        {"image": embedded(0), "input": PMC_ASKED, "label": "B"} | letters,
        {"image": embedded(1), "input": PMC_ASKED, "label": "X-ray"} | letters,
    ]
    parquet(folder / "PMC-VQA" / "test-00000-of-00001.parquet", rows)
    return [
        Want("pmc_vqa", "choice", PMC_ASKED, (gold,), PMC_CHOICES, at)
        for at, gold in enumerate(("CT scan", "X-ray"))
    ]


@layout("pmc_vqa", "original")
def _(folder: Path) -> list[Want]:
    pictures(folder / "figures", "PMC1_Fig1.jpg", "PMC2_Fig2.jpg")
    choices = {f"Choice {x}": f" {x}:{text} " for x, text in zip("ABCD", PMC_CHOICES, strict=True)}
    rows = [
        {"Figure_path": f"PMC{at + 1}_Fig{at + 1}.jpg", "Question": " What is shown? ", "Answer": text}
        | choices
        | {"Answer_label": letter}
        for at, (text, letter) in enumerate((("CT scan", "B"), ("X-ray", "C")))
    ]
    delimited(folder / "test.csv", rows, ",")
    return [
        Want("pmc_vqa", "choice", PMC_ASKED, (gold,), PMC_CHOICES, at)
        for at, gold in enumerate(("CT scan", "X-ray"))
    ]


RECIPE = "1. Heat the oven.\n2. Bake the bread."


@layout("recipe1m")
def _(folder: Path) -> list[Want]:
    asked = "Can you give me a recipe for this dish?"
    parquet(
        folder / "Recipe1M" / "test-00000-of-00001.parquet",
        [{"image": embedded(at), "input": asked, "label": RECIPE} for at in range(2)],
    )
    return [Want("recipe1m", "caption", asked, (RECIPE,), picture=at) for at in range(2)]


@layout("recipe1m", "raw columns")
def _(folder: Path) -> list[Want]:
    pictures(folder / "images", "a.jpg", "b.jpg")
    rows = [{"id": at, "image": f"{'ab'[at]}.jpg", "question": "How?", "recipe": RECIPE} for at in range(2)]
    as_json(folder / "test.json", rows)
    return [Want("recipe1m", "caption", "How?", (RECIPE,), picture=at, id=str(at)) for at in range(2)]


NUTRITION = "What ingredients are used to make the dish in the image?"


@layout("nutrition5k")
def _(folder: Path) -> list[Want]:
    parquet(
        folder / "Nutrition5K" / "test-00000-of-00001.parquet",
        [
            {"image": embedded(0), "input": NUTRITION, "label": ["olive oil", "rice"]},
            {"image": embedded(1), "input": NUTRITION, "label": ["olives"]},
        ],
    )
    known = ("olive oil", "olives", "rice")
    return [
        Want("nutrition5k", "multi_label", NUTRITION, ("olive oil", "rice"), known, 0),
        Want("nutrition5k", "multi_label", NUTRITION, ("olives",), known, 1),
    ]


@layout("nutrition5k", "raw columns")
def _(folder: Path) -> list[Want]:
    pictures(folder, "a.png")
    jsonl(folder / "test.jsonl", [{"dish_id": "dish_1", "image": "a.png", "ingredients": "rice|egg"}])
    return [Want("nutrition5k", "multi_label", NUTRITION, ("rice", "egg"), ("egg", "rice"), id="dish_1")]


def food101_names() -> tuple[str, ...]:
    return locate("food101").spec.labels


def food101_prompt() -> str:
    return (
        "What type of food is shown in this image?\nChoose one type from the following options: "
        + ", ".join(food101_names())
    )


@layout("food101")
def _(folder: Path) -> list[Want]:
    rows = [
        {"image": embedded(at), "input": food101_prompt(), "label": label}
        for at, label in enumerate(("apple pie", "pho"))
    ]
    parquet(folder / "Food101" / "test-00000-of-00003.parquet", rows)
    return [
        Want("food101", "choice", food101_prompt(), (label,), food101_names(), at)
        for at, label in enumerate(("apple pie", "pho"))
    ]


@layout("food101", "raw columns")
def _(folder: Path) -> list[Want]:
    pictures(folder / "images", "pizza/1.jpg")
    as_json(folder / "test.json", [{"id": "pizza/1", "image": "pizza/1.jpg", "class": "pizza"}])
    return [Want("food101", "choice", food101_prompt(), ("pizza",), food101_names(), id="pizza/1")]


def foodseg_names() -> tuple[str, ...]:
    return locate("foodseg103").spec.labels


def foodseg_prompt() -> str:
    return (
        f"Identify the food categories present in the image.\nThe available categories are: "
        f"{', '.join(foodseg_names())}\nPlease return a list of the selected food categories, formatted as a "
        "list of names like [candy, egg tart, french fries, chocolate]."
    )


@layout("foodseg103")
def _(folder: Path) -> list[Want]:
    rows = [
        {"image": embedded(0), "input": foodseg_prompt(), "label": ["rice", "French beans"]},
        {"image": embedded(1), "input": foodseg_prompt(), "label": ["egg tart"]},
    ]
    parquet(folder / "FoodSeg103" / "test-00000-of-00001.parquet", rows)
    return [
        Want("foodseg103", "multi_label", foodseg_prompt(), ("rice", "French beans"), foodseg_names(), 0),
        Want("foodseg103", "multi_label", foodseg_prompt(), ("egg tart",), foodseg_names(), 1),
    ]


@layout("foodseg103", "raw columns")
def _(folder: Path) -> list[Want]:
    pictures(folder, "a.png")
    jsonl(folder / "test.jsonl", [{"id": 7, "image": "a.png", "categories": "steak|sauce"}])
    golds = ("steak", "sauce")
    return [Want("foodseg103", "multi_label", foodseg_prompt(), golds, foodseg_names(), id="7")]


SQA_ASKED = (
    "Context: {}\nQuestion: Which is an animal?\nOptions: (A) rock (B) cat (C) leaf"
    "\nAnswer with the option's letter from the given choices directly."
)
SQA = {
    "question": "Which is an animal?",
    "choices": ["rock", "cat", "leaf"],
    "answer": 1,
    "task": "closed choice",
    "grade": "grade2",
    "subject": "natural science",
    "topic": "biology",
    "category": "Classification",
    "skill": "Identify animals",
    "lecture": "",
    "solution": "",
}
SQA_WANT = Want("scienceqa", "choice", SQA_ASKED.format("N/A"), ("cat",), ("rock", "cat", "leaf"))


@layout("scienceqa")
def _(folder: Path) -> list[Want]:
    other = {"grade": "grade11", "subject": "social science", "answer": 0}
    parquet(
        folder / "data" / "test-00000-of-00001-f0e719df791966ff.parquet",
        [
            {"image": embedded(0), "hint": ""} | SQA,
            {"image": None, "hint": "Cats move."} | SQA | other,
            {"image": None, "hint": ""} | SQA,
        ],
    )
    text = replace(SQA_WANT, prompt=SQA_ASKED.format("Cats move."), picture=None, gold=("rock",))
    nat = ("subject NAT", "grade G1-6")
    return [
        replace(SQA_WANT, subsets=(nat[0], "context IMG", nat[1])),
        replace(text, subsets=("subject SOC", "context TXT", "grade G7-12")),
        replace(SQA_WANT, picture=None, subsets=(nat[0], "context NO", nat[1])),
    ]


@layout("scienceqa", "original")
def _(folder: Path) -> list[Want]:
    pictures(folder / "images" / "test", "4/image.png", "6/image.png")
    same = SQA | {"hint": "Look.", "split": "test"}
    problems = {
        "4": same | {"image": "image.png"},
        "5": same | {"image": None, "hint": ""},
        "6": same | {"image": "image.png"},
        "8": same | {"image": "image.png", "split": "train"},
    }
    as_json(folder / "problems.json", problems)
    both = ("subject NAT", "context TXT", "context IMG", "grade G1-6")
    seen = replace(SQA_WANT, prompt=SQA_ASKED.format("Look."), subsets=both)
    neither = ("subject NAT", "context NO", "grade G1-6")
    return [
        replace(seen, id="4"),
        replace(SQA_WANT, picture=None, id="5", subsets=neither),
        replace(seen, id="6", picture=1),
    ]


@layout("scienceqa", "LLaVA")
def _(folder: Path) -> list[Want]:
    pictures(folder / "images" / "test", "5/image.png")
    asked = "Context: Look.\nWhich is an animal?\nA. rock\nB. cat\nC. leaf"
    gold = {"from": "gpt", "value": "B"}
    rows = [
        {
            "id": "5",
            "image": "5/image.png",
            "conversations": [{"from": "human", "value": f"<image>\n{asked}"}, gold],
        },
        {"id": "9", "conversations": [{"from": "human", "value": asked.partition("\n")[2]}, gold]},
    ]
    as_json(folder / "test_questions_gold.json", rows)
    want = replace(SQA_WANT, prompt=asked, id="5", subsets=("context TXT", "context IMG"))
    bare = replace(want, prompt=asked.partition("\n")[2], id="9", picture=None, subsets=("context NO",))
    return [want, bare]


@layout("mme")
def _(folder: Path) -> list[Want]:
    rows, wants = [], []
    for at, category in enumerate(("existence", "OCR", "code_reasoning")):
        for question, answer in (("Is it a cat?", "Yes"), ("Is it a dog?", "No")):
            asked = f"{question} Please answer yes or no."
            name = f"{category}/{at}.png"
            row = {"question_id": name, "image": embedded(at, f"{at}.png"), "question": asked}
            rows.append(row | {"answer": answer, "category": category})
            where = f"mme_{category.lower()}"
            wants.append(Want(where, "closed", asked, (answer,), picture=at, cluster=name, group=name))
    parquet(folder / "data" / "test-00000-of-00004-a25dbe3b44c4fda6.parquet", rows)
    return wants


@layout("pope")
def _(folder: Path) -> list[Want]:
    rows, wants = [], []
    for category in ("adversarial", "popular", "random"):
        for at, answer in enumerate(("yes", "no")):
            source, asked = f"COCO_val2014_{at:012d}", f"Is there a {category} snowboard in the image?"
            row = {"id": str(at), "question_id": str(at + 1), "question": asked, "answer": answer}
            rows.append(row | {"image_source": source, "image": embedded(at), "category": category})
            wants.append(
                Want(f"pope_{category}", "closed", asked, (answer,), picture=at, cluster=source, id=str(at))
            )
    parquet(folder / "data" / "test-00000-of-00003-cca8cc23b4f8ff8d.parquet", rows)
    return wants


@layout("pope", "original")
def _(folder: Path) -> list[Want]:
    wants = []
    names = [f"COCO_val2014_{at:012d}.jpg" for at in range(2)]
    pictures(folder / "val2014", *names)
    for category in ("adversarial", "popular", "random"):
        lines = []
        for at, answer in enumerate(("yes", "no")):
            asked = f"Is there a {category} snowboard in the image?"
            lines.append(json.dumps({"question_id": at, "image": names[at], "text": asked, "label": answer}))
            where = f"pope_{category}"
            wants.append(Want(where, "closed", asked, (answer,), picture=at, cluster=names[at], id=str(at)))
        (folder / f"coco_pope_{category}.json").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return wants


def annotators(answer: str, rest: str) -> list[str]:
    return [answer] * 7 + [rest] * 3


@layout("vqav2")
def _(folder: Path) -> list[Want]:
    said = [annotators("net", "a net"), annotators("2", "3")]
    rows = [
        {
            "question_type": "what is this",
            "multiple_choice_answer": each[0],
            "answers": [
                {"answer": text, "answer_confidence": "yes", "answer_id": place + 1}
                for place, text in enumerate(each)
            ],
            "image_id": 262148,
            "answer_type": ("other", "number")[at],
            "question_id": 262148000 + at,
            "question": "Where is he looking?",
            "image": embedded(0, "COCO_val2014_000000262148.jpg"),
        }
        for at, each in enumerate(said)
    ]
    parquet(folder / "data" / "validation-00000-of-00068.parquet", rows)
    parts = ("answer other", "answer number")
    asked = f"Where is he looking?{SINGLE}"
    return [
        Want("vqav2", "vqa", asked, tuple(each), id=str(262148000 + at), subsets=(parts[at],))
        for at, each in enumerate(said)
    ]


@layout("ok_vqa")
def _(folder: Path) -> list[Want]:
    said = [annotators("race", "motocross"), annotators("tokyo", "kyoto")]
    rows = [
        {
            "image": embedded(at),
            "question_id": str(2971475 + at),
            "question": "What sport is it?",
            "answers": each,
            "question_type": "one",
            "answer_type": "other",
        }
        for at, each in enumerate(said)
    ]
    parquet(folder / "data" / "val2014-00000-of-00002-c4cf3d1b8c1a8ae2.parquet", rows)
    return [
        Want("ok_vqa", "vqa", f"What sport is it?{SINGLE}", tuple(each), picture=at, id=str(2971475 + at))
        for at, each in enumerate(said)
    ]


CAPTIONS = [
    ["A brown dog runs over the green grass.", "Dog on a lawn."],
    ["Two people ride a red motorcycle on a road.", "A couple on a motorbike."],
]


@layout("coco_captions")
def _(folder: Path) -> list[Want]:
    asked = "Please carefully observe the image and come up with a caption for the image."
    rows = [
        {
            "question_id": f"COCO_val2014_{at:012d}.jpg",
            "image": embedded(at),
            "question": asked,
            "answer": each,
            "id": 391895 + at,
            "license": 3,
            "file_name": f"COCO_val2014_{at:012d}.jpg",
        }
        for at, each in enumerate(CAPTIONS)
    ]
    parquet(folder / "data" / "val-00000-of-00013.parquet", rows)
    return [
        Want("coco_captions", "caption", asked, tuple(each), picture=at, id=str(391895 + at))
        for at, each in enumerate(CAPTIONS)
    ]


@layout("coco_captions", "Karpathy test")
def _(folder: Path) -> list[Want]:
    names = [f"COCO_val2014_{at:012d}.jpg" for at in range(2)]
    pictures(folder / "val2014", *names)
    rows = [{"image_name": name, "captions": each} for name, each in zip(names, CAPTIONS, strict=True)]
    as_json(folder / "test.json", rows)
    return [
        Want("coco_captions", "caption", DESCRIBE, tuple(each), picture=at, id=names[at])
        for at, each in enumerate(CAPTIONS)
    ]


@layout("flickr30k")
def _(folder: Path) -> list[Want]:
    rows = [
        {"image": embedded(at), "caption": each, "sentids": ["0", "1"], "split": "train", "img_id": str(at)}
        | {"filename": f"100009224{at}.jpg"}
        for at, each in enumerate(CAPTIONS)
    ]
    parquet(folder / "data" / "test-00000-of-00009.parquet", rows)
    return [
        Want("flickr30k", "caption", DESCRIBE, tuple(each), picture=at, id=str(at))
        for at, each in enumerate(CAPTIONS)
    ]


@layout("mmstar")
def _(folder: Path) -> list[Want]:
    asked = "Which one?\nOptions: A: a cat, on a mat, B: a dog, C: 1:30 pm, D: vitamin C."
    meta = {"source": "MMBench", "split": "val", "image_path": "images/0.jpg"}
    rows = [
        {"index": at, "question": asked, "image": embedded(at), "answer": "AC"[at]}
        | {"category": "coarse perception", "l2_category": "image scene and topic", "meta_info": meta}
        for at in range(2)
    ]
    parquet(folder / "mmstar.parquet", rows)
    choices = ("a cat, on a mat", "a dog", "1:30 pm", "vitamin C.")
    parts = ("category coarse perception", "detail image scene and topic")
    return [
        Want("mmstar", "choice", asked + DIRECTLY, (choices[2 * at],), choices, at, id=str(at), subsets=parts)
        for at in range(2)
    ]


MMB_PARTS = ("category identity_reasoning", "level attribute_reasoning")


def mmb_row(
    index: int, image: object, choices: Sequence[str], answer: str, hint: str, empty: str
) -> dict[str, Any]:
    cells = dict(zip("ABCD", [*choices, *[empty] * (4 - len(choices))], strict=True))
    row = {"index": index, "question": "Which one is it?", "hint": hint} | cells
    row |= {"answer": answer, "category": "identity_reasoning", "image": image, "source": "s"}
    return row | {"l2-category": "attribute_reasoning", "comment": empty, "split": "dev"}


def mmb_prompt(choices: Sequence[str], hint: str = "") -> str:
    listed = "\n".join(f"{letter}. {text}" for letter, text in zip("ABCD", choices, strict=False))
    return f"{hint}\nWhich one is it?\n{listed}{DIRECTLY}".lstrip("\n")


@layout("mmbench")
def _(folder: Path) -> list[Want]:
    """The published TSV: ready rotations, which name the row that holds their picture."""
    turns = [("cat", "dog", "cow"), ("dog", "cow", "cat"), ("cow", "cat", "dog")]
    rows = [
        mmb_row(at * 1000000 + 241, "241" if at else BASE64[0], turn, "ACB"[at], "Look.", "")
        for at, turn in enumerate(turns)
    ]
    pair = [("on", "off"), ("off", "on")]
    rows += [
        mmb_row(at * 1000000 + 252, "252" if at else BASE64[1], turn, "BA"[at], "", "")
        for at, turn in enumerate(pair)
    ]
    delimited(folder / "MMBench_DEV_EN.tsv", rows)
    three = [
        Want(
            "mmbench", "choice", mmb_prompt(turn, "Look."), ("cat",), turn, 0, group="241", subsets=MMB_PARTS
        )
        for turn in turns
    ]
    two = [
        Want("mmbench", "choice", mmb_prompt(turn), ("off",), turn, 1, group="252", subsets=MMB_PARTS)
        for turn in pair
    ]
    return [replace(want, id=str(row["index"])) for want, row in zip(three + two, rows, strict=True)]


@layout("mmbench", "without rotations")
def _(folder: Path) -> list[Want]:
    rows = [
        mmb_row(3, BASE64[0], ("cat", "dog", "cow"), "A", "", ""),
        mmb_row(4, BASE64[1], ("on", "off"), "B", "Look.", ""),
    ]
    delimited(folder / "dev.tsv", rows)
    turns = [("cat", "dog", "cow"), ("dog", "cow", "cat"), ("cow", "cat", "dog")]
    three = [
        Want(
            "mmbench",
            "choice",
            mmb_prompt(turn),
            ("cat",),
            turn,
            0,
            group="3",
            subsets=MMB_PARTS,
            id=f"3@{at}",
        )
        for at, turn in enumerate(turns)
    ]
    two = [
        Want("mmbench", "choice", mmb_prompt(turn, "Look."), ("off",), turn, 1, group="4", subsets=MMB_PARTS)
        for turn in (("on", "off"), ("off", "on"))
    ]
    return three + [replace(want, id=f"4@{at}") for at, want in enumerate(two)]


@layout("mmbench", "lmms-lab")
def _(folder: Path) -> list[Want]:
    """The hub's Parquet writes "nan" for nothing, and a capital L."""
    row = mmb_row(0, embedded(0), ("on", "off"), "A", "nan", "nan")
    row["L2-category"] = row.pop("l2-category")
    turned = row | {"index": 1000000, "A": "off", "B": "on", "answer": "B"}
    parquet(folder / "en" / "dev-00000-of-00001.parquet", [row, turned])
    same = {"group": "0", "subsets": MMB_PARTS}
    return [
        Want("mmbench", "choice", mmb_prompt(turn), ("on",), turn, id=index, **same)
        for index, turn in (("0", ("on", "off")), ("1000000", ("off", "on")))
    ]


@layout("mmlu")
def _(folder: Path) -> list[Want]:
    def row(subject: str, question: str, answer: int) -> dict[str, Any]:
        return {"question": question, "subject": subject, "choices": ["1", "2", "3", "4"], "answer": answer}

    parquet(
        folder / "all" / "test-00000-of-00001.parquet",
        [row("abstract_algebra", "What is 1+1?", 1), row("us_foreign_policy", "How many?", 3)],
    )
    dev = [row("abstract_algebra", f"What is {at}?", at % 4) for at in range(1, 8)]
    dev += [row("us_foreign_policy", "Who?", 0)]
    parquet(folder / "all" / "dev-00000-of-00001.parquet", dev)
    listed = "A. 1\nB. 2\nC. 3\nD. 4\nAnswer:"
    begin = "The following are multiple choice questions (with answers) about {}.\n\n"
    five = "".join(f"What is {at}?\n{listed} {'ABCD'[at % 4]}\n\n" for at in range(1, 6))
    choices = ("1", "2", "3", "4")
    math = ("category STEM", "subcategory math", "subject abstract_algebra")
    us = ("category social sciences", "subcategory politics", "subject us_foreign_policy")
    asked = begin.format("abstract algebra") + five + f"What is 1+1?\n{listed}"
    other = begin.format("us foreign policy") + f"Who?\n{listed} A\n\nHow many?\n{listed}"
    return [
        Want("mmlu", "choice", asked, ("2",), choices, None, subsets=math),
        Want("mmlu", "choice", other, ("4",), choices, None, subsets=us),
    ]


@layout("mm_vet")
def _(folder: Path) -> list[Want]:
    rows = [
        {"question_id": f"v1_{at}", "image": embedded(at), "question": "What is x?", "answer": "-1<AND>-5"}
        | {"image_source": "web", "capability": ("ocr,math", "rec")[at]}
        for at in range(2)
    ]
    parquet(folder / "data" / "test-00000-of-00001.parquet", rows)
    parts = (("capability ocr", "capability math"), ("capability rec",))
    return [
        Want("mm_vet", "graded", "What is x?", ("-1<AND>-5",), picture=at, id=f"v1_{at}", subsets=parts[at])
        for at in range(2)
    ]


@layout("mm_vet", "original")
def _(folder: Path) -> list[Want]:
    pictures(folder / "images", "v1_0.png")
    row = {"imagename": "v1_0.png", "question": "What is x?", "answer": "-1<AND>-5", "imagesource": "web"}
    as_json(folder / "mm-vet.json", {"v1_0": row | {"capability": ["ocr", "math"]}})
    parts = ("capability ocr", "capability math")
    return [Want("mm_vet", "graded", "What is x?", ("-1<AND>-5",), id="v1_0", subsets=parts)]


JUDGED = ["conv", "detail", "complex"]


def judged_wants(name: str, context: str) -> list[Want]:
    return [
        Want(
            name, "compared", f"What about {at}?", (f"This {at}.",), id=str(at), context=context,
            subsets=(f"category {category}",),
        )
        for at, category in enumerate(JUDGED)
    ]  # fmt: skip


def judged_rows(image: object) -> list[dict[str, Any]]:
    """The rows of lmms-lab's two LLaVA-Bench data sets."""
    return [
        {"question_id": str(at), "question": f"What about {at}?", "image": image, "category": category}
        | {"image_id": "001", "caption": "A sea.", "gpt_answer": f"This {at}."}
        for at, category in enumerate(JUDGED)
    ]


def judged_lines(folder: Path, questions: str, answers: str, image: str) -> None:
    """The original two files: questions, and the reference's answers."""
    jsonl(
        folder / questions,
        [
            {"question_id": at, "image": image, "text": f"What about {at}?", "category": category}
            for at, category in enumerate(JUDGED)
        ],
    )
    jsonl(
        folder / answers,
        [
            {"question_id": at, "prompt": "", "answer_id": "x", "model_id": "gpt-4", "text": f"This {at}."}
            for at in range(3)
        ],
    )


@layout("llava_bench_in_the_wild")
def _(folder: Path) -> list[Want]:
    pictures(folder / "images", "001.jpg")
    judged_lines(folder, "questions.jsonl", "answers_gpt4.jsonl", "001.jpg")
    jsonl(folder / "context.jsonl", [{"id": "001", "image": "001.jpg", "caption": "A sea."}])
    return judged_wants("llava_bench_in_the_wild", "A sea.")


@layout("llava_bench_in_the_wild", "lmms-lab")
def _(folder: Path) -> list[Want]:
    parquet(folder / "data" / "train-00000-of-00001.parquet", judged_rows(embedded(0)))
    return judged_wants("llava_bench_in_the_wild", "A sea.")


@layout("llava_bench_coco")
def _(folder: Path) -> list[Want]:
    parquet(folder / "data" / "train-00000-of-00001.parquet", judged_rows(embedded(0)))
    return judged_wants("llava_bench_coco", "A sea.")


SCENE = {
    "id": "000000525439",
    "image": "000000525439.jpg",
    "captions": ["A skateboard.", "It lies on its back."],
    "instances": [
        {"category": "person", "bbox": [0.1, 0.2, 0.3, 0.4]},
        {"category": "skateboard", "bbox": [0, 0, 1, 1]},
    ],
}
SCENE_TEXT = "A skateboard.\nIt lies on its back.\n\nperson: [0.1, 0.2, 0.3, 0.4]\nskateboard: [0, 0, 1, 1]"


@layout("llava_bench_coco", "original")
def _(folder: Path) -> list[Want]:
    pictures(folder / "val2014", "000000525439.jpg")
    judged_lines(folder, "qa90_questions.jsonl", "qa90_gpt4_answer.jsonl", "000000525439.jpg")
    jsonl(folder / "caps_boxes_coco2014_val_80.jsonl", [SCENE])
    return judged_wants("llava_bench_coco", SCENE_TEXT)


@layout("llava_bench_coco", "30x3")
def _(folder: Path) -> list[Want]:
    pictures(folder / "val2014", "COCO_val2014_000000525439.jpg")
    jsonl(folder / "caps_boxes_coco2014_val_80.jsonl", [SCENE])
    jsonl(
        folder / "coco2014_val_gpt4_qa_30x3.jsonl",
        [
            {"id": "000000525439", "image": "COCO_val2014_000000525439.jpg", "type": category}
            | {"instruction": f"What about {at}?", "output": f"This {at}."}
            for at, category in enumerate(JUDGED)
        ],
    )
    return [replace(want, id=None) for want in judged_wants("llava_bench_coco", SCENE_TEXT)]


FACTS: Mapping[str, Mapping[str, tuple[int, float | None, str]]] = {
    **{
        name: {f"{name}_open": (24, None, "recall_strict"), f"{name}_closed": (8, 0.5, "accuracy_strict")}
        for name in ("slake", "pathvqa", "vqa_rad")
    },
    "pmc_vqa": {"pmc_vqa": (8, 0.25, "accuracy_strict")},
    "recipe1m": {"recipe1m": (1024, None, "rouge_l_strict")},
    "nutrition5k": {"nutrition5k": (256, None, "recall_strict")},
    "food101": {"food101": (256, 1 / 101, "accuracy_strict")},
    "foodseg103": {"foodseg103": (256, None, "f1_strict")},
    "scienceqa": {"scienceqa": (64, None, "letter_strict")},
    "mme": {f"mme_{row}": (8, 0.5, "accuracy_strict") for row in ("existence", "ocr", "code_reasoning")},
    "pope": {f"pope_{row}": (8, 0.5, "accuracy_strict") for row in ("adversarial", "popular", "random")},
    "vqav2": {"vqav2": (10, None, "vqa_strict")},
    "ok_vqa": {"ok_vqa": (10, None, "vqa_strict")},
    "coco_captions": {"coco_captions": (64, None, "cider_d_strict")},
    "flickr30k": {"flickr30k": (64, None, "cider_d_strict")},
    "mmstar": {"mmstar": (8, 0.25, "accuracy_strict")},
    "mmbench": {"mmbench": (8, None, "circular_strict")},
    "mmlu": {"mmlu": (2, 0.25, "accuracy_strict")},
    "mm_vet": {"mm_vet": (256, None, "grade_strict")},
    "llava_bench_coco": {"llava_bench_coco": (512, None, "relative_strict")},
    "llava_bench_in_the_wild": {"llava_bench_in_the_wild": (512, None, "relative_strict")},
}
"""By score row the longest reply, the score of a guesser and the headline."""

EVERY = [(name, form) for name, forms in FIXTURES.items() for form in forms]
ASKED = [(name, form) for name, form in EVERY if not name.startswith(("mm_vet", "llava_bench"))]
OF_A_JUDGE = [each for each in EVERY if each not in ASKED]


def opened(name: str, form: str, tmp_path: Path) -> tuple[Benchmark, list[Want], ImageStore]:
    folder = tmp_path / "data" / name
    wants = FIXTURES[name][form](folder)
    store = ImageStore(tmp_path / "store")
    located = locate(name, data=tmp_path / "data")
    assert located.folder == folder
    return load_benchmark(located, store), wants, store


# --- reading ------------------------------------------------------------------------------------------------


def test_every_published_benchmark_has_a_fixture_and_the_other_way_round() -> None:
    assert FIXTURES.keys() == published().keys() == FACTS.keys()
    for name, path in published().items():
        assert locate(name).spec.name == name == path.stem
    assert len(food101_names()) == len(set(food101_names())) == 101
    assert len(foodseg_names()) == len(set(foodseg_names())) == 102


@pytest.mark.parametrize(("name", "form"), EVERY)
def test_a_published_file_is_read_as_published(name: str, form: str, tmp_path: Path) -> None:
    benchmark, wants, store = opened(name, form, tmp_path)
    assert benchmark.rejections == ()
    assert [item.question for item in benchmark.items] == [want.prompt for want in wants]
    for item, want in zip(benchmark.items, wants, strict=True):
        said = (item.benchmark, item.kind, item.gold, item.choices, item.group, item.subsets, item.context)
        assert said == (want.row, want.kind, want.gold, want.choices, want.group, want.subsets, want.context)
        picture = None if want.picture is None else store.add(PICTURES[want.picture])
        assert item.image == picture
        assert picture is None or item.cluster == (want.cluster or picture.sha256)
        assert want.id in (None, item.id)
    keys = [(item.benchmark, item.id) for item in benchmark.items]
    assert len(set(keys)) == len(keys)
    alone = [item.cluster for item in benchmark.items if item.image is None]
    assert len(set(alone)) == len(alone)
    facts = FACTS[name]
    counted = Counter(want.row for want in wants)
    assert benchmark.n_rows_by_benchmark == counted
    assert set(counted) <= facts.keys()
    spec = benchmark.spec
    for row in counted:
        item = next(each for each in benchmark.items if each.benchmark == row)
        length, chance, headline = facts[row]
        assert benchmark.max_tokens_by_benchmark[row] == length
        assert spec.chance_of(item.kind) == pytest.approx(chance)
        assert benchmark.scorers_by_benchmark[row][0] == headline
        assert spec.counts == {} or row in spec.counts


def test_other_rows_of_a_file_are_left_out_and_counted(tmp_path: Path) -> None:
    assert opened("slake", "original", tmp_path)[0].n_left_out == 1
    assert opened("scienceqa", "original", tmp_path)[0].n_left_out == 1


def test_the_hub_cache_is_looked_into_by_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    home = tmp_path / "hub" / "datasets--lmms-lab--POPE"
    wants = FIXTURES["pope"]["published"](home / "snapshots" / "abc")
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text("abc")
    located = locate("pope", data=tmp_path / "none")
    assert located.folder == home / "snapshots" / "abc"
    assert len(load_benchmark(located, ImageStore(tmp_path / "store")).items) == len(wants)


# --- scoring ------------------------------------------------------------------------------------------------


def perfect(item: Item) -> str:
    if item.kind == "choice":
        at = item.choices.index(item.gold[0])
        return LETTERS[at] if len(item.choices) <= len(LETTERS) else item.gold[0]
    if item.kind == "multi_label":
        return f"[{', '.join(item.gold)}]"
    if item.kind == "vqa":
        return Counter(item.gold).most_common(1)[0][0]
    return item.gold[0]


def measured(benchmark: Benchmark, reply: Callable[[Item], str]) -> dict[str, float]:
    items, named = benchmark.items, benchmark.scorers_by_benchmark
    said = [
        Prediction(item.id, item.benchmark, "model", "original", item.image, reply(item), "stop")
        for item in items
    ]
    scores = list(score(items, said, named))
    found = measure(
        scores,
        primary_by_benchmark(items, named),
        n_rows_by_benchmark=benchmark.n_rows_by_benchmark,
        n_draws=40,
        comparisons=(),
    )
    assert all(each.coverage == pytest.approx(1.0) for each in found if "[" not in each.key)
    values: dict[str, float] = {}
    for each in found:
        row, _, what = each.key.partition("/model/")
        if what == "original" and row in named:
            values[f"{row}/{named[row][0]}"] = each.value
        values[f"{row}/{what.removeprefix('original/')}"] = each.value
    return values


@pytest.mark.parametrize(("name", "form"), ASKED)
def test_perfect_answers_are_worth_all_of_every_strict_score(name: str, form: str, tmp_path: Path) -> None:
    benchmark, wants, _ = opened(name, form, tmp_path)
    values = measured(benchmark, perfect)
    for row, scorers in benchmark.scorers_by_benchmark.items():
        for scorer in scorers:
            value = values[f"{row}/{scorer}"]
            if scorer.startswith("cider"):
                assert value >= 10 / 2 - 1e-9, "the answer is one of two references"
            elif "yes_share" in scorer:
                golds = [want.gold[0].lower() for want in wants if want.row == row]
                assert value == pytest.approx(golds.count("yes") / len(golds))
            elif scorer.endswith("_strict"):
                assert value == pytest.approx(1.0), scorer
        assert values[f"{row}/unparsed"] == 0.0
    for each in benchmark.items:
        assert all(values[f"{each.benchmark}[{part}]/original"] for part in each.subsets)


@pytest.mark.parametrize(("name", "form"), ASKED)
def test_useless_answers_are_worth_nothing_and_are_counted(name: str, form: str, tmp_path: Path) -> None:
    benchmark, _, _ = opened(name, form, tmp_path)
    values = measured(benchmark, lambda _: USELESS)
    for row, scorers in benchmark.scorers_by_benchmark.items():
        items = [item for item in benchmark.items if item.benchmark == row]
        yes = sum(item.gold[0].lower() == "yes" for item in items) / len(items)
        kind = items[0].kind
        for scorer in scorers:
            value = values[f"{row}/{scorer}"]
            if scorer == "accuracy_paper" and kind == "closed":
                assert value == pytest.approx(1 - yes), '"cannot" holds "no"'
            elif scorer == "accuracy_paper":
                assert values[f"{row}/guessed"] == 1.0
                assert value == pytest.approx(values[f"{row}/guessed_points"])
            elif scorer.startswith("pope_"):
                expected = {"recall": 1.0, "yes_share": 1.0, "f1": 2 * yes / (1 + yes)}
                which = scorer.removeprefix("pope_").removesuffix("_paper")
                assert value == pytest.approx(expected.get(which, yes)), "no word of it is no, so it is yes"
            elif kind == "caption":
                assert value == pytest.approx(0.0, abs=1e-3)
            else:
                assert value == 0.0, scorer
        is_read = kind in ("open", "vqa", "caption")
        assert values[f"{row}/unparsed"] == (0.0 if is_read else 1.0)


@pytest.mark.parametrize(("name", "form"), OF_A_JUDGE)
def test_what_needs_a_judge_says_so_and_is_marked_by_one(name: str, form: str, tmp_path: Path) -> None:
    benchmark, wants, _ = opened(name, form, tmp_path)
    with pytest.raises(BenchmarkError, match=f"{name}: answers are marked by a judge"):
        require_judge(benchmark.items, has_judge=False)
    said = [
        Prediction(each.id, name, "model", "original", each.image, "Mine.", "stop")
        for each in benchmark.items
    ]
    assert list(score(benchmark.items, said, benchmark.scorers_by_benchmark)) == []
    asked: list[str] = []

    def reply(request: Any) -> str:
        asked.append(request.messages[-1].text)
        return "8 6\nGood." if wants[0].kind == "compared" else "0.5"

    scores, _ = judge(benchmark.items, said, FakeEngine(reply), JudgeConfig(), log=None)
    found = {each.key: each.value for each in measure(scores, {name: FACTS[name][name][2]}, n_draws=40)}
    expected = 6 / 8 if wants[0].kind == "compared" else 0.5
    assert found[f"{name}/model/original"] == pytest.approx(expected)
    assert all(
        found[f"{name}[{part}]/model/original"] == pytest.approx(expected) for part in wants[0].subsets
    )
    assert all(want.context in text for want, text in zip(wants, asked, strict=True))
    assert all(
        want.gold[0] in text or "<AND>" in want.gold[0] for want, text in zip(wants, asked, strict=True)
    )


# --- absent, pinned, miscounted -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(published()))
def test_absent_files_are_asked_for_by_name_place_and_command(name: str, tmp_path: Path) -> None:
    located = locate(name, data=tmp_path)
    assert located.files == ()
    with pytest.raises(BenchmarkError) as caught:
        load_benchmark(located, ImageStore(tmp_path / "store"))
    said = str(caught.value)
    assert f"the files of the benchmark {name} are not here" in said
    assert f"put {located.spec.file[0]} or " in said
    assert f"into {tmp_path / name}" in said
    assert located.spec.hub is not None
    assert f"hf download {located.spec.hub.repository} --repo-type dataset" in said
    assert "\n" not in said


def cli(*args: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [str(ACCLIMATE), *map(str, args)]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL
    )


def test_absent_files_are_told_before_any_model_is_looked_for(tmp_path: Path) -> None:
    done = cli("evaluate", "--model", "no-such-model", "--benchmark", "pope", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: the files of the benchmark pope are not here: put test.parquet")
    assert "hf download lmms-lab/POPE" in done.stderr
    assert [path.name for path in (tmp_path / "acclimate-scores").iterdir()] == ["run.log"]


def test_a_recipe_that_names_an_absent_benchmark_stops_before_any_work(tmp_path: Path) -> None:
    write_pairs(tmp_path, range(3))
    model = {"model": str(tiny_qwen3_vl(tmp_path / "tiny"))}
    recipe = write_recipe(tmp_path, synthesize=model, train=model, evaluate={"benchmarks": ["pope"]})
    done = cli("run", recipe, "--yes", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "pope" in done.stderr
    assert "lmms-lab/POPE" in done.stderr
    assert list((tmp_path / "run").rglob("*.parquet")) == [], "no step was built"


def test_a_name_that_is_not_published_is_answered_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"no benchmark 'popee'.*mmstar"):
        locate("popee", data=tmp_path)


def test_the_worked_examples_of_mmlu_are_asked_for(tmp_path: Path) -> None:
    FIXTURES["mmlu"]["published"](tmp_path / "data" / "mmlu")
    (tmp_path / "data" / "mmlu" / "all" / "dev-00000-of-00001.parquet").unlink()
    with pytest.raises(BenchmarkError, match=r"worked examples of mmlu are not here: put dev\.parquet"):
        load_benchmark(locate("mmlu", data=tmp_path / "data"), ImageStore(tmp_path / "store"))


def test_worked_examples_are_left_out_from_the_end_until_the_prompt_is_short_enough(tmp_path: Path) -> None:
    def row(question: str) -> dict[str, Any]:
        return {"question": question, "subject": "anatomy", "choices": ["1", "2"], "answer": 0}

    parquet(tmp_path / "data" / "mmlu" / "test.parquet", [row("Which?")])
    long = [row(f"{at} {'x' * 3000}") for at in range(5)]
    parquet(tmp_path / "data" / "mmlu" / "dev.parquet", long)
    (item,) = load_benchmark(locate("mmlu", data=tmp_path / "data"), ImageStore(tmp_path / "store")).items
    assert len(item.question) < 8192
    assert [f"{at} xxx" in item.question for at in range(5)] == [True, True, False, False, False]
    assert item.question.endswith("Which?\nA. 1\nB. 2\nAnswer:")


def test_other_content_than_the_pinned_is_refused(tmp_path: Path) -> None:
    path = own(tmp_path, "jsonl")
    right = digest([tmp_path / "rows.jsonl"])
    fields = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(fields | {"sha256": right}))
    assert load_benchmark(path, ImageStore(tmp_path / "store")).sha256 == right
    with (tmp_path / "rows.jsonl").open("a") as out:
        out.write("\n")
    with pytest.raises(BenchmarkError, match=f"pinned to the content {right[:12]}"):
        load_benchmark(path, ImageStore(tmp_path / "store"))


def test_another_number_of_questions_than_the_published_is_reported(tmp_path: Path) -> None:
    benchmark, _, _ = opened("pope", "published", tmp_path)
    rows = [{"id": each.id, "benchmark": each.benchmark, "text": each.gold[0]} for each in benchmark.items]
    jsonl(tmp_path / "said.jsonl", rows)
    result = score_predictions([tmp_path / "said.jsonl"], ["pope"], tmp_path / "out", data=tmp_path / "data")
    text = scores_text(result)
    for row in ("pope_random", "pope_popular", "pope_adversarial"):
        assert f"pope: {row} has 2 questions, published 3000" in text
        assert result["benchmarks"]["pope"]["counts"][row] == 3000
    assert result["rows"] == dict.fromkeys(("pope_adversarial", "pope_popular", "pope_random"), 2)


# --- sums ---------------------------------------------------------------------------------------------------

MED_ROWS = {
    "slake_open": "recall", "slake_closed": "accuracy",
    "pathvqa_open": "recall", "pathvqa_closed": "accuracy",
    "vqa_rad_open": "recall", "vqa_rad_closed": "accuracy", "pmc_vqa": "accuracy",
}  # fmt: skip
FOOD_ROWS = {"recipe1m": "rouge_l", "nutrition5k": "recall", "food101": "accuracy", "foodseg103": "f1"}
PERCEPTION = ("existence", "count", "position", "color", "posters", "celebrity", "scene", "ocr")
COGNITION = ("commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning")


def scorers_of(name: str) -> dict[str, tuple[str, ...]]:
    spec = locate(name).spec
    return {
        row: spec.scorers_of(
            "open" if row.endswith("_open") else "closed" if row.endswith("_closed") else spec.kinds[0]
        )
        for row in FACTS[name]
    }


def sums_by_hand(
    values: Mapping[tuple[str, str], float], scorers: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    """Return every published sum of the given scores, the headline named as sums name it."""
    return {
        name: sum(values[row, scorer or scorers[row][0]] * factor for row, scorer, factor in terms)
        for name, terms in published_sums(scorers).items()
    }


@pytest.mark.parametrize("form", ["strict", "paper"])
@pytest.mark.parametrize(("suite", "rows"), [("biomedicine", MED_ROWS), ("food", FOOD_ROWS)])
def test_the_papers_averages_are_plain_means_of_seven_and_of_four(
    suite: str, rows: Mapping[str, str], form: str
):
    names = {name for name in published() if locate(name).spec.suite == suite}
    scorers = {row: each for name in names for row, each in scorers_of(name).items()}
    assert scorers.keys() == rows.keys()
    values = {(row, f"{what}_{form}"): 0.1 + 0.07 * at for at, (row, what) in enumerate(rows.items())}
    values |= {(row, name): 99.0 for row in rows for name in scorers[row] if (row, name) not in values}
    found = sums_by_hand(values, scorers)
    expected = sum(0.1 + 0.07 * at for at in range(len(rows))) / len(rows)
    assert found[f"average_{suite}_{form}"] == pytest.approx(expected)
    del scorers["pmc_vqa" if suite == "biomedicine" else "food101"]
    assert published_sums(scorers) == {}, "an average of fewer is another average"


def test_mmes_totals_by_hand(tmp_path: Path) -> None:
    """All sub-tasks are half right: 100 of 200 points where pairs are whole, 50 where they are halves."""
    every = [*PERCEPTION, "landmark", "artwork", *COGNITION]
    rows, said = [], []
    for at, category in enumerate(every):
        for picture in range(2):
            for question, answer in (("Is it a cat?", "Yes"), ("Is it a dog?", "No")):
                name = f"{category}/{picture}.png"
                row = {
                    "question_id": name,
                    "image": embedded(picture),
                    "question": f"{question} {category} {picture}",
                }
                rows.append(
                    row | {"answer": answer, "category": category.upper() if category == "ocr" else category}
                )
                # Even sub-tasks: the first picture whole. Odd ones: one question of each picture.
                is_right = picture == 0 if at % 2 == 0 else answer == "Yes"
                said.append(answer if is_right else {"Yes": "No", "No": "Yes"}[answer])
    parquet(tmp_path / "mme" / "test.parquet", rows)
    benchmark = load_benchmark(locate("mme", data=tmp_path), ImageStore(tmp_path / "store"))
    predictions = [
        Prediction(item.id, item.benchmark, "model", "original", item.image, text, "stop")
        for item, text in zip(benchmark.items, said, strict=True)
    ]
    named = benchmark.scorers_by_benchmark
    found = measure(
        score(benchmark.items, predictions, named),
        primary_by_benchmark(benchmark.items, named),
        comparisons=(),
        n_draws=40,
        sums=[Sum(name, terms) for name, terms in published_sums(named).items()],
    )
    values = {each.key: each.value for each in found}
    points = {name: (0.5 + 0.5 if at % 2 == 0 else 0.5 + 0.0) for at, name in enumerate(every)}
    for form in ("strict", "paper"):
        key = "mme_{}_" + form + "/model/original"
        assert values[key.format("perception")] == pytest.approx(sum(points[each] for each in every[:10]))
        assert values[key.format("perception_of_8")] == pytest.approx(
            sum(points[each] for each in PERCEPTION)
        )
        assert values[key.format("cognition")] == pytest.approx(sum(points[each] for each in COGNITION))
    assert values["mme_ocr/model/original"] == 0.5
    assert values["mme_ocr/model/original/accuracy_plus_strict"] == 0.0
    assert values["mme_existence/model/original/mme_accuracy_plus_paper"] == 0.5


# --- one's own benchmark ------------------------------------------------------------------------------------

OWN = """\
name: mine
version: 1
file: rows.{}
image_root: pictures
columns: {{id: id, image: file, question: question, answer: answer, choices: options}}
kind: choice
prompt: "{{question}}\\n{{choices}}\\nLetter only."
choice_separator: "\\n"
chance: 0.5
max_tokens: 4
"""


def own(folder: Path, form: str) -> Path:
    """Write a benchmark of ten lines; the file of questions has every cell as text."""
    pictures(folder / "pictures", "a.png", "b.png")
    rows = [
        {
            "id": "1",
            "file": "a.png",
            "question": 'Is it "ä, ö"?',
            "answer": "left lung",
            "options": "left lung|right",
        },
        {"id": "2", "file": "b.png", "question": "Which\none?", "answer": "B", "options": "cat|dog"},
    ]
    path = folder / f"rows.{form}"
    if form == "json":
        as_json(path, rows)
    elif form == "jsonl":
        jsonl(path, rows)
    elif form == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        delimited(path, rows, "\t" if form == "tsv" else ",")
    (folder / "mine.yaml").write_text(OWN.format(form), encoding="utf-8")
    return folder / "mine.yaml"


@pytest.mark.parametrize("form", ["csv", "json", "jsonl", "parquet", "tsv"])
def test_ten_lines_make_a_benchmark_of_any_table(form: str, tmp_path: Path) -> None:
    assert len(OWN.splitlines()) == 10
    store = ImageStore(tmp_path / "store")
    benchmark = load_benchmark(own(tmp_path, form), store)
    first, second = benchmark.items
    assert (first.id, first.question) == ("1", 'Is it "ä, ö"?\nA. left lung\nB. right\nLetter only.')
    assert (second.id, second.question) == ("2", "Which\none?\nA. cat\nB. dog\nLetter only.")
    assert [item.gold for item in benchmark.items] == [("left lung",), ("dog",)]
    assert [item.image for item in benchmark.items] == [store.add(PICTURES[0]), store.add(PICTURES[1])]
    assert benchmark.max_tokens_by_benchmark == {"mine": 4}
    assert benchmark.spec.chance_of("choice") == 0.5
    values = measured(benchmark, perfect)
    assert values["mine/accuracy_strict"] == values["mine/accuracy_paper"] == 1.0
