"""The sandbox: what is inside stays inside, by both tools that can make one."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from acclimate.sandbox import (
    ENVIRONMENT,
    OUT,
    TOOLS,
    Bind,
    SandboxError,
    Sealed,
    Settings,
    Tool,
    available,
    run_sealed,
)

LIMIT_S = 300.0
PACKAGE = Path(__file__).parents[1] / "src"
WORKS = {each.tool: each.reason for each in available().tried}


@pytest.fixture(params=TOOLS)
def tool(request: pytest.FixtureRequest) -> Tool:
    """Each tool in turn; one that does not work here is skipped with its reason."""
    if WORKS[request.param]:
        pytest.skip(f"{request.param} {WORKS[request.param]}")
    return request.param


Run = Callable[..., Sealed]


@pytest.fixture
def run(tool: Tool, tmp_path: Path) -> Run:
    """Run Python code sealed by the tool, with `out` as its output folder."""

    def go(code: str, *arguments: str, out: Path = tmp_path / "out", **further: object) -> Sealed:
        settings = further.pop("settings", None) or Settings(tool=tool)
        command = [sys.executable, "-c", code, *arguments]
        options = {"inputs": (), "limit_s": LIMIT_S, **further}
        return run_sealed(command, out=out, settings=settings, **options)

    return go


def said(sealed: Sealed) -> str:
    """Return what a run printed; a run that failed fails the test with what it said of that."""
    errors = sealed.stderr.read_text(encoding="utf-8")
    assert sealed.ok, f"status {sealed.status}: {errors}"
    return sealed.stdout.read_text(encoding="utf-8").strip()


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


TRY = """
import sys
for path in sys.argv[1:]:
    try:
        open(path, 'a').write('x')
        print('written', path)
    except OSError as error:
        print('refused')
"""


# --- what comes back -----------------------------------------------------------------------------


def test_the_output_folder_and_both_streams_come_back(run: Run, tmp_path: Path):
    sealed = run(
        "import sys; open('result.txt', 'w').write('42'); print('hello'); print('oh', file=sys.stderr)"
    )
    assert said(sealed) == "hello"
    assert sealed.stderr.read_text() == "oh\n"
    assert (tmp_path / "out" / "result.txt").read_text() == "42"
    assert (tmp_path / "out" / "result.txt").stat().st_uid == os.geteuid()
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["result.txt"], "the logs lie outside"
    assert sealed.version and sealed.seconds > 0


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("pass", 0),
        ("raise SystemExit(3)", 3),
        ("raise SystemExit(1)", 1),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", 128 + 15),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 128 + 9),
    ],
)
def test_the_exit_status_goes_through(run: Run, code: str, status: int):
    sealed = run(code)
    assert sealed.status == status
    assert sealed.ok is (status == 0)
    assert not sealed.timed_out


def test_a_program_that_is_not_there_or_no_program_is_a_status(tool: Tool, tmp_path: Path):
    for command, status in (("no-such-program", 127), ("/etc/hosts", 126)):
        sealed = run_sealed(
            [command], inputs=(), out=tmp_path / "out", limit_s=LIMIT_S, settings=Settings(tool=tool)
        )
        assert sealed.status == status
        assert command in sealed.stderr.read_text()


def test_a_long_log_is_cut_and_says_so(run: Run, tool: Tool):
    sealed = run("print('a' * 100_000)", settings=Settings(tool=tool, log_bytes=1000))
    text = said(sealed)
    assert text.startswith("a" * 1000 + "\n[acclimate: cut here; 99001 more bytes were not kept]")
    assert sealed.stdout_lost_bytes == 99_001
    assert sealed.stderr_lost_bytes == 0


def test_spaces_and_other_scripts_in_paths_and_arguments_are_fine(run: Run, tmp_path: Path):
    folder = tmp_path / "Ünï cødé – 日本 'x'"
    folder.mkdir()
    (folder / "näme mit leerzeichen.txt").write_text("drin")
    sealed = run(
        "import sys; print(open(sys.argv[1]).read()); open('hin aus ü', 'w').write(sys.argv[1])",
        "/in/ein gang – 日本/näme mit leerzeichen.txt",
        inputs=[Bind(folder, "/in/ein gang – 日本")],
        out=tmp_path / "aus gäng",
    )
    assert said(sealed) == "drin"
    assert "日本" in (tmp_path / "aus gäng" / "hin aus ü").read_text()


def test_the_working_folder_can_be_an_input(run: Run, tmp_path: Path):
    (tmp_path / "in").mkdir()
    sealed = run(
        "import os; print(os.getcwd())", inputs=[Bind(tmp_path / "in", "/in/run")], work=Path("/in/run")
    )
    assert said(sealed) == "/in/run"


def test_what_was_run_can_be_written_into_a_record(run: Run, tmp_path: Path):
    (tmp_path / "a").write_text("a")
    sealed = run("pass", inputs=[Bind(tmp_path / "a", "/in/a", digest("a"))], memory_bytes=4 << 30)
    record = json.loads(json.dumps(sealed.as_json()))
    assert record["status"] == 0
    assert record["environment"] == dict(ENVIRONMENT)
    assert record["bound"][0] == {
        "path": str(tmp_path / "a"),
        "inside": "/in/a",
        "writable": False,
        "n_checked": 1,
    }
    assert [each["inside"] for each in record["bound"] if each["writable"]] == [OUT]


# --- what cannot be written ----------------------------------------------------------------------


def test_inputs_cannot_be_written_changed_or_removed(run: Run, tmp_path: Path):
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a").write_text("a")
    (tmp_path / "single").write_text("s")
    code = (
        TRY
        + """
