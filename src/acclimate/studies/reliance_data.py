"""What the two sides of the reliance study learn from: authentic conversations, equal shares of either."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from acclimate import artifacts
from acclimate.artifacts import Outcome, Step, Workspace
from acclimate.compose import stage as compose_room
from acclimate.compose.matched import Matched, matched, trained_length
from acclimate.errors import RecipeError
from acclimate.evaluate import stage as evaluate_room
from acclimate.evaluate.catalogue import Located, digest, locate
from acclimate.evaluate.load import load_benchmark
from acclimate.files import read_json, read_records, write_json, write_records
from acclimate.ingest.conversations import ConversationSource
from acclimate.pipeline import Line
from acclimate.records import Conversation, Rejection, Turn, content_id
from acclimate.steps import conversations_step
from acclimate.workplace import counted

Authentic: TypeAlias = ConversationSource | tuple[str, ...]
"""Conversations that people wrote: a file of them, or benchmarks (names, YAML files) with a training file."""
Side: TypeAlias = Literal["synthetic", "authentic"]
SIDES: tuple[Side, Side] = ("synthetic", "authentic")
MATCH = "match.json"
ROOM = "ingest"


def authentic_step(authentic: Authentic, line: Line) -> Step:
    """Return the step that reads the authentic conversations.

    Raises:
        DataError: the file cannot be used. RecipeError: a benchmark has no training file here.
    """
    if isinstance(authentic, ConversationSource):
        return conversations_step([authentic], line.place, line.base, rehash=line.rehash)
    data = line.base / line.recipe.evaluate.data
    return _training_questions_step([locate(name, data=data, base=line.base) for name in authentic], line)


def _training_questions_step(benchmarks: Sequence[Located], line: Line) -> Step:
    """Return the step that makes conversations of benchmarks' own training questions and answers."""
    trained_on = [_of_training(each) for each in benchmarks]
    name = "authentic"

    def run(space: Workspace) -> Outcome:
        rows: dict[str, Conversation] = {}
        rejections: list[Rejection] = []
        n = 0
        for each in trained_on:
            loaded = load_benchmark(each, line.store, line.recipe.limit)
            rejections += loaded.rejections
            n += len(loaded.items) + len(loaded.rejections)
            for item in loaded.items:
                turns = (
                    Turn("user", item.question, trained=False),
                    Turn("assistant", ", ".join(item.gold), trained=True),
                )
                images = () if item.image is None else (item.image,)
                made = content_id("authentic", *(image.sha256 for image in images), *(t.text for t in turns))
                source = f"{item.benchmark}/{item.id}"
                if made in rows:
                    rejections.append(Rejection(source, ROOM, "duplicate_conversation", made))
                    continue
                rows[made] = Conversation(made, images, turns, 1, (source,))
        write_records(space.out / "conversations.parquet", rows.values(), Conversation)
        write_records(space.out / "rejections.parquet", rejections, Rejection)
        return counted(n, len(rows), rejections)

    facts = {
        "benchmarks": [{"name": each.spec.name, "sha256": digest(each.require())} for each in trained_on],
        "limit": line.recipe.limit,
    }
    return Step(name, evaluate_room.VERSION, facts, {}, run)


def _of_training(located: Located) -> Located:
    """Return the benchmark with its training file in the place of its questions.

    Raises:
        RecipeError: it has none here.
    """
    spec = located.spec
    located.require()  # which also says what to put where
    if not spec.train:
        raise RecipeError(
            f"The benchmark {spec.name} names no training file (`train:`), so it cannot stand for authentic "
            "conversations; name one that does, or a file of conversations."
        )
    asked: dict[str, object] = {"file": spec.train, "train": (), "sha256": None, "counts": {}}
    found = Located(spec.model_copy(update=asked), located.source, located.folder, located.looked_in)
    if not found.files:
        raise RecipeError(
            f"The training file of {spec.name} is not in {located.folder}: one of {', '.join(spec.train)} "
            "is needed for --authentic."
        )
    return found


def matched_step(side: Side, composed: Step, authentic: Step, seed: int) -> Step:
    """Return the step that keeps one side's conversations that have a partner on the other side.

    Beside them it writes `match.json`: `conversations` and `images` of this side, `shared_images`, and
    `trained_characters`.
    """

    def run(space: Workspace) -> Outcome:
        told = [_conversations(space.inputs[each]) for each in SIDES]
        found = matched(told[0], told[1], seed=seed)
        kept, left_out = _of(found, side)
        write_records(space.out / "conversations.parquet", kept, Conversation)
        write_records(space.out / "rejections.parquet", left_out, Rejection)
        write_json(
            space.out / MATCH,
            {
                "conversations": len(kept),
                "images": len({image.sha256 for each in kept for image in each.images}),
                "shared_images": found.n_shared_pictures,
                "trained_characters": sum(map(trained_length, kept)),
            },
        )
        return counted(len(kept) + len(left_out), len(kept), left_out)

    inputs = {"synthetic": composed, "authentic": authentic}
    return Step(f"match-{side}", compose_room.VERSION, {"side": side, "seed": seed}, inputs, run)


def _of(found: Matched, side: Side) -> tuple[tuple[Conversation, ...], tuple[Rejection, ...]]:
    if side == "synthetic":
        return found.first, found.first_left_out
    return found.second, found.second_left_out


def _conversations(folder: Path) -> list[Conversation]:
    return list(read_records(folder / "conversations.parquet", Conversation))


def facts_of(step: Step, root: Path) -> dict[str, int]:
    """Return what a finished match step wrote in `match.json`, and how many it left out (`left_out`)."""
    home = artifacts.home_of(step, root)
    facts = {name: int(value) for name, value in read_json(home / MATCH).items()}
    n = sum(1 for _ in read_records(home / "rejections.parquet", Rejection))
    return {**facts, "left_out": n}
