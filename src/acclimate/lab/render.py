"""Writes the world as ordinary files: seed examples, image-caption pairs and benchmarks.

The files are those that any user could bring; nothing downstream knows that a world made them. Which scene
an image shows is written apart, to `oracle/scenes.json`, for the audit alone.
"""

import hashlib
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from acclimate.lab.documents import CAPTION_QUESTION, LIST_OPTIONS, Document, draw_task, scene_of
from acclimate.lab.draw import draw, png
from acclimate.lab.language import CHOICE_KINDS, Asker, Task, caption
from acclimate.lab.world import (
    DOMAINS,
    GENERAL,
    Domain,
    Lexicon,
    Scene,
    Subject,
    coined_lexicon,
    sample_scene,
)

CAPTION_REQUESTS = ("Describe the image.", "What does the image show?", "Write a caption for the image.")
_OPEN_KINDS = ("object", "colour", "mark", "reverse", "rule")
_GENERAL_OPEN_KINDS = ("domain", "where", "count", *_OPEN_KINDS)
SEED_KINDS = {"exist": 1.6, "domain": 0.5, "count": 0.7, "list": 0.8}
"""How much oftener than in pretraining a kind is asked: what is put in few words takes over in sampling."""
SEED_NOISE = (0.06, 0.12)
"""How often the precise and the informative annotator of the seed data err, each on its own."""


def _json(path: Path, value: Any) -> None:  # noqa: ANN401
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def scene_from(text: str) -> Scene:
    """Return the scene of a key (`Scene.key`)."""
    domain, *subjects = text.split("|")
    return Scene(domain, tuple(Subject(*map(int, each.split("."))) for each in subjects))


class _Images:
    """Writes pictures under a folder and remembers which scene each shows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scenes: dict[str, str] = {}
        self.hashes: dict[str, str] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, scene: Scene, name: str) -> str:
        data = png(draw(scene, name))
        (self.folder / f"{name}.png").write_bytes(data)
        self.hashes[name] = hashlib.sha256(data).hexdigest()
        self.scenes[self.hashes[name]] = scene.key
        return f"{name}.png"


def seed_example(index: int, seed: int) -> tuple[Scene, str, Task]:
    """Return the seed example with this number: a general scene, a caption and a task about it.

    More than half speak of the scene in invented words and ask only what the caption says: from them the
    synthesizer learns to copy. The others use everyday words and ask what the picture shows.
    """
    scene, lexicon, rng = _seed_ground(index, seed)
    coined = lexicon != DOMAINS[scene.domain].lexicon
    text, stated = caption(scene, lexicon, rng, even=True)
    precise_noise, informative_noise = SEED_NOISE
    asker = Asker(
        scene,
        lexicon,
        rng,
        stated=stated if coined else None,
        precise_noise=precise_noise,
        informative_noise=informative_noise,
        balanced=True,
    )
    return scene, text, draw_task(asker, rng, choice_rate=0.3, open_weight=0.6, harder=SEED_KINDS)


def _seed_ground(index: int, seed: int) -> tuple[Scene, Lexicon, random.Random]:
    """Return a seed example's scene and words, and the random numbers that go on with it."""
    rng = random.Random(f"seed-data/{seed}/{index}")
    scene = scene_of(rng.randrange(10**9), test=False)
    coined = rng.random() < 0.65
    lexicon = coined_lexicon(DOMAINS[scene.domain], rng) if coined else DOMAINS[scene.domain].lexicon
    return scene, lexicon, rng


def write_seeds(out: Path, n: int, seed: int) -> dict[str, Any]:
    """Write `seeds.json` and its images: pair, instruction, precise and informative answer.

    Returns:
        Scene and words of every example by image hash, for the oracle alone (`lexicon_from` reads them).
    """
    told: dict[str, Any] = {}
    images, rows = _Images(out / "images"), []
    for index in range(n):
        scene, text, task = seed_example(index, seed)
        name = f"seed-{seed}-{index:05d}"
        rows.append(
            {
                "id": f"seed-{index:05d}",
                "image": images.add(scene, name),
                "caption": text,
                "instruction": task.question,
                "precise": task.precise,
                "informative": task.informative,
            }
        )
        words = asdict(_seed_ground(index, seed)[1])
        told[images.hashes[name]] = {"scene": scene.key, "words": words}
    _json(out / "seeds.json", rows)
    return told


def lexicon_from(words: Mapping[str, Any]) -> Lexicon:
    """Return the words that `write_seeds` returned."""
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in words.items()}
    return Lexicon(**fields)


