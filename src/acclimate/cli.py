"""The command line: arguments, progress display, messages and exit codes.

Exit codes: 0 done; 1 the work failed; 2 wrong usage or recipe; 130 interrupted (what is finished stays).
"""

import errno
import json
import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    name="acclimate",
    help="Adapt a general multimodal LLM to your domain from image-caption pairs, with evidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
lab_app = typer.Typer(help="The embedded world: render it, pretrain its models, check them.", no_args_is_help=True)
app.add_typer(lab_app, name="lab")

RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe, a YAML file.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY.SUB=VALUE]...", help="Values that replace the recipe's.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done and what it takes; do nothing.")]
Limit = Annotated[
    int | None, typer.Option("--limit", min=1, help="Use only so many rows; the output is marked as a test.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Go on without asking, however long it takes.")]
Rehash = Annotated[bool, typer.Option("--rehash", help="Read every input file anew instead of trusting the cache.")]
RunDir = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, or a recipe.")]

_HOUR_S = 3600


def _console(*, quiet: bool = False) -> Any:  # noqa: ANN401
    from rich.console import Console

    return Console(stderr=True, quiet=quiet)


def _print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def _load(path: Path, overrides: list[str] | None, limit: int | None) -> tuple[Any, Path]:
    from acclimate.recipe import load_recipe

    extra = [*(overrides or []), *([f"limit={limit}"] if limit else [])]
    return load_recipe(path, extra), path.resolve().parent


def _machine() -> str:
    return f"{os.cpu_count()} CPU cores; device and dtype are chosen when a model is opened (see `acclimate doctor`)"


def _plan_text(rows: list[Any]) -> str:
    lines = [f"{'step':<20}{'state':<10}{'work':<38}{'tokens':>12}{'time':>10}{'disk':>10}"]
    for row in rows:
        state = "finished" if row.finished else "to do"
        time = "" if row.finished else f"{row.seconds:,.0f} s"
        disk = "" if row.finished else f"{row.disk_bytes / 1e6:,.1f} MB"
        lines.append(f"{row.step:<20}{state:<10}{row.work:<38}{row.tokens:>12,}{time:>10}{disk:>10}")
    lines.append("Estimates: tokens and disk are upper bounds, times are rough (docs/recipes.md says how they are made).")
    return "\n".join(lines)


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
) -> None:
    """Build the named steps of a recipe (all and the report, where asked) and say what came of it."""
    from dataclasses import asdict

    from acclimate.console import Display, log_to
    from acclimate.estimate import estimate
    from acclimate.pipeline import Line

    recipe, base = _load(path, overrides, limit)
    console = _console(quiet=as_json)
    plain = Line(recipe, base, rehash=rehash)
    if dry_run:
        rows = estimate(plain)
        if as_json:
            _print_json({"plan": [asdict(row) for row in rows], "machine": _machine()})
        else:
            sys.stdout.write(_plan_text(rows) + "\n")
        return
    _confirm(plain, console, steps, yes=yes)
    log_to(plain.root / "run.log")
    with Display(console) as display:
        plain.progress = display
        if report:
            summary = plain.report()
        else:
            plain.build(steps)
    status = _status(plain.root)
    if as_json:
        _print_json({**(summary if report else {}), "rooms": status["rooms"]})
        return
    if limit or recipe.limit:
        console.print("Test only: this run used a limit on its rows.", style="yellow")
    wanted = steps or list(plain.steps)
    sys.stdout.write(_status_text(status, wanted) + "\n")
    if report:
        sys.stdout.write(_result_text(summary, plain) + "\n")


