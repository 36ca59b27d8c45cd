"""Report inputs for tests: a plain one, and one with every part, whose texts may be hostile."""

import io
import random
from dataclasses import replace

from PIL import Image, ImageDraw

from acclimate.records import Score
from acclimate.report.inputs import (
    AblationArm,
    Answer,
    Audit,
    Baseline,
    BenchmarkFacts,
    Cost,
    Example,
    LossPoint,
    Reply,
    ReportInputs,
    RoomSummary,
)
from acclimate.report.reliance import Reliance
from acclimate.report.robustness import Robustness
from acclimate.report.tested import Claim

SCORERS = ("accuracy_strict", "accuracy_paper")


def picture(at: int = 0, size: tuple[int, int] = (320, 240)) -> bytes:
    """Return a picture of coloured discs on a pale ground, as PNG."""
    rng = random.Random(at)
    image = Image.new("RGB", size, (238, 232, 226))
    draw = ImageDraw.Draw(image)
    for _ in range(5 + at % 4):
        x, y, r = rng.randrange(size[0]), rng.randrange(size[1]), rng.randrange(8, 40)
        colour = tuple(rng.randrange(60, 220) for _ in range(3))
        draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def scores_of(
    benchmark: str, share_by_model: dict[str, float], *, n: int = 40, conditions: bool = True
) -> list[Score]:
    """Return scores where the first so many of n questions are right; without the picture half of these."""
    found = []
    for model, share in share_by_model.items():
        shares = {"original": share} | ({"mismatch": share / 2, "blank": share / 3} if conditions else {})
        for condition, right in shares.items():
            for at in range(n):
                value = float((7 * at) % n < round(right * n))
                parsed = value > 0 or at % 2 == 0
                for scorer in SCORERS:
                    found.append(
                        Score(f"i{at}", benchmark, model, condition, scorer, value, parsed, "", f"p {at}")
                    )
    return found


def reliance_row(level: str, benchmark: str, model: str, measure: str, value: float) -> Reliance:
    """Return one row of the reliance study."""
    return Reliance(
        level, benchmark, "all", "", model, measure, value, value - 0.04, value + 0.04, 0.04, 0.057,  # type: ignore[arg-type]
        "cluster_bootstrap", 400, 200, "within", 1, 2000, 0,
    )  # fmt: skip


def robustness_row(model: str, corruption: str, value: float) -> Robustness:
    """Return one relative drop over all benchmarks."""
    measure = "drelative_drop" if "-" in model else "relative_drop"
    return Robustness(
        "macro", "all", "", True, model, measure, corruption, 0, value, value - 0.05, value + 0.05,
        "cluster_bootstrap", 400, 200, 4, 12, "1,3,5", 2000, 0, 3,
    )  # fmt: skip


def answer(at: int, benchmark: str, text: str = "", *, picture_key: str = "", base: float = 0.0) -> Answer:
    """Return a question that the adapted model gets right."""
    question = text or f"How many dark cells does slide {at} show beside the marked vessel?"
    return Answer(
        f"item {at}",
        benchmark,
        ("original", "mismatch")[at % 2],
        question,
        text or f"{at % 7}",
        {
            "base": Reply(text or "I cannot tell.", base, base > 0),
            "adapted": Reply(text or f"{at % 7}; they lie along the wall.", 1.0),
        },
        picture_key,
    )


def example(at: int, text: str = "") -> Example:
    """Return a synthetic task."""
    return Example(
        picture(at),
        "image/png",
        text or f"Slide {at} with several stained cells near a vessel wall, two of them in division.",
        text or "How many of the cells are dividing?",
        text or "Two cells near the vessel wall show separated chromosomes, so two are dividing.",
        text or "Two.",
        is_kept=at % 2 == 0,
        reason=text or ("consistent 0.97" if at % 2 == 0 else "inconsistent 0.81"),
    )


