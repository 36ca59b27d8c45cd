"""Answers of a teacher that is told to write as if it saw the picture: cleaning, refusals, slips (pure).

Such a teacher sometimes says that it cannot see, or that it read a caption or boxes. Phrases that can be cut
without harm are cut; an answer that still gives its source away is dropped, and so is a refusal. Every drop
has a reason: `empty_answer`, `refusal`, `mentions_caption`, `mentions_boxes`.

Two ways of matching:

- `strict`: whole words, in any case, at the start of every sentence; questions are looked at too;
- `paper`: as published. Refusals are looked for inside other words too, openers at the start of the answer
  only, inner phrases in lower case only and whatever stands around them, and what gives a source away is
  just the letters `caption` or `description`: boxes and other sources are not looked for.

Source: the order of the steps and the quirks of `paper` are LLaVA-Med's (v1.0.0, post-processing of
instruction data). Every phrase and pattern is our own.
"""

import re
from typing import Literal, TypeAlias

Matching: TypeAlias = Literal["strict", "paper"]

_IMAGE = "(?:images?|pictures?|photos?|photographs?|figures?|scans?|slides?|visuals?|visual content)"
_WHICH = "(?:(?:the|this|that|these|those|an?|any|your|actual|attached|original|provided|given|uploaded) )*"
_I_CANNOT = "I(?: cannot| can not| can't| could not| couldn't|(?: am|'m) (?:unable|not able|not allowed) to)"
_LOOK = "(?:see|view|open|access|load|look at|inspect|examine|analy[sz]e|interpret|process|display)"
_HAND_OVER = "(?:provide|upload|share|attach|send|supply)(?: me)?(?: with)?"
_HANDED_OVER = "(?:provided|uploaded|shared|attached|supplied|included|available|accessible)"
_FIND_OUT = "(?:determine|tell|say|know|answer|identify|confirm|ascertain|establish)"
_HEDGE = "(?! (?:for sure|for certain|with certainty|exactly|precisely))"
"""`It is impossible to say for sure, but ...` still answers."""

REFUSALS = (
    f"{_I_CANNOT} (?:\\w+ly )?{_LOOK} {_WHICH}{_IMAGE}",
    f"(?:^|[.!?] )(?:unable|not able) to {_LOOK} {_WHICH}{_IMAGE}",
    f"{_I_CANNOT} (?:answer|help|assist|comply|provide|offer|give|determine|tell|identify|confirm)",
    "I(?: am|'m) not (?:\\w+ )?(?:able|allowed|permitted|equipped) to",
    "(?:do not|don't|did not|didn't) have (?:\\w+ )?access to",
    f"(?:without|lack|have no|has no|having no) (?:\\w+ )?access to {_WHICH}{_IMAGE}",
    f"need (?:to see|to look at|to view|access to) {_WHICH}{_IMAGE}",
    "as an? (?:ai|artificial intelligence|(?:large )?language model|chatbot|virtual assistant)",
    "as an? text[-\\s](?:only|based) (?:ai|model|assistant|system)",
    "I(?: am|'m) (?:just |only )?an? (?:ai|language model|chatbot|virtual assistant)",
    "I(?: am|'m) (?:just |only )?an? text[-\\s](?:only|based)",
    "I(?: am|'m) (?:\\w+ )?sorry,? but",
    "sorry,? (?:but )?I (?:can|can't|cannot|could|couldn't|do|don't|am|was)",
    "I (?:must |have to )?apologi[sz]e",
    "my apologies",
    f"no {_IMAGE} (?:was|were|is|has been|have been) {_HANDED_OVER}",
    f"{_IMAGE} (?:was|were|is|are|has|have)(?: not|n't)(?: been)? {_HANDED_OVER}",
    f"(?:please|could you|can you|if you (?:could|can)) {_HAND_OVER} {_WHICH}{_IMAGE}",
    f"(?:is|it's|was) (?:not possible|impossible) to {_FIND_OUT}{_HEDGE}",
    f"(?:cannot|can not|can't|could not|couldn't) be "
    f"(?:determined|answered|known|ascertained|inferred){_HEDGE}",
    "(?:is|are|was|were)(?: not|n't) (?:\\w+ly )?(?:mentioned|specified|stated)",
    f"(?:{_IMAGE}|text|information|context) (?:itself )?(?:does|do|did)(?: not|n't) (?:\\w+ly )?"
    "(?:mention|specify|state|provide|give|say|tell|indicate)",
    "(?:not enough|insufficient) (?:visual )?(?:information|context|details?)",
    "without (?:more|further|additional) (?:information|context|details?)",
    "no (?:further |additional |other )?(?:information|details?) (?:is|are|was|were) "
    "(?:given|provided|available)",
    "I (?:do not|don't) know",
    "I (?:do not|don't) have (?:enough|any|the|that|sufficient) (?:\\w+ )?(?:information|details?|data)",
    "I (?:do not|don't) have the (?:ability|capability|capacity)",
    "beyond my (?:ability|abilities|capability|capabilities|knowledge)",
    "my (?:training data|programming|guidelines|knowledge cut-?off)",
    "against (?:my|our) (?:\\w+ )?(?:policy|policies|guidelines)",
)
"""What a teacher writes that will not, or cannot, answer: regular expressions of whole words."""

