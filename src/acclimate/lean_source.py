"""Reads Lean 4 source as far as a check needs: its words without comments and strings, and its statements.

Source: the token functions of Lean 4's own parser (`Lean/Parser/Basic.lean`): nested block comments, line
comments, string, raw string and character literals, identifiers with their exact ranges of letters and with
`«»`. Where text could be read in two ways, the reading is refused, not chosen (`AmbiguousError`). Pure.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

SORRY = frozenset({"sorry", "admit", "sorryAx"})
_KEYWORDS = frozenset(
    {
        "axiom",
        "unsafe",
        "native_decide",
        "macro",
        "macro_rules",
        "syntax",
        "declare_syntax_cat",
        "elab",
        "elab_rules",
        "notation",
        "notation3",
        "infix",
        "infixl",
        "infixr",
        "prefix",
        "postfix",
        "binder_predicate",
        "unif_hint",
        "initialize",
        "builtin_initialize",
        "run_cmd",
        "run_elab",
        "run_meta",
        "run_tac",
        "by_elab",
        "simproc",
        "dsimproc",
        "simproc_decl",
        "dsimproc_decl",
        "include_str",
    }
)
_COMMANDS = frozenset({"#eval", "#eval!", "#exit"})
_NAMES = frozenset(
    {
        "sorryAx",
        "ofReduceBool",
        "ofReduceNat",
        "reduceBool",
        "reduceNat",
        "trustCompiler",
        "implemented_by",
        "extern",
        "skipKernelTC",
        "command_elab",
        "term_elab",
        "tactic",
        "app_unexpander",
        "unexpander",
        "delab",
        "app_delab",
        "IO",
        "EIO",
        "BaseIO",
        "CoreM",
        "MetaM",
        "TermElabM",
        "TacticM",
        "CommandElabM",
        "MacroM",
        "unsafeIO",
        "unsafeBaseIO",
        "unsafeCast",
        "addDecl",
    }
)
FORBIDDEN = SORRY | _KEYWORDS | _COMMANDS | _NAMES
"""Words that a source of a proof may not hold: `sorry`, axioms, ways around the kernel, and what runs code of
the source's own or changes how it is read or printed, with which a check could be forged. Source: our own
list."""

_LETTER_RANGES = (
    (0x3B1, 0x3C9),
    (0x391, 0x3A9),
    (0x3CA, 0x3FB),
    (0x1F00, 0x1FFE),
    (0x2100, 0x214F),
    (0x1D49C, 0x1D59F),
    (0xC0, 0xD6),
    (0xD8, 0xF6),
    (0xF8, 0x17F),
)
_NOT_LETTERS = "λΠΣ"
_SUBSCRIPT_RANGES = ((0x2080, 0x2089), (0x2090, 0x209C), (0x1D62, 0x1D6A), (0x2C7C, 0x2C7C))
_RAW_STRING = re.compile(r'r(#*)"')
_CHARACTER = re.compile(r"'(?:\\(?:x[0-9a-fA-F]{2}|u\{?[0-9a-fA-F]{1,6}\}?|.)|[^\\'])'", re.DOTALL)
_FREE_QUOTE = frozenset("([{⟨,;:=|")
"""After one of these, a quote begins a character; after another symbol it may be part of that symbol."""
_OPENING, _CLOSING = "([{⟨⦃", ")]}⟩⦄"


class AmbiguousError(ValueError):
    """The text could be read in two ways; the message says where and how."""


@dataclass(frozen=True, slots=True)
class Word:
    """A name, a keyword, or one symbol."""

    text: str
    """As written; `#` and the word after it are one."""
    parts: tuple[str, ...]
    """A name's components, without `«»`; empty for a symbol."""
    quoted: tuple[bool, ...]
    """Which components stand in `«»`, and so are never keywords."""
    start: int
    end: int

    @property
    def name(self) -> str:
        """The name's components with dots between; empty for a symbol."""
        return ".".join(self.parts)


