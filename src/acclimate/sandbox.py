"""A sealed sandbox: runs what a claim rests on with no network, no home, and inputs that cannot change.

A command gets a user, mount, PID, IPC, UTS and network namespace of its own, by bubblewrap (`bwrap`) or,
where that is absent, by `unshare` of util-linux with `sandbox_root.py`. It sees the interpreter, this
package, the system's programs and the inputs, all read-only, and can write in one folder only (and in a
small private /tmp and /dev/shm). Where no tool works, nothing is run: there is no unsealed fallback.
"""

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from acclimate.errors import AcclimateError
from acclimate.files import JSON
from acclimate.intact import differences, strangers
from acclimate.sealing import Launched, Mount, Plan, Tool, launch, system_mounts, within

TOOLS: tuple[Tool, ...] = ("bwrap", "unshare")
PLACES = "/usr/bin:/bin:/usr/local/bin:/run/current-system/sw/bin"
"""Where the tools are looked for; the user's PATH has no say."""
OUT = "/out"
"""The output folder's place inside."""
ENVIRONMENT: Mapping[str, str] = MappingProxyType(
    {
        "PATH": f"{sys.prefix}/bin:/usr/bin:/bin",
        "HOME": "/tmp",
        "TMPDIR": "/tmp",
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
    }
)
"""What a Python program needs; a caller adds to it and passes the whole."""

_PROBE_S = 20.0
_NAMED = 5


class SandboxError(AcclimateError):
    """Nothing can be run sealed here, or an input or output is not what it must be."""


@dataclass(frozen=True, slots=True)
class Bind:
    """An input, shown read-only inside."""

    path: Path
    """A file or a folder; links are followed to what they name now."""
    inside: str
    """Absolute path inside, outside the system's folders and apart from every other input's."""
    sha256: str | Mapping[str, str] | None = None
    """64 hex digits of a file; or of each file of a folder, by its path in there; None checks nothing."""


@dataclass(frozen=True, slots=True)
class Bound:
    """One thing that was seen inside."""

    path: str
    inside: str
    writable: bool
    n_checked: int = 0
    """Files whose hashes were compared before and after the run."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a command is sealed, beside what it may see."""

    tool: Tool | None = None
    """None takes the first that works, in the order of `TOOLS`."""
    logs: Path | None = None
    """Folder of the logs; None puts them beside the output folder, where the command cannot reach them."""
    log_bytes: int = 8 << 20
    """Kept of each stream; the log's last line says how much was cut."""
    tmp_bytes: int = 512 << 20
    """Size of the private /tmp, and of /dev/shm; both are memory."""
    places: str = PLACES
    """Folders in which the tools are looked for, as a PATH."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A command that was run sealed."""

    command: tuple[str, ...]
    tool: Tool
    version: str
    """What the tool says of itself."""
    status: int
    """Exit status; 128 + n after signal n, 126 and 127 where the command could not be run."""
    seconds: float
    """Wall time, the sandbox's own start included."""
    timed_out: bool
    """Killed at its time limit, with all its children; `status` is 137 then."""
    stdout: Path
    stderr: Path
    stdout_lost_bytes: int
    """Bytes that were written but not kept."""
    stderr_lost_bytes: int
    bound: tuple[Bound, ...]
    environment: Mapping[str, str]
    limit_s: float
    memory_bytes: int | None

    @property
    def ok(self) -> bool:
        """Whether the command ended by itself with status 0."""
        return self.status == 0 and not self.timed_out

    def as_json(self) -> dict[str, JSON]:
        """Return what was run, for a record; paths as text."""
        return {
            "command": list(self.command),
            "tool": self.tool,
            "version": self.version,
            "status": self.status,
            "seconds": round(self.seconds, 3),
            "timed_out": self.timed_out,
            "stdout": self.stdout.name,
            "stderr": self.stderr.name,
            "stdout_lost_bytes": self.stdout_lost_bytes,
            "stderr_lost_bytes": self.stderr_lost_bytes,
            "bound": [
                {"path": one.path, "inside": one.inside, "writable": one.writable, "n_checked": one.n_checked}
                for one in self.bound
            ],
            "environment": dict(self.environment),
            "limit_s": self.limit_s,
            "memory_bytes": self.memory_bytes,
        }


@dataclass(frozen=True, slots=True)
class Tried:
    """A tool that was tried here."""

    tool: Tool
    version: str
    """Empty where the tool is not installed."""
    reason: str
    """Why it does not work, in words; empty where it does."""


@dataclass(frozen=True, slots=True)
class Availability:
    """Which tool can seal a run here."""

    tool: Tool | None
    """The first that works; None where none does."""
    tried: tuple[Tried, ...]

    @property
    def sentence(self) -> str:
        """What a person should know, in one line."""
        each = (f"{one.tool}: {one.reason or f'works ({one.version})'}" for one in self.tried)
        return "; ".join(each)


# --- which tool works ----------------------------------------------------------------------------