import os
for act in (lambda: os.remove('/in/x/deep/a'), lambda: os.rename('/in/x/deep', '/in/x/d'),
            lambda: os.chmod('/in/x/deep/a', 0o777), lambda: os.utime('/in/x/deep/a', (1, 1)),
            lambda: os.link('/in/x/deep/a', '/out/a')):
    try:
        act()
        print('done')
    except OSError:
        print('refused')
"""
    )
    sealed = run(
        code,
        *("/in/x/new", "/in/x/deep/a", "/in/single"),
        inputs=[
            Bind(folder, "/in/x", {"deep/a": digest("a")}),
            Bind(tmp_path / "single", "/in/single", digest("s")),
        ],
    )
    assert said(sealed).split() == ["refused"] * 8
    assert (folder / "deep" / "a").read_text() == "a"
    assert [each.name for each in folder.iterdir()] == ["deep"]


def test_interpreter_package_and_system_cannot_be_written(run: Run):
    places = [
        sys.prefix,
        sys.base_prefix,
        str(PACKAGE),
        "/usr",
        "/etc",
        "/",
        "/sys",
        "/dev",
        "/root",
        "/home",
    ]
    sealed = run(TRY, *(f"{each}/written-by-a-test" for each in places))
    assert said(sealed).split() == ["refused"] * len(places)


def test_the_kernel_cannot_be_told_anything(run: Run):
    knobs = ["/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/self/oom_score_adj"]
    assert said(run(TRY, *knobs)).split() == ["refused"] * 3


def test_nothing_can_be_mounted_and_no_rights_can_be_had(run: Run):
    sealed = run(
        """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
print(libc.mount(b'none', b'/usr', None, ctypes.c_ulong(0x20 | 0x1000), None))  # remount, bind, writable
print(libc.umount2(b'/usr', 2))
print(libc.unshare(0x10000000))  # a user namespace, which would have rights of its own
status = dict(line.split(':', 1) for line in open('/proc/self/status'))
print(*(int(status[name], 16) for name in ('CapEff', 'CapPrm', 'CapInh', 'CapBnd', 'CapAmb')))
print(status['NoNewPrivs'].strip())
"""
    )
    assert said(sealed).splitlines() == ["-1", "-1", "-1", "0 0 0 0 0", "1"]


def test_tmp_is_private_and_small(run: Run, tool: Tool, tmp_path: Path):
    code = """
