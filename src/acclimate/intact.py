"""Whether files are what their hashes say, and whether a folder holds anything that leads out of it."""

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from acclimate.files import sha256_file


def entries(folder: Path) -> Iterator[Path]:
    """Yield every entry below a folder that is no folder, and every link; links are not followed."""
    for home, folders, files in os.walk(folder):
        for name in sorted([*folders, *files]):
            path = Path(home, name)
            if path.is_symlink() or not path.is_dir():
                yield path


def strangers(path: Path, inside: str) -> Iterator[str]:
    """Yield, in words, what in a file or folder is no plain file of its own.

    Those are links that leave the folder, devices, sockets, pipes and setuid files. An absolute link is one
    that leaves it, unless the folder has the same path inside the sandbox.

    Args:
        path: without links in it. inside: its path inside the sandbox.
    """
    for each in entries(path) if path.is_dir() else (path,):
        name = str(each.relative_to(path)) if path.is_dir() else each.name
        mode = each.lstat().st_mode
        if stat.S_ISLNK(mode):
            target = each.readlink()
            moved = target.is_absolute() and inside != str(path)
            if moved or not Path(os.path.realpath(each)).is_relative_to(path):
                yield f"{name} (a link to {target})"
        elif not stat.S_ISREG(mode):
            yield f"{name} (no plain file)"
        elif mode & (stat.S_ISUID | stat.S_ISGID):
            yield f"{name} (runs with its owner's rights)"


def differences(path: Path, sha256: str | Mapping[str, str] | None) -> tuple[str, ...]:
    """Return how a file or folder differs from its hashes, one sentence each; empty where it does not.

    A folder's list must be whole: a file that it does not name is a difference too. Source: our own rule.

    Args:
        sha256: 64 hex digits of a file, or of each file of a folder by its path in there; None checks
            nothing.
    """
    if sha256 is None:
        return ()
    if isinstance(sha256, str):
        return tuple(_differs(path, sha256))
    if not path.is_dir():
        return (f"{path} is not a folder",)
    found = {each.relative_to(path).as_posix() for each in entries(path) if not each.is_dir()}
    said = [f"{path / name} is not in the list of hashes" for name in sorted(found - set(sha256))]
    for name, digest in sorted(sha256.items()):
        said += _differs(path / name, digest) if name in found else [f"{path / name} is missing"]
    return tuple(said)


def _differs(path: Path, digest: str) -> list[str]:
    if not path.is_file():
        return [f"{path} is missing or no file"]
    found = sha256_file(path)
    return [] if found == digest.lower() else [f"{path} has SHA-256 {found}, not {digest}"]
