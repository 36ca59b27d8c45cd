"""The methods that write nothing: seed examples as tasks, and captions alone."""

from dataclasses import replace

import pytest

from acclimate.records import ImageCaption, ImageRef, Rejection, SeedExample, Triplet
from acclimate.synthesize import caption_only, general_task
from acclimate.synthesize.caption_only import CaptionOnlyConfig
from acclimate.synthesize.general_task import GeneralTaskConfig, pair_of

IMAGE = ImageRef("0" * 64, 8, 8, "image/png")
SEED = SeedExample("seed-1", IMAGE, "A cell.", " What is it? ", "It is a cell.\n", " cell", "s.json")


def test_a_seed_example_is_a_task_with_both_answers():
    (task,) = general_task.tasks(SEED, GeneralTaskConfig(), 0)
    assert isinstance(task, Triplet)
    assert (task.instruction, task.informative, task.precise) == ("What is it?", "It is a cell.", "cell")
    assert (task.generator, task.kind, task.turn) == ("general_task", "", 0)


def test_the_task_belongs_to_the_pair_made_of_the_same_example():
    pair = pair_of(SEED)
    (task,) = general_task.tasks(SEED, GeneralTaskConfig(), 0)
    assert isinstance(task, Triplet)
    assert task.pair_id == task.reply_id == pair.id == "seed-1"
    assert pair == ImageCaption("seed-1", IMAGE, "A cell.", "s.json", "unknown")


def test_the_task_of_an_example_depends_on_its_id_alone():
    other = replace(SEED, id="seed-2")
    ids = {
        general_task.tasks(each, GeneralTaskConfig(), seed)[0].id for each in (SEED, other) for seed in (0, 1)
    }
    assert len(ids) == 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"instruction": " "}, "empty_question"),
        ({"informative": ""}, "empty_answer"),
        ({"precise": "\n"}, "empty_answer"),
        ({"instruction": "", "precise": ""}, "empty_question"),
    ],
)
def test_an_example_without_a_text_is_one_rejection(change: dict[str, str], reason: str):
    example = replace(SEED, **change)
    assert general_task.tasks(example, GeneralTaskConfig(), 0) == [Rejection("seed-1", "synthesize", reason)]
    assert general_task.unusable(example, GeneralTaskConfig()) == reason


def test_captions_alone_give_one_rejection_per_pair_and_no_task():
    pairs = [ImageCaption(f"p{n}", IMAGE, "A cell." if n else "", "x.json", "unknown") for n in range(5)]
    outcomes = [each for pair in pairs for each in caption_only.tasks(pair, CaptionOnlyConfig(), 0)]
    assert outcomes == [Rejection(f"p{n}", "synthesize", "caption_only") for n in range(5)]
    assert all(caption_only.unusable(pair, CaptionOnlyConfig()) == "" for pair in pairs)


def test_the_methods_say_their_own_name():
    assert GeneralTaskConfig().generator == "general_task"
    assert CaptionOnlyConfig().generator == "caption_only"
