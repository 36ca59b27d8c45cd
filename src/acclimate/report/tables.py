"""Turns measurements of scores into tables: the comparison, its parts, reliance, unread replies (pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from acclimate.records import Measurement
from acclimate.report.blocks import NOTHING, Cell, Column, Row, Table, Tone, cells, numbers, words
from acclimate.report.claims import points, span, standing
from acclimate.report.inputs import BenchmarkFacts, ReportInputs

MACRO = "macro"
GENERAL = "macro_general"
"""The subject of the mean over the benchmarks of general skills."""
MODELS: Mapping[str, str] = {"base": "base", "first_stage": "first_stage", "adapted": "adapted"}
"""Printed names by role. Shown where they are scored; `first_stage` stands between two stages of training."""
CONDITIONS = ("original", "mismatch", "blank")
GAIN = "adapted-base"
BOOTSTRAP = "cluster_bootstrap"
_STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))
_TONES: Mapping[str, Tone] = {"higher": "good", "lower": "bad", "not resolved": "open"}
MARKS_NOTE = (
    "* p < .05, ** p < .01, *** p < .001 (sign-flip permutation of whole clusters, adjusted by Holm over the "
    "benchmarks of this table). † another interval than the bootstrap's: see “How to read this”."
)


@dataclass(frozen=True, slots=True)
class Found:
    """What was measured, and what a reader must know to read it."""

    inputs: ReportInputs
    by_key: Mapping[str, Measurement]
    models: Mapping[str, str]
    """Printed names by role, of the models that were scored, in the order of their columns."""
    domain: tuple[BenchmarkFacts, ...]
    """The benchmarks of the headline."""
    general: tuple[BenchmarkFacts, ...]

    @property
    def has_gain(self) -> bool:
        """Whether the adapted and the base model were both scored."""
        return any(f"{each.name}/{GAIN}/original" in self.by_key for each in self.inputs.benchmarks)


def found_in(inputs: ReportInputs, measurements: Sequence[Measurement]) -> Found:
    """Return the measurements with what the tables need beside them."""
    by_key = {each.key: each for each in measurements}
    named = dict(MODELS) | {each.role: each.name for each in inputs.baselines}
    models = {
        role: name
        for role, name in named.items()
        if any(f"{each.name}/{role}/original" in by_key for each in inputs.benchmarks)
    }
    domain, general = parted(inputs.benchmarks)
    return Found(inputs, by_key, models, domain, general)


def parted(
    benchmarks: Sequence[BenchmarkFacts],
) -> tuple[tuple[BenchmarkFacts, ...], tuple[BenchmarkFacts, ...]]:
    """Return the benchmarks of the domain and those of general skills; all of one kind are the domain's."""
    general = tuple(each for each in benchmarks if each.is_general)
    domain = tuple(each for each in benchmarks if not each.is_general)
    return (domain, general) if domain else (general, ())


def subjects(benchmarks: Sequence[BenchmarkFacts], mean: str) -> list[tuple[str, str]]:
    """Return keys and printed names of a table's rows, the mean last."""
    named = [(each.name, each.name) for each in benchmarks]
    title = "mean of general benchmarks" if mean == GENERAL else "mean of benchmarks"
    return [*named, (mean, title)] if len(named) > 1 else named


def cell(found: Measurement | None, *, signed: bool = False) -> Cell:
    """Return a measurement in points of 100 with its interval and its marks."""
    if found is None:
        return NOTHING
    marks = stars(found) + ("" if found.method == BOOTSTRAP else "†")
    return Cell(points(found.value, signed=signed), span(found, signed=signed), marks)


def stars(found: Measurement) -> str:
    """Return the marks of a difference's adjusted p; none for what has none."""
    if found.p_holm is None:
        return ""
    return next((mark for bound, mark in _STARS if found.p_holm < bound), "")