import os, errno
print(os.listdir('/tmp'))
open('/tmp/small', 'w').write('x')
for place in ('/tmp', '/dev/shm'):
    try:
        with open(place + '/big', 'wb') as handle:
            handle.write(bytes(3 << 20))
        print('written')
    except OSError as error:
        print(errno.errorcode[error.errno])
"""
    sealed = run(code, settings=Settings(tool=tool, tmp_bytes=2 << 20))
    parts = Path(__file__).resolve().parts  # a checkout below /tmp is seen, for the program lies in it
    seen = [parts[2]] if parts[:2] == ("/", "tmp") else []
    assert said(sealed).splitlines() == [str(seen), "ENOSPC", "ENOSPC"]


def test_locks_of_several_processes_work(run: Run):
    assert said(run("import multiprocessing as m; print(m.Lock().acquire())")) == "True"


# --- what cannot be seen -------------------------------------------------------------------------


def test_nothing_else_of_the_machine_can_be_read(run: Run, tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    home = Path.home()
    paths = [str(secret), "/etc/shadow", "/etc/hostname", "/etc/resolv.conf", "/var", "/run", "/mnt", "/boot"]
    paths += [str(home / ".bashrc"), str(home / ".ssh"), str(home / ".cache"), str(Path(__file__))]
    sealed = run(
        "import os, sys; print([p for p in sys.argv[1:] if os.path.lexists(p)], sorted(os.listdir('/')))",
        *paths,
    )
    seen, top = said(sealed).split("] [")
    assert seen == "["
    needed = {Path(each).parts[1] for each in (sys.prefix, sys.base_prefix, str(PACKAGE))}
    system = {"bin", "dev", "etc", "out", "proc", "sbin", "sys", "tmp", "usr"}
    listed = {each.strip("' ]") for each in top.split(",")}
    assert {each for each in listed if not each.startswith("lib")} == system | needed


def test_the_accounts_of_this_machine_are_not_seen(run: Run):
    assert said(run("import pwd; print([each.pw_name for each in pwd.getpwall()])")) == "['sealed']"


def test_only_the_given_variables_are_there(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", "hf_verysecret")
    code = """
import glob, json, os
seen = b''
for path in glob.glob('/proc/[0-9]*/environ'):
    try:
        seen += open(path, 'rb').read()
    except OSError:
        pass
print(json.dumps([dict(os.environ), b'verysecret' in seen]))
"""
    given = {**ENVIRONMENT, "GREETING": "grüß dich = ok"}
    there, leaked = json.loads(said(run(code, environment=given)))
    assert there == given
    assert not leaked


def test_the_machine_s_processes_cannot_be_seen_or_signalled(run: Run):
    code = """
import os, sys
print(sum(name.isdigit() for name in os.listdir('/proc')) < 5)
try:
    os.kill(int(sys.argv[1]), 0)
    print('there')
except ProcessLookupError:
    print('nobody')
print(os.uname().nodename)
"""
    # A process with a number that is far above those inside.
    with subprocess.Popen(["sleep", "300"]) as sleeper:
        try:
            sealed = run(code, str(sleeper.pid))
        finally:
            sleeper.kill()
    assert said(sealed).splitlines() == ["True", "nobody", "sealed"]


CONNECT = """
import socket, sys
try:
    socket.create_connection(('127.0.0.1', int(sys.argv[1])), timeout=5)
    print('connected')
except OSError as error:
    print('refused')
