"""Cards hold what was measured and nothing else, no name breaks their head, and no licence is made up."""

import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import pytest
import yaml
from huggingface_hub import DatasetCard, DatasetCardData, ModelCard, ModelCardData

from acclimate.files import write_records
from acclimate.licence_names import MORE, TABLE, identifier, kind_of
from acclimate.licences import (
    NOT_DERIVED,
    derived_licence,
    named_licence,
    refusal_in,
    restriction_of,
)
from acclimate.records import Conversation, JudgedTriplet, Measurement, Turn
from acclimate.report.card_text import DataSource, is_hub_id
from acclimate.report.dataset_card import (
    FIELDS,
    KINDS,
    DataFacts,
    DataFile,
    Maker,
    dataset_card,
    size_category,
)
from acclimate.report.inputs import BenchmarkFacts, ReportInputs
from acclimate.report.model_card import (
    CardFacts,
    HubBenchmark,
    card_files,
    eval_results,
    model_card,
    reliance_sentence,
)
from acclimate.report.stage import ReportConfig, report_measurements
from tests.evidence_parts import whole
from tests.small_reports import rich

DOCS = Path(__file__).parents[1] / "docs" / "cards.md"
HOSTILE = (
    "x\n---\nlicense: mit\n---\n# owned | <script>alert(1)</script> <img src=x onerror=alert(1)> "
    "[go](javascript:alert(1)) ![](http://e.example/x.png) `` ``` {{ 7 * 7 }} {% raw %} \u202e\x00"
)
INPUTS = rich()
MEASURED = tuple(report_measurements(INPUTS, ReportConfig(n_draws=100)))
PAIRS = DataSource("pairs.jsonl", "CC-BY-4.0", 90)


def facts(**changes: Any) -> CardFacts:
    given: dict[str, Any] = {
        "name": "Tiny pathology",
        "inputs": INPUTS,
        "measurements": MEASURED,
        "base_model": "acme/Tiny-VL",
        "base_licence": "apache-2.0",
        "sources": (PAIRS,),
        "record": whole(),
        "base_id": "acme/Tiny-VL",
        "language": ("en",),
    }
    return CardFacts(**{**given, **changes})


def data_facts(**changes: Any) -> DataFacts:
    given: dict[str, Any] = {
        "name": "Pathology conversations",
        "files": (
            DataFile("data/conversations.parquet", 2, config="conversations"),
            DataFile("data/judged.parquet", 1, "judged_task", "tasks"),
        ),
        "sources": (PAIRS,),
        "makers": (Maker("synthesizer", "acme/Writer", "llama3.2"),),
        "rooms": INPUTS.rooms,
        "quality": INPUTS.quality,
        "task_types": INPUTS.task_types,
    }
    return DataFacts(**{**given, **changes})


def head_of(text: str) -> dict[str, Any]:
    """What the hub reads: its own pattern of the head, and YAML."""
    return yaml.safe_load(re.match(r"^---\n([\S\s]*?)\n---\n", text)[1])


def section(text: str, title: str) -> str:
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


def reliance(value: float, low: float, high: float, method: str = "cluster_bootstrap") -> str:
    vrs = Measurement("macro/adapted/vrs", value, low, high, 200, 150, 1.0, method)
    return reliance_sentence({vrs.key: vrs})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Apache-2.0", "apache-2.0"),
        ("Apache License, Version 2.0", "apache-2.0"),
        ("MIT License", "mit"),
        ("CC-BY-4.0", "cc-by-4.0"),
        ("CC BY 4.0", "cc-by-4.0"),
        ("CC0", "cc0-1.0"),
        ("cc-by-sa", "cc-by-sa"),
        ("Creative Commons Attribution-NonCommercial-ShareAlike 4.0 International", "cc-by-nc-sa-4.0"),
        ("https://creativecommons.org/licenses/by-nc/4.0/", "cc-by-nc-4.0"),
        ("http://creativecommons.org/publicdomain/zero/1.0/", "cc0-1.0"),
        ("ODbL-1.0", "odbl"),
        ("Llama 3.2 Community License", "llama3.2"),
        ("Gemma", "gemma"),
        ("  ", ""),
        ("All rights reserved", "all-rights-reserved"),
    ],
)
def test_common_spellings_of_a_licence_are_one_identifier(text: str, expected: str) -> None:
    assert identifier(text) == expected