_ADJECTIVE = (
    "(?:(?:given|provided|accompanying|supplied|original|image|image's|figure|figure's|picture|photo|above"
    "|short|detailed|first|second|other|five|text) )*"
)
_BOXES = "bounding[-\\s]box(?:es)?(?: coordinates| annotations| information| data)?"
_SOURCE = (
    "(?:(?:(?:all |both |most |some )?(?:of )?(?:the|this|that|these|those|your|its|their) "
    "|all |both |several )?"
    f"{_ADJECTIVE}(?:captions?|descriptions?|{_BOXES}|box coordinates)"
    "|(?:the |this |that )?(?:given|provided|accompanying|supplied|figure) "
    "(?:context|text|information|sentences?|coordinates|annotations))"
)
"""How a teacher calls what it read."""
_SAID = "(?:described|mentioned|stated|noted|indicated|given|reported|listed|specified|explained|shown)"

OPENERS = (
    "(?:according to|based (?:up)?on|judging (?:by|from)|going by|considering|as per|per|given|from|in) "
    f"{_SOURCE}",
    f"as (?:is )?{_SAID} (?:in|by|with) {_SOURCE}",
)
"""What a sentence may open with that only names the source; a comma or a new subject follows."""

REPORTS = (
    f"{_SOURCE} (?:also |clearly |explicitly )?"
    "(?:says?|states?|mentions?|notes?|indicates?|suggests?|implies|imply|tells? us|explains?|reveals?"
    "|shows?) that",
)
"""What a sentence may open with that hands its content to the source; a whole sentence follows."""

ADVERBIALS = (f"(?:according to|based (?:up)?on|judging (?:by|from)|going by|as per|per) {_SOURCE}",)
"""What any sentence can do without."""
INNER_PHRASES = (f"(?:as )?(?:is )?{_SAID} (?:in|by|with|within) {_SOURCE}", *ADVERBIALS)
"""What may be cut from inside a sentence."""

CAPTION_MENTIONS = (
    "\\w*caption\\w*",
    "in-text mentions?",
    "(?:given|provided|supplied|accompanying) (?:texts?|sentences?|context|passage|paragraph|information)",
    "figure (?:legend|context)",
    "(?:the|these|those|other|some|all) (?:sentences|annotations|annotators) "
    "(?:say|state|mention|describe|note|indicate|call|agree)",
    "the context (?:says|states|mentions|notes|indicates|suggests|describes|provided|given)",
    "(?:scene|image|picture|photo|figure) described",
    "the (?:authors?|article|study|paper|manuscript) (?:say|state|mention|note|report|describe|indicate)s?",
)
"""What shows that a question or an answer was made from text."""

_DESCRIPTION = ("descriptions?",)
_THE_DESCRIPTION = (f"(?:the|this|that|these|those|your|given|provided) {_ADJECTIVE}descriptions?",)
"""A question may ask for a description, but not about one."""

BOX_MENTIONS = (
    "\\w*bounding[\\s_-]*box\\w*",
    "b-?box(?:es)?",
    "(?:the|their|its|these|those|exact|box|pixel|image|object|given|provided|normali[sz]ed) coordinates?",
    "object (?:annotations?|detections?|labels?|categories)",
    "(?:given|provided) (?:annotations?|labels?|boxes|regions|coordinates)",
    "[\\[(]\\s*[01]?\\.\\d+\\s*,\\s*[01]?\\.\\d+[^\\])]*[\\])]",
    "[01]?\\.\\d+(?:\\s*,\\s*[01]?\\.\\d+){2,}",
)
"""What shows that it was made from labelled regions."""

_NOT_PREDICATE = "".join(
    rf"(?<!\b{word})"
    for word in ("and", "or", "is", "are", "was", "were", "be", "been", "not", "just", "only")
)
"""After these words a phrase carries the sentence, and what is left would be none."""
_SUBJECT = "(?:we|it|there|this|that|these|those|the|he|she|they|an?|one|you|i)"


