"""Chooses which tasks and answers are shown, and puts them on pages: the index, then pages of their own.

The choice depends on ids and the seed alone, so that equal inputs show equal examples.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from acclimate.report.inputs import Answer, Example, Reply
from acclimate.report.pictures import media_type_of, thumbnail_uri
from acclimate.report.side_by_side import place

PAGE_SIZE = 200
"""Examples on one page, tasks and answers together. Source: the issue's own bound of `index.html`."""
MOST_BYTES = 7_000_000
"""Of all examples as HTML, so that the report with its figures stays under 10 MB. Where there are answers,
tasks get at most half of it, and answers the rest."""
_LONGEST_TEXT = 2000
_BYTES_OF_A_CARD = 2600
"""What a card takes beside its own texts and picture, rounded up."""
_RIGHT = 1.0


@dataclass(frozen=True, slots=True)
class TaskCard:
    """A synthetic task as it is shown."""

    number: int
    is_kept: bool
    reason: str
    instruction: str
    informative: str
    precise: str
    caption: str
    uri: str
    """Of its thumbnail; empty where there is none to show."""


@dataclass(frozen=True, slots=True)
class ReplyShown:
    """One model's answer as it is shown."""

    role: str
    name: str
    text: str
    verdict: str
    """`right`, `wrong`, `unread` or `partly right`; what the filters ask for."""
    mark: str
    """In points of 100."""


@dataclass(frozen=True, slots=True)
class AnswerCard:
    """A question with the models' answers as it is shown."""

    number: int
    item_id: str
    benchmark: str
    condition: str
    question: str
    gold: str
    replies: tuple[ReplyShown, ...]
    uri: str

    def verdict_of(self, role: str) -> str:
        """Return how a model's reply was marked; empty where it gave none."""
        return next((each.verdict for each in self.replies if each.role == role), "")


@dataclass(frozen=True, slots=True)
class Page:
    """The examples of one page; the first is the index's."""

    number: int
    """0 for the index."""
    tasks: tuple[TaskCard, ...]
    answers: tuple[AnswerCard, ...]

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """Of its answers, for the filters."""
        return tuple(dict.fromkeys(each.benchmark for each in self.answers))

    @property
    def conditions(self) -> tuple[str, ...]:
        """Of its answers, for the filters."""
        return tuple(dict.fromkeys(each.condition for each in self.answers))

    @property
    def models(self) -> Mapping[str, str]:
        """Printed names of the models that answered, by role."""
        return {reply.role: reply.name for each in self.answers for reply in each.replies}


@dataclass(frozen=True, slots=True)
class Shown:
    """What of the examples is shown, and where."""

    pages: tuple[Page, ...]
    """At least one."""
    n_tasks: int
    n_answers: int
    of_tasks: int
    of_answers: int

    @property
    def index(self) -> Page:
        """The examples of `index.html`."""
        return self.pages[0]


@dataclass(slots=True)
class _Budget:
    """What may still be written."""

    most: int
    taken: int = 0
    is_over: bool = False

    def takes(self, n_bytes: int) -> bool:
        """Return whether it fits, and count it; nothing fits after the first that did not."""
        self.is_over = self.is_over or self.taken + n_bytes > self.most
        if not self.is_over:
            self.taken += n_bytes
        return not self.is_over


Pictures: TypeAlias = Mapping[str, bytes]


