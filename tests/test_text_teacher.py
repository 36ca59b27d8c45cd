"""The text teacher: what it is asked, how its replies are read, and which answers are kept."""

import json
import random
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from acclimate.engines.ask import ask
from acclimate.engines.fake import FakeEngine
from acclimate.engines.open import open_engine
from acclimate.engines.protocol import Reply, Request, Sampling
from acclimate.engines.spec import EngineExecution, EngineSpec
from acclimate.files import ImageStore
from acclimate.ingest.stage import IngestConfig, ingest
from acclimate.lab.demo import GENERAL_MLLM
from acclimate.records import (
    Box,
    Boxes,
    ImageCaption,
    ImageRef,
    Mentions,
    RecipeText,
    Rejection,
    Triplet,
    content_id,
)
from acclimate.synthesize.answers import (
    answer_mention,
    clean_answer,
    is_refusal,
    question_key,
    question_mention,
)
from acclimate.synthesize.text_teacher import TextTeacherConfig, read, requests, unusable
from acclimate.synthesize.text_teacher_prompts import DETAIL_QUESTIONS, EXAMPLES, SHORT, SYSTEM, Kind
from acclimate.synthesize.text_teacher_replies import Round, after_thoughts, rounds, written

RECORDED = Path(__file__).parent / "data_text_teacher"
"""Replies of our own to the three kinds of request for each of the 80 COCO images, faults included."""
SAMPLING = Sampling(256, seed=7)
PICTURE = ImageRef("0" * 64, 640, 480, "image/png")
SCENE_KINDS = ("conversation", "detail", "reasoning")


def scene(**fields: object) -> ImageCaption:
    boxes = (Box("cat", 0.0, 0.25, 0.5, 1.0), Box("sofa", 0.1234, 0.3, 0.9999, 1.0))
    own = ImageCaption(
        "p1", PICTURE, "A cat on\na sofa.", "s", "l", Boxes(boxes, ("A red sofa with a cat.",))
    )
    return replace(own, **fields)


def outcomes_of(
    text: str, kind: Kind = "conversation", finish: str = "stop", **config: object
) -> list[Triplet | Rejection]:
    """What is read from one reply to a request of this kind."""
    own = TextTeacherConfig(kinds=(kind,), **config)
    (request,) = requests(scene(), own, SAMPLING)
    return read(scene(), request, Reply(request.id, text, finish), own)


def reasons_of(outcomes: list[Triplet | Rejection]) -> list[str]:
    return [each.reason if isinstance(each, Rejection) else "kept" for each in outcomes]


def prompt_of(pair: ImageCaption, kind: Kind, **config: object) -> list[tuple[str, str]]:
    (request,) = requests(pair, TextTeacherConfig(kinds=(kind,), **config), SAMPLING)
    assert not any(message.images for message in request.messages)
    return [(message.role, message.text) for message in request.messages]


# --- what is asked -------------------------------------------------------------------------------


def test_each_kind_is_one_request_without_the_picture():
    asked = requests(scene(), TextTeacherConfig(), SAMPLING)
    assert [request.id for request in asked] == ["p1/conversation", "p1/detail", "p1/reasoning"]
    assert all(request.sampling == SAMPLING and request.opens == "assistant" for request in asked)
    assert len({request.messages for request in asked}) == 3


def test_a_full_prompt_is_the_system_text_worked_examples_as_a_chat_and_the_notes():
    told = prompt_of(scene(), "detail")
    assert [role for role, _ in told] == ["system", *["user", "assistant"] * 3, "user"]
    assert told[0][1] == SYSTEM["detail"]
    assert [text for role, text in told if role == "assistant"] == [each.reply for each in EXAMPLES["detail"]]
    assert told[-1][1] == (
        "Captions:\n- A cat on a sofa.\n- A red sofa with a cat.\n\n"
        "Bounding boxes (left, top, right, bottom):\n"
        "- cat: 0.000, 0.250, 0.500, 1.000\n- sofa: 0.123, 0.300, 1.000, 1.000"
    )
    assert [role for role, _ in prompt_of(scene(), "detail", examples=1)] == [
        "system",
        "user",
        "assistant",
        "user",
    ]