def _confirm(line: Any, console: Any, steps: list[str] | None, *, yes: bool) -> None:  # noqa: ANN401
    """Ask before a step that will take more than an hour."""
    from acclimate.errors import UsageError
    from acclimate.estimate import estimate

    if yes:
        return
    long = [row for row in estimate(line) if row.seconds > _HOUR_S and (steps is None or row.step in steps)]
    if not long:
        return
    text = ", ".join(f"{row.step} about {row.seconds / 3600:.1f} h" for row in long)
    console.print(f"This will take long on this machine: {text}.")
    if not sys.stdin.isatty():
        raise UsageError(f"Some steps will take more than an hour here ({text}); add --yes to go on.")
    typer.confirm("Go on?", abort=True)


def _status(root: Path) -> dict[str, Any]:
    """Return what a run has built: inputs, outputs and rejections per room."""
    from acclimate.artifacts import RECORD, RUN
    from acclimate.errors import UsageError
    from acclimate.files import read_json

    if not (root / "line.json").is_file():
        raise UsageError(f"{root} is not a run's folder: it has no line.json. Give the folder a recipe names as run_dir.")
    rooms = {}
    for name, relative in read_json(root / "line.json").items():  # type: ignore[union-attr]
        home = root / str(relative)
        if not (home / RECORD).is_file():
            rooms[name] = {"finished": False}
            continue
        record: Any = read_json(home / RECORD)
        ran: Any = read_json(home / RUN)
        counts = dict(record["counts"])
        rooms[name] = {
            "finished": True,
            "inputs": counts.pop("inputs", 0),
            "outputs": counts.pop("outputs", 0),
            "rejections": record["rejections"],
            "counts": counts,
            "seconds": ran["seconds"],
            "fingerprint": record["fingerprint"],
            "folder": str(relative),
        }
    return {"run": str(root), "rooms": rooms}


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
    gain = summary.get("gain")
    if gain:
        lines.append(f"gain {gain['value']:+.3f}, 95 % interval {gain['low']:+.3f} to {gain['high']:+.3f}")
    checkpoint = artifacts.home_of(line.steps["train"], line.root) / "checkpoint"
    lines += [
        "",
        f"report      {summary['report']}",
        f"checkpoint  {checkpoint}",
        f"serve       vllm serve '{checkpoint}'",
        f"load        transformers.AutoModelForImageTextToText.from_pretrained({str(checkpoint)!r})",
        "            (without torchvision see the snippet at the end of the report)",
    ]
    return "\n".join(lines)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder of the demo's files and results.")] = Path("acclimate-demo"),
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
    from acclimate.console import Display, log_to
    from acclimate.errors import UsageError
    from acclimate.estimate import estimate
    from acclimate.lab.demo import run_demo, Sizes, write_demo
    from acclimate.lab.world import TARGETS
    from acclimate.pipeline import Line
    from acclimate.recipe import load_recipe

    known = [each.key for each in TARGETS]
    if domain not in known:
        raise UsageError(f"There is no target domain {domain!r} in the lab; choose one of {', '.join(known)}.")
    folder = out / f"{domain}-{seed}"
    extra = [*(overrides or []), *([f"limit={limit}"] if limit else [])]
    if dry_run:
        recipe_path = write_demo(folder.resolve(), domain=domain, seed=seed, sizes=Sizes())
        rows = estimate(Line(load_recipe(recipe_path, extra), folder.resolve()))
        sys.stdout.write(_plan_text(rows) + "\n")
        return
    console = _console(quiet=as_json)
    log_to(folder / "run.log")
    with Display(console) as display:
        result = run_demo(folder, domain=domain, seed=seed, control=control, overrides=extra, progress=display)
    if as_json:
        _print_json(result)
        return
    line = Line(load_recipe(folder.resolve() / "recipe.yaml", extra), folder.resolve())
    sys.stdout.write(_status_text(_status(line.root)) + "\n")
    sys.stdout.write(_result_text(result, line) + "\n")
    sys.stdout.write(_audit_text(result) + "\n")


