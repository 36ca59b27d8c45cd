"""Ready-made conversations: every layout, every reason, and what a row becomes."""

import base64
import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from acclimate.compose.replay import Replay, mixed
from acclimate.errors import DataError
from acclimate.files import ImageStore
from acclimate.ingest.conversations import ConversationSource, conversations_identity, read_conversations
from acclimate.ingest.scienceqa import qcm_lea
from acclimate.ingest.stage import IngestConfig, ingest
from acclimate.records import Conversation, ImageCaption, Rejection, Turn
from tests.small_lines import png

PICTURE_BY_HASH = {hashlib.sha256(png(number)).hexdigest(): number for number in range(4)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "daten ü"
    (place / "images").mkdir(parents=True)
    for number in range(4):
        (place / "images" / f"p{number}.png").write_bytes(png(number))
    return place


def human(text: str) -> dict[str, Any]:
    return {"from": "human", "value": text}


def gpt(text: str) -> dict[str, Any]:
    return {"from": "gpt", "value": text}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: Any, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


def llava(number: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"row-{number}",
        "image": f"p{number % 4}.png",
        "conversations": [human(f"<image>\nWhat is it, {number}?"), gpt("A cell.")],
        **changes,
    }


def read(
    folder: Path, rows: Any, name: str = "chats.json", **options: Any
) -> tuple[list[Conversation], list[Rejection]]:
    (folder / name).write_text(json.dumps(rows), encoding="utf-8")
    return read_sources(folder, ConversationSource(source=name, image_root="images", **options))


def read_sources(folder: Path, *sources: ConversationSource) -> tuple[list[Conversation], list[Rejection]]:
    outcomes = list(read_conversations(sources, store=ImageStore(folder / "run"), base=folder))
    assert len({each.id for each in outcomes}) == len(outcomes), "an id stands twice"
    return (
        [each for each in outcomes if isinstance(each, Conversation)],
        [each for each in outcomes if isinstance(each, Rejection)],
    )


def told(conversation: Conversation) -> list[tuple[str, str, bool]]:
    return [(turn.role, turn.text, turn.trained) for turn in conversation.turns]


def pictures(conversation: Conversation) -> list[int]:
    return [PICTURE_BY_HASH[image.sha256] for image in conversation.images]


# --- layouts --------------------------------------------------------------------------------------

ONE = [("user", "What is it?", False), ("assistant", "A cell.", True)]
DATA_URI = "data:image/png;base64," + base64.b64encode(png(1)).decode("ascii")


@pytest.mark.parametrize(
    ("row", "turns", "shown", "places"),
    [
        pytest.param(
            {"image": "p1.png", "conversations": [human("<image>\nWhat is it?"), gpt("A cell.")]},
            ONE,
            [1],
            (),
            id="llava, marker first",
        ),
        pytest.param(
            {"image": "p1.png", "conversations": [human("What is it?\n<image>"), gpt(" A cell.\n")]},
            ONE,
            [1],
            (),
            id="llava, marker last, white space outside",
        ),
        pytest.param(
            {"image": "p1.png", "conversatons": [human("What is it?\n<image>"), gpt("A cell.")]},
            ONE,
            [1],
            (),
            id="the spelling of LLaVA-Med's alignment file",
        ),
        pytest.param(
            {"conversations": [human("What is it?"), gpt("A cell.")]}, ONE, [], (), id="llava, text only"
        ),
        pytest.param(
            {
                "images": ["p0.png", "p2.png"],
                "messages": [user("<image><image>What is it?"), assistant("A cell.")],
            },
            ONE,
            [0, 2],
            (),
            id="LLaMA-Factory, two images",
        ),
        pytest.param(
            {
                "images": ["p0.png", "p2.png"],
                "messages": [user("<image>What is it?<image>"), assistant("A cell.")],
            },
            ONE,
            [0, 2],
            (),
            id="one marker first, one last",
        ),
        pytest.param(
            {
                "images": [{"path": "p3.png", "bytes": None}],
                "messages": [user("What is it?"), assistant("A cell.")],
            },
            ONE,
            [3],
            (),
            id="TRL: images beside messages, no marker",
        ),
        pytest.param(
            {
                "messages": [
                    user([{"type": "image", "image": "p3.png"}, {"type": "text", "text": "What is it?"}]),
                    assistant([{"type": "text", "text": "A cell."}]),
                ]
            },
            ONE,
            [3],
            (),
            id="parts with their own image",
        ),
        pytest.param(
            {
                "images": ["p3.png"],
                "messages": [
                    user([{"type": "text", "text": "What is it?"}, {"type": "image"}]),
                    assistant("A cell."),
                ],
            },
            ONE,
            [3],
            (),
            id="parts that take the row's image",
        ),
        pytest.param(
            {
                "messages": [
                    user(
                        [
                            {"type": "image_url", "image_url": {"url": DATA_URI}},
                            {"type": "text", "text": "What is it?"},
                        ]
                    ),
                    assistant("A cell."),
                ]
            },
            ONE,
            [1],
            (),
            id="OpenAI: data URI",
        ),
        pytest.param(
            {"system": "Be brief.", "conversations": [human("What is it?"), gpt("A cell.")]},
            [("system", "Be brief.", False), *ONE],
            [],
            (),
            id="system beside the turns",
        ),
        pytest.param(
            {"messages": [{"role": "system", "content": ""}, user("What is it?"), assistant("A cell.")]},
            ONE,
            [],
            (),
            id="an empty system turn is none",
        ),
        pytest.param(
            {
                "images": ["p0.png"],
                "messages": [
                    {"role": "system", "content": "Be brief."},
                    user("<image>What is it?"),
                    assistant("A cell."),
                ],
            },
            [("system", "Be brief.", False), *ONE],
            [0],
            (),
            id="first user turn after a system turn",
        ),
        pytest.param(
            {
                "images": ["p0.png", "p1.png"],
                "messages": [
                    user("Hello."),
                    assistant("Hello."),
                    user("<image><image>What is it?"),
                    assistant("A cell."),
                ],
            },
            [("user", "Hello.", False), ("assistant", "Hello.", True), *ONE],
            [0, 1],
            (2, 2),
            id="images in a later turn",
        ),
        pytest.param(
            {
                "images": ["p0.png", "p1.png"],
                "conversations": [human("<image>"), gpt("A cell."), human("<image>\nAnd this?"), gpt("")],
            },
            [
                ("user", "", False),
                ("assistant", "A cell.", True),
                ("user", "And this?", False),
                ("assistant", "", False),
            ],
            [0, 1],
            (0, 2),
            id="a picture alone is a question, an empty answer is not trained",
        ),
        pytest.param(
            {
                "messages": [
                    user("Hello."),
                    assistant("Wrong.", weight=0),
                    user("Again."),
                    assistant("Bad.", loss=False),
                    user("What is it?"),
                    assistant("A cell.", weight=1),
                ]
            },
            [
                ("user", "Hello.", False),
                ("assistant", "Wrong.", False),
                ("user", "Again.", False),
                ("assistant", "Bad.", False),
                *ONE,
            ],
            [],
            (),
            id="answers that the file says not to train on",
        ),
    ],
)
def test_a_row_of_every_layout_becomes_its_turns_and_pictures(folder, row, turns, shown, places):
    kept, rejected = read(folder, [row])
    assert rejected == []
    assert told(kept[0]) == turns
    assert pictures(kept[0]) == shown
    assert kept[0].image_turns == places
    assert kept[0].stage == 1


def test_json_lines_and_parquet_with_the_pictures_inside_read_the_same(folder: Path):
    as_json, _ = read(folder, [llava(0), llava(1)])
    (folder / "chats.jsonl").write_text("\n".join(json.dumps(llava(n)) for n in range(2)), encoding="utf-8")
    rows = [{**llava(n), "image": {"bytes": png(n), "path": "elsewhere.png"}} for n in range(2)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "chats.parquet")
    for name in ("chats.jsonl", "chats.parquet"):
        kept, rejected = read_sources(folder, ConversationSource(source=name, image_root="images"))
        assert rejected == []
        assert {each.id for each in kept} == {each.id for each in as_json}


def test_pictures_can_be_left_out(folder: Path):
    alone = llava(1, conversations=[human("<image>"), gpt("A cell.")])
    kept, rejected = read(folder, [llava(0), alone], pictures="none")
    assert [(told(each)[0][1], each.images, each.image_turns) for each in kept] == [
        ("What is it, 0?", (), ())
    ]
    assert [each.reason for each in rejected] == ["empty_question"]


def test_conversations_are_of_their_stage_and_keep_the_name_of_their_source_and_their_own_id(folder: Path):
    kept, _ = read(folder, [llava(7)], stage=2, name="replay.json")
    assert kept[0].stage == 2
    assert kept[0].sources == ("replay", "row-7")
    named, _ = read_sources(
        folder, ConversationSource(source="replay.json", image_root="images", name="general", stage=1)
    )
    assert named[0].sources == ("general", "row-7")
    assert named[0].id != kept[0].id, "a stage of its own is a record of its own"


# --- rejections -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        pytest.param({"id": "x", "caption": "no turns"}, "no_conversation", id="no turns"),
        pytest.param({"conversations": "Hello."}, "no_conversation", id="turns are a text"),
        pytest.param({"conversations": []}, "empty_conversation", id="no turn"),
        pytest.param(
            {"messages": [{"role": "system", "content": "S"}]}, "empty_conversation", id="system only"
        ),
        pytest.param({"messages": [user("a"), {"role": "tool", "content": "b"}]}, "unknown_role", id="tool"),
        pytest.param(
            {"messages": [user("a"), assistant("b", tool_calls=[1])]}, "unknown_role", id="calls a tool"
        ),
        pytest.param({"conversations": [gpt("a"), human("b")]}, "roles_not_alternating", id="answer first"),
        pytest.param(
            {"conversations": [human("a"), human("b"), gpt("c")]}, "roles_not_alternating", id="twice"
        ),
        pytest.param(
            {"conversations": [human("a"), gpt("b"), human("c")]}, "roles_not_alternating", id="no end"
        ),
        pytest.param(
            {"messages": [user("a"), {"role": "system", "content": "s"}, assistant("b")]},
            "roles_not_alternating",
            id="system later",
        ),
        pytest.param(
            llava(conversations=[human("What?"), gpt("b")]), "image_count", id="image without marker"
        ),
        pytest.param(
            llava(conversations=[human("<image><image>a"), gpt("b")]), "image_count", id="two markers"
        ),
        pytest.param(
            {"conversations": [human("<image>a"), gpt("b")]}, "image_count", id="marker without image"
        ),
        pytest.param(
            llava(conversations=[human("In <image> see?"), gpt("b")]), "marker_in_text", id="inside"
        ),
        pytest.param(
            llava(conversations=[human("a"), gpt("<image>b")]), "image_in_answer", id="in the answer"
        ),
        pytest.param(
            {"videos": ["v.mp4"], "messages": [user("<video>a"), assistant("b")]}, "other_media", id="video"
        ),
        pytest.param(
            {"messages": [user([{"type": "input_audio", "input_audio": {}}]), assistant("b")]},
            "other_media",
            id="audio part",
        ),
        pytest.param({"conversations": [human(" "), gpt("b")]}, "empty_question", id="no question"),
        pytest.param({"conversations": [human("a"), gpt(" \n")]}, "empty_answer", id="no answer"),
        pytest.param(
            {"messages": [user("a"), assistant("b", weight=0)]}, "nothing_to_learn", id="none trained"
        ),
        pytest.param({"conversations": [human("a"), gpt("\ud800")]}, "bad_row", id="half a character"),
        pytest.param({"conversations": [human("a"), {"from": "gpt", "value": 3}]}, "bad_row", id="a number"),
        pytest.param(
            {"messages": [user("a"), assistant([{"type": "text", "text": None}])]}, "bad_row", id="no text"
        ),
        pytest.param(llava(image=["p0.png", 7]), "bad_row", id="an image that is a number"),
        pytest.param(llava(image="data:image/png;base64,###"), "bad_row", id="a broken data URI"),
        pytest.param(["no", "object"], "bad_row", id="no object"),
        pytest.param(llava(image="nowhere.png"), "missing_file", id="no file"),
        pytest.param(llava(image="../outside.png"), "outside_root", id="outside"),
        pytest.param(llava(image="https://example.org/a.png"), "image_is_url", id="URL"),
        pytest.param(llava(image="broken.png"), "image_truncated", id="truncated"),
    ],
)
def test_a_row_that_cannot_be_trained_on_is_rejected_with_its_reason(folder: Path, row: Any, reason: str):
    (folder / "images" / "broken.png").write_bytes(png(1)[:50])
    kept, rejected = read(folder, [llava(0), row])
    assert len(kept) == 1
    assert [(each.room, each.reason) for each in rejected] == [("ingest", reason)]
    assert rejected[0].detail


