"""The reliance study: its answer, its measures on made-up models, the lab's oracle, and the whole of it."""

import itertools
import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from acclimate.artifacts import fingerprint
from acclimate.compose.matched import trained_length
from acclimate.errors import BenchmarkError, RecipeError
from acclimate.files import ImageStore, read_json, read_records
from acclimate.ingest.conversations import ConversationSource, read_conversations
from acclimate.lab.authentic import write_authentic
from acclimate.lab.language import OPEN_KINDS
from acclimate.lab.oracle import is_right, read
from acclimate.lab.render import scene_from, write_world
from acclimate.lab.world import DOMAINS
from acclimate.pipeline import Line
from acclimate.recipe import load_recipe
from acclimate.records import Conversation
from acclimate.report.reliance import Reliance
from acclimate.report.reliance_rows import Row
from acclimate.studies.reliance import (
    AUTHENTIC,
    BASE,
    NO_CAPTIONS,
    SYNTHETIC,
    TWO_STAGES,
    UNFILTERED,
    WHOLE,
    Gathered,
    Ground,
    Learned,
    Study,
    run_study,
    summed_up,
)
from acclimate.studies.reliance_answer import answer, macro, verdict
from acclimate.studies.reliance_data import authentic_step
from acclimate.studies.reliance_page import csv_text, figures, page
from tests.small_lines import llava_row, png, write_line
from tests.small_studies import TRAIN, Told
from tests.small_studies import study as run_study_verb
from tests.tiny_models import tiny_qwen2_vl, tiny_qwen3_vl

DRAWS = 400
CONDITIONS = ("original", "mismatch", "blank", "text_only")


# --- made-up models --------------------------------------------------------------------------------


def rows_of_model(model: str, benchmark: str, looks: float, blind: float, n: int = 120) -> list[Row]:
    """A model that is right by the picture on the first `looks` of questions, by the text on `blind` more."""
    found = []
    for at, condition in itertools.product(range(n), CONDITIONS):
        place = (at * 7) % n / n
        is_right = looks <= place < looks + blind or (condition == "original" and place < looks)
        found.append(
            Row(
                model=model,
                item=f"q{at}",
                benchmark=benchmark,
                condition=condition,
                replicate=0,
                s=float(is_right),
                y=f"{at}" if is_right else f"wrong under {condition}",
                valid=True,
                cluster=f"p{at}",
                chance=0.0,
                kind="open",
                gold=f"{at}",
                image=f"{condition}-{at}",
            )
        )
    return found


def gathered(
    looks: Mapping[str, tuple[float, ...]],
    *,
    name: str = "one",
    tokens: Mapping[str, int] | None = None,
    reference: str = SYNTHETIC,
) -> Gathered:
    """One ground of two benchmarks; per arm the share that each seed answers by the picture."""
    names = [f"{name}_{each}" for each in "ab"]
    rows = [row for each in names for row in rows_of_model(BASE, each, 0.05, 0.2)]
    learned = []
    for arm, shares in looks.items():
        for seed, share in enumerate(shares):
            rows += [row for each in names for row in rows_of_model(f"{arm}-{seed}", each, share, 0.25)]
            learned.append(Learned(name, arm, seed, 100, 90, 13, (tokens or {}).get(arm, 5000)))
    left_out = {SYNTHETIC: 0, AUTHENTIC: 0}
    return Gathered(
        name, tuple(rows), {}, dict.fromkeys(names, "exact"), tuple(learned), left_out, 90, reference
    )


def study(found: Gathered | list[Gathered], n_seeds: int = 3) -> Study:
    every = found if isinstance(found, list) else [found]
    return summed_up(tuple(range(n_seeds)), every, n_draws=DRAWS)


LESS = {SYNTHETIC: (0.20, 0.22, 0.21), AUTHENTIC: (0.50, 0.52, 0.48)}