def available(places: str = PLACES) -> Availability:
    """Return which tools can seal a run here, by running `true` in each."""
    tried = tuple(_try(tool, places) for tool in TOOLS)
    return Availability(next((each.tool for each in tried if not each.reason), None), tried)


def _try(tool: Tool, places: str) -> Tried:
    program = shutil.which(tool, path=places)
    if program is None:
        package = {"bwrap": "bubblewrap", "unshare": "util-linux"}[tool]
        return Tried(tool, "", f"is not installed in {places} (Debian's package {package})")
    version = _version(program)
    with tempfile.TemporaryDirectory(prefix="acclimate-probe-") as name:
        out = Path(name) / "out"
        out.mkdir()
        plan = Plan(
            command=("true",),
            mounts=(Mount(str(out), OUT, writable=True),),
            work=OUT,
            environment={"PATH": "/usr/bin:/bin"},
            limit_s=_PROBE_S,
            memory_bytes=None,
            tmp_bytes=1 << 20,
            log_bytes=1 << 16,
        )
        logs = (Path(name) / "stdout", Path(name) / "stderr")
        try:
            ran = launch(plan, tool, program, logs)
        except OSError as error:
            return Tried(tool, version, f"cannot be started ({error})")
        said = logs[1].read_text(encoding="utf-8", errors="replace").strip()
    if ran.started and ran.status == 0:
        return Tried(tool, version, "")
    return Tried(tool, version, _why(said or f"`true` ended with status {ran.status} and said nothing"))


@functools.cache
def _tried(tool: Tool, places: str) -> Tried:
    return _try(tool, places)


def _version(program: str) -> str:
    try:
        done = subprocess.run(
            [program, "--version"], capture_output=True, env={}, timeout=_PROBE_S, check=False, cwd="/"
        )
    except (OSError, subprocess.TimeoutExpired):
        return "of unknown version"
    return done.stdout.decode("utf-8", "replace").strip() or "of unknown version"


def _why(said: str) -> str:
    """Return what the tool said, with the usual causes that hold on this machine."""
    causes = []
    for name, bad, words in (
        ("kernel/unprivileged_userns_clone", "0", "unprivileged user namespaces are disabled"),
        ("user/max_user_namespaces", "0", "user namespaces are disabled"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "AppArmor restricts user namespaces"),
    ):
        knob = Path("/proc/sys") / name
        if knob.is_file() and knob.read_text(encoding="ascii").strip() == bad:
            causes.append(f"{words} (sysctl {name.replace('/', '.')} is {bad})")
    if "proc" in said and ("not permitted" in said or "denied" in said):
        causes.append("in a container, a fresh /proc needs `--security-opt systempaths=unconfined`")
    if "nknown option" in said:
        causes.append("bubblewrap 0.8 or newer is needed")
    if not causes and ("not permitted" in said or "ermission" in said):
        causes.append("a container's seccomp profile may forbid namespaces")
    return " ".join(said.split())[:300] + (f" ({'; '.join(causes)})" if causes else "")


def _chosen(settings: Settings) -> tuple[Tool, str, str]:
    """Return the tool, its program and its version.

    Raises:
        SandboxError: the tool that is asked for, or every tool, does not work here.
    """
    wanted = TOOLS if settings.tool is None else (settings.tool,)
    tried = [_tried(tool, settings.places) for tool in wanted]
    for each in tried:
        program = shutil.which(each.tool, path=settings.places)
        if not each.reason and program is not None:
            return each.tool, program, each.version
    raise SandboxError(
        f"Nothing can be run sealed here: {Availability(None, tuple(tried)).sentence}. Install bubblewrap, "
        "allow user namespaces, or verify on another machine; nothing was run."
    )


# --- what is seen inside -------------------------------------------------------------------------


def _system() -> list[Mount]:
    """Return the read-only system.

    Raises:
        SandboxError: the interpreter's folder is the whole file system.
    """
    system = system_mounts()
    if any(one.path == "/" for one in system):
        raise SandboxError(
            f"The interpreter's folder is / ({sys.executable}); use one in a folder of its own."
        )
    return system


def _input_mounts(inputs: Sequence[Bind], system: Sequence[Mount]) -> list[Mount]:
    """Return the inputs' mounts.

    Raises:
        SandboxError: an input is missing, its place inside is taken, or it holds what may not go in.
    """
    taken = [one.inside for one in system if not within(one.inside, "/tmp")]
    taken += ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/dev", "/sys", "/etc", OUT]
    mounts = []
    for each in inputs:
        inside = each.inside
        if not inside.startswith("/") or inside != os.path.normpath(inside) or inside in ("/", "/tmp"):
            raise SandboxError(
                f"{each.path}: `{inside}` is no place inside; give an absolute path like /in/run."
            )
        clash = next((one for one in taken if within(one, inside) or within(inside, one)), None)
        if clash is not None:
            raise SandboxError(f"{each.path}: its place inside, {inside}, lies across {clash}; give another.")
        taken.append(inside)
        if not each.path.exists():
            raise SandboxError(f"{each.path} is an input and is not there; check the path.")
        bad = list(strangers(each.path.resolve(), inside))
        if bad:
            raise SandboxError(
                f"{each.path} holds what may not go into the sandbox: {_list(bad)}. Put the files themselves "
                "there in place of links."
            )
        mounts.append(Mount(str(each.path.resolve()), inside))
    return mounts