@pytest.mark.parametrize(
    ("licences", "base", "licence", "name"),
    [
        (["Apache-2.0", "apache-2.0"], "apache-2.0", "apache-2.0", ""),
        (["CC-BY-4.0"], None, "cc-by-4.0", ""),
        (["CC0-1.0", "MIT"], "mit", "mit", ""),
        (["CC0-1.0"], None, "cc0-1.0", ""),
        (["MIT", "CC-BY-4.0"], "apache-2.0", "other", "apache-2.0-and-cc-by-4.0-and-mit"),
        (["CC-BY-SA-4.0", "MIT"], "apache-2.0", "cc-by-sa-4.0", ""),
        (["CC-BY-SA-3.0", "CC-BY-SA-4.0"], None, "cc-by-sa-4.0", ""),
        (["cc-by-sa"], "apache-2.0", "other", "cc-by-sa"),
        (["ODbL", "CC0"], None, "odbl", ""),
        (["CC-BY-NC-4.0", "MIT"], "apache-2.0", "cc-by-nc-4.0", ""),
        (["CC-BY-NC-SA-4.0", "CC-BY-NC-4.0", "CC-BY-4.0"], None, "cc-by-nc-sa-4.0", ""),
        (["CC-BY-4.0"], "llama3.2", "llama3.2", ""),
        (["CC-BY-NC-4.0"], "gemma", "other", "gemma-and-cc-by-nc-4.0"),
        (["MIT"], "qwen", "other", "qwen"),
    ],
)
def test_a_licence_follows_from_those_of_the_inputs(
    licences: list[str], base: str | None, licence: str, name: str
) -> None:
    found = derived_licence(licences, base_model=base)
    assert (found.licence, found.name, found.is_refused) == (licence, name, False)
    backwards = derived_licence(licences[::-1], base_model=base)
    assert (backwards.licence, backwards.name) == (licence, name)


@pytest.mark.parametrize(
    ("licences", "base", "said"),
    [
        (
            ["MIT", "unknown"],
            None,
            "The source “b” states no licence. State it in the recipe (`ingest.licence`",
        ),
        (["MIT", ""], "mit", "The source “b” states no licence."),
        (["MIT", "proprietary"], "mit", "The source “b” states “proprietary”, which is not in the table"),
        (
            ["CC-BY-ND-4.0", "MIT"],
            "mit",
            "The source “a” is under cc-by-nd-4.0, which allows no derived works.",
        ),
        (["CC BY-NC-ND 4.0"], None, "cc-by-nc-nd-4.0, which allows no derived works"),
        (["MIT"], "", "The base model states no licence. Name a licence for the result"),
        (["CC-BY-SA-4.0", "ODbL"], None, "do not go together"),
        (
            ["CC-BY-SA-4.0", "CC-BY-NC-4.0"],
            None,
            "allows commercial use of the whole, which the second forbids",
        ),
        (["CC-BY-SA-4.0", "CC-BY-NC-SA-4.0"], None, "do not go together"),
        (["CC-BY-SA-4.0"], "llama3.2", "The licences of the source “a” (cc-by-sa-4.0) and the base model"),
        (["gemma"], "llama3.2", "a model's own terms"),
        ([], None, "There is no input"),
    ],
)
def test_a_licence_that_does_not_follow_is_refused_with_the_input_and_the_remedy(
    licences: list[str], base: str | None, said: str
) -> None:
    found = derived_licence(licences, base_model=base, names=["a", "b"])
    assert found.is_refused
    assert (found.licence, found.name) == ("other", NOT_DERIVED)
    assert said in found.reason


def test_a_version_that_the_hub_does_not_list_is_of_its_familys_kind() -> None:
    assert kind_of("CC-BY-SA-2.5") == "share_alike"
    assert kind_of("CC-BY-ND-2.0") == "no_derivatives"
    assert kind_of("acme-1.0") == "unknown"