def shown(
    examples: Sequence[Example],
    answers: Sequence[Answer],
    pictures: Pictures,
    names: Mapping[str, str],
    *,
    n_examples: int,
    n_answers: int,
    of_answers: int,
    seed: int,
) -> Shown:
    """Return the examples to show, page by page.

    Args:
        examples: kept and rejected are shown in turn, in their given order.
        answers: a sample is drawn by id; it is shown in the order given.
        pictures: encoded, by the key that an answer names.
        names: printed model names by role.
        n_examples: at most so many tasks.
        n_answers: at most so many answers.
        of_answers: how many there are in the whole run; 0: those given.
        seed: of the sample.
    """
    places = ranked(answers, seed)[:n_answers]
    of_tasks = _Budget(MOST_BYTES // 2 if places else MOST_BYTES)
    tasks = list(_tasks(mixed(examples, n_examples), of_tasks))
    budget = _Budget(MOST_BYTES - of_tasks.taken)
    drawn = _answers(answers, places, _Thumbnails(pictures), names, budget)
    # The index shows both kinds, however many tasks there are.
    first = min(len(tasks), max(PAGE_SIZE // 2, PAGE_SIZE - len(drawn)))
    rest = PAGE_SIZE - first
    cards: list[TaskCard | AnswerCard] = [*tasks[:first], *drawn[:rest], *tasks[first:], *drawn[rest:]]
    blocks = [cards[at : at + PAGE_SIZE] for at in range(0, len(cards), PAGE_SIZE)] or [[]]
    pages = tuple(
        Page(
            number,
            tuple(each for each in block if isinstance(each, TaskCard)),
            tuple(each for each in block if isinstance(each, AnswerCard)),
        )
        for number, block in enumerate(blocks)
    )
    return Shown(pages, len(tasks), len(drawn), len(examples), max(of_answers, len(answers)))


def mixed(examples: Sequence[Example], n_most: int) -> list[Example]:
    """Return kept and rejected examples, half and half as far as there are, in their given order."""
    kept = [each for each in examples if each.is_kept]
    rejected = [each for each in examples if not each.is_kept]
    n_rejected = min(len(rejected), max(n_most // 2, n_most - len(kept)))
    return [*kept[: n_most - n_rejected], *rejected[:n_rejected]]


def ranked(answers: Sequence[Answer], seed: int) -> list[int]:
    """Return the places of the answers in an order drawn by item; an item's conditions stay together."""

    def key(at: int) -> tuple[str, int]:
        return place(seed, answers[at].benchmark, answers[at].item_id), at

    return sorted(range(len(answers)), key=key)


def _tasks(examples: Iterable[Example], budget: _Budget) -> Iterable[TaskCard]:
    for number, each in enumerate(examples, start=1):
        card = TaskCard(
            number,
            each.is_kept,
            cut(each.reason),
            cut(each.instruction),
            cut(each.informative),
            cut(each.precise),
            cut(each.caption),
            thumbnail_uri(each.image, each.media_type),
        )
        texts = (card.reason, card.instruction, card.informative, card.precise, card.caption)
        if not budget.takes(_size(card.uri, *texts)):
            return
        yield card


def _answers(
    answers: Sequence[Answer],
    places: Sequence[int],
    thumbnails: "_Thumbnails",
    names: Mapping[str, str],
    budget: _Budget,
) -> list[AnswerCard]:
    """Return the cards of the answers at these places as far as they fit, in the order of the answers."""
    fitting: dict[int, AnswerCard] = {}
    for at in places:
        each = answers[at]
        replies = tuple(
            ReplyShown(
                role, names.get(role, role), cut(reply.text), verdict(reply), f"{100 * reply.mark:.0f}"
            )
            for role, reply in each.replies.items()
        )
        card = AnswerCard(
            0,
            each.item_id,
            each.benchmark,
            each.condition,
            cut(each.question),
            cut(each.gold),
            replies,
            thumbnails.of(each.picture),
        )
        texts = (card.question, card.gold, card.benchmark, *(reply.text for reply in replies))
        if not budget.takes(_size(card.uri, *texts)):
            break
        fitting[at] = card
    return [replace(fitting[at], number=number) for number, at in enumerate(sorted(fitting), start=1)]


class _Thumbnails:
    """Thumbnails by the picture's key, each made once."""

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures
        self._uris: dict[str, str] = {"": ""}

    def of(self, key: str) -> str:
        """Return the picture as a data URI; empty where there is none to show."""
        if key not in self._uris:
            data = self._pictures.get(key, b"")
            self._uris[key] = thumbnail_uri(data, media_type_of(data)) if data else ""
        return self._uris[key]


def verdict(reply: Reply) -> str:
    """Return in words how a reply was marked."""
    if not reply.is_parsed:
        return "unread"
    if reply.mark >= _RIGHT:
        return "right"
    return "partly right" if reply.mark > 0.0 else "wrong"


def cut(text: str) -> str:
    """Return a text, a very long one with its end left out and said so."""
    if len(text) <= _LONGEST_TEXT:
        return text
    return f"{text[:_LONGEST_TEXT]} … (cut here; {len(text):,} characters in all)"


def _size(uri: str, *texts: str) -> int:
    """Return at most how many bytes a card takes, texts escaped."""
    return _BYTES_OF_A_CARD + len(uri) + sum(_escaped_size(text) for text in texts)


def _escaped_size(text: str) -> int:
    special: Callable[[str], bool] = "&<>\"'".__contains__
    return len(text.encode("utf-8", "replace")) + 5 * sum(map(special, text))
