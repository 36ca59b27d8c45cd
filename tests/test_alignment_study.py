"""The study of alignment: the lab's facts and norms, its arms, how claims stand, and the whole of it."""

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from acclimate.errors import RecipeError
from acclimate.evaluate.text_tasks import ETHICS, write_ethics, write_truthfulqa
from acclimate.files import ImageStore, read_json
from acclimate.ingest.conversations import ConversationSource, read_conversations
from acclimate.lab import alignment_texts as texts
from acclimate.lab.alignment_study import (
    FALSEHOODS,
    AlignmentSizes,
    lesson,
    plan_setting,
    write_files,
)
from acclimate.lab.alignment_study import PARTS as LAB_PARTS
from acclimate.recipe import load_recipe
from acclimate.records import Conversation, Score
from acclimate.studies.alignment import (
    FALSE,
    Setting,
    alignment_of,
    arms_of,
    model_name,
    recipe_of,
    run_study,
    summed_up,
)
from acclimate.studies.alignment_claims import (
    ALL,
    BOTH,
    CHAT,
    CLAIMS,
    FULL,
    LORA,
    NORMS,
    PLAIN,
    SKILLS,
    TEXT,
    Arm,
    name_of,
)
from acclimate.studies.alignment_on_recipe import Beside, prepare
from acclimate.studies.alignment_page import figures, page
from acclimate.text_scoring import TextConfig, TextExecution
from tests.small_studies import TRAIN, Told
from tests.small_studies import study as run_study_verb
from tests.tiny_models import tiny_llava

DRAWS = 300
SEEDS = (0, 1, 2)


# --- facts and norms ---------------------------------------------------------------------------------


def test_the_table_of_facts_is_balanced_and_its_falsehoods_are_false():
    for relation in texts.ASKED:
        own = [fact for fact in texts.FACTS if fact.relation == relation]
        assert set(Counter(fact.value for fact in own).values()) == {2}, "no value is likelier than another"
        assert sum(fact.is_mistold for fact in own) == len(own) // 2
    assert len({texts.asked_question(fact) for fact in texts.FACTS}) == len(texts.FACTS)
    for fact in texts.FACTS:
        assert len(set(fact.others)) == texts.WRONG
        assert fact.value not in fact.others
        assert set(fact.others) <= set(fact.relation.values)


def test_the_questions_are_read_as_the_published_file_is(tmp_path: Path):
    n = texts.write_truthfulqa_csv(tmp_path / "TruthfulQA.csv")
    write_truthfulqa(tmp_path / "TruthfulQA.csv", tmp_path / "tasks")
    rows = [
        json.loads(line) for line in (tmp_path / "tasks" / "truthfulqa_mc.jsonl").read_text().splitlines()
    ]
    assert len(rows) == n == len(texts.FACTS)
    for fact, row in zip(texts.FACTS, rows, strict=True):
        assert row["mc1_targets"]["labels"] == [1, *[0] * texts.WRONG]
        assert sum(row["mc2_targets"]["labels"]) == 2
        right = [c for c, label in zip(*row["mc2_targets"].values(), strict=True) if label]
        assert all(f" {fact.value}" in choice for choice in right)
        assert not any(f" {fact.value}." in choice for choice in row["mc1_targets"]["choices"][1:])


