"""The command line: arguments, progress display, messages and exit codes.

Exit codes: 0 done; 1 the work failed; 2 wrong usage or recipe; 130 interrupted (what is finished stays).
"""

import errno
import logging
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from acclimate.cli_assemble import assemble
from acclimate.cli_claim_sets import register
from acclimate.cli_claims import claims_app
from acclimate.cli_options import (
    DryRun,
    Json,
    Licence,
    Limit,
    Overrides,
    Publishing,
    PushDataTo,
    PushTo,
    RecipePath,
    Rehash,
    RunDir,
    Yes,
    confirm,
    keys,
    known_domain,
    lab_plan,
    load,
    print_json,
    show_plan,
    tell,
    untouched,
)
from acclimate.cli_study import study_app
from acclimate.cli_verify import correct, verify

app = typer.Typer(
    name="acclimate",
    help="Adapt a general multimodal LLM to your domain from image-caption pairs, with evidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
lab_app = typer.Typer(
    help="The embedded world: render it, pretrain its models, check them.", no_args_is_help=True
)
app.add_typer(lab_app, name="lab")
app.add_typer(study_app, name="study")
app.add_typer(claims_app, name="claims")
app.command()(assemble)
app.command()(verify)
claims_app.command()(correct)
register(claims_app)

_INTERRUPTED = 130


def _execute(
    path: Path,
    overrides: list[str] | None,
    steps: list[str] | None,
    *,
    as_json: bool,
    dry_run: bool,
    limit: int | None,
    yes: bool,
    rehash: bool = False,
    report: bool = False,
    publishing: Publishing | None = None,
) -> None:
    """Build the named steps of a recipe (all and the report, where asked) and say what came of it."""
    from acclimate.console import Display, backstage
    from acclimate.estimate import estimate
    from acclimate.inspection import status
    from acclimate.pipeline import Line

    recipe, base = load(path, overrides, limit)
    if dry_run:
        with untouched((base / str(recipe.run_dir)).resolve()) as scratch:
            planned = Line(recipe, base, rehash=rehash, scratch=scratch)
            trains = steps is None or not {"train", "tune-synthesizer"}.isdisjoint(steps)
            show_plan(estimate(planned, plans=trains), as_json=as_json)
        return
    line = Line(recipe, base, rehash=rehash, keys=keys())
    if not yes:
        confirm(estimate(line, wanted=line.needed(_those_there(line, steps))), quiet=as_json)
    with backstage(line.root / "run.log", quiet=as_json) as console, Display(console) as display:
        line.place.progress = display
        homes = line.build(None if report else _those_there(line, steps))
        summary = line.report(homes) if report else {}
        if recipe.limit:
            console.print("Test only: this run used a limit on its rows.", style="yellow")
    run_status = status(line.root)
    if as_json:
        print_json({**summary, "limit": recipe.limit, "rooms": run_status["rooms"]})
    else:
        sys.stdout.write(_status_text(run_status, steps or list(line.steps)) + "\n")
        sys.stdout.write(f"{_result_text(summary, line)}\n" if report else "")
    if publishing is not None:
        publishing.send(line, homes)


def _those_there(line: Any, steps: list[str] | None) -> list[str] | None:  # noqa: ANN401
    """Return a verb's steps that the recipe has: tasks may be the pairs' own, general ones, or both."""
    if steps is None:
        return None
    if steps == ["evaluate"]:
        return list(line.scored) or steps
    chosen = [name for step in steps for name in (step, f"{step}-general") if name in line.steps]
    return chosen or steps


def _status_text(status: dict[str, Any], wanted: list[str] | None = None) -> str:
    lines = [f"{'step':<20}{'in':>8}{'out':>8}{'seconds':>10}  rejections"]
    for name, room in status["rooms"].items():
        if not room["finished"]:
            if wanted is None:
                lines.append(f"{name:<20}{'not built':>16}")
            continue
        reasons = ", ".join(f"{reason} {n}" for reason, n in room["rejections"].items()) or "none"
        lines.append(f"{name:<20}{room['inputs']:>8}{room['outputs']:>8}{room['seconds']:>10.1f}  {reasons}")
    return "\n".join(lines)


def _percent(value: object) -> str:
    return f"{value:.1%}" if isinstance(value, float) else "-"


def _result_text(summary: Any, line: Any) -> str:  # noqa: ANN401
    from acclimate import artifacts

    base, adapted = summary.get("base", {}), summary.get("adapted", {})
    lines = ["", f"{'benchmark':<24}{'base':>9}{'adapted':>9}"]
    for name, row in summary.get("benchmarks", {}).items():
        lines.append(f"{name:<24}{_percent(row.get('base')):>9}{_percent(row.get('adapted')):>9}")
    lines.append(f"{'mean':<24}{_percent(base.get('macro')):>9}{_percent(adapted.get('macro')):>9}")
    general = summary.get("general", {}).get("macro")
    if general:
        shown = (_percent(general.get(model)) for model in ("base", "adapted"))
        lines.append(f"{'general skills':<24}" + "".join(f"{each:>9}" for each in shown))
    gain = summary.get("gain")
    if gain:
        lines.append(f"gain {gain['value']:+.3f}, 95 % interval {gain['low']:+.3f} to {gain['high']:+.3f}")
    checkpoint = artifacts.home_of(line.steps["train"], line.root) / "checkpoint"
    lines += [
        "",
        f"report      {summary['report']}",
        f"cards       {summary['cards']}",
        f"licence     {summary['licence']}. {summary['licence_refused']}".rstrip(". "),
        f"checkpoint  {checkpoint}",
        f"serve       vllm serve '{checkpoint}'",
        f"load        transformers.AutoModelForImageTextToText.from_pretrained({str(checkpoint)!r})",
        "            (without torchvision see the snippet at the end of the report)",
    ]
    return "\n".join(lines)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder of the demo's files and results.")] = Path(
        "acclimate-demo"
    ),
    domain: Annotated[str, typer.Option("--domain", help="cells or meals.")] = "cells",
    seed: Annotated[int, typer.Option("--seed", help="Seed of data, synthesis and training.")] = 0,
    control: Annotated[
        bool, typer.Option("--control", help="Also train a control with the pictures shuffled among pairs.")
    ] = False,
    overrides: Overrides = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    limit: Limit = None,
) -> None:
    """Run the whole line on the embedded lab; prints the table and writes the report."""
    from acclimate.console import Display, backstage
    from acclimate.inspection import status
    from acclimate.lab.demo import run_demo
    from acclimate.pipeline import Line
    from acclimate.recipe import load_recipe

    known_domain(domain)
    folder = (out / f"{domain}-{seed}").resolve()
    extra = [*(overrides or []), *([f"limit={limit}"] if limit else [])]
    if dry_run:
        show_plan(_demo_plan(folder, domain, seed, extra), as_json=as_json)
        return
    with backstage(folder / "run.log", quiet=as_json) as console, Display(console) as display:
        result = run_demo(
            folder,
            domain=domain,
            seed=seed,
            control=control,
            overrides=extra,
            progress=display,
            keys=keys(),
        )
        if limit:
            console.print("Test only: this run used a limit on its rows.", style="yellow")
    if as_json:
        print_json({**result, "limit": limit} if limit else result)
        return
    line = Line(load_recipe(folder / "recipe.yaml", extra), folder)
    sys.stdout.write(_status_text(status(line.root)) + "\n")
    sys.stdout.write(_result_text(result, line) + "\n")
    sys.stdout.write(_audit_text(result) + "\n")


