"""The last step into the sandbox: a program that builds the sealed root, gives up rights, runs a command.

`sealing.py` starts it inside new namespaces, as `python -I -S sandbox_root.py PLAN`; PLAN is JSON. Under
`unshare` it does what bubblewrap does there by itself: an empty root with only the given folders, read-only,
and a first process of the process namespace, which ends everything when its starter is gone. Only the
standard library, so that it starts quickly and needs nothing but the interpreter.
"""

import ctypes
import fcntl
import json
import os
import re
import resource
import signal
import socket
import struct
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 0x1, 0x2, 0x4, 0x8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 0x20, 0x1000, 0x4000, 0x40000
MNT_DETACH = 0x2
PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_SECUREBITS, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 4, 24, 28, 38, 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
SECURE_BITS = 0x2F
"""Root gets no rights back on exec (locked), uid changes keep none (locked). Source: linux/securebits.h."""
CAPABILITY_VERSION_3 = 0x20080522
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1
_FLAGS = {"ro": MS_RDONLY, "nosuid": MS_NOSUID, "nodev": MS_NODEV, "noexec": MS_NOEXEC}
DEVICES = ("null", "zero", "full", "random", "urandom")
FAILED, CANNOT_RUN, NOT_FOUND, KILLED = 125, 126, 127, 137
"""Exit statuses, as those of env(1) and timeout(1)."""

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    encoded = [None if each is None else os.fsencode(each) for each in (source, target, kind, data)]
    result = _libc.mount(encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3])
    _checked(result, f"mount {source} on {target}")


def _prctl(option: int, value: int = 0) -> int:
    return int(_libc.prctl(option, *(ctypes.c_ulong(each) for each in (value, 0, 0, 0))))


def _mounts_at(target: str) -> list[tuple[str, int]]:
    """Return the mounts at and below a folder with their flags, from the kernel's own list."""
    found = []
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        fields = line.split(b" ")
        raw = re.sub(rb"\\([0-7]{3})", lambda code: bytes([int(code[1], 8)]), fields[4])
        point = os.fsdecode(raw)
        if point == target or point.startswith(target + "/"):
            words = os.fsdecode(fields[5]).split(",")
            found.append((point, sum(_FLAGS.get(word, 0) for word in words)))
    return found


def _bind(source: str, target: str, *, writable: bool, device: bool = False) -> None:
    """Show a file or folder at another place, read-only with everything that is mounted below it."""
    if Path(source).is_dir():
        Path(target).mkdir(parents=True, exist_ok=True)
    else:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        Path(target).touch()
    _mount(source, target, None, MS_BIND | MS_REC)
    wanted = MS_NOSUID | (0 if device else MS_NODEV) | (0 if writable else MS_RDONLY)
    for point, flags in _mounts_at(target):
        try:
            _mount("none", point, None, MS_REMOUNT | MS_BIND | flags | wanted)
        except PermissionError:
            if os.path.lexists(point):
                raise
            # A mount inside a folder that this user may not enter: nobody in here can reach it either.


def _tmpfs(target: str, mode: str, size_bytes: int) -> None:
    Path(target).mkdir(parents=True, exist_ok=True)
    _mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, f"mode={mode},size={size_bytes}")


