"""Progress for people: bars on a terminal, a line per minute elsewhere, and a `run.log` always."""

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

log = logging.getLogger("acclimate")
_EVERY_S = 60.0


class Display:
    """Shows the steps of a run as they go; use as a context manager."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bars = Progress(
            TextColumn("{task.description:<20}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self.tasks: dict[str, TaskID] = {}
        self.totals: dict[str, int | None] = {}
        self.started: dict[str, float] = {}
        self.told: dict[str, float] = {}

    def __enter__(self) -> "Display":
        self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bars.stop()

    def start(self, step: str, total: int | None) -> None:
        """Show a new bar."""
        log.info("%s: started%s", step, f", {total} to do" if total else "")
        self.started[step] = self.told[step] = time.monotonic()
        self.totals[step] = total
        self.tasks[step] = self.bars.add_task(step, total=total, rate="", note="")

    def advance(self, step: str, done: int, note: str = "") -> None:
        """Move the bar to `done` units."""
        now = time.monotonic()
        rate = done / max(1e-6, now - self.started[step])
        self.bars.update(self.tasks[step], completed=done, rate=f"{rate:,.1f}/s", note=note)
        if now - self.told[step] >= _EVERY_S:
            self.told[step] = now
            total = self.totals[step]
            left = f", about {(total - done) / rate:.0f} s left" if total else ""
            count = f"{done}{f' of {total}' if total else ''}"
            text = f"{step}: {count} done, {rate:,.1f}/s{left} {note}".rstrip()
            log.info(text)
            if not self.console.is_terminal:
                self.console.print(text, markup=False, highlight=False)

    def say(self, text: str) -> None:
        """Print and log what people should read."""
        log.info(text)
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def end(self, step: str, *, reused: bool) -> None:
        """Say that a step is finished."""
        now = time.monotonic()
        seconds = now - self.started.get(step, now)
        text = f"{step}: {'already built' if reused else f'done in {seconds:.1f} s'}"
        log.info(text)
        if step in self.tasks:
            total = self.totals[step]
            self.bars.update(self.tasks[step], completed=total if total else None)
        if not self.console.is_terminal or reused:
            self.console.print(text, markup=False, highlight=False)


class _ToPeople(logging.Handler):
    """Shows our own warnings, such as that another process is waited for."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.print(record.getMessage(), markup=False, highlight=False, style="yellow")


@contextmanager
def backstage(run_log: Path, *, quiet: bool = False) -> Iterator[Console]:
    """Keep the terminal for us: what libraries write to stdout and stderr goes to the run's log.

    Args:
        run_log: everything that is logged is added to it.
        quiet: show people nothing.

    Yields:
        A console on the true stderr.
    """
    log_to(run_log)
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    descriptor = os.open(run_log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    people: TextIO = os.fdopen(os.dup(kept[1]), "w", encoding="utf-8", errors="replace")
    console = Console(file=people, quiet=quiet)
    handler = _ToPeople(console)
    log.addHandler(handler)
    try:
        yield console
    finally:
        log.removeHandler(handler)
        # A full disk may refuse what is left to be logged; that must not hide the work's own error.
        with suppress(OSError):
            sys.stdout.flush()
        with suppress(OSError):
            sys.stderr.flush()
        for number, original in enumerate(kept, start=1):
            os.dup2(original, number)
            os.close(original)
        with suppress(OSError):
            people.close()


def log_to(path: Path) -> None:
    """Append everything that is logged to a file; a full disk must not hide the work's own error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.raiseExceptions = False


def logs() -> list[Path]:
    """Return the files that this process logs to."""
    handlers = logging.getLogger().handlers
    return [Path(each.baseFilename) for each in handlers if isinstance(each, logging.FileHandler)]
