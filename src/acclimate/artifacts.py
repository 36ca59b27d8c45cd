"""Steps, their identity, and the directories they build; the log of a model's replies.

    root/artifacts/<name>/<fingerprint[:16]>/        files, run.json, and last of all record.json
                          <fingerprint[:16]>.work/   scratch of an unfinished build; survives a crash
                          <fingerprint[:16]>.lock    held while a process builds

An artifact is finished when its record.json stands. It is then never edited: a changed step has another
fingerprint and another directory. record.json depends on identity and content alone; whatever differs
from run to run (times, host, versions) goes to run.json.
"""

import errno
import fcntl
import hashlib
import importlib.metadata
import json
import logging
import math
import os
import platform
import shutil
import sys
import time
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from acclimate.errors import ArtifactError
from acclimate.files import JSON, read_json, sha256_file, sync_folder, write_json

RECORD = "record.json"
RUN = "run.json"
_LAYOUT = 1
_DIGITS = 16
_PACKAGES = (
    "acclimate",
    "torch",
    "transformers",
    "tokenizers",
    "peft",
    "accelerate",
    "safetensors",
    "numpy",
    "pillow",
    "pyarrow",
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step says about its own work."""

    counts: Mapping[str, int]
    """At least `inputs` and `outputs`."""
    rejections: Mapping[str, int]
    """Number of rejected inputs per reason."""
    licences: tuple[str, ...] = ()
    facts: Mapping[str, JSON] = field(default_factory=dict)
    """Further deterministic content of record.json."""
    run: Mapping[str, JSON] = field(default_factory=dict)
    """Content of run.json: whatever may differ between two runs."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where a step reads and writes."""

    out: Path
    """Final files go here; it starts empty."""
    work: Path
    """Scratch that survives a crash and goes away once the record is written."""
    inputs: Mapping[str, Path]
    """The finished artifacts of the step's inputs."""


@dataclass(frozen=True, slots=True)
class Step:
    """A directory to be built, and all that decides its content."""

    name: str
    version: int
    """Of the code that does the work; rises by hand when its output changes."""
    config: Mapping[str, JSON]
    """Identity only: no path, device, worker count or time."""
    inputs: Mapping[str, "Step"]
    run: Callable[[Workspace], Outcome]
    engines: Mapping[str, str] = field(default_factory=dict)
    """Identity digest of each engine by its role."""


@dataclass(frozen=True, slots=True)
class ArtifactSummary:
    """One directory under `artifacts`, finished or not."""

    name: str
    fingerprint: str
    """Whole where the artifact is finished, else its first 16 digits."""
    home: Path
    finished: bool
    size_bytes: int
    counts: Mapping[str, int]
    rejections: Mapping[str, int]


def fingerprint(step: Step) -> str:
    """Return 64 hex digits that depend on the step's identity and its inputs'.

    Raises:
        TypeError: the config holds something other than plain JSON values.
    """
    return recorded_fingerprint(
        {
            "name": step.name,
            "version": step.version,
            "config": _plain(step.config, f"{step.name}.config"),
            "inputs": {role: fingerprint(each) for role, each in step.inputs.items()},
            "engines": _plain(step.engines, f"{step.name}.engines"),
        }
    )


def recorded_fingerprint(record: Mapping[str, JSON]) -> str:
    """Return the fingerprint that follows from a record's own fields, 64 hex digits.

    Raises:
        KeyError: one of the fields that make an identity is missing.
    """
    parts = ("name", "version", "config", "inputs", "engines")
    identity = {"layout": _LAYOUT, **{name: record[name] for name in parts}}
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any, where: str) -> JSON:  # noqa: ANN401
    """Return the value as lists, dicts and scalars, or refuse it by name."""
    if value is None or type(value) in (bool, int, str):
        return value  # type: ignore[no-any-return]
    if type(value) is float and math.isfinite(value):
        return value
    if isinstance(value, list | tuple):
        return [_plain(each, f"{where}[{index}]") for index, each in enumerate(value)]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _plain(each, f"{where}.{key}") for key, each in value.items()}
    raise TypeError(f"{where} is {value!r} ({type(value).__name__}), which is not a plain JSON value")


def home_of(step: Step, root: Path) -> Path:
    """Return the directory that a step's artifact has, built or not."""
    return root / "artifacts" / step.name / fingerprint(step)[:_DIGITS]


def finished(step: Step, root: Path) -> Path | None:
    """Return the step's directory if it is finished, else None.

    Raises:
        ArtifactError: the directory has a record but is damaged.
    """
    home = home_of(step, root)
    if not (home / RECORD).is_file():
        return None
    record = _record(home)
    if record["fingerprint"] != fingerprint(step):
        raise ArtifactError(f"{home} belongs to another recipe; delete this folder and run again.")
    missing = [name for name in record["files"] if not (home / name).is_file()]
    if missing:
        raise ArtifactError(
            f"{home} is damaged: {missing[0]} is missing although its record names it. "
            "Delete this folder and run again; it will be rebuilt."
        )
    return home