def test_a_side_that_looks_less_is_found_to_look_less():
    found = study(gathered(LESS))
    difference = macro(found.measured, "synthetic-authentic", "dVRS")
    assert difference is not None
    assert difference.value == pytest.approx(0.21 - 0.50, abs=0.01)
    assert difference.n_seeds == 3 and difference.high < 0
    text = answer(found)
    assert "relies on the picture less" in text[0] and "3 seeds a side" in text[0]
    assert "in favour of authentic" in text[1]
    other_way = study(gathered({SYNTHETIC: LESS[AUTHENTIC], AUTHENTIC: LESS[SYNTHETIC]}))
    assert "relies on the picture more" in answer(other_way)[0]


def test_equal_sides_give_no_difference_and_what_would_have_been_found():
    found = study(gathered({SYNTHETIC: (0.3, 0.4, 0.35), AUTHENTIC: (0.36, 0.31, 0.38)}))
    text = answer(found)[0]
    assert text.startswith("**No difference in visual reliance was found")
    difference = macro(found.measured, "synthetic-authentic", "dVRS")
    assert difference is not None and difference.low < 0 < difference.high
    assert f"difference of {100 * difference.mde:.1f} points would have been found" in text


def test_seeds_that_differ_widen_the_interval():
    wide = {SYNTHETIC: (0.1, 0.5, 0.3), AUTHENTIC: (0.3, 0.3, 0.3)}
    narrow = {SYNTHETIC: (0.3, 0.3, 0.3), AUTHENTIC: (0.3, 0.3, 0.3)}
    widths = []
    for looks in (wide, narrow):
        found = macro(study(gathered(looks)).measured, "synthetic-authentic", "dVRS")
        assert found is not None
        widths.append(found.half_width)
    assert widths[0] > 3 * widths[1] + 0.05


def test_unequal_tokens_are_said_and_equal_ones_are_not():
    apart = study(gathered(LESS, tokens={SYNTHETIC: 6000, AUTHENTIC: 5000}))
    assert apart.token_ratio() == pytest.approx(1.2)
    assert "tokens are not matched" in answer(apart)[-1]
    assert "tokens are not matched" not in answer(study(gathered(LESS)))[-1]


def test_designs_are_told_against_the_reference():
    looks = {
        **LESS,
        UNFILTERED: (0.60, 0.61, 0.62),
        TWO_STAGES: (0.21, 0.20, 0.22),
        NO_CAPTIONS: (0.05, 0.05, 0.05),
    }
    text = "\n".join(answer(study(gathered(looks))))
    assert "Leaving out the filter raises reliance: +40" in text
    assert "Training in two stages changes reliance by" in text
    assert "Leaving captions out of the mixture lowers reliance" in text
    against_whole = gathered({**LESS, WHOLE: (0.6, 0.6, 0.6), UNFILTERED: (0.6, 0.6, 0.6)}, reference=WHOLE)
    found = macro(study(against_whole).measured, f"{UNFILTERED}-{WHOLE}", "dVRS")
    assert found is not None and found.value == 0.0


def test_two_grounds_are_one_result_and_one_each():
    second = {SYNTHETIC: (0.5, 0.5, 0.5), AUTHENTIC: (0.5, 0.5, 0.5)}
    found = study([gathered(LESS, name="one"), gathered(second, name="two")])
    whole = macro(found.measured, "synthetic-authentic", "dVRS")
    each = [macro(found.by_ground[name], "synthetic-authentic", "dVRS") for name in ("one", "two")]
    assert whole is not None and each[0] is not None and each[1] is not None
    assert whole.value == pytest.approx((each[0].value + each[1].value) / 2)
    with pytest.raises(BenchmarkError, match="two recipes have a benchmark called one_a"):
        study([gathered(LESS), gathered(LESS)])


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.1, 0.3, "more"),
        (-0.3, -0.1, "less"),
        (-0.1, 0.3, "no difference found"),
        (0.0, 0.2, "no difference found"),
    ],
)
def test_a_verdict_needs_the_whole_interval_on_one_side(low: float, high: float, said: str):
    value = (low + high) / 2
    row = Reliance(
        "macro", "all", "all", "", "a-b", "dVRS", value, low, high, 0.1, 0.1, "", 1, 1, "", 1, 1, 0
    )
    assert verdict(row) == said
    assert verdict(None) == "not measured"


