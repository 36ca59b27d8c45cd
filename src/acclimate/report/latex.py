"""Writes tables as LaTeX with booktabs. Pure.

Every table is a `table` environment of its own, which may be cut out and put into a paper. The file is plain
ASCII but for letters that neither LaTeX nor a transliteration has, and it compiles with pdfLaTeX, XeLaTeX and
LuaLaTeX. A table that is wider than the line is made smaller, one that is longer than a page goes on in
another.
"""

import math
import re
import textwrap
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from acclimate.report.blocks import Cell, Column, Row, Table
from acclimate.report.characters import visible

_HEAD = r"""% Tables of the report. The preamble needs three packages, in any order:
%   \usepackage{booktabs}  \usepackage{graphicx}  \usepackage{array}
% \usepackage[T1]{fontenc} is not needed. A table that is cut out of this file needs the two commands below.
% pdfLaTeX names the letters that it lacks, as in [U+4E2D]; XeLaTeX and LuaLaTeX print them, if the document's
% font has them.
\providecommand{\fitted}[1]{\sbox0{#1}%
  \ifdim\wd0>\linewidth\sbox0{\resizebox{\linewidth}{!}{\usebox0}}\fi
  \ifdim\dimexpr\ht0+\dp0\relax>.75\textheight\sbox0{\resizebox*{!}{.75\textheight}{\usebox0}}\fi\usebox0}
\DeclareRobustCommand{\otherletters}[2]{\ifdefined\Umathchar#1\else[U+#2]\fi}
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
    "\N{MINUS SIGN}": r"\ensuremath{-}",
    "\N{HYPHEN}": "-",
    "\N{NON-BREAKING HYPHEN}": "-",
    "\N{EN DASH}": "--",
    "\N{EM DASH}": "---",
    "\N{LEFT SINGLE QUOTATION MARK}": "`",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{LEFT DOUBLE QUOTATION MARK}": "``",
    "\N{RIGHT DOUBLE QUOTATION MARK}": "''",
    "\N{DAGGER}": r"\dag{}",
    "\N{DOUBLE DAGGER}": r"\ddag{}",
    "\N{SECTION SIGN}": r"\S{}",
    "\N{COPYRIGHT SIGN}": r"\copyright{}",
    "\N{HORIZONTAL ELLIPSIS}": r"\ldots{}",
    "\N{NO-BREAK SPACE}": "~",
    "\N{MIDDLE DOT}": r"\textperiodcentered{}",
    "\N{BULLET}": r"\textbullet{}",
    "\N{LATIN SMALL LETTER SHARP S}": r"\ss{}",
    "\N{LATIN SMALL LETTER AE}": r"\ae{}",
    "\N{LATIN CAPITAL LETTER AE}": r"\AE{}",
    "\N{LATIN SMALL LIGATURE OE}": r"\oe{}",
    "\N{LATIN CAPITAL LIGATURE OE}": r"\OE{}",
    "\N{LATIN SMALL LETTER O WITH STROKE}": r"\o{}",
    "\N{LATIN CAPITAL LETTER O WITH STROKE}": r"\O{}",
    "\N{LATIN SMALL LETTER L WITH STROKE}": r"\l{}",
    "\N{LATIN CAPITAL LETTER L WITH STROKE}": r"\L{}",
    "\N{LATIN SMALL LETTER DOTLESS I}": r"\i{}",
}
_MATHS: Mapping[str, str] = {
    "\N{MULTIPLICATION SIGN}": r"\times",
    "\N{DIVISION SIGN}": r"\div",
    "\N{PLUS-MINUS SIGN}": r"\pm",
    "\N{DEGREE SIGN}": r"^{\circ}",
    "\N{MICRO SIGN}": r"\mu",
    "\N{LESS-THAN OR EQUAL TO}": r"\leq",
    "\N{GREATER-THAN OR EQUAL TO}": r"\geq",
    "\N{NOT EQUAL TO}": r"\neq",
    "\N{ALMOST EQUAL TO}": r"\approx",
    "\N{INFINITY}": r"\infty",
    "\N{LEFTWARDS ARROW}": r"\leftarrow",
    "\N{RIGHTWARDS ARROW}": r"\rightarrow",
    "\N{SUPERSCRIPT TWO}": "^{2}",
    "\N{SUPERSCRIPT THREE}": "^{3}",
}
_GREEK = re.compile("GREEK (SMALL|CAPITAL) LETTER ([A-Z]+)")
_GREEK_COMMANDS = re.compile(
    "alpha|beta|gamma|delta|epsilon|zeta|eta|theta|iota|kappa|mu|nu|xi|pi|rho|sigma|tau|upsilon|phi|chi|psi|"
    "omega|Gamma|Delta|Theta|Xi|Pi|Sigma|Upsilon|Phi|Psi|Omega"
)
_GREEK_AS_LATIN: Mapping[str, str] = {
    "Alpha": "A",
    "Beta": "B",
    "Epsilon": "E",
    "Zeta": "Z",
    "Eta": "H",
    "Iota": "I",
    "Kappa": "K",
    "Mu": "M",
    "Nu": "N",
    "Omicron": "O",
    "Rho": "P",
    "Tau": "T",
    "Chi": "X",
    "omicron": "o",
}
_GREEK_NAMES: Mapping[str, str] = {"Lamda": r"\Lambda", "lamda": r"\lambda"}
"""Unicode spells the name so."""
_ACCENTS: Mapping[str, str] = {
    "\N{COMBINING GRAVE ACCENT}": r"\`",
    "\N{COMBINING ACUTE ACCENT}": r"\'",
    "\N{COMBINING CIRCUMFLEX ACCENT}": r"\^",
    "\N{COMBINING TILDE}": r"\~",
    "\N{COMBINING MACRON}": r"\=",
    "\N{COMBINING BREVE}": r"\u",
    "\N{COMBINING DOT ABOVE}": r"\.",
    "\N{COMBINING DIAERESIS}": r"\"",
    "\N{COMBINING RING ABOVE}": r"\r",
    "\N{COMBINING DOUBLE ACUTE ACCENT}": r"\H",
    "\N{COMBINING CARON}": r"\v",
    "\N{COMBINING CEDILLA}": r"\c",
    "\N{COMBINING DOT BELOW}": r"\d",
}
_NUMBER = re.compile(r"(?<![\w.])-(?=\d)")
_LONG_WORD = re.compile(r"\S{13,}")
_BREAKABLE = re.compile(r"(?<=[/_.,:;=+)\]-])(?=\w)|(?<=\w)(?=[\[({])|(?<=[^\W_]{8})(?=[^\W_]{4})")
_BREAK = "\ue000"
"""Stands for a place where a long word may be broken, until it is escaped; a letter of no text."""
_LINE_LETTERS = 84
"""So many letters fit on a line of an article at footnote size. Source: our own, from its 345 pt."""
_MOST_LETTERS = 34
"""A column with longer cells wraps them."""
_HEAD_LETTERS = 12
_SPACE = "[.5ex]"
"""After a row of several lines."""
_FLOATS = 8
"""After so many tables LaTeX is told to print them; it holds no more than 52 parts of tables at a time."""
_PAGE_LINES = 46
"""A table of more lines goes on in another. Source: our own; an article's page holds 57 of footnote size."""


