"""What `acclimate evaluate` does without a recipe, and `acclimate benchmarks` and `export`."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acclimate.cli_options import print_json
from acclimate.errors import UsageError

_BESIDES = ("vrs", "unparsed", "guessed")


@dataclass(frozen=True, slots=True)
class Text:
    """The options of text benchmarks."""

    tasks: str | None
    truthfulqa: str | None
    ethics: str | None
    include_path: tuple[Path, ...]
    against: Path | None
    batch_size: int


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of `acclimate evaluate` that need no recipe."""

    model: Path | None
    predictions: tuple[Path, ...]
    reviews: Path | None
    ensemble: Path | None
    benchmarks: tuple[str, ...]
    data: Path
    conditions: str | None
    log_likelihood: bool
    judge: str | None
    swap: bool
    missing_is_wrong: bool
    text: Text
    out: Path
    limit: int | None

    @property
    def is_alone(self) -> bool:
        """Whether something is to be scored without a recipe."""
        return bool(self.model or self.predictions or self.reviews or self.benchmarks)


def usage() -> UsageError:
    """Return what to say of options that do not go together."""
    return UsageError(
        "Give one of these: a recipe (acclimate evaluate recipe.yaml); a checkpoint with benchmarks "
        "(acclimate evaluate --model CHECKPOINT --benchmark vqa_rad); answers with the benchmark they belong "
        "to (acclimate evaluate --predictions FILE --benchmark vqa_rad); a judge's reviews (acclimate "
        "evaluate --reviews FILE); or a checkpoint with text benchmarks (acclimate evaluate --model "
        "CHECKPOINT --text truthfulqa --truthfulqa TruthfulQA.csv)."
    )


def score_alone(asked: Asked, *, as_json: bool, dry_run: bool) -> None:
    """Score a checkpoint, a file of predictions or a file of reviews, and print the result."""
    ways = [asked.model is not None, bool(asked.predictions), asked.reviews is not None]
    has_text = asked.model is not None and asked.text.tasks is not None
    has_what = has_text or asked.reviews is not None or bool(asked.benchmarks)
    if sum(ways) != 1 or not has_what or (has_text and asked.benchmarks) or len(asked.predictions) > 2:
        raise usage()
    if has_text:
        _score_text(asked, as_json=as_json)
    elif asked.reviews is not None:
        _score_reviews(asked.reviews, as_json=as_json)
    elif asked.ensemble is not None:
        _score_ensemble(asked, as_json=as_json)
    elif asked.predictions:
        _score_predictions(asked, as_json=as_json)
    else:
        _score_model(asked, as_json=as_json, dry_run=dry_run)


def _config(asked: Asked) -> Any:  # noqa: ANN401 - imported late
    from acclimate.evaluate.conditions import KNOWN, expanded, unknown_conditions
    from acclimate.evaluate.judge import JudgeConfig
    from acclimate.evaluate.stage import EvaluateConfig

    named = expanded(each.strip() for each in (asked.conditions or "").split(",") if each.strip())
    unknown = unknown_conditions(named)
    if unknown:
        raise UsageError(f"--conditions: {'; '.join(unknown)}; there are {KNOWN}.")
    given: dict[str, Any] = {"conditions": named} if named else {}
    return EvaluateConfig(
        limit=asked.limit,
        data=str(asked.data),
        judge=asked.judge,
        judging=JudgeConfig(swap=asked.swap),
        log_likelihood=asked.log_likelihood,
        **given,
    )


def _score_model(asked: Asked, *, as_json: bool, dry_run: bool) -> None:
    from acclimate.console import Display, backstage
    from acclimate.engines.spec import EngineExecution
    from acclimate.scoring import count_questions, score_checkpoint

    config, model = _config(asked), asked.model or Path()
    if dry_run:
        counts = count_questions(model, asked.benchmarks, config)
        if as_json:
            print_json({"plan": counts})
        else:
            for name, n in counts.items():
                sys.stdout.write(f"{name:<32}{n:>8} questions, {len(config.conditions)} conditions each\n")
        return
    with backstage(asked.out / "run.log", quiet=as_json) as console, Display(console) as display:
        result = score_checkpoint(
            model, asked.benchmarks, asked.out, config=config, execution=EngineExecution(), progress=display
        )
        if asked.limit:
            console.print("Test only: this run used a limit on its rows.", style="yellow")
    _show(result, as_json=as_json)


