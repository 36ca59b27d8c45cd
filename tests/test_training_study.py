"""The study of training: shares of a gain, how claims stand, its arms, and the whole of it on tiny models."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from acclimate.artifacts import fingerprint
from acclimate.errors import RecipeError
from acclimate.evaluate.load import load_benchmark
from acclimate.evaluate.stage import primary_by_benchmark
from acclimate.files import ImageStore, read_json
from acclimate.ingest.conversations import ConversationSource, read_conversations
from acclimate.lab.documents import scene_of
from acclimate.lab.draw import draw
from acclimate.lab.oracle import is_right
from acclimate.lab.render import (
    scene_from,
    write_caption_benchmark,
    write_general_benchmarks,
    write_seeds,
)
from acclimate.lab.second_base import BaseSizes, write_lessons
from acclimate.lab.world import DOMAINS, TARGETS, is_test, sample_scene
from acclimate.pipeline import Line
from acclimate.recipe import load_recipe
from acclimate.records import Conversation, Score
from acclimate.studies.arms import replaced
from acclimate.studies.gains import ALL_BENCHMARKS, Marks, gain_share, spans
from acclimate.studies.training import Seed, Study, arm_values, run_study, summed_up
from acclimate.studies.training_claims import (
    ARMS,
    BASE,
    CLAIMS,
    FIRST,
    LORA,
    OTHER,
    OTHER_BASE,
    PROJECTOR,
    RECIPES,
    SINGLE,
    TABLE_4,
    TWO,
)
from acclimate.studies.training_on_recipe import Beside, prepare
from acclimate.studies.training_page import page
from tests.small_lines import BENCHMARK, write_line
from tests.small_studies import TRAIN, Told
from tests.small_studies import study as run_study_verb
from tests.tiny_models import tiny_llava, tiny_qwen3_vl

DRAWS = 200


def marks(rates: Mapping[str, float], n: int = 200, names: tuple[str, ...] = ("one", "two")) -> Marks:
    """Models that answer the first so many of every benchmark's questions right."""
    scores = [
        Score(
            f"q{at}",
            name,
            model,
            "original",
            "exact",
            float(at % 100 < round(100 * rate)),
            True,
            "",
            f"p{at}",
        )
        for model, rate in rates.items()
        for name in names
        for at in range(n)
    ]
    return Marks(tuple(scores), dict.fromkeys(names, "exact"))


# --- shares of a gain ---------------------------------------------------------------------------------


def test_a_share_is_the_ratio_of_mean_gains_with_a_paired_interval():
    seeds = [marks({"b": 0.2, "full": 0.6, "lora": 0.5}), marks({"b": 0.2, "full": 0.7, "lora": 0.5})]
    found = gain_share(seeds, "lora", "full", "b", shared=False, n_draws=2000)
    assert found is not None
    assert found.value == pytest.approx((0.3 + 0.3) / (0.4 + 0.5))
    assert found.by_seed == (pytest.approx(0.75), pytest.approx(0.6))
    assert found.low < found.value < found.high
    assert found.n == 2 * 2 * 200
    # What the two share cannot come out otherwise: questions that both got are drawn for both.
    assert found.high - found.low < 0.2


def test_equal_models_have_equal_gains_in_every_draw():
    found = gain_share([marks({"b": 0.2, "full": 0.6, "same": 0.6})], "same", "full", "b", shared=False)
    assert found is not None
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("full", [0.2, 0.1, 0.21])
def test_no_share_can_be_had_of_a_gain_that_may_be_none(full: float):
    assert (
        gain_share([marks({"b": 0.2, "full": full, "lora": 0.3})], "lora", "full", "b", shared=False) is None
    )


def test_values_and_differences_are_of_benchmarks_and_of_their_mean():
    found = spans(marks({"b": 0.2, "a": 0.6}), [("a", "b"), ("a", "nobody")], n_draws=DRAWS)
    assert found.values["a", "one"].value == pytest.approx(0.6)
    assert found.differences["a", "b", ALL_BENCHMARKS].value == pytest.approx(0.4)
    assert {(first, second) for first, second, _ in found.differences} == {("a", "b")}


# --- claims ---------------------------------------------------------------------------------------