def _audit_text(result: dict[str, Any]) -> str:
    audit, reliance = result["synthesis"], result["reliance"]
    lines = [
        "",
        f"synthetic answers right: {_percent(audit['accuracy_all'])} of all, {_percent(audit['accuracy_kept'])} of kept "
        f"({audit['kept']} of {audit['triplets']} tasks kept, {audit['task_types']} task types)",
        f"right image minus wrong image: base {reliance['base']['vrs']:+.3f}, adapted {reliance['adapted']['vrs']:+.3f}",
    ]
    if "control" in result:
        gap = result["control"]["adapted_minus_control"]
        lines.append(
            f"control (pictures shuffled): {_percent(result['control']['macro'])}; adapted is {gap['value']:+.3f} "
            f"({gap['low']:+.3f} to {gap['high']:+.3f}) better"
        )
    return "\n".join(lines)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Your captions and images.")],
    recipe: Annotated[Path, typer.Option("--recipe", help="Where the recipe is written.")] = Path("recipe.yaml"),
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
        _print_json({"recipe": str(recipe), "notes": notes})
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
) -> None:
    """Run the whole line on a recipe, report included."""
    _execute(
        recipe, overrides, None, as_json=as_json, dry_run=dry_run, limit=limit, yes=yes, rehash=rehash, report=True
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


_room("ingest", ["ingest"], "Read and check the pairs.")
_room("tune-synthesizer", ["tune-synthesizer"], "Tune the synthesizer on the seed data.")
_room("synthesize", ["synthesize"], "Write task triplets for the pairs.")
_room("curate", ["curate"], "Judge every triplet's consistency.")
_room("compose", ["compose"], "Make the training conversations.")
_room("train", ["train"], "Post-train the model.")
_room("evaluate", ["evaluate-base", "evaluate-adapted"], "Ask base and adapted model the benchmarks.")


@app.command()
def report(
    recipe: RecipePath,
    overrides: Overrides = None,
    as_json: Json = False,
    limit: Limit = None,
    yes: Yes = False,
) -> None:
    """Write the report; builds what is missing."""
    _execute(recipe, overrides, None, as_json=as_json, dry_run=False, limit=limit, yes=yes, report=True)


def _root_of(where: Path) -> Path:
    """Return the run folder that a path or a recipe names."""
    from acclimate.errors import UsageError

    if where.is_dir():
        return where.resolve()
    if where.is_file():
        recipe, base = _load(where, None, None)
        return (base / str(recipe.run_dir)).resolve()
    raise UsageError(f"There is nothing at {where}; give a run's folder or a recipe.")


@app.command()
def inspect(
    run_or_recipe: RunDir,
    record_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="A record's id, or a rejection's reason.")] = None,
    as_json: Json = False,
    batch: Annotated[bool, typer.Option("--batch", help="Show training conversations with their trained text.")] = False,
    n: Annotated[int, typer.Option("-n", min=1, help="How many records are shown.")] = 5,
) -> None:
    """Show a run's counts, one record, the records of a rejection reason, or training batches with their mask."""
    from acclimate.inspection import find, masked_conversations

    root = _root_of(run_or_recipe)
    if batch:
        shown = masked_conversations(root, n)
        if as_json:
            _print_json(shown)
        else:
            for each in shown:
                sys.stdout.write(f"--- {each['id']} ({each['trained_tokens']} trained tokens)\n{each['text']}\n")
        return
    if record_id is not None:
        found = find(root, record_id, n)
        _print_json(found)
        return
    status = _status(root)
    if as_json:
        _print_json(status)
    else:
        sys.stdout.write(_status_text(status) + "\n")


@app.command()
def runs(run_or_recipe: RunDir, as_json: Json = False) -> None:
    """List a run folder's artifacts."""
    from dataclasses import asdict

    from acclimate.artifacts import list_artifacts

    rows = list_artifacts(_root_of(run_or_recipe))
    if as_json:
        _print_json([{**asdict(row), "home": str(row.home)} for row in rows])
        return
    for row in rows:
        state = "finished" if row.finished else "unfinished"
        sys.stdout.write(f"{row.name:<20}{row.fingerprint[:16]}  {state:<11}{row.size_bytes / 1e6:>9.1f} MB\n")


