"""How much tasks need their pictures: the measure by hand and by a real model, its place in the line."""

import json
import math
import random
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from acclimate import artifacts
from acclimate.artifacts import ReplyLog, fingerprint
from acclimate.curate.reliance import (
    RelianceConfig,
    TaskReliance,
    below,
    donor_pictures,
    measure,
    planned,
)
from acclimate.curate.reliance_table import distribution
from acclimate.engines.fake import FakeEngine
from acclimate.engines.families import encode, load_model, load_processor, render
from acclimate.engines.open import open_engine
from acclimate.engines.protocol import ChoiceRequest, Engine, Message
from acclimate.engines.spec import EngineExecution, EngineSpec
from acclimate.errors import DataError, EngineError, RecipeError
from acclimate.estimate import estimate
from acclimate.files import ImageStore, read_records
from acclimate.inspection import find
from acclimate.judging import measure_reliance, with_reliance
from acclimate.lab.demo import GENERAL_MLLM
from acclimate.lab.documents import CAPTION_QUESTION, captioned, scene_of
from acclimate.lab.draw import draw
from acclimate.lab.draw import png as drawn_png
from acclimate.lab.language import Asker
from acclimate.lab.world import DOMAINS
from acclimate.pipeline import Line
from acclimate.recipe import load_recipe
from acclimate.records import Conversation, ImageRef, JudgedTriplet, Rejection
from tests.small_lines import png, synthetic_reply, verdict, write_line
from tests.test_cli import acclimate, check_message
from tests.test_cli import line as cli_line
from tests.tiny_models import tiny_qwen3_vl

LOG_HALF = math.log(0.5)


def task(name: str, pair: str, precise: str = "two cells", **more: Any) -> JudgedTriplet:
    texts = (f"How many in {name}?", "There are two cells.", precise)
    made = JudgedTriplet(name, pair, *texts, "synthesizer", "consistent", 1.0, 0.0, 0.0, "j", name)
    return replace(made, **more)


def image(number: int) -> ImageRef:
    return ImageRef(f"{number:064x}", 8, 8, "image/png")


def pictures(n: int) -> dict[str, ImageRef]:
    return {f"p{number}": image(number) for number in range(n)}


class Listening:
    """An engine whose answer's log-probability is decided by question and picture; notes what it is asked."""

    def __init__(self, value: Callable[[str, ImageRef | None], float]) -> None:
        self.asked: list[ChoiceRequest] = []

        def choose(request: ChoiceRequest) -> Sequence[float]:
            self.asked.append(request)
            return [value(request.messages[-1].text, self.shown(request)) for _ in request.choices]

        self.engine = FakeEngine(lambda _: "", choose)

    @staticmethod
    def shown(request: ChoiceRequest) -> ImageRef | None:
        found = [each for message in request.messages for each in message.images]
        return found[0] if found else None


def measured(
    tasks: Sequence[JudgedTriplet],
    images: dict[str, ImageRef],
    engine: Engine,
    store: ImageStore,
    **config: Any,
) -> tuple[dict[str, TaskReliance], dict[str, Rejection]]:
    found = list(measure(tasks, images, engine, RelianceConfig(**config), store=store, log=None))
    rows = {each.id: each for each in found if isinstance(each, TaskReliance)}
    rejections = {each.id: each for each in found if isinstance(each, Rejection)}
    assert len(rows) + len(rejections) == len(found) == len(tasks), "one outcome per task"
    assert rows.keys() | rejections.keys() == {each.id for each in tasks}
    return rows, rejections


# The measure


def test_reliance_is_the_difference_per_token_and_several_donors_are_averaged(tmp_path: Path) -> None:
    images = pictures(4)
    donors = donor_pictures(images.values(), 2, seed=0)[image(0).sha256]
    values = {image(0).sha256: -1.0, donors[0].sha256: -4.0, donors[1].sha256: -7.0}
    heard = Listening(lambda _, shown: values[shown.sha256] if shown else 0.0)
    [row] = measured([task("a", "p0")], images, heard.engine, ImageStore(tmp_path), donors=2)[0].values()
    assert row.n_tokens == 2  # the fake engine's tokens are words
    assert (row.own, row.other, row.reliance) == pytest.approx((-0.5, -2.75, 2.25))
    assert row.donors == tuple(each.sha256 for each in donors)
    assert (row.pair_id, row.label, row.against, row.answer) == ("p0", "consistent", "mismatch", "precise")