def latex_tables(tables: Sequence[Table]) -> str:
    """Return `tables.tex`."""
    made = [_HEAD]
    for number, each in enumerate(tables, start=1):
        made.append(_table(each))
        if number % _FLOATS == 0:
            made.append("\\clearpage\n")
    return "\n".join(made)


def escaped(text: str) -> str:
    """Return text that LaTeX sets as it is, on one line; no command of a user or a model survives.

    Accented letters, Greek and common signs become commands. What pdfLaTeX has nothing for goes into
    a command of ours, run by run, with the numbers of its letters.
    """
    line = " ".join(visible(unicodedata.normalize("NFC", text)).split())
    return "".join(_set(line))


def _set(line: str) -> Iterator[str]:
    letters = [(letter, _command(letter)) for letter in line]
    for is_known, run in groupby(letters, key=lambda each: each[1] is not None):
        if is_known:
            yield from (command for _, command in run if command is not None)
        else:
            others = [letter for letter, _ in run]
            numbers = " ".join(f"{ord(letter):04X}" for letter in others)
            yield rf"\otherletters{{{''.join(others)}}}{{{numbers}}}"


def _command(letter: str) -> str | None:
    """Return what sets a letter; None where nothing does."""
    if letter == _BREAK:
        return r"\penalty500{}"
    if letter in _SPECIAL:
        return _SPECIAL[letter]
    if letter.isascii():
        return letter
    if letter in _MATHS:
        return rf"\ensuremath{{{_MATHS[letter]}}}"
    greek = _GREEK.fullmatch(unicodedata.name(letter, ""))
    if greek is not None:
        return _greek(greek[2].lower() if greek[1] == "SMALL" else greek[2].capitalize())
    parts = unicodedata.normalize("NFD", letter)
    if len(parts) == 2 and parts[0].isascii() and parts[0].isalpha() and parts[1] in _ACCENTS:
        return rf"{_ACCENTS[parts[1]]}{{{parts[0]}}}"
    plain = unicodedata.normalize("NFKC", letter)
    # A ligature, a full-width letter or a thin space; signs of TeX's own are not let in this way.
    return plain if plain.isascii() and plain.replace(" ", "").isalnum() else None