def write_pairs(out: Path, domain: Domain, n: int, seed: int) -> dict[str, str]:
    """Write `pairs.json` (LLaVA's form) and its images; return the scenes by image hash."""
    images, rows = _Images(out / "images"), []
    for index in range(n):
        scene = sample_scene(domain, f"pairs/{seed}/{index}", test=False)
        rng = random.Random(f"pair/{domain.key}/{seed}/{index}")
        text, _ = caption(scene, domain.lexicon, rng, even=True)
        rows.append(
            {
                "id": f"{domain.key}-{index:05d}",
                "image": images.add(scene, f"{domain.key}-{seed}-{index:05d}"),
                "conversations": [
                    {"from": "human", "value": f"<image>\n{rng.choice(CAPTION_REQUESTS)}"},
                    {"from": "gpt", "value": text},
                ],
            }
        )
    _json(out / "pairs.json", rows)
    return images.scenes


def _asked(scene: Scene, lexicon_of: Domain, rng: random.Random, kind: str) -> Task | None:
    asker = Asker(scene, lexicon_of.lexicon, rng)
    if kind == "closed":
        return asker.task("exist")
    if kind == "open":
        return asker.task(rng.choice(_OPEN_KINDS))
    if kind == "choice":
        return asker.choice(rng.choice([k for k in CHOICE_KINDS if k != "where"]))
    return asker.task("list")


def _benchmark_rows(
    domain: Domain, kind: str, images: _Images, n: int, seed: int
) -> Iterator[dict[str, object]]:
    for index in range(n):
        scene = sample_scene(domain, f"benchmark/{seed}/{index}", test=True)
        name = images.add(scene, f"{domain.key}-test-{seed}-{index:04d}")
        rng = random.Random(f"benchmark/{domain.key}/{kind}/{seed}/{index}")
        while (task := _asked(scene, domain, rng, kind)) is None:
            continue
        row: dict[str, object] = {
            "id": f"{domain.key}-{kind}-{index:04d}",
            "image": name,
            "question": task.question.split("\nThe choices are:")[0],
            "answer": task.precise,
        }
        if kind == "choice":
            row["choices"] = list(task.choices)
        elif kind == "multi_label":
            row["answer"] = task.precise.split(", ")
        yield row


CHANCE = {"closed": 0.5, "choice": 0.28, "open": 0.0, "multi_label": 0.0}
MAX_TOKENS = {"closed": 96, "open": 64, "choice": 64, "multi_label": 64}
CAPTION_TOKENS = 96
BENCHMARK_KINDS = ("closed", "open", "choice", "multi_label")


def _write_benchmark(out: Path, name: str, kind: str, rows: list[dict[str, object]], **more: object) -> None:
    """Write a question set's rows and its YAML.

    Args:
        more: what its YAML says beside the usual, in other words than `columns`.
    """
    _json(out / f"{name}.json", rows)
    columns = {"id": "id", "image": "image", "question": "question", "answer": "answer"}
    columns |= {key: key for key in ("choices", "stratum") if key in rows[0]}
    spec: dict[str, object] = {
        "name": name,
        "version": 1,
        "file": f"{name}.json",
        "image_root": "images",
        "columns": columns,
        "kind": kind,
        "chance": CHANCE.get(kind),
        "max_tokens": MAX_TOKENS.get(kind),
        "licence": "Apache-2.0",
        "citation": "acclimate lab world, rendered with an oracle",
    }
    (out / f"{name}.yaml").write_text(yaml.safe_dump(spec | more, sort_keys=False), encoding="utf-8")


def write_benchmarks(out: Path, domain: Domain, n: int, seed: int) -> dict[str, str]:
    """Write four question sets of the domain (closed, open, choice, multi_label), `n` questions each.

    Returns:
        The scenes by image hash. No scene here occurs among the pairs.
    """
    images = _Images(out / "images")
    for kind in BENCHMARK_KINDS:
        rows = list(_benchmark_rows(domain, kind, images, n, seed))
        more: dict[str, object] = {}
        if kind == "multi_label":
            forms = domain.lexicon.forms
            more = {"labels": list(forms), "prompt": "{question}" + LIST_OPTIONS + ", ".join(forms)}
        _write_benchmark(out, f"{domain.key}_{kind}", kind, rows, **more)
    return images.scenes


