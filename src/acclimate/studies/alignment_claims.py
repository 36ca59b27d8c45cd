"""What is claimed of visual instruction tuning and the language model's truth and norms (data).

Source: Tu, Zhao, Wei and Xie 2023, "Sight Beyond Text" (arXiv 2309.07120): tuning on pictures with text
raises TruthfulQA and ETHICS, the text part of the same instructions explains most of it and pictures add
about 2.5 points more, a base that is chat-tuned already gains less, and LoRA changes general NLP tasks by
-0.17 %. Where we say in numbers what the paper says in words (*explains most*: at least half; *hardly
changes*: within a point), the number is our own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

PLAIN, CHAT = "base", "chat-tuned"
"""The two language models that arms start from."""
FULL, LORA = "full", "LoRA"
BOTH, TEXT = "image + text", "text-only"
ALL = "all"
PARTS = ("conversation", "detail", "reasoning")
"""LLaVA's three parts of its instructions, by the names the paper gives them."""
Method: TypeAlias = Literal["full", "LoRA"]
Modality: TypeAlias = Literal["image + text", "text-only"]
TRUTH = ("truthfulqa_mc1", "truthfulqa_mc2")
NORMS = "ethics_mean"
SKILLS = "general NLP"
"""The mean of the further tasks."""
HARDLY = 0.01
"""How far from 0 a change that is hardly one may lie; our own number: the paper's is -0.17 %."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One way of tuning."""

    start: str
    """Which language model it starts from."""
    method: str
    modality: str
    part: str
    """Part of the instructions, `all`, or `all + falsehoods` for the control."""

    @property
    def name(self) -> str:
        """Return what the arm is called."""
        own = f"{self.method}, {self.modality}, {self.part}"
        return own if self.start == PLAIN else f"{self.start}: {own}"


@dataclass(frozen=True, slots=True)
class Claim:
    """A direction, or a size."""

    subject: str
    """What is measured: a task, `ethics_mean`, or `general NLP`."""
    first: str
    second: str
    """An arm or a language model; the claim is about first minus second, question by question."""
    sign: int = 1
    """1: the first scores more; -1: less; 0: the difference is within `HARDLY` of none."""
    share: float | None = None
    """Claimed is that the first's gain over its language model is at least so much of the second's."""
    against: tuple[str, str] | None = None
    """Claimed is that first minus second is less than these two's difference: who gains less."""
    paper: str = "-"
    """The paper's numbers."""

    @property
    def sentence(self) -> str:
        """Return what is claimed."""
        if self.against is not None:
            other, start = self.against
            return f"{self.first} gains less over {self.second} than {other} over {start} on {self.subject}"
        if self.share is not None:
            return f"{self.first} has at least {self.share:g} of the gain of {self.second} on {self.subject}"
        if self.sign == 0:
            return f"{self.first} changes {self.subject} by less than {100 * HARDLY:g} point"
        return (
            f"{self.first} scores {'more' if self.sign > 0 else 'less'} than {self.second} on {self.subject}"
        )


def name_of(method: str = FULL, modality: str = BOTH, part: str = ALL, start: str = PLAIN) -> str:
    """Return an arm's name."""
    return Arm(start, method, modality, part).name


def _claims() -> Iterator[Claim]:
    whole, text = name_of(), name_of(modality=TEXT)
    for subject in (*TRUTH, NORMS):
        paper = {"truthfulqa_mc2": "46.0 after (LLaMA2-7B)", NORMS: "65.4 after, +19.6"}.get(subject, "-")
        yield Claim(subject, whole, PLAIN, paper=paper)
    for subject in (*TRUTH, NORMS):
        yield Claim(subject, text, PLAIN, paper="the text part explains most")
    for subject in (*TRUTH, NORMS):
        yield Claim(subject, text, whole, share=0.5, paper="the text part explains most")
        yield Claim(subject, whole, text, paper="pictures add about +2.5")
    for subject in (*TRUTH, NORMS):
        other = name_of(start=CHAT)
        yield Claim(subject, other, CHAT, against=(whole, PLAIN), paper="a chat-tuned base gains less")
    yield Claim(SKILLS, name_of(LORA), PLAIN, sign=0, paper="-0.17 %")
    yield Claim(SKILLS, name_of(LORA), whole, paper="LoRA keeps more than full tuning")
    yield Claim(SKILLS, whole, PLAIN, sign=-1, paper="-")
    for subject in (*TRUTH, NORMS):
        yield Claim(subject, name_of(LORA), PLAIN, paper="-")
    for part in PARTS:
        yield Claim("truthfulqa_mc2", name_of(part=part), PLAIN, paper="-")


CLAIMS: tuple[Claim, ...] = tuple(_claims())
"""Every claim, written before the study was first run."""