@app.command()
def prune(recipe: RecipePath, overrides: Overrides = None, as_json: Json = False, dry_run: DryRun = False) -> None:
    """Remove the artifacts in a recipe's run folder that this recipe does not need."""
    from acclimate.artifacts import list_artifacts
    from acclimate.artifacts import prune as prune_artifacts
    from acclimate.pipeline import Line

    loaded, base = _load(recipe, overrides, None)
    line = Line(loaded, base)
    keep = line.fingerprints()
    if dry_run:
        short = {each[:16] for each in keep}
        freed = sum(row.size_bytes for row in list_artifacts(line.root) if row.home.name not in short)
    else:
        freed = prune_artifacts(line.root, keep)
    if as_json:
        _print_json({"freed_bytes": freed, "dry_run": dry_run})
    else:
        sys.stdout.write(f"{'would free' if dry_run else 'freed'} {freed / 1e6:.1f} MB\n")


@app.command()
def doctor(
    model: Annotated[Path | None, typer.Argument(metavar="[CHECKPOINT]", help="Also look at this checkpoint.")] = None,
    as_json: Json = False,
) -> None:
    """Say what this machine can run: devices, engines, families, and why not."""
    from acclimate.diagnosis import diagnose

    rows = diagnose(model)
    if as_json:
        _print_json(rows)
        return
    for row in rows:
        sys.stdout.write(f"{'ok ' if row['ok'] else 'no '} {row['what']:<28}{row['detail']}\n")


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
    from acclimate.errors import UsageError
    from acclimate.lab.render import write_world
    from acclimate.lab.world import TARGETS

    if domain not in [each.key for each in TARGETS]:
        raise UsageError(f"There is no target domain {domain!r} in the lab; choose cells or meals.")
    write_world(out, domain, n_seeds=seeds, n_pairs=pairs, n_questions=questions, seed=seed)
    sys.stdout.write(f"wrote {out}\n")


@lab_app.command("pretrain")
def lab_pretrain(
    out: Annotated[Path, typer.Option(help="Folder that receives the three checkpoints.")] = Path("lab-models"),
    work: Annotated[Path, typer.Option(help="Folder of pictures and training checkpoints.")] = Path("lab-work"),
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
        pretrain(work, out, tell=lambda text: sys.stderr.write(text + "\n"))
        return
    rows = check_losses(WEIGHTS, work, check, tell=lambda text: sys.stderr.write(text + "\n"))
    if as_json:
        _print_json(rows)
    else:
        for row in rows:
            sys.stdout.write(f"{row['stage']}: {row['steps']} losses, largest difference {row['difference']:.2e}\n")
    if any(row["difference"] > 1e-3 for row in rows):
        raise AcclimateError("The cards' losses are not reproduced within 1e-3; see docs/lab.md for what can differ.")


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
        _print_json(result)
    else:
        sys.stdout.write(skills_text(result) + "\n")


def _is_disk_full(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def main() -> None:
    """Run the command line and leave with the exit code that fits."""
    from acclimate.errors import AcclimateError

    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    logging.captureWarnings(capture=True)
    logging.getLogger("py.warnings").setLevel(logging.WARNING)
    try:
        code = app(standalone_mode=False)
    except AcclimateError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("interrupted; what is finished stays. The same command goes on from there.\n")
        sys.exit(130)
    except typer.Exit as leave:
        sys.exit(leave.exit_code)
    except OSError as error:
        if not _is_disk_full(error):
            raise
        sys.stderr.write(
            f"error: the disk is full ({error.filename or 'while writing'}). Free some space (`acclimate prune` removes "
            "artifacts that no recipe needs), then run the same command again; finished work stays.\n"
        )
        sys.exit(1)
    except Exception as error:  # click's own usage errors, by their protocol
        show = getattr(error, "show", None)
        if show is None:
            raise
        show()
        sys.exit(2)
    sys.exit(code if isinstance(code, int) else 0)
