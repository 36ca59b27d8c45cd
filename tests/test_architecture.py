"""House rules that no linter holds."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "acclimate"
MODULES = sorted(SOURCE.rglob("*.py"))

BANNED_MODULES = {"utils", "util", "helpers", "helper", "common", "misc", "core", "base", "tools"}
BANNED_SUFFIXES = ("Manager", "Helper", "Util", "Utils", "Handler", "Factory", "Mixin")
HEAVY = {"torch", "transformers", "accelerate", "peft", "datasets", "vllm"}
LIGHT = (
    "*.py",
    "*/stage.py",
    "ingest/*.py",
    "synthesize/*.py",
    "curate/*.py",
    "compose/*.py",
    "report/*.py",
    "report/evidence/*.py",
    "grounding/*.py",
    "claim_sets/*.py",
    "verify/*.py",
    "engines/ask.py",
    "engines/fake.py",
    "engines/open.py",
    "engines/spec.py",
    "engines/protocol.py",
)
"""Modules whose import must load no heavy library."""
PURE = (
    "records.py",
    "errors.py",
    "engines/protocol.py",
    "synthesize/grammar.py",
    "synthesize/parse.py",
    "synthesize/prompt.py",
    "curate/consistency.py",
    "compose/dialogue.py",
    "evaluate/answers.py",
    "evaluate/corpus.py",
    "evaluate/letters.py",
    "evaluate/ngrams.py",
    "evaluate/paper.py",
    "evaluate/prompts.py",
    "evaluate/ptb.py",
    "evaluate/published.py",
    "evaluate/reviews.py",
    "evaluate/rouge.py",
    "evaluate/rows.py",
    "evaluate/scorers.py",
    "report/columns.py",
    "report/comparisons.py",
    "report/statistics.py",
    "report/claims.py",
)
"""Modules that compute only: no heavy library, no image, no file, no log; checked where they exist."""
IMPURE = HEAVY | {"PIL", "pyarrow", "pathlib", "os", "logging", "acclimate.files", "acclimate.artifacts"}


def imported_at_top(path: Path) -> set[str]:
    """The modules that importing this one imports, with every parent package named."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {".".join(name.split(".")[:end]) for name in names for end in range(1, name.count(".") + 2)}


def existing(patterns: tuple[str, ...]) -> list[Path]:
    return sorted({path for pattern in patterns for path in SOURCE.glob(pattern)})


def relative(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_a_module_keeps_the_house_rules(path: Path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not {path.stem, path.parent.stem} & BANNED_MODULES
    assert ast.get_docstring(tree), "a module says what it is for in its first line"
    if path.name == "__init__.py":
        assert len(tree.body) == 1, "__init__.py holds a docstring and nothing else"
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            assert not node.name.endswith(BANNED_SUFFIXES), node.name
        assert not isinstance(node, ast.Assert), "the package raises; assert is for tests"


@pytest.mark.parametrize("path", existing(LIGHT), ids=relative)
def test_a_light_module_imports_no_heavy_library_at_its_top(path: Path):
    assert not imported_at_top(path) & HEAVY


@pytest.mark.parametrize("path", existing(PURE), ids=relative)
def test_a_pure_module_computes_only(path: Path):
    assert not imported_at_top(path) & IMPURE


@pytest.mark.parametrize(
    "module", ["acclimate", "acclimate.cli", "acclimate.pipeline", "acclimate.ingest.stage"]
)
def test_importing_the_wiring_loads_no_heavy_library(module: str):
    code = f"import sys, {module}; print(*sys.modules)"
    shell = [sys.executable, "-c", code]
    loaded = subprocess.run(shell, capture_output=True, text=True, check=True).stdout.split()
    assert module in loaded
    assert not {"torch", "transformers", "vllm", "datasets"} & set(loaded)