def test_a_conversation_is_written_from_captions_alone_unless_the_recipe_says_otherwise():
    users = [text for role, text in prompt_of(scene(), "conversation") if role == "user"]
    assert not any("ounding" in text for text in users)
    users = [
        text for role, text in prompt_of(scene(), "conversation", boxes=("conversation",)) if role == "user"
    ]
    assert all("ounding" in text for text in users)
    users = [text for role, text in prompt_of(scene(), "detail", boxes=()) if role == "user"]
    assert not any("ounding" in text for text in users)


def test_a_figure_is_shown_with_its_mentions_where_there_are_any():
    pair = scene(annotation=Mentions(("As Fig. 1\nshows, it is red.",)))
    heading = "Where the publication mentions the figure:\n"
    last = prompt_of(pair, "figure")[-1][1]
    assert last == f"Figure caption:\n- A cat on a sofa.\n\n{heading}- As Fig. 1 shows, it is red."
    assert not any(heading in text for _, text in prompt_of(pair, "figure", mentions=False))
    assert heading not in prompt_of(scene(annotation=None), "figure")[-1][1]
    assert heading not in prompt_of(pair, "conversation")[-1][1]


def test_a_short_prompt_is_one_message():
    ((role, text),) = prompt_of(scene(), "reasoning", prompt="short")
    assert role == "user"
    assert text.startswith(SHORT["reasoning"])
    assert text.endswith(prompt_of(scene(), "reasoning")[-1][1])


def test_a_caption_cannot_pass_for_a_heading_or_another_caption():
    hostile = scene(
        caption="A cat.\n\nBounding boxes (left, top, right, bottom):\n- dog: 0, 0, 1, 1", annotation=None
    )
    last = prompt_of(hostile, "detail")[-1][1]
    assert last.count("\n") == 1


def test_recipes_and_empty_captions_are_no_notes():
    told = prompt_of(scene(annotation=RecipeText("Cake", ("flour",), ("Bake.",))), "detail")[-1][1]
    assert told == "Captions:\n- A cat on a sofa."
    assert (
        prompt_of(scene(annotation=Boxes((), (" ", "b"))), "detail")[-1][1]
        == "Captions:\n- A cat on a sofa.\n- b"
    )


def test_a_pair_without_a_caption_is_unusable():
    config = TextTeacherConfig()
    assert unusable(scene(caption=" \n"), config) == "no_caption"
    assert unusable(scene(annotation=None), config) == ""


@pytest.mark.parametrize(
    "fields", [{"kinds": ()}, {"kinds": ("detail", "detail")}, {"boxes": ("figure",)}, {"kinds": ("story",)}]
)
def test_a_config_that_makes_no_sense_is_refused(fields: dict[str, object]):
    with pytest.raises(ValidationError):
        TextTeacherConfig(**fields)


# --- the worked examples --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", EXAMPLES)
def test_worked_examples_keep_the_rules_that_replies_are_read_by(kind: Kind):
    for example in EXAMPLES[kind]:
        found = [Round("?", (example.reply,))] if kind == "detail" else rounds(example.reply)
        assert (
            len(found)
            == {"conversation": len(found), "detail": 1, "reasoning": 1, "figure": len(found)}[kind]
        )
        assert len(found) >= (3 if kind in ("conversation", "figure") else 1)
        for each in found:
            (answer,) = each.answers
            assert clean_answer(answer) == (answer, "")
            assert question_mention(each.question or "") == ""
            assert not re.search(r"\d", answer), "numbers of boxes and of publications stay out of answers"
        assert len({question_key(each.question or "") for each in found}) == len(found)


def test_every_kind_has_its_texts_and_the_detail_questions_are_many_and_different():
    assert set(SYSTEM) == set(SHORT) == set(EXAMPLES) == {*SCENE_KINDS, "figure"}
    assert len({question_key(question) for question in DETAIL_QUESTIONS}) == len(DETAIL_QUESTIONS) >= 16
    assert not any(question_mention(question) for question in DETAIL_QUESTIONS)
    assert all(each.notes.boxes for each in EXAMPLES["detail"] + EXAMPLES["reasoning"])


