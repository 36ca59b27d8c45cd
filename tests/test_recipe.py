"""The user's recipe: what is read, what is refused, and what decides an identity."""

from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from acclimate.errors import RecipeError
from acclimate.lab import start
from acclimate.recipe import Recipe, identity, load_recipe, recipe_text
from tests.small_lines import write_pairs

PLAIN = "ingest:\n  source: pairs.json\ntrain:\n  model: base\n"
TUNED = PLAIN + "synthesizer:\n  model: base\n  seeds: {source: seeds.json}\n"


def _load(folder: Path, text: str | bytes, *overrides: str) -> Recipe:
    path = folder / "recipe.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return load_recipe(path, overrides)


def _refusal(folder: Path, text: str | bytes, *overrides: str) -> str:
    with pytest.raises(RecipeError) as caught:
        _load(folder, text, *overrides)
    message = str(caught.value)
    assert "\n" not in message, "a message is one paragraph"
    return message


def test_a_short_recipe_is_filled_with_the_rooms_own_values(tmp_path: Path) -> None:
    recipe = _load(tmp_path, PLAIN)
    assert recipe.ingest.source == "pairs.json"
    assert recipe.synthesizer is None
    assert recipe.compose.keep == ("consistent", "unjudged")
    assert recipe.train.mask == "responses"


def test_the_synthesizer_is_tuned_with_its_own_mask_and_schedule(tmp_path: Path) -> None:
    recipe = _load(tmp_path, TUNED)
    assert recipe.synthesizer is not None
    assert recipe.synthesizer.train.mask == "continuation"
    assert recipe.synthesizer.train.epochs == 2
    assert recipe.synthesizer.blank_images == 0.1
    assert "synthesizer.train.mask" in _refusal(tmp_path, TUNED, "synthesizer.train.mask=replies")


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("trian", "train"),
        ("train.epoch", "train.epochs"),
        ("train.lora.rnk", "train.lora.rank"),
        ("ingest.columns.imag", "ingest.columns.image"),
        ("synthesizer.train.epcohs", "synthesizer.train.epochs"),
        ("curate.execution.threds", "curate.execution.threads"),
        # the name is right, the place is not
        ("threshold", "curate.threshold"),
        ("epochs", "train.epochs"),
        ("compose.threshold", "curate.threshold"),
        ("curate.temperature", "curate.self_consistency.temperature"),
        ("train.micro_batch", "train.execution.micro_batch"),
        ("synthesizer.epochs", "synthesizer.train.epochs"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest_known_one(
    tmp_path: Path, wrong: str, meant: str
) -> None:
    message = _refusal(tmp_path, TUNED, f"{wrong}=1")
    assert f"'{wrong}'" in message
    assert f"did you mean '{meant}'?" in message


def test_a_key_like_no_other_is_answered_with_those_that_are_known_there(tmp_path: Path) -> None:
    message = _refusal(tmp_path, PLAIN + "compose:\n  zzzz: 1\n")
    assert "'compose.zzzz'" in message
    assert "keep, merge, mixture, pictures, seed, tasks" in message


def test_overrides_reach_nested_keys_and_have_the_types_of_yaml(tmp_path: Path) -> None:
    recipe = _load(
        tmp_path,
        PLAIN,
        "train.epochs=3",
        "train.lora.rank=4",
        "train.learning_rate=2e-5",
        "train.method=lora",
        "compose.keep=[consistent, open]",
        "compose.mixture=tasks_only",
        "curate.threshold=0.75",
        "limit=7",
        "name=a = b",
        "report={title: Mine}",
    )
    assert (recipe.train.epochs, recipe.train.lora.rank) == (3, 4)
    assert recipe.train.learning_rate == 2e-5
    assert recipe.train.method == "lora"
    assert recipe.compose.keep == ("consistent", "open")
    assert recipe.compose.mixture == "tasks_only"
    assert (recipe.curate.threshold, recipe.limit) == (0.75, 7)
    assert (recipe.name, recipe.report.title) == ("a = b", "Mine")
    assert _load(tmp_path, PLAIN, "limit=7", "limit=null").limit is None


def test_an_override_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    assert "train.epochs=2" in _refusal(tmp_path, PLAIN, "train.epochs")
    assert "'=3'" in _refusal(tmp_path, PLAIN, "=3")
    assert "nothing below it" in _refusal(tmp_path, PLAIN, "ingest.source.x=1")
    assert "not valid YAML" in _refusal(tmp_path, PLAIN, "train.epochs=[")
    assert "train.epochs" in _refusal(tmp_path, PLAIN, "train.epochs=many")


def test_a_missing_recipe_names_the_command_that_writes_one(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="acclimate init") as caught:
        load_recipe(tmp_path / "none.yaml")
    assert "none.yaml" in str(caught.value)


def test_a_folder_or_a_picture_is_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="YAML text file"):
        load_recipe(tmp_path)
    assert "YAML text file" in _refusal(tmp_path, b"\x89PNG\xff\xfe")
    (tmp_path / "file").write_text("x")
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(tmp_path / "file" / "recipe.yaml")