def test_page_figures_and_numbers_say_the_same():
    found = study(gathered({**LESS, UNFILTERED: (0.3, 0.3, 0.3)}))
    text, drawn, data = page(found, ["A note."]), figures(found), json.loads(json.dumps(found.to_json()))
    assert "A note." in text and all(f"]({name})" in text for name in drawn)
    row = next(line for line in text.splitlines() if line.startswith("| synthetic - authentic"))
    value = macro(found.measured, "synthetic-authentic", "dVRS")
    assert value is not None and f"{100 * value.value:+.1f} (" in row
    told = [
        e
        for e in data["measured"]
        if (e["model"], e["measure"], e["level"]) == ("synthetic-authentic", "dVRS", "macro")
    ]
    assert value.value in [each["value"] for each in told]
    assert figures(study(gathered({**LESS, UNFILTERED: (0.3, 0.3, 0.3)}))) == drawn, (
        "same numbers, same bytes"
    )
    assert all(each.startswith("<?xml") and "nan" not in each.lower() for each in drawn.values())
    lines = csv_text(found.measured).splitlines()
    assert len(lines) == 1 + len(found.measured)


# --- the lab's oracle --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authentic(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Conversation]]:
    folder = tmp_path_factory.mktemp("authentic")
    world = folder / "world"
    write_world(world, "cells", n_seeds=2, n_pairs=30, n_questions=2, seed=5)
    file = write_authentic(world, folder, DOMAINS["cells"], 5, n_tasks=4)
    source = ConversationSource(source=str(file), image_root=str(world / "pairs" / "images"))
    read = list(read_conversations([source], store=ImageStore(folder / "store"), base=folder))
    assert all(isinstance(each, Conversation) for each in read), read[:3]
    return world, [each for each in read if isinstance(each, Conversation)]


def test_the_oracle_writes_every_picture_its_caption_and_right_answers(
    authentic: tuple[Path, list[Conversation]],
):
    world, told = authentic
    scenes = read_json(world / "oracle" / "scenes.json")
    captions = {row["conversations"][1]["value"] for row in read_json(world / "pairs" / "pairs.json")}
    by_picture: dict[str, list[Conversation]] = defaultdict(list)
    for each in told:
        by_picture[each.images[0].sha256].append(each)
    assert len(by_picture) == 30
    n_read = 0
    for picture, own in by_picture.items():
        scene = scene_from(scenes[picture])
        assert len(own) == 5, "its caption alone, and with each of four tasks"
        for each in own:
            texts = [turn.text for turn in each.turns]
            assert sum(text in captions for text in texts) == 1
            for asked, said in zip(texts[::2], texts[1::2], strict=True):
                question = read(scene, asked)
                if (
                    question is None or said in captions
                ):  # with an instruction on how to answer, or the caption
                    continue
                n_read += 1
                assert question.kind not in OPEN_KINDS
                endings = [said[at:] for at, letter in enumerate(said) if letter in " :"]
                assert any(is_right(scene, asked, each) for each in (said, *endings)), (asked, said)
    assert n_read > 30


# --- a user's recipe ---------------------------------------------------------------------------------


def own_recipe(folder: Path, n: int = 8, **parts: Mapping[str, Any]) -> Path:
    """Write a recipe on a tiny model, its tasks by rules, and conversations that people wrote."""
    tiny_qwen3_vl(folder / "first")
    path = write_line(
        folder,
        n=n,
        synthesize={"generator": "rules"},
        curate={"judge": "none"},
        train={"model": "first", **TRAIN},
        **parts,
    )
    rows = []
    for number in range(2, n + 6):
        (folder / "images" / f"p{number}.png").write_bytes(png(number))
        rows.append(llava_row(number, f"People say that {number} is {'odd' if number % 2 else 'even'}."))
    (folder / "people.json").write_text(json.dumps(rows), encoding="utf-8")
    return path


def ground(path: Path, authentic: Any = None) -> Callable[[], Ground]:
    own = authentic or ConversationSource(source="people.json", image_root="images")
    return lambda: Ground("own", load_recipe(path, ["run_dir=out"]), path.parent, own)


