"""What the verbs of the command line share: options, recipes, plans, output."""

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

_HOUR_S = 3600
RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe, a YAML file.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY.SUB=VALUE]...", help="Values that replace the recipe's.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done and what it takes; do nothing.")
]
Limit = Annotated[
    int | None, typer.Option("--limit", min=1, help="Use only so many rows; the output is marked as a test.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Go on without asking, however long it takes.")]
Rehash = Annotated[
    bool, typer.Option("--rehash", help="Read every input file anew instead of trusting the cache.")
]
PushTo = Annotated[
    str | None,
    typer.Option(
        "--push-to-hub",
        metavar="ORG/NAME",
        help="Then send the checkpoint and its card to the Hugging Face hub, private.",
    ),
]
PushDataTo = Annotated[
    str | None,
    typer.Option(
        "--push-dataset-to-hub",
        metavar="ORG/NAME",
        help="Then send the composed conversations and their card, without pictures.",
    ),
]
Licence = Annotated[
    str | None,
    typer.Option(
        "--licence",
        metavar="NAME",
        help="With one --push-...: the licence you give it, in place of the derived one.",
    ),
]
RunDir = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, or a recipe.")]


def stderr_console(*, quiet: bool = False) -> Any:  # noqa: ANN401
    """Return a console on stderr."""
    from rich.console import Console

    return Console(stderr=True, quiet=quiet)


def tell(text: str) -> None:
    """Say a line on stderr."""
    sys.stderr.write(text + "\n")


def print_json(value: object) -> None:
    """Print one JSON object on stdout."""
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


@dataclass(frozen=True, slots=True)
class Publishing:
    """What is sent to the hub after the work, and under which licence."""

    model: str | None = None
    """Where the checkpoint goes, `organisation/name`."""
    data: str | None = None
    """Where the composed conversations go."""
    licence: str = ""
    """Named by whoever publishes; empty derives it."""

    @classmethod
    def asked(cls, model: str | None, data: str | None, licence: str | None) -> "Publishing":
        """Return what the command line asks for.

        Raises:
            UsageError: a licence that is none, or that is named for nothing or for both.
        """
        from acclimate.errors import UsageError
        from acclimate.licences import checked_licence

        if licence is None:
            return cls(model, data)
        if (model is None) == (data is None):
            raise UsageError(
                "--licence goes with --push-to-hub or with --push-dataset-to-hub. To send both under "
                "licences of your own, run the command twice: what is finished is not done again."
            )
        return cls(model, data, checked_licence(licence))

    def send(self, line: Any, homes: Mapping[str, Path]) -> None:  # noqa: ANN401 - a Line, imported late
        """Send what was asked for and say where it is.

        Raises:
            UsageError: it may not be sent, or cannot.
        """
        from acclimate.carded import dataset_text, model_files
        from acclimate.publishing import push, push_dataset

        if self.model is not None:
            card = model_files(line.card_of(homes, self.model, self.licence))
            tell(push(homes["train"] / "checkpoint", self.model, card=card))
        if self.data is not None:
            text = dataset_text(line.card_of(homes, self.data, self.licence))
            tell(push_dataset(homes["compose"] / "conversations.parquet", self.data, card=text))


def load(path: Path, overrides: list[str] | None, limit: int | None) -> tuple[Any, Path]:
    """Return the recipe with its overrides, and the folder its paths count from."""
    from acclimate.recipe import load_recipe

    extra = [*(overrides or []), *([f"limit={limit}"] if limit else [])]
    return load_recipe(path, extra), path.resolve().parent


def keys() -> Any:  # noqa: ANN401
    """Return the environment's API keys; here and nowhere else is the environment read for them."""
    from acclimate.engines.keys import Keys

    return Keys(os.environ)


def machine() -> str:
    """Say what is known of the machine before anything is loaded."""
    return (
        f"{os.cpu_count()} CPU cores; device and dtype are chosen when a model is opened (`acclimate doctor`)"
    )


def plan_text(rows: list[Any]) -> str:
    """Return a plan as a table."""
    lines = [f"{'step':<20}{'state':<10}{'work':<38}{'tokens':>12}{'time':>10}{'disk':>10}"]
    for row in rows:
        state = "finished" if row.finished else "to do"
        time = "" if row.finished else f"{row.seconds:,.0f} s"
        disk = "" if row.finished else f"{row.disk_bytes / 1e6:,.1f} MB"
        lines.append(f"{row.step:<20}{state:<10}{row.work:<38}{row.tokens:>12,}{time:>10}{disk:>10}")
    lines += [f"{row.step}: {row.cost}" for row in rows if row.cost is not None]
    for row in rows:
        lines += [] if row.training is None else [f"{row.step}:", *row.training.lines()]
    lines.append(
        "Tokens and disk are upper bounds, times are rough (docs/recipes.md says how they are estimated)."
    )
    return "\n".join(lines)


@contextmanager
def untouched(root: Path) -> Iterator[Path | None]:
    """Give a look-only plan a folder of its own for hashes and pictures, unless the run folder is there."""
    if (root / "hashes").is_dir():
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="acclimate-plan-") as scratch:
        yield Path(scratch)


def show_plan(rows: list[Any], *, as_json: bool) -> None:
    """Print a plan."""
    from dataclasses import asdict

    if as_json:
        print_json({"plan": [asdict(row) for row in rows], "machine": machine()})
    else:
        sys.stdout.write(plan_text(rows) + "\n")


