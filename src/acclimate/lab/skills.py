"""Scores a model's skills on held-out general-world questions: what the shipped model's card says."""

import hashlib
import random
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from acclimate.curate.consistency import CHOICES, SHORT_FORM, prompt
from acclimate.engines.ask import ask, ask_choices
from acclimate.engines.open import open_engine
from acclimate.engines.protocol import ChoiceRequest, Engine, Message, Request, Sampling
from acclimate.engines.spec import EngineExecution, EngineSpec
from acclimate.files import ImageStore
from acclimate.lab.documents import CAPTION_QUESTION, INFORMATIVE_HINT, judged, scene_of
from acclimate.lab.draw import draw, png
from acclimate.lab.language import CHOICE_KINDS, Asker, Task, caption
from acclimate.lab.oracle import is_right
from acclimate.lab.world import DOMAINS, Scene
from acclimate.records import ImageRef

KINDS = ("domain", "object", "colour", "mark", "where", "count", "exist", "reverse", "rule", "list", "choice")


def _scene(index: int) -> Scene:
    return scene_of(10**9 + index, test=True)


def _questions(kind: str, n: int) -> Iterator[tuple[str, Scene, Task]]:
    """Yield n test questions of a kind, each about a scene of its own; closed answers alternate."""
    found = index = 0
    while found < n:
        index += 1
        scene = _scene(index * 31 + int(hashlib.sha256(kind.encode()).hexdigest()[:4], 16))
        rng = random.Random(f"skills/{kind}/{index}")
        asker = Asker(scene, DOMAINS[scene.domain].lexicon, rng)
        task = asker.choice(rng.choice(CHOICE_KINDS)) if kind == "choice" else asker.task(kind)
        if task is None or (kind == "exist" and task.precise != ("yes", "no")[found % 2]):
            continue
        if (kind == "choice" and len(task.choices) < 3) or (kind == "where" and len(scene.subjects) < 2):
            continue
        found += 1
        yield f"{kind}/{found}", scene, task


def _answers(engine: Engine, asked: Iterable[tuple[str, str, ImageRef | None]]) -> dict[str, str]:
    requests = (
        Request(name, (Message("user", question, (image,) if image else ()),), Sampling(64))
        for name, question, image in asked
    )
    return {request.id: reply.text for request, reply in ask(engine, requests, None)}


def skills(model: Path, n: int) -> dict[str, Any]:
    """Return a model's accuracy per kind of question, with its own and with another scene's picture.

    Accuracy is the oracle's: the whole reply must be the right answer. `chance` is the share of the commonest
    right answer among the questions, or one over the choices. `judge` is the accuracy on balanced triplets;
    `describe` the share of descriptions that are exactly the plain full caption.
    """
    with tempfile.TemporaryDirectory() as folder:
        store = ImageStore(Path(folder))
        engine = open_engine(EngineSpec(model=str(model)), store, EngineExecution())
        return _skills(engine, store, n)


def _skills(engine: Engine, store: ImageStore, n: int) -> dict[str, Any]:
    questions = [each for kind in KINDS for each in _questions(kind, n)]
    images = {name: store.add(png(draw(scene, name))) for name, scene, _ in questions}
    names = [name for name, _, _ in questions]
    # The donor stands half a kind further on, so it shows another scene and the question keeps its kind.
    donors: dict[str, str] = {}
    for kind in KINDS:
        same = [name for name in names if name.startswith(f"{kind}/")]
        donors |= {name: same[(i + len(same) // 2) % len(same)] for i, name in enumerate(same)}
    own = _answers(engine, ((name, task.question, images[name]) for name, _, task in questions))
    other = _answers(engine, ((name, task.question, images[donors[name]]) for name, _, task in questions))
    right: dict[str, list[bool]] = defaultdict(list)
    wrong_image: dict[str, list[bool]] = defaultdict(list)
    gold: dict[str, list[str]] = defaultdict(list)
    for name, scene, task in questions:
        kind = name.split("/")[0]
        right[kind].append(bool(is_right(scene, task.question, own[name])))
        wrong_image[kind].append(bool(is_right(scene, task.question, other[name])))
        gold[kind].append("A" if kind == "choice" else task.precise)
    rows = {}
    for kind in KINDS:
        common = Counter(gold[kind]).most_common(1)[0][1] / n
        chance = (
            sum(1 / len(t.choices) for k, _, t in questions if k.startswith("choice/")) / n
            if kind == "choice"
            else common
        )
        rows[kind] = {
            "accuracy": sum(right[kind]) / n,
            "mismatch": sum(wrong_image[kind]) / n,
            "chance": chance,
            "n": n,
        }
    described = [(f"describe/{i}", _scene(7 * i + 3)) for i in range(n)]
    asked = [(name, CAPTION_QUESTION, store.add(png(draw(scene, name)))) for name, scene in described]
    told = _answers(engine, asked)
    full = {
        name: caption(scene, DOMAINS[scene.domain].lexicon, random.Random(0), full=True)[0]
        for name, scene in described
    }
    hinted = [
        (name, scene, task) for name, scene, task in questions if name.startswith(("colour/", "object/"))
    ]
    informed = _answers(
        engine, ((name, f"{INFORMATIVE_HINT}\n{task.question}", images[name]) for name, _, task in hinted)
    )
    return {
        "kinds": rows,
        "macro": sum(row["accuracy"] for row in rows.values()) / len(rows),
        "macro_mismatch": sum(row["mismatch"] for row in rows.values()) / len(rows),
        "describe": sum(told[name].strip() == full[name] for name, _ in described) / n,
        "informative": sum(
            len(informed[name].split()) > 4 and task.precise in informed[name] for name, _, task in hinted
        )
        / len(hinted),
        "judge": _judge(engine, 3 * n),
    }


def _judge(engine: Engine, n: int) -> float:
    """Return the judge's accuracy on triplets balanced over Yes, No and Open."""
    cases = []
    for index in range(n):
        rng = random.Random(f"judge/{index}")
        want = CHOICES[index % 3]
        task, word = judged(_scene(13 * index + 5), rng, coined=index % 2 == 0, label=want)
        cases.append(
            (f"judge/{index}", prompt(SHORT_FORM, task.question, task.informative, task.precise), word)
        )
    words = {name: word for name, _, word in cases}
    requests = (ChoiceRequest(name, (Message("user", text),), CHOICES) for name, text, _ in cases)
    hits = 0
    for request, reply in ask_choices(engine, requests, None):
        best = max(range(3), key=lambda i: reply.log_probabilities[i])
        hits += CHOICES[best] == words[request.id]
    return hits / n


def skills_text(result: dict[str, Any]) -> str:
    """Return the scores as a table."""
    lines = [f"{'kind':<10}{'accuracy':>10}{'wrong image':>13}{'chance':>9}"]
    for kind, row in result["kinds"].items():
        lines.append(f"{kind:<10}{row['accuracy']:>10.2f}{row['mismatch']:>13.2f}{row['chance']:>9.2f}")
    lines.append(f"{'mean':<10}{result['macro']:>10.2f}{result['macro_mismatch']:>13.2f}")
    lines.append(
        f"whole descriptions right {result['describe']:.2f}; "
        f"informative answers right {result['informative']:.2f}; "
        f"consistency judge {result['judge']:.2f}"
    )
    return "\n".join(lines)
