"""A run ends with cards filled from its record; they follow the record, and go to the hub with the model."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import pytest
import yaml
from huggingface_hub import DatasetCard, DatasetCardData, ModelCard, ModelCardData
from typer.testing import CliRunner

from acclimate.artifacts import RECORD, RUN
from acclimate.carded import data_facts, follow, model_facts
from acclimate.cli import app
from acclimate.errors import UsageError
from acclimate.files import read_json
from acclimate.pipeline import Line
from acclimate.recipe import Recipe, load_recipe
from acclimate.report.inputs import ReportInputs, RoomSummary
from acclimate.report.model_card import model_card
from acclimate.sandbox import available
from acclimate.verify.stage import Asked, verify
from tests.small_lines import fake_engine, write_line
from tests.test_pipeline import real_recipe, seeds_of
from tests.test_publishing import Hub
from tests.test_records_of_runs import GAIN, finished
from tests.tiny_models import tiny_qwen3_vl


def head_of(text: str) -> dict[str, Any]:
    return yaml.safe_load(re.match(r"^---\n([\S\s]*?)\n---\n", text)[1])


def section(text: str, title: str) -> str:
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


def texts(root: Path) -> dict[str, bytes]:
    return {str(each.relative_to(root)): each.read_bytes() for each in root.rglob("*") if each.is_file()}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe of a finished run: a base under Apache-2.0, pairs under CC BY 4.0."""
    folder = tmp_path_factory.mktemp("cards")
    model = tiny_qwen3_vl(folder / "tiny-base")
    (model / "README.md").write_text("---\nlicense: apache-2.0\n---\n", encoding="utf-8")
    recipe = real_recipe(folder, model)
    data = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    data["ingest"]["licence"] = "CC BY 4.0"
    data["name"] = "tiny run"
    recipe.write_text(yaml.safe_dump(data), encoding="utf-8")
    finished(recipe, GAIN)
    return recipe


def test_a_run_ends_with_the_cards_of_its_model_and_its_data(run: Path) -> None:
    root = run.parent / "run"
    record = read_json(root / "report" / "manifest.json")
    cards = texts(root / "cards")
    assert sorted(cards) == ["dataset/README.md", "model/README.md"]
    model, data = (cards[f"{name}/README.md"].decode() for name in ("model", "dataset"))
    for text in (model, data):
        assert record["digest"] in section(text, "How to verify")
        assert "The gate says **UNVERIFIED**" in section(text, "How to verify")
        assert str(run.parent) not in text, "a card says nothing of where it was made"
    head = ModelCard(model).data
    assert isinstance(head, ModelCardData)
    assert (head.license, head.license_name) == ("other", "apache-2.0-and-cc-by-4.0")
    assert [each.dataset_name for each in head.eval_results] == ["small"]
    small = next(each for each in record["claims"] if each["id"] == "gain")
    assert "It gains." in section(model, "Claims")
    assert f"Gate: {small['verdict']['status']}" in section(model, "Claims")
    made = section(model, "What it is and how it was made")
    assert "| Base model | tiny-base |" in made
    assert "| Method | all weights |" in made
    trained = read_json(next((root / "artifacts" / "train").glob(f"*/{RECORD}")))
    assert f"| Identity of the base model | {trained['engines']['model']} |" in made
    assert "| pairs.json | CC BY 4.0 | 8 |" in section(model, "Training data")
    own = next((root / "artifacts" / "train").glob("*/checkpoint/README.md")).read_text(encoding="utf-8")
    assert head_of(own)["license_name"] == head.license_name, "training's short card follows the same rule"
    assert "Licence: apache-2.0-and-cc-by-4.0." in own
    read = DatasetCard(data).data
    assert isinstance(read, DatasetCardData)
    assert read.license == "cc-by-4.0"
    n = read_json(next((root / "artifacts" / "compose").glob(f"*/{RECORD}")))["counts"]["conversations"]
    assert f"{n} rows about pictures" in data
    written_by = section(data, "How it was made")
    assert "synthesizer, tuned in this run from**: tiny-base, licence apache-2.0" in written_by
    assert "its worked examples**: seeds.json, licence unknown" in written_by
    assert "| compose |" in written_by
    assert "train" not in re.findall(r"^\| ([a-z-]+) \|", written_by, re.M)