def _demo_plan(folder: Path, domain: str, seed: int, overrides: list[str]) -> list[Any]:
    """Return the demo's plan; where its world is not rendered yet, a handful of it stands for the whole."""
    from acclimate.estimate import Amounts, estimate
    from acclimate.lab.demo import WHOLE
    from acclimate.pipeline import Line
    from acclimate.recipe import load_recipe

    if (folder / "world" / "rendered.txt").is_file():
        with untouched(folder / "run") as scratch:
            return estimate(Line(load_recipe(folder / "recipe.yaml", overrides), folder, scratch=scratch))
    n_items = 12 * (WHOLE.questions + WHOLE.general)  # four kinds, each under three conditions
    return lab_plan(domain, seed, overrides, Amounts(WHOLE.pairs, WHOLE.seeds, n_items))


def _audit_text(result: dict[str, Any]) -> str:
    audit, reliance = result["synthesis"], result["reliance"]
    lines = [""]
    if audit is not None:
        lines.append(
            f"synthetic answers right: {_percent(audit['accuracy_all'])} of all, "
            f"{_percent(audit['accuracy_kept'])} of kept "
            f"({audit['kept']} of {audit['triplets']} tasks kept, {audit['task_types']} task types)"
        )
    lines.append(
        f"right image minus wrong image: base {reliance['base']['vrs']:+.3f}, "
        f"adapted {reliance['adapted']['vrs']:+.3f}"
    )
    if "control" in result:
        gap = result["control"]["adapted_minus_control"]
        lines.append(
            f"control (pictures shuffled): {_percent(result['control']['macro'])}; "
            f"adapted is {gap['value']:+.3f} ({gap['low']:+.3f} to {gap['high']:+.3f}) better"
        )
    return "\n".join(lines)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Your captions and images.")],
    recipe: Annotated[Path, typer.Option("--recipe", help="Where the recipe is written.")] = Path(
        "recipe.yaml"
    ),
    model: Annotated[
        str | None, typer.Option("--model", help="Checkpoint to adapt; the lab's small one where left out.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a recipe that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Look at your data and write a recipe; names what it guessed."""
    from acclimate.lab.start import write_recipe

    notes = write_recipe(folder, recipe, model=model, force=force)
    if as_json:
        print_json({"recipe": str(recipe), "notes": notes})
        return
    sys.stdout.write("\n".join(f"- {note}" for note in notes) + "\n")
    sys.stdout.write(f"\nwrote {recipe}; now: acclimate run {recipe}\n")


@app.command()
def run(
    recipe: RecipePath,
    overrides: Overrides = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    limit: Limit = None,
    yes: Yes = False,
    rehash: Rehash = False,
    push_to: PushTo = None,
    push_data_to: PushDataTo = None,
    licence: Licence = None,
) -> None:
    """Run the whole line on a recipe, report included."""
    _execute(
        recipe,
        overrides,
        None,
        as_json=as_json,
        dry_run=dry_run,
        limit=limit,
        yes=yes,
        rehash=rehash,
        report=True,
        publishing=Publishing.asked(push_to, push_data_to, licence),
    )


def _room(name: str, steps: list[str], text: str) -> None:
    """Add the verb of one room."""

    def verb(
        recipe: RecipePath,
        overrides: Overrides = None,
        as_json: Json = False,
        dry_run: DryRun = False,
        limit: Limit = None,
        yes: Yes = False,
    ) -> None:
        _execute(recipe, overrides, steps, as_json=as_json, dry_run=dry_run, limit=limit, yes=yes)

    verb.__doc__ = text
    app.command(name=name)(verb)


_room("ingest", ["ingest", "conversations"], "Read and check the pairs, and ready-made conversations.")
_room("tune-synthesizer", ["tune-synthesizer"], "Tune the synthesizer on the seed data.")
_room("synthesize", ["synthesize"], "Write task triplets for the pairs.")


@app.command()
def curate(
    recipe: RecipePath,
    overrides: Overrides = None,
    quality: Annotated[
        bool, typer.Option("--quality", help="Also measure the tasks: types, levels, diversity, lengths.")
    ] = False,
    reliance: Annotated[
        bool, typer.Option("--reliance", help="Also measure how much each task needs its picture.")
    ] = False,
    others: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="NAME=RUN", help="With --quality: compare another run's kept tasks."),
    ] = None,
    agreement: Annotated[
        list[str] | None,
        typer.Option(
            "--agreement", metavar="NAME=SHEET.csv", help="Read a filled-in sheet of --quality; repeatable."
        ),
    ] = None,
    labelled: Annotated[
        Path | None,
        typer.Option(
            "--calibrate", metavar="LABELLED.csv", help="Find the filter's threshold, do nothing else."
        ),
    ] = None,
    precision: Annotated[
        float | None,
        typer.Option("--precision", min=0.0, max=1.0, help="With --calibrate: least precision to reach."),
    ] = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    limit: Limit = None,
    yes: Yes = False,
) -> None:
    """Judge every triplet's consistency; measure the tasks' quality and reliance; calibrate the filter."""
    from acclimate import cli_quality
    from acclimate.errors import UsageError

    if (others and not quality) or (precision is not None and labelled is None):
        raise UsageError("--with goes with --quality, and --precision with --calibrate.")
    if sum((quality, reliance, bool(agreement), labelled is not None)) > 1:
        raise UsageError(
            "--quality, --reliance, --agreement and --calibrate are four things; ask for one at a time."
        )
    if (labelled is not None or agreement) and (dry_run or limit):
        raise UsageError("--calibrate and --agreement read a whole file at once: no --dry-run, no --limit.")
    if labelled is not None:
        cli_quality.show_calibration(recipe, overrides, labelled, precision, as_json=as_json)
    elif agreement:
        cli_quality.show_agreement(recipe, overrides, agreement, as_json=as_json)
    elif quality and dry_run:
        cli_quality.plan_quality(recipe, overrides, others or [], limit=limit, as_json=as_json)
    elif quality:
        cli_quality.show_quality(recipe, overrides, others or [], limit=limit, as_json=as_json, yes=yes)
    elif reliance and dry_run:
        cli_quality.plan_reliance(recipe, overrides, limit=limit, as_json=as_json)
    elif reliance:
        cli_quality.show_reliance(recipe, overrides, limit=limit, as_json=as_json, yes=yes)
    else:
        _execute(recipe, overrides, ["curate"], as_json=as_json, dry_run=dry_run, limit=limit, yes=yes)


