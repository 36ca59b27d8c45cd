"""`acclimate claims judge` and `acclimate claims sets`: papers' claims beside numbers."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer


def register(app: typer.Typer) -> None:
    """Add the verbs `judge` and `sets` to an app."""
    app.command("judge")(judge)
    app.command("sets")(sets)


def judge(
    claim_set: Annotated[
        str,
        typer.Argument(metavar="SET", help="A set by its name (`claims sets` lists them), or a YAML file."),
    ],
    numbers: Annotated[
        Path,
        typer.Argument(
            metavar="NUMBERS",
            help="A table (CSV, JSON), a study's study.json or page (.md), a run's manifest.json or folder.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Also write the table as Markdown (.md).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """For each claim of a set: supported, refuted or open beside these numbers, and why."""
    from acclimate.claim_sets.judge import judge_set
    from acclimate.claim_sets.page import markdown, to_json
    from acclimate.claim_sets.reading import read_numbers
    from acclimate.claim_sets.sets import load_set
    from acclimate.cli_options import print_json
    from acclimate.files import write_text

    _check_target(out, claim_set, numbers)
    found = judge_set(load_set(claim_set), read_numbers(numbers))
    if out is not None:
        write_text(out, markdown(found))
    if as_json:
        print_json(to_json(found))
        return
    _show(found)
    if out is not None:
        sys.stdout.write(f"written: {out}\n")


def sets(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """List the claim sets that come with the package."""
    from acclimate.claim_sets.sets import load_set, shipped
    from acclimate.cli_options import print_json

    found = [load_set(name) for name in shipped()]
    if as_json:
        rows = [
            {"id": each.id, "title": each.title, "source": each.source.id, "claims": len(each.claims)}
            for each in found
        ]
        print_json({"sets": rows})
        return
    for each in found:
        sys.stdout.write(f"{each.id:20} {len(each.claims):3} claims  {each.title} ({each.source.id})\n")


def _check_target(out: Path | None, claim_set: str, numbers: Path) -> None:
    """Refuse a target that is no Markdown file, or that would replace what is read."""
    from acclimate.errors import UsageError

    if out is None:
        return
    if out.suffix != ".md" or out.is_dir():
        raise UsageError(f"--out {out}: name a Markdown file, FILE.md.")
    if out.resolve() in {numbers.resolve(), Path(claim_set).resolve()}:
        raise UsageError(f"--out {out} would replace a file that is read; name another.")


def _show(found: Any) -> None:  # noqa: ANN401 -- a Judgement; its module is imported only where it is used
    """Print the claims as a table, then what is to be said of the numbers."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from acclimate.claim_sets.page import HEAD, cells, summary

    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 160)
    table = Table(show_lines=True)
    for heading, ratio in zip(HEAD, (5, None, 4, 5), strict=True):
        table.add_column(heading, ratio=ratio, min_width=9, overflow="fold")
    for row in cells(found):
        table.add_row(*(Text(_shown(cell)) for cell in row))
    console.print(table)
    for line in (*found.remarks, summary(found)):
        console.print(Text(_shown(line)), soft_wrap=True)


def _shown(text: str) -> str:
    """Return text without signs that a terminal would obey."""
    return "".join(sign if sign.isprintable() or sign == "\n" else " " for sign in text)
