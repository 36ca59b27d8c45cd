"""Every encoder and decoder of the package: Parquet, JSON, text, hashes and images.

Writers replace whole files: a temporary file beside the target, fsync, then an atomic rename, so a
killed process leaves the old file or the new one and nothing between. Parquet bytes depend on the
records alone. Images are known by the hash of their encoded bytes (`probe_image`); where those bytes
lie is the business of `ImageStore`.
"""

import dataclasses
import hashlib
import io
import json
import os
import re
import struct
import time
import types
import typing
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from acclimate.errors import ArtifactError, DataError
from acclimate.records import ImageRef

R = TypeVar("R")
JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"
ImageMode = Literal["reference", "hardlink", "copy"]

MAX_PIXELS = 178_956_970
"""Images with more pixels are refused: twice Pillow's own default limit, where it too refuses."""
_ROWS_PER_GROUP = 4096
_FRESH_S = 2.0
_HASH_BYTES = 1 << 20
_HEX_DIGEST = re.compile(r"[0-9a-f]{64}")

# Pillow warns from half of what it refuses. One bar is enough: `probe_image` rejects above MAX_PIXELS.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# A spoiled tag is no news: the image is read without it, or rejected with a reason.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


# --- whole files ---------------------------------------------------------------------------------


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that becomes `path` when the block ends well, and vanishes when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames inside the folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, replacing the file as a whole; line ends are kept as given."""
    with replacing(path) as handle:
        handle.write(text.encode("utf-8"))


def write_json(path: Path, value: JSON) -> None:
    """Write one JSON value: keys sorted, indented by one, a line end last, no NaN."""
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def read_json(path: Path) -> Any:  # noqa: ANN401
    """Return the JSON value of a file.

    Raises:
        DataError: the file is missing, or not JSON in UTF-8.
    """
    try:
        return json.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); check the path.") from error
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path} is not JSON: line {error.lineno}, column {error.colno}: {error.msg}. "
            "Correct the file there and run again."
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8.") from error


def sha256_file(path: Path) -> str:
    """Return the hash of the file's bytes, 64 hex digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def cached_sha256(path: Path, cache_dir: Path, *, rehash: bool = False) -> str:
    """Return the file's hash, from the cache while path, size, time and inode are unchanged.

    A file changed within the last two seconds is not cached, because a second change could leave the
    same time stamp. Source: our own rule, after git's "racy" index entries. Entries are not synced to the
    disk, which would take longer than hashing: one that a power cut spoils is no hash, and is made again.
    """
    status = path.stat()
    key = f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_ino}"
    entry = cache_dir / hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    if not rehash and entry.exists():
        known = entry.read_text(encoding="ascii", errors="replace")
        if _HEX_DIGEST.fullmatch(known):
            return known
    digest = sha256_file(path)
    if time.time() - status.st_mtime > _FRESH_S:
        cache_dir.mkdir(parents=True, exist_ok=True)
        part = entry.with_name(f".{entry.name}.{os.getpid()}.part")
        part.write_text(digest, encoding="ascii")
        part.replace(entry)
    return digest


# --- records in Parquet --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Codec:
    """How values of one annotation are stored."""

    arrow: pa.DataType
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]
    nullable: bool = False

    def field(self, name: str) -> pa.Field:
        """Return the Arrow field of this codec under a name."""
        return pa.field(name, self.arrow, nullable=self.nullable)


_SCALARS: Mapping[object, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
}


def _same(value: Any) -> Any:  # noqa: ANN401
    return value


def _codec(annotation: Any) -> _Codec:  # noqa: ANN401
    """Return how an annotation is stored.

    Raises:
        TypeError: the annotation has no column type; records hold str, int, float, bool, Literal
            strings, tuples, records, unions of records, and None beside any of these.
    """
    if annotation in _SCALARS:
        return _Codec(_SCALARS[annotation], _same, _same)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal and all(isinstance(each, str) for each in arguments):
        return _Codec(pa.string(), _same, _same)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return _tuple_codec(arguments[0])
    if dataclasses.is_dataclass(annotation):
        return _record_codec(typing.cast("type[Any]", annotation))
    if origin in (typing.Union, types.UnionType):
        return _union_codec(arguments)
    raise TypeError(f"{annotation} has no Parquet column type")


def _tuple_codec(element: Any) -> _Codec:  # noqa: ANN401
    inner = _codec(element)
    return _Codec(
        pa.list_(inner.field("element")),
        lambda value: [inner.encode(each) for each in value],
        tuple if inner.decode is _same else lambda value: tuple(inner.decode(each) for each in value),
    )