def test_a_source_without_a_name_is_numbered() -> None:
    assert "The source “source 2” states no licence" in derived_licence(["MIT", ""], base_model=None).reason


def test_every_input_that_asks_for_something_is_named_beside_the_licence_that_wins() -> None:
    found = derived_licence(["CC-BY-NC-4.0", "MIT", "CC0"], base_model="apache-2.0")
    assert set(found.parts) == {"cc-by-nc-4.0", "mit", "apache-2.0"}
    assert "apache-2.0 and mit" in found.reason
    assert "cc0" not in found.reason


def test_a_models_own_licence_goes_along_with_what_it_restricts() -> None:
    assert "begins with “Llama”" in derived_licence(["MIT"], base_model="llama3.1").restriction
    assert "Llama”" not in restriction_of("llama2")
    assert restriction_of("apache-2.0") == ""


@pytest.mark.parametrize(
    "name",
    ["acme/Tiny-VL-2B.v1", "a/b", "acme", "/x", "acme/", "a/b/c", "a--b/c", "a/b..c", "-a/b", "a/b-",
     "a/b.git", "a/b\n", "a b/c", "./runs", "a/" + "b" * 100],
)  # fmt: skip
def test_a_name_of_the_hub_is_what_its_library_takes(name: str) -> None:
    try:
        huggingface_hub.utils.validate_repo_id(name)
        taken = name.count("/") == 1
    except huggingface_hub.errors.HFValidationError:
        taken = False
    assert is_hub_id(name) == taken


def test_no_licence_has_two_kinds_and_each_is_read_as_itself() -> None:
    names = [name for table in (TABLE, MORE) for listed in table.values() for name in listed]
    assert len(names) == len(set(names))
    assert [name for name in names if identifier(name) != name] == []


def test_the_page_prints_the_table_of_licences() -> None:
    page = DOCS.read_text(encoding="utf-8")
    for kind, names in TABLE.items():
        row = next(each for each in page.splitlines() if each.startswith(f"| `{kind}` |"))
        assert re.findall(r"`([^`]+)`", row)[1:] == [*names, *MORE.get(kind, ())]


def test_the_head_of_a_model_card_is_the_hubs() -> None:
    sources = (replace(PAIRS, hub_id="acme/pairs"), DataSource("general", "apache-2.0"))
    found = head_of(model_card(facts(sources=sources, tags=("pathology",))))
    assert found["license"] == "other"
    assert found["license_name"] == "apache-2.0-and-cc-by-4.0"
    assert (found["base_model"], found["base_model_relation"]) == ("acme/Tiny-VL", "finetune")
    assert (found["library_name"], found["pipeline_tag"]) == ("transformers", "image-text-to-text")
    assert (found["language"], found["datasets"]) == (["en"], ["acme/pairs"])
    assert "pathology" in found["tags"]


def test_scores_come_back_from_the_head_as_the_hub_reads_them() -> None:
    given = facts(on_hub={"bench open": HubBenchmark("acme/bench", "open", "test", "1" * 40)})
    text = model_card(given)
    read = ModelCard(text).data
    assert isinstance(read, ModelCardData)
    assert read.model_name == "Tiny pathology"
    assert read.eval_results == eval_results(given)
    by_name = {each.dataset_name: each for each in read.eval_results}
    first = by_name["bench open"]
    score = next(each for each in MEASURED if each.key == "bench open/adapted/original")
    assert (first.dataset_type, first.dataset_config, first.dataset_split) == ("acme/bench", "open", "test")
    assert (first.metric_type, first.metric_value) == ("accuracy_strict", round(100 * score.value, 2))
    assert f"95 % interval {100 * score.low:.1f} to {100 * score.high:.1f}, n = 40" in first.metric_name
    assert all(each.verified is None for each in read.eval_results)
    assert set(by_name) == {each.name for each in INPUTS.benchmarks}