def test_a_rejection_names_the_row_as_its_file_does(folder: Path):
    _, rejected = read(folder, [llava(0), llava(5, image="nowhere.png")])
    assert rejected[0].detail == "row row-5: nowhere.png"


def test_markers_may_be_left_out_in_messages_and_nowhere_else(folder: Path):
    row = {"images": ["p0.png"], "messages": [user("What?"), assistant("b")]}
    kept, rejected = read(folder, [row], format="messages")
    assert (len(kept), rejected) == (1, [])
    marked = {"images": ["p0.png"], "messages": [user("<image>a"), assistant("b")]}
    kept, rejected = read(folder, [row, marked], format="sharegpt")
    assert (len(kept), [each.reason for each in rejected]) == (1, ["image_count"])


MIXED_ROWS = [
    *(llava(number) for number in range(12)),
    llava(20, image="nowhere.png"),
    llava(21, conversations=[human("a"), gpt("")]),
    llava(21, conversations=[human("a"), gpt("")]),
    {"conversations": []},
    llava(3),
    {**llava(3), "id": "another id"},
]


def test_every_row_comes_out_once_and_the_order_of_the_file_shows_nowhere(folder: Path):
    kept, rejected = read(folder, MIXED_ROWS)
    assert len(kept) == 12
    assert sorted(each.reason for each in rejected) == [
        "duplicate_conversation",
        "duplicate_conversation",
        "empty_conversation",
        "image_count",
        "image_count",
        "missing_file",
    ]
    mixed_up = MIXED_ROWS[:]
    random.Random(1).shuffle(mixed_up)
    again, also = read(folder, mixed_up)
    assert sorted(again, key=lambda each: each.id) == sorted(kept, key=lambda each: each.id)
    assert sorted(also, key=lambda each: each.id) == sorted(rejected, key=lambda each: each.id)