def _score_text(asked: Asked, *, as_json: bool) -> None:
    from acclimate.console import Display, backstage
    from acclimate.text_scoring import TextConfig, TextExecution, score_text

    text, model = asked.text, asked.model or Path()
    config = TextConfig(
        truthfulqa=text.truthfulqa,
        ethics=text.ethics,
        include_path=tuple(map(str, text.include_path)),
        limit=asked.limit,
    )
    with backstage(asked.out / "run.log", quiet=as_json) as console, Display(console) as display:
        result = score_text(
            model,
            [each.strip() for each in (text.tasks or "").split(",") if each.strip()],
            asked.out,
            config=config,
            execution=TextExecution(batch_size=text.batch_size),
            against=text.against,
            progress=display,
        )
        if asked.limit:
            console.print("Test only: this run used a limit on its rows.", style="yellow")
    _show(result, as_json=as_json)


def _score_predictions(asked: Asked, *, as_json: bool) -> None:
    from acclimate.scoring import open_judge, score_predictions

    config = _config(asked)
    judging = open_judge(config, asked.out) if asked.judge is not None else None
    result = score_predictions(
        asked.predictions,
        asked.benchmarks,
        asked.out,
        data=asked.data,
        missing_is_wrong=asked.missing_is_wrong,
        judging=judging,
    )
    _show(result, as_json=as_json)


def _score_reviews(path: Path, *, as_json: bool) -> None:
    from acclimate.scoring import score_reviews

    result = score_reviews(path)
    if as_json:
        print_json(result)
        return
    lines = [
        f"{'category':<28}{'form':<16}{'relative':>10}{'95 % interval':>22}{'reference':>11}{'answer':>9}"
    ]
    for row in result["rows"]:
        spread = "" if row["low"] is None else f"{row['low']:.1f} to {row['high']:.1f}"
        numbers = [
            f"{row['relative']:>10.1f}" if row["relative"] is not None else f"{'':>10}",
            f"{spread:>22}",
        ]
        numbers += [
            "" if row[key] is None else f"{row[key]:>{w}.3f}" for key, w in (("first", 11), ("second", 9))
        ]
        lines.append(f"{row['category']:<28}{row['form']:<16}{''.join(numbers)}")
    unread = result["unread"]
    lines.append(
        f"{result['n']} reviews; not read: strict {len(unread['strict'])}, paper {len(unread['paper'])}"
        + (f" ({', '.join(unread['paper'])}; counted as -1 in the paper form)" if unread["paper"] else "")
    )
    sys.stdout.write("\n".join(lines) + "\n")


def _score_ensemble(asked: Asked, *, as_json: bool) -> None:
    from acclimate.scoring import open_judge, score_ensemble

    if len(asked.predictions) != 1 or len(asked.benchmarks) != 1 or asked.ensemble is None:
        raise UsageError("--ensemble joins one file of --predictions with another, on one --benchmark.")
    judging = open_judge(_config(asked), asked.out) if asked.judge is not None else None
    result = score_ensemble(
        asked.predictions[0], asked.ensemble, asked.benchmarks[0], data=asked.data, judging=judging
    )
    if as_json:
        print_json(result)
        return
    lines = [f"{'rule':<16}{'form':<10}{'right':>8}{'of':>8}{'accuracy':>10}  how"]
    for row in result["rows"]:
        how = ", ".join(f"{name} {n}" for name, n in row["by_how"].items())
        numbers = f"{row['n_right']:>8}{row['n']:>8}{100 * row['accuracy']:>10.3f}"
        lines.append(f"{row['rule']:<16}{row['form']:<10}{numbers}  {how}")
    sys.stdout.write("\n".join(lines) + "\n")


