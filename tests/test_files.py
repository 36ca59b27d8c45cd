"""Parquet, JSON, hashes and images."""

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from acclimate import records
from acclimate.errors import ArtifactError, DataError
from acclimate.files import (
    BadImage,
    ImageStore,
    cached_sha256,
    probe_image,
    read_json,
    read_records,
    replacing,
    sha256_file,
    write_json,
    write_records,
    write_text,
)

REF = records.ImageRef("ab" * 32, 4, 3, "image/png")


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pair(number: int, annotation: records.Boxes | records.Mentions | records.RecipeText | None = None):
    return records.ImageCaption(f"p{number}", REF, f"caption {number}", "mine.json", "unknown", annotation)


# --- Parquet -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "annotation",
    [
        pytest.param(None, id="none"),
        pytest.param(records.Boxes((records.Box("cell", 0.1, 0.2, 0.3, 0.4),), ("a", "b")), id="boxes"),
        pytest.param(records.Boxes((), ()), id="boxes without a box"),
        pytest.param(records.Mentions(("Figure 1 shows é 字 🙂.",)), id="mentions"),
        pytest.param(records.Mentions(()), id="mentions without a sentence"),
        pytest.param(records.RecipeText("Soup", ("salt",), ("stir", "eat")), id="recipe"),
    ],
)
def test_every_annotation_comes_back_as_it_was(tmp_path: Path, annotation):
    written = [pair(0), pair(1, annotation), pair(2)]
    assert write_records(tmp_path / "pairs.parquet", written, records.ImageCaption) == 3
    assert list(read_records(tmp_path / "pairs.parquet", records.ImageCaption)) == written


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(
        st.builds(
            records.Item,
            id=TEXT,
            benchmark=TEXT,
            question=TEXT,
            image=st.none() | st.just(REF),
            kind=st.sampled_from(["closed", "open", "choice", "multi_label"]),
            gold=st.lists(TEXT, max_size=3).map(tuple),
            choices=st.lists(TEXT, max_size=3).map(tuple),
            cluster=TEXT,
        )
    )
)
def test_any_records_come_back_as_they_were(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("records") / "items.parquet"
    write_records(path, rows, records.Item)
    assert list(read_records(path, records.Item)) == rows


@pytest.mark.parametrize(
    "record",
    [
        records.SeedExample("s", REF, "c", "i", "long", "short", "src"),
        records.JudgedTriplet("t", "p", "i", "l", "s", "rules", "open", 0.25, 0.25, 0.5, "judge"),
        records.Conversation(
            "c", (REF, REF), (records.Turn("user", "hi", False), records.Turn("assistant", "ho", True)), 1, ()
        ),
        records.Prediction("i", "b", "base", "blank", None, "", "stop"),
        records.Score("i", "b", "base", "blank", "exact", 0.5, False, "", "c"),
        records.Measurement("k", 0.5, 0.1, 0.9, 10, 5, 1.0, "cluster_bootstrap"),
        records.Rejection("i", "ingest", "missing_file", "x"),
    ],
    ids=lambda record: type(record).__name__,
)
def test_every_kind_of_record_comes_back_as_it_was(tmp_path: Path, record):
    write_records(tmp_path / "one.parquet", [record], type(record))
    assert list(read_records(tmp_path / "one.parquet", type(record))) == [record]


def test_the_same_records_give_the_same_bytes(tmp_path: Path):
    rows = [pair(number, records.Mentions(("m",))) for number in range(9000)]
    write_records(tmp_path / "a.parquet", rows, records.ImageCaption)
    write_records(tmp_path / "b.parquet", iter(rows), records.ImageCaption)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert pq.ParquetFile(tmp_path / "a.parquet").num_row_groups == 3


def test_records_are_streamed_and_an_error_leaves_no_file(tmp_path: Path):
    def rows():
        yield pair(0)
        raise DataError("stop")

    with pytest.raises(DataError):
        write_records(tmp_path / "a.parquet", rows(), records.ImageCaption)
    assert list(tmp_path.iterdir()) == []


def test_other_records_in_a_file_are_refused_by_name(tmp_path: Path):
    write_records(tmp_path / "a.parquet", [pair(0)], records.ImageCaption)
    with pytest.raises(ArtifactError, match="does not hold Triplet"):
        list(read_records(tmp_path / "a.parquet", records.Triplet))
    (tmp_path / "b.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(ArtifactError, match=r"b\.parquet cannot be read"):
        list(read_records(tmp_path / "b.parquet", records.Triplet))


def test_a_field_without_a_column_type_is_refused(tmp_path: Path):
    @dataclass(frozen=True)
    class Loose:
        anything: dict[str, str]

    @dataclass(frozen=True)
    class Numbered:
        which: Literal[1, 2]

    for kind, row in ((Loose, Loose({})), (Numbered, Numbered(1))):
        with pytest.raises(TypeError, match="no Parquet column type"):
            write_records(tmp_path / "a.parquet", [row], kind)


# --- JSON, text, hashes --------------------------------------------------------------------------


def test_json_is_sorted_and_ends_with_a_line_end(tmp_path: Path):
    write_json(tmp_path / "a.json", {"b": [1.5, None], "a": "é"})
    assert (tmp_path / "a.json").read_text("utf-8") == '{\n "a": "é",\n "b": [\n  1.5,\n  null\n ]\n}\n'
    assert read_json(tmp_path / "a.json") == {"b": [1.5, None], "a": "é"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", float("nan"))
    assert read_json(tmp_path / "a.json")["a"] == "é"


def test_broken_json_names_file_and_line(tmp_path: Path):
    (tmp_path / "a.json").write_text('{\n "a": 1,\n "b" 2\n}')
    with pytest.raises(DataError, match=r"a\.json is not JSON: line 3"):
        read_json(tmp_path / "a.json")
    (tmp_path / "b.json").write_bytes(b'"\xe9"')
    with pytest.raises(DataError, match="not UTF-8"):
        read_json(tmp_path / "b.json")
    with pytest.raises(DataError, match=r"none\.json cannot be read"):
        read_json(tmp_path / "none.json")


def test_an_interrupted_write_keeps_the_old_file(tmp_path: Path):
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "a.txt") as handle:
        handle.write(b"half")
        raise KeyboardInterrupt
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_cached_hash_follows_changes_and_can_be_forced(tmp_path: Path):
    file, cache = tmp_path / "weights", tmp_path / "cache"
    file.write_bytes(b"one")
    os.utime(file, (1_000_000, 1_000_000))
    first = cached_sha256(file, cache)
    assert first == sha256_file(file)
    file.write_bytes(b"two")
    os.utime(file, (1_000_000, 1_000_000))
    assert cached_sha256(file, cache) == first, "same size, time and inode: the cache is believed"
    assert cached_sha256(file, cache, rehash=True) == sha256_file(file)
    file.write_bytes(b"three")
    assert cached_sha256(file, cache) == sha256_file(file)
    file.write_bytes(b"seven")
    assert cached_sha256(file, cache) == sha256_file(file), "a fresh file is never cached"


# --- images --------------------------------------------------------------------------------------


def photo(mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(noise).convert(mode)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "image_empty", id="empty"),
        pytest.param(b"<html>not found</html>", "image_unreadable", id="a web page"),
        pytest.param(encoded(photo())[:900], "image_truncated", id="cut PNG"),
        pytest.param(encoded(photo(), "JPEG")[:700], "image_truncated", id="cut JPEG"),
        pytest.param(encoded(photo())[:20], "image_truncated", id="header only"),
        pytest.param(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "image_unreadable", id="EPS"),
        pytest.param(b"P5 40000 40000 255\n" + b"0" * 100, "image_too_large", id="bomb"),
    ],
)
def test_bytes_that_are_no_image_say_why(data: bytes, reason: str):
    with pytest.raises(BadImage) as caught:
        probe_image(data)
    assert caught.value.reason == reason
    assert caught.value.detail