def test_a_removed_row_changes_no_other(folder: Path):
    whole, _ = read(folder, [llava(number) for number in range(6)])
    part, _ = read(folder, [llava(number) for number in range(6) if number != 2])
    assert {each.id for each in part} < {each.id for each in whole}
    assert all(each in whole for each in part)


def test_equal_conversations_of_two_sources_stand_once_and_the_first_source_wins(folder: Path):
    for name in ("one.json", "two.json"):
        (folder / name).write_text(json.dumps([llava(0), {"conversations": []}]), encoding="utf-8")
    sources = [ConversationSource(source=name, image_root="images") for name in ("one.json", "two.json")]
    kept, rejected = read_sources(folder, *sources)
    assert [each.sources[0] for each in kept] == ["one"]
    assert sorted(each.reason for each in rejected) == [
        "duplicate_conversation",
        "empty_conversation",
        "empty_conversation",
    ]


# --- sources as a whole ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "options", "words"),
    [
        pytest.param([], {}, "has no rows", id="empty"),
        pytest.param([{"image": "p0.png", "caption": "a"}], {}, "read under `ingest`", id="captions"),
        pytest.param([{"conversations": []}], {}, "empty_conversation", id="nothing usable"),
        pytest.param([llava(0, image="gone.png")], {}, "None of the 1 images", id="no image there"),
        pytest.param([llava(0)], {"split": "train"}, "for the problems of ScienceQA", id="a split of chats"),
        pytest.param([llava(0)], {"format": "messages"}, "no field messages", id="another layout"),
    ],
)
def test_a_source_that_cannot_be_used_at_all_is_an_error(folder: Path, rows: Any, options: Any, words: str):
    with pytest.raises(DataError, match=words):
        read(folder, rows, **options)