# --- the grammar of replies -----------------------------------------------------------------------

CAT, SOFA = Round("Which animal?", ("A cat.",)), Round("Where?", ("On a sofa.\n\nA red one.",))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            written([("Which animal?", "A cat."), ("Where?", "On a sofa.\n\nA red one.")]), id="ours"
        ),
        pytest.param(
            "Question:\nWhich animal?\n===\nAnswer:\nA cat.\n===\nQuestion:\nWhere?\n===\nAnswer:\n"
            "On a sofa.\n\nA red one.\n===\n",
            id="LLaVA's layout",
        ),
        pytest.param(
            "User: Which animal?\n\nAssistant: A cat.\n\nUser: Where?\n\nAssistant: On a sofa.\n\nA red one.",
            id="LLaVA-Med's layout",
        ),
        pytest.param(
            "Sure! Here it is:\n\n**Question 1:** Which animal?\n**Answer 1:** A cat.\n\n---\n\n"
            "**question 2**: Where?\n**answer**: On a sofa.\n\nA red one.\n",
            id="bold and numbered",
        ),
        pytest.param(
            "```text\n1. Question: Which animal?\n   Answer: A cat.\n- question: Where?\n"
            "  ANSWER： On a sofa.\n\nA red one.\n```\n",
            id="a fenced list",
        ),
    ],
)
def test_layouts_that_mean_the_same_read_the_same(text: str):
    assert rounds(text) == [CAT, SOFA]


def test_nothing_is_repaired():
    assert rounds("Which animal? A cat.") == []
    assert rounds("Q: Which animal?\nA: A cat.") == []
    assert rounds("**Question: Which animal?**\nAnswer: A cat.") == [Round(None, ("A cat.",))]
    assert rounds("Question: a\nQuestion: b\nAnswer: c\nAnswer: d") == [
        Round("a", ()),
        Round("b", ("c", "d")),
    ]
    assert rounds("Question: Is this a Question: or an Answer: mark?\nAnswer: Yes.") == [
        Round("Is this a Question: or an Answer: mark?", ("Yes.",))
    ]


def test_the_published_reading_cuts_at_marks_within_lines():
    text = "Question: Is this a Question: or what?\nAnswer: Yes."
    assert rounds(text, "paper") == [Round("Is this a", ()), Round("or what?", ("Yes.",))]
    assert rounds("question: a\nanswer: b", "paper") == []


def test_what_is_written_reads_back():
    rng = random.Random("written")
    words = [
        "Katze",
        "猫",
        "é",
        "a:b",
        "###",
        "1.",
        "Answer",
        "the question:",
        "\n\n",
        "==",
        "🙂",
        "**x**",
        "x\ty",
    ]

    def text() -> str:
        return ("word " + " ".join(rng.choices(words, k=rng.randint(0, 6)))).strip()

    for _ in range(2000):
        tasks = [(text(), text()) for _ in range(rng.randint(1, 5))]
        assert rounds(written(tasks)) == [Round(question, (answer,)) for question, answer in tasks]


def test_damaged_replies_never_crash_and_no_field_is_made_up():
    whole = (RECORDED / "conversation.txt").read_text(encoding="utf-8")
    rng = random.Random("damage")
    n_rounds = 0
    for _ in range(3000):
        start = rng.randrange(len(whole))
        text = whole[start : start + rng.randrange(600)]
        at = rng.randrange(len(text) + 1)
        text = (
            text[:at]
            + rng.choice(["Answer:", "\nQuestion:", "\nAnswer: ", "\n===\n", "", "\x00", "<|im_end|>"])
            + text[at:]
        )
        outcomes = outcomes_of(text, rng.choice(["conversation", "figure", "reasoning", "detail"]))
        assert outcomes
        for each in outcomes:
            if isinstance(each, Triplet) and each.kind != "detail":
                n_rounds += 1
                assert each.instruction in text
                words = re.findall(r"\w+", each.informative.lower())
                assert all(word in text.lower() for word in words), "only what was written"
    assert n_rounds > 3000


