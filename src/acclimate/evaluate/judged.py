"""Scores that a judge gives: of answers against a reference (`compared`), or grades (`graded`)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from acclimate.artifacts import ReplyLog
from acclimate.engines.protocol import Engine
from acclimate.errors import BenchmarkError
from acclimate.evaluate.judge import (
    Compared,
    GradeConfig,
    Graded,
    JudgeConfig,
    grade_answers,
    judge_pairs,
    rule_name,
    strict_grade,
)
from acclimate.evaluate.reviews import (
    Order,
    Verdict,
    combine,
    mean_of_ratios_mark,
    ratio_of_means_mark,
    read_verdict,
    reread,
)
from acclimate.evaluate.stage import score_of
from acclimate.records import Item, Mark, Prediction, Score

JUDGED = ("compared", "graded")


@dataclass(frozen=True, slots=True)
class Judgement:
    """One reply of the judge, as it is kept beside the scores."""

    item_id: str
    benchmark: str
    model: str
    condition: str
    order: str
    """`given`, `swapped`, or `grade`."""
    first: float | None
    """Of the reference; None where the reply was not read."""
    second: float | None
    """Of the answer, or its grade."""
    text: str


def needs_judge(items: Iterable[Item]) -> list[str]:
    """Return the names of the benchmarks that only a judge can mark."""
    return sorted({item.benchmark for item in items if item.kind in JUDGED})


def require_judge(items: Iterable[Item], *, has_judge: bool) -> None:
    """Refuse to go on where a judge is needed and none is named.

    Raises:
        BenchmarkError: it says which benchmarks need one.
    """
    names = needs_judge(items)
    if names and not has_judge:
        raise BenchmarkError(
            f"{', '.join(names)}: answers are marked by a judge and none is named; name a model under "
            "`evaluate.judge` in the recipe, or by --judge"
        )


def judge(
    items: Sequence[Item],
    predictions: Iterable[Prediction],
    engine: Engine,
    config: JudgeConfig,
    *,
    log: ReplyLog | None,
) -> tuple[list[Score], list[Judgement]]:
    """Ask a judge about every answer that needs one; return the scores, and what it said.

    Args:
        items: of any benchmarks; those that need no judge are passed over.
        predictions: of these items, any models and conditions.
        config: of pairwise judging; grading takes its temperature and seed.
        log: replies found in it are not asked again.
    """
    by_key = {(item.benchmark, item.id): item for item in items if item.kind in JUDGED}
    asked = {
        _name(each): (by_key[each.benchmark, each.item_id], each)
        for each in predictions
        if (each.benchmark, each.item_id) in by_key
    }
    pairs = {name: each for name, each in asked.items() if each[0].kind == "compared"}
    graded = {name: each for name, each in asked.items() if each[0].kind == "graded"}
    verdicts = list(judge_pairs((_compared(*each) for each in pairs.values()), engine, config, log=log))
    scores = list(_relative_scores(pairs, verdicts))
    said = [_judgement(pairs[each.item_id][1], each) for each in verdicts]
    grading = GradeConfig(temperature=config.temperature, seed=config.seed)
    grades = grade_answers((_graded(*each) for each in graded.values()), engine, grading, log=log)
    for grade in grades:
        item, prediction = graded[grade.item_id]
        scores.append(score_of(item, prediction, "grade_strict", weighed(grade.value)))
        given = (prediction.item_id, prediction.benchmark, prediction.model, prediction.condition)
        said.append(Judgement(*given, "grade", None, grade.value, grade.text))
    return scores, said


def marked_again(
    items: Sequence[Item], predictions: Iterable[Prediction], said: Iterable[Judgement]
) -> list[Score]:
    """Return the scores that follow from what a judge said, read anew from its own words.

    Args:
        items: of any benchmarks. predictions: of these items, any models and conditions.
        said: every reply of the judge about them.

    Raises:
        BenchmarkError: a reply belongs to no answer.
    """
    by_key = {(item.benchmark, item.id): item for item in items if item.kind in JUDGED}
    asked = {
        _name(each): (by_key[each.benchmark, each.item_id], each)
        for each in predictions
        if (each.benchmark, each.item_id) in by_key
    }
    verdicts: list[Verdict] = []
    scores: list[Score] = []
    for each in said:
        name = "/".join((each.model, each.condition, each.benchmark, each.item_id))
        if name not in asked:
            raise BenchmarkError(f"the judge's reply about {name} belongs to no answer")
        item, prediction = asked[name]
        if each.order == "grade":
            scores.append(score_of(item, prediction, "grade_strict", weighed(strict_grade(each.text))))
        else:
            order: Order = "swapped" if each.order == "swapped" else "given"
            category = _category(item)
            verdicts.append(read_verdict(name, category, each.text, order=order, rule=rule_name(category)))
    pairs = {name: asked[name] for name in dict.fromkeys(each.item_id for each in verdicts)}
    return [*_relative_scores(pairs, verdicts), *scores]


def weighed(value: float | None) -> Mark:
    """Return a mark that counts where the judge's reply was read, and weighs nothing where it was not."""
    if value is None:
        return Mark(0.0, parsed=False, reason="judge_unread", parts=(0.0, 0.0))
    return Mark(value, parts=(value, 1.0))


def relative_marks(given: Verdict, swapped: Verdict | None = None) -> dict[str, Mark]:
    """Return one item's marks by scorer: LLaVA's ratio of means in both forms, LLaVA-Med's mean of ratios.

    Args:
        swapped: the same pair judged the other way round; the strict forms take the mean of both.
    """
    strict = given if swapped is None else combine([given], [swapped])[0]
    ratio, own = ratio_of_means_mark(strict), mean_of_ratios_mark(strict)
    return {
        "relative_strict": ratio if ratio.parts else weighed(None),
        "relative_paper": ratio_of_means_mark(reread(given, "paper")),
        "relative_of_items_strict": replace(weighed(own.value), reason=own.reason),
    }


def _relative_scores(
    pairs: dict[str, tuple[Item, Prediction]], verdicts: Sequence[Verdict]
) -> Iterator[Score]:
    given = {each.item_id: each for each in verdicts if each.order == "given"}
    swapped = {each.item_id: each for each in verdicts if each.order == "swapped"}
    for name, (item, prediction) in pairs.items():
        for scorer, mark in relative_marks(given[name], swapped.get(name)).items():
            yield score_of(item, prediction, scorer, mark)


def _name(prediction: Prediction) -> str:
    return "/".join((prediction.model, prediction.condition, prediction.benchmark, prediction.item_id))


def _compared(item: Item, prediction: Prediction) -> Compared:
    return Compared(
        item_id=_name(prediction),
        category=_category(item),
        question=item.question,
        first=item.gold[0] if item.gold else "",
        second=prediction.text,
        context=item.context,
        image=item.image,
    )


def _category(item: Item) -> str:
    named = [subset.removeprefix("category ") for subset in item.subsets if subset.startswith("category ")]
    return named[0] if named else item.stratum


def _graded(item: Item, prediction: Prediction) -> Graded:
    return Graded(_name(prediction), item.question, item.gold[0], prediction.text)


def _judgement(prediction: Prediction, verdict: Verdict) -> Judgement:
    return Judgement(
        prediction.item_id,
        prediction.benchmark,
        prediction.model,
        prediction.condition,
        verdict.order,
        verdict.first,
        verdict.second,
        verdict.text,
    )