def _record_codec(kind: type[Any]) -> _Codec:
    hints = typing.get_type_hints(kind)
    codec_by_field = {field.name: _codec(hints[field.name]) for field in dataclasses.fields(kind)}

    def encode(record: Any) -> dict[str, Any]:  # noqa: ANN401
        return {name: codec.encode(getattr(record, name)) for name, codec in codec_by_field.items()}

    told = {name: codec.decode for name, codec in codec_by_field.items() if codec.decode is not _same}

    def decode(row: Mapping[str, Any]) -> Any:  # noqa: ANN401
        values = {name: row[name] for name in codec_by_field if name in row}
        for name, read in told.items():
            if name in values:
                values[name] = read(values[name])
        return kind(**values)

    return _Codec(pa.struct([codec.field(name) for name, codec in codec_by_field.items()]), encode, decode)


def _union_codec(members: Sequence[Any]) -> _Codec:
    kinds = [each for each in members if each is not type(None)]
    if len(kinds) == 1:
        inner = _codec(kinds[0])
        return _Codec(
            inner.arrow,
            lambda value: None if value is None else inner.encode(value),
            lambda value: None if value is None else inner.decode(value),
            nullable=True,
        )
    if not all(dataclasses.is_dataclass(each) for each in kinds):
        raise TypeError(f"a union of {kinds} has no Parquet column type; unite records only")
    codec_by_kind = {kind: _record_codec(kind) for kind in kinds}
    name_by_kind = {kind: _snake_case(kind.__name__) for kind in kinds}

    def encode(value: Any) -> dict[str, Any] | None:  # noqa: ANN401
        if value is None:
            return None
        return {name_by_kind[type(value)]: codec_by_kind[type(value)].encode(value)}

    def decode(row: Mapping[str, Any] | None) -> Any:  # noqa: ANN401
        for kind, name in name_by_kind.items():
            if row is not None and row[name] is not None:
                return codec_by_kind[kind].decode(row[name])
        return None

    fields = [pa.field(name_by_kind[kind], codec_by_kind[kind].arrow) for kind in kinds]
    return _Codec(pa.struct(fields), encode, decode, nullable=type(None) in members)


def _defaulted(kind: type[Any]) -> set[str]:
    missing = dataclasses.MISSING
    return {
        field.name
        for field in dataclasses.fields(kind)
        if field.default is not missing or field.default_factory is not missing
    }


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def write_records(path: Path, records: Iterable[R], kind: type[R]) -> int:
    """Write records as one Parquet file and return how many there were.

    Records are streamed in groups of fixed size, so that the bytes depend on the records and their
    order alone (and on the version of pyarrow, which stands in the file).
    """
    codec = _record_codec(kind)
    schema = pa.schema(list(codec.arrow))
    rest = iter(records)
    n_written = 0
    with (
        replacing(path) as handle,
        pq.ParquetWriter(handle, schema, compression="zstd", version="2.6") as writer,
    ):
        while group := [codec.encode(each) for each in islice(rest, _ROWS_PER_GROUP)]:
            writer.write_batch(pa.RecordBatch.from_pylist(group, schema=schema))
            n_written += len(group)
    return n_written


def read_records(path: Path, kind: type[R]) -> Iterator[R]:
    """Yield the records of a Parquet file in order; a column added since, with a default, may be missing.

    Raises:
        ArtifactError: the file is missing, broken, or holds other records.
    """
    codec = _record_codec(kind)
    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise ArtifactError(
            f"{path} cannot be read as Parquet ({error}); delete the folder that holds it and run again."
        ) from error
    with file:
        held = file.schema_arrow
        younger = _defaulted(kind) - set(held.names)
        if not held.equals(pa.schema([each for each in codec.arrow if each.name not in younger])):
            raise ArtifactError(
                f"{path} does not hold {kind.__name__} records as this version writes them (its columns are "
                f"{', '.join(file.schema_arrow.names)}); delete the folder that holds it and run again."
            )
        batches = file.iter_batches(batch_size=1024, use_threads=False)
        while (rows := _next_rows(batches, path)) is not None:
            for row in rows:
                yield codec.decode(row)


def _next_rows(batches: Iterator[pa.RecordBatch], path: Path) -> list[dict[str, Any]] | None:
    """Return the next batch's rows, None after the last; a page that cannot be read is a clear error."""
    try:
        batch = next(batches, None)
        return None if batch is None else batch.to_pylist()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ArtifactError(
            f"{path} is damaged ({error}); delete the folder that holds it and run again."
        ) from error


# --- images --------------------------------------------------------------------------------------