_room("compose", ["compose"], "Make the training conversations.")


@app.command()
def train(
    recipe: RecipePath,
    overrides: Overrides = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    limit: Limit = None,
    yes: Yes = False,
    push_to: PushTo = None,
    push_data_to: PushDataTo = None,
    licence: Licence = None,
) -> None:
    """Post-train the model."""
    _execute(
        recipe,
        overrides,
        ["train"],
        as_json=as_json,
        dry_run=dry_run,
        limit=limit,
        yes=yes,
        publishing=Publishing.asked(push_to, push_data_to, licence),
    )


@app.command()
def evaluate(
    recipe: Annotated[
        Path | None, typer.Argument(metavar="[RECIPE]", help="The recipe, a YAML file.")
    ] = None,
    overrides: Overrides = None,
    model: Annotated[
        Path | None, typer.Option("--model", help="Score this checkpoint alone, without a recipe.")
    ] = None,
    predictions: Annotated[
        list[Path] | None,
        typer.Option(
            "--predictions", help="Score this file of answers, without a model; a second one to compare with."
        ),
    ] = None,
    benchmark: Annotated[
        list[str] | None,
        typer.Option("--benchmark", help="A benchmark's YAML, or a published one's name; repeatable."),
    ] = None,
    data: Annotated[Path, typer.Option("--data", help="Folder of the published benchmarks' files.")] = Path(
        "benchmarks"
    ),
    conditions: Annotated[
        str | None,
        typer.Option("--conditions", help="With --model: comma-separated, such as mismatch,fog_3."),
    ] = None,
    log_likelihood: Annotated[
        bool,
        typer.Option(
            "--log-likelihood",
            help="With --model: also how likely right answers are with exchanged pictures.",
        ),
    ] = False,
    judge: Annotated[
        str | None, typer.Option("--judge", help="The model that marks answers, where a benchmark needs one.")
    ] = None,
    swap: Annotated[
        bool, typer.Option("--swap", help="With --judge: judge every pair in both orders and average.")
    ] = False,
    reviews: Annotated[
        Path | None, typer.Option("--reviews", help="Score this file of a judge's pairwise reviews.")
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            "--text", help="With --model: text benchmarks, comma-separated: truthfulqa, ethics, lm-eval's."
        ),
    ] = None,
    truthfulqa: Annotated[
        str | None, typer.Option("--truthfulqa", help="With --text: TruthfulQA.csv, or hub:COMMIT.")
    ] = None,
    ethics: Annotated[
        str | None, typer.Option("--ethics", help="With --text: folder of ETHICS' test files, or hub:COMMIT.")
    ] = None,
    include_path: Annotated[
        list[Path] | None, typer.Option("--include-path", help="With --text: folder of more lm-eval tasks.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option("--against", help="With --text: another checkpoint to compare with.")
    ] = None,
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, help="With --text: questions at a time.")
    ] = 1,
    ensemble: Annotated[
        Path | None,
        typer.Option(
            "--ensemble", help="With --predictions: another model's answers, to be joined (ScienceQA)."
        ),
    ] = None,
    missing_is_wrong: Annotated[
        bool, typer.Option("--missing-is-wrong", help="With --predictions: unanswered questions score 0.")
    ] = False,
    out: Annotated[Path, typer.Option("--out", help="Without a recipe: folder of the results.")] = Path(
        "acclimate-scores"
    ),
    as_json: Json = False,
    dry_run: DryRun = False,
    limit: Limit = None,
    yes: Yes = False,
) -> None:
    """Ask base and adapted model the benchmarks; or score one checkpoint or file (--model, --predictions)."""
    from acclimate.cli_evaluate import Asked, Text, score_alone, usage

    asked = Asked(
        model=model,
        predictions=tuple(predictions or ()),
        reviews=reviews,
        ensemble=ensemble,
        benchmarks=tuple(benchmark or ()),
        data=data,
        conditions=conditions,
        log_likelihood=log_likelihood,
        judge=judge,
        swap=swap,
        missing_is_wrong=missing_is_wrong,
        text=Text(text, truthfulqa, ethics, tuple(include_path or ()), against, batch_size),
        out=out,
        limit=limit,
    )
    if recipe is None or asked.is_alone:
        if recipe is not None or not asked.is_alone:
            raise usage()
        score_alone(asked, as_json=as_json, dry_run=dry_run)
        return
    _execute(recipe, overrides, ["evaluate"], as_json=as_json, dry_run=dry_run, limit=limit, yes=yes)


