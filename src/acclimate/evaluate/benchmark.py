"""What a benchmark is: a YAML file that says where questions, pictures and gold answers are.

    name: vqa_rad
    version: 1
    file: testset.json              # .json (a list), .jsonl, .csv, .tsv or .parquet, relative to this YAML
    image_root: images
    columns: {id: qid, image: image_name, question: question, answer: answer}
    kind: {column: answer_type, values: {OPEN: open, CLOSED: closed}}
    prompt: "{question}"

Adding a benchmark is writing such a file; there is no registry and no class to subclass. The published ones
are such files too (`benchmarks/`), found by name. Whether a benchmark has one kind of question or several is
visible in its name: a mixed file gives one score row per kind, `vqa_rad_open` and `vqa_rad_closed`, because
open recall and closed accuracy are different scales and must not be averaged by question (the paper,
Table 14, keeps them apart as well).
"""

import difflib
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from acclimate.errors import BenchmarkError
from acclimate.evaluate.scorers import scorer_names, scorers_for
from acclimate.records import AnswerKind

MAX_TOKENS_BY_KIND: Mapping[AnswerKind, int] = {
    "closed": 8,
    "choice": 8,
    "open": 24,
    "multi_label": 48,
    "vqa": 10,
    "caption": 96,
    "graded": 256,
    "compared": 512,
}
"""Length of a reply unless the benchmark says otherwise. Our own rule: short answers are asked for. How many
replies were cut off there is counted in every result."""

DATA_SUFFIXES = (".json", ".jsonl", ".csv", ".tsv", ".parquet")


def _several(value: object) -> object:
    """Return one name as a list of one."""
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_several), Field(min_length=1)]
"""One name, or several alternatives of which the first that is there counts."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Columns(_Part):
    """Which column of the file holds what. Several names are alternatives: layouts of one data set differ."""

    image: Names | None = None
    """A file name below `image_root`, or base64, or the id of a row that has it as base64; in Parquet also a
    struct with `bytes`. None: no pictures."""
    image_folder: Names | None = None
    """The folder below `image_root` that a bare file name stands in, where each question has one."""
    question: Names
    answer: Names | None = None
    """The gold answer; for choice its text or letter; for multi_label a list or a `|`-separated text; for
    vqa and caption a list of texts. None where a judge has nothing to compare with."""
    prompt: Names | None = None
    """The whole prompt, where the file has it ready made; then nothing is put around it."""
    id: Names | None = None
    choices: Names | None = None
    """A list of texts, a mapping from letter to text, or a `|`-separated text."""
    choice_columns: tuple[Names, ...] = ()
    """One column per choice, in the order of the letters; empty cells are no choices. Where every choice
    begins with its own letter ("A: a cat") the letters are taken off."""
    kind: str | None = None
    """Short for `kind: {column: ...}` where the column already holds our names of kinds."""
    cluster: Names | None = None
    """Questions of one cluster (a patient, a case) are resampled together; the picture by default."""
    stratum: Names | None = None
    hint: Names | None = None
    """Goes where the prompt says `{hint}`."""
    context: Names | None = None
    """What a judge is told of the picture; several captions become lines."""
    boxes: Names | None = None
    """What stands under that: a list of objects with `category` and `bbox`."""


class KindColumn(_Part):
    """A file that mixes kinds of questions: a column says which, and `values` says what it means."""

    column: str
    values: Mapping[str, AnswerKind]


class RowsBy(_Part):
    """A column whose values become score rows of their own, `pope_random` and `pope_popular` for instance."""

    column: Names
    """`_file` stands for the name of the row's file, without its ending, where there are several files."""
    values: tuple[str, ...] = ()
    """Only these, where given; other rows are left out and counted."""
    names: Mapping[str, str] = Field(default_factory=dict)
    """What a value is called, where otherwise than it stands."""


class GroupColumn(_Part):
    """A column that says which questions belong together."""

    column: Names
    modulo: int | None = Field(default=None, ge=2)
    """Numbers equal modulo this are one group: rotations of question 17 are numbered 1000017, 2000017, ..."""


class Subset(_Part):
    """How questions are sorted into named parts, which may overlap."""

    column: Names | None = None
    separator: str = ""
    """Between the parts that one cell names, where it is no list."""
    values: Mapping[str, str] = Field(default_factory=dict)
    """What the cell says to what the part is called; a value that is not here is its own name."""
    filled: Mapping[str, str] = Field(default_factory=dict)
    """Instead of a column: part by column, for every column whose cell is not empty."""
    otherwise: str = ""
    """With `filled`: the part of questions where none is."""


class Also(_Part):
    """A second file whose rows are joined to the questions."""

    file: Names
    on: str
    """The column that both have."""
    prefix: str = ""
    """Put before the names of the second file's columns."""


class Shots(_Part):
    """Worked examples put before every question."""

    file: Names
    n: int = Field(ge=1)
    by: str | None = None
    """Only examples with the question's own value in this column."""
    most_characters: int = Field(default=8192, ge=1)
    """Of the whole prompt; examples are left out from the end until it fits. The published rule counts 2,048
    tokens of the model's own tokenizer; four characters for a token make prompts equal for all models."""


class Hub(_Part):
    """Where the files are published."""

    repository: str
    """Data set of the Hugging Face hub."""
    revision: str = "main"
    folder: str = ""
    """Inside the repository."""