def test_a_table_is_no_source_of_conversations(folder: Path):
    (folder / "chats.csv").write_text("image,caption\np0.png,a\n", encoding="utf-8")
    with pytest.raises(DataError, match="is a table, and a conversation has turns"):
        read_sources(folder, ConversationSource(source="chats.csv"))


def test_the_identity_follows_rows_and_pictures_and_not_their_order_or_place(folder: Path, tmp_path: Path):
    def identity(place: Path, rows: list[Any], **options: Any) -> Any:
        (place / "chats.json").write_text(json.dumps(rows), encoding="utf-8")
        source = ConversationSource(source="chats.json", image_root="images", **options)
        return conversations_identity([source], base=place, cache_dir=place / "cache")

    rows = [llava(0), llava(1)]
    first = identity(folder, rows)
    assert identity(folder, rows[::-1]) == first
    moved = tmp_path / "moved"
    (moved / "images").mkdir(parents=True)
    for number in range(2):
        (moved / "images" / f"p{number}.png").write_bytes(png(number))
    assert identity(moved, rows) == first
    assert identity(folder, rows, ratio=0.5, limit=2) == first, "how many are used is the mixture's business"
    assert identity(folder, rows[:1]) != first
    assert identity(folder, rows, stage=2) != first
    (moved / "images" / "p0.png").write_bytes(png(3))
    assert identity(moved, rows) != first


