"""One start of bubblewrap or unshare: the root a command sees, the tool's arguments, its logs and its end.

`sandbox.py` decides what may be run and judges what came of it; this module only does it.
"""

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

from acclimate import sandbox_root

Tool: TypeAlias = Literal["bwrap", "unshare"]

KILLED_STATUS = sandbox_root.KILLED
"""Exit status of what was killed at its time limit."""
_ETC = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "alternatives")
_ETC_FILES: Mapping[str, str] = {
    "passwd": "sealed:x:0:0:sealed:/tmp:/bin/sh\n",
    "group": "sealed:x:0:\n",
    "hosts": "127.0.0.1 localhost sealed\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}
"""Written anew, so that no name of a person or a host goes in; no name server is known."""
_GRACE_S = 5.0
"""How long killed processes may take to be gone."""
_READ_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Mount:
    """A file or folder of this machine, and where it is seen inside."""

    path: str
    inside: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """A command and what it is to have."""

    command: tuple[str, ...]
    mounts: tuple[Mount, ...]
    """Inputs and output; the system's own are added."""
    work: str
    environment: Mapping[str, str]
    limit_s: float
    memory_bytes: int | None
    """Address space of each process."""
    tmp_bytes: int
    """Size of /tmp, and of /dev/shm."""
    log_bytes: int
    """Kept of each stream."""


@dataclass(frozen=True, slots=True)
class Launched:
    """What came of one start."""

    started: bool
    """False where the tool could not make the sandbox, so that the command never ran."""
    status: int
    seconds: float
    timed_out: bool
    lost_bytes: tuple[int, int]
    """Of stdout and stderr, beyond what the logs keep."""


def within(path: str, folder: str) -> bool:
    """Return whether a path is a folder or lies in it, by its text."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def system_mounts() -> list[Mount]:
    """Return what is always seen, read-only: programs, libraries, the interpreter, this package."""
    folders = [Path("/usr"), Path("/sys/devices/system/cpu")]
    folders += [each for each in (*Path("/").glob("lib*"), *Path("/").glob("*bin")) if not each.is_symlink()]
    folders += [Path("/etc") / name for name in _ETC]
    interpreter = [Path(sys.prefix), Path(sys.base_prefix), Path(sys.exec_prefix), Path(sys.base_exec_prefix)]
    interpreter.append(Path(__file__).parent.parent)
    interpreter += [each.resolve() for each in interpreter]
    interpreter.append(Path(sys.executable).resolve().parent)
    linked = [link for link, _ in _system_links()]
    kept: list[Mount] = []
    for each in sorted({*folders, *interpreter}, key=lambda path: (len(path.parts), path)):
        inside = str(each)
        if not each.exists() or any(within(inside, one) for one in (*linked, *(m.inside for m in kept))):
            continue
        kept.append(Mount(str(each.resolve()), inside))
    return kept


def _system_links() -> list[tuple[str, str]]:
    """Return the links of a merged /usr: /bin, /lib and the like, and where they lead."""
    found = sorted((*Path("/").glob("lib*"), *Path("/").glob("*bin")))
    return [(str(each), str(each.readlink())) for each in found if each.is_symlink()]


class _Log:
    """A stream's file, which keeps only so much."""

    def __init__(self, handle: BinaryIO, keep_bytes: int) -> None:
        self.handle = handle
        self.left = keep_bytes
        self.lost = 0

    def add(self, data: bytes) -> None:
        self.handle.write(data[: self.left])
        self.lost += max(0, len(data) - self.left)
        self.left = max(0, self.left - len(data))

    def end(self) -> None:
        if self.lost:
            self.handle.write(f"\n[acclimate: cut here; {self.lost} more bytes were not kept]\n".encode())


def launch(plan: Plan, tool: Tool, program: str, logs: tuple[Path, Path]) -> Launched:
    """Run a command in new namespaces until it ends or its time is over; all its children end with it.

    Raises:
        OSError: the tool cannot be started at all, or a log cannot be written.
    """
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="acclimate-sealed-")))
        mounts = [*system_mounts(), *_etc_mounts(scratch), *plan.mounts]
        mounts.sort(key=lambda one: one.inside.count("/"))
        status_read, status_write = os.pipe()
        lifeline_read, lifeline_write = os.pipe()
        stack.callback(os.close, status_read)
        life = stack.enter_context(os.fdopen(lifeline_write, "wb", buffering=0))
        sinks = [_Log(stack.enter_context(path.open("wb")), plan.log_bytes) for path in logs]
        begun = time.monotonic()
        try:
            if tool == "bwrap":
                arguments = _bwrap_arguments(plan, mounts, status_write)
            else:
                arguments = _unshare_arguments(plan, mounts, scratch, (lifeline_read, status_write))
            process = subprocess.Popen(
                [program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={},
                cwd="/",
                pass_fds=(status_write,) if tool == "bwrap" else (status_write, lifeline_read),
                start_new_session=True,
            )
        finally:
            os.close(status_write)
            os.close(lifeline_read)
        with process:
            try:
                said, timed_out = _follow(process, sinks, status_read, begun + plan.limit_s, life)
            finally:
                _kill(process, life)
        for sink in sinks:
            sink.end()
    status = KILLED_STATUS if timed_out else process.returncode
    started = b"up" in said if tool == "unshare" else b"exit-code" in said
    lost = (sinks[0].lost, sinks[1].lost)
    return Launched(started, status, time.monotonic() - begun, timed_out, lost)


def _follow(
    process: subprocess.Popen[bytes], sinks: Sequence[_Log], status: int, deadline: float, life: BinaryIO
) -> tuple[bytes, bool]:
    """Read all streams to their ends; kill at the deadline; return what the tool said, and if it was late."""
    said = bytearray()
    timed_out = False
    with selectors.DefaultSelector() as selector:
        for stream, sink in zip((process.stdout, process.stderr), sinks, strict=True):
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ, sink.add)
        selector.register(status, selectors.EVENT_READ, said.extend)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0 and timed_out:
                break  # not even the kill has closed the streams
            if left <= 0:
                timed_out = True
                _kill(process, life)
                deadline = time.monotonic() + _GRACE_S
                continue
            for key, _ in selector.select(left):
                data = os.read(key.fd, _READ_BYTES)
                if data:
                    key.data(data)
                else:
                    selector.unregister(key.fileobj)
    return bytes(said), timed_out


