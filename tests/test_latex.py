"""The tables as LaTeX: what pdfLaTeX makes of them, and of the texts of others."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from acclimate.report.blocks import Cell, Column, Row, Table
from acclimate.report.latex import escaped, latex_tables
from acclimate.report.stage import ReportConfig, write_report
from tests.small_reports import rich

needs_latex = pytest.mark.skipif(
    shutil.which("pdflatex") is None or shutil.which("kpsewhich") is None,
    reason="needs pdflatex (apt-get install texlive-latex-base texlive-latex-recommended)",
)
HOSTILE = (
    r"\input{/etc/passwd} \end{document} % _ # & $ { } ~ ^ ^^5cend < > | \" ` ' -- [x] * "
    "日本語の長い文字列です 🦠 αβΩλϕ Λ Ο é ñ ø ß Ł ő ħ þ ≤ µ ½ ﬁ ﹩ ＃ ＼ عربى Привет "
    "\u202egnp.exe\u202c \ue000 \x00"
)
DOCUMENT = """\
\\documentclass{{article}}
\\usepackage{{booktabs,graphicx,array}}
\\begin{{document}}
\\input{{{name}}}
\\end{{document}}
"""


def compiled(folder: Path, tables: str) -> tuple[int, str]:
    """Compile tables in an article; return pdfLaTeX's exit code and its log."""
    (folder / "tables.tex").write_text(tables, encoding="utf-8")
    (folder / "article.tex").write_text(DOCUMENT.format(name="tables.tex"), encoding="utf-8")
    command = ["pdflatex", "-no-shell-escape", "-interaction=nonstopmode", "article.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120, check=False)
    return done.returncode, (folder / "article.log").read_text(encoding="utf-8", errors="replace")


def faults(log: str) -> list[str]:
    """Return errors, and boxes that stick out of the line or of the page."""
    return re.findall(r"^!.*|^Overfull.*|^LaTeX Warning: Float too large.*", log, re.MULTILINE)


@needs_latex
def test_the_tables_of_a_report_compile_and_none_sticks_out(tmp_path: Path):
    write_report(rich(), tmp_path, ReportConfig(n_draws=100))
    code, log = compiled(tmp_path, (tmp_path / "tables.tex").read_text(encoding="utf-8"))
    assert faults(log) == []
    assert code == 0


@needs_latex
def test_hostile_texts_everywhere_compile_and_none_sticks_out(tmp_path: Path):
    name = HOSTILE.replace("/", "").replace("-", "").replace("[", "").replace("]", "")
    write_report(rich(HOSTILE, name=name), tmp_path, ReportConfig(n_draws=100))
    code, log = compiled(tmp_path, (tmp_path / "tables.tex").read_text(encoding="utf-8"))
    assert faults(log) == []
    assert code == 0


@needs_latex
def test_a_table_longer_than_the_page_and_wider_than_the_line_fits(tmp_path: Path):
    columns = (Column("name"), *(Column(f"a long title {at}", is_number=True) for at in range(20)))
    rows = tuple(Row((Cell(f"row {at}"), *[Cell("12.3", "+10.0 to +14.0")] * 20)) for at in range(150))
    hashes = Table("t", "hashes", (Column("h", is_wide=True),), (Row((Cell("0123456789abcdef" * 40),)),))
    text = latex_tables([Table("long", "Many", columns, rows, "Once."), *[hashes] * 70])
    code, log = compiled(tmp_path, text)
    assert faults(log) == []
    assert code == 0
    assert text.count("Once.") == 1
    parts = re.findall(r"\\label\{tab:(long[-\d]*)\}", text)
    assert len(parts) > 3
    assert parts[:2] == ["long", "long-2"]
    assert text.count("row ") == 150


def test_letters_are_set_transliterated_or_named():
    assert escaped("é ñ ő ß Ł") == r"\'{e} \~{n} \H{o} \ss{} \L{}"
    assert escaped("αΩΟ Λ ≤ ±2 µm") == (
        r"\ensuremath{\alpha}\ensuremath{\Omega}O \ensuremath{\Lambda} \ensuremath{\leq} "
        r"\ensuremath{\pm}2 \ensuremath{\mu}m"
    )
    assert escaped("a 日本 b🦠") == r"a \otherletters{日本}{65E5 672C} b\otherletters{🦠}{1F9A0}"
    # A full-width backslash and dollar must not become TeX's own on the way.
    assert escaped("＼＄ﬁ") == r"\otherletters{＼＄}{FF3C FF04}fi"
    assert escaped("e\u0301") == escaped("é")


def test_intervals_stand_under_their_numbers_and_totals_are_set_apart():
    rows = (
        Row((Cell("a"), Cell("-1.5", "-3.0 to +0.5", marks="*"))),
        Row((Cell("mean"), Cell("2.0")), is_total=True),
    )
    text = latex_tables([Table("t", "c", (Column("name"), Column("gain", is_number=True)), rows)])
    body = text.partition("\\midrule\n")[2].partition("\\bottomrule")[0]
    assert body.splitlines() == [
        r"a & \ensuremath{-}1.5\textsuperscript{{}*} \\".replace("{{}*}", "{*}"),
        r" & {\scriptsize \ensuremath{-}3.0 to +0.5} \\[.5ex]",
        r"\midrule",
        r"mean & 2.0 \\",
    ]
    assert replace(rows[1], is_total=False) != rows[1]
