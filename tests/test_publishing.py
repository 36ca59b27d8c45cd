"""A checkpoint goes to the hub only where it is asked for, with its card, private, and under a licence."""

from pathlib import Path
from typing import Any

import pytest

from acclimate.errors import UsageError
from acclimate.publishing import push, push_dataset

CARD = "---\nlicense: mit\n---\n\n# Ours\n"
REFUSED = "---\nlicense: other\nlicense_name: not-derived\n---\n\n# Ours\n"


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

    def upload_folder(self, *, repo_id: str, repo_type: str, folder_path: str, commit_message: str) -> None:
        assert (repo_id, repo_type) == (self.made[-1][0], self.made[-1][1]["repo_type"])
        root = Path(folder_path)
        self.files = {
            str(each.relative_to(root)): each.read_bytes() for each in root.rglob("*") if each.is_file()
        }


def checkpoint(folder: Path) -> Path:
    (folder / "adapter").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "adapter" / "adapter.safetensors").write_bytes(b"updates")
    (folder / "README.md").write_text("---\nlicense: gemma\n---\n\n# Model card\n")
    return folder


def test_a_checkpoint_is_sent_whole_with_its_card_and_stays_as_it_is(tmp_path: Path) -> None:
    where, hub = checkpoint(tmp_path / "checkpoint"), Hub()
    before = {path: path.read_bytes() for path in where.rglob("*") if path.is_file()}
    card = {"README.md": CARD, ".eval_results/cells.yaml": "[]\n"}
    assert push(where, "us/model", card=card, api=hub) == "https://huggingface.co/us/model"
    assert hub.made == [("us/model", {"repo_type": "model", "private": True, "exist_ok": True})]
    assert hub.files == {
        "model.safetensors": b"weights",
        "adapter/adapter.safetensors": b"updates",
        "README.md": CARD.encode(),
        ".eval_results/cells.yaml": b"[]\n",
    }
    assert {path: path.read_bytes() for path in where.rglob("*") if path.is_file()} == before


def test_conversations_are_sent_as_a_data_set_where_their_card_says_they_lie(tmp_path: Path) -> None:
    rows, hub = tmp_path / "conversations.parquet", Hub()
    rows.write_bytes(b"rows")
    assert push_dataset(rows, "us/data", card=CARD, api=hub) == "https://huggingface.co/datasets/us/data"
    assert hub.made == [("us/data", {"repo_type": "dataset", "private": True, "exist_ok": True})]
    assert hub.files == {"data/conversations.parquet": b"rows", "README.md": CARD.encode()}


def test_nothing_is_made_or_sent_without_a_licence(tmp_path: Path) -> None:
    where, hub = checkpoint(tmp_path / "checkpoint"), Hub()
    with pytest.raises(UsageError, match=r"Nothing was sent to us/model.*--licence NAME"):
        push(where, "us/model", card={"README.md": REFUSED}, api=hub)
    with pytest.raises(UsageError, match=r"--licence NAME"):
        push_dataset(where / "model.safetensors", "us/data", card=REFUSED, api=hub)
    assert (hub.made, hub.files) == ([], {})


def test_what_the_hub_refuses_says_how_to_log_in(tmp_path: Path) -> None:
    hub, where = Hub(OSError("no route to host")), checkpoint(tmp_path / "checkpoint")
    with pytest.raises(UsageError, match=r"no route to host.*hf auth login.*It lies in .*checkpoint\."):
        push(where, "us/model", card={"README.md": CARD}, api=hub)