"""


def test_a_server_on_this_machine_s_loopback_cannot_be_reached(run: Run):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        outside = subprocess.run([sys.executable, "-c", CONNECT, port], capture_output=True, check=True)
        assert outside.stdout.decode().strip() == "connected", "the test's own server must work"
        assert said(run(CONNECT, port)) == "refused"


def test_a_socket_without_a_file_cannot_be_reached(run: Run):
    name = f"\0acclimate-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(name)
        code = "import socket, sys\ntry:\n    socket.socket(socket.AF_UNIX).connect(chr(0) + sys.argv[1])\n"
        code += "    print('connected')\nexcept OSError:\n    print('refused')"
        assert said(run(code, name[1:])) == "refused"


def test_no_address_can_be_reached_and_no_name_is_known(run: Run):
    code = """
import socket
for act in (lambda: socket.getaddrinfo('example.org', 80),
            lambda: socket.create_connection(('192.0.2.1', 80), timeout=5),
            lambda: socket.create_connection(('2001:db8::1', 80), timeout=5)):
    try:
        act()
        print('reached')
    except OSError:
        print('refused')
print([name for _, name in socket.if_nameindex()])
"""
    assert said(run(code)).splitlines() == ["refused", "refused", "refused", "['lo']"]


def test_this_package_can_be_imported_inside(run: Run):
    code = "import acclimate.records, acclimate; print(acclimate.__file__)"
    assert said(run(code)) == str(PACKAGE / "acclimate" / "__init__.py")


# --- limits --------------------------------------------------------------------------------------

# A grandchild in a session of its own, which no signal to a process group would reach.
BEATING = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 3)
        while True:
            open('/out/beat', 'a').write('x')
            time.sleep(0.02)
    os._exit(0)
while not os.path.exists('/out/beat'):
    time.sleep(0.02)
"""


def beats(out: Path) -> int:
    beat = out / "beat"
    return beat.stat().st_size if beat.exists() else 0


def test_children_that_outlive_the_command_end_with_it(run: Run, tmp_path: Path):
    sealed = run(BEATING)
    assert sealed.ok
    then = beats(tmp_path / "out")
    time.sleep(0.5)
    assert beats(tmp_path / "out") == then > 0


def test_the_time_limit_kills_grandchildren_too(run: Run, tmp_path: Path):
    for limit_s in (1.0, 8.0, 60.0):  # longer on a machine so loaded that the grandchild has not begun
        sealed = run(BEATING + "\ntime.sleep(1000)", limit_s=limit_s)
        assert sealed.timed_out
        assert sealed.status == 137
        assert not sealed.ok
        assert sealed.seconds >= limit_s
        if beats(tmp_path / "out"):
            break
    then = beats(tmp_path / "out")
    time.sleep(0.5)
    assert beats(tmp_path / "out") == then > 0


def test_everything_ends_when_the_starter_is_killed(tool: Tool, tmp_path: Path):
    code = (
        "import sys; from pathlib import Path; from acclimate.sandbox import *\n"
        "run_sealed([sys.executable, '-c', sys.argv[1]], inputs=(), out=Path(sys.argv[2]), limit_s=300,\n"
        "    settings=Settings(tool=sys.argv[3]))"
    )
    out = tmp_path / "out"
    inner = BEATING + "\ntime.sleep(1000)"
    # A killed starter cannot take its scratch folder away; it is left where pytest will.
    scratch = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", code, inner, str(out), tool], env=scratch) as starter:
        try:
            until = time.monotonic() + LIMIT_S
            while not beats(out) and time.monotonic() < until:
                time.sleep(0.05)
        finally:
            starter.send_signal(signal.SIGKILL)
    assert beats(out)
    until = time.monotonic() + 20
    while time.monotonic() < until:
        then = beats(out)
        time.sleep(0.5)
        if beats(out) == then:
            return
    pytest.fail("a process inside still writes, twenty seconds after its starter was killed")