def p_text(found: Measurement | None) -> str:
    """Return a difference's p: adjusted over the table where it is one of a family."""
    p = None if found is None else found.p if found.p_holm is None else found.p_holm
    if p is None:
        return ""
    return "< .001" if p < 0.001 else f"{p:.3f}".lstrip("0")


def toned(found: Measurement | None) -> Cell:
    """Return in a word which way a difference's interval lies."""
    if found is None:
        return Cell("")
    word = standing(found)
    return Cell(word, tone=_TONES[word])


def counted(found: Found, key: str) -> Cell:
    """Return the number of questions and clusters behind a row."""
    shown = (found.by_key.get(f"{key}/{role}/original") for role in reversed(list(found.models)))
    first = next((each for each in shown if each is not None), None)
    return NOTHING if first is None else Cell(f"{first.n} ({first.n_clusters})")


def comparison(found: Found) -> Table | None:
    """Return the headline table: every model on every benchmark, the gain, the paper's numbers."""
    return _scores(
        found,
        subjects(found.domain, MACRO),
        name="comparison",
        caption="Scores in points of 100, with 95 % intervals",
    )


def forgetting(found: Found) -> Table | None:
    """Return the same table of the benchmarks of general skills."""
    return _scores(
        found,
        subjects(found.general, GENERAL),
        name="forgetting",
        caption="General skills before and after, points of 100 with 95 % intervals",
    )


def forgetting_sentence(found: Found) -> str:
    """Return in plain words whether general skills were lost; empty if not measured."""
    if not found.general:
        return ""
    subjects = [GENERAL, *(each.name for each in found.general)]
    keys = (f"{name}/{GAIN}/original" for name in subjects)
    change = next((found.by_key[key] for key in keys if key in found.by_key), None)
    if change is None:
        return ""
    numbers = f"{points(change.value, signed=True)} points, 95 % interval {span(change, signed=True)}"
    said = {
        "higher": "General skills are higher than the base model's",
        "lower": "General skills were lost",
        "not resolved": "No change of general skills is shown",
    }[standing(change)]
    return f"{said}: {numbers}."


def _scores(found: Found, rows: Sequence[tuple[str, str]], *, name: str, caption: str) -> Table | None:
    scorers = {each.name: each.scorer for each in found.inputs.benchmarks}
    papers = _papers(found, [key for key, _ in rows])
    roles = [
        role for role in found.models if any(f"{key}/{role}/original" in found.by_key for key, _ in rows)
    ]
    columns = [*words("benchmark", "scorer"), *numbers("questions (clusters)")]
    for role in roles:
        title = found.models[role]
        columns += numbers(title, *([f"{title}, published"] if role in papers else []))
    has_gain = any(f"{key}/{GAIN}/original" in found.by_key for key, _ in rows)
    columns += [*numbers("gain", "p"), Column("adapted is")] if has_gain else []
    made = []
    for key, title in rows:
        measured = {role: found.by_key.get(f"{key}/{role}/original") for role in roles}
        if not any(measured.values()):
            continue
        shown = [Cell(title), Cell(scorers.get(key, "")), counted(found, key)]
        for role, value in measured.items():
            shown.append(cell(value))
            if role in papers:
                shown.append(_published(found, key, role))
        if has_gain:
            gain = found.by_key.get(f"{key}/{GAIN}/original")
            shown += [cell(gain, signed=True), Cell(p_text(gain)), toned(gain)]
        made.append(Row(tuple(shown), is_total=key in (MACRO, GENERAL)))
    note = MARKS_NOTE if has_gain else ""
    if papers:
        note = " ".join(
            part
            for part in (
                note,
                f"Published: {found.inputs.paper_source}." if found.inputs.paper_source else "",
                "Published numbers have no intervals; their scorers are repeated under “Strict and paper "
                "scorers”.",
            )
            if part
        )
    return Table(name, caption, tuple(columns), tuple(made), note) if made else None