def test_a_pixel_limit_is_kept():
    with pytest.raises(BadImage, match="image_too_large: 40 x 30"):
        probe_image(encoded(photo()), max_pixels=1199)
    assert probe_image(encoded(photo()), max_pixels=1200).width_px == 40


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"]),
    where=st.floats(0, 1),
    junk=st.binary(min_size=1, max_size=8),
)
def test_spoiled_bytes_are_read_or_refused_and_never_crash(kind: str, where: float, junk: bytes):
    data = encoded(photo(size=(9, 7)), kind)
    at = int(where * (len(data) - 1))
    try:
        probe_image(data[:at] + junk + data[at + len(junk) :])
    except BadImage as error:
        assert error.reason in {"image_unreadable", "image_truncated", "image_too_large"}


@pytest.mark.parametrize("mode", ["copy", "hardlink", "reference"])
def test_a_stored_image_is_read_back_from_any_later_process(tmp_path: Path, mode: str):
    data = encoded(photo(), "JPEG")
    (tmp_path / "a.jpeg").write_bytes(data)
    ref = ImageStore(tmp_path / "run").add_file(tmp_path / "a.jpeg", mode)
    assert (ref.width_px, ref.height_px, ref.media_type) == (40, 30, "image/jpeg")
    later = ImageStore(tmp_path / "run")
    assert later.read(ref) == data
    assert later.open(ref).size == (40, 30)
    kept = tmp_path / "run" / "images" / ref.sha256[:2] / f"{ref.sha256}.jpg"
    assert kept.exists() == (mode != "reference")
    if mode == "hardlink":
        assert kept.samefile(tmp_path / "a.jpeg")
    if mode == "copy":
        assert not kept.samefile(tmp_path / "a.jpeg")


def test_adding_an_image_again_changes_nothing(tmp_path: Path):
    store = ImageStore(tmp_path / "run")
    (tmp_path / "a.png").write_bytes(encoded(photo()))
    first = store.add_file(tmp_path / "a.png", "reference")
    assert store.add_file(tmp_path / "a.png", "reference") == first
    assert ImageStore(tmp_path / "run").add_file(tmp_path / "a.png", "reference") == first
    assert len((tmp_path / "run" / "locations.jsonl").read_text().splitlines()) == 1
    assert store.add(encoded(photo())) == store.add(encoded(photo())) == first


