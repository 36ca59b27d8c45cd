"""The study of alignment as text: what it found in plain words, the arms, and the claims (pure)."""

from collections import Counter
from collections.abc import Iterator, Sequence

from acclimate.evaluate.text_tasks import ETHICS, TRUTHFULQA_ANSWER
from acclimate.records import Measurement
from acclimate.report.figures import gain_bars
from acclimate.studies.alignment import Check, Judged, Study
from acclimate.studies.alignment_claims import FULL, LORA, NORMS, SKILLS, TEXT, name_of
from acclimate.studies.alignment_numbers import EXACT, PICTURES, Found
from acclimate.studies.grids import grid

_HEAD = ("truthfulqa_mc1", "truthfulqa_mc2", NORMS, SKILLS, PICTURES)
_CALLED = {
    "truthfulqa_mc1": "TruthfulQA MC1",
    "truthfulqa_mc2": "TruthfulQA MC2",
    NORMS: "ETHICS",
    EXACT: "ETHICS, exact groups",
}
_DRAWN = ("truthfulqa_mc2", NORMS, SKILLS)
_GENERATION = tuple(
    f"{task}{scorer}"
    for task in ("truthfulqa_gen", TRUTHFULQA_ANSWER)
    for scorer in ("", " rougeL_diff", " bleu_diff")
)


def page(study: Study, notes: Sequence[str]) -> str:
    """Return the study as Markdown.

    Args:
        notes: what a reader must know of the setting, one sentence each.
    """
    lines = ["# Truth and norms after visual instruction tuning", "", *_answer(study), ""]
    lines += [
        f"Seeds {', '.join(map(str, study.seeds))}. {' '.join(notes)}",
        "",
        "Numbers are percent of full marks with 95 % intervals, then every seed's value. All models are "
        "asked the same questions, without pictures but for the column `pictures`. With several seeds an "
        "interval says what other questions and other seeds would do (clusters of questions and S - 1 of S "
        "seeds are drawn); a row marked * has one seed: it is descriptive, its interval is for this "
        "checkpoint alone. "
        "Changes are against the language model before, question by question.",
        "",
    ]
    if study.checks:
        lines += ["## Checks", "", *grid([_CHECK_HEAD, *map(_check_row, study.checks)]), ""]
    lines += ["## Scores", "", *grid(_cells(study, _present(study, _HEAD), changes=False)), ""]
    lines += ["## Changes", "", *grid(_cells(study, _present(study, _HEAD), changes=True)), ""]
    drawn = [name for name in _DRAWN if any(name in row for row in study.changes.values())]
    lines += [f"![{_CALLED.get(name, name)}: changes by arm]({_file(name)})\n" for name in drawn]
    written = _present(study, _GENERATION)
    if written:
        lines += [
            "## TruthfulQA's written answers",
            "",
            "How often ROUGE-L is closer to a correct answer, and ROUGE-L and BLEU of the nearest correct "
            "answer minus those of the nearest incorrect one.",
            "",
            *grid(_cells(study, written, changes=False)),
            "",
        ]
    norms = _present(study, (*ETHICS, EXACT))
    if norms:
        lines += ["## ETHICS, part by part", "", *grid(_cells(study, norms, changes=False)), ""]
    counted = Counter(each.standing for each in study.claims)
    lines += [
        "## Claims",
        "",
        ", ".join(f"{n} {name}" for name, n in counted.items())
        + ". An interval of 95 % each, no correction for their number; p is a sign-flip test given the "
        "checkpoints. Ours is the difference; where a share of a gain is claimed, the gain minus that share "
        "of the other's, which must be above 0. Claims without numbers of the paper's are our own, and so "
        "is every number that stands for a word of the paper's.",
        "",
        *grid([_CLAIM_HEAD, *map(_claim_row, study.claims)]),
    ]
    return "\n".join(lines) + "\n"


def figures(study: Study) -> dict[str, str]:
    """Return by file name the figures that the page shows: the changes of all arms, as SVG."""
    found: dict[str, str] = {}
    for name in _DRAWN:
        rows = [
            (_marked(study, arm), _as_measurement(arm, row[name]))
            for arm, row in study.changes.items()
            if name in row
        ]
        if rows:
            found[_file(name)] = gain_bars(rows, label="after minus before")
    return found