def test_a_picture_that_speaks_against_its_task_has_negative_reliance(tmp_path: Path) -> None:
    heard = Listening(lambda _, shown: -5.0 if shown == image(0) else -1.0)
    rows, _ = measured([task("a", "p0")], pictures(4), heard.engine, ImageStore(tmp_path))
    assert rows["a"].reliance == pytest.approx(-2.0)
    assert below(rows.values(), 0.0) == {"a"}
    assert below(rows.values(), rows["a"].reliance) == frozenset(), "the floor itself is enough"


def test_tasks_without_the_answer_that_is_measured_are_named_and_not_asked(tmp_path: Path) -> None:
    tasks = [task("a", "p0"), task("b", "p1", precise=" "), task("c", "p2", informative="")]
    heard = Listening(lambda _, __: -1.0)
    rows, rejections = measured(tasks, pictures(4), heard.engine, ImageStore(tmp_path))
    assert sorted(rows) == ["a", "c"]
    assert rejections["b"].reason == "no_precise_answer"
    assert not any("in b?" in request.messages[-1].text for request in heard.asked)
    rows, rejections = measured(tasks, pictures(4), heard.engine, ImageStore(tmp_path), answer="informative")
    assert sorted(rows) == ["a", "b"]
    assert rejections["c"].reason == "no_informative_answer"
    assert {each.choices[0] for each in heard.asked[-4:]} == {"There are two cells."}


def test_open_ended_and_unjudged_tasks_are_measured_like_all_others(tmp_path: Path) -> None:
    tasks = [task(label, "p0", label=label) for label in ("open", "unjudged", "inconsistent")]
    rows, _ = measured(tasks, pictures(4), Listening(lambda *_: -1.0).engine, ImageStore(tmp_path))
    assert {row.label for row in rows.values()} == {"open", "unjudged", "inconsistent"}


def test_each_picture_is_asked_about_in_one_run(tmp_path: Path) -> None:
    tasks = [task(f"t{number:02d}", f"p{number % 5}") for number in range(20)]
    heard = Listening(lambda *_: -1.0)
    measured(tasks, pictures(5), heard.engine, ImageStore(tmp_path), donors=2)
    assert len(heard.asked) == 60
    runs = [shown for shown, _ in groupby(Listening.shown(request) for request in heard.asked)]
    assert len(runs) == 5