def rich(text: str = "", *, name: str = "", n_examples: int = 6, n_answers: int = 9) -> ReportInputs:
    """Return inputs with every part of a report.

    Args:
        text: stands in place of every text of a user or a model; empty gives plain ones.
        name: the same for the names of benchmarks, which must not hold `/` or `[`.
    """
    names = [f"{name or 'bench'} {each}" for each in ("open", "closed", "counting", "regions", "reports")]
    general = [f"{name or 'general'} {each}" for each in ("scenes", "charts")]
    rates = {"base": 0.3, "first_stage": 0.5, "adapted": 0.7, "rival": 0.6, "unfiltered": 0.55}
    scores: list[Score] = []
    for at, each in enumerate(names):
        scores += scores_of(each, {model: max(0.05, share - 0.06 * at) for model, share in rates.items()})
    for each in general:
        scores += scores_of(each, {"base": 0.8, "adapted": 0.75}, conditions=False)
    facts = [
        BenchmarkFacts(each, SCORERS[0], 42, 0.1, text or "CC0", text or "Own 2026", text or "not checked")
        for each in (*names, *general)
    ]
    conditions = {"A_orig": 0.7, "A_mismatch": 0.3, "A_blank": 0.25, "A_text": 0.2, "VRS": 0.4, "nVRS": 0.6}
    models = ("base", "adapted")
    reliance = [
        reliance_row("macro", "all", model, measure, value - 0.1 * at)
        for at, model in enumerate(reversed(models))
        for measure, value in conditions.items()
    ]
    reliance += [reliance_row("benchmark", name, "adapted-base", "dVRS", 0.1) for name in names]
    reliance.append(reliance_row("macro", "all", "adapted-base", "dVRS", 0.1))
    groups = {"all": 0.2, "noise": 0.3, "blur": 0.25, "weather": 0.15, "digital": 0.1}
    claims = [
        ("gain", "macro/adapted-base/original", "higher", 0.0, "The adapted model is better on the domain."),
        ("tie", "macro_general/adapted-base/original", "within", 0.001, "Nothing general is forgotten."),
        ("worse", "macro/adapted-base/original", "lower", 0.0, "The adapted model is worse on the domain."),
    ]
    return ReportInputs(
        scores=tuple(scores),
        benchmarks=tuple(replace(each, is_general=each.name in general) for each in facts),
        rooms=(
            RoomSummary(text or "curate", 100, 40, {text or "inconsistent": 60}, {text or "distinct": 31}),
        ),
        examples=tuple(example(at, text) for at in range(n_examples)),
        losses=tuple(LossPoint(step, 3.0 / step + 0.4, 1e-4 * (1 - step / 61)) for step in range(1, 60)),
        times=((text or "train", 130.0), (text or "evaluate", 20.0)),
        environment={text or "python": text or "3.11"},
        checkpoint=text or "runs/a b/checkpoint",
        audits=(Audit(text or "Oracle audit", (text or "what", "share"), ((text or "all", "61.0"),), text),),
        notes=(text or "bench open: 3 of its 40 pictures also occur among the training data.",),
        sums={f"{name or 'sum of'} two": ((names[0], "", 0.5), (names[1], "", 0.5))},
        claims=tuple(
            Claim(id=name, sentence=text or sentence, measure=key, direction=way, margin=margin)  # type: ignore[arg-type]
            for name, key, way, margin, sentence in claims
        ),
        written_before=frozenset({"gain", "tie"}),
        baselines=(Baseline("rival", text or "Rival-7B"),),
        paper={names[0]: {"adapted": 0.68}, f"{names[0]}/{SCORERS[1]}": {"adapted": 0.69}},
        paper_source=text or "Table 14 of the paper",
        task_types={
            text or "all tasks": {text or "Object Recognition": 30, "Counting": 20, "OCR": 5},
            "kept": {text or "Object Recognition": 20, "Counting": 15},
        },
        quality=(Audit(text or "Quality", ("measure", "all"), ((text or "Accuracy", "81.0 (75 to 87)"),)),),
        ablations=(AblationArm("unfiltered", text or "no filter", text or "every task is kept"),),
        reliance=tuple(reliance),
        robustness=tuple(
            robustness_row(model, group, drop + 0.05 * at)
            for at, model in enumerate(models)
            for group, drop in groups.items()
        ),
        trained_tokens={text or "train": 1_234_567},
        costs=(
            Cost(text or "judge", 120, 45_000, 900, 0.31, "USD"),
            Cost("teacher", 60, 20_000, 9_000, 0.42, "USD"),
        ),
        answers=tuple(
            answer(at, names[at % 2], text, picture_key=f"pic {at % 4}", base=float(at % 3 == 0))
            for at in range(n_answers)
        ),
        pictures={f"pic {at}": picture(at) for at in range(4)},
    )