def _show(result: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(result)
    else:
        sys.stdout.write(scores_text(result))


def scores_text(result: Mapping[str, Any]) -> str:
    """Return a result of `scoring` as a table for people, what stands beside the scores beneath it."""
    from acclimate.evaluate.conditions import is_corruption

    lines = [f"{'benchmark':<34}{'measured':<34}{'score':>8}{'95 % interval':>20}{'items':>8}{'p':>8}"]
    for benchmark, rows in result["measurements"].items():
        for what, each in rows.items():
            if is_corruption(what.removeprefix("unparsed_")):
                continue  # robustness sums them up; measurements.json has each
            spread = f"{each['low']:.3f} to {each['high']:.3f}"
            p = "" if "p" not in each else f"{each['p']:.4f}"
            name = f"{what} {result['primary'].get(benchmark, '')}" if what == "original" else what
            lines.append(f"{benchmark:<34}{name:<34}{each['value']:>8.3f}{spread:>20}{each['n']:>8}{p:>8}")
    lines += _reliance_lines(result.get("reliance", ()))
    lines += _robustness_lines(result.get("robustness", ()))
    if not result.get("robustness") and any(
        is_corruption(what) for rows in result["measurements"].values() for what in rows
    ):
        lines.append("robustness: nothing to compare with; ask under the condition original too")
    reasons = ", ".join(f"{reason} {n}" for reason, n in result["rejections"].items()) or "none"
    lines.append(f"rejected rows: {reasons}")
    lines += [
        f"{name}: commonest training answer without a picture: {given['prior']:.3f}; "
        f"{given['n_pictures_in_train']} of {given['n_pictures']} pictures are in its training file too"
        for name, given in result["beside"].items()
    ]
    for name, facts in result["benchmarks"].items():
        odd = [
            f"{row} has {result['rows'].get(row, 0)} questions, published {n}"
            for row, n in facts["counts"].items()
            if result["rows"].get(row, 0) not in (0, n)
        ]
        lines += [f"{name}: {each}" for each in odd]
    missing = {name: n for name, n in result.get("missing", {}).items() if n}
    lines += [f"{name}: {n} questions without a prediction" for name, n in missing.items()]
    cut = ", ".join(f"{name} {n}" for name, n in result["truncated"].items())
    lines += [f"replies cut at their longest: {cut}"] if cut else []
    lines.append(f"answers: {result['predictions']}; samples: {result['samples']}")
    return "\n".join(lines) + "\n"


def _reliance_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return how far answers rest on the picture, as a table."""
    lines = ["visual reliance (acc_real_minus_mismatch/v1)"] if rows else []
    for row in rows:
        name = row["measure"] if row["model"] == "model" else f"{row['model']} {row['measure']}"
        numbers = [row["value"], row["low"], row["high"]]
        is_defined = all(each is not None for each in numbers)
        text = "{:.3f}  {:.3f} to {:.3f}".format(*numbers) if is_defined else "not defined"
        text += " nats per token" if is_defined and row["measure"].endswith("_ll") else ""
        lines.append(f"{row['benchmark']:<34}{name:<34}{text}{'  ' + row['flag'] if row['flag'] else ''}")
    return lines


def _robustness_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what corrupted pictures cost, as a table."""
    title = "robustness: relative drop (relative_drop/v1); robustness.parquet has every corruption"
    lines = [f"{title:<102}{'drop':>8}{'95 % interval':>20}{'in':>6}"] if rows else []
    for row in rows:
        name = row["scorer"] if row["model"] == "model" else f"{row['model']} {row['scorer']}".rstrip()
        over = f"severity {row['severity']}" if row["severity"] else f"{row['corruption']}"
        over = over if row["measure"] == "relative_drop" else f"{row['measure']} {over}"
        number = "-" if row["value"] is None else f"{row['value']:.3f}"
        is_bound = row["low"] is not None and row["high"] is not None
        spread = f"{row['low']:.3f} to {row['high']:.3f}" if is_bound else "not defined"
        flag = f"  {row['flag']}" if row["flag"] else ""
        start = f"{row['benchmark']:<34}{name:<34}{over:<34}"
        lines.append(f"{start}{number:>8}{spread:>20}{row['n_conditions']:>6}{flag}")
    return lines


def list_benchmarks(name: str | None, data: Path, *, as_json: bool) -> None:
    """Print the published benchmarks, or one's definition."""
    from acclimate.evaluate.catalogue import absence, locate, published

    known = published()
    if name is not None:
        if name not in known:
            raise UsageError(f"There is no published benchmark {name!r}; there are {', '.join(known)}.")
        located = locate(name, data=data)
        if as_json:
            print_json(
                located.spec.model_dump(mode="json") | {"files": [str(each) for each in located.files]}
            )
            return
        sys.stdout.write(known[name].read_text(encoding="utf-8"))
        here = ", ".join(map(str, located.files)) or absence(located)
        sys.stdout.write(f"# {here}\n")
        return
    rows = []
    for each in known:
        located = locate(each, data=data)
        kinds = ", ".join(sorted({*located.spec.kinds}))
        rows.append(
            {
                "name": each,
                "title": located.spec.title,
                "kinds": kinds,
                "files": [str(path) for path in located.files],
                "source": located.spec.hub.repository if located.spec.hub else "",
            }
        )
    if as_json:
        print_json({"benchmarks": rows})
        return
    lines = [f"{'name':<26}{'benchmark':<34}{'kinds':<22}{'here':<6}published at"]
    for row in rows:
        here = "yes" if row["files"] else "no"
        lines.append(f"{row['name']:<26}{row['title']:<34}{row['kinds']:<22}{here:<6}{row['source']}")
    lines.append("acclimate benchmarks NAME shows one, and what to put where")
    sys.stdout.write("\n".join(lines) + "\n")


def export_benchmarks(
    benchmarks: list[str],
    form: str,
    out: Path,
    *,
    data: Path,
    conditions: str,
    limit: int | None,
    as_json: bool,
) -> None:
    """Write benchmarks in another tool's form."""
    from acclimate.evaluate.catalogue import locate
    from acclimate.evaluate.conditions import KNOWN, expanded, shown_images, unknown_conditions
    from acclimate.evaluate.lmms_eval import write_benchmark
    from acclimate.evaluate.load import load_benchmark
    from acclimate.evaluate.vlmevalkit import write_tsvs
    from acclimate.files import ImageStore

    named: list[Any] = list(expanded(each.strip() for each in conditions.split(",") if each.strip()))
    unknown = unknown_conditions(named)
    if unknown or form not in ("lmms-eval", "vlmevalkit"):
        raise UsageError(f"Give --form lmms-eval or vlmevalkit, and --conditions of {KNOWN}.")
    store = ImageStore(out / "pictures")
    located = [locate(each, data=data) for each in benchmarks]
    for each in located:
        each.require()
    written: list[str] = []
    for each in located:
        loaded = load_benchmark(each, store, limit)
        if form == "lmms-eval":
            written += write_benchmark(loaded, out, store=store, conditions=named)
        else:
            shown = {name: shown_images(loaded.items, name, seed=0, store=store) for name in named}
            split = loaded.spec.split
            written += map(str, write_tsvs(loaded.items, shown, out, store=store, split=split))
    if as_json:
        print_json({"out": str(out), "form": form, "written": written})
        return
    sys.stdout.write("".join(f"{name}\n" for name in written))
    if form == "lmms-eval":
        sys.stdout.write(
            f"run: python -m lmms_eval --include_path {out} --tasks {written[0]} --log_samples "
            "--output_path OUT ...\n"
        )