@app.command()
def benchmarks(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One of them: its definition.")] = None,
    data: Annotated[Path, typer.Option("--data", help="Folder of their files.")] = Path("benchmarks"),
    as_json: Json = False,
) -> None:
    """List the published benchmarks, what of their files is here, and where to get the rest."""
    from acclimate.cli_evaluate import list_benchmarks

    list_benchmarks(name, data, as_json=as_json)


@app.command()
def export(
    benchmark: Annotated[
        list[str],
        typer.Option("--benchmark", help="A benchmark's YAML, or a published one's name; repeatable."),
    ],
    form: Annotated[str, typer.Option("--form", help="lmms-eval (a task folder) or vlmevalkit (TSV files).")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write to.")],
    data: Annotated[Path, typer.Option("--data", help="Folder of the published benchmarks' files.")] = Path(
        "benchmarks"
    ),
    conditions: Annotated[
        str, typer.Option("--conditions", help="Comma-separated; each is a task of its own.")
    ] = "original",
    as_json: Json = False,
    limit: Limit = None,
) -> None:
    """Write benchmarks for other tools: lmms-eval tasks or VLMEvalKit tables."""
    from acclimate.cli_evaluate import export_benchmarks

    export_benchmarks(benchmark, form, out, data=data, conditions=conditions, limit=limit, as_json=as_json)


@app.command()
def report(
    recipe: RecipePath,
    overrides: Overrides = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    limit: Limit = None,
    yes: Yes = False,
) -> None:
    """Write the report; builds what is missing."""
    _execute(recipe, overrides, None, as_json=as_json, dry_run=dry_run, limit=limit, yes=yes, report=True)


def _root_of(where: Path) -> Path:
    """Return the run folder that a path or a recipe names."""
    from acclimate.errors import UsageError

    if where.is_dir():
        return where.resolve()
    if where.is_file():
        recipe, base = load(where, None, None)
        return (base / str(recipe.run_dir)).resolve()
    raise UsageError(f"There is nothing at {where}; give a run's folder or a recipe.")


@app.command()
def inspect(
    run_or_recipe: RunDir,
    record_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="A record's id, or a rejection's reason.")
    ] = None,
    as_json: Json = False,
    batch: Annotated[
        bool, typer.Option("--batch", help="Show training conversations with their trained text.")
    ] = False,
    n: Annotated[int, typer.Option("-n", min=1, help="How many records are shown.")] = 5,
) -> None:
    """Show a run's counts, one record, the records of a reason, or training batches with their mask."""
    from acclimate.console import backstage
    from acclimate.inspection import find, masked_conversations, status

    root = _root_of(run_or_recipe)
    if batch:
        status(root)
        with backstage(root / "run.log", quiet=True):
            shown = masked_conversations(root, n)
        if as_json:
            print_json({"conversations": shown})
        else:
            for each in shown:
                sys.stdout.write(
                    f"--- {each['id']} ({each['trained_tokens']} trained tokens)\n{each['text']}\n"
                )
        return
    if record_id is not None:
        found = find(root, record_id, n)
        print_json({"records": found})
        return
    if as_json:
        print_json(status(root))
    else:
        sys.stdout.write(_status_text(status(root)) + "\n")


