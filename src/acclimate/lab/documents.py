"""The training documents of the lab's models: chats about general-world scenes, as plain turns."""

import random
from dataclasses import dataclass, replace

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


_HARDER = {"where": 1.6, "exist": 1.7, "reverse": 1.5, "rule": 1.7, "list": 1.3}
"""How much oftener the kinds that are learned last are asked in late lessons."""


def draw_task(
    asker: Asker,
    rng: random.Random,
    *,
    choice_rate: float = 0.12,
    open_weight: float = 0.4,
    late: bool = False,
) -> Task:
    """Return a task of a random kind that the scene allows.

    Args:
        choice_rate: how often a kind that can be asked with lettered choices is.
        open_weight: weight of the two open kinds together, against about 14 of all others.
        late: ask the harder kinds oftener.
    """
    weights = [_WEIGHTS[kind] * (open_weight / 0.4 if kind in OPEN_KINDS else 1.0) for kind in KINDS]
    if late:
        weights = [weight * _HARDER.get(kind, 1.0) for kind, weight in zip(KINDS, weights, strict=True)]
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


def questions(scene: Scene, picture: int, rng: random.Random, n: int, *, late: bool = False) -> Document:
    """Return a chat of several questions about one picture; only the answers count."""
    lexicon = DOMAINS[scene.domain].lexicon
    asker = Asker(scene, lexicon, rng)
    lines: list[Line] = []
    for _ in range(n):
        task = draw_task(asker, rng, late=late)
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


def reading(scene: Scene, picture: int | None, rng: random.Random, n: int, *, coined: bool) -> Document:
    """Return a caption and questions about it that its words answer; questions count a little too."""
    text, lexicon, stated = captioned(scene, rng, coined=coined)
    asker = Asker(scene, lexicon, rng, stated=stated)
    lines = [Line("user", CAPTION_QUESTION, 0.0), Line("assistant", text, 0.0 if coined else 0.3)]
    for _ in range(n):
        question, answer = _asked(draw_task(asker, rng, choice_rate=0.2), rng)
        lines += [Line("user", question, 0.4), Line("assistant", answer, 1.0)]
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


def judged(scene: Scene, rng: random.Random, *, coined: bool, label: str | None = None) -> tuple[Task, str]:
    """Return a task and the judge's right word for it: `Yes`, `No` or `Open`, balanced."""
    want = label or rng.choice(CHOICES)
    _, lexicon, stated = captioned(scene, rng, coined=coined)
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


def judging(scene: Scene, rng: random.Random, n: int) -> Document:
    """Return a chat in which the judge marks several triplets."""
    lines: list[Line] = []
    for _ in range(n):
        task, word = judged(scene, rng, coined=rng.random() < 0.6)
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


def picture_document(seed: str, n_pictures: int, ease: float, *, late: bool = False) -> Document:
    """Return one document of the multimodal corpus.

    Args:
        seed: decides the document.
        n_pictures: how many pictures were rendered; picture i shows `scene_of(i, test=False)`.
        ease: 1 for mostly descriptions (the first lessons), 0 for the middle mixture.
        late: the last lessons: nearly half are captions in invented words, read with the picture beside.
    """
    rng = random.Random(f"picture/{seed}")
    picture = rng.randrange(n_pictures)
    scene = scene_of(picture, test=False)
    way = rng.random()
    if late:
        if way < 0.08:
            return judging(scene, rng, 3)
        if way < 0.50:
            return reading(scene, picture, rng, 3, coined=rng.random() < 0.85)
        if way < 0.56:
            return description(scene, picture, rng)
        return questions(scene, picture, rng, 6, late=True)
    if way < 0.15:
        return judging(scene, rng, 3)
    if way < 0.29:
        return reading(scene, picture, rng, 2, coined=rng.random() < 0.75)
    if way < 0.36 + 0.32 * ease:
        return description(scene, picture, rng)
    return questions(scene, picture, rng, 6)
