"""What a recipe reads: files and folders that its line needs to be built again, and nothing that it made."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import constants

from acclimate.engines.checkpoint import adapter_base
from acclimate.engines.spec import EngineSpec, spec_of
from acclimate.errors import AcclimateError, UsageError
from acclimate.evaluate.catalogue import locate
from acclimate.recipe import Recipe

_OWN = ("base", "tuned")
"""Words that stand for a model in a recipe."""


@dataclass(frozen=True, slots=True)
class Source:
    """Something that the recipe names."""

    key: str
    """Where the recipe names it."""
    path: Path
    """Absolute, without `..`; links are not followed."""


def sources_of(recipe: Recipe, base: Path) -> list[Source]:
    """Return everything that a recipe's line reads.

    Args:
        base: what the recipe's paths count from; absolute.

    Raises:
        UsageError: the line cannot be built again here: a source is gone, a model stands on a server, or the
            training runs on a cluster. The message names the key.
    """
    found = [
        *_data(recipe, base),
        *_benchmarks(recipe, base),
        *_models(recipe, base),
        *_launches(recipe, base),
    ]
    gone = [each for each in found if not each.path.exists()]
    if gone:
        first = gone[0]
        more = f", and {len(gone) - 1} more" if len(gone) > 1 else ""
        raise UsageError(
            f"The line cannot be built again: {first.key} names {first.path}, which is not there{more}. Put "
            "the recorded data back where the recipe names it, or verify at depth generate."
        )
    return found


def _data(recipe: Recipe, base: Path) -> Iterator[Source]:
    named: list[tuple[str, Any]] = [("ingest", recipe.ingest), ("general", recipe.general)]
    if recipe.synthesizer is not None:
        named.append(("synthesizer.seeds", recipe.synthesizer.seeds))
    named += [(f"conversations.{at}", each) for at, each in enumerate(recipe.conversations)]
    for key, part in named:
        if part is None:
            continue
        source = _at(base, part.source)
        yield Source(f"{key}.source", source)
        if part.image_root:
            yield Source(f"{key}.image_root", _at(base, part.image_root))
        else:
            yield Source(f"{key}.source", source.parent)


def _benchmarks(recipe: Recipe, base: Path) -> Iterator[Source]:
    for at, name in enumerate(recipe.evaluate.benchmarks):
        key = f"evaluate.benchmarks.{at}"
        try:
            located = locate(name, data=base / recipe.evaluate.data, base=base)
            located.require()
        except AcclimateError as error:
            raise UsageError(f"The line cannot be built again: {key}: {error}.") from error
        yield Source(key, _at(base, str(located.source)))
        if located.folder is not None:
            yield Source(key, _in_cache(_at(base, str(located.folder))))
            roots = (_at(located.folder, each) for each in located.spec.image_root)
            yield from (Source(key, each) for each in roots if each.exists())


def _models(recipe: Recipe, base: Path) -> Iterator[Source]:
    for key, value in _named_models(recipe):
        if value in _OWN and key not in ("train.model", "synthesizer.model"):
            continue
        try:
            spec = spec_of(value, base)
        except AcclimateError as error:
            raise UsageError(f"The line cannot be built again: {key}: {error}") from error
        if spec.engine != "transformers":
            raise UsageError(
                f"The line cannot be built again: {key} names {spec.model}, a model on a server, and a "
                "sealed run has no network. Verify at depth generate, which asks the models of the run again."
            )
        yield from model_sources(key, spec)


def _named_models(recipe: Recipe) -> Iterator[tuple[str, Any]]:
    yield "train.model", recipe.train.model
    if recipe.synthesizer is not None:
        yield "synthesizer.model", recipe.synthesizer.model
    if recipe.ingest is not None and recipe.synthesize.needs_engine:
        yield "synthesize.model", recipe.synthesize.model
    if recipe.ingest is not None and recipe.curate.needs_judge:
        yield "curate.judge", recipe.curate.judge
    if recipe.curate.reliance is not None:
        yield "curate.reliance.model", recipe.curate.reliance.model
    if recipe.evaluate.judge is not None:
        yield "evaluate.judge", recipe.evaluate.judge
    for at, each in enumerate(recipe.evaluate.further):
        yield f"evaluate.further.{at}.model", each.model


def model_sources(key: str, spec: EngineSpec) -> Iterator[Source]:
    """Yield the folder of a checkpoint, and that of the model below where it is an adapter."""
    folder = Path(spec.model)
    yield Source(key, _in_cache(folder))
    below = adapter_base(folder) if folder.exists() else None
    if below is not None:
        yield Source(key, _in_cache(below))


def _launches(recipe: Recipe, base: Path) -> Iterator[Source]:
    trainings = [("train", recipe.train.execution)]
    if recipe.synthesizer is not None:
        trainings.append(("synthesizer.train", recipe.synthesizer.train.execution))
    for key, execution in trainings:
        if execution.engine == "ray":
            raise UsageError(
                f"The line cannot be built again: {key}.execution.engine is ray, and a sealed run reaches no "
                "cluster. Verify at depth generate."
            )
        path = Path(execution.launch)
        if execution.processes > 1 and path.is_file():
            yield Source(f"{key}.execution.launch", _at(base, str(path.absolute())))


def _at(base: Path, value: str) -> Path:
    return Path(os.path.normpath(base / value))


def _in_cache(folder: Path) -> Path:
    """Return the whole copy of a hub's repository for one of its snapshots, whose files are links into it."""
    cache = Path(constants.HF_HUB_CACHE)
    if folder.is_relative_to(cache):
        return cache / folder.relative_to(cache).parts[0]
    return folder


def shown(sources: Iterable[Source], hidden: Path | None, seen: Iterable[Path]) -> list[Path]:
    """Return the paths that are shown to a sealed run: none twice, none inside another, nothing of the run's.

    Args:
        hidden: the run's folder; of a folder around it, all but that is shown. None hides nothing.
        seen: what every sealed run sees already.
    """
    wanted = {path for each in sources for path in _without(each.path, hidden)}
    known = list(seen)
    kept: list[Path] = []
    for path in sorted(wanted, key=lambda each: (len(each.parts), each)):
        if not any(path.is_relative_to(each) for each in (*known, *kept)):
            kept.append(path)
    return kept


def _without(path: Path, hidden: Path | None) -> Iterator[Path]:
    if hidden is None:
        yield path
        return
    if path.resolve().is_relative_to(hidden):
        return
    if not hidden.is_relative_to(path.resolve()):
        yield path
        return
    for each in sorted(path.iterdir()):
        yield from _without(each, hidden)
