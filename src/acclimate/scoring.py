"""Scores one checkpoint, or a file of predictions, without a recipe: `acclimate evaluate --benchmark ...`."""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeAlias

from acclimate import artifacts
from acclimate.engines.checkpoint import require_checkpoint
from acclimate.engines.protocol import Engine
from acclimate.engines.spec import EngineExecution, spec_of
from acclimate.errors import BenchmarkError
from acclimate.evaluate.catalogue import locate
from acclimate.evaluate.conditions import ORIGINAL, covers_all, is_corruption
from acclimate.evaluate.ensemble import Answered, Form, SettleConfig, complement, settle, tally, upper_bound
from acclimate.evaluate.judged import Judgement, judge, needs_judge, relative_marks, require_judge
from acclimate.evaluate.letters import paper_letter, strict_letter
from acclimate.evaluate.likelihoods import FILE as LIKELIHOODS
from acclimate.evaluate.likelihoods import Likelihood, by_answer
from acclimate.evaluate.load import Benchmark, load_benchmark
from acclimate.evaluate.predictions import Matched, match, read_reviews
from acclimate.evaluate.reviews import FAILED_PAIR, mean_of_ratios, ratio_of_means, read_verdict, reread
from acclimate.evaluate.samples import write_samples
from acclimate.evaluate.stage import EvaluateConfig, primary_by_benchmark, score
from acclimate.evaluate.sums import published_sums
from acclimate.files import ImageStore, read_records, write_json, write_records
from acclimate.records import Item, Prediction, Rejection, Score
from acclimate.reliance_scoring import write_reliance
from acclimate.report.measure import Sum, measure
from acclimate.report.statistics import Column, interval, resample
from acclimate.robustness_scoring import write_robustness
from acclimate.steps import evaluation_step, items_step
from acclimate.text_scoring import AGAINST, ROLE, measurements_by_benchmark
from acclimate.workplace import Engines, Model, Place, Progress, Silent

Judge: TypeAlias = tuple[Engine, EvaluateConfig, artifacts.ReplyLog | None]
"""Who marks answers, how it is asked, and what it has said before."""


def score_checkpoint(
    model: Path,
    benchmarks: Sequence[str | Path],
    out: Path,
    *,
    config: EvaluateConfig,
    execution: EngineExecution,
    progress: Progress | None = None,
    substitute: Callable[[Path], Engine] | None = None,
) -> dict[str, Any]:
    """Ask a checkpoint every question under every condition; return its measurements with their intervals.

    The same call after a crash goes on where it stopped; a finished one is only read.

    Args:
        model: the checkpoint's folder, or its name on the Hugging Face hub.
        benchmarks: YAML files, or names of published benchmarks.
        out: receives artifacts, replies, pictures and `measurements.json`.
        config: conditions, seed, `data`, `judge`, and `limit` for tests; its own list of benchmarks is not
            used.
        substitute: an engine in the model's place, for tests.

    Returns:
        `model`, `limit`, `rows` and `rejections` by benchmark, `beside` (what a benchmark's training file
        gives away), `primary` scorers, and `measurements` by benchmark and what was measured (`original`,
        `mismatch`, `blank`, `vrs`, `unparsed`, ...): value, interval, n, n_clusters, coverage and method,
        fractions 0 to 1; `reliance`: how far answers rest on the picture, where there are several conditions;
        `robustness`: what corrupted pictures cost (`robustness_scoring.write_robustness`).

    Raises:
        EngineError: the model is no checkpoint; BenchmarkError: a benchmark cannot be used.
    """
    located = [locate(each, data=Path(config.data)) for each in benchmarks]
    for each in located:
        each.require()
    out = out.resolve()
    store = ImageStore(out)
    place = Place(out, store, Engines(store, out / "hashes", substitute=substitute), progress or Silent())
    chosen = Model(spec_of(str(model), Path()))
    place.needs(chosen)  # a folder that is no checkpoint is refused before any picture is read
    marker = None if config.judge is None else Model.named(config.judge, Path(), "--judge")
    loaded = [load_benchmark(each, store, config.limit) for each in located]
    questions = items_step(loaded, config)
    answers = evaluation_step(ROLE, questions, chosen, config, execution, place, judge=marker)
    for step in (questions, answers):
        reused = artifacts.finished(step, out) is not None
        artifacts.build(step, out)
        place.progress.end(step.name, reused=reused)
    asked, scored = (artifacts.home_of(step, out) for step in (questions, answers))
    items = list(read_records(asked / "items.parquet", Item))
    predictions = list(read_records(scored / "predictions.parquet", Prediction))
    digest = place.engines.identity(chosen.at(out))
    scores = list(read_records(scored / "scores.parquet", Score))
    result = _result(loaded, items, scores, list(read_records(asked / "rejections.parquet", Rejection)))
    likely = list(read_records(scored / LIKELIHOODS, Likelihood)) if config.log_likelihood else []
    result |= _beside(
        items, predictions, scores, result["primary"], out, loaded=loaded, likelihoods=by_answer(ROLE, likely)
    )
    result |= {
        "model": str(model),
        "model_digest": digest,
        "limit": config.limit,
        "truncated": _truncated(predictions),
        "predictions": str(scored / "predictions.parquet"),
        "samples": str(scored / "samples"),
    }
    write_json(out / "measurements.json", result)
    return result