def changed_files(home: Path) -> list[str]:
    """Return the files of a finished artifact whose bytes are not those of its record, sorted."""
    return sorted(
        name
        for name, digest in _record(home)["files"].items()
        if not (home / name).is_file() or sha256_file(home / name) != digest
    )


def _record(home: Path) -> dict[str, Any]:
    record = read_json(home / RECORD)
    if not isinstance(record, dict) or not {"fingerprint", "files", "counts", "rejections"} <= record.keys():
        raise ArtifactError(f"{home / RECORD} is not a record; delete {home} and run again.")
    return record


def build(step: Step, root: Path) -> Path:
    """Return the step's finished directory, building its inputs and itself where needed.

    A second process that builds the same step waits, says so, and then finds it finished.

    Raises:
        ArtifactError: a finished artifact is damaged, or the disk is full.
    """
    home = home_of(step, root)
    work = home.with_name(home.name + ".work")
    done = finished(step, root)
    if done is not None and not work.exists():
        return done
    inputs = {} if done else {role: build(each, root) for role, each in step.inputs.items()}
    try:
        with _lock(home.with_name(home.name + ".lock")):
            if finished(step, root) is None:
                _make(step, Workspace(home, work, inputs))
            shutil.rmtree(work, ignore_errors=True)
    except Exception as error:
        if not _is_disk_full(error):
            raise
        if not (home / RECORD).is_file():
            shutil.rmtree(home, ignore_errors=True)
        raise ArtifactError(
            f"The disk that holds {root} is full, so step {step.name} could not be written. Free some space "
            "(`acclimate prune` removes artifacts that no recipe needs), then run the same command again: "
            "finished steps are kept, and this one goes on where it can."
        ) from error
    return home


def licences_of(homes: Iterable[Path]) -> list[str]:
    """Return the licences of the data that finished artifacts were made from."""
    return sorted({each for home in homes for each in read_json(home / RECORD)["licences"]})


def _make(step: Step, workspace: Workspace) -> None:
    home = workspace.out
    if home.exists():
        shutil.rmtree(home)
    home.mkdir(parents=True)
    workspace.work.mkdir(exist_ok=True)
    started, clock = datetime.now(tz=UTC), time.perf_counter()
    outcome = step.run(workspace)
    record: dict[str, JSON] = {
        "fingerprint": fingerprint(step),
        "name": step.name,
        "version": step.version,
        "config": _plain(step.config, f"{step.name}.config"),
        "inputs": {role: fingerprint(each) for role, each in step.inputs.items()},
        "engines": _plain(step.engines, f"{step.name}.engines"),
        "counts": dict(outcome.counts),
        "rejections": dict(outcome.rejections),
        "facts": _plain(outcome.facts, f"{step.name}.facts"),
        "licences": sorted({*outcome.licences, *licences_of(workspace.inputs.values())}),
        "files": _synced_files(home),
    }
    run: dict[str, JSON] = {
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - clock, 3),
        **_environment(),
        **outcome.run,
    }
    write_json(home / RUN, run)
    write_json(home / RECORD, record)
    sync_folder(home.parent)


def _synced_files(home: Path) -> dict[str, str]:
    """Return each file's hash by its path under `home`, after making the files durable."""
    hashes = {}
    for path in sorted(home.rglob("*")):
        if path.is_dir():
            sync_folder(path)
        elif path.is_file():
            with path.open("rb") as handle:
                os.fsync(handle.fileno())
            hashes[path.relative_to(home).as_posix()] = sha256_file(path)
    return hashes