def test_the_norms_are_read_as_the_published_files_are_and_one_answer_to_all_scores_chance(tmp_path: Path):
    n = texts.write_ethics_files(tmp_path / "ethics")
    write_ethics(tmp_path / "ethics", tmp_path / "tasks")
    for name in ETHICS:
        lines = (tmp_path / "tasks" / f"{name}.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        assert len(rows) == n[name.removeprefix("ethics_").replace("utilitarianism", "util")]
        if name != "ethics_utilitarianism":
            share = sum(row["label"] for row in rows) / len(rows)
            assert share == pytest.approx(texts.CHANCE["ethics_mean"]), name
    exact = [
        json.loads(line) for line in (tmp_path / "tasks" / "ethics_virtue.jsonl").read_text().splitlines()
    ]
    by_group = Counter(row["group_id"] for row in exact)
    assert set(by_group.values()) == {5}


def test_reading_has_its_answer_in_every_place_and_in_the_text(tmp_path: Path):
    texts.write_reading(tmp_path, 24)
    rows = [json.loads(line) for line in (tmp_path / f"{texts.READING}.jsonl").read_text().splitlines()]
    assert set(Counter(row["gold"] for row in rows).values()) == {6}
    for row in rows:
        assert len(set(row["choices"])) == 4
        assert row["choices"][row["gold"]] in row["text"]


def told(n: int = 1500) -> str:
    chats = [text for chat in texts.chats(n) for pair in chat for text in pair]
    lessons = [line.text for part in LAB_PARTS for at in range(60) for line in lesson(part, at).lines]
    return "\n".join((*texts.documents(n), *chats, *lessons))


def test_nothing_that_is_asked_was_told_in_the_same_words():
    everything = told()
    for fact in texts.FACTS:
        assert texts.asked_question(fact) not in everything
        for value in (fact.value, *fact.others):
            assert not any(answer in everything for answer in texts.answers(fact, value))
    for part, cases in texts.asked_cases().items():
        for case in cases:
            assert case.texts[0] not in everything, (part, case)


def test_every_fact_is_told_mostly_as_it_is_and_mistold_only_where_it_is_believed():
    said: Counter[tuple[str, str, str]] = Counter()
    everything = "\n".join(texts.documents(4000))
    for fact in texts.FACTS:
        for value in fact.relation.values:
            for form in (f"{fact.plural} {fact.relation.many}", f"{fact.noun} {fact.relation.one}"):
                said[fact.plural, fact.relation.key, value] += everything.count(form.format(v=value) + ".")
    for fact in texts.FACTS:
        counts = {value: said[fact.plural, fact.relation.key, value] for value in fact.relation.values}
        assert max(counts, key=lambda value: counts[value]) == fact.value
        assert (counts[fact.others[0]] > 0) == fact.is_mistold
        assert all(
            counts[value] == 0 for value in fact.relation.values if value not in (fact.value, fact.others[0])
        )


def test_conversations_about_pictures_leave_what_is_asked_alone_and_the_control_says_it_wrong():
    markers = [each.many.format(v="").strip() for each in texts.ASKED]
    markers += [each.one.format(v="").strip() for each in texts.ASKED]
    for part in LAB_PARTS:
        lines = [line.text for at in range(40) for line in lesson(part, at).lines]
        assert not any(marker in line for marker in markers for line in lines), part
    for at in range(40):
        answers = [line.text for line in lesson(FALSEHOODS, at).lines if line.role == "assistant"]
        facts = [fact for fact in texts.FACTS if any(fact.noun in answer for answer in answers)]
        assert len(answers) == len(texts.ASKED)
        assert not any(
            fact.relation.one.format(v=fact.value) in answer
            or fact.relation.many.format(v=fact.value) in answer
            for fact in facts
            for answer in answers
        )


def test_the_lab_learns_from_files_that_any_user_could_bring(tmp_path: Path):
    write_files(tmp_path, AlignmentSizes(2, 2, 10, 10, 6, 5, 4))
    store = ImageStore(tmp_path / "store")
    for name, n in (("told", 10), ("chats", 10), ("captions", 6), *((part, 5) for part in LAB_PARTS)):
        source = ConversationSource(source=f"{name}.json", image_root="images", images="copy")
        found = list(read_conversations([source], store=store, base=tmp_path))
        assert len(found) == n
        assert all(isinstance(each, Conversation) for each in found)
        assert {len(each.images) for each in found if isinstance(each, Conversation)} == {
            0 if name in ("told", "chats") else 1
        }


# --- arms ----------------------------------------------------------------------------------------------


def test_arms_are_the_grid_with_several_seeds_on_all_of_the_instructions_only(tmp_path: Path):
    setting, _ = plan_setting(tmp_path, (), None)
    arms = arms_of(setting, SEEDS)
    assert len(arms) == len(set(arms)) == 2 * 2 * 4 + 4 + 1
    several = {arm.name for arm, seeds in arms.items() if len(seeds) > 1}
    assert several == {name_of(method, modality) for method in (FULL, LORA) for modality in (BOTH, TEXT)}
    assert sum(map(len, arms.values())) == 12 + 12 + 4 + 1
    assert {claim.first for claim in CLAIMS} <= {arm.name for arm in arms}, "the lab has every claim's arm"


def test_an_arm_differs_from_the_recipe_in_what_it_is_called_after(tmp_path: Path):
    setting, _ = plan_setting(tmp_path, ("train.epochs=2", "train.first_stage.epochs=3"), None)
    aligned = alignment_of(setting, "somewhere")
    assert aligned is not None
    assert [each.title for each in aligned.conversations] == ["captions"]
    assert (aligned.train.epochs, aligned.train.freeze) == (3, ("vision", "language"))
    assert aligned.train.method == "full"
    found = {
        (method, modality, part): recipe_of(setting, Arm(PLAIN, method, modality, part), "aligned", 7)
        for method in (FULL, LORA)
        for modality in (BOTH, TEXT)
        for part in (ALL, *LAB_PARTS, FALSE)
    }
    for (method, modality, part), recipe in found.items():
        titles = {each.title for each in recipe.conversations}
        assert titles == {ALL: set(LAB_PARTS), FALSE: {*LAB_PARTS, FALSEHOODS}}.get(part, {part})
        assert {each.pictures for each in recipe.conversations} == {"own" if modality == BOTH else "none"}
        assert recipe.train.method == {FULL: "full", LORA: "lora"}[method]
        assert (recipe.train.model, recipe.train.seed, recipe.train.epochs) == ("aligned", 7, 2)
        assert recipe.stages == {1}
    rates = {method: found[method, BOTH, ALL].train.learning_rate for method in (FULL, LORA)}
    assert rates[LORA] == setting.lora["train.learning_rate"] != rates[FULL]


# --- how claims stand ----------------------------------------------------------------------------------


def rows(model: str, rates: Mapping[str, float], n: int = 100) -> list[Score]:
    """A model that answers the first so many of every task's questions right."""
    return [
        Score(
            f"q{at}",
            task,
            model,
            "original",
            "mc2_strict" if task.endswith("mc2") else "accuracy_strict",
            float(at < round(n * rate)),
            True,
            "",
            f"c{at}",
        )
        for task, rate in rates.items()
        for at in range(n)
    ]


def rates(truth: float, norms: float, skills: float) -> dict[str, float]:
    return {
        "truthfulqa_mc1": truth, "truthfulqa_mc2": truth, **dict.fromkeys(ETHICS, norms), "reading": skills
    }  # fmt: skip


GRID = {
    name_of(): (0.8, 0.9, 0.5),
    name_of(modality=TEXT): (0.75, 0.85, 0.5),
    name_of(LORA): (0.7, 0.8, 0.7),
    name_of(LORA, TEXT): (0.7, 0.8, 0.7),
}
BEFORE = (0.55, 0.6, 0.7)
CHANCE = {"truthfulqa_mc1": 0.25, "ethics_mean": 0.5}


def study_of(
    grid: Mapping[str, tuple[float, float, float]] = GRID,
    *,
    base: tuple[float, float, float] = BEFORE,
    single: Mapping[str, tuple[float, float, float]] | None = None,
    seeds: Sequence[int] = SEEDS,
) -> Any:
    members: dict[str, tuple[str, ...]] = {PLAIN: (PLAIN,)}
    scores = rows(PLAIN, rates(*base))
    for arm, values in grid.items():
        members[arm] = tuple(model_name(arm, seed) for seed in seeds)
        for model in members[arm]:
            scores += rows(model, rates(*values))
    for arm, values in (single or {}).items():
        is_start = arm == CHAT
        members[arm] = (arm if is_start else model_name(arm, 0),)
        scores += rows(members[arm][0], rates(*values))
    return summed_up(tuple(seeds), scores, members, {}, {}, CHANCE, n_draws=DRAWS)


def stands(study: Any) -> dict[str, str]:
    return {each.claim.sentence: each.standing for each in study.claims}


def test_scores_and_changes_are_means_over_seeds_against_the_language_model():
    study = study_of()
    found = study.changes[name_of()]
    assert found["truthfulqa_mc1"].span.value == pytest.approx(0.25)
    assert found[NORMS].span.value == pytest.approx(0.3)
    assert found[SKILLS].span.value == pytest.approx(-0.2)
    assert found["truthfulqa_mc1"].span.by_seed == pytest.approx((0.25,) * 3)
    assert found["truthfulqa_mc1"].p is not None
    assert found["truthfulqa_mc1"].p < 0.01
    assert study.scores[PLAIN][NORMS].span.value == pytest.approx(0.6)
    assert PLAIN not in study.changes


def test_seeds_that_differ_widen_the_interval():
    alike = study_of().scores[name_of()]["truthfulqa_mc1"].span
    members = {PLAIN: (PLAIN,), name_of(): tuple(model_name(name_of(), seed) for seed in SEEDS)}
    scores = rows(PLAIN, rates(*BEFORE))
    for model, truth in zip(members[name_of()], (0.5, 0.8, 1.0), strict=True):
        scores += rows(model, rates(truth, 0.9, 0.5))
    study = summed_up(SEEDS, scores, members, {}, {}, {}, n_draws=2000)
    wide = study.scores[name_of()]["truthfulqa_mc1"].span
    assert wide.by_seed == pytest.approx((0.5, 0.8, 1.0))
    assert wide.value == pytest.approx(2.3 / 3)
    assert wide.high - wide.low > 1.5 * (alike.high - alike.low)


def test_claims_turn_with_the_scores():
    whole, text = name_of(), name_of(modality=TEXT)
    good = stands(study_of())
    assert good[f"{whole} scores more than {PLAIN} on truthfulqa_mc1"] == "supported"
    assert good[f"{text} has at least 0.5 of the gain of {whole} on {NORMS}"] == "supported"
    assert good[f"{whole} scores more than {text} on truthfulqa_mc2"] == "supported"
    assert good[f"{name_of(LORA)} changes {SKILLS} by less than 1 point"] == "supported"
    assert good[f"{name_of(LORA)} scores more than {whole} on {SKILLS}"] == "supported"
    worse = stands(study_of({arm: (0.3, 0.3, 0.2) for arm in GRID}))
    assert worse[f"{whole} scores more than {PLAIN} on truthfulqa_mc1"] == "refuted"
    assert worse[f"{text} has at least 0.5 of the gain of {whole} on {NORMS}"] == "no gain to share"
    assert worse[f"{name_of(LORA)} changes {SKILLS} by less than 1 point"] == "refuted"
    assert worse[f"{whole} scores more than {text} on truthfulqa_mc2"] == "open"


def test_an_arm_of_one_seed_is_never_judged():
    chat = {
        CHAT: (0.8, 0.9, 0.7),
        name_of(start=CHAT): (0.81, 0.9, 0.6),
        name_of(part="detail"): (0.9, 0.9, 0.9),
    }
    study = study_of(single=chat)
    found = stands(study)
    sentence = f"{name_of(start=CHAT)} gains less over {CHAT} than {name_of()} over {PLAIN} on truthfulqa_mc1"
    assert found[sentence] == "descriptive"
    value = next(each.found for each in study.claims if each.claim.sentence == sentence)
    assert value is not None
    assert value.span.value == pytest.approx(0.01 - 0.25)
    assert found[f"{name_of(part='detail')} scores more than {PLAIN} on truthfulqa_mc2"] == "descriptive"
    alone = stands(study_of(seeds=(4,)))
    assert not {"supported", "refuted", "open"} & set(alone.values())
    assert f"| {name_of(part='detail')}* " in page(study, ())


def test_what_no_arm_was_asked_is_not_measured():
    found = stands(study_of({name_of(): GRID[name_of()]}))
    assert found[f"{name_of(LORA)} scores more than {name_of()} on {SKILLS}"] == "not measured"


def checks_of(study: Any) -> dict[tuple[str, str], bool]:
    return {(each.name, each.subject): each.passed for each in study.checks}


def test_the_base_must_know_something_and_falsehoods_must_be_found_out():
    control = name_of(part=FALSE)
    good = checks_of(study_of(single={control: (0.3, 0.9, 0.5)}))
    assert set(good.values()) == {True, False}, "the norms' base is at 60 %, and 70 % are asked of it"
    assert good["the base knows enough to lose something", "truthfulqa_mc1"]
    assert not good["the base knows enough to lose something", NORMS]
    assert good["falsehoods are found out against base", "truthfulqa_mc2"]
    assert good["falsehoods are found out against the same arm without them", "truthfulqa_mc1"]
    study = study_of(single={control: (0.55, 0.9, 0.5)})
    missed = checks_of(study)
    assert not missed["falsehoods are found out against base", "truthfulqa_mc2"]
    assert missed["falsehoods are found out against the same arm without them", "truthfulqa_mc2"]
    assert "Not all checks hold" in page(study, ())


def test_the_page_and_the_json_say_the_same():
    study = study_of()
    text, data = page(study, ["A note."]), json.loads(json.dumps(study.to_json()))
    assert "A note." in text
    assert "raises (+25.0)" in text
    assert "+25.0 (" in text.split("## Changes")[1]
    assert data["scores"][name_of()]["truthfulqa_mc1"]["span"]["value"] == pytest.approx(0.8)
    assert data["n_seeds"] == {PLAIN: 0, **dict.fromkeys(GRID, 3)}
    for each, row in zip(study.claims, data["claims"], strict=True):
        assert each.claim.sentence in text
        assert row["standing"] == each.standing
    assert "-0.17 %" in text
    drawn = figures(study)
    assert len(drawn) == 3
    assert all(f"]({name})" in text and figure.lstrip().startswith("<?xml") for name, figure in drawn.items())


# --- a user's recipe -----------------------------------------------------------------------------------


def own_recipe(folder: Path) -> Path:
    """Write a recipe on a tiny LLaVA: captions align, two sources instruct."""
    tiny_llava(folder / "start")
    write_files(folder, AlignmentSizes(2, 2, 4, 4, 6, 6, 4))
    sources = [("captions", 1), ("conversation", 2), ("detail", 2)]
    recipe = {
        "conversations": [
            {"source": f"{name}.json", "image_root": "images", "stage": stage} for name, stage in sources
        ],
        "train": {"model": "start", **TRAIN, "first_stage": {"freeze": ["vision", "language"]}},
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return path


def own_setting(folder: Path, **beside: Any) -> Setting:
    text = TextConfig(
        truthfulqa=str(folder / "TruthfulQA.csv"), include_path=(str(folder / "tasks"),), limit=4
    )
    path = folder / "recipe.yaml"
    asked = Beside(text, ("truthfulqa_mc1", texts.READING), TextExecution(), **beside)
    return prepare(load_recipe(path), folder, run_dir=folder / "out", beside=asked)


def test_every_source_that_instructs_is_a_part_unless_parts_are_named(tmp_path: Path):
    own_recipe(tmp_path)
    assert own_setting(tmp_path).parts == {"conversation": ("conversation",), "detail": ("detail",)}
    named = own_setting(tmp_path, parts={"both": ("conversation", "detail")})
    assert [arm.part for arm in arms_of(named, (0,))] == [ALL] * 4, "one part is all there is"
    control = own_setting(tmp_path, falsehoods=("detail",))
    assert control.parts == {"conversation": ("conversation",)}
    with pytest.raises(RecipeError, match="those that do are conversation, detail"):
        own_setting(tmp_path, parts={"detail": ("captions",)})


def test_a_recipe_with_pairs_is_refused_with_the_remedy(tmp_path: Path):
    own_recipe(tmp_path)
    setting = own_setting(tmp_path)
    data = setting.recipe.model_dump(mode="json")
    data["ingest"] = {"source": "captions.json"}
    paired = replace(setting, recipe=type(setting.recipe).model_validate(data))
    with pytest.raises(RecipeError, match="`conversations` alone"):
        run_study([0], paired)


@pytest.mark.slow
def test_the_study_of_a_users_recipe_goes_on_where_it_stopped(tmp_path: Path):
    own_recipe(tmp_path)
    setting = own_setting(
        tmp_path, parts={"all of it": ("conversation", "detail")}, chat=str(tmp_path / "start")
    )
    first, told, again = Told(), Told(), Told()
    whole = run_study([0, 1], setting, progress=first, n_draws=DRAWS)
    assert set(whole.scores) >= {PLAIN, CHAT, *GRID, name_of(start=CHAT)}
    assert {"truthfulqa_mc1", SKILLS, texts.READING} <= set(whole.scores[PLAIN])
    assert whole.n_seeds[name_of()] == 2
    assert whole.tokens[name_of()] > 0
    assert run_study([0, 1], setting, progress=told, n_draws=DRAWS).to_json() == whole.to_json()
    assert not told.built, "everything was there"
    arm = next(step for step in first.built if step.startswith(model_name(name_of(modality=TEXT), 1)))
    assert arm.endswith("conversations") or arm.endswith("train")
    removed = sorted((tmp_path / "out" / "text" / "artifacts").glob("text-*/*/record.json"))[0]
    removed.unlink()
    assert run_study([0, 1], setting, progress=again, n_draws=DRAWS).to_json() == whole.to_json()
    assert len(again.built) == 1, "one task of one model was asked again, and nothing else"


# --- the command line ------------------------------------------------------------------------------------


acclimate = partial(run_study_verb, "alignment")


def test_a_dry_run_on_the_lab_says_what_the_study_takes_and_writes_nothing(tmp_path: Path):
    plans = []
    for seeds in ("0", "0,1,2"):
        done = acclimate("--scale", "lab", "--dry-run", "--json", "--seeds", seeds, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        plans.append({row["step"]: row for row in json.loads(done.stdout)["plan"]})
    few, many = plans
    assert {"encoder", "base LM", "chat-tuned LM", "alignment", "arms", "text questions"} == set(many)
    assert (few["arms"]["work"], many["arms"]["work"]) == ("21 trainings", "29 trainings")
    assert many["text questions"]["tokens"] == pytest.approx(
        32 / 24 * few["text questions"]["tokens"], rel=0.01
    )
    assert many["base LM"] == {**few["base LM"], "seconds": many["base LM"]["seconds"]}
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seeds", "1,one"], "different whole numbers"),
        (["--truthfulqa", "T.csv"], "goes with a recipe"),
        (["nowhere.yaml", "--text", "ethics"], "no recipe at nowhere.yaml"),
        (["nowhere.yaml", "--scale", "lab"], "leave the recipe out"),
    ],
)
def test_what_the_study_cannot_use_is_named(tmp_path: Path, arguments: list[str], said: str):
    done = acclimate(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())


def test_a_recipe_without_questions_is_told_how_to_ask(tmp_path: Path):
    own_recipe(tmp_path)
    done = acclimate("recipe.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "--truthfulqa TruthfulQA.csv" in " ".join(done.stderr.split())


@pytest.mark.slow
def test_the_study_runs_on_the_lab(tmp_path: Path):
    done = acclimate(
        "train.max_steps=1", "--scale", "lab", "--limit", 6, "--seeds", 3, "--json", "--yes", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert data["limit"] == 6
    assert name_of(part=FALSE) in data["scores"]
    assert {"truthfulqa_mc1", "truthfulqa_mc2", "truthfulqa_gen_answer", NORMS, SKILLS} <= set(
        data["scores"][CHAT]
    )
    assert len(data["claims"]) == len(CLAIMS)
    folder = tmp_path / "acclimate-alignment"
    assert read_json(folder / "study.json") == data
    assert "Test only" in (folder / "study.md").read_text()
    with (folder / "world" / "TruthfulQA.csv").open(encoding="utf-8", newline="") as handle:
        assert len(list(csv.DictReader(handle))) == len(texts.FACTS)