def test_equal_runs_give_equal_cards_and_a_stale_one_goes(run: Path) -> None:
    root = run.parent / "run"
    before = texts(root / "cards")
    stale = root / "cards" / "model" / ".eval_results" / "gone.yaml"
    stale.parent.mkdir(exist_ok=True)
    stale.write_text("[]\n")
    finished(run, GAIN)
    assert texts(root / "cards") == before


def test_cards_follow_their_record_and_not_a_copy_of_it(run: Path, tmp_path: Path) -> None:
    root = run.parent / "run"
    line = Line(load_recipe(run, [f"report.claims=[{GAIN}]"]), run.parent)
    homes = line.build()
    line.report(homes)
    before = texts(root / "cards")
    (root / "cards" / "model" / "README.md").write_text("altered", encoding="utf-8")
    inputs, written = line._shown(homes)
    follow(tmp_path / "copy", line.recipe, line.base, root, homes, inputs, written)
    assert (root / "cards" / "model" / "README.md").read_text(encoding="utf-8") == "altered"
    follow(root / "report", line.recipe, line.base, root, homes, inputs, written)
    assert texts(root / "cards") == before


@pytest.mark.slow
def test_cards_follow_the_verdict_of_a_verification(run: Path) -> None:
    root = run.parent / "run"
    finished(run, GAIN)
    if available().tool is None:
        pytest.skip(f"nothing can be sealed here: {available().sentence}")
    found = verify(root, Asked())
    assert found.ok, [str(each) for each in (*found.altered, *found.findings)]
    record = read_json(root / "report" / "manifest.json")
    for name in ("model", "dataset"):
        told = section((root / "cards" / name / "README.md").read_text(encoding="utf-8"), "How to verify")
        assert "The gate says **VERIFIED**" in told
        assert record["digest"] in told
    assert verify(root, Asked()).ok, "the cards are no part of the record"


