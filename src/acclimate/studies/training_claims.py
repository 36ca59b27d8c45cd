"""What is claimed of ways of post-training, and AdaMLLM's Tables 3, 4 and 14 as numbers (data).

Source: AdaMLLM, Tables 4 and 14 with the synthesizer's tasks; what the untouched models score is the mean of
their rows in Tables 2 and 3. The paper trains all weights and names no forgetting of general skills, so
claims about LoRA, the projector alone and general skills are our own, as is the bar of 0.7.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Subject: TypeAlias = Literal["domain", "captions", "general"]
"""`domain`: the mean of the domain's benchmarks; `captions`: what the first of two stages teaches; `general`:
the mean of the general benchmarks."""

BASE, SINGLE, TWO, FIRST, LORA, PROJECTOR = (
    "base",
    "single stage",
    "two stages",
    "after the first stage",
    "LoRA",
    "projector only",
)
OTHER_BASE, OTHER = "second base", "second base, adapted"
"""Another model, and it trained on what the first one's synthesizer wrote."""
ARMS = (BASE, SINGLE, TWO, FIRST, LORA, PROJECTOR, OTHER_BASE, OTHER)
BASE_OF: Mapping[str, str] = {
    **dict.fromkeys((SINGLE, TWO, FIRST, LORA, PROJECTOR), BASE),
    OTHER: OTHER_BASE,
}
"""What each trained arm was trained from."""

ENOUGH = 0.7
"""The share of full training's gain that LoRA must reach."""

TABLE_4: Mapping[str, Mapping[str, tuple[float, float, float]]] = {
    "LLaVA-v1.6-8B": {
        "Recipe1M": (33.8, 29.0, 42.0),
        "PMC_Raw": (44.7, 55.6, 58.3),
        "PMC_Refined": (44.7, 58.6, 60.3),
    },
    "Qwen2-VL-2B": {
        "Recipe1M": (37.1, 38.2, 40.3),
        "PMC_Raw": (41.2, 55.5, 54.3),
        "PMC_Refined": (41.2, 59.5, 55.7),
    },
    "Llama-3.2-11B": {
        "Recipe1M": (48.0, 40.9, 47.8),
        "PMC_Raw": (53.9, 59.2, 60.7),
        "PMC_Refined": (53.9, 60.3, 62.0),
    },
}
"""By model and source of captions: the untouched model, two stages, a single stage; means of the domain's
tasks. The synthesizer is LLaVA-v1.6-8B's in all of them."""
RECIPES: Mapping[str, float] = {BASE: 18.6, FIRST: 25.3, TWO: 16.2, SINGLE: 24.8}
"""LLaVA-v1.6-8B's ROUGE-L on Recipe1M, whose captions are what the first stage trains on."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One direction, or one size."""

    subject: Subject
    first: str
    second: str
    sign: int = 1
    """1: the first scores more; -1: less."""
    at_least: float | None = None
    """The share of the second's gain that the first one's must be, where the claim is about a size."""
    paper: str = "-"
    """The paper's numbers: first against second, or in how many cases the first has more."""

    @property
    def sentence(self) -> str:
        """Return what is claimed."""
        what = {"domain": "the domain", "captions": "captions", "general": "general skills"}[self.subject]
        if self.at_least is not None:
            return f"{self.first} reaches at least {self.at_least:g} of the gain of {self.second} on {what}"
        return f"{self.first} scores {'more' if self.sign > 0 else 'less'} than {self.second} on {what}"


def _rows(first: int, second: int, *, without: str = "") -> str:
    """Return in how many rows of Table 4 one column is above another.

    Args:
        without: a model whose rows do not count.
    """
    rows = [row for model, of in TABLE_4.items() if model != without for row in of.values()]
    above = sum(row[first] > row[second] for row in rows)
    return f"more in {above} of {len(rows)} rows of Table 4"


_UNTOUCHED, _TWO, _SINGLE = range(3)

CLAIMS: tuple[Claim, ...] = (
    Claim("domain", SINGLE, BASE, paper=_rows(_SINGLE, _UNTOUCHED)),
    Claim("domain", TWO, BASE, paper=_rows(_TWO, _UNTOUCHED)),
    Claim("domain", SINGLE, TWO, paper=_rows(_SINGLE, _TWO)),
    Claim("captions", FIRST, BASE, paper=f"{RECIPES[FIRST]} against {RECIPES[BASE]}"),
    Claim("captions", TWO, FIRST, sign=-1, paper=f"{RECIPES[TWO]} against {RECIPES[FIRST]}"),
    Claim("captions", SINGLE, TWO, paper=f"{RECIPES[SINGLE]} against {RECIPES[TWO]}"),
    Claim("domain", LORA, SINGLE, at_least=ENOUGH),
    Claim("domain", PROJECTOR, BASE),
    Claim("domain", PROJECTOR, SINGLE, sign=-1),
    Claim("general", SINGLE, BASE, sign=-1),
    Claim("general", LORA, SINGLE),
    Claim("general", PROJECTOR, SINGLE),
    Claim("domain", OTHER, OTHER_BASE, paper=_rows(_SINGLE, _UNTOUCHED, without="LLaVA-v1.6-8B")),
)
"""Every claim, written before the study was first run."""
