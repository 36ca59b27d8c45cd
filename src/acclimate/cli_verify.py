"""`acclimate verify` and `acclimate claims correct`: what happens to a record after it was written."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from acclimate.cli_options import Json, print_json, tell

_SHOWN = 40


def verify(
    record: Annotated[Path, typer.Argument(help="A record's folder (RUN/report), or a run's folder.")],
    depth: Annotated[
        Literal["score", "generate", "train"],
        typer.Option(
            "--depth",
            help="score: score the stored predictions and render the record again. generate: also ask the "
            "models again. train: build the whole line again from its sources, which takes as long as the "
            "run took.",
        ),
    ] = "score",
    sample: Annotated[
        int | None,
        typer.Option("--sample", min=1, help="With --depth generate: ask only so many questions again."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the sample.")] = 0,
    run: Annotated[
        Path | None, typer.Option("--run", help="The run's folder, where it is not beside the record.")
    ] = None,
    expect: Annotated[
        str | None,
        typer.Option(
            "--expect", help="The digest that was printed when the record was written: must be the same."
        ),
    ] = None,
    tolerance: Annotated[
        float,
        typer.Option(
            "--tolerance", help="With --depth train: largest difference of a claim's measurement, 0 to 0.1."
        ),
    ] = 0.02,
    lean: Annotated[
        str | None,
        typer.Option("--lean", help="The Lean 4 program that checks proofs; else `lean` in the PATH."),
    ] = None,
    lean_library: Annotated[
        list[Path] | None,
        typer.Option("--lean-library", help="A folder of compiled Lean modules that proofs import."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a record: every hash, then, sealed, the numbers its claims rest on."""
    from dataclasses import asdict

    from acclimate.errors import UsageError
    from acclimate.verify.proved import Lean
    from acclimate.verify.stage import Asked
    from acclimate.verify.stage import verify as verified

    if sample is not None and depth != "generate":
        raise UsageError("--sample goes with --depth generate: at other depths nothing is left out.")
    checker = Lean(lean, os.environ.get("PATH", ""), tuple(lean_library or ()))
    found = verified(record, Asked(depth, sample, seed, run, expect, tolerance, checker), tell)
    if as_json:
        verdict = None if found.verdict is None else found.verdict.model_dump(mode="json")
        told: dict[str, Any] = {
            "record": str(found.record),
            "depth": found.depth,
            "ok": found.ok,
            "altered": [asdict(each) for each in found.altered],
            "findings": [asdict(each) for each in found.findings],
            "retrained": _retrained(found.retrained),
            "proofs": [_proof(each) for each in found.proofs],
            "claims": {name: each.model_dump(mode="json") for name, each in found.claims.items()},
            "verdict": verdict,
            "digest": found.digest,
            "seconds": round(found.seconds, 3),
        }
        print_json(told)
    else:
        sys.stdout.write("\n".join(_lines(found)) + "\n")
    if not found.ok:
        raise typer.Exit(1)


def _lines(found: Any) -> list[str]:  # noqa: ANN401 - imported late
    from acclimate.verify.stage import PROGRAM

    lines = [str(found.record)]
    for title, rows in (("altered", found.altered), ("not reproduced", found.findings)):
        lines += [f"  {title}: {each}" for each in rows[:_SHOWN]]
        if len(rows) > _SHOWN:
            lines.append(f"  and {len(rows) - _SHOWN} more; --json lists them all")
    if found.retrained is not None and not found.retrained.broken_off:
        again = _retrained(found.retrained)
        if not again["same_machine"]:
            lines += [f"  differs: {each}" for each in found.retrained.unequal[:_SHOWN]]
        other = f"on another machine ({', '.join(again['otherwise'])})"
        here = "on the machine that made them" if again["same_machine"] else other
        lines.append(
            f"  {again['artifacts_equal']} of {again['artifacts']} artifacts are bit for bit the recorded "
            f"ones, {here}"
        )
    elif found.retrained is not None:
        moved = "The sources are not the recorded ones, and nothing was trained."
        failed = "The line was not built to its end."
        lines.append(f"{moved if found.retrained.moved else failed} Nothing was changed in the record.")
    for each in found.proofs:
        told = _proof(each)
        lines.append(
            f"  proof of {told['claim']}: {told['status']}{told['reason'] and ': ' + told['reason']}"
        )
        lines.append(f"    the theorem, {told['stated']}: {told['theorem']}")
    if found.altered:
        lines.append(
            f"The record is not what was written: {len(found.altered)} findings. Nothing was changed in it."
        )
    elif any(each.where == PROGRAM for each in found.findings):
        lines.append("Another version of this program made the record: verify it with that one.")
    elif found.verdict is not None:
        lines.append(f"{found.verdict.status} at depth {found.depth}: {found.verdict.reason}")
    lines += [f"digest {found.digest}", f"{found.seconds:.1f} s"]
    return lines


def _retrained(found: Any) -> dict[str, Any]:  # noqa: ANN401 - imported late
    """Return how a line that was built again compares, as plain values; nothing at other depths."""
    if found is None:
        return {}
    return {
        "artifacts": found.n_artifacts,
        "artifacts_equal": found.n_equal,
        "same_machine": found.is_same_machine,
        "otherwise": list(found.otherwise),
        "unequal": [str(each) for each in found.unequal],
        "moved": [str(each) for each in found.moved],
    }


def _proof(each: Any) -> dict[str, str]:  # noqa: ANN401 - imported late
    """Return what became of a proof, as plain values."""
    theorem, stated = each.statement
    found = each.result
    return {
        "claim": each.claim,
        "status": found.status,
        "reason": found.reason,
        "theorem": theorem,
        "stated": stated,
        "axioms": ", ".join(found.axioms),
        "lean": found.lean,
    }


def correct(
    record: Annotated[Path, typer.Argument(help="A record's folder (RUN/report), or a run's folder.")],
    where: Annotated[str, typer.Option("--where", help="The file, claim or field that is corrected.")],
    what: Annotated[str, typer.Option("--what", help="What is now said instead, as a sentence.")],
    why: Annotated[str, typer.Option("--why", help="Why, as a sentence.")],
    by: Annotated[str, typer.Option("--by", help="Who corrects.")],
    as_json: Json = False,
) -> None:
    """Add a correction to a record; nothing that stands there is changed."""
    from acclimate.report.evidence.corrections import Note
    from acclimate.verify.stage import corrected

    note = Note(datetime.now(tz=UTC).date().isoformat(), what, why, where, by)
    found = corrected(record, note)
    if as_json:
        print_json({"corrections": found.corrections.model_dump(mode="json"), "digest": found.digest})
        return
    sys.stdout.write(f"{found.corrections.count} corrections\ndigest {found.digest}\n")