def score_predictions(
    files: Sequence[Path],
    benchmarks: Sequence[str | Path],
    out: Path,
    *,
    data: Path | None = None,
    missing_is_wrong: bool = False,
    judging: Judge | None = None,
) -> dict[str, Any]:
    """Score what a model answered, without the model; a second file is compared with the first.

    Args:
        files: one file of predictions, or two: the second is what the first is compared with.
        benchmarks: YAML files, or names of published benchmarks, that the predictions answer.
        out: receives `measurements.json`, `predictions.parquet`, `scores.parquet` and `samples/`.
        data: folder of the published benchmarks' files.
        missing_is_wrong: count questions without a prediction as wrong, as ScienceQA's script does; else they
            are left out, and the coverage and `missing` say so.
        judging: an engine that marks what needs a judge.

    Returns:
        As `score_checkpoint`, with `missing` by file; and `comparison` where there are two files.

    Raises:
        BenchmarkError: a file or benchmark cannot be used, or the two files answer different questions.
    """
    located = [locate(each, data=data) for each in benchmarks]
    loaded: dict[str, Benchmark] = {}
    predictions: list[Prediction] = []
    missing: dict[str, int] = {}
    for role, path in zip((ROLE, AGAINST), files, strict=False):
        for each in located:
            matched = match(path, each, model=role)
            matched = _filled(matched, role) if missing_is_wrong else matched
            loaded.setdefault(each.spec.name, matched.benchmark)
            predictions += matched.predictions
            missing[str(path)] = missing.get(str(path), 0) + matched.n_missing
    answered = {(each.benchmark, each.item_id) for each in predictions}
    every = [item for each in loaded.values() for item in each.items]
    items = [item for item in every if (item.benchmark, item.id) in answered]
    require_judge(items, has_judge=judging is not None)
    named = {name: row for each in loaded.values() for name, row in each.scorers_by_benchmark.items()}
    scores = list(score(items, predictions, named))
    if judging is not None and needs_judge(items):
        engine, config, log = judging
        marked, said = judge(items, predictions, engine, config.judging, log=log)
        scores += marked
        write_records(out / "judgements.parquet", said, Judgement)
    write_records(out / "predictions.parquet", predictions, Prediction)
    write_records(out / "scores.parquet", scores, Score)
    write_samples(out / "samples", items, predictions, model_digest="", scorers_by_benchmark=named)
    rejections = [rejection for each in loaded.values() for rejection in each.rejections]
    result = _result(list(loaded.values()), items, scores, rejections)
    pairs = [(ROLE, AGAINST)] if len(files) > 1 else []
    result |= _beside(items, predictions, scores, result["primary"], out, pairs, loaded=list(loaded.values()))
    result |= {
        "model": str(files[0]),
        **({"against": str(files[1])} if len(files) > 1 else {}),
        "limit": None,
        "missing": missing,
        "truncated": {},
        "predictions": str(out / "predictions.parquet"),
        "samples": str(out / "samples"),
    }
    write_json(out / "measurements.json", result)
    return result


def open_judge(config: EvaluateConfig, out: Path) -> Judge:
    """Open the model that marks answers; what it says is logged below `out`, so that a stopped run goes on.

    Raises:
        RecipeError: `config.judge` means no model; EngineError: it cannot be opened.
    """
    store = ImageStore(out)
    place = Place(out, store, Engines(store, out / "hashes"), Silent())
    engine, log = place.open(Model.named(config.judge or "", Path(), "--judge"), EngineExecution())
    return engine, config, log


