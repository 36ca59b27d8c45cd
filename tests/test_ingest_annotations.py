"""What ingest reads besides image and caption: boxes, further captions, mentions of a figure, recipes."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from acclimate.errors import DataError
from acclimate.files import ImageStore, read_records, write_records
from acclimate.ingest.stage import IngestConfig, ingest
from acclimate.records import Box, Boxes, ImageCaption, Mentions, RecipeText, Rejection


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three small photos of 20 by 10 pixels and no data file yet."""
    for number in range(3):
        save_photo(tmp_path / f"{number}.png", number)
    return tmp_path


def save_photo(path: Path, seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 255, (10, 20, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


def write(folder: Path, rows: object, name: str = "rows.json") -> str:
    (folder / name).write_text(json.dumps(rows), encoding="utf-8")
    return name


def run(folder: Path, source: str, **fields: object) -> list[ImageCaption | Rejection]:
    config = IngestConfig(source=source, **fields)
    return list(ingest(config, store=ImageStore(folder / "run"), base=folder))


def only(folder: Path, source: str, **fields: object) -> ImageCaption:
    (pair,) = run(folder, source, **fields)
    assert isinstance(pair, ImageCaption), pair
    return pair


CAKE = RecipeText("Plum cake", ("200 g flour", "6 plums"), ("Stir it.", "Bake it."))


@pytest.mark.parametrize(
    ("row", "annotation"),
    [
        pytest.param({"mentions": ["As Fig. 1\n shows, "]}, Mentions(("As Fig. 1 shows,",)), id="mentions"),
        pytest.param(
            {"in_text_mention": ["One.", {"tokens": "Two.", "start": 5}, {"tokens": ["Three", "more."]}]},
            Mentions(("One.", "Two.", "Three more.")),
            id="mentions as LLaVA-Med has them",
        ),
        pytest.param({"in_text_mention": []}, None, id="no mention"),
        pytest.param({"in_text_mention": ["One.", 2]}, None, id="a mention that is no text"),
        pytest.param(
            {
                "title": "Plum cake",
                "ingredients": ["200 g flour", "6 plums"],
                "steps": ["Stir it.", "Bake it."],
            },
            CAKE,
            id="recipe",
        ),
        pytest.param(
            {
                "title": "Plum  cake",
                "ingredients": [{"text": "200 g flour"}, {"text": "6 plums"}],
                "instructions": [{"text": "Stir it."}, {"text": "Bake it."}],
            },
            CAKE,
            id="recipe as Recipe1M has it",
        ),
        pytest.param(
            {
                "Ingredients": "200 g flour\n6 plums\n",
                "Directions": "Stir it.\n\nBake it.",
                "Title": "Plum cake",
            },
            CAKE,
            id="recipe with a line for each",
        ),
        pytest.param(
            {"ingredients": ["salt"], "steps": ["Stir."]},
            RecipeText("", ("salt",), ("Stir.",)),
            id="no title",
        ),
        pytest.param({"ingredients": ["salt"], "title": "Salt"}, None, id="half a recipe"),
        pytest.param({"ingredients": "['salt']", "steps": ["Stir."]}, None, id="a list that is no JSON"),
        pytest.param(
            {"ingredients": ["salt", None], "steps": ["Stir."]}, None, id="an ingredient is missing"
        ),
        pytest.param(
            {"boxes": [{"label": "plum", "bbox": [0, 0, 10, 5]}], "mentions": ["See Fig. 1."]},
            Mentions(("See Fig. 1.",)),
            id="mentions go before boxes",
        ),
        pytest.param(
            {"ingredients": ["salt"], "steps": ["Stir."], "mentions": ["See Fig. 1."]},
            RecipeText("", ("salt",), ("Stir.",)),
            id="a recipe goes before mentions",
        ),
        pytest.param(
            {"boxes": [{"label": "plum", "bbox": [0, 0, 10, 5]}]},
            Boxes((Box("plum", 0, 0, 0.5, 0.5),), ()),
            id="boxes",
        ),
        pytest.param(
            {"boxes": [{"label": "plum", "bbox": [0, 0, True, True]}]}, None, id="edges that are no numbers"
        ),
    ],
)
def test_a_row_gives_its_annotation(folder: Path, row: dict[str, object], annotation: object):
    pair = only(folder, write(folder, [{"image": "0.png", "caption": "a", **row}]))
    assert (pair.caption, pair.annotation) == ("a", annotation)


def test_every_kind_of_annotation_survives_being_written_and_read(folder: Path):
    rows = [
        {
            "image": "0.png",
            "caption": ["a", "b"],
            "instances": [{"category": "x", "bbox": [0.1, 0.2, 0.5, 1.0]}],
        },
        {"image": "1.png", "caption": "c", "mentions": ["One.", "Two."]},
        {"image": "2.png", "caption": "d", "title": "T", "ingredients": ["i"], "steps": ["s"]},
        {"image": "2.png", "caption": "e"},
    ]
    pairs = [each for each in run(folder, write(folder, rows)) if isinstance(each, ImageCaption)]
    assert [each.annotation for each in pairs] == [
        Boxes((Box("x", 0.1, 0.2, 0.5, 1.0),), ("b",)),
        Mentions(("One.", "Two.")),
        RecipeText("T", ("i",), ("s",)),
        None,
    ]
    write_records(folder / "pairs.parquet", pairs, ImageCaption)
    assert list(read_records(folder / "pairs.parquet", ImageCaption)) == pairs


def test_a_chat_carries_an_annotation_too(folder: Path):
    turns = [{"from": "human", "value": "<image>\nSay."}, {"from": "gpt", "value": "A plum."}]
    pair = only(
        folder, write(folder, [{"image": "0.png", "conversations": turns, "mentions": ["See Fig. 1."]}])
    )
    assert (pair.caption, pair.annotation) == ("A plum.", Mentions(("See Fig. 1.",)))


def test_tables_hold_annotations_as_json_or_lines(folder: Path):
    boxes = json.dumps([{"label": "plum", "bbox": [0.0, 0.0, 0.5, 0.5]}])
    rows = [
        ("image", "caption", "boxes", "mentions"),
        ("0.png", "a", boxes, ""),
        ("1.png", "b", "", "First line.\nSecond line."),
        ("2.png", "c", "[broken", '["One.", "Two."]'),
    ]
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows(rows)
    expected = [
        Boxes((Box("plum", 0.0, 0.0, 0.5, 0.5),), ()),
        Mentions(("First line.", "Second line.")),
        Mentions(("One.", "Two.")),
    ]
    assert [each.annotation for each in run(folder, "rows.csv") if isinstance(each, ImageCaption)] == expected
    table = {
        "image": ["0.png"],
        "caption": ["a"],
        "boxes": [[{"label": "plum", "bbox": [0.0, 0.0, 0.5, 0.5]}]],
    }
    pq.write_table(pa.table(table), folder / "rows.parquet")
    assert only(folder, "rows.parquet").annotation == expected[0]


def figure(number: int, **more: object) -> dict[str, object]:
    own = {
        "pair_id": str(number),
        "fig_caption": f"Figure {number}.",
        "in_text_mention": [{"tokens": "See it."}],
    }
    return {**own, **more}


def test_groups_of_rows_are_read_in_order_and_an_image_may_be_named_by_a_pattern(folder: Path):
    groups = {"ct_scan": [figure(1), figure(0)], "mri": [], "gross": [figure(2)]}
    source = write(folder, groups)
    pairs = run(folder, source, columns={"image": "{pair_id}.png"})
    assert [(each.caption, each.annotation) for each in pairs if isinstance(each, ImageCaption)] == [
        (f"Figure {number}.", Mentions(("See it.",))) for number in (1, 0, 2)
    ]
    with pytest.raises(DataError, match=r"no column 'pair'.*pair_id"):
        run(folder, source, columns={"image": "{pair}.png"})
    write(folder, [figure(0), figure(1, pair_id=""), figure(2, pair_id="../0")])
    outcomes = run(folder, source, columns={"image": "{pair_id}.png"})
    assert [each.reason for each in outcomes if isinstance(each, Rejection)] == [
        "missing_image_field",
        "outside_root",
    ]


def test_an_object_with_lists_of_different_things_is_refused(folder: Path):
    things = {"images": [{"id": 1, "file_name": "0.png"}], "annotations": [{"image_id": 1, "caption": "a"}]}
    with pytest.raises(DataError, match="holds no list of rows"):
        run(folder, write(folder, things))


@pytest.mark.data
def test_captions_and_boxes_of_80_coco_images_are_read(folder: Path, shared_data: Path):
    source = shared_data / "llava_generation" / "caps_boxes_coco2014_val_80.jsonl"
    raw = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    for number, row in enumerate(raw):
        save_photo(folder / row["image"], number)
    pairs = run(folder, str(source), image_root=str(folder))
    assert len(pairs) == 80
    annotations = [each.annotation for each in pairs if isinstance(each, ImageCaption)]
    assert all(isinstance(each, Boxes) for each in annotations)
    assert sum(len(each.boxes) for each in annotations if isinstance(each, Boxes)) == 476
    assert sum(len(each.captions) for each in annotations if isinstance(each, Boxes)) == 401 - 80
    assert annotations[0] == Boxes(
        tuple(Box(each["category"], *each["bbox"]) for each in raw[0]["instances"]),
        tuple(raw[0]["captions"][1:]),
    )