def confirm(rows: list[Any], *, quiet: bool) -> None:
    """Ask before steps that will take more than an hour."""
    from acclimate.errors import UsageError

    long = [row for row in rows if row.seconds > _HOUR_S]
    if not long:
        return
    text = ", ".join(f"{row.step} about {row.seconds / 3600:.1f} h" for row in long)
    stderr_console(quiet=quiet).print(f"This will take long on this machine: {text}.")
    if not sys.stdin.isatty():
        raise UsageError(f"Some steps will take more than an hour here ({text}); add --yes to go on.")
    typer.confirm("Go on?", abort=True)


def known_domain(domain: str) -> None:
    """Refuse a domain that the lab has not."""
    from acclimate.errors import UsageError
    from acclimate.lab.world import TARGETS

    known = [each.key for each in TARGETS]
    if domain not in known:
        raise UsageError(
            f"There is no target domain {domain!r} in the lab; choose one of {', '.join(known)}."
        )


def lab_plan(domain: str, seed: int, overrides: list[str], whole: Any) -> list[Any]:  # noqa: ANN401
    """Return the plan of the lab's recipe for so many pairs, seeds, and questions per benchmark."""
    from acclimate.estimate import Amounts, estimate
    from acclimate.lab.demo import Sizes, write_demo
    from acclimate.pipeline import Line
    from acclimate.recipe import load_recipe

    with tempfile.TemporaryDirectory(prefix="acclimate-plan-") as scratch:
        place, few = Path(scratch).resolve(), Sizes(seeds=8, pairs=8, questions=8)
        recipe = load_recipe(write_demo(place, domain=domain, seed=seed, sizes=few), overrides)
        n_questions = len(recipe.evaluate.benchmarks) * whole.items * len(recipe.evaluate.conditions)
        amounts = Amounts(whole.pairs, whole.seeds, n_questions)
        if recipe.limit is not None:
            n = recipe.limit
            n_questions = min(n_questions, n * len(recipe.evaluate.benchmarks) * 3)
            amounts = Amounts(min(n, whole.pairs), min(n, whole.seeds), n_questions)
        return estimate(Line(recipe, place), amounts)


def seeds_of(text: str) -> list[int]:
    """Return the seeds of an option: different whole numbers with commas."""
    from acclimate.errors import UsageError

    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() for part in parts) or len(set(parts)) < len(parts):
        raise UsageError(f"--seeds is {text!r}; give different whole numbers with commas, such as 0,1,2.")
    return [int(part) for part in parts]


def times_done(rows: list[Any], times: Mapping[str, float]) -> list[Any]:
    """Return the rows of a plan, each as often as it is done; others are left out."""
    from dataclasses import replace

    return [
        replace(
            row,
            finished=False,
            work=f"{times[row.step]:.1f} times {row.work}",
            tokens=round(row.tokens * times[row.step]),
            seconds=row.seconds * times[row.step],
            disk_bytes=round(row.disk_bytes * times[row.step]),
            cost=row.cost and row.cost.times(times[row.step]),
        )
        for row in rows
        if row.step in times
    ]


def lab_or_recipe(recipe: Path | None, overrides: list[str] | None) -> tuple[Path | None, list[str]]:
    """Return a study's recipe, None for the lab, and its overrides; the first may stand in its place."""
    if recipe is not None and "=" in str(recipe) and not recipe.exists():
        return None, [str(recipe), *(overrides or [])]
    return recipe, list(overrides or [])


@dataclass(frozen=True, slots=True)
class StudyRun:
    """How the command line runs a study: asked for time, told how it goes, written and printed."""

    out: Path
    limit: int | None
    as_json: bool
    dry_run: bool
    yes: bool

    def go(
        self,
        plan: Callable[[], list[Any]],
        run: Callable[[Any], Any],
        page: Callable[[Any, Sequence[str]], str],
        notes: Sequence[str],
        files: Callable[[Any], Mapping[str, str]] = lambda _: {},
    ) -> Any:  # noqa: ANN401 - a study's own type; None where nothing was run
        """Run a study and write `study.md` and `study.json`; with `dry_run` show the plan alone.

        Args:
            plan: what the study takes; called only where somebody reads it.
            run: gets the display, returns the study.
            page: the study and notes as Markdown.
            files: further texts that are written, by name.
        """
        from acclimate.console import Display, backstage
        from acclimate.files import write_json, write_text

        if self.dry_run:
            show_plan(plan(), as_json=self.as_json)
            return None
        if not self.yes:
            confirm(plan(), quiet=self.as_json)
        with backstage(self.out / "study.log", quiet=self.as_json) as console, Display(console) as display:
            study = run(display)
            if self.limit:
                console.print("Test only: this study used a limit on its rows.", style="yellow")
        if self.limit:
            notes = (f"Test only: this study used a limit of {self.limit} rows.", *notes)
        text = page(study, notes)
        result = {"limit": self.limit, "notes": list(notes), **study.to_json()}
        for name, content in files(study).items():
            write_text(self.out / name, content)
        write_text(self.out / "study.md", text)
        write_json(self.out / "study.json", result)
        if self.as_json:
            print_json(result)
        else:
            sys.stdout.write(text + f"\n{self.out / 'study.md'}\n")
        return study
