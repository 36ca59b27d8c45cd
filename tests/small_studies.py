"""What the tests of studies share: a training of two steps, who is told of it, and the command line."""

import subprocess
import sys
from pathlib import Path

TRAIN = {"batch_size": 4, "max_steps": 2, "max_tokens": 512, "check_reload": False, "learning_rate": 1e-3}


class Told:
    """Remembers which steps were built and which were there."""

    def __init__(self) -> None:
        self.built: list[str] = []
        self.reused: list[str] = []

    def start(self, step: str, total: int | None) -> None:
        pass

    def advance(self, step: str, done: int, note: str = "") -> None:
        pass

    def say(self, text: str) -> None:
        pass

    def end(self, step: str, *, reused: bool) -> None:
        (self.reused if reused else self.built).append(step)


def study(name: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `acclimate study NAME ...` in a folder."""
    command = [sys.executable, "-m", "acclimate", "study", name, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