# --- ScienceQA ------------------------------------------------------------------------------------

PROBLEM = {
    "question": "Which is  warmer?",
    "choices": ["tea", "ice", "snow"],
    "answer": 0,
    "hint": "",
    "image": "image.png",
    "task": "closed choice",
    "lecture": "Heat moves.\nIt never stops.",
    "solution": "Tea is hot.",
    "split": "train",
}


def science(folder: Path, problems: dict[str, Any], splits: dict[str, Any] | None = None) -> Path:
    home = folder / "scienceqa"
    home.mkdir(exist_ok=True)
    (home / "problems.json").write_text(json.dumps(problems), encoding="utf-8")
    if splits is not None:
        (home / "pid_splits.json").write_text(json.dumps(splits), encoding="utf-8")
    for number, (problem_id, problem) in enumerate(problems.items()):
        if problem.get("image"):
            place = home / "images" / problem["split"] / problem_id
            place.mkdir(parents=True, exist_ok=True)
            (place / problem["image"]).write_bytes(png(number))
    return home


def test_a_problem_becomes_the_published_wording_with_its_picture(folder: Path):
    """The texts are those that LLaVA's converter writes for QCM-LEA, worked out by hand."""
    science(folder, {"5": PROBLEM, "9": {**PROBLEM, "image": None, "hint": "Look.", "lecture": ""}},
            {"train": ["5", "9"], "test": []})  # fmt: skip
    kept, rejected = read_sources(folder, ConversationSource(source="scienceqa/problems.json"))
    assert rejected == []
    by_id = {each.sources[1]: each for each in kept}
    assert told(by_id["5"]) == [
        ("user", "Which is warmer?\nContext: N/A\nOptions: (A) tea (B) ice (C) snow", False),
        ("assistant", "Heat moves.\nIt never stops. Tea is hot. The answer is A.", True),
    ]
    assert pictures(by_id["5"]) == [0]
    assert by_id["5"].image_turns == ()
    assert told(by_id["9"]) == [
        ("user", "Which is warmer?\nContext: Look.\nOptions: (A) tea (B) ice (C) snow", False),
        ("assistant", "Tea is hot. The answer is A.", True),
    ]
    assert by_id["9"].images == ()


def test_a_problem_without_lecture_and_solution_has_the_answer_alone():
    assert qcm_lea({"question": "Q?", "choices": ["a", "b"], "answer": 1})[1] == "The answer is B."


@pytest.mark.parametrize("has_splits", [True, False])
def test_a_split_is_read_and_its_pictures_lie_in_the_folder_of_train_val_or_test(
    folder: Path, has_splits: bool
):
    problems = {
        str(number): {**PROBLEM, "question": f"Which, {number}?", "split": split}
        for number, split in enumerate(("train", "train", "val", "test"))
    }
    splits = {"train": ["0", "1"], "val": ["2"], "trainval": ["0", "1", "2"], "test": ["3"], "minival": ["2"]}
    science(folder, problems, splits if has_splits else None)

    def own_ids(split: str | None) -> list[str]:
        source = ConversationSource(source="scienceqa/problems.json", format="scienceqa", split=split)
        kept, rejected = read_sources(folder, source)
        assert rejected == []
        assert all(len(each.images) == 1 for each in kept)
        return sorted(each.sources[1] for each in kept)

    assert own_ids(None) == ["0", "1"]
    assert own_ids("trainval") == ["0", "1", "2"]
    assert own_ids("test") == ["3"]
    if has_splits:
        assert own_ids("minival") == ["2"]
    with pytest.raises(DataError, match="no split 'all'; choose one of train"):
        own_ids("all")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"question": " "}, "no question"),
        ({"choices": "tea"}, "no list of texts"),
        ({"choices": list("abcdef")}, "6 choices"),
        ({"answer": 3}, "'3' is not the number of a choice"),
        ({"answer": True}, "'True' is not the number of a choice"),
        ({"hint": 3}, "hint, lecture or solution is no text"),
    ],
)
def test_a_problem_that_cannot_be_told_is_a_bad_row(folder: Path, changes: Any, words: str):
    science(folder, {"1": PROBLEM, "2": {**PROBLEM, **changes}}, {"train": ["1", "2"]})
    kept, rejected = read_sources(folder, ConversationSource(source="scienceqa/problems.json"))
    assert len(kept) == 1
    assert [each.reason for each in rejected] == ["bad_row"]
    assert words in rejected[0].detail


