"""Writes a document as HTML pages and as Markdown.

Every text of a user or a model goes through a template with autoescape; only our own style and script are put
in as they are. The pages carry a Content-Security-Policy that lets this style and this script run by their
hashes, and nothing else.
"""

import base64
import hashlib
import html
import re
from collections.abc import Mapping
from importlib import resources

import jinja2

from acclimate.report.blocks import Block, Code, Drawing, Points, Table, Text, Verdict
from acclimate.report.characters import visible
from acclimate.report.document import Document
from acclimate.report.examples import PAGE_SIZE, Page, Shown
from acclimate.report.pictures import data_uri

EXAMPLES = "examples"
"""The folder of the further pages."""
_MARKDOWN_MARKS = re.compile(r"([\\`*\[\]<>|~#$]|(?<!\w)_|_(?!\w))")
_NEGATIVE = re.compile(r"(?<![\w.])-(?=\d)")
"""A hyphen before a number: as a minus sign it is not broken off, and screen readers say it."""
_KINDS: Mapping[type[Block], str] = {
    Table: "table",
    Drawing: "drawing",
    Text: "text",
    Points: "points",
    Code: "code",
    Verdict: "verdict",
}


def render_html(document: Document, shown: Shown) -> str:
    """Return `index.html`: one file, no network, one script of our own."""
    template = _environment(is_html=True).get_template("index.html.j2")
    return template.render(
        document=document, shown=shown, page=shown.index, next_page=_next(shown, 0), **_own()
    )


def render_examples(document: Document, shown: Shown, page: Page) -> str:
    """Return one further page of examples."""
    template = _environment(is_html=True).get_template("examples.html.j2")
    return template.render(
        document=document,
        shown=shown,
        page=page,
        previous_page=f"{page_name(page.number - 1)}" if page.number > 1 else "",
        next_page=_next(shown, page.number),
        **_own(),
    )


def render_markdown(document: Document, shown: Shown) -> str:
    """Return `report.md`; its figures lie beside it. Of the examples it has those of the index, as text."""
    template = _environment(is_html=False).get_template("report.md.j2")
    return template.render(document=document, shown=shown, page=shown.index)


def page_name(number: int) -> str:
    """Return the file name of a further page; from 1."""
    return f"page-{number:03d}.html"


def _next(shown: Shown, number: int) -> str:
    return page_name(number + 1) if number + 1 < len(shown.pages) else ""


def _own() -> dict[str, object]:
    """Return our style and script with the policy that names them."""
    style, script = (_asset(name) for name in ("style.css", "filters.js"))
    policy = (
        "default-src 'none'; img-src data:; "
        f"style-src {_digest(style)}; script-src {_digest(script)}; base-uri 'none'; form-action 'none'"
    )
    return {
        "style": style,
        "script": script,
        "policy": policy,
    }


def _asset(name: str) -> str:
    return resources.files("acclimate.report").joinpath("templates", name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
    return f"'sha256-{digest}'"


def _environment(*, is_html: bool) -> jinja2.Environment:
    environment = templates(is_html=is_html)
    environment.filters["kind"] = lambda block: _KINDS[type(block)]
    environment.filters["svg_uri"] = lambda text: data_uri(text.encode("utf-8"), "image/svg+xml")
    environment.filters["minus"] = lambda text: _NEGATIVE.sub("\N{MINUS SIGN}", text)
    environment.globals["page_size"] = PAGE_SIZE
    environment.globals["page_name"] = page_name
    environment.globals["examples_folder"] = EXAMPLES
    return environment


def templates(*, is_html: bool) -> jinja2.Environment:
    """Return this package's templates: HTML escapes every text, Markdown has the filters `md` and `fence`."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("acclimate.report"),
        autoescape=is_html,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    environment.filters["md"] = markdown_text
    environment.filters["fence"] = _fence
    return environment


def markdown_text(value: object) -> str:
    """Return text that Markdown and HTML show as it is, on one line."""
    line = " ".join(visible(str(value)).split())
    return (
        html.escape(_MARKDOWN_MARKS.sub(r"\\\1", line), quote=False)
        .replace("\\&lt;", "&lt;")
        .replace("\\&gt;", "&gt;")
    )


def _fence(code: str) -> str:
    """Return a fence longer than any run of backticks in the code."""
    longest = max((len(run) for run in re.findall(r"`+", code)), default=0)
    return "`" * max(3, longest + 1)