@pytest.mark.slow
def test_the_study_of_a_users_recipe_matches_both_sides_and_goes_on_where_it_stopped(tmp_path: Path):
    path, told = own_recipe(tmp_path), Told()
    first = run_study([0, 1], [ground(path)], arms="all", n_draws=DRAWS)
    learned = {(each.arm, each.seed): each for each in first.learned}
    arms = {SYNTHETIC, AUTHENTIC, WHOLE, UNFILTERED, TWO_STAGES, NO_CAPTIONS}
    assert {arm for arm, _ in learned} >= arms - {WHOLE}
    sides = [learned[SYNTHETIC, 0], learned[AUTHENTIC, 0]]
    assert sides[0].conversations == sides[1].conversations > 0
    assert sides[0].images == sides[1].images
    assert sides[0].steps == sides[1].steps == 2
    assert first.grounds[0].shared_images == 6
    assert {row.model for row in first.grounds[0].rows} >= {
        BASE,
        "synthetic-0",
        "authentic-1",
        "two stages-1",
    }
    assert macro(first.measured, "synthetic-authentic", "dVRS") is not None
    again = run_study([0, 1], [ground(path)], arms="all", progress=told, n_draws=DRAWS)
    assert json.dumps(again.to_json()) == json.dumps(first.to_json())
    assert told.built == [], "everything was there"
    for record in (tmp_path / "out" / "artifacts" / "evaluate-adapted").glob("*/record.json"):
        record.unlink()
        break
    run_study([0, 1], [ground(path)], arms="all", progress=told, n_draws=DRAWS)
    assert [each.split(": ")[1] for each in told.built] == ["evaluate-adapted"]


def test_a_recipe_without_a_synthetic_side_is_refused(tmp_path: Path):
    path = own_recipe(tmp_path)
    data = yaml.safe_load(path.read_text())
    mixed = tmp_path / "mixed.yaml"
    mixed.write_text(yaml.safe_dump({**data, "conversations": [{"source": "people.json"}]}))
    with pytest.raises(RecipeError, match="leave `conversations` out"):
        run_study([0], [ground(mixed)])
    bare = tmp_path / "bare.yaml"
    bare.write_text(yaml.safe_dump({"conversations": [{"source": "people.json"}], "train": data["train"]}))
    with pytest.raises(RecipeError, match="names no pairs"):
        run_study([0], [ground(bare)])


@pytest.mark.data
def test_a_benchmarks_training_file_stands_for_people(tmp_path: Path, shared_data: Path):
    path = own_recipe(tmp_path, n=3)
    recipe = load_recipe(path, [f"evaluate.data={shared_data}", "evaluate.benchmarks=[vqa_rad]", "limit=40"])
    line = Line(recipe, tmp_path)
    step = authentic_step(("vqa_rad",), line)
    assert fingerprint(step) == fingerprint(authentic_step(("vqa_rad",), line))
    from acclimate import artifacts

    home = artifacts.build(step, line.root)
    told = list(read_records(home / "conversations.parquet", Conversation))
    assert read_json(home / "record.json")["counts"]["inputs"] == 40
    assert told[0].turns[1].trained and not told[0].turns[0].trained
    rows = read_json(shared_data / "vqa_rad" / "trainset.json")
    known = {(str(row["question"]).strip(), str(row["answer"]).strip()) for row in rows}
    said = [tuple(turn.text.strip() for turn in each.turns) for each in told]
    assert len(said) >= 38 and set(said) <= known
    assert all(trained_length(each) for each in told)


def test_a_benchmark_without_a_training_file_is_refused(tmp_path: Path):
    path = own_recipe(tmp_path, n=3)
    line = Line(load_recipe(path), tmp_path)
    with pytest.raises(RecipeError, match="names no training file"):
        authentic_step(("small.yaml",), line)


# --- the command line --------------------------------------------------------------------------------


acclimate = partial(run_study_verb, "reliance")


