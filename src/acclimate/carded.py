"""The cards of a run's model and data set, gathered from its recipe, its finished artifacts and its record.

They lie beside the record, in `RUN/cards`: a card quotes its record's digest, so it can be no part of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

from acclimate.artifacts import RECORD, RUN
from acclimate.engines.hub import hub_name, model_folder
from acclimate.engines.spec import spec_of
from acclimate.errors import EngineError, UsageError
from acclimate.evaluate.catalogue import published, read_spec
from acclimate.files import ImageStore, read_json, write_text
from acclimate.gathered import report_inputs
from acclimate.licences import Derived, licence_of
from acclimate.recipe import Recipe
from acclimate.recorded import Written
from acclimate.report.card_text import DataSource
from acclimate.report.dataset_card import DataFacts, DataFile, Maker, dataset_card
from acclimate.report.inputs import BenchmarkFacts, ReportInputs
from acclimate.report.model_card import CardFacts, HubBenchmark, card_files, licence_of_model
from acclimate.steps import BASE
from acclimate.train.stage import TrainConfig

CARDS, MODEL, DATASET, README = "cards", "model", "dataset", "README.md"
DATA_FILE = "data/conversations.parquet"
"""Where the data set's card says that its file lies."""
REPORT = "report"
_UNNAMED = Recipe.model_fields["name"].default


@dataclass(frozen=True, slots=True)
class Cards:
    """Cards as they were written."""

    folder: Path
    licence: Derived
    """The model's."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What a reader may know of a model that took part: never where it lies."""

    name: str = ""
    hub: str = ""
    licence: str = ""


def write_cards(
    recipe: Recipe, base: Path, root: Path, homes: Mapping[str, Path], inputs: ReportInputs, written: Written
) -> Cards:
    """Write `cards/model` and `cards/dataset` anew; equal inputs give equal bytes.

    There is no data set's card where nothing was composed: ready-made conversations have cards of their own.

    Args:
        base: what the recipe's paths count from.
        root: the run's folder. homes: its finished artifacts by step, in the order of the line.
        inputs: what the report shows. written: the record that was made of it.

    Raises:
        ArtifactError: an artifact's record is missing or damaged.
    """
    facts = model_facts(recipe, homes, inputs, written)
    files = {f"{MODEL}/{name}": text for name, text in card_files(facts).items()}
    data = data_facts(recipe, base, homes, inputs, written)
    if data is not None:
        files[f"{DATASET}/{README}"] = dataset_card(data)
    folder = root / CARDS
    for stale in (folder / DATASET / README, *(folder / MODEL).glob(".eval_results/*.yaml")):
        stale.unlink(missing_ok=True)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_text(folder / name, text)
    return Cards(folder, licence_of_model(facts))


def unscored(recipe: Recipe, homes: Mapping[str, Path], store: ImageStore) -> ReportInputs:
    """Return what a card can show of a run that was trained and not reported: its rooms and environment."""
    return report_inputs(homes, store, keep=recipe.compose.keep, n_examples=0, limit=recipe.limit)


def follow(
    record: Path,
    recipe: Recipe,
    base: Path,
    root: Path,
    homes: Mapping[str, Path],
    inputs: ReportInputs,
    written: Written,
) -> None:
    """Write the cards of a record that was rendered anew; those of a copy elsewhere stay as they are.

    Args:
        record: the record's folder. The others are as in `write_cards`.
    """
    if record.resolve() == (root / REPORT).resolve():
        write_cards(recipe, base, root, homes, inputs, written)


def model_files(
    recipe: Recipe,
    homes: Mapping[str, Path],
    inputs: ReportInputs,
    written: Written | None,
    *,
    repo: str,
    licence: str,
) -> dict[str, str]:
    """Return the files of the trained model's card by their path on the hub; arguments as `model_facts`."""
    return card_files(model_facts(recipe, homes, inputs, written, repo=repo, licence=licence))


def dataset_text(
    recipe: Recipe,
    base: Path,
    homes: Mapping[str, Path],
    inputs: ReportInputs,
    written: Written | None,
    *,
    repo: str,
    licence: str,
) -> str:
    """Return the card of the composed conversations for the hub; arguments as `data_facts`.

    Raises:
        UsageError: nothing was composed.
    """
    facts = data_facts(recipe, base, homes, inputs, written, repo=repo, licence=licence)
    if facts is None:
        raise UsageError(
            "This recipe composes no conversations: it trains on ready-made ones, which their makers "
            "publish. Leave out --push-dataset-to-hub."
        )
    return dataset_card(facts)


