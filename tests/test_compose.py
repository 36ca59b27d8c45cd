"""How triplets and captions become training conversations."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from pydantic import ValidationError

from acclimate.compose.conclusions import informative_concludes, precise_concludes
from acclimate.compose.paper_wordings import PAPER_PLAIN, PAPER_REASONING, Wording
from acclimate.compose.sentences import closed, is_phrase, last_sentence
from acclimate.compose.stage import VERSION, ComposeConfig, GeneralData, compose
from acclimate.compose.tasks import TaskStyle, caption_turns, task_turns
from acclimate.compose.wordings import (
    BARE,
    BRIEF_QUESTIONS,
    DETAILED_QUESTIONS,
    DISH_QUESTIONS,
    DOMAIN_QUESTIONS,
    PHRASE_ENDINGS,
    PLAIN_QUESTIONS,
    REASONING_QUESTIONS,
    SENTENCE_ENDINGS,
)
from acclimate.errors import DataError
from acclimate.records import Conversation, ImageCaption, ImageRef, JudgedTriplet, Label, Rejection

QUESTION = "How many cells are there?"
VERDICTS: tuple[Label, ...] = ("consistent", "inconsistent", "open", "unjudged")


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
    pairs: Sequence[ImageCaption],
    triplets: Sequence[JudgedTriplet],
    general: GeneralData | None = None,
    **config: object,
) -> tuple[list[Conversation], list[Rejection]]:
    outcomes = list(compose(pairs, triplets, ComposeConfig.model_validate(config), general=general))
    conversations = [each for each in outcomes if isinstance(each, Conversation)]
    return conversations, [each for each in outcomes if isinstance(each, Rejection)]


def _answers(informative: str, precise: str, style: TaskStyle | None = None) -> set[tuple[str, str]]:
    triplets = (_triplet(index, informative, precise) for index in range(2500))
    turns = [task_turns(each, 0, style or TaskStyle()) for each in triplets]
    return {(user.text, assistant.text) for user, assistant in turns}


PLAIN = {wording.replace("{q}", QUESTION) for wording in (BARE, *PLAIN_QUESTIONS)}
REASONING = {wording.replace("{q}", QUESTION) for wording in (BARE, *REASONING_QUESTIONS)}


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
    expected = {f"{informative} {ending.replace('{p}', precise)}" for ending in PHRASE_ENDINGS}
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
    assert sum(text in BRIEF_QUESTIONS for text in questions) == 1
    answer_of = {
        user.text: assistant.text
        for user, assistant in zip(conversation.turns[::2], conversation.turns[1::2], strict=True)
    }
    caption_question = next(text for text in questions if text in BRIEF_QUESTIONS)
    assert answer_of[caption_question] == "Caption 1."


def test_about_half_of_the_conversations_begin_with_the_caption() -> None:
    n = 1000
    conversations, _ = _run([_pair(i) for i in range(n)], [_triplet(i) for i in range(n)])
    first = sum(each.turns[0].text in BRIEF_QUESTIONS for each in conversations)
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
    assert conversation.turns[0].text not in BRIEF_QUESTIONS
    assert [(each.id, each.reason) for each in rejections] == [("pair-0001", "no_kept_task")]


def test_with_captions_only_every_triplet_is_rejected() -> None:
    conversations, rejections = _run(
        [_pair(0), _pair(1)], [_triplet(0), _triplet(1, verdict="open")], mixture="captions_only"
    )
    assert [each.sources for each in conversations] == [("pair-0000",), ("pair-0001",)]
    assert all(each.turns[0].text in BRIEF_QUESTIONS for each in conversations)
    assert Counter(each.reason for each in rejections) == {"not_in_mixture": 2}


def test_a_triplet_whose_pair_is_gone_is_rejected() -> None:
    conversations, rejections = _run([_pair(0)], [_triplet(0), _triplet(9)])
    assert len(conversations) == 1
    assert [(each.id, each.reason) for each in rejections] == [("triplet-0009-0", "pair_missing")]


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


# --- where sentences end, and what a phrase is --------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("One. Two.", "Two."),
        ("One! Two? Three", "Three"),
        ("It measures 2.5 cm.", "It measures 2.5 cm."),
        ("Stained, e.g. by Dr. Gram. It is blue.", "It is blue."),
        ("Cells, walls etc. are seen.", "Cells, walls etc. are seen."),
        ("Cells, walls etc. They are seen.", "They are seen."),
        ("Compare no. 5 here.", "Compare no. 5 here."),
        ("Is it? No. It is round.", "It is round."),
        ("The answer is B. It is round.", "It is round."),
        ("He said “two.” Then he left.", "Then he left."),
        ("First line\n- second line", "- second line"),
        ("第一句。第二句！", "第二句！"),
        ("Ein Satz… Noch einer.", "Noch einer."),
        ("هل هي خلية؟ نعم.", "نعم."),
        ("  One.  ", "One."),
        ("", ""),
    ],
)
def test_the_last_sentence_is_found_in_several_scripts(text: str, last: str) -> None:
    assert last_sentence(text) == last


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("two", "two."),
        ("two.", "two."),
        ("two:", "two."),
        ("“two.”", "“two.”"),
        ("二。", "二。"),
        ("so?", "so?"),
    ],
)
def test_a_text_is_closed_once(text: str, expected: str) -> None:
    assert closed(text) == expected


@pytest.mark.parametrize(
    ("precise", "phrase"),
    [
        ("two", True),
        ("Yes", True),
        ("two round cells", True),
        ("the left lung.", True),
        ("2.5 cm", True),
        ("salt, milk and flour", True),
        ("Two round cells", False),
        ("it is round", False),
        ("it's round", False),
        ("its round wall", True),
        ("there are two", False),
        ("Yes, it is.", False),
        ("B. Left lung", False),
        ("two\nthree", False),
        ("No!", False),
        ("图中有两个细胞。", False),
        ("ingredients: salt", False),
        ("a " * 12 + "cell", False),
    ],
)
def test_a_whole_sentence_does_not_follow_the_answer_is(precise: str, phrase: bool) -> None:
    assert is_phrase(precise) is phrase
    informative = "The smear shows round shapes."
    endings = {answer.removeprefix(informative).lstrip() for _, answer in _answers(informative, precise)}
    pool = PHRASE_ENDINGS if phrase else SENTENCE_ENDINGS
    filled = precise.strip(" .") if phrase else closed(precise)
    assert endings == {ending.replace("{p}", filled) for ending in pool}


def test_an_ending_begins_a_line_behind_an_answer_of_several_lines() -> None:
    informative = "What is seen:\n- a wall\n- a nucleus"
    assert all(answer.startswith(f"{informative}.\n") for _, answer in _answers(informative, "a cell"))
    assert {answer for _, answer in _answers(informative, "So a cell.")} == {f"{informative}.\nSo a cell."}


# --- the published test for conclusions beside ours ---------------------------------------------------


@pytest.mark.parametrize(
    ("informative", "strict", "paper"),
    [
        ("It could be two.", True, True),
        ("It could be", True, False),  # the published words have a space behind them
        ("The FINAL count is two.", True, True),
        ("There are two. Thus it is two.", True, True),
        ("Two cells can also be seen.", False, True),  # `so ` within `also `
        ("The outcome is soso here.", False, True),
        ("It is also", False, False),
        ("Therefore, there are two.", True, False),
        ("So, two.", True, False),
        ("It is the answer.", True, False),
        ("Hence two cells.", True, False),
        ("A so-called target cell.", False, False),
        ("This resulted in two.", False, False),
        ("So there are two. The wall is round.", False, False),
        ("So there are two! The wall is round.", False, True),  # `. ` alone ends a published sentence
        ("So there are two.\nThe wall is round.", False, True),
        ("So it seems, e.g. here.", True, False),
        ("So two。图中有两个细胞。", False, True),
        ("图中有两个细胞。So two.", True, True),
        ("The so\u0301 example.", False, False),
        ("", False, False),
    ],
)
def test_strict_and_paper_read_conclusions_differently(informative: str, strict: bool, paper: bool) -> None:
    assert informative_concludes(informative, "strict") is strict
    assert informative_concludes(informative, "paper") is paper


@pytest.mark.parametrize(
    ("precise", "strict", "paper"),
    [
        ("Therefore two.", True, True),
        ("the final one", True, True),
        ("So, two", True, False),
        ("two, thus", True, False),
        ("also two", False, True),
        ("So it is. Two", True, True),  # a precise answer is searched whole
        ("two", False, False),
    ],
)
def test_strict_and_paper_read_precise_answers_differently(precise: str, strict: bool, paper: bool) -> None:
    assert precise_concludes(precise, "strict") is strict
    assert precise_concludes(precise, "paper") is paper


def test_the_published_merge_joins_without_mending_stops() -> None:
    style = TaskStyle(merge="paper")
    answers = {answer for _, answer in _answers("Two lie side by side", "therefore two", style)}
    assert "Two lie side by side therefore two" in answers
    assert "Two lie side by side. therefore two" not in answers


# --- pools of wordings --------------------------------------------------------------------------------

STRICT_POOLS = {
    "reasoning": (REASONING_QUESTIONS, 60, ("q",)),
    "plain": (PLAIN_QUESTIONS, 30, ("q",)),
    "phrase endings": (PHRASE_ENDINGS, 12, ("p",)),
    "sentence endings": (SENTENCE_ENDINGS, 8, ("p",)),
    "brief": (BRIEF_QUESTIONS, 11, ()),
    "detailed": (DETAILED_QUESTIONS, 16, ()),
    "domain": (DOMAIN_QUESTIONS, 10, ("domain",)),
    "dish": (DISH_QUESTIONS, 10, ()),
}


def _slots(wording: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\{(\w*)\}", wording))


@pytest.mark.parametrize("name", STRICT_POOLS)
def test_a_pool_is_large_distinct_and_has_its_slots(name: str) -> None:
    pool, least, slots = STRICT_POOLS[name]
    assert len({"".join(re.findall(r"[\w{}]", wording.lower())) for wording in pool}) == len(pool) >= least
    for wording in pool:
        assert _slots(wording) == slots, wording
        assert wording == wording.strip()
        assert "  " not in wording
        assert wording[0].isupper() or wording.startswith("{q}\n")
        assert re.search(r"(?<!\{q\})[.?!:]$|\{[qp]\}$|^Describe.*\{domain\}$", wording), wording


def test_an_instruction_is_never_joined_within_a_sentence() -> None:
    for wording in (*REASONING_QUESTIONS, *PLAIN_QUESTIONS):
        before, after = wording.split("{q}")
        assert after == "" or after.startswith("\n"), wording
        assert before == "" or before.endswith((". ", ": ", "? ")), wording


def test_the_caption_pools_share_no_question() -> None:
    pools = (*BRIEF_QUESTIONS, *DETAILED_QUESTIONS, *DOMAIN_QUESTIONS, *DISH_QUESTIONS)
    assert len({wording.lower() for wording in pools}) == len(pools)


@pytest.mark.parametrize(
    ("informative", "precise"),
    [
        ("The smear shows round shapes.", "two"),
        ("The smear shows round shapes", "There are two."),
        ("Two shapes lie there, so it is two.", "two"),
        ("The smear shows round shapes.", "Therefore two."),
    ],
)
def test_in_strict_the_question_is_asked_and_the_answer_stands_after_the_reasons(
    informative: str, precise: str
) -> None:
    for question, answer in _answers(informative, precise):
        assert QUESTION in question
        assert informative not in question
        assert answer.startswith(informative)
        assert precise.strip(".") in answer.removeprefix(informative) or "so it is two" in answer


def _shape(wording: Wording) -> str:
    return f"{','.join(sorted(_slots(wording.user)))}->{','.join(_slots(wording.assistant))}"


def test_the_published_pools_have_the_published_shapes_and_shares() -> None:
    assert Counter(map(_shape, PAPER_PLAIN)) == {"q->a": 64, "a->q": 10, "->q": 5}
    assert sum(each == ("{q}", "{a}") for each in PAPER_PLAIN) == 40
    assert Counter(map(_shape, PAPER_REASONING)) == {
        "q->i,p": 104,
        "q->p,i": 15,
        "q->i": 1,
        "p,q->i": 23,
        "i->q,p": 23,
        "i,p->q": 22,
        "p->q,i": 22,
    }
    assert (len(PAPER_PLAIN), len(PAPER_REASONING)) == (79, 210)


def test_in_paper_tasks_are_turned_round_as_often_as_published() -> None:
    style = TaskStyle(merge="paper")
    n = 4000
    joined = [task_turns(_triplet(index), 0, style) for index in range(n)]
    without_question = sum(QUESTION not in user.text for user, _ in joined) / n
    assert abs(without_question - 67 / 210) < 0.03
    reversed_ = sum(QUESTION not in user.text or "two" in user.text.split() for user, _ in joined) / n
    assert abs(reversed_ - 90 / 210) < 0.03
    alone = [task_turns(_triplet(index, "So it is two."), 0, style) for index in range(n)]
    assert abs(sum(user.text == QUESTION for user, _ in alone) / n - 40 / 79) < 0.03
    assert abs(sum(QUESTION in assistant.text for _, assistant in alone) / n - 15 / 79) < 0.03


def test_a_share_of_the_instructions_is_asked_bare() -> None:
    def bare(share: float) -> float:
        style = TaskStyle(bare=share)
        asked = [task_turns(_triplet(index), 0, style)[0].text for index in range(2000)]
        return sum(text == QUESTION for text in asked) / len(asked)

    assert bare(0.0) == 0.0
    assert abs(bare(0.5) - 0.5) < 0.04
    assert bare(1.0) == 1.0
    assert ComposeConfig().bare == 0.5


def test_asking_more_often_bare_changes_no_answer_and_no_other_wording() -> None:
    few = [task_turns(_triplet(index), 0, TaskStyle(bare=0.2)) for index in range(200)]
    many = [task_turns(_triplet(index), 0, TaskStyle(bare=0.8)) for index in range(200)]
    for (asked, answer), (other, same) in zip(few, many, strict=True):
        assert answer == same
        assert other.text in (asked.text, QUESTION)


# --- how captions are asked for -----------------------------------------------------------------------


def _caption_questions(n: int = 600, words: int = 5, **config: object) -> set[str]:
    pairs = [replace(_pair(index), caption="word " * words) for index in range(n)]
    conversations, _ = _run(pairs, [], **config)
    return {each.turns[0].text for each in conversations}


def test_the_recipe_says_how_captions_are_asked_for() -> None:
    in_medicine = {each.replace("{domain}", "medicine") for each in DOMAIN_QUESTIONS}
    assert _caption_questions() == set(BRIEF_QUESTIONS)
    assert _caption_questions(caption_questions="detailed") == set(DETAILED_QUESTIONS)
    assert _caption_questions(caption_questions="dish") == set(DISH_QUESTIONS)
    assert _caption_questions(caption_questions="domain", domain=" medicine ") == in_medicine


def test_mixed_questions_suit_the_captions_length_and_the_domain() -> None:
    in_cooking = {each.replace("{domain}", "cooking") for each in DOMAIN_QUESTIONS}
    assert _caption_questions(caption_questions="mixed", words=29) == set(BRIEF_QUESTIONS)
    assert _caption_questions(caption_questions="mixed", words=30) == set(DETAILED_QUESTIONS)
    both = _caption_questions(caption_questions="mixed", words=30, domain="cooking")
    assert both == {*DETAILED_QUESTIONS, *in_cooking}
    asked = [caption_turns(_pair(i), 0, "mixed", "cooking")[0].text for i in range(1000)]
    assert 440 < sum(text in in_cooking for text in asked) < 560


def test_a_domains_braces_are_no_slots() -> None:
    (question,) = _caption_questions(1, caption_questions="domain", domain="{q} and {p}")
    assert "{q} and {p}" in question


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"caption_questions": "domain"}, "compose.domain names none"),
        ({"caption_questions": "domain", "domain": "  "}, "compose.domain names none"),
        ({"general_ratio": 0.5}, "uses no general data"),
        ({"general_ratio": 0.5, "tasks": "general", "mixture": "tasks_only"}, "counts per domain pair"),
        ({"bare": 1.5}, "bare"),
        ({"general_ratio": -1, "tasks": "both"}, "general_ratio"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(config: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ComposeConfig.model_validate(config)


# --- tasks with one answer, and arms with one answer --------------------------------------------------


@pytest.mark.parametrize("precise", ["", " \n", ".", "…"])
def test_a_task_with_one_answer_is_that_answer_under_a_plain_wording(precise: str) -> None:
    found = _answers("Two round cells lie side by side", precise)
    assert {answer for _, answer in found} == {"Two round cells lie side by side"}
    assert {question for question, _ in found} == PLAIN


def test_a_task_that_nobody_judged_is_kept_unless_the_recipe_says_otherwise() -> None:
    unjudged = _triplet(0, precise="", verdict="unjudged")
    (conversation,), rejections = _run([_pair(0)], [unjudged])
    assert (len(conversation.turns), rejections) == (4, [])
    _, rejections = _run([_pair(0)], [unjudged], keep=["consistent"])
    assert [each.reason for each in rejections] == ["judged_unjudged"]


@pytest.mark.parametrize(
    ("answers", "expected"), [("precise", "two"), ("informative", "Two cells are there")]
)
def test_an_arm_with_one_answer_trains_it_alone(answers: str, expected: str) -> None:
    triplets = [_triplet(i, "Two cells are there", "two", VERDICTS[i % 4]) for i in range(400)]
    conversations, rejections = _run(
        [_pair(i) for i in range(400)], triplets, answers=answers, keep=VERDICTS, mixture="tasks_only"
    )
    assert rejections == []
    assert {each.turns[1].text for each in conversations} == {expected}
    assert {each.turns[0].text for each in conversations} <= PLAIN


def test_an_answer_that_is_asked_for_and_missing_is_a_reason() -> None:
    triplets = [_triplet(0, precise=" . "), _triplet(1, informative=" ")]
    for answers, reasons in (
        ("precise", {"triplet-0000-0": "no_precise_answer"}),
        ("informative", {"triplet-0001-0": "no_informative_answer"}),
        ("reasoned", {"triplet-0001-0": "no_informative_answer"}),
    ):
        conversations, rejections = _run([_pair(0), _pair(1)], triplets, answers=answers)
        assert {each.id: each.reason for each in rejections} == reasons
        assert len(conversations) == 2


# --- several turns ------------------------------------------------------------------------------------


def _turn(turn: int, reply: str = "reply-1", sample: int | None = None, **changes: object) -> JudgedTriplet:
    made = replace(
        _triplet(0, f"Reason {turn}", "", "unjudged", turn if sample is None else sample),
        reply_id=reply,
        turn=turn,
        instruction=f"Question {turn}?",
    )
    return replace(made, **changes)


def test_tasks_of_one_reply_are_consecutive_turns_of_one_conversation() -> None:
    triplets = [_turn(2, sample=0), _turn(0, sample=1), _turn(1, sample=2)]
    (conversation,), rejections = _run([_pair(0)], triplets, mixture="tasks_only")
    assert rejections == []
    assert [each.text for each in conversation.turns] == [
        text for turn in range(3) for text in (f"Question {turn}?", f"Reason {turn}")
    ]
    assert conversation.sources == ("pair-0000", "triplet-0000-1", "triplet-0000-2", "triplet-0000-0")
    assert conversation.images == (_pair(0).image,)


def test_the_caption_stands_before_or_behind_a_whole_dialogue() -> None:
    places = set()
    for index in range(40):
        pair_id = f"pair-{index:04d}"
        triplets = [replace(_turn(turn), pair_id=pair_id, id=f"t{index}-{turn}") for turn in range(3)]
        (conversation,), _ = _run([_pair(index)], triplets)
        asked = [each.text for each in conversation.turns[::2]]
        places.add(next(i for i, text in enumerate(asked) if text in BRIEF_QUESTIONS))
        assert [text for text in asked if text not in BRIEF_QUESTIONS] == [f"Question {i}?" for i in range(3)]
    assert places == {0, 3}


def test_a_dialogue_goes_on_without_a_turn_that_is_not_kept() -> None:
    triplets = [_turn(0), _turn(1, label="open"), _turn(2)]
    (conversation,), rejections = _run([_pair(0)], triplets, mixture="tasks_only")
    assert [each.text for each in conversation.turns[::2]] == ["Question 0?", "Question 2?"]
    assert [(each.id, each.reason) for each in rejections] == [("triplet-0000-1", "judged_open")]


def test_the_questions_of_a_dialogue_stay_as_they_are_even_if_one_turn_is_left() -> None:
    for index in range(60):
        triplets = [
            replace(_turn(turn), id=f"t{index}-{turn}", label="open" if turn else "unjudged")
            for turn in (0, 1)
        ]
        (conversation,), _ = _run([_pair(0)], triplets, mixture="tasks_only", bare=0.0)
        assert [each.text for each in conversation.turns] == ["Question 0?", "Reason 0"]


def test_the_answers_of_a_dialogue_are_merged_like_any_other() -> None:
    triplets = [_turn(0, precise="two"), _turn(1, informative="So it is two.", precise="two")]
    for merge in ("strict", "paper"):
        (conversation,), _ = _run([_pair(0)], triplets, mixture="tasks_only", merge=merge)
        answers = [each.text for each in conversation.turns[1::2]]
        assert answers[0] in {f"Reason 0. {ending.replace('{p}', 'two')}" for ending in PHRASE_ENDINGS}
        assert answers[1] == "So it is two."


def test_tasks_of_one_reply_that_share_a_turn_stand_alone() -> None:
    triplets = [_turn(0, sample=sample) for sample in range(3)]
    conversations, _ = _run([_pair(0)], triplets, mixture="tasks_only")
    assert [len(each.turns) for each in conversations] == [2, 2, 2]


def test_replies_and_tasks_without_a_reply_are_kept_apart() -> None:
    triplets = [
        *(_turn(turn, "reply-1", sample=turn) for turn in (0, 1)),
        *(_turn(turn, "reply-2", sample=turn + 2) for turn in (0, 1)),
        *(_turn(0, "", sample=sample) for sample in (4, 5)),
    ]
    conversations, _ = _run([_pair(0)], triplets)
    assert [len(each.turns) for each in conversations] == [6, 4, 2, 2]


# --- mixtures -----------------------------------------------------------------------------------------


def _mixed(n: int, name: str = "pair") -> tuple[list[ImageCaption], list[JudgedTriplet]]:
    """Return pairs with no, one or several triplets of every verdict, dialogues, and triplets of no pair."""
    triplets = [
        replace(
            _triplet(index, verdict=VERDICTS[(index + sample) % 4], sample=sample),
            id=f"{name}-task-{index:04d}-{sample}",
            pair_id=f"{name}-{index:04d}",
            informative="So it is two."
            if sample == 1
            else "The smear shows two cells."
            if sample < 3
            else "",
            precise="" if index % 5 == 0 else "two",
            reply_id=f"{name}-reply-{index}" if index % 3 == 0 else f"{name}-reply-{index}-{sample}",
            turn=sample if index % 3 == 0 else 0,
        )
        for index in range(n + 3)
        for sample in range(index % 5)
    ]
    pairs = [replace(_pair(index + 1000 * (name != "pair")), id=f"{name}-{index:04d}") for index in range(n)]
    return pairs, triplets


def _general(n: int = 30) -> GeneralData:
    return GeneralData(*_mixed(n, "general"))


MIXTURES = ("single_stage", "two_stage", "captions_only", "tasks_only")


@pytest.mark.parametrize("mixture", MIXTURES)
@pytest.mark.parametrize("tasks", ["synthetic", "general", "both"])
@pytest.mark.parametrize("pictures", ["own", "shuffled"])
def test_every_pair_and_triplet_is_in_a_conversation_or_in_one_rejection(
    mixture: str, tasks: str, pictures: str
) -> None:
    pairs, triplets = _mixed(40)
    general = _general()
    inputs = {each.id for each in (*pairs, *triplets, *general.pairs, *general.judged)}
    ratios = (None, 0.0, 0.3) if tasks == "both" else (None,)
    for answers in ("reasoned", "precise", "informative"):
        for ratio in ratios:
            config = {"mixture": mixture, "tasks": tasks, "answers": answers, "pictures": pictures}
            conversations, rejections = _run(pairs, triplets, general, general_ratio=ratio, **config)
            used = {source for each in conversations for source in each.sources}
            refused = Counter(each.id for each in rejections)
            for each in inputs:
                assert (each in used) + refused[each] == 1, (each, config)
            assert used | set(refused) == inputs
            assert len({each.id for each in conversations}) == len(conversations)
            assert all(each.turns for each in conversations)


def test_two_stages_teach_captions_first_and_tasks_second() -> None:
    triplets = [_triplet(0), _triplet(0, sample=1), _triplet(1, verdict="open")]
    conversations, _ = _run([_pair(0), _pair(1)], triplets, mixture="two_stage")
    assert [(each.stage, each.sources) for each in conversations] == [
        (1, ("pair-0000",)),
        (2, ("pair-0000", "triplet-0000-0")),
        (2, ("pair-0000", "triplet-0000-1")),
        (1, ("pair-0001",)),
    ]
    captions = [each.turns[0].text in BRIEF_QUESTIONS for each in conversations]
    assert captions == [True, False, False, True]
    assert all(len(each.turns) == 2 for each in conversations)


@pytest.mark.parametrize("mixture", ["single_stage", "captions_only", "tasks_only"])
def test_the_other_mixtures_have_one_stage(mixture: str) -> None:
    conversations, _ = _run(*_mixed(20), mixture=mixture)
    assert {each.stage for each in conversations} == {1}


def test_the_two_stages_together_say_what_the_single_stage_says() -> None:
    pairs, triplets = _mixed(40)
    one, _ = _run(pairs, triplets)
    two, _ = _run(pairs, triplets, mixture="two_stage")

    def told(conversations: list[Conversation]) -> Counter[tuple[str, str]]:
        return Counter(
            (each.sources[0], user.text + assistant.text)
            for each in conversations
            for user, assistant in zip(each.turns[::2], each.turns[1::2], strict=True)
        )

    assert told(one) == told(two)


# --- general data -------------------------------------------------------------------------------------


def _domain_and_general(conversations: list[Conversation]) -> tuple[list[Conversation], list[Conversation]]:
    general = [each for each in conversations if each.sources[0].startswith("general")]
    return [each for each in conversations if each not in general], general


def test_general_tasks_with_domain_captions_are_conversations_of_their_own() -> None:
    pairs, triplets = _mixed(10)
    domain, general = _domain_and_general(_run(pairs, triplets, _general(), tasks="general")[0])
    assert [each.sources for each in domain] == [(pair.id,) for pair in pairs]
    assert general
    asked = {turn.text for each in general for turn in each.turns[::2]}
    assert not asked & set(BRIEF_QUESTIONS)
    assert all(each.images[0].sha256 in {pair.image.sha256 for pair in _general().pairs} for each in general)


def test_general_tasks_alone_leave_nothing_of_the_domain() -> None:
    pairs, triplets = _mixed(10)
    conversations, rejections = _run(pairs, triplets, _general(), tasks="general", mixture="tasks_only")
    domain, general = _domain_and_general(conversations)
    assert (domain, bool(general)) == ([], True)
    reasons = {each.id: each.reason for each in rejections}
    assert {reasons[each.id] for each in (*pairs, *triplets)} == {"not_in_mixture"}


def test_both_kinds_of_tasks_are_the_domains_mixture_and_the_general_one() -> None:
    pairs, triplets = _mixed(10)
    alone, _ = _run(pairs, triplets)
    domain, general = _domain_and_general(_run(pairs, triplets, _general(), tasks="both")[0])
    assert domain == alone
    assert general == _domain_and_general(_run(pairs, triplets, _general(), tasks="general")[0])[1]


def test_general_tasks_belong_to_the_second_stage() -> None:
    conversations, _ = _run(*_mixed(10), _general(), tasks="both", mixture="two_stage")
    assert {each.stage for each in _domain_and_general(conversations)[1]} == {2}


@pytest.mark.parametrize(("ratio", "expected"), [(0.0, 0), (0.25, 5), (1.0, 20), (100.0, None), (None, None)])
def test_the_ratio_counts_general_conversations_per_domain_pair(
    ratio: float | None, expected: int | None
) -> None:
    data = _general(60)
    everything = _domain_and_general(_run([], [], data, tasks="both", mixture="tasks_only")[0])[1]
    found = _domain_and_general(_run(*_mixed(20), data, tasks="both", general_ratio=ratio)[0])[1]
    assert len(found) == (len(everything) if expected is None else expected)
    assert {each.id for each in found} <= {each.id for each in everything}
    if expected == 5:
        other = _run(*_mixed(20), data, tasks="both", general_ratio=ratio, seed=1)[0]
        assert {each.id for each in found} != {each.id for each in _domain_and_general(other)[1]}


def test_without_captions_the_ratio_counts_the_pairs_that_have_a_task() -> None:
    pairs = [_pair(index) for index in range(20)]
    triplets = [_triplet(index) for index in range(8)]
    conversations, _ = _run(
        pairs, triplets, _general(60), tasks="both", general_ratio=0.5, mixture="tasks_only"
    )
    assert len(_domain_and_general(conversations)[1]) == 4


def test_general_data_that_is_asked_for_must_be_given() -> None:
    with pytest.raises(DataError, match="no general data"):
        _run([_pair(0)], [], tasks="both")
    conversations, _ = _run([_pair(0)], [], tasks="both", mixture="captions_only")
    assert len(conversations) == 1


def test_a_record_cannot_be_both_the_domains_and_general() -> None:
    pairs, triplets = _mixed(5)
    with pytest.raises(DataError, match="pair-0003"):
        _run(pairs, triplets, GeneralData([pairs[3]], []), tasks="both")


# --- one record less ----------------------------------------------------------------------------------


def _without(
    pairs: list[ImageCaption], triplets: list[JudgedTriplet]
) -> Iterator[tuple[str, list[ImageCaption], list[JudgedTriplet]]]:
    for pair in pairs:
        fewer = [each for each in pairs if each.id != pair.id][::-1]
        yield pair.id, fewer, [each for each in triplets if each.pair_id != pair.id][::-1]


@pytest.mark.parametrize("merge", ["strict", "paper"])
@pytest.mark.parametrize("mixture", MIXTURES)
def test_removing_any_pair_changes_nothing_about_the_others(mixture: str, merge: str) -> None:
    pairs, triplets = _mixed(50)
    data = _general(20)
    config = {
        "mixture": mixture,
        "merge": merge,
        "tasks": "both",
        "caption_questions": "mixed",
        "domain": "biology",
    }
    before = {each.id: each for each in _run(pairs, triplets, data, **config)[0]}
    for gone, fewer, left in _without(pairs, triplets):
        after = {each.id: each for each in _run(fewer, left, data, **config)[0]}
        assert after == {key: each for key, each in before.items() if each.sources[0] != gone}
    for gone, fewer, left in _without(list(data.pairs), list(data.judged)):
        after = {each.id: each for each in _run(pairs, triplets, GeneralData(fewer, left), **config)[0]}
        assert after == {key: each for key, each in before.items() if each.sources[0] != gone}


def test_with_a_ratio_a_removed_pair_takes_its_share_of_general_tasks_and_changes_no_other() -> None:
    pairs, triplets = _mixed(50)
    data = _general(60)
    config = {"tasks": "both", "general_ratio": 0.5}
    before = {each.id: each for each in _run(pairs, triplets, data, **config)[0]}
    for gone, fewer, left in _without(pairs, triplets):
        after = {each.id: each for each in _run(fewer, left, data, **config)[0]}
        assert after.items() <= before.items()
        lost = [each for key, each in before.items() if key not in after and each.sources[0] != gone]
        assert len(lost) <= 1
        assert len(_domain_and_general(lost)[0]) == 0


def test_a_triplet_without_its_verdict_changes_nothing_about_other_pairs() -> None:
    pairs, triplets = _mixed(50)
    before = {each.id: each for each in _run(pairs, triplets)[0]}
    changed = [replace(each, label="open") if each.pair_id == "pair-0007" else each for each in triplets]
    after = {each.id: each for each in _run(pairs, changed)[0]}
    assert before != after
    assert {k: v for k, v in after.items() if v.sources[0] != "pair-0007"} == {
        k: v for k, v in before.items() if v.sources[0] != "pair-0007"
    }


# --- the version --------------------------------------------------------------------------------------

GOLDEN = {3: "d603b95d72e11c40"}
"""Digest of what every setting below gives, by the room's version."""


def test_the_version_rises_when_the_output_changes() -> None:
    pairs, triplets = _mixed(60)
    pairs = [replace(each, caption="word " * (index % 60)) for index, each in enumerate(pairs)]
    digest = hashlib.sha256()
    for config in (
        {},
        {"merge": "paper", "mixture": "two_stage"},
        {"tasks": "both", "general_ratio": 0.4, "caption_questions": "mixed", "domain": "biology"},
        {"tasks": "general", "mixture": "tasks_only", "keep": VERDICTS},
        {"answers": "precise", "caption_questions": "detailed", "bare": 0.0},
        {"answers": "informative", "caption_questions": "dish", "pictures": "shuffled", "seed": 1},
        {"mixture": "captions_only"},
    ):
        outcomes = compose(pairs, triplets, ComposeConfig.model_validate(config), general=_general())
        digest.update("\n".join(map(repr, outcomes)).encode())
    assert GOLDEN.get(VERSION) == digest.hexdigest()[:16], (
        "compose gives another output than its VERSION stands for: raise VERSION and note the new digest"
    )
