"""Markdown tables that read as plain text too (pure)."""

from collections.abc import Iterable, Sequence


def grid(rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table with columns of even width; the first row is its head."""
    told = list(rows)
    widths = [max(len(row[at]) for row in told) for at in range(len(told[0]))]

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"

    return [line(told[0]), line(["-" * width for width in widths]), *map(line, told[1:])]
