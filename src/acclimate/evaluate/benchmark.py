"""What a benchmark is: a YAML file that says where questions, pictures and gold answers are.

    name: vqa_rad
    version: 1
    file: testset.json              # .json (a list), .jsonl, .csv or .parquet, relative to this YAML
    image_root: images
    columns: {id: qid, image: image_name, question: question, answer: answer}
    kind: {column: answer_type, values: {OPEN: open, CLOSED: closed}}
    prompt: "{question}"

Adding a benchmark is writing such a file; there is no registry and no class to subclass. Whether a
benchmark has one kind of question or several is visible in its name: a mixed file gives one score row
per kind, `vqa_rad_open` and `vqa_rad_closed`, because open recall and closed accuracy are different
scales and must not be averaged by question (the paper, Table 14, keeps them apart as well).
"""

import difflib
import string
from collections.abc import Mapping, Sequence
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from acclimate.errors import BenchmarkError
from acclimate.records import AnswerKind

MAX_TOKENS_BY_KIND: Mapping[AnswerKind, int] = {"closed": 8, "choice": 8, "open": 24, "multi_label": 48}
"""Length of a reply unless the benchmark says otherwise. Our own rule: short answers are asked for."""

LETTERS = string.ascii_uppercase
DATA_SUFFIXES = (".json", ".jsonl", ".csv", ".parquet")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Columns(_Part):
    """Which column of the file holds what."""

    image: str
    """A file name below `image_root`; in Parquet also a struct with `bytes`."""
    question: str
    answer: str
    """The gold answer; for choice its text or letter; for multi_label a list or a `|`-separated text."""
    id: str | None = None
    choices: str | None = None
    """A list of texts, a mapping from letter to text, or a `|`-separated text."""
    kind: str | None = None
    """Short for `kind: {column: ...}` where the column already holds our names of kinds."""
    cluster: str | None = None
    """Questions of one cluster (a patient, a case) are resampled together; the picture by default."""
    stratum: str | None = None


class KindColumn(_Part):
    """A file that mixes kinds of questions: a column says which, and `values` says what it means."""

    column: str
    values: Mapping[str, AnswerKind]


class BenchmarkSpec(_Part):
    """One benchmark, as its YAML defines it."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_]*$")
    """Lower case, digits and underscores, and not `macro`: it stands in measurement keys."""
    version: int = Field(ge=1)
    """Rises by hand when the same name comes to mean something else."""
    file: str
    """Relative to the YAML file."""
    columns: Columns
    kind: AnswerKind | KindColumn | None = None
    image_root: str = "."
    """Relative to the YAML file; no image may lie outside it."""
    prompt: str | None = None
    """With `{question}` and, for choice, optionally `{choices}`."""
    labels: tuple[str, ...] = ()
    """Every label a multi_label answer may name."""
    chance: float | None = Field(default=None, ge=0.0, le=1.0)
    """Score of a guesser, as a fraction, for the report."""
    max_tokens: int | Mapping[AnswerKind, int] | None = None
    licence: str = "unknown"
    citation: str = ""

    @field_validator("name")
    @classmethod
    def _is_free(cls, value: str) -> str:
        if value == "macro":
            raise ValueError("`macro` is the name of the mean of all benchmarks")
        return value

    @field_validator("file")
    @classmethod
    def _has_a_known_form(cls, value: str) -> str:
        if not value.lower().endswith(DATA_SUFFIXES):
            raise ValueError(f"must end in one of {', '.join(DATA_SUFFIXES)}")
        return value

    @field_validator("prompt")
    @classmethod
    def _is_a_template(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if "{question}" not in value:
            raise ValueError("must contain {question}")
        return value

    @model_validator(mode="after")
    def _says_its_kind_once(self) -> Self:
        if (self.kind is None) == (self.columns.kind is None):
            raise ValueError(
                "give either `kind` (one kind, or {column, values}) or `columns.kind`, and not both"
            )
        if self.kind == "choice" and self.columns.choices is None:
            raise ValueError("kind choice needs `columns.choices`")
        if "multi_label" in self.kinds and not self.labels:
            raise ValueError("kind multi_label needs `labels`, the list of every label an answer may name")
        return self

    @property
    def kind_column(self) -> KindColumn | None:
        """The column that says each question's kind; None when all are of one kind."""
        if isinstance(self.kind, KindColumn):
            return self.kind
        if self.columns.kind is not None:
            return KindColumn(column=self.columns.kind, values={kind: kind for kind in MAX_TOKENS_BY_KIND})
        return None

    @property
    def kinds(self) -> tuple[AnswerKind, ...]:
        """The kinds of questions the file is declared to hold, sorted."""
        if isinstance(self.kind, KindColumn):
            return tuple(sorted(set(self.kind.values.values())))
        return () if self.kind is None else (self.kind,)

    def item_benchmark(self, kind: AnswerKind) -> str:
        """Name of the score row that questions of this kind go to."""
        return self.name if self.kind_column is None else f"{self.name}_{kind}"

    def max_tokens_of(self, kind: AnswerKind) -> int:
        """Longest reply asked for, in tokens."""
        if isinstance(self.max_tokens, int):
            return self.max_tokens
        return (self.max_tokens or {}).get(kind, MAX_TOKENS_BY_KIND[kind])


def parse_spec(fields: object, source: str) -> BenchmarkSpec:
    """Check what a YAML file holds.

    Args:
        fields: the parsed YAML.
        source: the file's name, for messages.

    Raises:
        BenchmarkError: names every wrong field; an unknown one together with the nearest known one.
    """
    if not isinstance(fields, Mapping):
        raise BenchmarkError(
            f"{source}: a benchmark is a YAML mapping (name, version, file, columns, kind, ...)"
        )
    try:
        return BenchmarkSpec.model_validate(fields)
    except ValidationError as error:
        said = "; ".join(dict.fromkeys(_complaint(dict(each)) for each in error.errors(include_url=False)))
        raise BenchmarkError(f"{source}: {said}") from error


def _complaint(error: Mapping[str, object]) -> str:
    where = error["loc"]
    path = [str(part) for part in where] if isinstance(where, tuple) else []
    if error["type"] == "extra_forbidden":
        inner = Columns.model_fields if path[0] == "columns" else KindColumn.model_fields
        known = list(BenchmarkSpec.model_fields if len(path) == 1 else inner)
        near = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.0)
        return f"unknown key {'.'.join(path)!r}; the nearest known one is {near[0]!r}"
    return f"{'.'.join(path) or 'benchmark'}: {error['msg']}"


def choice_labels(n_choices: int) -> Sequence[str]:
    """Letters of the choices: A, B, C, ...; none when there are more than 26."""
    return tuple(LETTERS[:n_choices]) if n_choices <= len(LETTERS) else ()


def render_prompt(spec: BenchmarkSpec, question: str, choices: Sequence[str]) -> str:
    """Return the text that is asked, choices included.

    Source:
        Table 13 of the paper for the wording "The choices are:"; where a template already holds
        `{choices}` they are put there and nothing is appended. Our own rule: more than 26 choices have no
        letters and are listed by name.
    """
    labels = choice_labels(len(choices))
    listed = (
        " ".join(f"{label}. {text}" for label, text in zip(labels, choices, strict=True))
        if labels
        else ", ".join(choices)
    )
    template = spec.prompt or "{question}"
    if choices and "{choices}" not in template:
        template += "\nThe choices are: {choices}"
    # The template is cut at its own markers, so that braces inside a question stay what they are.
    before, _, after = template.partition("{question}")
    return before.replace("{choices}", listed) + question + after.replace("{choices}", listed)