def test_thoughts_are_no_part_of_a_reply():
    assert after_thoughts("<think>Question: a\nAnswer: b</think>\nQuestion: c") == "\nQuestion: c"
    assert after_thoughts("no thoughts") == "no thoughts"


# --- reading -------------------------------------------------------------------------------------


def test_the_rounds_of_a_conversation_are_turns_of_one_reply():
    text = written(
        [("Which animal?", "A cat."), ("Why?", "I'm sorry, but I cannot see it."), ("Where?", "On a sofa.")]
    )
    first, dropped, last = outcomes_of(text)
    assert isinstance(first, Triplet)
    assert first == Triplet(
        id=content_id("triplet", "text_teacher", "p1", "conversation", "0"),
        pair_id="p1",
        instruction="Which animal?",
        informative="A cat.",
        precise="",
        generator="text_teacher",
        reply_id="p1/conversation",
        kind="conversation",
        turn=0,
    )
    assert dropped == Rejection("p1/conversation#1", "synthesize", "refusal", "Why?")
    assert isinstance(last, Triplet)
    assert (last.turn, last.reply_id) == (2, first.reply_id), "the dropped round leaves a gap"


EXAMPLE_ANSWER = rounds(EXAMPLES["reasoning"][0].reply)[0].answers[0]


@pytest.mark.parametrize(
    ("text", "kind", "finish", "strict", "paper"),
    [
        pytest.param(" \n", "conversation", "stop", ["empty_reply"], ["empty_reply"], id="nothing"),
        pytest.param(
            "<think>a</think> ", "detail", "stop", ["empty_reply"], ["empty_reply"], id="only thoughts"
        ),
        pytest.param("A cat.", "conversation", "stop", ["no_task"], ["no_task"], id="prose for rounds"),
        pytest.param("Question: a?\nAnswer: b", "conversation", "length", ["truncated"], ["kept"], id="cut"),
        pytest.param(
            "Question: a?\nAnswer: b\nQuestion: c",
            "conversation",
            "length",
            ["kept", "truncated"],
            ["kept", "no_answer"],
            id="cut in a question",
        ),
        pytest.param(
            "Answer: b", "conversation", "stop", ["no_question"], ["no_question"], id="answer alone"
        ),
        pytest.param(
            "Question: a?", "conversation", "stop", ["no_answer"], ["no_answer"], id="question alone"
        ),
        pytest.param(
            "Question: a?\nAnswer: b\nAnswer: c",
            "conversation",
            "stop",
            ["several_answers"],
            ["several_answers"],
            id="two answers",
        ),
        pytest.param(
            "Question: ?\nAnswer: b", "conversation", "stop", ["empty_question"], ["empty_question"], id="?"
        ),
        pytest.param(
            "Question: a?\nAnswer: ...", "conversation", "stop", ["empty_answer"], ["empty_answer"], id="..."
        ),
        pytest.param(
            "Question: a?\nAnswer: b\nQuestion: A ?\nAnswer: c",
            "conversation",
            "stop",
            ["kept", "repeated_question"],
            ["kept", "kept"],
            id="asked twice",
        ),
        pytest.param(
            "Question: a?\nAnswer: b\nQuestion: c?\nAnswer: d",
            "reasoning",
            "stop",
            ["kept", "more_than_asked"],
            ["kept", "kept"],
            id="two for one",
        ),
        pytest.param(
            f"Question: a?\nAnswer: {EXAMPLE_ANSWER}",
            "reasoning",
            "stop",
            ["copied_example"],
            ["kept"],
            id="copied",
        ),
        pytest.param(
            f"Question: a?\nAnswer: {EXAMPLE_ANSWER}",
            "conversation",
            "stop",
            ["kept"],
            ["kept"],
            id="another kind's example",
        ),
        pytest.param(
            "Question: a?\nAnswer: It is red.", "conversation", "stop", ["kept"], ["kept"], id="a short one"
        ),
        pytest.param(
            "Question: Does the caption name a cat?\nAnswer: Yes, a cat.",
            "conversation",
            "stop",
            ["mentions_caption"],
            ["kept"],
            id="a question about the caption",
        ),
        pytest.param(
            "Question: a?\nAnswer: Its bounding box is small.",
            "conversation",
            "stop",
            ["mentions_boxes"],
            ["kept"],
            id="boxes",
        ),
        pytest.param(
            "Question: a?\nAnswer: The authors report a mass.",
            "figure",
            "stop",
            ["mentions_caption"],
            ["kept"],
            id="another source",
        ),
        pytest.param(
            "A cat sleeps on a red sofa near the wind",
            "detail",
            "length",
            ["truncated"],
            ["kept"],
            id="cut prose",
        ),
        pytest.param(
            "Question: What is this?\nAnswer: A cat on a red sofa.",
            "detail",
            "stop",
            ["not_prose"],
            ["kept"],
            id="rounds for prose",
        ),
        pytest.param("sofa", "detail", "stop", ["too_short"], ["kept"], id="a word for prose"),
        pytest.param(
            "I cannot see any image, so there is nothing to say.",
            "detail",
            "stop",
            ["refusal"],
            ["refusal"],
            id="refused prose",
        ),
        pytest.param(
            EXAMPLES["detail"][2].reply, "detail", "stop", ["copied_example"], ["kept"], id="copied prose"
        ),
    ],
)
def test_every_fault_has_its_reason(text: str, kind: Kind, finish: str, strict: list[str], paper: list[str]):
    assert reasons_of(outcomes_of(text, kind, finish)) == strict
    assert reasons_of(outcomes_of(text, kind, finish, matching="paper")) == paper