def test_a_split_that_names_a_problem_that_is_not_there_counts_it(folder: Path):
    science(folder, {"1": PROBLEM}, {"train": ["1", "77"]})
    kept, rejected = read_sources(folder, ConversationSource(source="scienceqa/problems.json"))
    assert len(kept) == 1
    assert [(each.reason, "77" in each.detail) for each in rejected] == [("no_problem", True)]


@pytest.mark.data
def test_real_llava_data_is_read_whole(shared_data: Path, tmp_path: Path):
    place = shared_data / "pairs_general"
    source = ConversationSource(source="llava_pretrain_300.json", image_root="images", images="reference")
    outcomes = list(read_conversations([source], store=ImageStore(tmp_path), base=place))
    assert len(outcomes) == 300
    kept = [each for each in outcomes if isinstance(each, Conversation)]
    assert len(kept) >= 299
    assert all(len(each.images) == 1 and "<image>" not in each.turns[0].text for each in kept)


# --- pairs of published files ----------------------------------------------------------------------


def test_pairs_are_read_from_llava_meds_alignment_file_and_from_rows_by_id(folder: Path):
    misspelt = [llava(n, conversations=None, conversatons=llava(n)["conversations"]) for n in range(2)]
    by_id = {f"r{n}": {"image": f"p{n}.png", "caption": "A cell."} for n in range(2)}
    for name, rows in (("alignment.json", misspelt), ("by-id.json", by_id)):
        (folder / name).write_text(json.dumps(rows), encoding="utf-8")
        config = IngestConfig(source=name, image_root="images")
        outcomes = list(ingest(config, store=ImageStore(folder / "run"), base=folder))
        assert [each.caption for each in outcomes if isinstance(each, ImageCaption)] == ["A cell."] * 2


# --- replay ---------------------------------------------------------------------------------------


def chat(name: str, number: int, stage: int = 1) -> Conversation:
    turns = (Turn("user", "a", trained=False), Turn("assistant", "b", trained=True))
    return Conversation(f"{name}-{number:03}", (), turns, stage, (name, str(number)))


def drawn_of(n_others: int, ratio: float, n_ready: int = 40, seed: int = 0, stage: int = 1) -> set[str]:
    others = [chat("own", number) for number in range(n_others)]
    ready = [chat("general", number, stage) for number in range(n_ready)]
    outcomes = list(mixed(others, ready, {"general": Replay(ratio, seed)}))
    used = {each.id for each in outcomes if isinstance(each, Conversation)}
    left = {each.id for each in outcomes if isinstance(each, Rejection)}
    assert not used & left
    assert used | left == {each.id for each in [*others, *ready]}
    assert all(each.reason == "not_drawn" for each in outcomes if isinstance(each, Rejection))
    return used - {each.id for each in others}


def test_replay_takes_so_many_per_other_conversation_and_never_more_than_there_are():
    assert len(drawn_of(100, 0.1)) == 10
    assert len(drawn_of(100, 2.0)) == 40
    assert len(drawn_of(100, 0.1, stage=2)) == 0, "conversations of another stage do not count"


def test_what_is_replayed_depends_on_ids_and_the_seed_alone():
    few, more = drawn_of(50, 0.1), drawn_of(100, 0.1)
    assert few < more
    assert drawn_of(100, 0.1, seed=1) != more
    fewer_ready = drawn_of(100, 0.1, n_ready=39)
    assert len(more & fewer_ready) >= 9


def test_a_source_without_a_ratio_is_used_whole_and_counts_for_the_others():
    ready = [*(chat("whole", n) for n in range(30)), *(chat("general", n) for n in range(30))]
    kept = [each for each in mixed([], ready, {"general": Replay(0.5, 0)}) if isinstance(each, Conversation)]
    assert sum(each.sources[0] == "whole" for each in kept) == 30
    assert sum(each.sources[0] == "general" for each in kept) == 15