def _greek(name: str) -> str | None:
    if name in _GREEK_AS_LATIN:
        return _GREEK_AS_LATIN[name]
    command = _GREEK_NAMES.get(name, rf"\{name}" if _GREEK_COMMANDS.fullmatch(name) else "")
    return rf"\ensuremath{{{command}}}" if command else None


def _breakable(text: str) -> str:
    """Return a text whose long words (paths, hashes) may be broken where they wrap."""
    return _LONG_WORD.sub(lambda word: _BREAKABLE.sub(_BREAK, word[0]), visible(text).replace(_BREAK, ""))


# --- tables ---------------------------------------------------------------------------------------


def _table(table: Table) -> str:
    widths = _widths(table)
    parts = list(_pages(table.rows, widths))
    return "\n".join(
        line
        for number, rows in enumerate(parts, start=1)
        for line in _lines(table, rows, widths, number, len(parts))
    )


def _widths(table: Table) -> list[float]:
    """Return each column's share of the line where its cells wrap, else 0."""
    natural = [
        _natural(column, [row.cells[at] for row in table.rows]) for at, column in enumerate(table.columns)
    ]
    wraps = [
        column.is_wide or (not column.is_number and size > _MOST_LETTERS)
        for column, size in zip(table.columns, natural, strict=True)
    ]
    n_wide = sum(wraps)
    if not n_wide:
        return [0.0] * len(natural)
    others = sum(size for size, wrapped in zip(natural, wraps, strict=True) if not wrapped)
    left = 1.0 - (others + 2 * len(natural)) / _LINE_LETTERS
    share = min(0.9, max(0.25, left / n_wide))
    return [round(share, 2) if wrapped else 0.0 for wrapped in wraps]


def _natural(column: Column, cells: Sequence[Cell]) -> int:
    """Return how many letters wide a column is."""
    heads = _wrapped_head(column.title)
    texts = [*heads, *(part for cell in cells for part in (cell.text, cell.interval))]
    return max(map(_printed, texts))


def _printed(text: str) -> int:
    """Return about how many letters a text takes; a letter that must be named takes five."""
    return len(text) + 4 * sum(not letter.isascii() and _command(letter) is None for letter in text)


def _wrapped_head(title: str) -> list[str]:
    return textwrap.wrap(" ".join(title.split()), _HEAD_LETTERS, break_long_words=False) or [""]