def test_without_a_picture_no_picture_is_sent_and_blank_ones_have_the_size_of_the_own(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    images = {"p0": store.add(png(0)), "p1": store.add(png(1))}  # of two sizes
    tasks = [task("a", "p0"), task("b", "p1")]
    heard = Listening(lambda _, shown: -1.0 if shown else -3.0)
    rows, _ = measured(tasks, images, heard.engine, store, against="text_only")
    assert [row.reliance for row in rows.values()] == [1.0, 1.0]
    assert [row.donors for row in rows.values()] == [(), ()]
    blank, _ = measured(tasks, images, heard.engine, store, against="blank")
    asked = {Listening.shown(request) for request in heard.asked}
    for name, pair in (("a", "p0"), ("b", "p1")):
        [shown] = [each for each in asked if each is not None and each.sha256 in blank[name].donors]
        assert (shown.width_px, shown.height_px) == (images[pair].width_px, images[pair].height_px)
        assert store.open(shown).getcolors() == [(shown.width_px * shown.height_px, (128, 128, 128))]


def test_a_task_of_a_conversation_is_asked_after_those_before_it(tmp_path: Path) -> None:
    first = task("a", "p0", reply_id="r", turn=0, precise="")
    second = task("b", "p0", reply_id="r", turn=1)
    rival, other = task("c", "p1", reply_id="s"), task("d", "p1", reply_id="s")
    heard = Listening(lambda *_: -1.0)
    measured([second, first, rival, other], pictures(4), heard.engine, ImageStore(tmp_path))
    asked = {each.messages[-1].text: each.messages for each in heard.asked if "/0" in each.id}
    texts = [(message.role, message.text) for message in asked["How many in b?"]]
    assert texts == [
        ("user", "How many in a?"),
        ("assistant", "There are two cells."),
        ("user", "How many in b?"),
    ]
    assert [len(message.images) for message in asked["How many in b?"]] == [1, 0, 0]
    assert len(asked["How many in c?"]) == len(asked["How many in d?"]) == 1, "one turn: no conversation"


def test_nothing_is_asked_twice_after_a_break(tmp_path: Path) -> None:
    tasks = [task(f"t{number}", f"p{number}") for number in range(20)]
    images, config, store = pictures(20), RelianceConfig(donors=1), ImageStore(tmp_path)
    n_asked = 0

    def choose(request: ChoiceRequest) -> Sequence[float]:
        nonlocal n_asked
        n_asked += 1
        if n_asked == 25:
            raise EngineError("the power is gone")
        return [-float(int(Listening.shown(request).sha256, 16))]  # type: ignore[union-attr]

    def run() -> list[Any]:
        engine = FakeEngine(lambda _: "", choose)
        return list(measure(tasks, images, engine, config, store=store, log=ReplyLog(tmp_path / "log")))

    with pytest.raises(EngineError, match="power"):
        run()
    again = run()
    assert n_asked == 41, "24 were kept, and the one that failed was asked again"
    assert again == run()
    assert n_asked == 41


def test_a_task_without_its_pair_and_an_engine_that_counts_no_tokens_are_refused(tmp_path: Path) -> None:
    engine = Listening(lambda *_: -1.0).engine
    with pytest.raises(DataError, match="Task a was made from the pair p9"):
        measured([task("a", "p9")], pictures(2), engine, ImageStore(tmp_path))
    broken = Listening(lambda *_: -math.inf).engine
    with pytest.raises(EngineError, match="no mean can be taken"):
        measured([task("a", "p0")], pictures(4), broken, ImageStore(tmp_path))


# Donors


@pytest.mark.parametrize("n", [1, 3])
def test_donors_are_other_pictures_each_as_often_as_any_other(n: int) -> None:
    images = [image(number) for number in range(30)]
    donors = donor_pictures([*images, *images], n, seed=0)
    assert donors.keys() == {each.sha256 for each in images}
    used = [other.sha256 for own, others in donors.items() for other in others]
    assert all(own not in {each.sha256 for each in others} for own, others in donors.items())
    assert all(len({each.sha256 for each in others}) == n for others in donors.values())
    assert {used.count(each.sha256) for each in images} == {n}
    assert donors == donor_pictures(images[::-1], n, seed=0), "order tells nothing"
    assert donors != donor_pictures(images, n, seed=1)
    fewer = donor_pictures(images[1:], n, seed=0)
    assert sum(donors[name] != fewer[name] for name in fewer) == n, "only those it stood in for"


def test_too_few_pictures_for_donors_are_an_error() -> None:
    assert donor_pictures([], 1, seed=0) == {}
    with pytest.raises(DataError, match="only 1 distinct"):
        donor_pictures([image(0), image(0)], 1, seed=0)
    with pytest.raises(DataError, match="3 other pictures, and there are only 3"):
        donor_pictures([image(number) for number in range(3)], 3, seed=0)


# The distribution


def test_the_distribution_is_that_of_the_measures() -> None:
    def row(name: str, value: float, label: Any, kind: str = "") -> TaskReliance:
        return TaskReliance(name, name, label, kind, "mismatch", "precise", 1, value - 1, -1.0, value, ())

    values = [-1.0, 0.0, 1.0, 2.0, 3.0]
    rows = [row(f"t{i}", value, "consistent", "count") for i, value in enumerate(values)]
    found = distribution([*rows, row("u", 7.0, "open")], {"no_precise_answer": 2}, 1.0)
    assert list(found.groups) == ["all", "label consistent", "label open", "kind count"]
    spread = found.groups["kind count"]
    assert (spread.n, spread.mean, spread.below_zero) == (5, pytest.approx(1.0), 0.2)
    assert spread.quantiles == pytest.approx((-0.8, 0.0, 1.0, 2.0, 2.8))
    assert spread.low < 1.0 < spread.high
    assert (found.n_below_floor, found.groups["all"].n) == (2, 6)
    assert json.loads(json.dumps(found.to_json()))["groups"]["all"]["mean"] == pytest.approx(2.0)
    text = "\n".join(found.lines())
    assert "not measured: no_precise_answer 2" in text
    assert "below the floor of 1: 2 (33.3%)" in text
    empty = distribution([], {"no_precise_answer": 2}, 1.0)
    assert empty.groups == {}
    assert len(empty.lines()) == 2


# A real model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_qwen3_vl(tmp_path_factory.mktemp("reliance") / "tiny", hidden_size=64)


@pytest.mark.parametrize("against", ["mismatch", "blank", "text_only"])
def test_the_local_engine_scores_answers_as_a_plain_forward_does(
    tiny: Path, tmp_path: Path, against: Any
) -> None:
    store = ImageStore(tmp_path)
    images = {"p0": store.add(png(0)), "p1": store.add(png(1))}
    long = "the cell at the top left is stained red and the one beside it is blue, " * 4
    tasks = [
        task("short", "p0", "red"),
        task("long", "p1", long, instruction="?"),  # with more tokens of answer than of prompt
        task("late", "p0", "two green beans", reply_id="short", turn=1),
    ]
    spec = EngineSpec(model=str(tiny), dtype="float32")
    engine = open_engine(spec, store, EngineExecution(device="cpu", rows=8))
    rows, _ = measured(tasks, images, engine, store, against=against, donors=1)
    processor, model = load_processor(tiny), load_model(tiny, "float32")
    refs = {each.sha256: each for each in images.values()} | {
        row.donors[0]: store.add(store.read(replace(image(0), sha256=row.donors[0])))
        for row in rows.values()
        if row.donors
    }

    def plain(messages: list[Message]) -> tuple[float, int]:
        shown = [store.open(each) for message in messages for each in message.images]
        rendered = render(processor, messages, [len(message.images) for message in messages])
        row = encode(processor, rendered, shown)
        ids = torch.tensor([row.input_ids])
        with torch.inference_mode():
            scores = torch.log_softmax(model(input_ids=ids, **row.model_inputs).logits[0].float(), dim=-1)
        span = rendered.spans[-1]
        own = [
            float(scores[place - 1, row.input_ids[place]])
            for place, (start, end) in enumerate(row.offsets)
            if end > span.text_start and start < span.text_end
        ]
        return sum(own), len(own)

    for each in tasks:
        row = rows[each.id]
        other = refs[row.donors[0]] if row.donors else None
        found = []
        for shown in (images[each.pair_id], other):
            turns = [("user", each.instruction), ("assistant", each.precise.strip())]
            if each.turn:
                turns = [("user", tasks[0].instruction), ("assistant", tasks[0].informative), *turns]
            messages = [Message(role, text) for role, text in turns]  # type: ignore[arg-type]
            messages[0] = replace(messages[0], images=(shown,) if shown else ())
            found.append(plain(messages))
        assert row.n_tokens == found[0][1] == found[1][1]
        assert row.own * row.n_tokens == pytest.approx(found[0][0], abs=1e-3)
        assert row.other * row.n_tokens == pytest.approx(found[1][0], abs=1e-3)
        assert row.reliance == pytest.approx((found[0][0] - found[1][0]) / row.n_tokens, abs=1e-4)
    assert max(abs(row.reliance) for row in rows.values()) > 1e-3, "the pictures are seen"


def world_tasks(
    n_scenes: int, store: ImageStore, kinds: Sequence[str]
) -> tuple[list[JudgedTriplet], dict[str, ImageRef]]:
    """Return tasks about general pictures that the shipped model has not seen.

    Of each picture, one task per kind, which only the picture answers, and one (`read`) that a text before it
    answers: what a description in invented words said.
    """
    tasks: list[JudgedTriplet] = []
    images: dict[str, ImageRef] = {}
    for index in range(n_scenes):
        scene, pair = scene_of(10**9 + index, test=True), f"p{index}"
        rng = random.Random(f"reliance/{index}")
        images[pair] = store.add(drawn_png(draw(scene, pair)))

        def add(kind: str, question: str, informative: str, precise: str, *, pair: str = pair) -> None:
            own = kind in ("told", "read")
            name = f"{pair}/{kind}"
            tasks.append(
                task(name, pair, precise, instruction=question, informative=informative, kind=kind,
                     reply_id=f"{pair}/text" if own else name, turn=int(kind == "read"))
            )  # fmt: skip

        asker = Asker(scene, DOMAINS[scene.domain].lexicon, rng)
        for kind in kinds:
            if (asked := asker.task(kind)) is not None:
                add(kind, asked.question, asked.informative, asked.precise)
        text, lexicon, stated = captioned(scene, rng, coined=True)
        asked = Asker(scene, lexicon, rng, stated=stated).task("object")
        if asked is not None:
            add("told", CAPTION_QUESTION, text, "")
            add("read", asked.question, asked.informative, asked.precise)
    return tasks, images


def by_kind(rows: dict[str, TaskReliance]) -> dict[str, float]:
    kinds = {row.kind for row in rows.values()}
    return {kind: mean(row.reliance for row in rows.values() if row.kind == kind) for kind in kinds}


def lab_engine(store: ImageStore) -> Engine:
    spec = EngineSpec(model=str(GENERAL_MLLM))
    return open_engine(spec, store, EngineExecution(device="cpu"))


def test_the_shipped_model_needs_the_picture_for_colours_and_counts_not_for_what_was_told(
    tmp_path: Path,
) -> None:
    store = ImageStore(tmp_path)
    tasks, images = world_tasks(6, store, ("colour", "count"))
    engine = lab_engine(store)
    rows, rejections = measured(tasks, images, engine, store, donors=1)
    found = by_kind(rows)
    assert len(rejections) == 6, "the descriptions have no precise answer"
    assert min(found["colour"], found["count"]) > found["read"] + 2.0, found
    assert abs(found["read"]) < 0.5, found
    names = list(images)
    swapped = {name: images[names[index - 1]] for index, name in enumerate(names)}
    wrong, _ = measured(tasks, swapped, engine, store, donors=1)
    own, other = (mean(row.reliance for row in each.values()) for each in (rows, wrong))
    assert own > other + 2.0


@pytest.mark.slow
def test_pictures_dealt_out_wrongly_leave_no_reliance_and_blank_ones_tell_the_same(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    kinds = ("object", "colour", "mark", "where", "count", "exist", "reverse", "list")
    tasks, images = world_tasks(40, store, kinds)
    engine = lab_engine(store)
    names = list(images)
    swapped = {name: images[names[(index + 7) % len(names)]] for index, name in enumerate(names)}
    tables: dict[str, Any] = {}
    low: dict[str, frozenset[str]] = {}
    for title, shown, config in (
        ("own, 1 donor", images, {"donors": 1}),
        ("own", images, {}),
        ("wrong", swapped, {}),
        ("blank", images, {"against": "blank"}),
        ("text_only", images, {"against": "text_only"}),
    ):
        rows, _ = measured(tasks, shown, engine, store, **config)
        tables[title] = distribution(list(rows.values()), {}, None).groups
        low[title] = below(rows.values(), 0.1)
        lines = distribution(list(rows.values()), {}, 0.1).lines()
        sys.stdout.write("\n".join([f"\n{title}, {len(rows)} tasks", *lines, ""]))
    for title in ("own, 1 donor", "own", "blank", "text_only"):
        read = tables[title]["kind read"]
        assert abs(read.mean) < 0.3
        assert min(tables[title][f"kind {kind}"].low for kind in kinds) > max(0.3, read.high)
    assert tables["wrong"]["all"].low < 0.0 < tables["wrong"]["all"].high
    assert tables["wrong"]["all"].high < tables["own"]["all"].low

    def share_below(title: str, *, seeing: bool) -> float:
        kind_of = {each.id: each.kind for each in tasks if each.precise}
        chosen = [name for name, kind in kind_of.items() if (kind != "read") == seeing]
        return sum(name in low[title] for name in chosen) / len(chosen)

    sys.stdout.write(
        "below 0.1: "
        + "; ".join(
            f"{title}: {share_below(title, seeing=True):.1%} of those about the picture, "
            f"{share_below(title, seeing=False):.1%} of those told"
            for title in low
        )
        + "\n"
    )
    assert share_below("own", seeing=True) < 0.1 < 0.9 < share_below("own", seeing=False)
    assert share_below("own", seeing=True) < share_below("own, 1 donor", seeing=True)


# The line


def choosing(request: ChoiceRequest) -> Sequence[float]:
    if len(request.choices) == 3:
        return verdict(request)
    shown = Listening.shown(request)
    return [LOG_HALF * (1 + int(shown.sha256[:4], 16) % 50)] if shown else [-1.0]


def scoring_engine(folder: Path, choose: Any = choosing) -> Engine:
    return FakeEngine(synthetic_reply, choose, name=folder.name)


def line_of(recipe: Path, *overrides: str, **options: Any) -> Line:
    return Line(load_recipe(recipe, overrides), recipe.parent, **{"substitute": scoring_engine, **options})


def test_without_the_part_no_step_says_a_word_of_it(tmp_path: Path) -> None:
    line = line_of(write_line(tmp_path))
    assert not any("reliance" in name for name in line.steps)
    for step in line.steps.values():
        assert "reliance" not in json.dumps(dict(step.config))
    assert set(line.steps["curate"].config) == {
        "method", "prompt", "self_consistency", "threshold", "margin", "part"
    }  # fmt: skip
    assert set(line.steps["compose"].inputs) == {"pairs", "judged"}


def test_measuring_alone_changes_no_other_step_and_a_floor_changes_what_is_composed(tmp_path: Path) -> None:
    recipe = write_line(tmp_path)
    plain = line_of(recipe)
    measured, floored = line_of(recipe, "curate.reliance={}"), line_of(recipe, "curate.reliance.floor=0.5")
    for name, step in plain.steps.items():
        assert fingerprint(step) == fingerprint(measured.steps[name]), name
    changed = {
        name for name in plain.steps if fingerprint(plain.steps[name]) != fingerprint(floored.steps[name])
    }
    assert changed == {"compose", "train", "evaluate-adapted"}
    assert fingerprint(measured.steps["reliance"]) == fingerprint(floored.steps["reliance"])
    assert "reliance" in measured.needed(), "a whole run measures"
    one, other = (
        line_of(recipe, f"curate.reliance.{each}") for each in ("against=blank", "answer=informative")
    )
    digests = {fingerprint(line.steps["reliance"]) for line in (measured, one, other)}
    assert len(digests) == 3
    blank = line_of(recipe, "curate.reliance={against: blank, seed: 4}")
    assert fingerprint(blank.steps["reliance"]) == fingerprint(one.steps["reliance"]), "no donor is drawn"


def test_every_judged_task_has_a_measure_and_low_ones_are_rejected_by_compose(tmp_path: Path) -> None:
    recipe = write_line(tmp_path, n=40)
    keep = "compose.keep=[consistent, inconsistent, open]"
    line = line_of(recipe, keep, "curate.reliance.floor=0.0")
    homes = line.build(["compose"])
    rows = list(read_records(homes["reliance"] / "reliance.parquet", TaskReliance))
    judged = list(read_records(homes["curate"] / "judged.parquet", JudgedTriplet))
    assert [row.id for row in rows] == sorted(each.id for each in judged)
    low = {row.id for row in rows if row.reliance < 0.0}
    assert 0 < len(low) < len(rows), "the fake engine gives some of both"
    rejections = list(read_records(homes["compose"] / "rejections.parquet", Rejection))
    assert {each.id for each in rejections if each.reason == "low_visual_reliance"} == low
    used = {
        source
        for each in read_records(homes["compose"] / "conversations.parquet", Conversation)
        for source in each.sources
    }
    assert {each.id for each in judged} == low | (used & {each.id for each in judged})
    name = min(low)
    found = {each["in"]: each for each in find(line.root, name, 10)}
    assert found["reliance/reliance"]["reliance"] < 0.0
    assert found["compose/rejections"]["reason"] == "low_visual_reliance"


def test_generators_of_one_answer_are_measured_by_that_answer_only(tmp_path: Path) -> None:
    recipe = write_line(tmp_path, synthesize={"generator": "rules", "model": "base"})
    with pytest.raises(RecipeError, match=r"generator rules writes one answer.*set curate\.reliance\.answer"):
        line_of(recipe, "curate.reliance={}")
    homes = line_of(recipe, "curate.reliance={answer: informative, floor: -1000.0}").build(["compose"])
    record = json.loads((homes["reliance"] / artifacts.RECORD).read_text())
    assert record["counts"]["inputs"] == record["counts"]["outputs"] > 0
    assert (
        "low_visual_reliance"
        not in json.loads((homes["compose"] / artifacts.RECORD).read_text())["rejections"]
    )


def test_general_tasks_are_measured_and_rejected_as_the_pairs_own(tmp_path: Path) -> None:
    recipe = write_line(tmp_path)
    rows = [
        {"id": f"s{i}", "image": f"p{i}.png", "caption": "c", "instruction": f"How many {i}?",
         "informative": "There are two.", "precise": "two" if i else " . "}
        for i in range(4)
    ]  # fmt: skip
    (tmp_path / "seeds.json").write_text(json.dumps(rows))
    general = ["general={source: seeds.json, image_root: images}", "compose.tasks=general"]
    keep = "compose.keep=[consistent, inconsistent, open, unjudged]"
    homes = line_of(recipe, *general, keep, "curate.reliance.floor=1000.0").build(["compose"])
    assert "reliance" not in homes, "the pairs' own tasks are no part of this mixture"
    found = list(read_records(homes["reliance-general"] / "reliance.parquet", TaskReliance))
    lost = list(read_records(homes["reliance-general"] / "rejections.parquet", Rejection))
    judged = list(read_records(homes["curate-general"] / "judged.parquet", JudgedTriplet))
    assert {row.id for row in found} | {each.id for each in lost} == {each.id for each in judged}
    record = json.loads((homes["compose"] / artifacts.RECORD).read_text())
    assert record["rejections"]["low_visual_reliance"] == len(found) > 0


def test_a_lost_measure_is_rebuilt_from_the_log(tmp_path: Path) -> None:
    recipe = write_line(tmp_path)
    before = line_of(recipe, "curate.reliance={}").build(["reliance"])["reliance"]
    data = (before / "reliance.parquet").read_bytes()
    shutil.rmtree(before)

    def mute(folder: Path) -> Engine:
        return FakeEngine(synthetic_reply, name=folder.name)

    after = line_of(recipe, "curate.reliance={}", substitute=mute).build(["reliance"])["reliance"]
    assert (after / "reliance.parquet").read_bytes() == data


def test_the_tuned_synthesizer_may_measure_where_one_is_tuned(tmp_path: Path) -> None:
    recipe = write_line(tmp_path)
    with pytest.raises(RecipeError, match=r"curate\.reliance\.model is `tuned`.*tunes no synthesizer"):
        line_of(recipe, "curate.reliance.model=tuned")
    rows = [
        {"id": "s", "image": "p0.png", "caption": "c", "instruction": "q", "informative": "i", "precise": "p"}
    ]
    (tmp_path / "seeds.json").write_text(json.dumps(rows))
    tuned = "synthesizer={model: base, seeds: {source: seeds.json, image_root: images}}"
    line = line_of(recipe, "synthesize.model=tuned", tuned, "curate.reliance.model=tuned")
    assert line.steps["reliance"].inputs["model"] is line.steps["tune-synthesizer"]


@pytest.mark.parametrize(
    ("value", "refused"),
    [
        ("openai:x@http://127.0.0.1:1/v1", True),
        ("{model: x, base_url: 'http://127.0.0.1:1/v1', log_probabilities: none}", True),
        ("{model: x, base_url: 'http://127.0.0.1:1/v1', log_probabilities: prompt}", False),
    ],
)
def test_a_server_that_cannot_score_answers_is_refused_before_anything_runs(
    tmp_path: Path, value: str, refused: bool
) -> None:
    recipe = write_line(tmp_path)
    if not refused:
        assert "reliance" in line_of(recipe, f"curate.reliance.model={value}").steps
        return
    with pytest.raises(RecipeError, match=r"curate\.reliance\.model: .*log_probabilities: prompt"):
        line_of(recipe, f"curate.reliance.model={value}")
    assert not (tmp_path / "run" / "artifacts").exists()


@pytest.mark.parametrize(
    "values",
    [{"floor": math.nan}, {"donors": 0}, {"against": "noise"}, {"answer": "both"}, {"keep_share": 0.5}],
)
def test_impossible_settings_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RelianceConfig.model_validate(values)


def test_the_plan_counts_what_will_be_asked(tmp_path: Path) -> None:
    line = line_of(write_line(tmp_path), "curate.reliance.donors=2")
    home = line.build(["curate"])["curate"]
    n = len(list(read_records(home / "judged.parquet", JudgedTriplet)))
    [row] = estimate(line, wanted={"reliance"})
    assert row.work == f"{3 * n} requests"
    tasks = [task("a", "p0"), task("b", "p1", precise="")]
    [request] = planned(tasks, pictures(2), RelianceConfig())
    assert (request.messages[0].images, request.choices) == ((image(0),), ("two cells",))


def test_a_run_is_measured_beside_its_own_recipe(tmp_path: Path) -> None:
    recipe = write_line(tmp_path)
    own = line_of(recipe)
    own.build(["curate"])
    shown = (own.root / "recipe.yaml").read_text()
    line = Line(with_reliance(own.recipe), tmp_path, substitute=scoring_engine)
    [(name, (file, found))] = measure_reliance(line, aside=True).items()
    assert (name, file.name, file.is_file()) == ("reliance", "reliance.parquet", True)
    assert found.groups["all"].n == len(list(read_records(file, TaskReliance)))
    assert (own.root / "recipe.yaml").read_text() == shown
    asking = line_of(recipe, "curate.reliance.against=blank").recipe
    assert with_reliance(asking) is asking


def test_the_command_prints_the_distribution_and_writes_the_measures(tmp_path: Path, tiny: Path) -> None:
    recipe = cli_line(
        tmp_path, tiny, 6,
        synthesize={"generator": "rules"}, curate={"judge": "none", "reliance": {"answer": "informative"}},
    )  # fmt: skip
    done = acclimate("curate", recipe, "--reliance", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)["reliance"]
    rows = list(read_records(Path(told["file"]), TaskReliance))
    assert told["groups"]["all"]["n"] == len(rows) > 0
    assert told["groups"]["all"]["mean"] == pytest.approx(mean(row.reliance for row in rows))


def test_measures_beside_the_line_are_asked_for_one_at_a_time(tmp_path: Path) -> None:
    done = acclimate("curate", "recipe.yaml", "--reliance", "--quality", cwd=tmp_path)
    check_message(done, 2, "--reliance", "one at a time")