def _papers(found: Found, keys: Sequence[str]) -> set[str]:
    """Return the models that a publication has a number of in these rows."""
    return {role for key in keys for role in found.inputs.paper.get(key, {}) if role in found.models}


def _published(found: Found, key: str, role: str) -> Cell:
    value = found.inputs.paper.get(key, {}).get(role)
    return NOTHING if value is None else Cell(points(value))


def against_baselines(found: Found) -> Table | None:
    """Return the adapted model minus every baseline."""
    others = [each for each in found.inputs.baselines if each.role in found.models]
    made = []
    for key, title in subjects(found.domain, MACRO):
        gains = [found.by_key.get(f"{key}/adapted-{each.role}/original") for each in others]
        if any(gains):
            row = (Cell(title), *(cell(gain, signed=True) for gain in gains))
            made.append(Row(row, is_total=key == MACRO))
    if not made:
        return None
    columns = (Column("benchmark"), *numbers(*(f"adapted − {each.name}" for each in others)))
    caption = "The adapted model minus each further model, points of 100 with 95 % intervals"
    return Table("baselines", caption, columns, tuple(made), MARKS_NOTE)


def forms(found: Found) -> Table | None:
    """Return every scorer of every benchmark, the primary one first: strict and paper stand together."""
    made: list[Row] = []
    keys = [f"{each.name}/{scorer}" for each in found.inputs.benchmarks for scorer in _scorers(found, each)]
    papers = _papers(found, keys)
    for each in found.inputs.benchmarks:
        for scorer in _scorers(found, each):
            is_primary = scorer == each.scorer
            suffix = "original" if is_primary else f"original/{scorer}"
            measured = {role: found.by_key.get(f"{each.name}/{role}/{suffix}") for role in found.models}
            if not any(measured.values()):
                continue
            shown = [Cell(each.name), Cell(scorer, is_strong=is_primary)]
            for role, value in measured.items():
                shown.append(cell(value))
                if role in papers:
                    shown.append(_published(found, f"{each.name}/{scorer}", role))
            if found.has_gain:
                shown.append(cell(found.by_key.get(f"{each.name}/{GAIN}/{suffix}"), signed=True))
            made.append(Row(tuple(shown)))
    columns = [*words("benchmark", "scorer")]
    for role, title in found.models.items():
        columns += numbers(title, *([f"{title}, published"] if role in papers else []))
    columns += numbers("gain") if found.has_gain else ()
    caption = "Every scorer of every benchmark, points of 100 with 95 % intervals; the primary one first"
    return Table("scorers", caption, tuple(columns), tuple(made)) if made else None


def _scorers(found: Found, benchmark: BenchmarkFacts) -> list[str]:
    prefixes = tuple(f"{benchmark.name}/{role}/original/" for role in found.models)
    others = [key.rpartition("/")[2] for key in found.by_key if key.startswith(prefixes)]
    return list(dict.fromkeys((benchmark.scorer, *others)))


def totals(found: Found) -> Table | None:
    """Return the published totals of several benchmarks."""
    return _of_models(
        found, list(found.inputs.sums), name="totals", caption="Published totals", head="published total"
    )


def parts(found: Found) -> Table | None:
    """Return the named parts of benchmarks, by their primary scorer."""
    names = list(dict.fromkeys(key.partition("/")[0] for key in found.by_key if "[" in key))
    caption = "Parts of benchmarks, points of 100 with 95 % intervals"
    return _of_models(found, names, name="parts", caption=caption, head="part")


def _of_models(found: Found, names: Sequence[str], *, name: str, caption: str, head: str) -> Table | None:
    made = []
    for subject in names:
        measured = [found.by_key.get(f"{subject}/{role}/original") for role in found.models]
        if not any(measured):
            continue
        shown = [Cell(subject), counted(found, subject), *map(cell, measured)]
        if found.has_gain:
            shown.append(cell(found.by_key.get(f"{subject}/{GAIN}/original"), signed=True))
        made.append(Row(tuple(shown)))
    columns = (Column(head), *numbers("questions (clusters)", *found.models.values()))
    gain = numbers("gain") if found.has_gain else ()
    return Table(name, caption, (*columns, *gain), tuple(made)) if made else None