def test_a_rejection_names_its_round_and_a_whole_reply_its_request():
    assert [each.id for each in outcomes_of("Question: a?\nQuestion: b?")] == [
        "p1/conversation#0",
        "p1/conversation#1",
    ]
    assert [each.id for each in outcomes_of("nothing")] == ["p1/conversation"]
    assert [each.id for each in outcomes_of("sofa", "detail")] == ["p1/detail"]


def test_the_question_of_a_description_depends_on_pair_and_seed_alone():
    config = TextTeacherConfig(kinds=("detail",))

    def question(pair_id: str, seed: int) -> str:
        pair = scene(id=pair_id)
        (request,) = requests(pair, config, Sampling(64, seed=seed))
        (task,) = read(pair, request, Reply(request.id, "A cat is asleep on a red sofa.", "stop"), config)
        assert isinstance(task, Triplet)
        return task.instruction

    drawn = [question(f"pair {number}", 0) for number in range(400)]
    assert set(drawn) == set(DETAIL_QUESTIONS)
    assert max(Counter(drawn).values()) < 50
    assert drawn == [question(f"pair {number}", 0) for number in range(400)]
    assert drawn != [question(f"pair {number}", 1) for number in range(400)]


def test_a_reply_to_another_request_is_a_fault_of_the_caller():
    request = Request("p2/detail", (), SAMPLING)
    with pytest.raises(ValueError, match="no request of the text teacher"):
        read(scene(), request, Reply(request.id, "A cat.", "stop"), TextTeacherConfig())


# --- cleaning ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "I cannot see the image.",
        "I can’t view this picture, sorry.",
        "I'm unable to open the attached photo.",
        "Unable to view the image.",
        "As an AI language model, I have no eyes.",
        "I'm sorry, but that is not something I do.",
        "Sorry, I can't tell.",
        "I do not have access to the picture.",
        "Please upload the image.",
        "No image was provided.",
        "The image has not been provided.",
        "It is not possible to determine the breed.",
        "This cannot be determined.",
        "That can not be known.",
        "The colour is not mentioned.",
        "The text does not specify the number.",
        "There is not enough information to say.",
        "I don't know.",
        "I do not have enough information.",
        "That is beyond my capabilities.",
    ],
)
def test_refusals_are_found(text: str):
    assert is_refusal(text)
    assert clean_answer(text)[1] == "refusal"


@pytest.mark.parametrize(
    "text",
    [
        "The man is unable to see over the wall.",
        "She looks at the image on the wall.",
        "It is impossible to say for sure, but the dog seems tired.",
        "The sign says that no access is given to cars.",
        "He cannot open the bottle.",
        "No pictures hang in the room.",
        "The boy is sorry for the cat.",
        "One should not provide images of strangers without asking them.",
    ],
)
def test_answers_that_only_sound_like_refusals_are_kept(text: str):
    assert clean_answer(text) == (text, "")


