"""Mathematical claims that a recipe makes, each decided by a proof in Lean 4. Pure."""

import hashlib
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, field_validator

from acclimate.errors import RecipeError
from acclimate.files import JSON
from acclimate.lean_source import AmbiguousError, is_name, statement

FOLDER = "proofs"
"""Of a record's folder: the Lean sources, each named by its claim's id."""


class Proof(BaseModel):
    """A sentence that a theorem decides."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    """Unique in the recipe, among claims and proofs."""
    sentence: str = Field(min_length=1, max_length=1000)
    """What is claimed, for people; the report prints the theorem beside it."""
    file: str = Field(min_length=1)
    """The Lean 4 source; a relative path counts from the recipe's folder."""
    theorem: str = Field(min_length=1)
    """Full name of the theorem, namespaces included."""

    @field_validator("theorem")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if not is_name(name):
            raise ValueError(
                f"{name!r} is no name in Lean; give the theorem's full name, for instance Vrs.is_difference"
            )
        return name


@dataclass(frozen=True, slots=True)
class Stated:
    """A mathematical claim with the source of its proof, which nobody has checked yet."""

    proof: Proof
    source: str
    """The Lean text, as it was when it was read."""
    statement: str
    """The theorem as the source states it, from `theorem` or `lemma` to before its proof."""

    @property
    def path(self) -> str:
        """Where the source stands in a record's folder."""
        return f"{FOLDER}/{self.proof.id}.lean"

    @property
    def sha256(self) -> str:
        """SHA-256 of the source in UTF-8, 64 hex digits."""
        return hashlib.sha256(self.source.encode("utf-8")).hexdigest()

    def noted(self) -> dict[str, JSON]:
        """Return what is written down of it before a run: words, theorem and the source's hash."""
        own = self.proof
        return {"id": own.id, "sentence": own.sentence, "theorem": own.theorem, "source": self.sha256}


def stated(proof: Proof, data: bytes, where: str) -> Stated:
    """Return a proof with its source, once that states the theorem.

    Whether the theorem is proved is not asked: `sorry` is found when the record is verified.

    Args:
        data: the source's bytes. where: key and file, for messages.

    Raises:
        RecipeError: the source is not UTF-8, states no such theorem, or can be read in two ways.
    """
    try:
        source = data.decode("utf-8")
        found = statement(source, proof.theorem)
    except UnicodeDecodeError as error:
        raise RecipeError(
            f"{where} is no Lean source: byte {error.start} is not UTF-8. Save it so."
        ) from error
    except AmbiguousError as error:
        raise RecipeError(f"{where} can be read in two ways ({error}); write that plainly.") from error
    if found is None:
        raise RecipeError(
            f"{where} states no theorem {proof.theorem}; give `theorem` its full name, namespaces included, "
            "as the source states it with `theorem` or `lemma`."
        )
    return Stated(proof, source, found)