def model_facts(
    recipe: Recipe,
    homes: Mapping[str, Path],
    inputs: ReportInputs,
    written: Written | None,
    *,
    repo: str = "",
    licence: str = "",
) -> CardFacts:
    """Return what the card of the trained model shows.

    Args:
        homes: the finished artifacts by step; training is among them.
        inputs: what the report shows; of a run that was not reported, `unscored`.
        written: the run's record; None where there is none: the card then says so.
        repo: `organisation/name` that the model goes to; empty where it goes nowhere.
        licence: named by whoever publishes; empty takes the recipe's (`train.licence`), or derives it.
    """
    begun = _begun(homes, "train-captions" if "train-captions" in homes else "train")
    own = "" if recipe.name == _UNNAMED else recipe.name
    return CardFacts(
        name=repo.rpartition("/")[2] or own or f"{begun.name or 'model'}, adapted",
        inputs=inputs,
        measurements=() if written is None else written.measurements,
        base_model=begun.name,
        base_licence=begun.licence,
        sources=(*_composed_from(recipe, homes), *_ready(recipe, homes)),
        record=None if written is None else written.record,
        repo=repo,
        base_id=begun.hub,
        about=tuple(_about(recipe, homes)),
        licence=licence or recipe.train.licence or "",
        on_hub=dict(_on_hub(recipe, inputs.benchmarks)),
    )


def data_facts(
    recipe: Recipe,
    base: Path,
    homes: Mapping[str, Path],
    inputs: ReportInputs,
    written: Written | None,
    *,
    repo: str = "",
    licence: str = "",
) -> DataFacts | None:
    """Return what the card of the composed conversations shows; None where nothing was composed.

    Args:
        base: what the recipe's paths count from.
        homes: the finished artifacts by step, in the order of the line.
        inputs, written, repo, licence: as in `model_facts`; a licence is derived from the sources' alone.
    """
    if "compose" not in homes:
        return None
    made: Any = read_json(homes["compose"] / RECORD)
    steps = _needed(homes, "compose")
    return DataFacts(
        name=repo.rpartition("/")[2] or f"{recipe.name} (conversations)",
        files=(DataFile(DATA_FILE, int(made["counts"]["conversations"])),),
        sources=tuple(_composed_from(recipe, homes)),
        makers=tuple(_makers(recipe, base, homes)),
        rooms=tuple(each for each in inputs.rooms if each.name in steps),
        quality=inputs.quality,
        task_types=inputs.task_types,
        record=None if written is None else written.record,
        limit=recipe.limit,
        repo=repo,
        licence=licence,
    )


# --- what went in --------------------------------------------------------------------------------


def _composed_from(recipe: Recipe, homes: Mapping[str, Path]) -> Iterator[DataSource]:
    """Yield the pairs, and the seed examples that are general tasks."""
    if recipe.ingest is not None and "ingest" in homes:
        record: Any = read_json(homes["ingest"] / RECORD)
        name, taken = Path(recipe.ingest.source).name, int(record["counts"]["pairs"])
        yield DataSource(name, recipe.ingest.licence, taken, note="image-caption pairs")
    general = recipe.general_seeds
    step = "general" if "general" in homes else "seeds"
    if general is not None and step in homes:
        record = read_json(homes[step] / RECORD)
        taken = int(record["counts"]["outputs"])
        yield DataSource(Path(general.source).name, general.licence, taken, note="general tasks")


def _ready(recipe: Recipe, homes: Mapping[str, Path]) -> Iterator[DataSource]:
    """Yield the ready-made conversations; counted where they are of one source."""
    if "conversations" not in homes:
        return
    record: Any = read_json(homes["conversations"] / RECORD)
    taken = int(record["counts"]["outputs"]) if len(recipe.conversations) == 1 else None
    for each in recipe.conversations:
        file = Path(each.source).name
        yield DataSource(each.title, each.licence, taken, file, note="ready-made conversations")


def _begun(homes: Mapping[str, Path], step: str) -> _Known:
    """Return the checkpoint that a training began with, as its run.json names it."""
    if step not in homes:
        return _Known()
    ran: Any = read_json(homes[step] / RUN)
    return _Known(**ran.get(BASE, {}))


def _needed(homes: Mapping[str, Path], step: str) -> set[str]:
    """Return a step and all that it needs."""
    inputs: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    for name, home in homes.items():
        record: Any = read_json(home / RECORD)
        names[record["fingerprint"]] = name
        inputs[name] = list(record["inputs"].values())
    found, waiting = set[str](), [step]
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting += [names[each] for each in inputs[name] if each in names and names[each] not in found]
    return found