def test_a_changed_original_is_noticed_and_a_second_ingest_repairs_it(tmp_path: Path):
    data = encoded(photo())
    (tmp_path / "a.png").write_bytes(data)
    (tmp_path / "b.png").write_bytes(data)
    store = ImageStore(tmp_path / "run")
    ref = store.add_file(tmp_path / "a.png", "hardlink")
    (tmp_path / "a.png").write_bytes(b"edited in place")
    with pytest.raises(DataError, match="changed since it was ingested"):
        store.read(ref)
    store.add_file(tmp_path / "b.png", "hardlink")
    assert store.read(ref) == data
    assert (tmp_path / "a.png").read_bytes() == b"edited in place"


def test_a_missing_reference_names_the_file_and_a_moved_one_is_found_again(tmp_path: Path):
    data = encoded(photo())
    (tmp_path / "a.png").write_bytes(data)
    store = ImageStore(tmp_path / "run")
    ref = store.add_file(tmp_path / "a.png", "reference")
    (tmp_path / "a.png").rename(tmp_path / "moved.png")
    with pytest.raises(DataError, match=r"a\.png \(missing\).*images: copy"):
        store.read(ref)
    ImageStore(tmp_path / "run").add_file(tmp_path / "moved.png", "reference")
    assert store.read(ref) == data, "a store that is already open sees what another one added"


def test_the_size_and_pixels_are_those_after_exif_rotation(tmp_path: Path):
    image = Image.new("RGB", (4, 2), "black")
    image.putpixel((0, 0), (255, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6
    ref = ImageStore(tmp_path).add(encoded(image, "PNG", exif=exif))
    assert (ref.width_px, ref.height_px) == (2, 4)
    upright = ImageStore(tmp_path).open(ref)
    assert upright.size == (2, 4)
    assert upright.getpixel((1, 0)) == (255, 0, 0), "orientation 6 turns a quarter clockwise"


def sixteen_bits() -> Image.Image:
    return Image.fromarray(np.array([[0, 257 * 100], [65535, 257 * 7]], dtype=np.uint16))


@pytest.mark.parametrize(
    ("image", "kind", "first_pixels"),
    [
        pytest.param(sixteen_bits(), "PNG", [(0, 0, 0), (100, 100, 100)], id="16 bit"),
        pytest.param(sixteen_bits(), "TIFF", [(0, 0, 0), (100, 100, 100)], id="16 bit TIFF"),
        pytest.param(Image.new("RGBA", (2, 1), (0, 0, 0, 0)), "PNG", [(255, 255, 255)] * 2, id="clear"),
        pytest.param(Image.new("LA", (2, 1), (10, 255)), "PNG", [(10, 10, 10)] * 2, id="grey with alpha"),
        pytest.param(Image.new("CMYK", (2, 1), (0, 0, 0, 255)), "TIFF", [(0, 0, 0)] * 2, id="CMYK"),
        pytest.param(Image.new("1", (2, 1), 1), "PNG", [(255, 255, 255)] * 2, id="one bit"),
        pytest.param(Image.new("P", (2, 1), 0), "GIF", [(0, 0, 0)] * 2, id="palette"),
        pytest.param(
            Image.fromarray(np.array([[0.0, 1.0]], dtype=np.float32)),
            "TIFF",
            [(0, 0, 0), (255, 255, 255)],
            id="floats",
        ),
        pytest.param(
            Image.fromarray(np.array([[-1000, 3000]], dtype=np.int32)),
            "TIFF",
            [(0, 0, 0), (255, 255, 255)],
            id="signed 32 bit",
        ),
    ],
)
def test_every_pixel_mode_opens_as_rgb(tmp_path: Path, image: Image.Image, kind: str, first_pixels):
    store = ImageStore(tmp_path)
    opened = store.open(store.add(encoded(image, kind)))
    assert opened.mode == "RGB"
    assert [opened.getpixel((x, 0)) for x in range(2)] == first_pixels


def test_a_transparent_palette_colour_becomes_white(tmp_path: Path):
    image = Image.new("P", (1, 1), 0)
    image.putpalette([0, 0, 0])
    store = ImageStore(tmp_path)
    opened = store.open(store.add(encoded(image, "PNG", transparency=0)))
    assert opened.getpixel((0, 0)) == (255, 255, 255)


@dataclass(frozen=True, slots=True)
class _Old:
    id: str


@dataclass(frozen=True, slots=True)
class _New:
    id: str
    places: tuple[int, ...] = ()


def test_a_file_written_before_a_column_was_added_is_read_with_its_default(tmp_path: Path) -> None:
    path = tmp_path / "old.parquet"
    write_records(path, [_Old("a")], _Old)
    assert list(read_records(path, _New)) == [_New("a", ())]
    with pytest.raises(ArtifactError, match="as this version writes them"):
        write_records(path, [_New("a")], _New)
        list(read_records(path, _Old))