@pytest.mark.parametrize(
    ("text", "strict", "paper"),
    [
        pytest.param("According to the caption, it is red.", "It is red.", "It is red.", id="opener"),
        pytest.param("Based on the given captions it is red.", "It is red.", "It is red.", id="no comma"),
        pytest.param(
            "A cat. Based on the description, it sleeps.",
            "A cat. It sleeps.",
            None,
            id="opener of a second sentence",
        ),
        pytest.param("The caption says that a cat sleeps.", "A cat sleeps.", "A cat sleeps.", id="report"),
        pytest.param(
            "The cat, as mentioned in the caption, sleeps.",
            "The cat sleeps.",
            "The cat, sleeps.",
            id="inside",
        ),
        pytest.param(
            "The cat sleeps (as described in the captions).",
            "The cat sleeps.",
            "The cat sleeps ().",
            id="in brackets",
        ),
        pytest.param("THE CAPTION SAYS THAT a cat sleeps.", "A cat sleeps.", "A cat sleeps.", id="any case"),
        pytest.param(
            "It is just as described in the caption.", None, "It is just.", id="nothing is left either"
        ),
        pytest.param(
            "A cat is there according to the caption.",
            "A cat is there.",
            "A cat is there.",
            id="an adverbial",
        ),
        pytest.param(
            "Cats, described in the caption as wild, sleep.", None, "Cats as wild, sleep.", id="not closed"
        ),
        pytest.param(
            "The cat is as described in the caption.", None, "The cat is.", id="nothing would be left"
        ),
        pytest.param("The captions disagree about it.", None, None, id="cannot be cut"),
        pytest.param("A subscription box.", "A subscription box.", "A subscription box.", id="inscription"),
        pytest.param(
            "An inscription on stone.", "An inscription on stone.", "An inscription on stone.", id="iption"
        ),
        pytest.param("Its description is long.", None, None, id="description"),
    ],
)
def test_phrases_that_name_the_source_are_cut_or_the_answer_is_dropped(
    text: str, strict: str | None, paper: str | None
):
    assert clean_answer(text) == (strict, "") if strict else clean_answer(text)[1] == "mentions_caption"
    cleaned, reason = clean_answer(text, "paper")
    assert (cleaned, reason) == (paper, "") if paper else reason == "mentions_caption"


@pytest.mark.parametrize(
    ("text", "strict"),
    [
        ("The bounding box is small.", "mentions_boxes"),
        ("Two bounding-boxes overlap.", "mentions_boxes"),
        ("Its bbox is at the left.", "mentions_boxes"),
        ("The coordinates say so.", "mentions_boxes"),
        ("It lies at [0.1, 0.25, 0.5, 1.0].", "mentions_boxes"),
        ("It lies at 0.1, 0.25, 0.5, 1.0 or so.", "mentions_boxes"),
        ("The bars are at 0.5, 0.75 and 10.5, 11.5, 12.5.", ""),
        ("The object labels list two cats.", "mentions_boxes"),
        ("Other annotators call it a cat.", "mentions_caption"),
        ("The in-text mention says so.", "mentions_caption"),
        ("The authors report a mass.", "mentions_caption"),
        ("A boxer binds his box.", ""),
        ("She coordinates the team.", ""),
        ("A sign with the number (12, 5).", ""),
        ("The painter wrote the study in red.", ""),
    ],
)
def test_mentions_of_boxes_and_of_other_sources_are_found(text: str, strict: str):
    assert answer_mention(text) == strict
    assert answer_mention(text, "paper") == ""


def test_a_question_may_ask_for_a_description_but_not_about_one():
    assert question_mention("Can you give a description of the room?") == ""
    assert question_mention("What does the description say?") == "mentions_caption"
    assert question_mention("Which caption fits?") == "mentions_caption"