class BenchmarkSpec(_Part):
    """One benchmark, as its YAML defines it."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_]*$")
    """Lower case, digits and underscores, and not `macro`: it stands in measurement keys."""
    version: int = Field(ge=1)
    """Rises by hand when the same name comes to mean something else."""
    title: str = ""
    file: Names
    """Relative to the data folder (of one's own benchmark: the YAML's); of several the first that is there.
    With `*` the files that match, in order of name."""
    sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    """Pins the file's content: another one is refused."""
    hub: Hub | None = None
    split: str = "test"
    columns: Columns
    where: Mapping[str, str | tuple[str, ...]] = Field(default_factory=dict)
    """Only rows with these values; a column that no row has is not looked at."""
    kind: AnswerKind | KindColumn | None = None
    rows_by: RowsBy | None = None
    group: GroupColumn | None = None
    circular: bool = False
    """Ask each multiple-choice question with its choices in every rotation; right is who is right in all.
    Rotations that the file already has are used (`group`)."""
    subsets: Mapping[str, Subset] = Field(default_factory=dict)
    also: tuple[Also, ...] = ()
    shots: Shots | None = None
    train: Names | None = None
    """A file of the same columns that models may have been trained on: for the score that needs no picture
    (each question's commonest answer there) and for pictures that both have."""
    image_root: Names = (".",)
    """Relative to the data folder; of several the first that is there. No image may lie outside it."""
    image_optional: bool = False
    """Some questions have no picture."""
    question: str = ""
    """Asked of every picture, where the file has no questions of its own."""
    prompt: str | None = None
    """With `{question}`, and optionally `{choices}`, `{hint}` and, with shots, `{shots}` and `{by}`."""
    hint_absent: str = ""
    """What stands for `{hint}` where there is none."""
    choice_style: Literal["A. x", "(A) x", "A: x", "x"] = "A. x"
    choice_separator: str = " "
    choices_in_question: bool = False
    """Where no column has the choices, the question's own text lists them: behind "Options:", or as lines
    that begin with "A.", "B.", ..."""
    answer_is: Literal["text_or_letter", "index"] = "text_or_letter"
    """What the answer of a choice is; an index counts from 0 (a letter is taken there too)."""
    labels: tuple[str, ...] = ()
    """Every label a multi_label answer may name; of choice the choices that all questions share."""
    labels_from_answers: bool = False
    """Take the labels that occur as answers."""
    scorers: Mapping[AnswerKind, tuple[str, ...]] = Field(default_factory=dict)
    """Of each kind, where other than its usual ones; the first is the headline."""
    chance: float | Mapping[AnswerKind, float] | None = None
    """Score of a guesser, as a fraction, for the report."""
    counts: Mapping[str, int] = Field(default_factory=dict)
    """Published number of questions by score row; another number is reported."""
    max_tokens: int | Mapping[AnswerKind, int] | None = None
    suite: str = ""
    """A set of benchmarks whose mean is published: `biomedicine`, `food`."""
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
    def _has_a_known_form(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(each.lower().endswith(DATA_SUFFIXES) for each in value):
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
        if self.kind == "choice" and not self._has_choices:
            raise ValueError(
                "kind choice needs `columns.choices`, `columns.choice_columns`, `labels`, or "
                "`choices_in_question: true`"
            )
        if "multi_label" in self.kinds and not self.labels and not self.labels_from_answers:
            raise ValueError(
                "kind multi_label needs `labels`, the list of every label an answer may name, or "
                "`labels_from_answers: true`"
            )
        if self.circular and self.kind != "choice":
            raise ValueError("`circular` needs kind choice")
        return self

    @model_validator(mode="after")
    def _names_scorers_that_exist(self) -> Self:
        for kind, names in self.scorers.items():
            unknown = [name for name in names if name not in scorer_names(kind)]
            if unknown or not names:
                known = ", ".join(scorer_names(kind))
                raise ValueError(f"`scorers.{kind}`: {', '.join(unknown) or 'empty'}; there are {known}")
        return self

    @property
    def _has_choices(self) -> bool:
        columns = self.columns
        return bool(columns.choices or columns.choice_columns or self.labels or self.choices_in_question)

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

    def item_benchmark(self, kind: AnswerKind, part: str = "") -> str:
        """Name of the score row that questions of this kind, and of this value of `rows_by`, go to."""
        named = self.name if self.kind_column is None else f"{self.name}_{kind}"
        return f"{named}_{part}" if part else named

    def chance_of(self, kind: AnswerKind) -> float | None:
        """Score of a guesser among questions of this kind."""
        return self.chance.get(kind) if isinstance(self.chance, Mapping) else self.chance

    def scorers_of(self, kind: AnswerKind) -> tuple[str, ...]:
        """Names of the scorers of questions of this kind, the headline first."""
        return tuple(each.name for each in scorers_for(kind, self.scorers.get(kind, ())))

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


_FIELDS = BenchmarkSpec.model_fields
_INNER: Mapping[str, type[_Part]] = {
    "columns": Columns,
    "rows_by": RowsBy,
    "group": GroupColumn,
    "subsets": Subset,
    "also": Also,
    "shots": Shots,
    "hub": Hub,
}


def _complaint(error: Mapping[str, object]) -> str:
    where = error["loc"]
    path = [str(part) for part in where] if isinstance(where, tuple) else []
    if error["type"] == "extra_forbidden":
        known = list(_INNER.get(path[0], KindColumn).model_fields if len(path) > 1 else _FIELDS)
        near = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.0)
        return f"unknown key {'.'.join(path)!r}; the nearest known one is {near[0]!r}"
    return f"{'.'.join(path) or 'benchmark'}: {error['msg']}"