def guesses(found: Found) -> Table | None:
    """Return how many answers the paper scorers drew at random, and the points they gave."""
    made = []
    for each in found.inputs.benchmarks:
        for role, title in found.models.items():
            share = found.by_key.get(f"{each.name}/{role}/guessed")
            gained = found.by_key.get(f"{each.name}/{role}/guessed_points")
            if share is not None and gained is not None:
                made.append(Row(cells((each.name, title, points(share.value), points(gained.value)))))
    columns = (*words("benchmark", "model"), *numbers("guessed, % of questions", "points from guesses"))
    caption = "Answers that a paper scorer drew at random"
    return Table("guesses", caption, columns, tuple(made)) if made else None


def reliance(found: Found) -> Table | None:
    """Return scores by picture and visual reliance, per benchmark and model."""
    rows: list[Row] = []
    for key, title in subjects(found.domain, MACRO):
        is_total = key == MACRO
        for role, name in found.models.items():
            vrs = found.by_key.get(f"{key}/{role}/vrs")
            if vrs is not None:
                scores = [cell(found.by_key.get(f"{key}/{role}/{condition}")) for condition in CONDITIONS]
                made = (Cell(title), Cell(name), *scores, cell(vrs, signed=True))
                rows.append(Row(made, is_total=is_total))
        change = found.by_key.get(f"{key}/{GAIN}/vrs")
        if change is not None:
            blanks = [Cell("")] * len(CONDITIONS)
            made = (Cell(title), Cell("adapted − base"), *blanks, cell(change, signed=True))
            rows.append(Row(made, is_total=is_total))
    columns = (*words("benchmark", "model"), *numbers(*CONDITIONS, "visual reliance"))
    caption = "Scores by the picture shown, and their difference, points of 100 with 95 % intervals"
    return Table("reliance", caption, columns, tuple(rows)) if rows else None


def unparsed(found: Found) -> Table | None:
    """Return the shares of replies that no answer could be read from."""
    rows = []
    both = [*subjects(found.domain, MACRO), *subjects(found.general, GENERAL)]
    for key, title in both:
        for role, name in found.models.items():
            names = ("unparsed", "unparsed_mismatch", "unparsed_blank")
            shares = [found.by_key.get(f"{key}/{role}/{part}") for part in names]
            if shares[0] is not None:
                shown = ("" if each is None else points(each.value) for each in shares)
                rows.append(Row(cells((title, name, *shown)), is_total=key in (MACRO, GENERAL)))
    columns = (*words("benchmark", "model"), *numbers(*CONDITIONS))
    caption = "Replies no answer could be read from, % of questions, by the picture shown"
    return Table("unparsed", caption, columns, tuple(rows)) if rows else None


def facts(found: Found) -> Table | None:
    """Return what a reader must know of the benchmarks."""
    rows = []
    for each in found.inputs.benchmarks:
        about = "; ".join(part for part in (each.citation, each.note) if part)
        chance = "" if each.chance is None else points(each.chance)
        rows.append(
            Row(cells((each.name, each.n_rows, _coverage(found, each.name), chance, each.licence, about)))
        )
    columns = (
        Column("benchmark"),
        *numbers("rows", "scored, %", "chance"),
        Column("licence"),
        Column("source and notes", is_wide=True),
    )
    return Table("benchmarks", "The benchmarks", columns, tuple(rows)) if rows else None


def _coverage(found: Found, benchmark: str) -> str:
    """Return the scored part of a benchmark's rows, in percent."""
    keys = (f"{benchmark}/{role}/original" for role in found.models)
    shown = next((found.by_key[key] for key in keys if key in found.by_key), None)
    return "" if shown is None else points(min(1.0, shown.coverage))