def test_two_benchmarks_of_one_data_set_keep_their_own_names() -> None:
    places = {name: HubBenchmark("acme/bench") for name in ("bench open", "bench closed")}
    index = head_of(model_card(facts(on_hub=places)))["model-index"][0]["results"]
    shared = next(each for each in index if each["dataset"]["type"] == "acme/bench")
    assert [each["name"].partition(":")[0] for each in shared["metrics"]] == ["bench open", "bench closed"]


def test_the_hubs_newer_form_is_written_for_benchmarks_with_a_leaderboard() -> None:
    places = {
        "bench open": HubBenchmark("acme/bench", revision="1" * 40, task_id="open"),
        "bench closed": HubBenchmark("acme/bench"),
    }
    files = card_files(facts(on_hub=places))
    assert sorted(files) == [".eval_results/bench-open.yaml", "README.md"]
    read = huggingface_hub.parse_eval_result_entries(yaml.safe_load(files[".eval_results/bench-open.yaml"]))
    assert (read[0].dataset_id, read[0].task_id, read[0].value) == ("acme/bench", "open", 70.0)
    assert read[0].date == whole().created
    assert "95 % interval" in read[0].notes


def test_a_library_without_the_newer_form_gets_the_card_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "EvalResultEntry", None)
    places = {"bench open": HubBenchmark("acme/bench", task_id="open")}
    assert sorted(card_files(facts(on_hub=places))) == ["README.md"]


def test_a_model_card_says_what_was_measured_and_claimed() -> None:
    text = model_card(facts())
    assert "| bench open | accuracy\\_strict" in text or "| bench open | accuracy_strict" in text
    assert "+40.0" in section(text, "Evaluation")
    claims = section(text, "Claims")
    assert "- **Supported**: The adapted model scores higher." in claims
    assert "- **Refuted**: It relies more on the picture." in claims
    assert claims.count("Gate: UNVERIFIED: ") == 3
    assert "The score rests on the picture" in section(text, "Does it look at the picture?")
    assert "20.0 (15.0 to 25.0)" in section(text, "Robustness")
    assert "general skills" in section(text, "Forgetting").lower()
    assert "- One seed of training." in section(text, "Limits")
    assert whole().digest in section(text, "How to verify")
    assert "inconsistent 60" in section(text, "Training data")
    assert "apache-2.0-and-cc-by-4.0" in section(text, "Licence")
    assert "not legal advice" in section(text, "Licence")


def test_a_model_card_says_what_was_not_measured() -> None:
    text = model_card(
        facts(inputs=ReportInputs((), ()), measurements=(), record=None, language=(), base_id="", sources=())
    )
    head = head_of(text)
    assert "model-index" not in head
    assert "model_name" not in head
    assert "base_model" not in head
    assert "language" not in head
    for title in ("Evaluation", "Does it look at the picture?", "Robustness", "Forgetting"):
        assert "Not measured" in section(text, title)
    assert "None were made." in section(text, "Claims")
    assert "There is no evidence record" in section(text, "How to verify")
    assert "There is no evidence record" in section(text, "Limits")
    assert "Nobody stated the sources." in section(text, "Training data")


@pytest.mark.parametrize(
    ("value", "low", "high", "said"),
    [
        (0.30, 0.25, 0.35, "The score rests on the picture: with another question's picture it loses 30.0"),
        (0.01, -0.01, 0.03, "The answer barely depends on the picture"),
        (0.02, 0.01, 0.03, "The answer barely depends on the picture"),
        (-0.02, -0.04, 0.0, "barely depends on the picture: with another question's picture it gains 2.0"),
        (0.04, -0.04, 0.12, "It is not shown that the answers depend on the picture"),
    ],
)
def test_reliance_is_called_what_its_interval_says(value: float, low: float, high: float, said: str) -> None:
    assert said in reliance(value, low, high)


def test_reliance_without_an_interval_is_not_resolved() -> None:
    assert "not resolved" in reliance(0.3, -1.0, 1.0, "one_cluster")
    assert reliance_sentence({}) == ""