def _in(character: str, ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(low <= ord(character) <= high for low, high in ranges)


def _begins_name(character: str) -> bool:
    if character.isascii():
        return character.isalpha() or character == "_"
    return character not in _NOT_LETTERS and _in(character, _LETTER_RANGES)


def _goes_on(character: str) -> bool:
    ascii_rest = character.isascii() and (character.isalnum() or character in "_'!?")
    return ascii_rest or _begins_name(character) or _in(character, _SUBSCRIPT_RANGES)


def words(source: str) -> Iterator[Word]:
    """Yield the words of Lean source; comments and literals are passed over.

    Raises:
        AmbiguousError: a comment or literal is not ended, or could end elsewhere in another reading.
    """
    at = 0
    while at < len(source):
        past = _past_nothing(source, at)
        if past > at:
            at = past
            continue
        word = _name(source, at) or _symbol(source, at)
        yield word
        at = word.end


def _where(source: str, at: int) -> str:
    return f"line {source.count(chr(10), 0, at) + 1}"


def _past_nothing(source: str, at: int) -> int:
    """Return where the white space, comment or literal that begins here ends; `at` where none does."""
    character = source[at]
    if character.isspace():
        return at + 1
    if source.startswith("--", at):
        end = source.find("\n", at)
        return len(source) if end < 0 else end
    if source.startswith("/-", at):
        return _past_comment(source, at)
    if character == '"':
        return _past_string(source, at)
    raw = _RAW_STRING.match(source, at)
    if raw is not None:
        end = source.find('"' + raw[1], raw.end())
        if end < 0:
            raise AmbiguousError(f"{_where(source, at)}: a raw string is not ended")
        return end + 1 + len(raw[1])
    return _past_character(source, at) if character == "'" else at


def _past_comment(source: str, at: int) -> int:
    if source.startswith(("/--/", "/-!/"), at):
        raise AmbiguousError(
            f"{_where(source, at)}: `{source[at : at + 4]}` ends here or goes on, by Lean's version"
        )
    depth, here = 1, at + 2
    while here < len(source):
        if source.startswith("-/", here):
            depth, here = depth - 1, here + 2
            if depth == 0:
                return here
        elif source.startswith("/-", here):
            depth, here = depth + 1, here + 2
        else:
            here += 1
    raise AmbiguousError(f"{_where(source, at)}: a comment is not ended")


def _past_string(source: str, at: int) -> int:
    here = at + 1
    while here < len(source) and source[here] != '"':
        if source[here] == "{":
            # `s!"…{code}…"` and macros like `throwError` read code in there; others do not.
            raise AmbiguousError(f"{_where(source, here)}: a string holds a brace, and so perhaps code")
        here += 2 if source[here] == "\\" else 1
    if here >= len(source):
        raise AmbiguousError(f"{_where(source, at)}: a string is not ended")
    return here + 1


def _past_character(source: str, at: int) -> int:
    """Return where a character literal ends; `at` where the quote is part of a symbol."""
    if source.startswith("''", at):
        return at
    found = _CHARACTER.match(source, at)
    if found is None:
        return at
    before = source[at - 1] if at else " "
    if not before.isspace() and before not in _FREE_QUOTE:
        raise AmbiguousError(f"{_where(source, at)}: {found[0]} is a character or ends the symbol before it")
    return found.end()


def _name(source: str, at: int) -> Word | None:
    """Return the name with its dotted parts that begins here."""
    parts: list[str] = []
    quoted: list[bool] = []
    here = at
    while here < len(source):
        if source[here] == "«":
            end = source.find("»", here)
            if end < 0:
                raise AmbiguousError(f"{_where(source, here)}: « is not ended")
            parts.append(source[here + 1 : end])
            quoted.append(True)
            here = end + 1
        elif _begins_name(source[here]):
            begun = here
            while here < len(source) and _goes_on(source[here]):
                here += 1
            parts.append(source[begun:here])
            quoted.append(False)
        else:
            break
        follows = source[here + 1 : here + 2]
        if source[here : here + 1] != "." or not (follows == "«" or (follows and _begins_name(follows))):
            break
        here += 1
    return Word(source[at:here], tuple(parts), tuple(quoted), at, here) if parts else None


def _symbol(source: str, at: int) -> Word:
    """Return the symbol that begins here: `#word`, one that holds a dash or a quote, or one character."""
    if source[at] == "#" and at + 1 < len(source):
        name = _name(source, at + 1)
        if name is not None:
            return Word(source[at : name.end], (), (), at, name.end)
    for known in ("<-", ":=", "''", "⁻¹'"):
        if source.startswith(known, at):
            return Word(known, (), (), at, at + len(known))
    if source[at].isdigit():
        end = at
        while end < len(source) and source[end].isdigit():
            end += 1
        return Word(source[at:end], (), (), at, end)
    return Word(source[at], (), (), at, at + 1)


def is_name(text: str) -> bool:
    """Return whether a text is one Lean name and nothing else."""
    try:
        found = list(words(text))
    except AmbiguousError:
        return False
    return len(found) == 1 and found[0].text == text and bool(found[0].parts)


def forbidden(source: str) -> Iterator[tuple[str, int]]:
    """Yield the words of `FORBIDDEN` that a source holds, with their lines, from 1.

    A keyword in `«»` is a plain name; a forbidden name is forbidden there too, and as part of a longer one.

    Raises:
        AmbiguousError: the source can be read in two ways.
    """
    for word in words(source):
        if word.text in _COMMANDS:
            yield word.text, source.count("\n", 0, word.start) + 1
        for part, quoted in zip(word.parts, word.quoted, strict=True):
            if part in _NAMES or (not quoted and part in (_KEYWORDS | SORRY)):
                yield part, source.count("\n", 0, word.start) + 1


def statement(source: str, theorem: str) -> str | None:
    """Return a theorem's statement as the source writes it, from `theorem` or `lemma` to before its proof.

    Args:
        theorem: the full name, namespaces included. None is returned where the source states no such theorem.

    Raises:
        AmbiguousError: the source can be read in two ways.
    """
    asked = next(words(theorem)).name if is_name(theorem) else theorem
    found = list(words(source))
    scopes: list[str] = []
    """The open namespaces' components; empty text for those of sections."""
    for index, word in enumerate(found[:-1]):
        after = found[index + 1]
        named = after.parts if "\n" not in source[word.end : after.start] else ()
        if word.text == "namespace":
            scopes += named
        elif word.text in ("section", "mutual"):
            scopes += [""] * max(1, len(named))
        elif word.text == "end":
            del scopes[max(0, len(scopes) - max(1, len(named))) :]
        elif word.text in ("theorem", "lemma") and after.parts:
            rooted = after.parts[0] == "_root_"
            full = after.parts[1:] if rooted else (*(each for each in scopes if each), *after.parts)
            if ".".join(full) == asked:
                return source[word.start : _proof(source, found[index + 2 :])].strip()
    return None


def _proof(source: str, rest: Sequence[Word]) -> int:
    """Return where a proof begins: at the first `:=` or `where`, or a line's first `|`, outside brackets."""
    depth, lets = 0, 0
    for word in rest:
        depth += (word.text in _OPENING) - (word.text in _CLOSING)
        if depth:
            continue
        if word.text in ("let", "have"):
            lets += 1
        elif word.text == ":=" and lets:
            lets -= 1
        elif word.text in (":=", "where") or (word.text == "|" and _begins_line(source, word.start)):
            return word.start
    return len(source)


def _begins_line(source: str, at: int) -> bool:
    return not source[source.rfind("\n", 0, at) + 1 : at].strip()