_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF")
"""Formats that are plain pictures; Pillow's others run programs (EPS) or are rarely seen in data."""
_MEDIA_TYPES: Mapping[str, tuple[str, str]] = {
    "PNG": ("image/png", "png"),
    "JPEG": ("image/jpeg", "jpg"),
    "MPO": ("image/jpeg", "jpg"),
    "GIF": ("image/gif", "gif"),
    "BMP": ("image/bmp", "bmp"),
    "WEBP": ("image/webp", "webp"),
    "TIFF": ("image/tiff", "tif"),
    "PPM": ("image/x-portable-anymap", "ppm"),
    "JPEG2000": ("image/jp2", "jp2"),
    "AVIF": ("image/avif", "avif"),
}
_EXTENSION_BY_MEDIA_TYPE = dict(_MEDIA_TYPES.values())
_ORIENTATION_TAG = 0x0112
_TURNS: Mapping[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each EXIF orientation. Source: Exif 2.32, tag 0x0112."""
# What Pillow's decoders are known to raise on broken or hostile bytes.
_DECODER_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    TypeError,
    LookupError,
    EOFError,
    ArithmeticError,
    AttributeError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
)


class BadImage(DataError):  # noqa: N818
    """Bytes that are no usable image."""

    def __init__(self, reason: str, detail: str) -> None:
        """Keep the reason (a short constant) and the detail apart, for a Rejection."""
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def probe_image(data: bytes, max_pixels: int = MAX_PIXELS) -> ImageRef:
    """Decode the image completely and return what it is; its size is that after EXIF rotation.

    Raises:
        BadImage: with reason `image_empty`, `image_unreadable`, `image_truncated` or `image_too_large`.
    """
    if not data:
        raise BadImage("image_empty", "the file has no bytes")
    with _opened(data) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise BadImage("image_too_large", f"{width} x {height} pixels; at most {max_pixels} are read")
        if width * height == 0:
            raise BadImage("image_unreadable", f"{width} x {height} pixels")
        media_type, _ = _MEDIA_TYPES[str(image.format)]
        if _orientation(image) >= 5:
            width, height = height, width
        try:
            image.load()
            _rgb(image.crop((0, 0, 1, 1)))
        except _DECODER_ERRORS as error:
            raise BadImage(_decode_reason(error), str(error)[:200]) from error
    return ImageRef(hashlib.sha256(data).hexdigest(), width, height, media_type)


def decoded(data: bytes) -> Image.Image:
    """Return a picture as models see it: upright and in RGB.

    Raises:
        BadImage: the bytes are in no format that is read. Pixels are read here: use `probe_image` first on
            bytes that nobody has checked.
    """
    with _opened(data) as image:
        turn = _TURNS.get(_orientation(image))
        upright = _rgb(image)
        return upright if turn is None else upright.transpose(turn)


def _opened(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadImage("image_too_large", str(error)) from error
    except _DECODER_ERRORS as error:
        start = data[:12].hex(" ")
        raise BadImage(
            _decode_reason(error), f"not an image in a known format; it starts with bytes {start}"
        ) from error


def _decode_reason(error: BaseException) -> str:
    said = str(error).lower()
    cut = isinstance(error, EOFError) or any(
        word in said for word in ("truncated", "not processed", "incomplete", "unexpected end", "eof")
    )
    return "image_truncated" if cut else "image_unreadable"


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 (upright) where there is none or it cannot be read."""
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except _DECODER_ERRORS:
        return 1
    return value if isinstance(value, int) and value in _TURNS else 1


def _rgb(image: Image.Image) -> Image.Image:
    """Return the image in RGB: alpha over white, 16 bits scaled down to 8."""
    if image.mode.startswith("I;16"):
        return _grey(np.asarray(image).astype(np.float64) / 257)
    if image.mode in ("I", "F"):
        return _grey(_stretched(np.asarray(image).astype(np.float64)))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layered = image.convert("RGBA")
        paper = Image.new("RGBA", layered.size, (255, 255, 255, 255))
        return Image.alpha_composite(paper, layered).convert("RGB")
    return image.convert("RGB")


def _stretched(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return values on a scale of 0 to 255.

    Source:
        Our own rule, for formats without a full scale of their own: 0 to 1, to 255 or to 65535 by the
        smallest that holds all values, else from the lowest to the highest value.
    """
    finite: npt.NDArray[np.float64] = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(finite.min()), float(finite.max())
    if low < 0 or high > 65535:
        return (finite - low) * (255 / max(high - low, 1e-9))
    if high <= 1:
        return finite * 255
    return finite if high <= 255 else finite / 257


def _grey(values: npt.NDArray[np.float64]) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8)).convert("RGB")


class ImageStore:
    """The images of a run, by content.

    Bytes lie under `root/images/<first two hex digits>/<sha256>.<extension>`, or stay in the user's
    folder, where `root/locations.jsonl` finds them. Every read checks the hash. Images are not synced
    one by one: what a power cut loses, the hash check names.
    """

    def __init__(self, root: Path, *, behind: Sequence[Path] = ()) -> None:
        """Use the store at `root`, which need not exist yet.

        Args:
            behind: roots of other stores, whose pictures are read too and which stay untouched.
        """
        self.root = root
        self._behind = tuple(ImageStore(each) for each in behind)
        self._paths_by_sha256: dict[str, list[str]] = {}
        self._read_bytes = 0

    def add(self, data: bytes) -> ImageRef:
        """Check the image, keep its bytes and return its reference.

        Raises:
            BadImage: the bytes are no usable image.
        """
        ref = probe_image(data)
        self._keep(ref, data)
        return ref

    def add_file(self, path: Path, mode: ImageMode) -> ImageRef:
        """Check an image file, remember it as `mode` says and return its reference.

        A hard link falls back to a copy where the file system does not allow one.

        Raises:
            BadImage: the file is no usable image, or cannot be read.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise BadImage("image_unreadable", f"{path}: {error.strerror}") from error
        ref = probe_image(data)
        if mode == "reference":
            self._refer(ref, path)
        elif not (mode == "hardlink" and self._link(ref, path)):
            self._keep(ref, data)
        return ref

    def locate(self, ref: ImageRef) -> Path | None:
        """Return a file that should hold the image (its bytes unchecked), or None."""
        return next((path for path in self._candidates(ref) if path.is_file()), None)

    def read(self, ref: ImageRef) -> bytes:
        """Return the image's encoded bytes.

        Raises:
            DataError: the image is gone, or its file has changed since it was ingested.
        """
        tried = []
        for path in self._candidates(ref):
            try:
                data = path.read_bytes()
            except OSError:
                tried.append(f"{path} (missing)")
                continue
            if hashlib.sha256(data).hexdigest() == ref.sha256:
                return data
            tried.append(f"{path} (changed since it was ingested)")
        raise DataError(
            f"Image {ref.sha256[:16]} cannot be had any more: {'; '.join(tried)}. Put the original file "
            "back, or start again in a new run folder; with `ingest.images: copy` a run keeps its own bytes."
        )

    def open(self, ref: ImageRef) -> Image.Image:
        """Return the decoded image, upright and in RGB.

        Raises:
            DataError: as `read`.
        """
        return decoded(self.read(ref))

    def _home(self, ref: ImageRef) -> Path:
        extension = _EXTENSION_BY_MEDIA_TYPE.get(ref.media_type, "bin")
        return self.root / "images" / ref.sha256[:2] / f"{ref.sha256}.{extension}"

    def _candidates(self, ref: ImageRef) -> Iterator[Path]:
        yield self._home(ref)
        self._refresh()
        yield from map(Path, self._paths_by_sha256.get(ref.sha256, ()))
        for each in self._behind:
            yield from each._candidates(ref)

    def _holds(self, ref: ImageRef) -> bool:
        home = self._home(ref)
        return home.is_file() and sha256_file(home) == ref.sha256

    def _keep(self, ref: ImageRef, data: bytes) -> None:
        if self._holds(ref):
            return
        home = self._home(ref)
        home.parent.mkdir(parents=True, exist_ok=True)
        part = home.with_name(f".{home.name}.{os.getpid()}-{time.monotonic_ns()}.part")
        try:
            part.write_bytes(data)
            part.replace(home)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    def _link(self, ref: ImageRef, path: Path) -> bool:
        """Return whether the store now holds the image without a copy being needed."""
        if self._holds(ref):
            return True
        home = self._home(ref)
        home.parent.mkdir(parents=True, exist_ok=True)
        try:
            home.unlink(missing_ok=True)
            home.hardlink_to(path.resolve())
        except OSError:
            return False
        return True

    def _refer(self, ref: ImageRef, path: Path) -> None:
        where = str(path.resolve())
        self._refresh()
        if where in self._paths_by_sha256.get(ref.sha256, ()):
            return
        self._paths_by_sha256.setdefault(ref.sha256, []).append(where)
        line = json.dumps({"path": where, "sha256": ref.sha256}) + "\n"
        self.root.mkdir(parents=True, exist_ok=True)
        # One write in append mode: lines of several processes never mix.
        with (self.root / "locations.jsonl").open("ab", buffering=0) as handle:
            handle.write(line.encode())

    def _refresh(self) -> None:
        """Read what this or another process has added to the locations."""
        table = self.root / "locations.jsonl"
        if not table.exists() or table.stat().st_size <= self._read_bytes:
            return
        with table.open("rb") as handle:
            handle.seek(self._read_bytes)
            whole, end, _torn = handle.read().rpartition(b"\n")
        for line in whole.splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            paths = self._paths_by_sha256.setdefault(row["sha256"], [])
            if row["path"] not in paths:
                paths.append(row["path"])
        self._read_bytes += len(whole) + len(end)


def blank_png(width_px: int, height_px: int, level: int) -> bytes:
    """Return a uniform picture as PNG; `level` is 0 (black) to 255 (white)."""
    out = io.BytesIO()
    Image.new("RGB", (width_px, height_px), (level, level, level)).save(out, "PNG")
    return out.getvalue()
