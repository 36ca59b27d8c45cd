"""Claims are written down before a model is scored, and nobody can put that right afterwards."""

import json
import multiprocessing
from pathlib import Path

import pytest

from acclimate.claimed import FILE, note_claims, written_before
from acclimate.errors import ArtifactError
from acclimate.report.tested import Claim

MODEL, OTHER = "a" * 64, "b" * 64


def claim(name: str, sentence: str = "It gains.", margin: float = 0.0) -> Claim:
    return Claim(id=name, sentence=sentence, measure="macro/adapted-base/original", margin=margin)


def test_a_claim_noted_before_the_scores_counts_and_a_later_one_does_not(tmp_path: Path) -> None:
    first, late = claim("first"), claim("late")
    note_claims(tmp_path, [first], MODEL, scored=False)
    note_claims(tmp_path, [first, late], MODEL, scored=True)
    assert written_before(tmp_path, [first, late], MODEL) == {"first"}


@pytest.mark.parametrize("other", [claim("first", "It gains much."), claim("first", margin=0.01)])
def test_a_claim_changed_after_the_scores_is_another_claim(tmp_path: Path, other: Claim) -> None:
    note_claims(tmp_path, [claim("first")], MODEL, scored=False)
    note_claims(tmp_path, [other], MODEL, scored=True)
    assert written_before(tmp_path, [other], MODEL) == frozenset()


def test_what_was_claimed_of_one_model_is_not_claimed_of_another(tmp_path: Path) -> None:
    note_claims(tmp_path, [claim("first")], MODEL, scored=False)
    assert written_before(tmp_path, [claim("first")], OTHER) == frozenset()
    note_claims(tmp_path, [claim("first")], OTHER, scored=True)
    assert written_before(tmp_path, [claim("first")], OTHER) == frozenset()


def test_noting_again_adds_nothing_and_no_claims_make_no_file(tmp_path: Path) -> None:
    note_claims(tmp_path, [], MODEL, scored=False)
    assert not (tmp_path / FILE).exists()
    note_claims(tmp_path, [claim("first")], MODEL, scored=False)
    once = (tmp_path / FILE).read_bytes()
    note_claims(tmp_path, [claim("first")], MODEL, scored=True)
    assert (tmp_path / FILE).read_bytes() == once
    assert written_before(tmp_path / "elsewhere", [claim("first")], MODEL) == frozenset()


def test_every_edit_of_an_earlier_line_is_refused_by_its_number(tmp_path: Path) -> None:
    for at in range(3):
        note_claims(tmp_path, [claim(f"c{at}")], MODEL, scored=at == 1)
    path = tmp_path / FILE
    rows = path.read_bytes().splitlines(keepends=True)
    edited = json.loads(rows[1])
    edited["written"] = "before"
    forged = [
        [rows[0], (json.dumps(edited, separators=(",", ":"), sort_keys=True) + "\n").encode(), rows[2]],
        [rows[0], rows[2]],
        [rows[0], rows[2], rows[1]],
        [rows[0], rows[1][:-9], rows[2]],
    ]
    for content in forged:
        path.write_bytes(b"".join(content))
        with pytest.raises(ArtifactError, match="line 2"):
            written_before(tmp_path, [claim("c0")], MODEL)
        with pytest.raises(ArtifactError, match="line 2"):
            note_claims(tmp_path, [claim("new")], MODEL, scored=False)
        assert path.read_bytes() == b"".join(content)


def _note(root: str, name: str) -> None:
    note_claims(Path(root), [claim(name)], MODEL, scored=False)


def test_two_runs_that_note_at_once_keep_one_chain(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    names = [f"c{at}" for at in range(4)]
    workers = [context.Process(target=_note, args=(str(tmp_path), name)) for name in names]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert written_before(tmp_path, [claim(name) for name in names], MODEL) == set(names)