def build_root(plan: dict[str, Any]) -> None:
    """Make the sealed root and move into it; what was mounted before is gone."""
    root = str(plan["base"])
    _mount("none", "/", None, MS_REC | MS_PRIVATE)
    _tmpfs(root, "0755", 1 << 20)
    for inside in ("/tmp", "/dev"):
        _tmpfs(root + inside, "1777" if inside == "/tmp" else "0755", int(plan["tmp_bytes"]))
    _tmpfs(f"{root}/dev/shm", "1777", int(plan["tmp_bytes"]))
    for name in DEVICES:
        _bind(f"/dev/{name}", f"{root}/dev/{name}", writable=True, device=True)
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        Path(f"{root}/dev/{name}").symlink_to(f"/proc/self/fd{target}")
    for source, inside, writable in plan["binds"]:
        _bind(source, root + inside, writable=writable)
    for inside, target in plan["links"]:
        Path(root + inside).symlink_to(target)
    Path(f"{root}/proc").mkdir()
    hidden = MS_NOSUID | MS_NODEV | MS_NOEXEC
    _mount("proc", f"{root}/proc", "proc", hidden)
    # No user namespaces inside this one: they would give rights back to try the kernel with.
    Path(f"{root}/proc/sys/user/max_user_namespaces").write_text("0", encoding="ascii")
    _mount("none", f"{root}/proc", None, MS_REMOUNT | MS_BIND | MS_RDONLY | hidden)
    os.chdir(root)
    _checked(_libc.pivot_root(b".", b"."), "pivot_root")
    _checked(_libc.umount2(b".", MNT_DETACH), "umount of the old root")
    os.chdir("/")
    for point in ("/dev", "/"):
        _mount("none", point, None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)


def raise_loopback() -> None:
    """Bring up this network namespace's own loopback, as bubblewrap does; there is no other device."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        request = struct.pack("16sh22x", b"lo", 0)
        flags = struct.unpack("16sh22x", fcntl.ioctl(handle, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(handle, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags | IFF_UP))


def give_up_rights() -> None:
    """Drop every capability for good, and the way to new ones."""
    _checked(_prctl(PR_SET_SECUREBITS, SECURE_BITS), "securebits")
    _checked(_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL), "ambient capabilities")
    number = 0
    while _prctl(PR_CAPBSET_DROP, number) == 0:
        number += 1
    header = struct.pack("Ii", CAPABILITY_VERSION_3, 0)
    _checked(_libc.capset(header, struct.pack("6I", 0, 0, 0, 0, 0, 0)), "capset")
    _checked(_prctl(PR_SET_NO_NEW_PRIVS, 1), "no_new_privs")


def run_command(plan: dict[str, Any]) -> NoReturn:
    """Become the command, with the given environment and limits; exit as env(1) does where it cannot run."""
    command: list[str] = plan["command"]
    try:
        os.chdir(plan["work"])
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if plan["memory_bytes"] is not None:
            resource.setrlimit(resource.RLIMIT_AS, (plan["memory_bytes"], plan["memory_bytes"]))
        for each in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(each, signal.SIG_DFL)  # Python ignores them, and what it execs would too
        os.closerange(3, 1024)
        os.execvpe(command[0], command, plan["environment"])
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be run in the sandbox: {error.strerror}\n")
        sys.stderr.flush()
        os._exit(NOT_FOUND if isinstance(error, FileNotFoundError) else CANNOT_RUN)


def _end_with(lifeline: int) -> None:
    """Wait until the starter's end of the pipe is closed; then end, and with it every process in here."""
    os.read(lifeline, 1)
    os._exit(KILLED)


def watch(child: int, lifeline: int) -> int:
    """Be the first process: collect what ends; return the command's exit status (128 + n for signal n)."""
    _prctl(PR_SET_DUMPABLE, 0)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    while True:
        ended, status = os.wait()
        if ended == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def main() -> None:
    """Do what the plan on the command line says."""
    plan = json.loads(sys.argv[1])
    if plan["root"] is None:
        run_command(plan)
    lifeline, status = int(plan["root"]["lifeline"]), int(plan["root"]["status"])
    try:
        build_root(plan["root"])
        socket.sethostname("sealed")
        raise_loopback()
        give_up_rights()
    except OSError as error:
        sys.stderr.write(f"unshare: the sealed root cannot be built: {error.strerror or error}\n")
        sys.stderr.flush()
        os._exit(FAILED)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.write(status, b"up\n")
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        run_command(plan)
    os._exit(watch(child, lifeline))


if __name__ == "__main__":
    main()
