"""The documents of a folder: text, Markdown, HTML and PDF, read to sentences; other files are rejections."""

import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from pypdf import PdfReader
from pypdf.errors import PyPdfError

from acclimate.errors import DataError
from acclimate.grounding.decoding import BadDocument, decoded
from acclimate.grounding.passages import Line, Sentence, sentences
from acclimate.grounding.words import listed, vocabulary, words
from acclimate.records import Rejection

ROOM = "grounding"
MAX_BYTES = 64 * 1024 * 1024
MAX_PAGES = 3000
TEXT_ENDINGS = frozenset({".txt", ".text", ".md", ".markdown"})
HTML_ENDINGS = frozenset({".html", ".htm", ".xhtml"})
_PDF_ERRORS = (
    PyPdfError, OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError,
    MemoryError, AssertionError, NotImplementedError, zlib.error,
)  # fmt: skip
"""What pypdf and the decoders below it are known to raise on broken or hostile files; two of them are how
they say that a file holds what they do not read."""
_UNSEEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_ODD_SECTION = re.compile(r"<!\[(?!\s*(?:CDATA|temp|ignore|include|rcdata|if|else|endif)\b)", re.IGNORECASE)
"""Marked sections that the parser of the standard library fails on; browsers take them as comments."""
_HIDING = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_SKIPPED = frozenset(
    {"script", "style", "noscript", "template", "svg", "iframe", "object", "head", "select", "math"}
)
_VOID = listed(
    """
    area base br col embed hr img input link meta source track wbr
    """
)
_BLOCKS = listed(
    """
    address article aside blockquote body br caption dd details div dl dt fieldset figcaption figure
    footer form h1 h2 h3 h4 h5 h6 header hr li main nav ol option p pre section summary table td th tr
    ul
    """
)
_ENDS_HEAD = _BLOCKS | {"body", "title"}
"""What a head does not hold, or shows; a head may lack its end."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document that can give support."""

    name: str
    """Path in the folder, with slashes."""
    media: str
    """`text`, `html` or `pdf`."""
    sentences: tuple[Sentence, ...]
    words: tuple[str, ...]
    """All of them, in order, in lower case."""
    known: frozenset[str]
    """What words that have lost their spaces may be made of."""
    head: str
    """Its first lines, where its title stands."""
    text: str
    """All of it, without marks of HTML."""