@app.command()
def runs(run_or_recipe: RunDir, as_json: Json = False) -> None:
    """List a run folder's artifacts."""
    from dataclasses import asdict

    from acclimate.artifacts import list_artifacts

    rows = list_artifacts(_root_of(run_or_recipe))
    if as_json:
        print_json({"artifacts": [{**asdict(row), "home": str(row.home)} for row in rows]})
        return
    if not rows:
        sys.stdout.write("no artifacts\n")
    for row in rows:
        state = "finished" if row.finished else "unfinished"
        sys.stdout.write(
            f"{row.name:<20}{row.fingerprint[:16]}  {state:<11}{row.size_bytes / 1e6:>9.1f} MB\n"
        )


@app.command()
def prune(
    recipe: RecipePath, overrides: Overrides = None, as_json: Json = False, dry_run: DryRun = False
) -> None:
    """Remove the artifacts in a recipe's run folder that this recipe does not need."""
    from acclimate.artifacts import list_artifacts
    from acclimate.artifacts import prune as prune_artifacts
    from acclimate.pipeline import Line

    loaded, base = load(recipe, overrides, None)
    with untouched((base / str(loaded.run_dir)).resolve()) as scratch:
        line = Line(loaded, base, scratch=scratch)
        keep = line.fingerprints()
    if dry_run:
        short = {each[:16] for each in keep}
        freed = sum(row.size_bytes for row in list_artifacts(line.root) if row.home.name not in short)
    else:
        freed = prune_artifacts(line.root, keep)
    if as_json:
        print_json({"freed_bytes": freed, "dry_run": dry_run})
    else:
        sys.stdout.write(f"{'would free' if dry_run else 'freed'} {freed / 1e6:.1f} MB\n")


