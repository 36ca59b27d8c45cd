"""Writes tables as LaTeX with booktabs. Pure.

Every table is a `table` environment of its own, which may be cut out and put into a paper.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from acclimate.report.blocks import Cell, Column, Row, Table
from acclimate.report.characters import visible

_HEAD = """% Tables of the report. In the preamble: \\usepackage{booktabs}
% With pdfLaTeX also \\usepackage[T1]{fontenc}; letters beyond Latin need XeLaTeX or LuaLaTeX and a font that
% has them. A wide table may need \\footnotesize or a page of its own.
"""
_SPECIAL: Mapping[str, str] = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "`": r"\textasciigrave{}",
    "−": r"\ensuremath{-}",
    "–": "--",
    "—": "---",
    "“": "``",
    "”": "''",
    "†": r"\dag{}",
    "…": r"\ldots{}",
    "\N{NO-BREAK SPACE}": "~",
    "×": r"\ensuremath{\times}",
    "·": r"\textperiodcentered{}",
}
_NUMBER = re.compile(r"(?<![\w.])-(?=\d)")
_WIDTH = "p{0.3\\linewidth}"


def latex_tables(tables: Sequence[Table]) -> str:
    """Return `tables.tex`."""
    return "\n".join([_HEAD, *(_table(each) for each in tables)])


def escaped(text: str) -> str:
    """Return text that LaTeX sets as it is, on one line; no command of a user or a model survives."""
    line = " ".join(visible(text).split())
    return "".join(_SPECIAL.get(letter, letter) for letter in line)


def _table(table: Table) -> str:
    return "\n".join(_lines(table)) + "\n"


def _lines(table: Table) -> Iterator[str]:
    yield r"\begin{table}[tp]"
    yield r"\centering\small"
    yield rf"\caption{{{escaped(table.caption)}}}"
    yield rf"\label{{tab:{table.name}}}"
    yield rf"\begin{{tabular}}{{@{{}}{''.join(map(_alignment, table.columns))}@{{}}}}"
    yield r"\toprule"
    yield _line(escaped(column.title) for column in table.columns)
    yield r"\midrule"
    was_total = True
    for row in table.rows:
        if row.is_total and not was_total:
            yield r"\midrule"
        was_total = row.is_total
        yield _line(_row(row))
    yield r"\bottomrule"
    yield r"\end{tabular}"
    if table.note:
        yield rf"\par\smallskip{{\footnotesize {escaped(table.note)}}}"
    yield r"\end{table}"


def _alignment(column: Column) -> str:
    if column.is_wide:
        return _WIDTH
    return "r" if column.is_number else "l"


def _line(parts: Iterable[str]) -> str:
    # An empty group keeps a first cell that begins with a bracket from being read as an argument of \\.
    return " & ".join(f"{{}}{part}" if part.startswith(("[", "*")) else part for part in parts) + r" \\"


def _row(row: Row) -> Iterator[str]:
    return (_cell(cell) for cell in row.cells)


def _cell(cell: Cell) -> str:
    text = _NUMBER.sub("−", cell.text)
    shown = escaped(text)
    if cell.is_strong:
        shown = rf"\textbf{{{shown}}}"
    if cell.marks:
        shown += rf"\textsuperscript{{{escaped(cell.marks)}}}"
    if cell.interval:
        shown += rf" {{\scriptsize [{escaped(_NUMBER.sub('−', cell.interval))}]}}"
    return shown