# --- how it was made -----------------------------------------------------------------------------


def _about(recipe: Recipe, homes: Mapping[str, Path]) -> Iterator[tuple[str, str]]:
    stages = [(1, "train-captions", "First stage: "), (2, "train", "Second stage: ")]
    if "train-captions" not in homes:
        stages = [(2, "train", "")]
    for stage, step, prefix in stages:
        config = recipe.train.of_stage(stage)
        record: Any = read_json(homes[step] / RECORD)
        if "model" in record.get("engines", {}):
            yield "Identity of the base model", record["engines"]["model"]
        for name, value in chain(_trained(config), _counted(record)):
            yield f"{prefix}{name}" if prefix else name[0].upper() + name[1:], value


def _trained(config: TrainConfig) -> Iterator[tuple[str, str]]:
    lora = config.lora
    method = {"full": "all weights", "lora": "LoRA, merged", "qlora": "QLoRA, merged"}[config.method]
    if config.method != "full":
        method += f": rank {lora.rank}, alpha {lora.alpha}, on {', '.join(lora.targets)}"
    yield "method", method
    steps = "" if config.max_steps is None else f", at most {config.max_steps} steps"
    yield "epochs", f"{config.epochs}{steps}"
    yield "conversations per step", str(config.batch_size)
    rates = {group: config.learning_rate_of(group) for group in ("language", "projector", "vision")}
    learns = [group for group in rates if group not in config.freeze]
    yield "learning rate at its peak", ", ".join(f"{group} {rates[group]:g}" for group in learns)
    if config.freeze:
        yield "kept as it was", ", ".join(config.freeze)
    yield "precision", config.precision
    yield "seed", str(config.seed)


def _counted(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "conversations", f"{record['counts']['outputs']:,}"
    facts = record["facts"]
    yield "tokens", f"{facts['total_tokens']:,}, of which {facts['trained_tokens']:,} were learned from"


def _makers(recipe: Recipe, base: Path, homes: Mapping[str, Path]) -> Iterator[Maker]:
    """Yield what wrote and judged the tasks that conversations are composed of."""
    yield Maker("composed by", f"acclimate {version('acclimate')}, a program")
    if recipe.compose.has_synthetic:
        yield from _writers(recipe, base, homes)
    if recipe.compose.has_general:
        yield Maker("general tasks", "the seed examples as they are")
    if recipe.curate.needs_judge and (recipe.compose.has_synthetic or recipe.compose.has_general):
        judge = _asked(recipe.curate.judge, base, homes)
        yield Maker("judge of consistency", judge.name, judge.licence)


def _writers(recipe: Recipe, base: Path, homes: Mapping[str, Path]) -> Iterator[Maker]:
    config, tuning = recipe.synthesize, recipe.synthesizer
    if not config.needs_engine:
        yield Maker("tasks", f"the method `{config.generator}` of acclimate, no model")
    elif config.model == "tuned" and tuning is not None:
        begun = _begun(homes, "tune-synthesizer")
        yield Maker("synthesizer, tuned in this run from", begun.name, begun.licence)
        yield Maker("its worked examples", Path(tuning.seeds.source).name, tuning.seeds.licence)
    else:
        asked = _asked(config.model, base, homes)
        yield Maker(f"tasks, by the method `{config.generator}`", asked.name, asked.licence)


def _asked(value: str | Mapping[str, Any], base: Path, homes: Mapping[str, Path]) -> _Known:
    """Return the model that a recipe's value means, as far as a reader may know it."""
    if value == "base":
        return _begun(homes, "train-captions" if "train-captions" in homes else "train")
    spec = spec_of(value)
    if spec.engine != "transformers":
        return _Known(spec.model)
    try:
        folder = model_folder(spec.model, base)
    except EngineError:
        return _Known(spec.model)
    name = hub_name(folder)
    return _Known(name or folder.name, name or "", licence_of(folder))


def _on_hub(recipe: Recipe, facts: Sequence[BenchmarkFacts]) -> Iterator[tuple[str, HubBenchmark]]:
    """Yield where the published benchmarks' questions are on the hub, as their definitions say."""
    shipped = published()
    specs = [read_spec(shipped[name]) for name in recipe.evaluate.benchmarks if name in shipped]
    for each in facts:
        for spec in specs:
            if spec.hub is not None and (each.name == spec.name or each.name.startswith(f"{spec.name}_")):
                yield each.name, HubBenchmark(spec.hub.repository, split=spec.split)