def _pattern(
    *parts: str, before: str = r"(?<!\w)", after: str = r"(?!\w)", flags: int = re.IGNORECASE
) -> re.Pattern[str]:
    """Compile alternatives; a blank stands for any white space, an apostrophe for either form."""
    source = "|".join(parts).replace(" ", r"\s+").replace("'", "['’]")
    return re.compile(f"{before}(?:{source}){after}", flags)


_REFUSAL = _pattern(*REFUSALS)
_CAPTION_IN_ANSWER = _pattern(*CAPTION_MENTIONS, *_DESCRIPTION)
_CAPTION_IN_QUESTION = _pattern(*CAPTION_MENTIONS, *_THE_DESCRIPTION)
_BOX = _pattern(*BOX_MENTIONS)
_SENTENCE_START = r"(?P<start>^\W*|[.!?][\"”’')\]]*\s+|\n\s*)"
_OPENER = _pattern(
    *OPENERS, before=_SENTENCE_START, after=rf"(?:\s*[,:]\s*|\s+(?={_SUBJECT}\b))(?P<first>\S)"
)
_REPORT = _pattern(*REPORTS, before=_SENTENCE_START, after=r",?\s+(?P<first>\S)")
_INNER = tuple(
    _pattern(*phrases, before=before, after=after)
    for phrases, before, after in (
        (INNER_PHRASES, r",\s*", r"(?!\w)(?:\s*,|(?=\s*[.;!?)]|\s*\Z))"),
        (INNER_PHRASES, r"\s*\(\s*", r"\s*\)"),
        (ADVERBIALS, _NOT_PREDICATE + r"\s+", r"(?!\w)"),
    )
)
"""Between commas, in brackets, or where the sentence stands without it."""
_PAPER_REFUSAL = _pattern(*REFUSALS, before="", after="")
_PAPER_OPENER = _pattern(*OPENERS, *REPORTS, before=r"^", after=r"[,:]?\s*")
_PAPER_INNER = _pattern(*INNER_PHRASES, before=r"\s*,?\s*", after=r"", flags=0)
_PAPER_MENTION = re.compile("caption|description", re.IGNORECASE)


def is_refusal(text: str, matching: Matching = "strict") -> bool:
    """Say whether the teacher says that it cannot see, cannot tell or will not answer."""
    return bool((_REFUSAL if matching == "strict" else _PAPER_REFUSAL).search(text))


def answer_mention(text: str, matching: Matching = "strict") -> str:
    """Return `mentions_caption` or `mentions_boxes` where an answer gives its source away, else nothing."""
    if matching == "paper":
        return "mentions_caption" if _PAPER_MENTION.search(text) else ""
    return _mention(text, _CAPTION_IN_ANSWER)


def question_mention(text: str, matching: Matching = "strict") -> str:
    """Return the same for a question, which may ask for a description but not about one.

    The published rule does not look at questions.
    """
    return "" if matching == "paper" else _mention(text, _CAPTION_IN_QUESTION)


def _mention(text: str, caption: re.Pattern[str]) -> str:
    if caption.search(text):
        return "mentions_caption"
    return "mentions_boxes" if _BOX.search(text) else ""


def clean_answer(text: str, matching: Matching = "strict") -> tuple[str, str]:
    """Return the answer without phrases that name its source, and the reason to drop it, empty where none."""
    text = text.strip()
    if not text:
        return "", "empty_answer"
    if is_refusal(text, matching):
        return text, "refusal"
    cleaned = _without_source(text) if matching == "strict" else _without_source_as_published(text)
    if not any(character.isalnum() for character in cleaned):
        return "", "empty_answer"
    return cleaned, answer_mention(cleaned, matching)


def _without_source(text: str) -> str:
    cut = _REPORT.sub(_sentence, _OPENER.sub(_sentence, text))
    for pattern in _INNER:
        cut = pattern.sub("", cut)
    return cut.strip()


def _sentence(match: re.Match[str]) -> str:
    return match["start"] + match["first"].upper()


def _without_source_as_published(text: str) -> str:
    cut = _PAPER_OPENER.sub("", text)
    if cut != text:
        return cut[:1].upper() + cut[1:]
    return _PAPER_INNER.sub("", text)


def question_key(text: str) -> str:
    """Return what two wordings of one question have in common: no case, no outer marks, single blanks."""
    return " ".join(text.casefold().split()).strip(" .?!\"'")