def pushed(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[Hub, Any]:
    hub = Hub()
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    return hub, CliRunner().invoke(app, list(arguments))


def test_a_run_is_sent_with_its_card_under_the_licence_that_follows(
    run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub, done = pushed(
        monkeypatch, "run", str(run), "--push-to-hub", "us/tiny", "--push-dataset-to-hub", "us/rows"
    )
    assert done.exit_code == 0, done.output
    assert [name for name, _ in hub.made] == ["us/tiny", "us/rows"]
    assert sorted(hub.files) == ["README.md", "data/conversations.parquet"]
    for name, content in hub.files.items():
        (tmp_path / "rows" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "rows" / name).write_bytes(content)
    rows = datasets.load_dataset(str(tmp_path / "rows"), split="train", cache_dir=str(tmp_path / "cache"))
    assert f"{len(rows)} rows about pictures" in hub.files["README.md"].decode()
    hub, done = pushed(monkeypatch, "run", str(run), "--push-to-hub", "us/tiny", "--licence", "Gemma")
    assert done.exit_code == 0, done.output
    assert {"model.safetensors", "config.json", "vision_policy.json"} <= hub.files.keys()
    card = hub.files["README.md"].decode()
    assert head_of(card)["license"] == "gemma"
    assert "Named by whoever publishes" in section(card, "Licence")
    assert head_of(card)["model-index"][0]["name"] == "tiny"
    assert "from_pretrained(checkpoint" in card
    assert "checkpoint = 'us/tiny'" in card
    assert "licence     apache-2.0-and-cc-by-4.0" in done.stdout, "the run's own card keeps what follows"


def test_a_trained_model_without_a_report_is_sent_without_scores(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, done = pushed(monkeypatch, "train", str(run), "--push-to-hub", "us/tiny")
    assert done.exit_code == 0, done.output
    card = hub.files["README.md"].decode()
    assert "model-index" not in head_of(card)
    assert "Not measured." in section(card, "Evaluation")
    assert "There is no evidence record" in section(card, "How to verify")
    assert "| compose |" in section(card, "Training data")


def test_a_run_whose_licence_is_refused_is_not_sent_and_says_so(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = ("run", str(run), "ingest.licence=unknown")
    hub, done = pushed(monkeypatch, *silent, "--push-to-hub", "us/tiny")
    assert isinstance(done.exception, UsageError)
    assert "--licence NAME" in str(done.exception)
    assert (hub.made, hub.files) == ([], {})
    assert "licence     not-derived. The source “pairs.json” states no licence." in done.stdout
    assert (
        "> **No licence was derived.**" in (run.parent / "run" / "cards" / "model" / "README.md").read_text()
    )
    hub, done = pushed(monkeypatch, *silent, "--push-to-hub", "us/tiny", "--licence", "MIT")
    assert done.exit_code == 0, done.output
    assert head_of(hub.files["README.md"].decode())["license"] == "mit"
    _, shown = pushed(monkeypatch, *silent, "--json")
    assert "“pairs.json” states no licence" in json.loads(shown.stdout)["licence_refused"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--licence", "MIT"], "--licence goes with"),
        (
            ["--licence", "MIT", "--push-to-hub", "a/b", "--push-dataset-to-hub", "a/c"],
            "run the command twice",
        ),
        (["--licence", "mitt", "--push-to-hub", "a/b"], "Did you mean mit?"),
    ],
)
def test_a_licence_that_cannot_be_named_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], said: str
) -> None:
    hub, done = pushed(monkeypatch, "run", str(tmp_path / "no.yaml"), *options)
    assert isinstance(done.exception, UsageError)
    assert said in str(done.exception)
    assert hub.made == []


# --- what a card is filled from --------------------------------------------------------------------


def home(root: Path, step: str, record: Mapping[str, Any], ran: Mapping[str, Any] | None = None) -> Path:
    folder = root / "artifacts" / step
    folder.mkdir(parents=True)
    plain = {"fingerprint": step, "inputs": {}, "rejections": {}, "facts": {}, "licences": []}
    (folder / RECORD).write_text(json.dumps({**plain, **record}))
    (folder / RUN).write_text(json.dumps(ran or {}))
    return folder


def two_stages(folder: Path) -> tuple[Recipe, dict[str, Path]]:
    """A two-stage run on a model of the hub and two ready-made sources, as its records tell it."""
    recipe = load_recipe(write_line(folder))
    data = recipe.model_dump()
    data |= {"ingest": None, "name": "x\n---\nlicense: mit\n# owned <script>alert(1)</script>"}
    data |= {key: Recipe.model_fields[key].get_default() for key in ("synthesize", "curate", "compose")}
    data["conversations"] = [
        {"source": "d/chats.json", "licence": "MIT", "stage": 1},
        {"source": "d/b.json", "licence": "cc0", "stage": 2},
    ]
    data["train"] |= {"epochs": 3, "first_stage": {"epochs": 1, "freeze": ["vision"], "learning_rate": 1e-3}}
    facts = {"facts": {"trained_tokens": 1200, "total_tokens": 5000}, "counts": {"inputs": 7, "outputs": 7}}
    base = {"base": {"name": "acme/Tiny", "hub": "acme/Tiny", "licence": "llama3.2"}}
    homes = {
        "conversations": home(folder, "conversations", {"counts": {"inputs": 9, "outputs": 9}}),
        "train-captions": home(folder, "train-captions", facts, base),
        "train": home(folder, "train", facts, {"base": {"name": "checkpoint", "hub": "", "licence": ""}}),
    }
    return Recipe.model_validate(data), homes


def test_a_card_tells_both_stages_and_the_model_that_the_first_began_with(tmp_path: Path) -> None:
    recipe, homes = two_stages(tmp_path)
    facts = model_facts(recipe, homes, ReportInputs((), ()), None)
    assert (facts.base_model, facts.base_id, facts.base_licence) == ("acme/Tiny", "acme/Tiny", "llama3.2")
    assert [(each.name, each.licence, each.where, each.n) for each in facts.sources] == [
        ("chats", "MIT", "chats.json", None),
        ("b", "cc0", "b.json", None),
    ]
    about = dict(facts.about)
    assert about["First stage: kept as it was"] == "vision"
    assert about["First stage: learning rate at its peak"] == "language 0.001, projector 0.001"
    assert (about["First stage: epochs"], about["Second stage: epochs"]) == ("1", "3")
    assert about["Second stage: tokens"] == "5,000, of which 1,200 were learned from"
    card = model_card(facts)
    assert head_of(card)["license"] == "llama3.2"
    assert (head_of(card)["base_model"], head_of(card)["base_model_relation"]) == ("acme/Tiny", "finetune")
    assert "<script" not in card
    assert "\n# owned" not in card
    assert data_facts(recipe, tmp_path, homes, ReportInputs((), ()), None) is None


def test_a_licence_of_the_recipe_or_of_whoever_publishes_wins(tmp_path: Path) -> None:
    recipe, homes = two_stages(tmp_path)
    named = recipe.model_copy(update={"train": recipe.train.model_copy(update={"licence": "MIT"})})
    inputs = ReportInputs((), ())
    assert model_facts(named, homes, inputs, None).licence == "MIT"
    assert model_facts(named, homes, inputs, None, licence="Gemma").licence == "Gemma"


def test_adapted_weights_are_called_so(tmp_path: Path) -> None:
    recipe, homes = two_stages(tmp_path)
    lora = recipe.train.model_copy(update={"method": "lora"})
    about = dict(
        model_facts(recipe.model_copy(update={"train": lora}), homes, ReportInputs((), ()), None).about
    )
    assert about["Second stage: method"] == "LoRA, merged: rank 16, alpha 32, on language"


def test_published_benchmarks_are_named_by_their_data_set_on_the_hub(tmp_path: Path) -> None:
    from acclimate.report.inputs import BenchmarkFacts

    recipe, homes = two_stages(tmp_path)
    asked = recipe.evaluate.model_copy(update={"benchmarks": ("vqa_rad", "small.yaml")})
    found = tuple(BenchmarkFacts(name, "accuracy_strict", 3) for name in ("vqa_rad_open", "small"))
    facts = model_facts(recipe.model_copy(update={"evaluate": asked}), homes, ReportInputs((), found), None)
    assert {name: each.dataset for name, each in facts.on_hub.items()} == {
        "vqa_rad_open": "AdaptLLM/biomed-VQA-benchmark"
    }


def test_the_licence_of_general_tasks_goes_into_what_is_trained_on(tmp_path: Path) -> None:
    recipe = write_line(
        tmp_path,
        general={**seeds_of(tmp_path), "licence": "CC-BY-SA-4.0"},
        compose={"tasks": "both"},
        ingest={"source": "pairs.json", "image_root": "images", "licence": "MIT"},
    )
    line = Line(load_recipe(recipe), tmp_path, substitute=fake_engine)
    homes = line.build(["compose"])
    assert read_json(homes["compose"] / RECORD)["licences"] == ["CC-BY-SA-4.0", "MIT"]
    rooms = (RoomSummary("compose", 1, 1), RoomSummary("train", 1, 1))
    facts = data_facts(line.recipe, tmp_path, homes, ReportInputs((), (), rooms), None)
    assert facts is not None
    assert [(each.name, each.licence) for each in facts.sources] == [
        ("pairs.json", "MIT"),
        ("seeds.json", "CC-BY-SA-4.0"),
    ]
    assert facts.rooms == rooms[:1]
    other = Line(load_recipe(recipe, ["general.licence=MIT"]), tmp_path, substitute=fake_engine)
    assert other.fingerprints() != line.fingerprints()
