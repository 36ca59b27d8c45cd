"""How triplets and captions become training conversations."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from acclimate.compose.stage import ComposeConfig, compose
from acclimate.compose.tasks import task_turns
from acclimate.compose.wordings import (
    CAPTION_QUESTIONS,
    PLAIN_QUESTIONS,
    REASONING_ANSWERS,
    REASONING_QUESTIONS,
)
from acclimate.errors import DataError
from acclimate.records import Conversation, ImageCaption, ImageRef, JudgedTriplet, Label, Rejection

QUESTION = "How many cells are there?"


def _pair(index: int) -> ImageCaption:
    image = ImageRef(f"{index:064x}", 8, 8, "image/png")
    return ImageCaption(f"pair-{index:04d}", image, f"Caption {index}.", "x.json", "unknown")


def _triplet(
    index: int,
    informative: str = "The smear shows two round cells.",
    precise: str = "two",
    verdict: Label = "consistent",
    sample: int = 0,
) -> JudgedTriplet:
    return JudgedTriplet(
        id=f"triplet-{index:04d}-{sample}",
        pair_id=f"pair-{index:04d}",
        instruction=QUESTION,
        informative=informative,
        precise=precise,
        generator="synthesizer",
        label=verdict,
        p_consistent=0.8,
        p_inconsistent=0.1,
        p_open=0.1,
        judge="j",
    )


def _run(
    pairs: Sequence[ImageCaption], triplets: Sequence[JudgedTriplet], **config: object
) -> tuple[list[Conversation], list[Rejection]]:
    outcomes = list(compose(pairs, triplets, ComposeConfig.model_validate(config)))
    conversations = [each for each in outcomes if isinstance(each, Conversation)]
    return conversations, [each for each in outcomes if isinstance(each, Rejection)]


def _answers(informative: str, precise: str) -> set[tuple[str, str]]:
    turns = [task_turns(_triplet(index, informative, precise), 0) for index in range(200)]
    return {(user.text, assistant.text) for user, assistant in turns}


PLAIN = {wording.replace("{q}", QUESTION) for wording in PLAIN_QUESTIONS}
REASONING = {wording.replace("{q}", QUESTION) for wording in REASONING_QUESTIONS}


@pytest.mark.parametrize(
    "informative",
    [
        "Two round cells lie side by side, so the count is two.",
        "There are round shapes. Therefore, two cells are there.",
        "Each shape is a cell. The answer is two",
        "It could be two.",
        "Two shapes are seen. The FINAL count is two.",
    ],
)
def test_an_informative_answer_that_concludes_stands_alone(informative: str) -> None:
    found = _answers(informative, "two")
    assert {answer for _, answer in found} == {informative}
    assert {question for question, _ in found} == PLAIN


def test_a_precise_answer_that_concludes_follows_the_informative_one() -> None:
    found = _answers("Two round cells lie side by side", "Therefore two.")
    assert {answer for _, answer in found} == {"Two round cells lie side by side. Therefore two."}
    assert {question for question, _ in found} == PLAIN


@pytest.mark.parametrize(
    ("informative", "precise"),
    [
        ("The smear shows two round cells.", "two"),
        ("So it begins. The smear shows two round cells.", "two"),  # only the last sentence counts
        ("Two cells can also be seen.", "two"),
        ("The nucleus looks abnormal, and the wall resultant.", "abnormal"),
        ("Nothing in it is thusly drawn or finally answered.", "also two"),
    ],
)
def test_other_answers_are_joined_as_reasons_and_answer(informative: str, precise: str) -> None:
    found = _answers(informative, precise)
    expected = {wording.replace("{i}", informative).replace("{p}", precise) for wording in REASONING_ANSWERS}
    assert {answer for _, answer in found} == expected
    assert {question for question, _ in found} == REASONING


def test_joining_leaves_no_double_stop_and_no_missing_one() -> None:
    answers = {answer for _, answer in _answers("The smear shows two cells", "two.")}
    assert "The smear shows two cells. So the answer is two." in answers
    assert not any(".." in answer for answer in answers)


def test_braces_in_the_texts_are_no_slots() -> None:
    user, assistant = task_turns(
        replace(_triplet(0, "See {p} and {q}.", "{i}"), instruction="What is {i}?"), 0
    )
    assert "What is {i}?" in user.text
    assert assistant.text.startswith("See {p} and {q}. ")
    assert "{i}" in assistant.text


def test_a_wording_never_reverses_reasons_and_answer_or_leaves_one_out() -> None:
    for wording in REASONING_ANSWERS:
        assert 0 <= wording.index("{i}") < wording.index("{p}")
    for wording in (*REASONING_QUESTIONS, *PLAIN_QUESTIONS):
        assert wording.count("{q}") == 1


def test_the_wording_depends_on_the_records_id_and_the_seed_alone() -> None:
    assert task_turns(_triplet(3), 0) == task_turns(_triplet(3), 0)
    assert len({task_turns(_triplet(index), 0)[0].text for index in range(100)}) > 5
    assert [task_turns(_triplet(index), 0) for index in range(20)] != [
        task_turns(_triplet(index), 1) for index in range(20)
    ]


def test_caption_task_and_synthetic_task_stand_in_one_conversation() -> None:
    (conversation,), rejections = _run([_pair(1)], [_triplet(1)])
    assert rejections == []
    assert [turn.role for turn in conversation.turns] == ["user", "assistant"] * 2
    assert [turn.trained for turn in conversation.turns] == [False, True] * 2
    assert conversation.images == (_pair(1).image,)
    assert set(conversation.sources) == {"pair-0001", "triplet-0001-0"}
    questions = [turn.text for turn in conversation.turns if turn.role == "user"]
    assert sum(text in CAPTION_QUESTIONS for text in questions) == 1
    answer_of = {
        user.text: assistant.text
        for user, assistant in zip(conversation.turns[::2], conversation.turns[1::2], strict=True)
    }
    caption_question = next(text for text in questions if text in CAPTION_QUESTIONS)
    assert answer_of[caption_question] == "Caption 1."


def test_about_half_of_the_conversations_begin_with_the_caption() -> None:
    n = 1000
    conversations, _ = _run([_pair(i) for i in range(n)], [_triplet(i) for i in range(n)])
    first = sum(each.turns[0].text in CAPTION_QUESTIONS for each in conversations)
    assert 440 < first < 560


def test_a_pair_without_a_kept_triplet_keeps_its_caption_task() -> None:
    conversations, rejections = _run(
        [_pair(0), _pair(1), _pair(2)], [_triplet(1, verdict="inconsistent"), _triplet(2, verdict="open")]
    )
    assert [each.sources for each in conversations] == [("pair-0000",), ("pair-0001",), ("pair-0002",)]
    assert all(len(each.turns) == 2 for each in conversations)
    assert Counter(each.reason for each in rejections) == {"judged_inconsistent": 1, "judged_open": 1}


def test_the_recipe_says_which_verdicts_are_kept() -> None:
    triplets = [_triplet(0), _triplet(1, verdict="inconsistent"), _triplet(2, verdict="open")]
    pairs = [_pair(index) for index in range(3)]
    conversations, rejections = _run(pairs, triplets, keep=["consistent", "inconsistent", "open"])
    assert rejections == []
    assert all(len(each.turns) == 4 for each in conversations)
    _, rejections = _run(pairs, triplets, keep=["open"])
    assert {(each.id, each.reason) for each in rejections} == {
        ("triplet-0000-0", "judged_consistent"),
        ("triplet-0001-0", "judged_inconsistent"),
    }


def test_further_triplets_of_a_pair_stand_alone_and_the_caption_is_told_once() -> None:
    triplets = [_triplet(0, sample=sample) for sample in (2, 0, 1)]
    conversations, _ = _run([_pair(0)], triplets)
    assert [each.sources for each in conversations] == [
        ("pair-0000", f"triplet-0000-{sample}") for sample in range(3)
    ]
    assert [len(each.turns) for each in conversations] == [4, 2, 2]
    assert len({each.id for each in conversations}) == 3


def test_without_captions_a_pair_that_has_no_task_is_rejected() -> None:
    conversations, rejections = _run([_pair(0), _pair(1)], [_triplet(0)], mixture="tasks_only")
    (conversation,) = conversations
    assert len(conversation.turns) == 2
    assert conversation.turns[0].text not in CAPTION_QUESTIONS
    assert [(each.id, each.reason) for each in rejections] == [("pair-0001", "no_kept_task")]


def test_with_captions_only_every_triplet_is_rejected() -> None:
    conversations, rejections = _run(
        [_pair(0), _pair(1)], [_triplet(0), _triplet(1, verdict="open")], mixture="captions_only"
    )
    assert [each.sources for each in conversations] == [("pair-0000",), ("pair-0001",)]
    assert all(each.turns[0].text in CAPTION_QUESTIONS for each in conversations)
    assert Counter(each.reason for each in rejections) == {"not_in_mixture": 2}


def _mixed(n: int) -> tuple[list[ImageCaption], list[JudgedTriplet]]:
    """Return pairs with no, one or several triplets of every verdict, and triplets of no pair."""
    verdicts: tuple[Label, ...] = ("consistent", "inconsistent", "open")
    triplets = [
        _triplet(index, verdict=verdicts[(index + sample) % 3], sample=sample)
        for index in range(n + 3)
        for sample in range(index % 4)
    ]
    return [_pair(index) for index in range(n)], triplets


@pytest.mark.parametrize("mixture", ["single_stage", "tasks_only", "captions_only"])
@pytest.mark.parametrize("pictures", ["own", "shuffled"])
def test_every_pair_and_triplet_is_in_a_conversation_or_in_one_rejection(mixture: str, pictures: str) -> None:
    pairs, triplets = _mixed(40)
    conversations, rejections = _run(pairs, triplets, mixture=mixture, pictures=pictures)
    used = {source for each in conversations for source in each.sources}
    refused = Counter(each.id for each in rejections)
    for each in (*pairs, *triplets):
        assert (each.id in used) + refused[each.id] == 1, each.id
    assert used | set(refused) == {each.id for each in (*pairs, *triplets)}
    assert len({each.id for each in conversations}) == len(conversations)


def test_a_triplet_whose_pair_is_gone_is_rejected() -> None:
    conversations, rejections = _run([_pair(0)], [_triplet(0), _triplet(9)])
    assert len(conversations) == 1
    assert [(each.id, each.reason) for each in rejections] == [("triplet-0009-0", "pair_missing")]


def test_a_removed_pair_and_another_order_change_no_other_conversation() -> None:
    pairs, triplets = _mixed(40)
    before = {each.id: each for each in _run(pairs, triplets)[0]}
    fewer = [pair for pair in pairs if pair.id not in ("pair-0003", "pair-0017")][::-1]
    after = {each.id: each for each in _run(fewer, triplets[::-1])[0]}
    gone = {key for key, each in before.items() if {"pair-0003", "pair-0017"} & set(each.sources)}
    assert gone
    assert after == {key: each for key, each in before.items() if key not in gone}


def test_a_shuffled_picture_is_never_the_pairs_own() -> None:
    pairs = [_pair(index) for index in range(60)]
    pairs.append(replace(pairs[0], id="pair-9999", caption="A second caption of the same picture."))
    own = {pair.id: pair.image for pair in pairs}
    conversations, _ = _run(pairs, [_triplet(index) for index in range(60)], pictures="shuffled")
    assert len(conversations) == 61
    assert all(each.images != (own[each.sources[0]],) for each in conversations)
    assert {each.images[0] for each in conversations} == set(own.values())
    straight, _ = _run(pairs, [_triplet(index) for index in range(60)])
    assert [each.turns for each in conversations] == [each.turns for each in straight]


def test_shuffling_does_not_depend_on_the_order_of_the_pairs() -> None:
    pairs = [_pair(index) for index in range(20)]
    shown = {each.sources[0]: each.images for each in _run(pairs, [], pictures="shuffled")[0]}
    again = {each.sources[0]: each.images for each in _run(pairs[::-1], [], pictures="shuffled")[0]}
    other = {each.sources[0]: each.images for each in _run(pairs, [], pictures="shuffled", seed=1)[0]}
    assert shown == again != other


def test_one_picture_alone_cannot_be_shuffled() -> None:
    pairs = [_pair(0), replace(_pair(0), id="pair-0001", caption="Another.")]
    with pytest.raises(DataError, match="two different pictures"):
        _run(pairs, [], pictures="shuffled")