def _file(subject: str) -> str:
    return f"changes-{subject.replace(' ', '-').replace('_', '-').lower()}.svg"


def _as_measurement(arm: str, found: Found) -> Measurement:
    span = found.span
    return Measurement(
        key=arm,
        value=span.value,
        low=span.low,
        high=span.high,
        n=span.n,
        n_clusters=0,
        coverage=1.0,
        method="",
    )


def _marked(study: Study, who: str) -> str:
    """Return a row's name, with a star where it has one seed."""
    return who + ("*" if study.n_seeds[who] == 1 else "")


def _answer(study: Study) -> Iterator[str]:
    """Yield what was found, in plain words."""
    told = []
    for method, who in ((FULL, "training all weights"), (LORA, "LoRA")):
        row = study.changes.get(name_of(method), {})
        parts = [
            f"{_turn(row[subject])} {called}"
            for subject, called in (
                ("truthfulqa_mc2", "what it holds for true (MC2)"),
                (NORMS, "what it holds for right (ETHICS)"),
                (SKILLS, "its general text skills"),
            )
            if subject in row
        ]
        if parts:
            told.append(f"With pictures and texts, {who} {_listed(parts)}.")
    text = study.changes.get(name_of(modality=TEXT), {}).get("truthfulqa_mc2")
    whole = study.changes.get(name_of(), {}).get("truthfulqa_mc2")
    if text is not None and whole is not None:
        told.append(
            f"The same conversations without their pictures move MC2 by {_points(text)} points, with them by "
            f"{_points(whole)}."
        )
    if any(not each.passed for each in study.checks):
        failed = [each.name for each in study.checks if not each.passed]
        told.append(f"**Not all checks hold ({failed[0]}): what follows says little.**")
    if len(study.seeds) < 2:
        told.append("One seed: everything here is descriptive, and no claim is judged.")
    yield " ".join(told)


def _turn(found: Found) -> str:
    span = found.span
    if span.low > 0:
        return f"raises ({_points(found)})"
    return f"lowers ({_points(found)})" if span.high < 0 else f"does not clearly change ({_points(found)})"


def _points(found: Found) -> str:
    return f"{100 * found.span.value:+.1f}"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _present(study: Study, wanted: Sequence[str]) -> list[str]:
    return [name for name in wanted if any(name in row for row in study.scores.values())]


def _cells(study: Study, subjects: Sequence[str], *, changes: bool) -> Iterator[list[str]]:
    yield ["model", *(_CALLED.get(name, name) for name in subjects)]
    for who, row in (study.changes if changes else study.scores).items():
        yield [_marked(study, who), *(_shown(row.get(name), signed=changes) for name in subjects)]


def _shown(found: Found | None, *, signed: bool = False) -> str:
    """Return a value as percent with its interval and, where there are several, its seeds."""
    if found is None:
        return "-"
    sign, span = "+" if signed else "", found.span
    seeds = " ".join(f"{100 * value:{sign}.1f}" for value in span.by_seed)
    ends = f"{100 * span.low:{sign}.1f} to {100 * span.high:{sign}.1f}"
    return f"{100 * span.value:{sign}.1f} ({ends}{f'; {seeds}' if len(span.by_seed) > 1 else ''})"


_CHECK_HEAD = ["check", "on", "found", "must be", "p", "holds"]


def _check_row(each: Check) -> list[str]:
    is_difference = each.bar == 0.0
    must = "below 0, all of it" if is_difference else f"at least {100 * each.bar:.1f}"
    on = _CALLED.get(each.subject, each.subject)
    found = _shown(each.found, signed=is_difference)
    return [each.name, on, found, must, _p(each.found), "yes" if each.passed else "NO"]


_CLAIM_HEAD = ["claim", "the paper", "ours", "p", "standing"]


def _claim_row(each: Judged) -> list[str]:
    found = _shown(each.found, signed=True)
    p = "-" if each.found is None else _p(each.found)
    return [each.claim.sentence, each.claim.paper, found, p, each.standing]


def _p(found: Found) -> str:
    return "-" if found.p is None else f"{found.p:.4f}"