def _kill(process: subprocess.Popen[bytes], life: BinaryIO) -> None:
    """End the tool, and with it the first process inside and so every other; harmless where it has ended."""
    life.close()
    if process.poll() is not None:
        return
    try:
        process.wait(0.5)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _etc_mounts(scratch: Path) -> list[Mount]:
    mounts = []
    for name, text in _ETC_FILES.items():
        path = scratch / name
        path.write_text(text, encoding="ascii")
        mounts.append(Mount(str(path), f"/etc/{name}"))
    return mounts


def _inner(plan: Plan, root: Mapping[str, object] | None) -> list[str]:
    """Return the program that runs inside, and what it is told."""
    told = {
        "command": plan.command,
        "work": plan.work,
        "environment": dict(plan.environment),
        "memory_bytes": plan.memory_bytes,
        "root": root,
    }
    return [sys.executable, "-I", "-S", "-B", sandbox_root.__file__, json.dumps(told)]


def _bwrap_arguments(plan: Plan, mounts: Sequence[Mount], status: int) -> list[str]:
    size = ["--perms", "1777", "--size", str(plan.tmp_bytes), "--tmpfs"]
    arguments = ["--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    arguments += [
        "--unshare-cgroup-try",
        "--disable-userns",
        "--uid",
        "0",
        "--gid",
        "0",
        "--hostname",
        "sealed",
    ]
    arguments += ["--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]
    arguments += ["--json-status-fd", str(status), *size, "/tmp"]
    for one in mounts:
        arguments += ["--bind" if one.writable else "--ro-bind", one.path, one.inside]
    for link, target in _system_links():
        arguments += ["--symlink", target, link]
    arguments += ["--proc", "/proc", "--remount-ro", "/proc"]
    arguments += [
        "--dev",
        "/dev",
        *size,
        "/dev/shm",
        "--remount-ro",
        "/dev",
        "--remount-ro",
        "/",
        "--chdir",
        "/",
    ]
    return [*arguments, "--", *_inner(plan, None)]


def _unshare_arguments(
    plan: Plan, mounts: Sequence[Mount], scratch: Path, pipes: tuple[int, int]
) -> list[str]:
    base = scratch / "root"
    base.mkdir()
    root = {
        "base": str(base),
        "tmp_bytes": plan.tmp_bytes,
        "binds": [[one.path, one.inside, one.writable] for one in mounts],
        "links": _system_links(),
        "lifeline": pipes[0],
        "status": pipes[1],
    }
    arguments = ["--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child"]
    return [*arguments, "--ipc", "--uts", "--net", "--", *_inner(plan, root)]