def test_every_claim_has_the_direction_of_most_of_the_papers_cases():
    assert len({each.sentence for each in CLAIMS}) == len(CLAIMS)
    assert {claim.first for claim in CLAIMS} | {claim.second for claim in CLAIMS} == set(ARMS)
    by_pair = {(claim.subject, claim.first, claim.second): claim for claim in CLAIMS}
    # Counted by hand in Table 4.
    assert by_pair["domain", SINGLE, BASE].paper == "more in 8 of 9 rows of Table 4"
    assert by_pair["domain", TWO, BASE].paper == "more in 7 of 9 rows of Table 4"
    assert by_pair["domain", SINGLE, TWO].paper == "more in 7 of 9 rows of Table 4"
    assert by_pair["domain", OTHER, OTHER_BASE].paper == "more in 5 of 6 rows of Table 4"
    for claim in CLAIMS:
        if " against " in claim.paper:
            first, second = map(float, claim.paper.split(" against "))
            assert (first > second) is (claim.sign > 0), claim.sentence


@pytest.mark.data
def test_the_papers_numbers_are_those_of_its_tables(shared_data: Path):
    tables = json.loads((shared_data / "paper_tables" / "adamllm.json").read_text())
    own = [row for row in tables["table14"] if row["instruction"] == "synthesizer"]
    by_case = {(row["model"], row["source"], row["pipeline"]): row for row in own}
    untouched = {
        (each["model"], table): sum(each["scores"].values()) / len(each["scores"])
        for table in ("table2", "table3")
        for each in tables[table]
    }
    for model, rows in TABLE_4.items():
        for source, (before, two, single) in rows.items():
            assert two == by_case[model, source, "two-stage"]["average_printed"]
            assert single == by_case[model, source, "single-stage"]["average_printed"]
            table = "table3" if source == "Recipe1M" else "table2"
            assert before == pytest.approx(untouched[model, table], abs=0.051)
    base = next(row for row in tables["table3"] if row["model"] == "LLaVA-v1.6-8B")
    assert RECIPES[BASE] == base["scores"]["recipe1m"]
    for arm, pipeline in ((TWO, "two-stage"), (SINGLE, "single-stage")):
        assert RECIPES[arm] == by_case["LLaVA-v1.6-8B", "Recipe1M", pipeline]["scores"]["recipe1m"]


# --- the tables -----------------------------------------------------------------------------------

DOMAIN = {
    BASE: 0.2, SINGLE: 0.6, TWO: 0.5, FIRST: 0.3, LORA: 0.55, PROJECTOR: 0.3, OTHER_BASE: 0.1, OTHER: 0.4,
}  # fmt: skip
CAPTIONS = {**DOMAIN, SINGLE: 0.7, TWO: 0.3, FIRST: 0.7}
GENERAL = {**dict.fromkeys(ARMS, 0.9), SINGLE: 0.5, LORA: 0.7}


def seed_of(shift: float = 0.0, *, without: tuple[str, ...] = ()) -> Seed:
    def shown(rates: Mapping[str, float], name: str) -> Marks:
        kept = {arm: rate + shift * (arm != BASE) for arm, rate in rates.items() if arm not in without}
        return marks(kept, names=(f"{name}_open", f"{name}_closed"))

    tokens = {arm: 1000 for arm in ARMS if arm not in (*without, BASE, OTHER_BASE)}
    subjects = {"domain": DOMAIN, "captions": CAPTIONS, "general": GENERAL}
    return Seed({name: shown(rates, name) for name, rates in subjects.items()}, tokens)  # type: ignore[misc]


def study_of(*seeds: Seed) -> Study:
    return summed_up(tuple(range(len(seeds))), seeds, n_draws=DRAWS)


def test_tables_and_claims_follow_from_the_scores():
    study = study_of(seed_of(), seed_of(0.02))
    assert list(study.scores) == list(ARMS)
    assert study.scores[SINGLE]["domain"].value == pytest.approx(0.61)
    assert study.scores[SINGLE]["domain_open"].by_seed == (pytest.approx(0.6), pytest.approx(0.62))
    assert study.changes[SINGLE]["general"].value == pytest.approx(-0.39), "forgotten"
    assert study.changes[OTHER]["domain"].value == pytest.approx(0.3), "against its own base"
    assert BASE not in study.changes
    assert study.shares[LORA].value == pytest.approx((0.35 + 0.37) / (0.4 + 0.42))
    stands = {each.claim.sentence: each.standing for each in study.claims}
    assert stands["single stage scores more than two stages on the domain"] == "supported"
    assert stands["two stages scores less than after the first stage on captions"] == "supported"
    assert stands["LoRA reaches at least 0.7 of the gain of single stage on the domain"] == "supported"
    assert stands["projector only scores less than single stage on the domain"] == "supported"
    assert stands["LoRA scores more than single stage on general skills"] == "supported"
    assert stands["second base, adapted scores more than second base on the domain"] == "supported"
    assert set(stands.values()) == {"supported"}


