"""Corrections are only ever appended; whatever else happens to the file is named."""

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acclimate.errors import ArtifactError
from acclimate.report.evidence.contradictions import check_record
from acclimate.report.evidence.corrections import (
    FILE,
    GENESIS,
    Chain,
    Note,
    append,
    chain_problems,
    chained,
    line_of,
    parse,
    read,
    with_corrections,
)
from acclimate.report.evidence.digests import record_json
from tests.evidence_parts import whole


def note(n: int = 1, day: str = "2026-11-22") -> Note:
    return Note(day, f"The gain is {n} points.", "A row was read twice.", "claims[0].measurement", "J. Doe")


def three(folder: Path) -> bytes:
    for n in (1, 2, 3):
        append(folder, note(n))
    return (folder / FILE).read_bytes()


def test_corrections_are_listed_counted_and_chained(tmp_path: Path) -> None:
    assert (read(tmp_path).head, read(tmp_path).summary().status) == (GENESIS, "CURRENT")
    three(tmp_path)
    chain = read(tmp_path)
    assert chain.problems == ()
    assert [each.n for each in chain.lines] == [1, 2, 3]
    assert [each.what for each in chain.lines] == [f"The gain is {n} points." for n in (1, 2, 3)]
    assert chain.lines[0].previous == GENESIS
    assert chain.lines[2].previous == chain.lines[1].sha256
    stated = chain.summary()
    assert (stated.status, stated.count, stated.head) == ("CORRECTED", 3, chain.lines[2].sha256)


def test_appending_leaves_what_stood_there_to_the_byte(tmp_path: Path) -> None:
    before = three(tmp_path)
    append(tmp_path, note(4))
    assert (tmp_path / FILE).read_bytes().startswith(before)


def edited(rows: list[bytes]) -> list[bytes]:
    return [rows[0], rows[1].replace(b"2 points", b"9 points"), rows[2]]


def edited_with_its_hash(rows: list[bytes]) -> list[bytes]:
    first = parse(rows[0] + b"\n")
    other = chained(note(9), first)
    assert not isinstance(other, list)
    return [rows[0], line_of(other).rstrip(b"\n"), rows[2]]


def spaced(rows: list[bytes]) -> list[bytes]:
    return [rows[0], rows[1].replace(b'"n":2', b'"n": 2'), rows[2]]


def with_a_field_twice(rows: list[bytes]) -> list[bytes]:
    return [rows[0], rows[1].replace(b'{"by"', b'{"what":"other","by"'), rows[2]]


def put_in(rows: list[bytes]) -> list[bytes]:
    extra = chained(note(9), parse(rows[0] + b"\n"))
    assert not isinstance(extra, list)
    return [rows[0], line_of(extra).rstrip(b"\n"), rows[1], rows[2]]


@pytest.mark.parametrize(
    ("alter", "rule", "line"),
    [
        (edited, "correction_edited", 2),
        (edited_with_its_hash, "correction_edited", 3),
        (spaced, "correction_edited", 2),
        (with_a_field_twice, "correction_edited", 2),
        (put_in, "correction_edited", 3),
        (lambda rows: [rows[0], b"not JSON", rows[2]], "correction_edited", 2),
        (lambda rows: [rows[0], rows[2]], "correction_removed", 2),
        (lambda rows: rows[1:], "correction_removed", 1),
        (lambda rows: [rows[1], rows[0], rows[2]], "correction_reordered", 1),
        (lambda rows: [rows[0], rows[2], rows[1]], "correction_reordered", 2),
    ],
)
def test_the_first_broken_line_is_named_and_how(
    tmp_path: Path, alter: Callable[[list[bytes]], list[bytes]], rule: str, line: int
) -> None:
    rows = three(tmp_path).splitlines()
    (tmp_path / FILE).write_bytes(b"".join(row + b"\n" for row in alter(rows)))
    chain = read(tmp_path)
    assert [(each.rule, each.where) for each in chain.problems] == [(rule, f"{FILE}:{line}")]
    assert len(chain.lines) == line - 1
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(ArtifactError, match=f"broken.*{FILE}:{line}"):
        append(tmp_path, note(4))
    assert (tmp_path / FILE).read_bytes() == before


def test_a_chain_cut_at_its_end_or_written_anew_is_found_beside_the_manifest(tmp_path: Path) -> None:
    rows = three(tmp_path).splitlines(keepends=True)
    stated = read(tmp_path).summary()
    assert chain_problems(read(tmp_path), stated) == []
    (tmp_path / FILE).write_bytes(b"".join(rows[:2]))
    assert [each.rule for each in chain_problems(read(tmp_path), stated)] == ["correction_removed"]
    (tmp_path / FILE).unlink()
    assert [each.rule for each in chain_problems(read(tmp_path), stated)] == ["correction_removed"]
    for n in (1, 2, 7):
        append(tmp_path, note(n))
    assert [each.rule for each in chain_problems(read(tmp_path), stated)] == ["correction_edited"]
    append(tmp_path, note(8))
    assert [each.rule for each in chain_problems(read(tmp_path), stated)] == ["correction_unknown"]


def test_a_line_without_its_end_is_torn(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(three(tmp_path)[:-1])
    chain = read(tmp_path)
    assert [(each.rule, each.where) for each in chain.problems] == [("correction_torn", f"{FILE}:3")]


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (Note("2026-11-21", "w", "y", "x", "b"), "2026-11-21"),
        (Note("today", "w", "y", "x", "b"), "today"),
        (Note("2026-11-22", "", "y", "x", "b"), "what"),
        (Note("2026-11-22", "w", "", "x", "b"), "why"),
    ],
)
def test_a_note_without_its_parts_or_before_the_last_is_refused(
    tmp_path: Path, wrong: Note, word: str
) -> None:
    append(tmp_path, note())
    with pytest.raises(ArtifactError, match=word):
        append(tmp_path, wrong)
    assert len(read(tmp_path).lines) == 1


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot be written"):
        append(tmp_path / "none", note())


def test_appends_at_once_make_one_chain(tmp_path: Path) -> None:
    threads = [threading.Thread(target=append, args=(tmp_path, note(n))) for n in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    chain = read(tmp_path)
    assert chain.problems == () and len(chain.lines) == 8


def test_a_correction_changes_the_manifests_summary_and_nothing_else(tmp_path: Path) -> None:
    data = record_json(whole())
    append(tmp_path, note())
    after = with_corrections(data, read(tmp_path))
    assert check_record(after) == []
    assert {name for name in data if data[name] != after[name]} == {"corrections", "digests", "digest"}
    moved = {name for name in data["digests"] if data["digests"][name] != after["digests"][name]}
    assert moved == {"corrections"}
    assert with_corrections(after, Chain((), ())) == data


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_chain_or_a_problem(content: bytes) -> None:
    chain = parse(content)
    assert chain.lines == () and (chain.problems or content == b"")


def test_text_in_other_scripts_survives(tmp_path: Path) -> None:
    append(tmp_path, Note("2026-11-22", "Übermaß — 数字", "line\u2028end\nand more", "x", "é"))
    chain = read(tmp_path)
    assert chain.problems == ()
    assert chain.lines[0].why == "line\u2028end\nand more"
    assert json.loads((tmp_path / FILE).read_bytes()) == chain.lines[0].model_dump(mode="json")
