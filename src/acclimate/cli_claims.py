"""`acclimate claims`: what sentences about the literature have behind them."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

claims_app = typer.Typer(
    help="Claims: against documents, against numbers, and corrections of a record.", no_args_is_help=True
)


@claims_app.callback()
def claims() -> None:
    """Claims: against documents, against numbers, and corrections of a record."""


@claims_app.command()
def ground(
    claims_file: Annotated[
        Path,
        typer.Argument(
            metavar="CLAIMS", help="Sentences: text, Markdown, JSON, JSON lines, CSV, a record page."
        ),
    ],
    sources: Annotated[
        Path,
        typer.Option("--sources", metavar="DIR", help="Folder of text, Markdown, HTML and PDF documents."),
    ],
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", help="Score from which on a claim is ticked, above 0 and below 1."),
    ] = None,
    question: Annotated[
        str | None, typer.Option("--question", help="The research question, instead of the file's own.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Also write FILE.jsonl and FILE.md.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """For each claim the best passage, a calibrated score, a tick or not, and what speaks against it."""
    from acclimate.cli_options import print_json
    from acclimate.grounding.pages import check_targets, to_json, write_pages
    from acclimate.grounding.stage import ground as check

    if out is not None:
        check_targets(out, claims_file, sources)
    found = check(claims_file, sources, threshold=threshold, question=question)
    written = None if out is None else write_pages(found, out)
    if as_json:
        print_json(to_json(found))
        return
    _show(found)
    if written is not None:
        sys.stdout.write(f"written: {written[0]} and {written[1]}\n")


def _show(found: Any) -> None:  # noqa: ANN401 -- a Grounding; its module is imported only where it is used
    """Print the claims as a table, then what is to be said of documents and question."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from acclimate.grounding.pages import MARKS, flags, remarks

    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 140)
    table = Table(show_lines=True)
    for heading, width in (("", 2), ("score", 5), ("claim", None), ("where", None), ("flags", None)):
        table.add_column(heading, min_width=width, ratio=None if width else 2, overflow="fold")
    for result in found.results:
        where = "" if result.best is None else result.best.where()
        cells = (result.claim.text, where, "\n".join(flags(result)))
        table.add_row(MARKS[result.standing], f"{result.score:.2f}", *(Text(_shown(each)) for each in cells))
    console.print(table)
    for line in remarks(found):
        console.print(Text(_shown(line)), soft_wrap=True)


def _shown(text: str) -> str:
    """Return text without signs that a terminal would obey."""
    return "".join(sign if sign.isprintable() or sign == "\n" else " " for sign in text)