def test_claims_turn_with_the_scores():
    worse = seed_of()
    turned = {**DOMAIN, SINGLE: DOMAIN[TWO], TWO: DOMAIN[SINGLE], LORA: 0.3}
    other = Seed(
        {**worse.marks, "domain": marks(turned, names=("domain_open", "domain_closed"))}, worse.tokens
    )
    stands = {each.claim.sentence: each.standing for each in study_of(other).claims}
    assert stands["single stage scores more than two stages on the domain"] == "refuted"
    assert stands["LoRA reaches at least 0.7 of the gain of single stage on the domain"] == "refuted"
    mixed = {each.claim.sentence: each.standing for each in study_of(worse, other).claims}
    assert mixed["single stage scores more than two stages on the domain"] == "open"


def test_what_nobody_asked_about_is_not_measured():
    seed = seed_of(without=(OTHER, OTHER_BASE))
    few = Seed({"domain": seed.marks["domain"]}, seed.tokens)
    study = study_of(few)
    assert set(study.scores) == set(ARMS) - {OTHER, OTHER_BASE}
    missing = {each.claim.subject for each in study.claims if each.standing == "not measured"}
    assert missing == {"captions", "general", "domain"}
    assert all(each.found is None for each in study.claims if each.standing == "not measured")
    assert "| second base" not in page(study, []).split("## Claims")[0]


def test_the_page_and_the_json_say_the_same():
    study = study_of(seed_of(), seed_of(0.02))
    text, data = page(study, ["A note."]), json.loads(json.dumps(study.to_json()))
    assert "A note." in text
    assert "61.0 (" in text
    assert "-39.0 (" in text, "forgotten general skills"
    assert data["scores"][SINGLE]["domain"]["value"] == pytest.approx(0.61)
    assert data["shares_of_gain"][LORA]["by_seed"] == pytest.approx([0.35 / 0.4, 0.37 / 0.42])
    assert data["trained_tokens"][LORA] == [1000, 1000]
    for each, row in zip(study.claims, data["claims"], strict=True):
        assert each.claim.sentence in text
        assert row["standing"] == each.standing
    for number in ("42.0", "29.0", "25.3", "16.2"):
        assert number in text, "the paper's own number stands beside ours"


# --- the lab's questions --------------------------------------------------------------------------


def test_general_questions_are_of_the_test_side_and_their_answers_right(tmp_path: Path):
    files = write_general_benchmarks(tmp_path, 24, 5)
    assert [path.stem for path in files] == [
        "general_closed", "general_open", "general_choice", "general_multi_label",
    ]  # fmt: skip
    domains = [each for each in DOMAINS.values() if not each.target]
    shown = {path.stem for path in (tmp_path / "images").glob("*.png")}
    for path in files:
        spec, rows = yaml.safe_load(path.read_text()), read_json(path.with_suffix(".json"))
        for at, row in enumerate(rows):
            domain = domains[at % len(domains)]
            scene = sample_scene(domain, f"general-benchmark/5/{at}", test=True)
            assert is_test(scene)
            assert Path(row["image"]).stem in shown
            said = ", ".join(row["answer"]) if isinstance(row["answer"], list) else row["answer"]
            question = row["question"].split("\nChoose from")[0]
            assert is_right(scene, question, said), (question, said)
            if spec["kind"] == "multi_label":
                assert set(row["answer"]) <= set(spec["labels"])
                assert all(name in row["question"].split("Choose from")[1] for name in row["answer"])
            if spec["kind"] == "choice":
                assert row["answer"] in row["choices"]
    seeds = write_seeds(tmp_path / "seeds", 40, 5)
    assert not any(is_test(scene_from(each["scene"])) for each in seeds.values())


def test_captions_are_asked_for_and_marked_as_captions(tmp_path: Path):
    path = write_caption_benchmark(tmp_path, DOMAINS["cells"], 6, 5)
    found = load_benchmark(path, ImageStore(tmp_path / "store"))
    assert not found.rejections
    assert primary_by_benchmark(found.items) == {"cells_captions": "rouge_l_strict"}
    assert all("smear" in item.gold[0] for item in found.items)