def write_caption_benchmark(out: Path, domain: Domain, n: int, seed: int) -> Path:
    """Write a question set that asks for the captions of `n` pictures of the domain; return its YAML.

    The pictures are those of `write_benchmarks`; captions are drawn as those of the pairs are.
    """
    images, rows = _Images(out / "images"), []
    for index in range(n):
        scene = sample_scene(domain, f"benchmark/{seed}/{index}", test=True)
        text, _ = caption(
            scene, domain.lexicon, random.Random(f"caption/{domain.key}/{seed}/{index}"), even=True
        )
        row: dict[str, object] = {
            "id": f"{domain.key}-captions-{index:04d}",
            "image": images.add(scene, f"{domain.key}-test-{seed}-{index:04d}"),
            "question": CAPTION_QUESTION,
            "answer": text,
        }
        rows.append(row)
    name = f"{domain.key}_captions"
    _write_benchmark(out, name, "caption", rows, max_tokens=CAPTION_TOKENS)
    return out / f"{name}.yaml"


def _general_task(scene: Scene, rng: random.Random, kind: str) -> Task | None:
    if kind == "open":
        return Asker(scene, DOMAINS[scene.domain].lexicon, rng).task(rng.choice(_GENERAL_OPEN_KINDS))
    return _asked(scene, DOMAINS[scene.domain], rng, kind)


def _general_rows(kind: str, images: _Images, n: int, seed: int) -> Iterator[dict[str, object]]:
    for index in range(n):
        domain = GENERAL[index % len(GENERAL)]
        scene = sample_scene(domain, f"general-benchmark/{seed}/{index}", test=True)
        rng = random.Random(f"general-benchmark/{kind}/{seed}/{index}")
        while (task := _general_task(scene, rng, kind)) is None:
            continue
        question: str = task.question.split("\nThe choices are:")[0]
        row: dict[str, object] = {
            "id": f"general-{kind}-{index:04d}",
            "image": images.add(scene, f"general-test-{seed}-{index:04d}"),
            "question": question,
            "answer": task.precise,
        }
        if kind == "choice":
            row["choices"] = list(task.choices)
        elif kind == "multi_label":
            row["question"] = question + LIST_OPTIONS + ", ".join(domain.lexicon.forms)
            row["answer"] = task.precise.split(", ")
        yield row


def write_general_benchmarks(out: Path, n: int, seed: int) -> tuple[Path, ...]:
    """Write four question sets about general scenes, `n` questions each; return their YAMLs.

    Every scene is of the test side, so neither the shipped models nor the seed examples have shown it.
    """
    images, found = _Images(out / "images"), []
    labels = sorted({form for domain in GENERAL for form in domain.lexicon.forms})
    for kind in BENCHMARK_KINDS:
        rows = list(_general_rows(kind, images, n, seed))
        more: dict[str, object] = {"labels": labels} if kind == "multi_label" else {}
        _write_benchmark(out, f"general_{kind}", kind, rows, **more)
        found.append(out / f"general_{kind}.yaml")
    return tuple(found)


def write_chats(out: Path, name: str, chats: Iterable[Document]) -> None:
    """Write `NAME.json` (LLaVA's form) and its images: chats about general scenes, every reply to be learned.

    Args:
        chats: each with a picture; those of one number share it.
    """
    images, rows = _Images(out / "images"), []
    for index, chat in enumerate(chats):
        if chat.scene is None or chat.picture is None:
            raise ValueError(f"chat {index} of {name} has no picture")
        file = f"{name}-{chat.picture:05d}"
        if file not in images.hashes:
            images.add(chat.scene, file)
        first, *others = chat.lines
        told = [("user", f"<image>\n{first.text}"), *((line.role, line.text) for line in others)]
        rows.append(
            {
                "id": f"{name}-{index:05d}",
                "image": f"{file}.png",
                "conversations": [
                    {"from": "human" if role == "user" else "gpt", "value": text} for role, text in told
                ],
            }
        )
    _json(out / f"{name}.json", rows)


def write_once(folder: Path, tag: str, write: Callable[[Path], object]) -> None:
    """Fill the folder by `write` unless it already holds what `tag` names; a crash leaves no half folder."""
    mark = folder / "rendered.txt"
    if mark.exists() and mark.read_text() == tag:
        return
    folder.mkdir(parents=True, exist_ok=True)
    mark.unlink(missing_ok=True)
    write(folder)
    mark.write_text(tag)


def write_world(
    folder: Path, domain_key: str, *, n_seeds: int, n_pairs: int, n_questions: int, seed: int
) -> None:
    """Write seed data, pairs, benchmarks and the oracle's scenes of one target domain."""
    domain = DOMAINS[domain_key]
    _json(folder / "oracle" / "seeds.json", write_seeds(folder / "seeds", n_seeds, seed))
    scenes = write_pairs(folder / "pairs", domain, n_pairs, seed)
    scenes |= write_benchmarks(folder / "benchmarks", domain, n_questions, seed)
    _json(folder / "oracle" / "scenes.json", scenes)