def test_the_memory_limit_holds(run: Run):
    code = """
import mmap
try:
    mmap.mmap(-1, 1 << 30)
    print('had')
except OSError:
    print('refused')
"""
    assert said(run(code, memory_bytes=512 << 20)) == "refused"
    assert said(run(code)) == "had"


# --- inputs and hashes ---------------------------------------------------------------------------


def test_links_that_leave_an_input_are_refused_by_name(run: Run, tmp_path: Path):
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "secret").write_text("secret")
    (folder / "way-out").symlink_to("../secret")
    with pytest.raises(SandboxError, match=r"way-out \(a link to \.\./secret\)"):
        run("pass", inputs=[Bind(folder, "/in/x")])


def test_links_within_an_input_work(run: Run, tmp_path: Path):
    folder = tmp_path / "in"
    (folder / "blobs").mkdir(parents=True)
    (folder / "blobs" / "1").write_text("one")
    (folder / "name").symlink_to("blobs/1")
    bind = Bind(folder, "/in/x", {"name": digest("one"), "blobs/1": digest("one")})
    assert said(run("print(open('/in/x/name').read())", inputs=[bind])) == "one"


def test_sockets_and_pipes_do_not_go_in(run: Run, tmp_path: Path):
    folder = tmp_path / "in"
    folder.mkdir()
    os.mkfifo(folder / "pipe")
    with pytest.raises(SandboxError, match=r"pipe \(no plain file\)"):
        run("pass", inputs=[Bind(folder, "/in/x")])


def test_a_wrong_hash_is_named_and_nothing_is_run(run: Run, tmp_path: Path):
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    for name in ("a", "deep/b", "extra"):
        (folder / name).write_text(name)
    hashes = {"a": digest("other"), "deep/b": digest("deep/b"), "gone": digest("gone")}
    with pytest.raises(SandboxError) as caught:
        run("open('ran', 'w')", inputs=[Bind(folder, "/in/x", hashes)])
    message = str(caught.value)
    assert f"{folder / 'a'} has SHA-256 {digest('a')}, not {digest('other')}" in message
    assert f"{folder / 'extra'} is not in the list of hashes" in message
    assert f"{folder / 'gone'} is missing" in message
    assert "deep" not in message
    assert not list((tmp_path / "out").iterdir())


def test_a_file_s_own_hash_is_checked(run: Run, tmp_path: Path):
    (tmp_path / "a").write_text("a")
    assert run("pass", inputs=[Bind(tmp_path / "a", "/in/a", digest("a").upper())]).ok
    with pytest.raises(SandboxError, match="nothing was run"):
        run("pass", inputs=[Bind(tmp_path / "a", "/in/a", digest("b"))])


def test_inputs_that_change_during_a_run_void_it(run: Run, tmp_path: Path):
    (tmp_path / "a").write_text("a")
    out = tmp_path / "out"

    def change() -> None:
        until = time.monotonic() + LIMIT_S
        while not (out / "begun").exists() and time.monotonic() < until:
            time.sleep(0.02)
        (tmp_path / "a").write_text("b")
        (out / "go").write_text("")

    changing = threading.Thread(target=change)
    changing.start()
    code = "import os, time\nopen('begun', 'w')\nwhile not os.path.exists('go'):\n    time.sleep(0.02)"
    with pytest.raises(SandboxError, match="changed while"):
        run(code, inputs=[Bind(tmp_path / "a", "/in/a", digest("a"))])
    changing.join()


@pytest.mark.parametrize(
    "inside",
    ["in/x", "/", "/tmp", "/usr/x", "/bin/x", "/proc", "/etc/x", "/out/x", "/out", "/in/../usr", "/in/"],
)
def test_a_place_inside_that_is_taken_is_refused(run: Run, tmp_path: Path, inside: str):
    (tmp_path / "in").mkdir()
    with pytest.raises(SandboxError, match="inside"):
        run("pass", inputs=[Bind(tmp_path / "in", inside)])


