"""A checkpoint goes to the hub only where it is asked for, with its scores, and private."""

from pathlib import Path
from typing import Any

import pytest

from acclimate.errors import UsageError
from acclimate.files import write_json
from acclimate.publishing import push


class Hub:
    """Stands in for the hub."""

    def __init__(self, refuses: Exception | None = None) -> None:
        self.made: list[tuple[str, dict[str, Any]]] = []
        self.files: dict[str, bytes] = {}
        self.refuses = refuses

    def create_repo(self, repo: str, **how: Any) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.made.append((repo, how))

    def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> None:
        root = Path(folder_path)
        self.files = {
            str(each.relative_to(root)): each.read_bytes() for each in root.rglob("*") if each.is_file()
        }


def checkpoint(folder: Path) -> Path:
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n\n# Model card\n")
    return folder


def test_a_checkpoint_is_sent_whole_with_its_scores_and_stays_as_it_is(tmp_path: Path) -> None:
    where, hub = checkpoint(tmp_path / "checkpoint"), Hub()
    write_json(
        tmp_path / "summary.json",
        {
            "base": {"macro": 0.25},
            "adapted": {"macro": 0.5},
            "benchmarks": {"cells": {"base": 0.25, "adapted": 0.5}},
            "gain": {"value": 0.25, "low": 0.2, "high": 0.3},
        },
    )
    before = (where / "README.md").read_bytes()
    url = push(where, "us/model", summary=tmp_path / "summary.json", api=hub)
    assert url == "https://huggingface.co/us/model"
    assert hub.made == [("us/model", {"private": True, "exist_ok": True})]
    assert hub.files["model.safetensors"] == b"weights"
    card = hub.files["README.md"].decode()
    assert card.startswith(before.decode().rstrip("\n"))
    assert "| cells | 25.0% | 50.0% |" in card
    assert "Gain +0.250, 95 % interval +0.200 to +0.300." in card
    assert (where / "README.md").read_bytes() == before


def test_a_checkpoint_without_scores_is_sent_as_it_is(tmp_path: Path) -> None:
    where, hub = checkpoint(tmp_path / "checkpoint"), Hub()
    push(where, "us/model", summary=tmp_path / "missing.json", api=hub)
    assert hub.files["README.md"] == (where / "README.md").read_bytes()


def test_what_the_hub_refuses_says_how_to_log_in(tmp_path: Path) -> None:
    hub = Hub(OSError("no route to host"))
    with pytest.raises(UsageError, match=r"no route to host.*hf auth login"):
        push(checkpoint(tmp_path / "checkpoint"), "us/model", summary=None, api=hub)
