"""Finds a benchmark by its YAML file or by the name of a published one, and its files on this machine.

Nothing is fetched: files lie in a folder the user names, or in this machine's cache of the Hugging Face hub.
What was found is pinned by content: every result names the files and their hash.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files as package_files
from pathlib import Path

import yaml
from huggingface_hub import constants

from acclimate.errors import BenchmarkError
from acclimate.evaluate.benchmark import BenchmarkSpec, parse_spec
from acclimate.evaluate.tables import matching

DATA_FOLDER = "benchmarks"
"""Where published benchmarks are looked for unless another folder is named, beside the recipe."""
_YAML = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Located:
    """A benchmark whose definition was read."""

    spec: BenchmarkSpec
    source: Path
    """Its YAML."""
    folder: Path | None
    """Of its data; None where the files of a published benchmark are nowhere."""
    looked_in: tuple[Path, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """Its files of questions; none where they are absent."""
        return () if self.folder is None else matching(self.folder, self.spec.file)

    def require(self) -> tuple[Path, ...]:
        """Return the files of questions.

        Raises:
            BenchmarkError: they are not here; it says what to put where. Or they are not the pinned ones.
        """
        found = self.files
        if not found:
            raise BenchmarkError(absence(self))
        if self.spec.sha256 and digest(found) != self.spec.sha256:
            raise BenchmarkError(
                f"the benchmark {self.spec.name} is pinned to the content {self.spec.sha256[:12]}..., but "
                f"{', '.join(map(str, found))} has {digest(found)[:12]}...; get the pinned version, or "
                f"change `sha256` in {self.source}"
            )
        return found


def digest(found: Sequence[Path]) -> str:
    """Return the SHA-256 of one file; of several, of their digests in order."""
    each = []
    for path in found:
        with path.open("rb") as stream:
            each.append(hashlib.file_digest(stream, "sha256").hexdigest())
    return each[0] if len(each) == 1 else hashlib.sha256("".join(each).encode()).hexdigest()


def published() -> dict[str, Path]:
    """Return the YAML of every benchmark that comes with the package, by name."""
    folder = Path(str(package_files("acclimate.evaluate"))) / "benchmarks"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def locate(named: str | Path, *, data: Path | None = None, base: Path | None = None) -> Located:
    """Read a benchmark's definition and find its files.

    Args:
        named: a YAML file, or the name of a published benchmark.
        data: folder of published benchmarks: their files lie in `data/NAME` or in `data` itself.
        base: what relative paths count from, the current folder by default.

    Raises:
        BenchmarkError: there is no such file or name, or the file has a wrong field.
    """
    base = base or Path()
    path = base / named
    if path.suffix.lower() in _YAML or path.is_file():
        return Located(read_spec(path), path, path.parent)
    known = published()
    if str(named) not in known:
        raise BenchmarkError(
            f"there is no benchmark {str(named)!r}: give the path of its YAML file, or one of "
            f"{', '.join(known)}"
        )
    source = known[str(named)]
    spec = read_spec(source)
    home = data if data is not None else base / DATA_FOLDER
    looked = [home / spec.name, home, *_hub_folders(spec)]
    folder = next((each for each in looked if matching(each, spec.file)), None)
    return Located(spec, source, folder, tuple(looked))


def read_spec(path: Path) -> BenchmarkSpec:
    """Read a benchmark's YAML.

    Raises:
        BenchmarkError: the file is missing, not YAML, or has a wrong field.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BenchmarkError(
            f"cannot read the benchmark {path}: {error}; check the path in evaluate.benchmarks"
        ) from error
    try:
        fields = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BenchmarkError(f"{path} is not YAML: {error}; correct the line it names") from error
    return parse_spec(fields, str(path))


def absence(located: Located) -> str:
    """Return what to say of a benchmark whose files are not here: what to put where, and how to get it."""
    spec = located.spec
    names = " or ".join(spec.file)
    if located.source.parent == located.folder:
        path = located.source.parent / spec.file[0]
        return f"cannot read {path}: there is no such file; check `file` in the benchmark's YAML"
    folder = located.looked_in[0] if located.looked_in else Path(DATA_FOLDER) / spec.name
    lines = [f"the files of the benchmark {spec.name} are not here: put {names} into {folder}"]
    if spec.hub is not None:
        what = f" --include '{spec.hub.folder}/*'" if spec.hub.folder else ""
        lines.append(
            f"get them where there is a network: hf download {spec.hub.repository} --repo-type dataset "
            f"--revision {spec.hub.revision}{what} --local-dir {folder}"
        )
    return "; ".join(lines)


def _hub_folders(spec: BenchmarkSpec) -> list[Path]:
    """Return the folder of the data set's snapshot in the hub's cache, where there is one."""
    if spec.hub is None:
        return []
    home = Path(constants.HF_HUB_CACHE) / f"datasets--{spec.hub.repository.replace('/', '--')}"
    reference = home / "refs" / spec.hub.revision
    commit = reference.read_text(encoding="utf-8").strip() if reference.is_file() else spec.hub.revision
    snapshot = home / "snapshots" / commit
    return [snapshot] if snapshot.is_dir() else []
