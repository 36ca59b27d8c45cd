"""The ingest room through its door, the seed reader and the folder guess."""

import base64
import csv
import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageEnhance
from pydantic import ValidationError

from acclimate.errors import DataError
from acclimate.files import ImageStore
from acclimate.ingest.guess import guess
from acclimate.ingest.seeds import SeedConfig, read_seeds
from acclimate.ingest.stage import IngestConfig, ingest, source_identity, split_holdout
from acclimate.records import Box, Boxes, ImageCaption, ImageRef, Rejection, SeedExample


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder with six small photos and no data file yet."""
    home = tmp_path / "my data ü"
    (home / "images").mkdir(parents=True)
    for number in range(6):
        save_photo(home / "images" / f"{number}.png", number)
    return home


def save_photo(path: Path, seed: int, size: tuple[int, int] = (20, 10)) -> None:
    noise = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


def write(path: Path, rows: object) -> Path:
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def run(folder: Path, source: str = "pairs.json", **fields: object) -> list[ImageCaption | Rejection]:
    config = IngestConfig(source=source, **{"image_root": "images", **fields})
    return list(ingest(config, store=ImageStore(folder.parent / "run"), base=folder))


def captions(outcomes: list[ImageCaption | Rejection]) -> list[str]:
    return [each.caption if isinstance(each, ImageCaption) else each.reason for each in outcomes]


def llava(image: object, *turns: tuple[str, str], **more: object) -> dict[str, object]:
    return {"image": image, "conversations": [{"from": who, "value": said} for who, said in turns], **more}


# --- formats -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "caption"),
    [
        pytest.param(llava("0.png", ("human", "<image>\nSay."), ("gpt", " a cell\n")), "a cell", id="llava"),
        pytest.param(
            llava("0.png", ("human", "Say.\n<image>"), ("gpt", "a cell")), "a cell", id="image last"
        ),
        pytest.param(
            llava("0.png", ("system", "x"), ("human", "q"), ("gpt", "a"), ("human", "r"), ("gpt", "b")),
            "a",
            id="many turns: the first answer",
        ),
        pytest.param(
            {
                "conversations": [
                    {"from": "user", "value": "<image>"},
                    {"from": "assistant", "value": "a cell"},
                ],
                "images": ["0.png"],
            },
            "a cell",
            id="sharegpt",
        ),
        pytest.param(
            {
                "messages": [
                    {"role": "user", "content": "<image>Q"},
                    {"role": "assistant", "content": "a cell"},
                ],
                "images": ["0.png"],
            },
            "a cell",
            id="messages",
        ),
        pytest.param(
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Q"}]},
                    {"role": "assistant", "content": [{"type": "text", "text": "a cell"}]},
                ],
                "images": [{"path": "0.png", "bytes": None}],
            },
            "a cell",
            id="content in parts",
        ),
        pytest.param({"image": "0.png", "caption": "a cell"}, "a cell", id="plain"),
        pytest.param({"Image Path": "0.png", "Text": "a cell"}, "a cell", id="columns by another name"),
    ],
)
@pytest.mark.parametrize("suffix", [".json", ".jsonl", "json lines in .json"])
def test_every_shape_of_row_gives_its_caption(
    folder: Path, row: dict[str, object], caption: str, suffix: str
):
    if suffix == ".json":
        source = write(folder / "pairs.json", [row])
    else:
        source = folder / ("pairs.jsonl" if suffix == ".jsonl" else "pairs.json")
        source.write_text("\ufeff" + json.dumps(row) + "\n\n" + json.dumps(row) + "\n", encoding="utf-8")
    pair = run(folder, source.name)[0]
    assert isinstance(pair, ImageCaption)
    assert pair.caption == caption
    assert (pair.image.width_px, pair.image.height_px, pair.source) == (20, 10, source.name)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_table_is_read_whatever_its_delimiter_and_byte_order_mark(
    folder: Path, delimiter: str, encoding: str
):
    rows = [("image", "caption"), ("0.png", 'a "cell", red; or\tblue | é 字'), ("1.png", "two\nlines")]
    with (folder / "pairs.csv").open("w", encoding=encoding, newline="") as handle:
        csv.writer(handle, delimiter=delimiter).writerows(rows)
    assert captions(run(folder, "pairs.csv")) == [rows[1][1], "two\nlines"]


def test_a_parquet_file_may_hold_paths_or_the_images_themselves(folder: Path):
    data = (folder / "images" / "0.png").read_bytes()
    table = pa.table({"image": [{"bytes": data, "path": None}], "text": ["a cell"], "id": [7]})
    pq.write_table(table, folder / "bytes.parquet")
    pq.write_table(pa.table({"image": ["0.png"], "text": ["a cell"]}), folder / "paths.parquet")
    assert [pair.id for pair in run(folder, "bytes.parquet")] == [
        pair.id for pair in run(folder, "paths.parquet")
    ]


def test_columns_can_be_named(folder: Path):
    write(folder / "pairs.json", [{"a": "0.png", "b": "a cell", "caption": "not this"}])
    assert captions(run(folder, columns={"image": "a", "caption": "b"})) == ["a cell"]


def test_boxes_and_further_captions_become_the_annotation(folder: Path):
    boxes = [{"label": "nucleus", "bbox": [0.1, 0.2, 0.5, 1.0]}]
    pixels = [{"category": "nucleus", "box": [2, 2, 10, 10]}]
    broken = [{"label": "nucleus", "bbox": [0.5, 0.2, 0.1, 1.0]}]
    rows = [
        {"image": "0.png", "caption": "a", "boxes": boxes},
        {"image": "1.png", "caption": "b", "instances": pixels},
        {"image": "2.png", "caption": "c", "objects": broken},
        {"image": "3.png", "captions": ["d", " e "]},
    ]
    write(folder / "pairs.json", [{"caption": ["first"], **row, "captions": None} for row in rows[:3]])
    annotations = [pair.annotation for pair in run(folder) if isinstance(pair, ImageCaption)]
    assert annotations == [
        Boxes((Box("nucleus", 0.1, 0.2, 0.5, 1.0),), ()),
        Boxes((Box("nucleus", 0.1, 0.2, 0.5, 1.0),), ()),
        None,
    ]
    write(folder / "pairs.json", rows[3:])
    (pair,) = run(folder)
    assert isinstance(pair, ImageCaption)
    assert (pair.caption, pair.annotation) == ("d", Boxes((), ("e",)))


# --- rejections ----------------------------------------------------------------------------------


def spoil(folder: Path) -> list[tuple[dict[str, object], str]]:
    """Rows with one fault each, and the reason that each must get."""
    images = folder / "images"
    whole = (images / "5.png").read_bytes()
    (images / "cut.png").write_bytes(whole[:-200])
    (images / "none.png").write_bytes(b"")
    (images / "page.png").write_bytes(b"<html>")
    (images / "huge.ppm").write_bytes(b"P5 40000 40000 255\n" + bytes(100))
    (folder / "secret.png").write_bytes(whole)
    data_url = "data:image/png;base64," + base64.b64encode(whole).decode()
    return [
        ({"image": "cut.png", "caption": "x"}, "image_truncated"),
        ({"image": "none.png", "caption": "x"}, "image_empty"),
        ({"image": "page.png", "caption": "x"}, "image_unreadable"),
        ({"image": "huge.ppm", "caption": "x"}, "image_too_large"),
        ({"image": "gone.png", "caption": "x"}, "missing_file"),
        ({"image": ".", "caption": "x"}, "missing_file"),
        ({"image": "../secret.png", "caption": "x"}, "outside_root"),
        ({"image": str(folder / "secret.png"), "caption": "x"}, "outside_root"),
        ({"image": "a\0.png", "caption": "x"}, "outside_root"),
        ({"image": "https://example.org/a.png", "caption": "x"}, "image_is_url"),
        ({"image": data_url, "caption": "x"}, "image_is_url"),
        ({"image": "", "caption": "x"}, "missing_image_field"),
        ({"caption": "x"}, "missing_image_field"),
        ({"image": "0.png", "caption": " \n"}, "empty_caption"),
        ({"image": "0.png"}, "empty_caption"),
        ({"image": "0.png", "caption": 5}, "bad_row"),
        ({"image": "0.png", "caption": "\ud83d"}, "bad_row"),
        ({"image": ["0.png", "1.png"], "caption": "x"}, "bad_row"),
        ({"image": 3, "caption": "x"}, "bad_row"),
        (llava("0.png", ("human", "<image>\nSay.")), "no_caption_turn"),
        (llava("0.png", ("human", "q"), ("gpt", "<image>")), "empty_caption"),
        ({"image": "0.png", "caption": "good"}, "duplicate_pair"),
    ]


def test_every_faulty_row_is_rejected_for_its_reason_and_every_row_is_accounted_for(folder: Path):
    faults = spoil(folder)
    good = [{"image": f"{number}.png", "caption": "good"} for number in range(3)]
    write(folder / "pairs.json", [*good, *(row for row, _ in faults), 17])
    outcomes = run(folder)
    assert captions(outcomes) == ["good"] * 3 + [reason for _, reason in faults] + ["bad_row"]
    assert len({each.id for each in outcomes}) == len(outcomes)
    assert all(each.room == "ingest" and each.detail for each in outcomes if isinstance(each, Rejection))
    own_fault = [each for each in outcomes if isinstance(each, Rejection) and each.reason != "outside_root"]
    assert not any(str(folder) in each.detail for each in own_fault), "no path of this machine gets in"


def test_a_url_among_paths_says_what_to_do(folder: Path):
    rows = [{"image": "0.png", "caption": "a"}, {"image": "s3://bucket/a.png", "caption": "b"}]
    write(folder / "pairs.json", rows)
    assert "download" in run(folder)[1].detail


def test_a_broken_line_or_record_is_a_rejection_and_the_others_are_read(folder: Path):
    (folder / "pairs.jsonl").write_bytes(
        b'{"image": "0.png", "caption": "a"}\n{"image": "1.p\n\xff\n[1]\n{"image": "2.png", "caption": "c"}\n'
    )
    assert captions(run(folder, "pairs.jsonl")) == ["a", "bad_row", "bad_row", "bad_row", "c"]
    (folder / "pairs.csv").write_text("image,caption\n0.png,a\n1.png,b, and more\n2.png\n\n3.png,d\n")
    assert captions(run(folder, "pairs.csv")) == ["a", "bad_row", "bad_row", "d"]


def test_equal_rows_are_one_pair_and_another_caption_is_another_pair(folder: Path):
    (folder / "images" / "copy.png").write_bytes((folder / "images" / "0.png").read_bytes())
    rows = [
        ("0.png", "a"),
        ("copy.png", "a"),
        ("0.png", "b"),
        ("0.png", "a"),
        ("gone.png", "a"),
        ("gone.png", "a"),
    ]
    write(folder / "pairs.json", [{"image": image, "caption": text} for image, text in rows])
    outcomes = run(folder)
    assert captions(outcomes) == [
        "a",
        "duplicate_pair",
        "b",
        "duplicate_pair",
        "missing_file",
        "missing_file",
    ]
    assert len({each.id for each in outcomes}) == 6


def test_an_image_that_looks_like_another_is_dropped_on_request(folder: Path):
    for number in (0, 1):
        smooth = Image.open(folder / "images" / f"{number}.png").resize((200, 100), Image.Resampling.BICUBIC)
        smooth.save(folder / "images" / f"large{number}.png")
        ImageEnhance.Brightness(smooth).enhance(0.95).save(folder / "images" / f"dark{number}.png")
    rows = [{"image": f"{name}.png", "caption": "x"} for name in ("large0", "dark0", "large1", "dark1", "2")]
    write(folder / "pairs.json", rows)
    assert Counter(captions(run(folder))) == {"x": 5}
    first = run(folder, near_duplicates="drop")
    assert Counter(captions(first)) == {"x": 3, "near_duplicate": 2}
    write(folder / "pairs.json", rows[::-1])
    assert set(run(folder, near_duplicates="drop")) == set(first)


# --- identity and order --------------------------------------------------------------------------


def test_a_shuffled_file_or_a_removed_row_changes_no_other_record(folder: Path):
    rows: list[object] = [row for row, _ in spoil(folder)]
    rows += [{"image": f"{number}.png", "caption": "good", "id": number} for number in range(6)]
    write(folder / "pairs.json", rows)
    config = IngestConfig(source="pairs.json", image_root="images")
    before = run(folder)
    known = source_identity(config, base=folder, cache_dir=folder / "cache")
    random.Random(0).shuffle(rows)
    write(folder / "pairs.json", rows)
    assert set(run(folder)) == set(before)
    assert source_identity(config, base=folder, cache_dir=folder / "cache") == known
    for index in range(len(rows)):
        write(folder / "pairs.json", rows[:index] + rows[index + 1 :])
        after = run(folder)
        assert len(after) == len(rows) - 1
        assert set(after) < set(before)


def test_the_identity_follows_what_comes_out_and_nothing_else(folder: Path, tmp_path: Path):
    write(folder / "pairs.json", [{"image": "0.png", "caption": "a"}, {"image": "1.png", "caption": "b"}])

    def identity(place: Path, **fields: object) -> object:
        config = IngestConfig(source="pairs.json", **{"image_root": "images", **fields})
        return source_identity(config, base=place, cache_dir=tmp_path / "cache")

    known = identity(folder)
    assert identity(folder, images="copy", execution={"workers": 1}) == known
    moved = folder.rename(tmp_path / "elsewhere")
    assert identity(moved) == known
    assert identity(moved, licence="CC0") != known
    assert identity(moved, limit=1) != known
    save_photo(moved / "images" / "1.png", 77)
    assert identity(moved) != known


@pytest.mark.parametrize("workers", [1, 5])
def test_outcomes_come_in_file_order_for_any_number_of_workers(folder: Path, workers: int):
    names = [f"{number % 6}.png" for number in range(100)]
    write(folder / "pairs.json", [{"image": name, "caption": str(at)} for at, name in enumerate(names)])
    outcomes = run(folder, execution={"workers": workers})
    assert captions(outcomes) == [str(at) for at in range(100)]
    assert captions(run(folder, limit=7)) == [str(at) for at in range(7)]


# --- sources that cannot be used -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        pytest.param("pairs.json", None, "does not exist; check `source`", id="missing"),
        pytest.param("pairs.xlsx", "x", r"not a data file that can be read.*\.csv", id="unknown kind"),
        pytest.param("pairs.json", "", "has no rows", id="empty file"),
        pytest.param("pairs.json", "[]", "has no rows", id="empty list"),
        pytest.param("pairs.csv", "image,caption\n", "has no rows", id="header only"),
        pytest.param("pairs.jsonl", "\n\n", "has no rows", id="blank lines"),
        pytest.param("pairs.json", '[\n{"image": 1},\n{"a" 2}\n]', "line 3, column 6", id="not JSON"),
        pytest.param("pairs.json", '{"a": 1}', "holds no list of rows", id="no list"),
        pytest.param("pairs.jsonl", "a\nb\n", "Not one of the first 2 rows", id="not JSON lines"),
        pytest.param(
            "pairs.csv", "a,b\n1,2\n", "looks like an image path; its columns are: a, b", id="columns"
        ),
        pytest.param(
            "pairs.csv", "image,b\n1,2\n", "looks like a caption; its columns", id="no caption column"
        ),
        pytest.param("pairs.csv", 'image,caption\n0.png,"a\n1.png,b\n', "line 3 on", id="open quote"),
        pytest.param("pairs.csv", "image,caption\n0.png,\n1.png,\n", "Every caption", id="empty captions"),
        pytest.param("pairs.csv", "image,caption\n,a\n,b\n", "No row of .* names an image", id="no images"),
        pytest.param("pairs.csv", "image,caption\nhttp://a/b.png,a\n", "is a URL.*download", id="URLs"),
        pytest.param(
            "pairs.csv", "image,caption\nx/0.png,a\n", "None of the 1 images.*image_root", id="wrong root"
        ),
        pytest.param("pairs.parquet", "PAR1", "cannot be read as Parquet", id="broken Parquet"),
        pytest.param("pairs.csv", b"image,caption\n0.png,\xe9\n", "not UTF-8 text", id="Latin-1"),
    ],
)
def test_an_unusable_source_is_one_error_with_a_remedy(
    folder: Path, name: str, text: str | bytes | None, message: str
):
    if text is not None:
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=message) as caught:
        run(folder, name)
    assert str(folder / name) in str(caught.value)


def test_a_missing_image_folder_is_one_error(folder: Path):
    write(folder / "pairs.json", [{"image": "0.png", "caption": "a"}] * 300)
    with pytest.raises(DataError, match=r"The image folder .*pictures does not exist; set `image_root`"):
        run(folder, image_root="pictures")


def test_a_column_or_format_that_is_not_there_is_named(folder: Path):
    write(folder / "pairs.json", [{"image": "0.png", "caption": "a"}])
    with pytest.raises(
        DataError, match=r"no column 'foo', which `columns.image` names; its columns are: image, caption"
    ):
        run(folder, columns={"image": "foo"})
    with pytest.raises(DataError, match="no field conversations, which format 'llava' needs"):
        run(folder, format="llava")


def test_an_unknown_setting_is_refused():
    with pytest.raises(ValidationError, match="imageroot"):
        IngestConfig(source="a.json", imageroot="x")


# --- hold-out ------------------------------------------------------------------------------------


def many_pairs(n: int) -> list[ImageCaption]:
    refs = [ImageRef(f"{number:064x}", 1, 1, "image/png") for number in range(n)]
    return [ImageCaption(f"{at}/{side}", ref, "c", "s", "u") for at, ref in enumerate(refs) for side in "ab"]


def test_the_hold_out_takes_whole_images_and_a_removed_pair_moves_no_other():
    pairs = many_pairs(2000)
    train, held_out = split_holdout(pairs, 0.1, seed=0)
    assert Counter(train + held_out) == Counter(pairs)
    assert not {pair.image for pair in train} & {pair.image for pair in held_out}
    assert 160 < len({pair.image for pair in held_out}) < 240
    fewer_train, fewer_held_out = split_holdout(pairs[::2], 0.1, seed=0)
    assert set(fewer_train) < set(train)
    assert set(fewer_held_out) < set(held_out)
    assert split_holdout(pairs, 0.1, seed=1)[1] != held_out
    assert split_holdout(pairs, 0.0, seed=0) == (pairs, [])


# --- seed data -----------------------------------------------------------------------------------

SEED = {
    "image": "0.png",
    "caption": "c",
    "instruction": "i",
    "informative": "long",
    "precise": "p",
    "id": "s1",
}


def seeds(folder: Path, rows: list[object]) -> list[SeedExample | Rejection]:
    write(folder / "seeds.json", rows)
    config = SeedConfig(source="seeds.json", image_root="images")
    return list(read_seeds(config, store=ImageStore(folder.parent / "run"), base=folder))


def test_seed_examples_are_read_and_every_faulty_one_is_rejected(folder: Path):
    spoil(folder)
    rows: list[object] = [
        SEED,
        {**SEED, "id": "again"},
        {**SEED, "instruction": "j", "id": None},
        {**SEED, "precise": " "},
        {**SEED, "caption": ""},
        {**SEED, "informative": 3},
        {**SEED, "image": "cut.png"},
        {**SEED, "image": "../secret.png"},
        {**SEED, "image": None},
        "text",
    ]
    outcomes = seeds(folder, rows)
    reasons = [each.reason if isinstance(each, Rejection) else each.instruction for each in outcomes]
    assert reasons == [
        "i",
        "duplicate_pair",
        "j",
        "empty_field",
        "empty_caption",
        "bad_row",
        "image_truncated",
        "outside_root",
        "missing_image_field",
        "bad_row",
    ]
    assert len({each.id for each in outcomes}) == len(outcomes)
    assert set(seeds(folder, rows[::-1])) == set(outcomes)


def test_a_file_without_seed_fields_is_refused(folder: Path):
    with pytest.raises(DataError, match=r"no field 'instruction'.*here: caption, image"):
        seeds(folder, [{"image": "0.png", "caption": "c"}])
    with pytest.raises(DataError, match="has no rows"):
        seeds(folder, [])


# --- guessing ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "prefix", "root"),
    [("captions.csv", "", "images"), ("captions.csv", "images/", "."), ("meta/captions.csv", "images/", ".")],
)
def test_a_folder_is_guessed_and_the_guess_can_be_ingested(folder: Path, name: str, prefix: str, root: str):
    (folder / name).parent.mkdir(exist_ok=True)
    text = "".join(f"{prefix}{number}.png;caption {number}\n" for number in range(6))
    (folder / name).write_text("\ufefffile;description\n" + text, encoding="utf-8")
    (folder / "notes.json").write_text('{"about": "nothing"}')
    (folder / ".hidden.csv").write_text("image,caption\n0.png,no\n")
    found = guess(folder)
    assert found.source == folder / name
    assert found.image_root == folder / root
    assert (found.format, found.n_rows, found.n_tried, found.n_found) == ("table", 6, 6, 6)
    assert any("'file'" in note and "'description'" in note for note in found.notes)
    outcomes = run(folder, str(found.source), image_root=str(found.image_root), columns=found.columns)
    assert captions(outcomes) == [f"caption {number}" for number in range(6)]


def test_the_file_of_which_most_images_exist_is_chosen(folder: Path):
    turns = (("human", "<image>"), ("gpt", "a"))
    write(folder / "a.json", [llava(f"{number}.png", *turns) for number in range(4, 20)])
    write(folder / "b.json", [llava(f"{number}.png", *turns, title="x") for number in range(5)])
    found = guess(folder)
    assert (found.source.name, found.format, found.n_found) == ("b.json", "llava", 5)
    assert any("a.json" in note for note in found.notes)
    assert captions(run(folder, "b.json", format=found.format, columns=found.columns)) == ["a"] * 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(None, "6 images but no captions.*image and caption", id="no data file"),
        pytest.param("image_url,caption\nhttp://a/b.png,x\n", "holds URLs.*download", id="URLs"),
        pytest.param(
            "image,caption\nx/9.png,a\n", "not one of its first 1 images was found", id="no image found"
        ),
        pytest.param("a,b\n1,2\n", "its columns are: a, b", id="no column"),
        pytest.param("image,caption\n0.png,\n", "no captions", id="empty captions"),
    ],
)
def test_a_folder_that_fits_nothing_says_what_is_missing(folder: Path, text: str | None, message: str):
    if text is not None:
        (folder / "pairs.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        guess(folder)


def test_an_empty_or_missing_folder_is_named(tmp_path: Path):
    with pytest.raises(DataError, match="neither images nor a data file"):
        guess(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        guess(tmp_path / "gone")


# --- real data -----------------------------------------------------------------------------------


@pytest.mark.data
def test_all_300_real_pairs_are_accounted_for(shared_data: Path, tmp_path: Path):
    found = guess(shared_data / "pairs_general")
    assert (found.format, found.n_rows, found.n_found) == ("llava", 300, 200)
    config = IngestConfig(source=str(found.source), image_root=str(found.image_root), images="reference")
    store = ImageStore(tmp_path / "run")
    outcomes = list(ingest(config, store=store, base=tmp_path))
    assert len(outcomes) == len({each.id for each in outcomes}) == 300
    pairs = [each for each in outcomes if isinstance(each, ImageCaption)]
    assert len(pairs) == 300
    for pair in pairs[:40]:
        assert store.open(pair.image).size == (pair.image.width_px, pair.image.height_px)
    assert not (tmp_path / "run" / "images").exists()