def test_a_dry_run_says_what_the_study_takes_and_writes_nothing(tmp_path: Path):
    plans = []
    for more in ([], ["--arms", "all"], ["--domain", "meals"]):
        done = acclimate("--scale", "lab", "--dry-run", "--json", *more, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        plans.append({row["step"]: row for row in json.loads(done.stdout)["plan"]})
    core, every, one = plans
    assert every["train"]["tokens"] == pytest.approx(5 / 2 * core["train"]["tokens"])
    assert every["tune-synthesizer"]["tokens"] == core["tune-synthesizer"]["tokens"]
    assert one["train"]["tokens"] == pytest.approx(core["train"]["tokens"] / 2, rel=0.05)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seeds", "0,0"], "different whole numbers"),
        (["--domain", "cells,moons"], "no target domain"),
        (["--authentic", "people.json"], "goes with a recipe"),
        (["recipe.yaml"], "Say what people wrote"),
        (["recipe.yaml", "--scale", "lab"], "leave the recipe out"),
        (["recipe.yaml", "--authentic", "people.json", "--domain", "cells"], "the lab's"),
        (["nowhere.yaml", "--authentic", "people.json"], "no recipe at nowhere.yaml"),
    ],
)
def test_what_the_study_cannot_use_is_named(tmp_path: Path, arguments: list[str], said: str):
    own_recipe(tmp_path, n=3)
    done = acclimate(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())


@pytest.mark.slow
def test_the_study_runs_on_the_lab(tmp_path: Path):
    few = [
        "train.max_steps=1",
        "train.check_reload=false",
        "--limit",
        8,
        "--seeds",
        "0,1",
        "--json",
        "--yes",
    ]
    done = acclimate("--scale", "lab", *few, "curate.judge=none", "synthesize.generator=rules", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert data["limit"] == 8
    assert set(data["by_ground"]) == {"cells", "meals"}
    assert {each["arm"] for each in data["learned"]} == {SYNTHETIC, AUTHENTIC}
    kinds = {each["benchmark"] for each in data["measured"] if each["level"] == "benchmark"}
    assert kinds == {
        f"{d}_{k}" for d in ("cells", "meals") for k in ("closed", "open", "choice", "multi_label")
    }
    out = tmp_path / "acclimate-reliance"
    assert "Test only" in (out / "study.md").read_text()
    names = ["conditions.svg", "difference-in-reliance.svg", "original-against-mismatch.svg", "reliance.csv"]
    assert all((out / name).stat().st_size > 1000 for name in names)
    rows = list(read_records(out / "reliance.parquet", Reliance))
    assert all(math.isnan(row.value) or row.low <= row.value <= row.high for row in rows)


@pytest.mark.slow
@pytest.mark.data
def test_the_study_runs_on_real_pairs_and_a_real_benchmark(tmp_path: Path, shared_data: Path):
    """Web pairs with tasks by rules against VQA-RAD's training questions; its test questions are asked."""
    tiny_qwen2_vl(tmp_path / "first")
    pairs = shared_data / "pairs_general"
    recipe = {
        "ingest": {"source": str(pairs / "llava_pretrain_300.json"), "image_root": str(pairs / "images")},
        "synthesize": {"generator": "rules"},
        "curate": {"judge": "none"},
        "train": {"model": "first", **TRAIN},
        "evaluate": {"benchmarks": ["vqa_rad"], "data": str(shared_data), "max_tokens": {"vqa_rad_open": 4}},
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    asked = [
        "recipe.yaml",
        "--authentic-benchmark",
        "vqa_rad",
        "--seeds",
        "0,1",
        "--limit",
        12,
        "--json",
        "--yes",
    ]
    done = acclimate(*asked, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    by_arm = defaultdict(set)
    for each in data["learned"]:
        by_arm[each["arm"]].add((each["conversations"], each["images"], each["steps"]))
    assert by_arm[SYNTHETIC] == by_arm[AUTHENTIC] and len(by_arm[SYNTHETIC]) == 1
    asked_of = {each["benchmark"] for each in data["measured"] if each["level"] == "benchmark"}
    assert asked_of <= {"vqa_rad_closed", "vqa_rad_open"} and asked_of
    assert "tokens are not matched" in (tmp_path / "acclimate-reliance" / "study.md").read_text()