def _environment() -> dict[str, JSON]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    torch = sys.modules.get("torch")
    return {
        "versions": versions,
        "python": platform.python_version(),
        "host": platform.node(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads() if torch is not None else None,
    }


def _is_disk_full(error: BaseException) -> bool:
    """Return whether a full disk is behind the error; some libraries say it in words only."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if any(words in str(cause) for words in ("No space left on device", "StorageFull")):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold the lock file; wait for another holder, and say so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        handle = path.open("a+b")
        try:
            _flock(handle.fileno(), path)
            # `prune` may have removed the file while we waited: then the lock is on nothing.
            if path.exists() and path.stat().st_ino == os.fstat(handle.fileno()).st_ino:
                yield
                return
        finally:
            handle.close()


def _flock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _log.warning("another process is building %s; waiting for it", path.with_suffix(""))
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def list_artifacts(root: Path) -> list[ArtifactSummary]:
    """Return every artifact under the root, by name and then fingerprint."""
    homes = {path.with_name(path.name[:_DIGITS]) for path in root.glob("artifacts/*/*") if path.is_dir()}
    return [_summary(home) for home in sorted(homes)]


def _summary(home: Path) -> ArtifactSummary:
    is_finished = (home / RECORD).is_file()
    unknown: dict[str, Any] = {"fingerprint": home.name, "counts": {}, "rejections": {}}
    record = _record(home) if is_finished else unknown
    folders = (home, home.with_name(home.name + ".work"))
    return ArtifactSummary(
        name=home.parent.name,
        fingerprint=record["fingerprint"],
        home=home,
        finished=is_finished,
        size_bytes=sum(path.stat().st_size for each in folders for path in each.rglob("*") if path.is_file()),
        counts=record["counts"],
        rejections=record["rejections"],
    )


def prune(root: Path, keep: Collection[str]) -> int:
    """Remove every artifact whose fingerprint is not in `keep` and return the bytes freed.

    Artifacts that a process is building right now stay.
    """
    short = {each[:_DIGITS] for each in keep}
    return sum(_remove(each) for each in list_artifacts(root) if each.home.name not in short)


def _remove(artifact: ArtifactSummary) -> int:
    home = artifact.home
    lock = home.with_name(home.name + ".lock")
    with lock.open("a+b") as handle:
        try:
            fcntl.flock(handle.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0
        # The record goes first: what is left of a killed removal counts as unfinished.
        (home / RECORD).unlink(missing_ok=True)
        shutil.rmtree(home, ignore_errors=True)
        shutil.rmtree(home.with_name(home.name + ".work"), ignore_errors=True)
        lock.unlink(missing_ok=True)
    return artifact.size_bytes


class ReplyLog:
    """Replies that were paid for once: append-only segments of checksummed JSON lines.

    Each process appends to a segment of its own, so any number may share one directory. A line that a
    kill tore, or that a disk spoiled, fails its checksum and counts as never written. Only where each
    reply lies is held in memory.
    """

    def __init__(self, directory: Path) -> None:
        """Read where the replies lie that other processes have left in the directory."""
        self._directory = directory
        self._place_by_key: dict[str, tuple[Path, int, int]] = {}
        self._segment: Path | None = None
        self._owner = 0
        for segment in sorted(directory.glob("*.jsonl")):
            self._index(segment)

    def __len__(self) -> int:
        return len(self._place_by_key)

    def get(self, key: str) -> dict[str, Any] | None:
        """Return what was logged under the key, or None."""
        place = self._place_by_key.get(key)
        if place is None:
            return None
        segment, start, length = place
        with segment.open("rb") as handle:
            handle.seek(start)
            row = _checked(handle.read(length))
        if row is None or row[0] != key:
            raise ArtifactError(f"{segment} changed while it was read; run again.")
        return row[1]

    def append(self, rows: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Log rows, durably, before returning; a key that is already logged keeps its first row.

        Raises:
            OSError: nothing of this call counts as logged.
        """
        lines: list[tuple[str, bytes]] = []
        fresh: set[str] = set()
        for key, value in rows:
            if key not in self._place_by_key and key not in fresh:
                fresh.add(key)
                lines.append((key, _line(key, value)))
        if not lines:
            return
        segment = self._own_segment()
        try:
            with segment.open("ab", buffering=0) as handle:
                start = handle.seek(0, os.SEEK_END)
                _write_all(handle.fileno(), b"".join(line for _, line in lines))
                for key, line in lines:
                    self._place_by_key[key] = (segment, start, len(line))
                    start += len(line)
                os.fsync(handle.fileno())
        except OSError:
            for key in fresh:
                self._place_by_key.pop(key, None)
            self._segment = None
            raise
        except BaseException:
            # An interrupt: what was written whole must not be logged a second time. The segment may end
            # in half a line now; what follows goes to a new one.
            self._segment = None
            self._index(segment)
            raise

    def _own_segment(self) -> Path:
        if self._segment is None or self._owner != os.getpid():
            self._directory.mkdir(parents=True, exist_ok=True)
            self._owner = os.getpid()
            name = f"{time.time_ns():020d}-{platform.node()}-{self._owner}.jsonl"
            self._segment = self._directory / name
            self._segment.touch(exist_ok=False)
            sync_folder(self._directory)
        return self._segment

    def _index(self, segment: Path) -> None:
        start = n_spoiled = 0
        with segment.open("rb") as handle:
            for line in handle:
                row = _checked(line)
                if row is None:
                    n_spoiled += 1
                else:
                    self._place_by_key.setdefault(row[0], (segment, start, len(line)))
                start += len(line)
        if n_spoiled:
            _log.warning("%s: %d broken line(s) ignored; these replies are asked again", segment, n_spoiled)


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _line(key: str, value: Mapping[str, Any]) -> bytes:
    body = json.dumps([key, value], sort_keys=True, separators=(",", ":")).encode("ascii")
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _checked(line: bytes) -> tuple[str, dict[str, Any]] | None:
    """Return key and value of a whole line, or None."""
    checksum, _, body = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(body):
        return None
    key, value = json.loads(body)
    return key, value