@app.command()
def doctor(
    model: Annotated[
        str | None, typer.Argument(metavar="[CHECKPOINT]", help="Also look at this folder or hub name.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what this machine can run: devices, engines, families, and why not."""
    from acclimate.diagnosis import diagnose
    from acclimate.engines.hub import model_folder

    rows = diagnose(None if model is None else model_folder(model, Path.cwd()))
    if as_json:
        print_json({"checks": rows})
        return
    for row in rows:
        sys.stdout.write(f"{'ok ' if row['ok'] else 'no '} {row['what']:<34}{row['detail']}\n")


@lab_app.command("render")
def lab_render(
    out: Annotated[Path, typer.Argument(help="Folder that receives the files.")],
    domain: Annotated[str, typer.Option(help="cells or meals.")] = "cells",
    seeds: Annotated[int, typer.Option(min=0, help="Seed examples.")] = 4000,
    pairs: Annotated[int, typer.Option(min=1, help="Image-caption pairs.")] = 1600,
    questions: Annotated[int, typer.Option(min=1, help="Questions per benchmark.")] = 150,
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Write the world as ordinary files: seeds, pairs, benchmarks."""
    from acclimate.lab.render import write_world

    known_domain(domain)
    write_world(out, domain, n_seeds=seeds, n_pairs=pairs, n_questions=questions, seed=seed)
    sys.stdout.write(f"wrote {out}\n")


@lab_app.command("pretrain")
def lab_pretrain(
    out: Annotated[Path, typer.Option(help="Folder that receives the three checkpoints.")] = Path(
        "lab-models"
    ),
    work: Annotated[Path, typer.Option(help="Folder of pictures and training checkpoints.")] = Path(
        "lab-work"
    ),
    check: Annotated[
        int | None, typer.Option("--check", min=1, help="Only repeat the cards' first so many losses.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train the lab's models from scratch (resumable), or check that their cards can be reproduced."""
    from acclimate.errors import AcclimateError
    from acclimate.lab.demo import WEIGHTS
    from acclimate.lab.pretrain import check_losses, pretrain

    if check is None:
        pretrain(work, out, tell=tell)
        return
    rows: list[dict[str, Any]] = [dict(row) for row in check_losses(WEIGHTS, work, check, tell=tell)]
    if as_json:
        print_json({"stages": rows})
    else:
        for row in rows:
            sys.stdout.write(
                f"{row['stage']}: {row['steps']} losses, largest difference {row['difference']:.2e}\n"
            )
    if any(row["difference"] > 1e-3 for row in rows):
        raise AcclimateError(
            "The cards' losses are not reproduced within 1e-3; see docs/lab.md for what can differ."
        )


@lab_app.command("label")
def lab_label(
    demo_folder: Annotated[
        Path, typer.Argument(metavar="DEMO", help="A demo's folder, such as acclimate-demo/cells-0.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The CSV that is written.")] = Path("labelled.csv"),
) -> None:
    """Write a demo's triplets with the oracle's verdict, for `acclimate curate --calibrate`."""
    from acclimate.lab.label import write_lab_labels

    n = write_lab_labels(demo_folder, out)
    sys.stdout.write(f"wrote {out}: {n} labelled triplets\n")


@lab_app.command("score")
def lab_score(
    model: Annotated[Path | None, typer.Option(help="Checkpoint; the shipped one where left out.")] = None,
    n: Annotated[int, typer.Option("-n", min=10, help="Questions per kind.")] = 100,
    as_json: Json = False,
) -> None:
    """Score a model's skills on held-out general-world questions, by kind."""
    from acclimate.lab.demo import GENERAL_MLLM
    from acclimate.lab.skills import skills, skills_text

    result = skills(model or GENERAL_MLLM, n)
    if as_json:
        print_json(result)
    else:
        sys.stdout.write(skills_text(result) + "\n")


def _refused(error: OSError) -> str:
    """Return what to say of something the operating system refused."""
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"The disk is full{where}. Free some space (`acclimate prune` removes artifacts that no recipe "
            "needs), then run the same command again; finished work stays."
        )
    return (
        f"The system refused: {error.strerror or error}{where}. Put that right (is it there, is it a file or "
        "a folder as expected, may you write it?), then run the same command again; finished work stays."
    )


def _keep_details() -> Path | None:
    """Write the traceback to the run's log, or to a file of its own where there is none; return where."""
    from acclimate.console import logs

    known = logs()
    where = known[-1] if known else Path(tempfile.gettempdir()) / f"acclimate-{os.getpid()}.log"
    try:
        with where.open("a", encoding="utf-8") as handle:
            handle.write(traceback.format_exc())
    except OSError:
        return None
    return where


def _explain(error: Exception) -> int:
    """Say on stderr what went wrong, in one paragraph; return the exit code."""
    from acclimate.errors import AcclimateError

    if isinstance(error, AcclimateError):
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    show = getattr(error, "show", None)
    if show is not None:  # the command line's own usage errors
        show()
        return 2
    details = _keep_details()
    if isinstance(error, OSError) and error.errno is not None:
        sys.stderr.write(f"error: {_refused(error)}\n")
        return 1
    first_line = (str(error).splitlines() or [""])[0][:300]
    where = f" Details are in {details}." if details else ""
    sys.stderr.write(
        f"unexpected error: {type(error).__name__}: {first_line}. Finished work stays; this may be a fault "
        f"of acclimate, please report it.{where}\n"
    )
    return 1


def main() -> None:
    """Run the command line and leave with the exit code that fits."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    logging.captureWarnings(capture=True)
    # Without any handler Python prints warnings itself; where there is no run.log they are not kept.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        code = app(standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except typer.Exit as leave:
        code = leave.exit_code
    except Exception as error:  # noqa: BLE001 -- the outermost border: people get a sentence, the log the rest
        sys.exit(_explain(error))
    if code == _INTERRUPTED:  # typer turns an interrupt into this code
        sys.stderr.write("interrupted; what is finished stays. The same command goes on from there.\n")
    sys.exit(code if isinstance(code, int) else 0)
