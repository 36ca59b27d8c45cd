"""The cards of a run's model and data set, gathered from its recipe, its finished artifacts and its record.

They lie beside the record, in `RUN/cards`: a card quotes its record's digest, so it can be no part of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

from acclimate.answered import answered_in
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
from acclimate.report.evidence.record import Record
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


@dataclass(frozen=True, slots=True)
class Filled:
    """What a run's cards are filled from."""

    recipe: Recipe
    base: Path
    """What the recipe's paths count from."""
    homes: Mapping[str, Path]
    """The run's finished artifacts by step, in the order of the line; training is among them."""
    inputs: ReportInputs
    """What the report shows; of a run that was not reported, `unscored`."""
    written: Written | None = None
    """The run's record; None where there is none: the cards then say so."""
    repo: str = ""
    """`organisation/name` on the hub that the card is for; empty for a folder."""
    licence: str = ""
    """Named by whoever publishes; empty takes the recipe's (`train.licence`, of the model) or derives it."""

    @property
    def record(self) -> Record | None:
        """The record's manifest."""
        return None if self.written is None else self.written.record


def unscored(recipe: Recipe, homes: Mapping[str, Path], store: ImageStore) -> ReportInputs:
    """Return what a card can show of a run that was trained and not reported: its rooms and environment."""
    return report_inputs(
        homes, store, answered_in(homes), keep=recipe.compose.keep, n_examples=0, limit=recipe.limit
    )


def write_cards(run: Filled, root: Path) -> Cards:
    """Write `cards/model` and `cards/dataset` anew; equal inputs give equal bytes.

    There is no data set's card where nothing was composed: ready-made conversations have cards of their own.

    Args:
        root: the run's folder.

    Raises:
        ArtifactError: an artifact's record is missing or damaged.
    """
    facts, data = model_facts(run), data_facts(run)
    files = {f"{MODEL}/{name}": text for name, text in card_files(facts).items()}
    if data is not None:
        files[f"{DATASET}/{README}"] = dataset_card(data)
    folder = root / CARDS
    for stale in (folder / DATASET / README, *(folder / MODEL).glob(".eval_results/*.yaml")):
        stale.unlink(missing_ok=True)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_text(folder / name, text)
    return Cards(folder, licence_of_model(facts))


def follow(run: Filled, root: Path, record: Path) -> None:
    """Write the cards of a record that was rendered anew; those of a copy elsewhere stay as they are.

    Args:
        root: the run's folder. record: the record's.
    """
    if record.resolve() == (root / REPORT).resolve():
        write_cards(run, root)


def model_files(run: Filled) -> dict[str, str]:
    """Return the files of the trained model's card, by their path on the hub."""
    return card_files(model_facts(run))


def dataset_text(run: Filled) -> str:
    """Return the card of the composed conversations.

    Raises:
        UsageError: nothing was composed.
    """
    facts = data_facts(run)
    if facts is None:
        raise UsageError(
            "This recipe composes no conversations: it trains on ready-made ones, which their makers "
            "publish. Leave out --push-dataset-to-hub."
        )
    return dataset_card(facts)


def model_facts(run: Filled) -> CardFacts:
    """Return what the card of the trained model shows."""
    recipe, homes = run.recipe, run.homes
    begun = _begun(homes, "train-captions" if "train-captions" in homes else "train")
    own = "" if recipe.name == _UNNAMED else recipe.name
    return CardFacts(
        name=run.repo.rpartition("/")[2] or own or f"{begun.name or 'model'}, adapted",
        inputs=run.inputs,
        measurements=() if run.written is None else run.written.measurements,
        base_model=begun.name,
        base_licence=begun.licence,
        sources=(*_composed_from(recipe, homes), *_ready(recipe, homes)),
        record=run.record,
        repo=run.repo,
        base_id=begun.hub,
        about=tuple(_about(recipe, homes)),
        licence=run.licence or recipe.train.licence or "",
        on_hub=dict(_on_hub(recipe, run.inputs.benchmarks)),
    )


def data_facts(run: Filled) -> DataFacts | None:
    """Return what the card of the composed conversations shows; None where nothing was composed."""
    recipe, homes = run.recipe, run.homes
    if "compose" not in homes:
        return None
    made: Any = read_json(homes["compose"] / RECORD)
    steps = _needed(homes, "compose")
    return DataFacts(
        name=run.repo.rpartition("/")[2] or f"{recipe.name} (conversations)",
        files=(DataFile(DATA_FILE, int(made["counts"]["conversations"])),),
        sources=tuple(_composed_from(recipe, homes)),
        makers=tuple(_makers(recipe, run.base, homes)),
        rooms=tuple(each for each in run.inputs.rooms if each.name in steps),
        quality=run.inputs.quality,
        task_types=run.inputs.task_types,
        record=run.record,
        limit=recipe.limit,
        repo=run.repo,
        licence=run.licence,
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
