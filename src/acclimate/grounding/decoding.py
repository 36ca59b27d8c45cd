"""Bytes of a text file to text: UTF-8, UTF-16, else Latin-1. Pure."""

import codecs

_MOST_ODD = 0.02
_UTF16_ZEROS = 0.2


class BadDocument(Exception):  # noqa: N818 -- it becomes a rejection, and is no failure of the work
    """A document that cannot be used."""

    def __init__(self, reason: str, detail: str) -> None:
        """Keep the reason (a short constant, to be counted) and the detail apart."""
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def decoded(data: bytes) -> str:
    """Return the text of a file's bytes.

    By its byte order mark, else as UTF-16 where zeros tell, else as UTF-8, else as Windows-1252. Source: our
    own order. Windows-1252 is Latin-1 with printable signs in place of control codes.

    Raises:
        BadDocument: the bytes are no text (`not_text`), or there are none (`empty`).
    """
    if not data.strip():
        raise BadDocument("empty", "the file has no text")
    text = _by_mark(data)
    if text is None:
        text = _unmarked(data)
    odd = sum(ord(sign) < 32 and sign not in "\t\n\r\f\v" for sign in text)
    if odd > _MOST_ODD * len(text):
        raise BadDocument("not_text", "the bytes are no text in UTF-8, UTF-16 or Latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")


def _by_mark(data: bytes) -> str | None:
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            try:
                return data.decode(name)
            except UnicodeDecodeError as error:
                raise BadDocument(
                    "not_text", f"it starts as {name} and goes on otherwise ({error})"
                ) from error
    return None


def _unmarked(data: bytes) -> str:
    if data.count(0) < _UTF16_ZEROS * len(data):
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            return data.decode("cp1252", errors="replace")
    name = "utf-16-le" if data[1::2].count(0) >= data[::2].count(0) else "utf-16-be"
    try:
        return data.decode(name)
    except UnicodeDecodeError as error:
        raise BadDocument("not_text", "zeros among its bytes, and not UTF-16") from error