def score_reviews(path: Path) -> dict[str, Any]:
    """Score a file of a judge's pairwise reviews: rows with the review's `text` and, if known, its category.

    Returns:
        `n`; `unread`: ids of the reviews that each form cannot read; `rows`: per category (and `all`) and
        form the mean score of reference and answer and their `relative` score in per cent, LLaVA's ratio of
        means in forms `paper` and `strict` and LLaVA-Med's mean of ratios (`strict of items`), with the 95 %
        interval over reviews.

    Raises:
        BenchmarkError: the file cannot be read or a row has no text.
    """
    given = [read_verdict(each.id, each.category, each.text) for each in read_reviews(path)]
    paper = [reread(each, "paper") for each in given]
    marks = [relative_marks(each) for each in given]
    tables = {
        "paper": (ratio_of_means(given, "paper"), "relative_paper"),
        "strict": (ratio_of_means(given), "relative_strict"),
        "strict of items": (mean_of_ratios(given), "relative_of_items_strict"),
    }
    rows: list[dict[str, Any]] = []
    for form, (table, scorer) in tables.items():
        for category, found in table.items():
            if not category:
                continue
            own = {
                each.item_id: mark[scorer].parts
                for each, mark in zip(given, marks, strict=True)
                if category in (each.category, "all")
            }
            spread = _relative_interval(own, f"{category}/{form}") if len(own) > 1 else (None, None)
            rows.append(
                {"category": category, "form": form, "low": spread[0], "high": spread[1], **asdict(found)}
            )
    return {
        "n": len(given),
        "unread": {
            "strict": [each.item_id for each in given if each.first is None],
            "paper": [each.item_id for each in paper if (each.first, each.second) == FAILED_PAIR],
        },
        "rows": rows,
    }


def _relative_interval(parts: Mapping[str, tuple[float, ...]], key: str) -> tuple[float, float]:
    column = Column({name: 0.0 for name in parts}, dict(parts))
    found = resample({"relative": column}, {name: name for name in parts}, key=key, seed=0)
    spread = interval([found["relative"]])
    return 100 * spread.low, 100 * spread.high


def score_ensemble(
    ours: Path,
    other: Path,
    benchmark: str | Path,
    *,
    data: Path | None = None,
    judging: Judge | None = None,
) -> dict[str, Any]:
    """Join two models' multiple-choice answers by ScienceQA's rules.

    Returns:
        `rows`: per rule (`ours`, `other`, `complement`, `judge` where one is named, `either`, the bound that
        no rule can pass) and form n, n_right, accuracy and how answers were come by.

    Raises:
        BenchmarkError: a file or the benchmark cannot be used, or it is not multiple choice.
    """
    located = locate(benchmark, data=data)
    matched = [match(path, located, model=role) for role, path in ((ROLE, ours), (AGAINST, other))]
    texts = [{each.item_id: each.text for each in one.predictions} for one in matched]
    items = [each for each in matched[0].benchmark.items if all(each.id in one for one in texts)]
    if not items or any(each.kind != "choice" for each in items):
        raise BenchmarkError(
            f"{located.spec.name}: answers are joined by their letters, so both files must answer the same "
            "multiple-choice questions"
        )
    asked = [
        Answered(
            item_id=each.id,
            question=each.question,
            n_options=len(each.choices),
            gold=each.choices.index(each.gold[0]),
            ours=texts[0][each.id],
            other=texts[1][each.id],
        )
        for each in items
    ]
    forms: tuple[Form, ...] = ("strict", "paper")
    rows: list[dict[str, Any]] = []
    for form in forms:
        read = strict_letter if form == "strict" else paper_letter
        for rule, one in (("ours", texts[0]), ("other", texts[1])):
            found = [read(one[each.item_id], each.n_options) for each in asked]
            right = sum(index == each.gold for index, each in zip(found, asked, strict=True))
            how = {"unread": sum(index is None for index in found)}
            rows.append(_rule(rule, form, len(asked), right, how))
        told = tally(complement(asked, form))
        rows.append(_rule("complement", form, told.n, told.n_right, told.by_how))
        if judging is not None:
            engine, config, log = judging
            settling = SettleConfig(
                temperature=config.judging.temperature, form=form, seed=config.judging.seed
            )
            told = tally(settle(asked, engine, settling, log=log))
            rows.append(_rule("judge", form, told.n, told.n_right, told.by_how))
        bound = upper_bound(asked, form) or 0.0
        rows.append(_rule("either", form, len(asked), round(bound * len(asked)), {}))
    return {"rows": rows}