def _list(names: Sequence[str]) -> str:
    rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + rest


def _apart(out: Path, mounts: Iterable[Mount]) -> None:
    """Check that what may be written is not part of what may only be read.

    Raises:
        SandboxError: it is, and the read-only thing could be changed by its other name.
    """
    for each in mounts:
        if within(str(out), each.path) or within(each.path, str(out)):
            raise SandboxError(
                f"The output folder {out} and {each.path}, which must stay as it is, lie within each other; "
                "choose an output folder of its own."
            )


def _check_hashes(inputs: Sequence[Bind], when: str) -> None:
    bad = [sentence for each in inputs for sentence in differences(each.path, each.sha256)]
    if bad:
        raise SandboxError(
            f"{when}: {_list(bad)}. Put the recorded files back, or make a new record of these."
        )


def _n_checked(bind: Bind) -> int:
    return len(bind.sha256) if isinstance(bind.sha256, Mapping) else int(bind.sha256 is not None)


# --- the run -------------------------------------------------------------------------------------


def run_sealed(
    command: Sequence[str],
    *,
    inputs: Sequence[Bind],
    out: Path,
    work: Path | None = None,
    environment: Mapping[str, str] = ENVIRONMENT,
    limit_s: float,
    memory_bytes: int | None = None,
    settings: Settings | None = None,
) -> Sealed:
    """Run a command sealed, and return what came of it.

    Args:
        inputs: what the command may read beside the interpreter, this package and the system's programs.
        out: the one folder it may write to, `OUT` inside; made where it is missing. Its logs are
            `NAME.stdout.log` and `NAME.stderr.log` beside it.
        work: working folder, a path inside; None is `OUT`.
        environment: all variables the command gets; usually `{**ENVIRONMENT, ...}`.
        limit_s: seconds of wall time, after which the command and all its children are killed.
        memory_bytes: address space of each process (not of all together); None sets no limit.

    Raises:
        SandboxError: no tool works here; an input is missing, holds a link that leaves it or differs from its
            hashes, before the run or after it; the output folder holds a link that leaves it.
    """
    options = Settings() if settings is None else settings
    if not command or limit_s <= 0:
        raise SandboxError("A sealed run needs a command and a time limit above 0 seconds.")
    tool, program, version = _chosen(options)
    out.mkdir(parents=True, exist_ok=True)
    system = _system()
    seen = _input_mounts(inputs, system)
    home = out.resolve()
    _apart(home, [*system, *seen])
    _check_hashes(inputs, "Inputs differ from their hashes, and nothing was run")
    logs = home.parent if options.logs is None else options.logs.resolve()
    logs.mkdir(parents=True, exist_ok=True)
    if within(str(logs), str(home)):
        raise SandboxError(
            f"The logs in {logs} would lie in the command's own output folder; choose another."
        )
    paths = (logs / f"{home.name}.stdout.log", logs / f"{home.name}.stderr.log")
    mounts = (*seen, Mount(str(home), OUT, writable=True))
    plan = Plan(
        command=tuple(command),
        mounts=mounts,
        work=OUT if work is None else str(work),
        environment=dict(environment),
        limit_s=limit_s,
        memory_bytes=memory_bytes,
        tmp_bytes=options.tmp_bytes,
        log_bytes=options.log_bytes,
    )
    ran = _launched(plan, tool, program, paths)
    if not ran.started and not ran.timed_out:
        said = paths[1].read_text(encoding="utf-8", errors="replace").strip()
        raise SandboxError(f"{tool} could not seal the run, and nothing was run: {_why(said)}")
    _check_hashes(
        inputs, f"Inputs were changed while {command[0]} ran, so that its results count for nothing"
    )
    bad = list(strangers(home, OUT))
    if bad:
        raise SandboxError(f"{command[0]} left in {out} what may not come out of the sandbox: {_list(bad)}.")
    bound = [
        Bound(str(each.path), each.inside, writable=False, n_checked=_n_checked(each)) for each in inputs
    ]
    bound += [Bound(one.path, one.inside, one.writable) for one in (*system, mounts[-1])]
    return Sealed(
        command=tuple(command),
        tool=tool,
        version=version,
        status=ran.status,
        seconds=ran.seconds,
        timed_out=ran.timed_out,
        stdout=paths[0],
        stderr=paths[1],
        stdout_lost_bytes=ran.lost_bytes[0],
        stderr_lost_bytes=ran.lost_bytes[1],
        bound=tuple(bound),
        environment=dict(environment),
        limit_s=limit_s,
        memory_bytes=memory_bytes,
    )


def _launched(plan: Plan, tool: Tool, program: str, logs: tuple[Path, Path]) -> Launched:
    try:
        return launch(plan, tool, program, logs)
    except OSError as error:
        raise SandboxError(f"{program} cannot be started ({error}); nothing was run.") from error
