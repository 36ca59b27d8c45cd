"""The study of training as text: the arms beside each other, the paper's Table 4, and the claims (pure)."""

from collections import Counter
from collections.abc import Iterator, Sequence

from acclimate.studies.combined import Combined
from acclimate.studies.grids import grid
from acclimate.studies.training import Judged, Study
from acclimate.studies.training_claims import BASE, BASE_OF, FIRST, RECIPES, SINGLE, TABLE_4, TWO

_SUBJECTS = ("domain", "captions", "general")


def page(study: Study, notes: Sequence[str]) -> str:
    """Return the study as Markdown.

    Args:
        notes: what a reader must know of the setting, one sentence each.
    """
    lines = [
        "# Ways of post-training",
        "",
        f"Seeds {', '.join(map(str, study.seeds))}. {' '.join(notes)}",
        "",
    ]
    lines += [
        "Numbers are percent of full marks: the mean of the seeds with its 95 % interval for other pictures, "
        "then every seed's value. Changes are against the model that the arm was trained from, question by "
        "question; on general skills less than 0 is forgotten.",
        "",
        "## Scores",
        "",
    ]
    lines += grid(_scores(study))
    lines += ["", "## Changes", ""]
    lines += grid(_changes(study))
    lines += ["", "## Benchmark by benchmark", ""]
    lines += grid(_benchmarks(study))
    lines += ["", "## The paper's Table 4", ""]
    lines += [
        "Means of the domain's tasks; all models learn from what the LLaVA's synthesizer wrote. Of forgotten "
        "captions the paper gives one case: LLaVA-v1.6-8B's ROUGE-L on Recipe1M is "
        f"{RECIPES[BASE]} untouched, {RECIPES[FIRST]} after the first stage, {RECIPES[TWO]} after both, and "
        f"{RECIPES[SINGLE]} after a single stage.",
        "",
    ]
    lines += grid(_table_4())
    counted = Counter(each.standing for each in study.claims)
    lines += ["", "## Claims", ""]
    lines += [
        ", ".join(f"{n} {name}" for name, n in counted.items())
        + ". An interval of 95 % each, no correction for their number. Claims without numbers of the paper's "
        "are our own.",
        "",
    ]
    lines += grid([["claim", "the paper", "ours", "standing"], *map(_claim_row, study.claims)])
    return "\n".join(lines) + "\n"


def _scores(study: Study) -> Iterator[list[str]]:
    yield ["model", *_SUBJECTS, "tokens learned from"]
    for arm, row in study.scores.items():
        tokens = " ".join(f"{each:,}" for each in study.tokens.get(arm, ())) or "-"
        yield [arm, *(_shown(row.get(subject)) for subject in _SUBJECTS), tokens]


def _changes(study: Study) -> Iterator[list[str]]:
    yield ["model", "against", *_SUBJECTS, f"share of the gain of {SINGLE}"]
    for arm, row in study.changes.items():
        share = study.shares.get(arm)
        told = "-" if share is None else _shown(share)
        yield [arm, BASE_OF[arm], *(_shown(row.get(subject), signed=True) for subject in _SUBJECTS), told]


def _benchmarks(study: Study) -> Iterator[list[str]]:
    arms = list(study.scores)
    names = dict.fromkeys(name for row in study.scores.values() for name in row if name not in _SUBJECTS)
    yield ["benchmark", *arms]
    for name in names:
        yield [name, *(_shown(study.scores[arm].get(name)) for arm in arms)]


def _table_4() -> Iterator[list[str]]:
    yield ["model", "captions from", "untouched", TWO, SINGLE]
    for model, rows in TABLE_4.items():
        for source, numbers in rows.items():
            yield [model, source, *map(str, numbers)]


def _shown(found: Combined | None, *, signed: bool = False) -> str:
    """Return a value as percent with its interval and seeds."""
    if found is None:
        return "-"
    sign = "+" if signed else ""
    seeds = " ".join(f"{100 * value:{sign}.1f}" for value in found.by_seed)
    ends = f"{100 * found.low:{sign}.1f} to {100 * found.high:{sign}.1f}"
    return f"{100 * found.value:{sign}.1f} ({ends}; {seeds})"


def _claim_row(each: Judged) -> list[str]:
    found = _shown(each.found, signed=each.claim.at_least is None)
    return [each.claim.sentence, each.claim.paper, found, each.standing]