def test_the_second_base_learns_from_files_that_any_user_could_bring(tmp_path: Path):
    write_lessons(tmp_path, BaseSizes(captions=12, lessons=30))
    store = ImageStore(tmp_path / "store")
    for name, n, rounds in (("captions", 12, {1}), ("lessons", 30, {2, 8})):
        source = ConversationSource(source=f"{name}.json", image_root="images", images="copy")
        found = list(read_conversations([source], store=store, base=tmp_path))
        told = [each for each in found if isinstance(each, Conversation)]
        assert len(told) == len(found) == n
        assert {sum(turn.trained for turn in each.turns) for each in told} == rounds
        targets = {word for domain in TARGETS for word in domain.lexicon.forms}
        assert not any(word in turn.text for each in told for turn in each.turns for word in targets)


def test_the_encoder_reads_pictures_as_it_was_taught_to(tmp_path: Path):
    from acclimate.lab.clip_tower import train_tower
    from acclimate.train.parts import open_vision

    losses = train_tower(tmp_path / "tower", tmp_path, steps=3, n_pictures=8, rows=8)
    assert losses[-1] < losses[0]
    part = open_vision(tmp_path / "tower")
    picture = draw(scene_of(3, test=False), "shown")
    made = part.image_processor([picture], return_tensors="np")["pixel_values"][0]
    taught = np.asarray(picture, dtype=np.float32).transpose(2, 0, 1) / 127.5 - 1
    assert np.abs(made - taught).max() < 1e-5
    assert part.licence == "apache-2.0"


# --- the arms ---------------------------------------------------------------------------------------


def own_recipe(folder: Path, **parts: Mapping[str, Any]) -> Path:
    """Write a recipe on tiny models, its tasks by rules, with a benchmark of general skills beside it."""
    tiny_qwen3_vl(folder / "first")
    path = write_line(
        folder,
        n=8,
        synthesize={"generator": "rules"},
        curate={"judge": "none"},
        train={"model": "first", **TRAIN},
        **parts,
    )
    (folder / "apart.yaml").write_text(yaml.safe_dump({**BENCHMARK, "name": "apart"}))
    return path


def test_arms_share_all_but_their_training_and_another_base_changes_no_task(tmp_path: Path):
    recipe = load_recipe(own_recipe(tmp_path), ["train.first_stage={epochs: 2}", "compose.mixture=two_stage"])
    recipe = recipe.model_copy(update={"curate": recipe.curate.model_copy(update={"judge": "base"})})
    second = str(tiny_llava(tmp_path / "second"))
    setting = prepare(recipe, tmp_path, 4, run_dir=tmp_path / "out", beside=Beside(second=second))
    values = arm_values(setting)
    lines = {arm: Line(replaced(setting.recipe, each), tmp_path) for arm, each in values.items()}
    assert set(lines) == {SINGLE, TWO, LORA, PROJECTOR, OTHER}
    assert len({fingerprint(line.steps["curate"]) for line in lines.values()}) == 1
    composed = {arm: fingerprint(line.steps["compose"]) for arm, line in lines.items()}
    assert len(set(composed.values())) == 2
    assert composed[OTHER] == composed[SINGLE] != composed[TWO]
    assert len({fingerprint(line.steps["train"]) for line in lines.values()}) == len(lines)
    assert {line.root for line in lines.values()} == {tmp_path / "out"}
    assert all(line.recipe.train.seed == 4 for line in lines.values())
    two = lines[TWO].recipe.train
    assert (two.of_stage(1).epochs, two.of_stage(2).epochs) == (2, 1)
    assert lines[LORA].recipe.train.learning_rate == pytest.approx(10 * TRAIN["learning_rate"])
    assert lines[PROJECTOR].recipe.train.freeze == ("vision", "language")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data.pop("ingest"), "image-caption pairs"),
        (
            lambda data: data.update(conversations=[{"source": "pairs.json", "stage": 2}], compose=TWO_STAGE),
            "stage 2",
        ),
    ],
)
def test_a_recipe_that_cannot_have_the_arms_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], said: str
):
    path = own_recipe(tmp_path)
    data = yaml.safe_load(path.read_text())
    change(data)
    if "ingest" not in data:
        data = {"conversations": [{"source": "pairs.json"}], "train": data["train"]}
    path.write_text(yaml.safe_dump(data))
    beside = Beside()
    with pytest.raises(RecipeError, match=said):
        run_study(
            [0],
            lambda seed: prepare(load_recipe(path), tmp_path, seed, run_dir=tmp_path / "o", beside=beside),
        )