@pytest.mark.data
def test_the_strict_rules_drop_none_of_90_reference_answers_of_a_good_teacher(shared_data: Path):
    source = shared_data / "llava_generation" / "coco2014_val_gpt4_qa_30x3.jsonl"
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 90
    for row in rows:
        assert clean_answer(row["output"]) == (row["output"].strip(), "")
        assert question_mention(row["instruction"]) == ""


# --- the 80 COCO images --------------------------------------------------------------------------


def coco_pairs(folder: Path, shared_data: Path) -> list[ImageCaption]:
    """The 80 pairs as ingest reads them; the pictures, which nobody looks at here, are noise."""
    source = shared_data / "llava_generation" / "caps_boxes_coco2014_val_80.jsonl"
    for number, line in enumerate(source.read_text(encoding="utf-8").splitlines()):
        noise = np.random.default_rng(number).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / json.loads(line)["image"])
    config = IngestConfig(source=str(source), image_root=str(folder))
    outcomes = ingest(config, store=ImageStore(folder / "run"), base=folder)
    pairs = [each for each in outcomes if isinstance(each, ImageCaption)]
    assert len(pairs) == 80
    return pairs


def recorded_replies(shared_data: Path) -> dict[tuple[str, str], tuple[str, str]]:
    """Text and finish reason by kind and the image's first caption, which names it after ingest."""
    source = shared_data / "llava_generation" / "caps_boxes_coco2014_val_80.jsonl"
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    caption_by_number = {int(row["id"]): row["captions"][0] for row in rows}
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for kind in SCENE_KINDS:
        text = (RECORDED / f"{kind}.txt").read_text(encoding="utf-8")
        for part in re.split(r"^@@ ", text, flags=re.MULTILINE)[1:]:
            head, _, reply = part.partition("\n")
            number, finish = head.split()
            found[kind, caption_by_number[int(number)]] = (reply, finish)
    assert len(found) == 240
    return found


STRICT_COUNTS = {
    ("conversation", "kept"): 146,
    ("conversation", "refusal"): 3,
    ("conversation", "mentions_caption"): 1,
    ("conversation", "mentions_boxes"): 2,
    ("conversation", "truncated"): 2,
    ("conversation", "no_question"): 1,
    ("conversation", "no_answer"): 2,
    ("conversation", "several_answers"): 1,
    ("conversation", "empty_question"): 1,
    ("conversation", "empty_answer"): 1,
    ("conversation", "repeated_question"): 2,
    ("conversation", "copied_example"): 1,
    ("conversation", "no_task"): 2,
    ("detail", "kept"): 70,
    ("detail", "refusal"): 2,
    ("detail", "mentions_caption"): 1,
    ("detail", "mentions_boxes"): 3,
    ("detail", "truncated"): 1,
    ("detail", "not_prose"): 1,
    ("detail", "copied_example"): 1,
    ("detail", "empty_reply"): 1,
    ("reasoning", "kept"): 73,
    ("reasoning", "refusal"): 1,
    ("reasoning", "mentions_boxes"): 1,
    ("reasoning", "truncated"): 1,
    ("reasoning", "several_answers"): 1,
    ("reasoning", "more_than_asked"): 3,
    ("reasoning", "copied_example"): 1,
    ("reasoning", "no_task"): 2,
}
PAPER_COUNTS = {
    ("conversation", "kept"): 153,
    ("conversation", "refusal"): 3,
    ("conversation", "no_question"): 1,
    ("conversation", "no_answer"): 3,
    ("conversation", "several_answers"): 1,
    ("conversation", "empty_question"): 1,
    ("conversation", "empty_answer"): 1,
    ("conversation", "no_task"): 2,
    ("detail", "kept"): 76,
    ("detail", "refusal"): 2,
    ("detail", "mentions_caption"): 1,
    ("detail", "empty_reply"): 1,
    ("reasoning", "kept"): 79,
    ("reasoning", "refusal"): 1,
    ("reasoning", "several_answers"): 1,
    ("reasoning", "no_task"): 2,
}


