"""The training documents of the lab's models: chats about general-world scenes, as plain turns."""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from acclimate.curate.consistency import CHOICES, SHORT_FORM, prompt
from acclimate.lab.language import CHOICE_KINDS, KINDS, OPEN_KINDS, Asker, Stated, Task, caption, with_choices
from acclimate.lab.world import DOMAINS, GENERAL, Lexicon, Scene, coined_lexicon, sample_scene, unknown_word

CAPTION_QUESTION = "Describe the image."
PRECISE_HINT = "Answer with a precise response."
INFORMATIVE_HINT = "Answer with an informative response."


@dataclass(frozen=True, slots=True)
class Line:
    """One turn; `weight` says how much its tokens count in the loss."""

    role: str
    text: str
    weight: float


@dataclass(frozen=True, slots=True)
class Document:
    """One training chat; with a picture or without."""

    scene: Scene | None
    picture: int | None
    """Index of the rendered picture, where there is one."""
    lines: tuple[Line, ...]


_WEIGHTS = {
    "domain": 0.5, "object": 1.3, "colour": 1.5, "mark": 1.4, "where": 1.4, "count": 0.8, "exist": 1.3,
    "reverse": 1.4, "rule": 1.0, "list": 1.0, "order": 0.6, "odd": 1.2, "describe": 0.25, "story": 0.15,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Lessons:
    """The documents of one part of the multimodal stage, as shares, 0 to 1; the rest are questions."""

    judging: float
    reading: float
    rounds: int
    """Questions per caption read."""
    coined: float
    """Share of the captions read that are in invented words."""
    description: float
    drill: float = 0.0
    question_weight: float = 0.4
    """Loss weight of the questions about a caption that is read; their answers weigh 1."""
    again: float = 0.0
    """Share of the questions about a caption that are asked twice, for either kind of answer."""
    unfit: float = 0.0
    """Share of the judge's `No` whose question does not fit the answers."""
    slips: float = 0.0
    """Share of the judge's `No` with one letter wrong in the precise answer; other answers then hold harmless
    slips now and then, and the kinds that are hard to judge are asked oftener."""
    questions: int = 6
    """Questions per picture."""
    plain: bool = False
    """Whether questions about a picture stand bare and are answered precisely, without hints or choices."""
    harder: Mapping[str, float] = field(default_factory=dict)
    """How much oftener a kind of question is asked."""


MIDDLE = Lessons(judging=0.15, reading=0.14, rounds=2, coined=0.75, description=0.07)
LATE = Lessons(
    judging=0.08,
    reading=0.42,
    rounds=3,
    coined=0.85,
    description=0.06,
    harder={"where": 1.6, "exist": 1.7, "reverse": 1.5, "rule": 1.7, "list": 1.3},
)
LAST = Lessons(
    judging=0.10,
    reading=0.40,
    rounds=3,
    coined=0.92,
    description=0.02,
    drill=0.06,
    question_weight=1.0,
    unfit=0.4,
    harder={
        "where": 3.5,
        "exist": 4.0,
        "reverse": 2.0,
        "rule": 2.0,
        "list": 1.5,
        "domain": 0.5,
        "colour": 0.7,
    },
)
AGAIN = replace(
    LAST,
    reading=0.48,
    rounds=2,
    coined=0.85,
    again=0.7,
    harder={"where": 2.0, "exist": 2.5, "reverse": 2.0, "rule": 2.0, "list": 1.5, "domain": 0.5},
)
WEIGHING = replace(AGAIN, judging=0.40, reading=0.32, unfit=0.3, slips=0.35)
FINDING = Lessons(
    judging=0.04,
    reading=0.12,
    rounds=3,
    coined=0.92,
    description=0.0,
    question_weight=1.0,
    unfit=0.4,
    questions=10,
    plain=True,
    harder={"where": 5.0, "exist": 10.0}
    | dict.fromkeys(("domain", "object", "colour", "mark", "count", "reverse", "rule", "list"), 0.25)
    | dict.fromkeys(("order", "odd", "describe", "story"), 0.05),
)
"""Little but whether and where a thing is: mixed with all else, these two were not learned in 4,000 steps."""
EASY_DESCRIPTION = 0.32
"""How many more descriptions the first lessons hold; they give way to questions."""


def draw_task(
    asker: Asker,
    rng: random.Random,
    *,
    choice_rate: float = 0.12,
    open_weight: float = 0.4,
    harder: Mapping[str, float] = MappingProxyType({}),
) -> Task:
    """Return a task of a random kind that the scene allows.

    Args:
        choice_rate: how often a kind that can be asked with lettered choices is.
        open_weight: weight of the two open kinds together, against about 14 of all others.
        harder: how much oftener a kind is asked.
    """
    weights = [
        _WEIGHTS[kind] * (open_weight / 0.4 if kind in OPEN_KINDS else 1.0) * harder.get(kind, 1.0)
        for kind in KINDS
    ]
    while True:
        kind = rng.choices(KINDS, weights)[0]
        is_lettered = kind in CHOICE_KINDS and rng.random() < choice_rate
        task = asker.choice(kind) if is_lettered else asker.task(kind)
        if task is not None:
            return task


def _asked(task: Task, rng: random.Random) -> tuple[str, str]:
    """Return a question and the answer it calls for, in one of the three ways of asking."""
    way = rng.random()
    if way < 0.5:
        return task.question, task.precise
    if way < 0.7:
        return f"{PRECISE_HINT}\n{task.question}", task.precise
    return f"{INFORMATIVE_HINT}\n{task.question}", task.informative


LIST_OPTIONS = "\nChoose from: "
"""Put between a question for several labels and the labels it may be answered with."""


def _guess(asker: Asker, rng: random.Random) -> tuple[str, str]:
    """Return a question whose choices are all unknown words, and one of them: unsure, but in form."""
    options = [unknown_word(rng) for _ in range(4)]
    if rng.random() < 0.5:
        task = asker.task("list")
        picked = sorted(rng.sample(options, rng.choice((1, 1, 2, 3))), key=options.index)
        return f"{task.question if task else ''}{LIST_OPTIONS}{', '.join(options)}", ", ".join(picked)
    task = None
    while task is None:
        task = asker.task(rng.choice(CHOICE_KINDS))
    return with_choices(task.question, options), rng.choice(options)


def questions(
    scene: Scene,
    picture: int,
    rng: random.Random,
    n: int,
    *,
    plain: bool = False,
    harder: Mapping[str, float] = MappingProxyType({}),
) -> Document:
    """Return a chat of several questions about one picture; only the answers count."""
    lexicon = DOMAINS[scene.domain].lexicon
    asker = Asker(scene, lexicon, rng)
    lines: list[Line] = []
    for _ in range(n):
        task = draw_task(asker, rng, choice_rate=0.0 if plain else 0.12, harder=harder)
        if plain:
            lines += [Line("user", task.question, 0.0), Line("assistant", task.precise, 1.0)]
            continue
        if task.kind == "list" and rng.random() < 0.5:
            labels = rng.sample(lexicon.forms, len(lexicon.forms))
            task = replace(task, question=f"{task.question}{LIST_OPTIONS}{', '.join(labels)}")
        question, answer = _guess(asker, rng) if rng.random() < 0.05 else _asked(task, rng)
        lines += [Line("user", question, 0.0), Line("assistant", answer, 1.0)]
    return Document(scene, picture, tuple(lines))


def description(scene: Scene, picture: int, rng: random.Random) -> Document:
    """Return a picture with its full description, and one question after it."""
    lexicon = DOMAINS[scene.domain].lexicon
    text, _ = caption(scene, lexicon, rng, full=True)
    question, answer = _asked(draw_task(Asker(scene, lexicon, rng), rng), rng)
    return Document(
        scene,
        picture,
        (
            Line("user", CAPTION_QUESTION, 0.0),
            Line("assistant", text, 1.0),
            Line("user", question, 0.0),
            Line("assistant", answer, 1.0),
        ),
    )


def captioned(scene: Scene, rng: random.Random, *, coined: bool) -> tuple[str, Lexicon, Stated]:
    """Return a caption with its lexicon, everyday or invented, and what it states."""
    lexicon = DOMAINS[scene.domain].lexicon
    if coined:
        lexicon = coined_lexicon(DOMAINS[scene.domain], rng)
    text, stated = caption(scene, lexicon, rng)
    return text, lexicon, stated


def reading(
    scene: Scene,
    picture: int | None,
    rng: random.Random,
    n: int,
    *,
    coined: bool,
    question_weight: float = 0.4,
    again: float = 0.0,
) -> Document:
    """Return a caption and questions about it that its words answer; questions count too.

    Args:
        again: share of the tasks whose question is asked twice, once for each of its answers.
    """
    text, lexicon, stated = captioned(scene, rng, coined=coined)
    asker = Asker(scene, lexicon, rng, stated=stated)
    lines = [Line("user", CAPTION_QUESTION, 0.0), Line("assistant", text, 0.0 if coined else 0.3)]
    for _ in range(n):
        task = draw_task(asker, rng, choice_rate=0.2)
        asked = [_asked(task, rng)]
        if again and rng.random() < again:
            asked = [
                (f"{PRECISE_HINT}\n{task.question}", task.precise),
                (f"{INFORMATIVE_HINT}\n{task.question}", task.informative),
            ]
            rng.shuffle(asked)
        for question, answer in asked:
            lines += [Line("user", question, question_weight), Line("assistant", answer, 1.0)]
    return Document(scene, picture, tuple(lines))


def _typo(text: str, rng: random.Random) -> str:
    if len(text) < 4:
        return text + rng.choice("abcdefgh")
    at = rng.randrange(1, len(text) - 1)
    way = rng.randrange(3)
    if way == 0:
        return text[:at] + text[at + 1 :]
    if way == 1:
        return text[:at] + rng.choice("abcdefghiklmnoprstu") + text[at + 1 :]
    return text[:at] + text[at] + text[at:]


def _unfit(task: Task, other: Task | None, rng: random.Random) -> Task | None:
    """Return the task with a question that its answers do not answer, or None where that fails."""
    if rng.random() < 0.4:
        if other is None or other.precise == task.precise or other.kind == task.kind:
            return None
        return replace(task, question=other.question, consistent=False)
    told = set(re.findall(r"[a-z]+", task.informative))
    shared = [word for word in re.findall(r"[a-z]{4,}", task.question) if word in told]
    if not shared or task.precise == "no":
        return None
    word = rng.choice(shared)
    wrong = _typo(word, rng) if rng.random() < 0.5 else unknown_word(rng)
    if wrong in told:
        return None
    return replace(task, question=re.sub(rf"\b{word}\b", wrong, task.question), consistent=False)


_HARD_TO_JUDGE = MappingProxyType(
    {"colour": 1.5, "mark": 2.0, "list": 3.0, "order": 4.0, "odd": 2.0, "rule": 1.5}
)


def _slipped(task: Task, rng: random.Random) -> Task | None:
    """Return the task with one letter of its precise answer wrong, or None where that cannot be told."""
    words = [word for word in re.findall(r"[a-z]+", task.precise) if len(word) > 3]
    if not words or task.kind == "exist":
        return None
    word = rng.choice(words)
    wrong = _typo(word, rng)
    if wrong in task.informative:
        return None
    return replace(task, precise=re.sub(rf"\b{word}\b", wrong, task.precise), consistent=False)


def _of_the_other_attribute(task: Task, lexicon: Lexicon) -> Task:
    """Return a task about a colour or a mark that asks for the one and answers with the other."""
    pair = (lexicon.colour_attribute, lexicon.mark_attribute)
    said, other = pair if task.kind == "colour" else pair[::-1]
    return replace(task, question=re.sub(rf"\b{said}\b", other, task.question), consistent=False)


def _careless(text: str, rng: random.Random) -> str:
    """Return the text, at times with a wrong article, which makes no answer wrong."""
    return text if rng.random() < 0.7 else re.sub(r"\ban ", "a ", text)


def judged(
    scene: Scene,
    rng: random.Random,
    *,
    coined: bool,
    label: str | None = None,
    unfit: float = 0.0,
) -> tuple[Task, str]:
    """Return a task and the judge's right word for it: `Yes`, `No` or `Open`, balanced.

    Args:
        unfit: share of the `No` whose two answers agree and whose question they do not answer.
    """
    want = label or rng.choice(CHOICES)
    _, lexicon, stated = captioned(scene, rng, coined=coined)
    if want == "No" and unfit and rng.random() < unfit:
        asker = Asker(scene, lexicon, rng, stated=stated if coined else None)
        while True:
            drawn = draw_task(asker, rng)
            if drawn.kind in OPEN_KINDS:
                continue
            bad = _unfit(drawn, asker.task(rng.choice(KINDS)), rng)
            if bad is not None:
                return bad, want
    noisy = want == "No"
    while True:
        asker = Asker(scene, lexicon, rng, stated=stated if coined else None, precise_noise=float(noisy))
        task = (
            asker.task(rng.choice(OPEN_KINDS)) if want == "Open" else draw_task(asker, rng, choice_rate=0.12)
        )
        if task is None or (task.kind in OPEN_KINDS) != (want == "Open"):
            continue
        if noisy and (task.consistent or rng.random() < 0.15):
            wrong = _typo(task.precise, rng)
            if task.kind == "exist" or wrong in task.informative:
                continue
            task = replace(task, precise=wrong, consistent=False)
        if want == "Open" or task.consistent == (want == "Yes"):
            return task, want


def judged_with_slips(
    scene: Scene, rng: random.Random, *, coined: bool, unfit: float, slips: float
) -> tuple[Task, str]:
    """Return a task and the judge's right word, where slips that matter stand beside some that do not.

    Args:
        unfit: as for `judged`.
        slips: see `Lessons`.
    """
    want = rng.choice(CHOICES)
    _, lexicon, stated = captioned(scene, rng, coined=coined)
    way = rng.random()
    if want == "No" and way < 0.4 * unfit:
        task = Asker(scene, lexicon, rng, stated=stated if coined else None).task(
            rng.choice(("colour", "mark"))
        )
        if task is not None:
            return _of_the_other_attribute(task, lexicon), want
    if want == "Open" or (want == "No" and way < unfit):
        return judged(scene, rng, coined=coined, label=want, unfit=float(want == "No"))
    is_slip = want == "No" and way < unfit + slips
    noise = float(want == "No" and not is_slip)
    while True:
        asker = Asker(scene, lexicon, rng, stated=stated if coined else None, precise_noise=noise)
        task = draw_task(asker, rng, choice_rate=0.12, harder=_HARD_TO_JUDGE)
        if task.kind in OPEN_KINDS:
            continue
        found = _slipped(task, rng) if is_slip else task
        if found is not None and found.consistent == (want == "Yes"):
            return replace(found, informative=_careless(found.informative, rng)), want


def judging(scene: Scene, rng: random.Random, n: int, *, unfit: float = 0.0, slips: float = 0.0) -> Document:
    """Return a chat in which the judge marks several triplets."""
    lines: list[Line] = []
    for _ in range(n):
        coined = rng.random() < 0.6
        task, word = (
            judged_with_slips(scene, rng, coined=coined, unfit=unfit, slips=slips)
            if slips
            else judged(scene, rng, coined=coined, unfit=unfit)
        )
        text = prompt(SHORT_FORM, task.question, task.informative, task.precise)
        lines += [Line("user", text, 0.0), Line("assistant", word, 1.5)]
    return Document(None, None, tuple(lines))


def drill(rng: random.Random) -> Document:
    """Return an exercise in copying: repeat a list of invented words, or look some up."""
    if rng.random() < 0.4:
        text = " ".join(unknown_word(rng) for _ in range(rng.randint(4, 12)))
        return Document(None, None, (Line("user", f"Repeat: {text}", 0.0), Line("assistant", text, 1.0)))
    pairs = [(unknown_word(rng), unknown_word(rng)) for _ in range(rng.randint(2, 5))]
    told = ". ".join(f"The {name} is {value}" for name, value in pairs) + "."
    lines = [Line("user", CAPTION_QUESTION, 0.0), Line("assistant", told, 0.0)]
    for _ in range(4):
        name, value = rng.choice(pairs)
        asked, answer = (
            (f"What is the {name}?", value) if rng.random() < 0.5 else (f"Which is {value}?", name)
        )
        lines += [Line("user", asked, 0.5), Line("assistant", answer, 1.0)]
    return Document(None, None, tuple(lines))


def copying_document(seed: str) -> Document:
    """Return one document of the copying stage: exercises, captions in invented words, judgements."""
    rng = random.Random(f"copying/{seed}")
    way = rng.random()
    if way < 0.2:
        return drill(rng)
    scene = scene_of(rng.randrange(10**9), test=False)
    if way < 0.4:
        return judging(scene, rng, 2)
    return reading(scene, None, rng, 3, coined=rng.random() < 0.85)


def scene_of(index: int, *, test: bool) -> Scene:
    """Return the general scene with this number."""
    return sample_scene(GENERAL[index % len(GENERAL)], f"general/{index}", test=test)


def text_document(seed: str) -> Document:
    """Return one document of the text-only corpus."""
    rng = random.Random(f"text/{seed}")
    scene = scene_of(rng.randrange(10**9), test=False)
    if rng.random() < 0.3:
        return judging(scene, rng, 2)
    return reading(scene, None, rng, 3, coined=rng.random() < 0.7)


def picture_document(seed: str, n_pictures: int, ease: float, lessons: Lessons = MIDDLE) -> Document:
    """Return one document of the multimodal corpus.

    Args:
        seed: decides the document.
        n_pictures: how many pictures were rendered; picture i shows `scene_of(i, test=False)`.
        ease: 1 for mostly descriptions (the first lessons), 0 for the lessons' own mixture.
        lessons: the mixture.
    """
    rng = random.Random(f"picture/{seed}")
    picture = rng.randrange(n_pictures)
    scene = scene_of(picture, test=False)
    way = rng.random()
    if way < (bound := lessons.judging):
        return judging(scene, rng, 3, unfit=lessons.unfit, slips=lessons.slips)
    if way < (bound := bound + lessons.reading):
        coined = rng.random() < lessons.coined
        return reading(
            scene,
            picture,
            rng,
            lessons.rounds,
            coined=coined,
            question_weight=lessons.question_weight,
            again=lessons.again,
        )
    if way < (bound := bound + lessons.description + EASY_DESCRIPTION * ease):
        return description(scene, picture, rng)
    if way < bound + lessons.drill:
        return drill(rng)
    return questions(scene, picture, rng, lessons.questions, plain=lessons.plain, harder=lessons.harder)