TWO_STAGE = {"mixture": "two_stage"}


def test_a_benchmark_has_one_place(tmp_path: Path):
    path = own_recipe(tmp_path)
    beside = Beside(general=[tmp_path / "small.yaml"])
    with pytest.raises(RecipeError, match="small is named twice"):
        run_study(
            [0],
            lambda seed: prepare(load_recipe(path), tmp_path, seed, run_dir=tmp_path / "o", beside=beside),
        )


# --- the whole ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_study_of_a_users_recipe_goes_on_where_it_stopped(tmp_path: Path):
    path = own_recipe(tmp_path)
    beside = Beside(general=[tmp_path / "apart.yaml"], second=str(tiny_llava(tmp_path / "second")))

    def study(told: Told) -> Study:
        return run_study(
            [0],
            lambda seed: prepare(load_recipe(path), tmp_path, seed, run_dir=tmp_path / "out", beside=beside),
            progress=told,
            n_draws=DRAWS,
        )

    first, told = study(Told()), Told()
    assert set(first.scores) == set(ARMS)
    assert {name for row in first.scores.values() for name in row} == {"domain", "small", "general", "apart"}
    assert set(first.tokens) == set(ARMS) - {BASE, OTHER_BASE}
    assert first.tokens[TWO][0] > first.tokens[FIRST][0] > 0
    removed = min((tmp_path / "out" / "artifacts" / "train").glob("*/record.json"))
    assert study(told).to_json() == first.to_json()
    assert not told.built, "everything was there"
    removed.unlink()
    again = Told()
    assert study(again).to_json() == first.to_json()
    assert [step.split(": ")[1] for step in again.built] == ["train"], "answers to unchanged weights stand"


acclimate = partial(run_study_verb, "training")


def test_a_dry_run_on_the_lab_says_what_the_study_takes_and_writes_nothing(tmp_path: Path):
    with_second, without = (
        acclimate("--dry-run", "--json", *more, cwd=tmp_path) for more in ([], ["--without-second-base"])
    )
    assert with_second.returncode == 0, with_second.stderr
    plan, other = (
        {row["step"]: row for row in json.loads(each.stdout)["plan"]} for each in (with_second, without)
    )
    assert plan["second base"]["seconds"] > 0
    assert "second base" not in other
    assert plan["train"]["tokens"] == pytest.approx(5 / 4 * other["train"]["tokens"], rel=0.01)
    assert not list(tmp_path.iterdir())


def test_a_dry_run_on_a_recipe_counts_what_is_asked_beside_it(tmp_path: Path):
    path = own_recipe(tmp_path)
    before = sorted(tmp_path.iterdir())
    asked = []
    for more in ([], ["--general", "apart.yaml"]):
        done = acclimate(path.name, "--dry-run", "--json", "--seeds", "7", *more, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        plan = {row["step"]: row for row in json.loads(done.stdout)["plan"]}
        asked.append(plan["evaluate-adapted"]["tokens"])
    assert asked[1] == pytest.approx(2 * asked[0])
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seeds", "1,one"], "different whole numbers"),
        (["--domain", "moons"], "no target domain"),
        (["--general", "general.yaml"], "go with a recipe"),
        (["nowhere.yaml"], "no recipe at nowhere.yaml"),
    ],
)
def test_what_the_study_cannot_use_is_named(tmp_path: Path, arguments: list[str], said: str):
    done = acclimate(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.slow
def test_the_study_runs_on_the_lab_with_a_second_base(tmp_path: Path):
    few = ["train.max_steps=1", "train.check_reload=false", "--limit", 24, "--seeds", 3, "--json"]
    done = acclimate(*few, "curate.judge=none", "synthesize.generator=rules", "--yes", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert data["limit"] == 24
    assert set(data["scores"]) == set(ARMS)
    assert set(data["scores"][OTHER]) >= {"domain", "captions", "general", "cells_open", "general_open"}
    assert len(data["claims"]) == len(CLAIMS)
    folder = tmp_path / "acclimate-training" / "second-base" / "run" / "artifacts" / "train"
    config = read_json(next(folder.glob("*/checkpoint/config.json")))
    assert config["model_type"] == "llava"
    assert "Test only" in (tmp_path / "acclimate-training" / "study.md").read_text()