@pytest.mark.parametrize("name", ["name", "base_model", "intended_use", "citation"])
def test_no_text_of_a_model_breaks_the_head_or_the_page(name: str) -> None:
    check_inert(model_card(facts(**{name: HOSTILE})), "other")


def test_no_text_of_a_run_breaks_a_model_card() -> None:
    hostile = rich(HOSTILE)
    source = DataSource(HOSTILE, HOSTILE, 1, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    given = facts(
        inputs=replace(hostile, benchmarks=tuple(replace(each, scorer="s") for each in hostile.benchmarks)),
        sources=(source,),
        about=((HOSTILE, HOSTILE),),
        tags=(HOSTILE,),
        language=(HOSTILE,),
        out_of_scope=(HOSTILE,),
        base_id=HOSTILE,
        base_licence=HOSTILE,
        repo=HOSTILE,
        on_hub={"bench open": HubBenchmark(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)},
    )
    text = model_card(given)
    check_inert(text, "other")
    assert head_of(text)["license_name"] == NOT_DERIVED
    assert "datasets" not in head_of(text)
    assert "base_model" not in head_of(text)


def test_hostile_names_of_benchmarks_stay_values_of_the_head() -> None:
    name = "b\n---\nlicense: mit\n---\n'\"|<script>"
    bench = (BenchmarkFacts(name, "s\n---\n", 2),)
    scores = (Measurement(f"{name}/adapted/original", 0.5, 0.4, 0.6, 2, 2, 1.0, "cluster_bootstrap"),)
    text = model_card(facts(inputs=ReportInputs((), bench), measurements=scores))
    check_inert(text, "other")
    result = head_of(text)["model-index"][0]["results"][0]
    assert result["dataset"]["name"] == "b --- license: mit --- '\"|<script>"
    assert result["metrics"][0]["type"] == "s ---"


def test_no_text_breaks_a_data_set_card() -> None:
    path = "data/'a\": b\n---\n| <script>.parquet"
    text = dataset_card(
        data_facts(
            name=HOSTILE,
            files=(DataFile(path, 1, "task", HOSTILE, HOSTILE),),
            makers=(Maker(HOSTILE, HOSTILE, HOSTILE),),
            about=HOSTILE,
            personal_data=HOSTILE,
            limits=(HOSTILE,),
            tags=(HOSTILE,),
            licence=HOSTILE,
            licence_link=HOSTILE,
            citation=HOSTILE,
            rooms=rich(HOSTILE).rooms,
            quality=rich(HOSTILE).quality,
            task_types=rich(HOSTILE).task_types,
        )
    )
    check_inert(text, "other")
    assert DatasetCard(text).data.to_dict()["configs"][0]["data_files"][0]["path"] == [path]


def check_inert(text: str, licence: str) -> None:
    head = head_of(text)
    assert head["license"] == licence
    assert "pipeline_tag" in head or "pretty_name" in head
    body = text.split("\n---\n", 1)[1]
    outside = re.sub(r"^(`{3,})[^`\n]*\n.*?^\1$", "", body, flags=re.S | re.M)
    assert not re.search(r"<(script|img)", outside)
    assert not re.search(r"(?<!\\)\]\((javascript|http)", outside)
    assert "\n# owned" not in outside
    assert "\u202e" not in text
    assert "\x00" not in text


def test_a_refused_licence_is_seen_and_keeps_a_card_from_being_published() -> None:
    text = model_card(facts(sources=(DataSource("scraped", "unknown"),)))
    head = head_of(text)
    assert (head["license"], head["license_name"]) == ("other", NOT_DERIVED)
    assert "> **No licence was derived.**" in text
    assert "The source “scraped” states no licence." in section(text, "Licence")
    assert "Its licence was not derived." in section(text, "Limits")
    assert "ingest.licence" in refusal_in(text)
    named = model_card(facts(sources=(DataSource("scraped", "unknown"),), licence="CC BY 4.0"))
    assert head_of(named)["license"] == "cc-by-4.0"
    assert "not derived from its inputs" in section(named, "Licence")
    assert "published table" not in section(named, "Licence")
    assert refusal_in(named) == ""


@pytest.mark.parametrize(
    "card", ["# no head", "---\nlicense: unknown\n---\n", "---\ntags: [x]\n---\n", "---\n: [\n---\n"]
)
def test_a_card_that_names_no_licence_is_not_published(card: str) -> None:
    assert refusal_in(card) != ""


def test_a_licence_of_ones_own_is_named_with_its_link() -> None:
    found = named_licence("Acme Research License v2", "https://acme.example/licence")
    assert (found.licence, found.name) == ("other", "acme-research-license-v2")
    head = head_of(model_card(facts(licence="Acme Research License v2", licence_link="LICENSE")))
    assert (head["license_name"], head["license_link"]) == ("acme-research-license-v2", "LICENSE")


def test_an_adapter_is_called_one() -> None:
    text = model_card(facts(relation="adapter", repo="us/lora"))
    assert head_of(text)["base_model_relation"] == "adapter"
    assert head_of(text)["library_name"] == "peft"
    assert "peft library" in section(text, "How to use")


def test_equal_facts_give_equal_cards() -> None:
    assert model_card(facts()) == model_card(facts())
    assert dataset_card(data_facts()) == dataset_card(data_facts())


def test_the_head_of_a_data_set_card_is_the_hubs() -> None:
    text = dataset_card(data_facts(language=("en", "de")))
    read = DatasetCard(text).data
    assert isinstance(read, DatasetCardData)
    head = read.to_dict()
    assert head["license"] == "cc-by-4.0"
    assert head["annotations_creators"] == ["machine-generated"]
    assert (head["size_categories"], head["language"]) == (["n<1K"], ["en", "de"])
    assert head["source_datasets"] == ["original"]
    assert [each["config_name"] for each in head["configs"]] == ["conversations", "tasks"]
    assert "The pictures do not go along" in section(text, "Pictures")
    assert "searched it for personal data" in section(text, "Personal data")
    assert "Accuracy | 81.0" in section(text, "Quality")
    assert "begins with “Llama”" in section(text, "How it was made")


@pytest.mark.parametrize(
    ("n", "name"), [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (99_999, "10K<n<100K"), (10**9, "n>100M")]
)
def test_sizes_are_named_as_the_hub_does(n: int, name: str) -> None:
    assert size_category(n) == name


def test_the_code_of_a_data_set_card_names_its_place_on_the_hub() -> None:
    assert 'load_dataset("us/cells", "conversations")' in dataset_card(data_facts(repo="us/cells"))
    hostile = dataset_card(data_facts(repo='x", exit()) #'))
    assert 'load_dataset("ORGANISATION/NAME", "conversations")' in hostile


def test_every_column_of_a_row_is_described() -> None:
    for kind, record in KINDS.items():
        assert set(FIELDS[kind]) == {each.name for each in fields(record)}


def test_load_dataset_finds_the_configs_of_a_card(tmp_path: Path) -> None:
    told = [
        Conversation(f"c{at}", (), (Turn("user", "What?", False), Turn("assistant", "Two.", True)), 1, ("p",))
        for at in range(2)
    ]
    judged = JudgedTriplet("t", "p", "What?", "Two cells.", "Two.", "rules", "open", 0.1, 0.2, 0.7, "judge")
    (tmp_path / "data").mkdir()
    write_records(tmp_path / "data" / "conversations.parquet", told, Conversation)
    write_records(tmp_path / "data" / "judged.parquet", [judged], JudgedTriplet)
    (tmp_path / "README.md").write_text(dataset_card(data_facts()), encoding="utf-8")
    cache = str(tmp_path / "cache")
    assert datasets.get_dataset_config_names(str(tmp_path)) == ["conversations", "tasks"]
    loaded = datasets.load_dataset(str(tmp_path), "conversations", split="train", cache_dir=cache)
    assert [each["id"] for each in loaded] == ["c0", "c1"]
    assert set(loaded.column_names) == set(FIELDS["conversation"])
    tasks = datasets.load_dataset(str(tmp_path), "tasks", split="train", cache_dir=cache)
    assert tasks[0]["precise"] == "Two."