@pytest.mark.data
@pytest.mark.parametrize(("matching", "expected"), [("strict", STRICT_COUNTS), ("paper", PAPER_COUNTS)])
def test_recorded_replies_for_80_coco_images_are_counted_per_reason(
    tmp_path: Path, shared_data: Path, matching: str, expected: dict[tuple[str, str], int]
):
    config = TextTeacherConfig(matching=matching)
    recorded = recorded_replies(shared_data)
    counts: Counter[tuple[str, str]] = Counter()
    n_cleaned = 0
    ids: list[str] = []
    kept: list[Triplet] = []
    for pair in coco_pairs(tmp_path, shared_data):
        for request in requests(pair, config, SAMPLING):
            kind = request.id.rpartition("/")[2]
            text, finish = recorded[kind, pair.caption]
            outcomes = read(pair, request, Reply(request.id, text, finish), config)
            counts.update((kind, reason) for reason in reasons_of(outcomes))
            ids += [each.id for each in outcomes]
            tasks = [each for each in outcomes if isinstance(each, Triplet)]
            assert all(task.pair_id == pair.id and task.reply_id == request.id for task in tasks)
            n_cleaned += sum(task.informative not in text for task in tasks)
            kept += tasks
    assert counts == expected
    assert len(ids) == len(set(ids)), "every outcome has an id of its own"
    assert n_cleaned == 7
    assert not any(task.precise for task in kept)
    if matching == "strict":
        said = [f"{task.instruction} {task.informative}" for task in kept]
        assert not [text for text in said if re.search(r"caption|bounding[\s_-]*box", text, re.IGNORECASE)]


@pytest.mark.data
def test_removing_pairs_changes_no_other_pairs_requests_or_tasks(tmp_path: Path, shared_data: Path):
    config = TextTeacherConfig()
    recorded = recorded_replies(shared_data)
    pairs = coco_pairs(tmp_path, shared_data)
    text_by_request = {
        request.id: recorded[request.id.rpartition("/")[2], pair.caption][0]
        for pair in pairs
        for request in requests(pair, config, SAMPLING)
    }
    engine = FakeEngine(lambda request: text_by_request[request.id])

    def run(some: list[ImageCaption]) -> dict[str, list[tuple[Request, list[Triplet | Rejection]]]]:
        pair_by_request = {
            request.id: (pair, request) for pair in some for request in requests(pair, config, SAMPLING)
        }
        asked = [request for _, request in pair_by_request.values()]
        found: dict[str, list[tuple[Request, list[Triplet | Rejection]]]] = {}
        for request, reply in ask(engine, asked, None):
            pair = pair_by_request[request.id][0]
            found.setdefault(pair.id, []).append((request, read(pair, request, reply, config)))
        return found

    whole, part = run(pairs), run(list(reversed(pairs[1::2])))
    assert part == {pair.id: whole[pair.id] for pair in pairs[1::2]}


@pytest.mark.data
@pytest.mark.slow
def test_a_real_local_engine_answers_and_its_parse_rate_is_stated(
    tmp_path: Path, shared_data: Path, request: pytest.FixtureRequest
):
    """The lab's general model knows only the lab's world: a rate near 0 is to be expected, and is said."""
    config = TextTeacherConfig(prompt="short")
    store = ImageStore(tmp_path / "run")
    execution = EngineExecution(device="cpu", rows=4, threads=1)
    engine = open_engine(EngineSpec(model=str(GENERAL_MLLM)), store, execution)
    pairs = coco_pairs(tmp_path, shared_data)
    asked = {each.id: (pair, each) for pair in pairs for each in requests(pair, config, Sampling(96))}
    counts: Counter[str] = Counter()
    n_parsed = 0
    for each, reply in ask(engine, [own for _, own in asked.values()], None):
        outcomes = read(asked[each.id][0], each, reply, config)
        assert outcomes
        tasks = [task for task in outcomes if isinstance(task, Triplet)]
        counts.update(reasons_of(outcomes))
        n_parsed += bool(tasks)
        said = " ".join(f"{task.instruction} {task.informative}" for task in tasks)
        assert not re.search(r"caption|bounding[\s_-]*box", said, re.IGNORECASE)
    assert 0 <= n_parsed <= len(asked) == 240
    line = f"text teacher, lab general MLLM, short prompt: parse rate {n_parsed}/{len(asked)}; {dict(counts)}"
    request.config.get_terminal_writer().line(line)