def test_two_inputs_may_not_lie_across_each_other(run: Run, tmp_path: Path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with pytest.raises(SandboxError, match="lies across /in/a"):
        run("pass", inputs=[Bind(tmp_path / "a", "/in/a"), Bind(tmp_path / "b", "/in/a/b")])


def test_an_input_that_is_not_there_is_named(run: Run, tmp_path: Path):
    with pytest.raises(SandboxError, match="nowhere is an input and is not there"):
        run("pass", inputs=[Bind(tmp_path / "nowhere", "/in/a")])


def test_an_output_folder_across_an_input_or_the_interpreter_is_refused(run: Run, tmp_path: Path):
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    for out in (folder / "out", tmp_path, tmp_path / "link"):
        with pytest.raises(SandboxError, match="lie within each other"):
            run("pass", inputs=[Bind(folder, "/in/x")], out=out)
    with pytest.raises(SandboxError, match="lie within each other"):
        run("pass", out=PACKAGE)


def test_links_that_leave_the_output_do_not_come_out(run: Run):
    with pytest.raises(SandboxError, match=r"left in .* way-out \(a link to /etc/shadow\)"):
        run("import os; os.symlink('/etc/shadow', 'way-out')")


def test_setuid_files_do_not_come_out(run: Run):
    with pytest.raises(SandboxError, match=r"tool \(runs with its owner's rights\)"):
        run("import os; open('tool', 'w'); os.chmod('tool', 0o4755)")


# --- which tool ----------------------------------------------------------------------------------


def test_without_a_tool_nothing_is_run_and_the_remedy_is_said(tmp_path: Path):
    with pytest.raises(SandboxError) as caught:
        run_sealed(
            [sys.executable, "-c", "open('/out/ran', 'w')"],
            inputs=(),
            out=tmp_path / "out",
            limit_s=LIMIT_S,
            settings=Settings(places=str(tmp_path)),
        )
    for word in ("bubblewrap", "util-linux", "nothing was run"):
        assert word in str(caught.value)
    assert not (tmp_path / "out").exists()
    found = available(str(tmp_path))
    assert found.tool is None
    assert all("is not installed" in each.reason for each in found.tried)


def test_a_tool_that_does_not_work_here_gives_way_to_the_next(tmp_path: Path):
    if WORKS["unshare"]:
        pytest.skip(f"unshare {WORKS['unshare']}")
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    broken.chmod(0o755)
    places = f"{tmp_path}:/usr/bin:/bin"
    found = available(places)
    assert found.tool == "unshare"
    assert "setting up uid map: Permission denied" in found.sentence
    out = tmp_path / "out"
    with pytest.raises(SandboxError, match="setting up uid map"):
        run_sealed(["true"], inputs=(), out=out, limit_s=9, settings=Settings("bwrap", places=places))
    assert run_sealed(
        ["true"], inputs=(), out=out, limit_s=LIMIT_S, settings=Settings(places=places)
    ).tool == ("unshare")


def test_where_user_namespaces_are_disabled_the_setting_is_named(tmp_path: Path):
    if WORKS["unshare"]:
        pytest.skip(f"unshare {WORKS['unshare']}")
    code = "from acclimate.sandbox import available\nfound = available()\nprint(found.tool, found.sentence)"
    command = [sys.executable, "-c", code]
    settings = Settings(tool="unshare")  # inside, the setting is 0
    text = said(run_sealed(command, inputs=(), out=tmp_path / "out", limit_s=LIMIT_S, settings=settings))
    assert text.startswith("None ")
    assert "sysctl user.max_user_namespaces is 0" in text


def test_a_run_needs_a_command_and_a_time_limit(tmp_path: Path):
    for command, limit_s in (((), 1.0), (("true",), 0.0)):
        with pytest.raises(SandboxError, match="needs a command and a time limit"):
            run_sealed(command, inputs=(), out=tmp_path / "out", limit_s=limit_s)