def _pages(rows: Sequence[Row], widths: Sequence[float]) -> Iterator[list[Row]]:
    """Yield the rows page by page; at least one page."""
    page: list[Row] = []
    used = 0
    for row in rows:
        lines = _height(row, widths)
        if page and used + lines > _PAGE_LINES:
            yield page
            page, used = [], 0
        page.append(row)
        used += lines
    yield page


def _height(row: Row, widths: Sequence[float]) -> int:
    """Return about how many lines a row takes."""
    wrapped = [
        math.ceil((_printed(cell.text) + 1) / max(1.0, share * _LINE_LETTERS))
        for cell, share in zip(row.cells, widths, strict=True)
        if share
    ]
    return max([1 + any(cell.interval for cell in row.cells), *wrapped])


def _lines(table: Table, rows: Sequence[Row], widths: Sequence[float], number: int, of: int) -> Iterator[str]:
    again = "" if number == 1 else f"-{number}"
    part = "" if of == 1 else f" ({number} of {of})"
    yield r"\begin{table}[tp]"
    yield r"\centering\footnotesize\setlength{\tabcolsep}{4pt}"
    yield rf"\caption{{{escaped(_breakable(table.caption + part))}}}"
    yield rf"\label{{tab:{table.name}{again}}}"
    yield r"\par\smallskip"
    kinds = "".join(map(_alignment, table.columns, widths))
    yield rf"\fitted{{\begin{{tabular}}{{@{{}}{kinds}@{{}}}}"
    yield r"\toprule"
    yield _line([_head(column, wraps=not share) for column, share in zip(table.columns, widths, strict=True)])
    yield r"\midrule"
    was_total = True
    for row in rows:
        if row.is_total and not was_total:
            yield r"\midrule"
        was_total = row.is_total
        has_intervals = any(cell.interval for cell in row.cells)
        shown = [_cell(cell, wraps=share > 0) for cell, share in zip(row.cells, widths, strict=True)]
        yield _line(shown) + (_SPACE if any(widths) and not has_intervals else "")
        if has_intervals:
            yield _line([_interval(cell) for cell in row.cells]) + _SPACE
    yield r"\bottomrule"
    yield r"\end{tabular}}"
    if table.note and number == of:
        yield rf"\par\smallskip{{\scriptsize {escaped(_breakable(table.note))}\par}}"
    yield "\\end{table}\n"


def _alignment(column: Column, share: float) -> str:
    if share:
        return rf">{{\raggedright\arraybackslash}}p{{{share:g}\linewidth}}"
    return "r" if column.is_number else "l"


def _head(column: Column, *, wraps: bool) -> str:
    lines = [escaped(line) for line in (_wrapped_head(column.title) if wraps else [column.title])]
    if len(lines) == 1:
        return lines[0]
    kind = "r" if column.is_number else "l"
    stacked = r" \\ ".join(map(_guarded, lines))
    return rf"\begin{{tabular}}[b]{{@{{}}{kind}@{{}}}}{stacked}\end{{tabular}}"


def _line(parts: Sequence[str]) -> str:
    return " & ".join(map(_guarded, parts)) + r" \\"


def _guarded(part: str) -> str:
    # An empty group keeps a cell that begins with a bracket from being read as an argument of \\.
    return f"{{}}{part}" if part.startswith(("[", "*")) else part


def _cell(cell: Cell, *, wraps: bool) -> str:
    text = _NUMBER.sub("\N{MINUS SIGN}", cell.text)
    shown = escaped(_breakable(text) if wraps else text)
    if cell.is_strong:
        shown = rf"\textbf{{{shown}}}"
    if cell.marks:
        shown += rf"\textsuperscript{{{escaped(cell.marks)}}}"
    return shown


def _interval(cell: Cell) -> str:
    """Return what stands under a number, in a line of its own."""
    if not cell.interval:
        return ""
    return rf"{{\scriptsize {escaped(_NUMBER.sub(chr(0x2212), cell.interval))}}}"