def test_a_file_that_is_not_yaml_is_refused_with_its_line(tmp_path: Path) -> None:
    assert "line 3" in _refusal(tmp_path, "ingest:\n  source: x\n\tlimit: 3\n")
    assert "not valid YAML" in _refusal(tmp_path, "name: \x00\n")
    for text in ("", "- a\n- b\n", "just words\n"):
        assert "it must hold keys" in _refusal(tmp_path, text)


def test_a_byte_order_mark_is_no_part_of_the_recipe(tmp_path: Path) -> None:
    assert _load(tmp_path, b"\xef\xbb\xbf" + PLAIN.encode()) == _load(tmp_path, PLAIN)


def test_all_faults_stand_in_one_paragraph(tmp_path: Path) -> None:
    text = (
        "ingest: {holdout: 2}\ntrain: {model: m, epochs: 0, method: magic}\ncurate: {prompt: '{precise}'}\n"
    )
    message = _refusal(tmp_path, text)
    for part in ("ingest.source", "ingest.holdout", "train.epochs", "train.method", "curate.prompt"):
        assert part in message
    assert "recipe.yaml" in message


def _keys(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value) | {key for each in value.values() for key in _keys(each)}
    return {key for each in value for key in _keys(each)} if isinstance(value, list) else set()


def test_how_a_room_is_run_is_no_part_of_its_identity(tmp_path: Path) -> None:
    plain = _load(tmp_path, TUNED)
    moved = _load(
        tmp_path,
        TUNED,
        "train.execution.device=cpu",
        "train.execution.micro_batch=3",
        "synthesizer.train.execution.threads=2",
        "synthesize.execution.rows=8",
        "curate.execution.device=cuda",
        "ingest.execution.workers=7",
    )
    assert plain != moved
    for room in ("ingest", "synthesizer", "synthesize", "curate", "compose", "train", "evaluate", "report"):
        config, other = getattr(plain, room), getattr(moved, room)
        assert isinstance(config, BaseModel)
        assert identity(config) == identity(other)
        assert "execution" not in _keys(identity(config))


def test_what_a_room_does_is_its_identity(tmp_path: Path) -> None:
    plain = identity(_load(tmp_path, PLAIN).train)
    assert identity(_load(tmp_path, PLAIN, "train.epochs=9").train) == {**plain, "epochs": 9}
    assert identity(_load(tmp_path, PLAIN, "train.model=other").train, "model") == {
        key: value for key, value in plain.items() if key != "model"
    }


def test_the_resolved_recipe_is_the_recipe(tmp_path: Path) -> None:
    recipe = _load(
        tmp_path,
        TUNED,
        "name='Zellen – 細胞'",
        "compose.keep=[consistent, open]",
        "evaluate.max_tokens={vqa_rad_open: 12}",
        "train.freeze=[vision]",
        "curate.prompt='{instruction}: {informative} / {precise} yes: no # open'",
        "limit=3",
    )
    text = recipe_text(recipe)
    assert _load(tmp_path, text) == recipe
    assert "細胞" in text
    assert yaml.safe_load(text)["train"]["execution"]["micro_batch"] == recipe.train.execution.micro_batch
    assert recipe_text(_load(tmp_path, text)) == text


@pytest.mark.parametrize("name", ["meine Bilder", "all of the verified", "cut ("])
def test_a_first_recipe_asks_a_question_and_makes_claims_that_a_record_may_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(start, "N_SEEDS", 4)
    write_pairs(tmp_path / name, range(4))
    start.write_recipe(tmp_path / name, tmp_path / "recipe.yaml", model=None, force=False)
    found = load_recipe(tmp_path / "recipe.yaml")
    assert [each.id for each in found.report.claims] == ["gain", "looks"]
    assert {each.measure for each in found.report.claims} <= set(found.report.measures)
    assert found.report.question.endswith("?")
    assert (name in found.report.title) == (name == "meine Bilder")
    text = (tmp_path / "recipe.yaml").read_text(encoding="utf-8")
    comment, _, below = text.partition("\nreport:\n")
    assert comment.splitlines()[-1].startswith("#")
    assert "Claims before the run" in comment
    assert "sentence:" in below