def read_documents(folder: Path) -> Iterator[Document | Rejection]:
    """Yield every file of a folder and its subfolders, by name: a document, or a rejection that says why not.

    Raises:
        DataError: the folder is missing, cannot be read, or is no folder.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; give the folder that holds the documents.")
    root = folder.resolve()
    try:
        files = sorted(
            (path for path in folder.rglob("*") if not path.is_dir()), key=lambda path: path.as_posix()
        )
    except OSError as error:
        raise DataError(f"{folder} cannot be read ({error.strerror}); check its permissions.") from error
    for path in files:
        name = path.relative_to(folder).as_posix()
        try:
            yield _document(path, name, root)
        except BadDocument as bad:
            yield Rejection(name, ROOM, bad.reason, bad.detail)


def _document(path: Path, name: str, root: Path) -> Document:
    ending = path.suffix.casefold()
    if ending not in TEXT_ENDINGS | HTML_ENDINGS | {".pdf"}:
        shown = ending or "no ending"
        raise BadDocument("unsupported_type", f"{shown}; text, Markdown, HTML and PDF are read")
    media = "pdf" if ending == ".pdf" else "html" if ending in HTML_ENDINGS else "text"
    lines = _lines(_bytes(path, root), media)
    found = sentences(lines)
    if not any(word.isalpha() for each in found for word in words(each.text)):
        raise BadDocument("no_text", "no words can be read in it" + _scan_hint(media))
    text = "\n".join(line.text for line in lines)
    in_order = tuple(words(text))
    head = "\n".join(line.text for line in lines[:40])
    return Document(name, media, found, in_order, vocabulary(in_order), head, text)


def _scan_hint(media: str) -> str:
    return "; a scanned PDF needs text recognition first" if media == "pdf" else ""


def _bytes(path: Path, root: Path) -> bytes:
    try:
        target = path.resolve(strict=True)
        if not target.is_relative_to(root):
            raise BadDocument("outside_folder", "a link that leads out of the folder is not followed")
        if not target.is_file():
            raise BadDocument("unreadable", "not a plain file")
        if target.stat().st_size > MAX_BYTES:
            raise BadDocument("too_large", f"{target.stat().st_size} bytes; at most {MAX_BYTES} are read")
        return target.read_bytes()
    except (OSError, RuntimeError) as error:
        raise BadDocument("unreadable", getattr(error, "strerror", None) or str(error)[:200]) from error


def _lines(data: bytes, media: str) -> list[Line]:
    if not data.strip():
        raise BadDocument("empty", "the file has no text")
    if media == "pdf":
        return list(_pdf_lines(data))
    text = decoded(data)
    if media == "html":
        return _html_lines(text)
    return [Line(number, None, _seen(line)) for number, line in enumerate(text.split("\n"), start=1)]


def _seen(line: str) -> str:
    """Return the line without control signs and signs that turn the writing direction."""
    return _UNSEEN.sub(" ", line.replace("\u00ad", "")).replace("\ufffd", " ")


def _pdf_lines(data: bytes) -> Iterator[Line]:
    try:
        reader = PdfReader(io.BytesIO(data), strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise BadDocument("encrypted", "the PDF asks for a password; save it without one")
        if len(reader.pages) > MAX_PAGES:
            raise BadDocument("too_large", f"{len(reader.pages)} pages; at most {MAX_PAGES} are read")
        pages = [page.extract_text() for page in reader.pages]
    except _PDF_ERRORS as error:
        raise BadDocument(
            "unreadable", f"no PDF that can be read ({type(error).__name__}: {error})"[:200]
        ) from error
    for number, text in enumerate(pages, start=1):
        for at, line in enumerate(text.split("\n"), start=1):
            yield Line(at, number, _seen(line))


def _html_lines(text: str) -> list[Line]:
    page = _Page()
    try:
        page.feed(_ODD_SECTION.sub("<!", text))
        page.close()
    except (AssertionError, ValueError, RecursionError) as error:
        raise BadDocument("unreadable", f"no HTML that can be read ({error})"[:200]) from error
    page.end_block()
    return page.lines


class _Page(HTMLParser):
    """Gathers what a reader of a page sees, one line per block."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.lines: list[Line] = []
        self._held: list[str] = []
        self._at = 1
        self._hidden_in = ""
        self._depth = 0
        self._in_title = False
        self._in_head = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open a block, or something that is not shown."""
        if self._hidden_in in ("", "head") and tag in _ENDS_HEAD:
            self.end_block()
            self._in_title = tag == "title"
            self._in_head = self._in_title and bool(self._hidden_in)
            self._hidden_in = ""
        if self._hidden_in:
            self._depth += tag == self._hidden_in
            return
        if tag in _BLOCKS:
            self.end_block()
        if tag not in _VOID and (tag in _SKIPPED or _is_hidden(attrs)):
            self._hidden_in, self._depth = tag, 1

    def handle_endtag(self, tag: str) -> None:
        """Close a block."""
        if tag == "title" and self._in_title:
            self.end_block()
            self._in_title = False
            self._hidden_in, self._depth = ("head", 1) if self._in_head else ("", 0)
        elif self._hidden_in:
            if tag == self._hidden_in:
                self._depth -= 1
                self._hidden_in = self._hidden_in if self._depth else ""
        elif tag in _BLOCKS:
            self.end_block()

    def handle_startendtag(self, tag: str, _attrs: list[tuple[str, str | None]]) -> None:
        """Take `<br/>` as a block; other empty elements show nothing."""
        if tag in _BLOCKS and not self._hidden_in:
            self.end_block()

    def handle_data(self, data: str) -> None:
        """Keep text that is shown."""
        if self._hidden_in:
            return
        if not self._held:
            lead = data[: len(data) - len(data.lstrip())]
            self._at = self.getpos()[0] + lead.count("\n")
        if data.strip() or self._held:
            self._held.append(data)

    def end_block(self) -> None:
        """Make a line of what was gathered."""
        text = re.sub(r"\s+", " ", _seen("".join(self._held))).strip()
        if text:
            self.lines += [Line(self._at, None, text), Line(self._at, None, "")]
        self._held = []


def _is_hidden(attrs: list[tuple[str, str | None]]) -> bool:
    return any(name == "hidden" or (name == "style" and _HIDING.search(value or "")) for name, value in attrs)