def _rule(rule: str, form: str, n: int, n_right: int, by_how: Mapping[str, int]) -> dict[str, Any]:
    how = {name: count for name, count in by_how.items() if count}
    return {"rule": rule, "form": form, "n": n, "n_right": n_right, "accuracy": n_right / n, "by_how": how}


def _filled(matched: Matched, role: str) -> Matched:
    """Return predictions with an empty one for every question that has none."""
    answered = {(each.benchmark, each.item_id) for each in matched.predictions}
    added = tuple(
        Prediction(item.id, item.benchmark, role, ORIGINAL, item.image, "", "missing")
        for item in matched.benchmark.items
        if (item.benchmark, item.id) not in answered
    )
    return replace(matched, predictions=matched.predictions + added)


def _truncated(predictions: Iterable[Prediction]) -> dict[str, int]:
    cut = Counter(each.benchmark for each in predictions if each.finish_reason == "length")
    return dict(sorted(cut.items()))


def _result(
    loaded: Sequence[Benchmark],
    items: Sequence[Item],
    scores: Sequence[Score],
    rejections: Sequence[Rejection],
) -> dict[str, Any]:
    scorers = {name: row for each in loaded for name, row in each.scorers_by_benchmark.items()}
    n_rows = {name: n for each in loaded for name, n in each.n_rows_by_benchmark.items()}
    primary = primary_by_benchmark(items, scorers)
    measurements = measure(
        [each for each in scores if covers_all(each.condition)],
        primary,
        n_rows_by_benchmark=n_rows,
        comparisons=((ROLE, AGAINST),),
        sums=[Sum(name, terms) for name, terms in published_sums(_scored(scores, scorers)).items()],
    )
    return {
        "benchmarks": {
            each.spec.name: {
                "version": each.spec.version,
                "sha256": each.sha256,
                "files": list(each.files),
                "split": each.spec.split,
                "left_out": each.n_left_out,
                "counts": dict(each.spec.counts),
            }
            for each in loaded
        },
        "rows": n_rows,
        "rejections": dict(sorted(Counter(each.reason for each in rejections).items())),
        "primary": primary,
        "beside": {name: asdict(given) for each in loaded for name, given in each.given.items()},
        "measurements": measurements_by_benchmark(measurements),
    }


def _beside(
    items: Sequence[Item],
    predictions: Sequence[Prediction],
    scores: Sequence[Score],
    primary: dict[str, str],
    out: Path,
    pairs: Sequence[tuple[str, str]] = (),
    *,
    loaded: Sequence[Benchmark],
    likelihoods: Mapping[tuple[str, str, str, str], float] | None = None,
) -> dict[str, Any]:
    """Return robustness, which is about corruptions, and visual reliance, which is about other conditions.

    So the p values of reliance are not adjusted for 95 corruptions.
    """
    asked = [each for each in predictions if not is_corruption(each.condition)]
    kept = [each for each in scores if not is_corruption(each.condition)]
    return {
        "reliance": write_reliance(
            items, asked, kept, primary, out, pairs, chance=_chance(loaded), likelihoods=likelihoods
        ),
        "robustness": write_robustness(scores, primary, out, pairs),
    }


def _scored(scores: Iterable[Score], scorers: Mapping[str, Sequence[str]]) -> Mapping[str, Sequence[str]]:
    there = {each.benchmark for each in scores}
    return {name: row for name, row in scorers.items() if name in there}


def count_questions(model: Path, benchmarks: Sequence[str | Path], config: EvaluateConfig) -> dict[str, int]:
    """Return how many questions would be asked, by benchmark; nothing is kept.

    Raises:
        EngineError: the model is no checkpoint; BenchmarkError: a benchmark cannot be used.
    """
    located = [locate(each, data=Path(config.data)) for each in benchmarks]
    for each in located:
        each.require()
    require_checkpoint(Path(spec_of(str(model), Path()).model))
    with tempfile.TemporaryDirectory(prefix="acclimate-plan-") as scratch:
        loaded = [load_benchmark(each, ImageStore(Path(scratch)), config.limit) for each in located]
    return dict(Counter(item.benchmark for each in loaded for item in each.items))


def _chance(loaded: Sequence[Benchmark]) -> dict[str, float]:
    """Return what a guesser scores by score row, where a benchmark's definition says it."""
    found = {}
    for benchmark in loaded:
        for item in benchmark.items:
            chance = benchmark.spec.chance_of(item.kind)
            if chance is not None:
                found[item.benchmark] = chance
    return found
