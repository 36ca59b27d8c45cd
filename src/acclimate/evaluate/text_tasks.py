"""TruthfulQA and ETHICS as local tasks of lm-eval: the user's files, the prompts of the installed package.

`write_truthfulqa` and `write_ethics` write a folder that `lm_eval --include_path FOLDER` and `text_scoring`
both read. Prompts (TruthfulQA's six worked examples among them), choices and marking are not copied: every
task's YAML includes the one of the lm-eval that is installed, and puts local data in the place of a download.
The stock ETHICS tasks name a data set that is a script, which `datasets` 4 and later refuse to load.

Source: lm-eval 0.4.13, `tasks/truthfulqa`, `tasks/hendrycks_ethics` and `tasks/_yaml_loader.py`, as read and
run. TruthfulQA: Lin et al. 2022; ETHICS: Hendrycks et al. 2021.
"""

import csv
import importlib.metadata
import importlib.util
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from acclimate.errors import BenchmarkError, EngineError
from acclimate.files import write_text
from acclimate.records import content_id

VERSION = 1
"""Rises when the same files come to give other tasks."""
PREFIX = "acclimate_"
"""Of our tasks' names in lm-eval: two of its own have the same names without it."""
TRUTHFULQA = ("truthfulqa_mc1", "truthfulqa_mc2", "truthfulqa_gen")
TRUTHFULQA_ANSWER = "truthfulqa_gen_answer"
"""Generation with `A:` at the prompt's end, which the published prompt lacks, to the end of the line."""
ETHICS = (
    "ethics_cm",
    "ethics_deontology",
    "ethics_justice",
    "ethics_utilitarianism",
    "ethics_virtue",
)
GROUP_SIZES: Mapping[str, int] = {"ethics_deontology": 4, "ethics_justice": 4, "ethics_virtue": 5}
"""Consecutive rows that ETHICS' exact match takes together. Source: Hendrycks et al. 2021, section 3."""
TRUTHFULQA_REPOSITORY = "truthfulqa/truthful_qa"
ETHICS_REPOSITORY = "EleutherAI/hendrycks_ethics"

_TRAIT = " [SEP] "
_COLUMNS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "ethics_cm": ("cm_test.csv", "commonsense", ("label", "input")),
    "ethics_deontology": ("deontology_test.csv", "deontology", ("label", "scenario", "excuse")),
    "ethics_justice": ("justice_test.csv", "justice", ("label", "scenario")),
    "ethics_utilitarianism": ("util_test.csv", "utilitarianism", ("activity", "baseline")),
    "ethics_virtue": ("virtue_test.csv", "virtue", ("label", "scenario")),
}
"""By task: its file, which is also what its folder and lm-eval's YAML are called after, and its columns."""
_COMMIT = re.compile(r"[0-9a-f]{40}")
_INSTALL = "Install it: pip install 'acclimate[lm-eval]'."


@dataclass(frozen=True, slots=True)
class Pinned:
    """A data set of the Hugging Face hub at one commit, in this machine's cache."""

    revision: str
    """40 hex digits."""
    repository: str = ""
    """Empty: lm-eval's own."""

    def require(self) -> None:
        """Check the revision.

        Raises:
            BenchmarkError: it is a branch or tag, whose content may change.
        """
        if not _COMMIT.fullmatch(self.revision):
            raise BenchmarkError(
                f"The revision {self.revision!r} is no commit, so the data behind it may change. Give the 40 "
                "hex digits of a commit, or a local file."
            )


def lm_eval_version() -> str:
    """Return the version of the installed lm-eval.

    Raises:
        EngineError: it is not installed.
    """
    try:
        return importlib.metadata.version("lm-eval")
    except importlib.metadata.PackageNotFoundError:
        raise EngineError(f"Text benchmarks are run by lm-eval, which is not installed. {_INSTALL}") from None


def lm_eval_tasks() -> Path:
    """Return the folder of the installed lm-eval's own tasks; nothing of it is imported.

    Raises:
        EngineError: it is not installed.
    """
    found = importlib.util.find_spec("lm_eval")
    if found is None or not found.submodule_search_locations:
        raise EngineError(f"Text benchmarks are run by lm-eval, which is not installed. {_INSTALL}")
    return Path(found.submodule_search_locations[0]) / "tasks"


def write_truthfulqa(source: Path | Pinned, out: Path, *, tasks: Path | None = None) -> tuple[str, ...]:
    """Write TruthfulQA's tasks: MC1, MC2, generation, and generation with the answer's mark in the prompt.

    MC1's choices are the best answer, then the incorrect ones; MC2's all correct ones, then the incorrect
    ones. Generation is greedy up to a period.

    Args:
        source: `TruthfulQA.csv` as published, or lm-eval's data set at a commit.
        out: a folder for `--include_path`.
        tasks: lm-eval's own tasks; None finds the installed ones.

    Returns:
        The tasks' names in lm-eval.

    Raises:
        BenchmarkError: the file cannot be read, or a question lacks an answer. EngineError: no lm-eval.
    """
    own = (tasks or lm_eval_tasks()) / "truthfulqa"
    multiple, generation = own / "truthfulqa_mc1.yaml", own / "truthfulqa_gen.yaml"
    local: dict[str, Any] = {}
    if isinstance(source, Path):
        rows = list(_truthfulqa_rows(source))
        _write_rows(out / "truthfulqa_mc.jsonl", [_choices_of(row) for row in rows])
        _write_rows(out / "truthfulqa_gen.jsonl", rows)
        for name in ("mc", "gen"):
            local[name] = _of_file(out / f"truthfulqa_{name}.jsonl", "validation")
    else:
        local = {name: _of_hub(source, TRUTHFULQA_REPOSITORY) for name in ("mc", "gen")}
    with_mark = _read_yaml(multiple)["doc_to_text"]
    until_period = {"generation_kwargs": {"until": ["."], "do_sample": False}}
    until_line_end = {"generation_kwargs": {"until": ["\n"], "do_sample": False}}
    configs = {
        TRUTHFULQA[0]: {"include": str(multiple), **local["mc"]},
        TRUTHFULQA[1]: {"include": str(own / "truthfulqa_mc2.yaml"), **local["mc"]},
        TRUTHFULQA[2]: {"include": str(generation), **local["gen"], **until_period},
        TRUTHFULQA_ANSWER: {
            "include": str(generation),
            **local["gen"],
            **until_line_end,
            "doc_to_text": with_mark,
        },
    }
    return _write_tasks(configs, "truthfulqa", out)


def write_ethics(source: Path | Pinned, out: Path, *, tasks: Path | None = None) -> tuple[str, ...]:
    """Write ETHICS' five tasks.

    Args:
        source: the folder of the published test files (`cm_test.csv`, `deontology_test.csv`,
            `justice_test.csv`, `util_test.csv`, `virtue_test.csv`; each there or in the folder of its part,
            as in the published archive), or lm-eval's data set at a commit.
        out: a folder for `--include_path`.
        tasks: lm-eval's own tasks; None finds the installed ones.

    Returns:
        The tasks' names in lm-eval.

    Raises:
        BenchmarkError: a file cannot be read, or its rows are not in their published order, which groups
            them. EngineError: no lm-eval.
    """
    own = (tasks or lm_eval_tasks()) / "hendrycks_ethics"
    configs: dict[str, dict[str, Any]] = {}
    for name, (_, part, _) in _COLUMNS.items():
        configs[name] = {"include": str(own / f"{part}.yaml"), "training_split": None, "num_fewshot": 0}
        if isinstance(source, Path):
            file = out / f"{name}.jsonl"
            _write_rows(file, _grouped(name, _ethics_rows(name, ethics_file(source, name)), source))
            configs[name] |= {"test_split": "test", **_of_file(file, "test")}
        else:
            configs[name] |= _of_hub(source, ETHICS_REPOSITORY)
    return _write_tasks(configs, "ethics", out)


def ethics_file(folder: Path, name: str) -> Path:
    """Return where a part's test file lies: in the folder, or in its part's folder below.

    Raises:
        BenchmarkError: it lies in neither.
    """
    file, part, _ = _COLUMNS[name]
    for candidate in (folder / file, folder / part / file):
        if candidate.is_file():
            return candidate
    raise BenchmarkError(
        f"There is no {file} in {folder}. Put the five test files of ETHICS there: cm_test.csv, "
        "deontology_test.csv, justice_test.csv, util_test.csv, virtue_test.csv (the archive of "
        "github.com/hendrycks/ethics)."
    )


def _truthfulqa_rows(path: Path) -> Iterator[dict[str, Any]]:
    columns = ("Type", "Category", "Question", "Best Answer", "Correct Answers", "Incorrect Answers")
    for number, row in enumerate(_csv_rows(path, columns), start=1):
        best, correct, incorrect = (_answers(row[name]) for name in columns[3:])
        if len(best) != 1 or not correct or not incorrect or not row["Question"].strip():
            raise BenchmarkError(
                f"{path}, question {number}: it lacks its text, its best answer, a correct or an incorrect "
                "one; give TruthfulQA.csv as published."
            )
        yield {
            "id": number - 1,
            "type": row["Type"],
            "category": row["Category"],
            "question": row["Question"].strip(),
            "best_answer": best[0],
            "correct_answers": correct,
            "incorrect_answers": incorrect,
        }


def _choices_of(row: Mapping[str, Any]) -> dict[str, Any]:
    best, correct, incorrect = ([row["best_answer"]], row["correct_answers"], row["incorrect_answers"])
    kept = {name: row[name] for name in ("id", "type", "category", "question")}
    return kept | {
        name: {"choices": [*right, *incorrect], "labels": [1] * len(right) + [0] * len(incorrect)}
        for name, right in (("mc1_targets", best), ("mc2_targets", correct))
    }


def _answers(text: str) -> list[str]:
    """Return the answers that one cell holds, separated by semicolons."""
    return [each.strip() for each in text.split(";") if each.strip()]


def _ethics_rows(name: str, path: Path) -> Iterator[dict[str, Any]]:
    columns = _COLUMNS[name][2]
    has_header = name != "ethics_utilitarianism"
    for number, row in enumerate(_csv_rows(path, columns, has_header=has_header)):
        given: dict[str, Any] = {"id": number, **{column: row[column] for column in columns}}
        if "label" in given:
            if given["label"] not in ("0", "1"):
                raise BenchmarkError(
                    f"{path}, row {number + 1}: the label is {given['label']!r}, not 0 or 1; give the file "
                    "as published."
                )
            given["label"] = int(given["label"])
        if name == "ethics_virtue":
            scenario, mark, trait = given["scenario"].partition(_TRAIT)
            if not mark:
                raise BenchmarkError(
                    f"{path}, row {number + 1}: no trait after {_TRAIT.strip()}; give the file as published."
                )
            given |= {"scenario": scenario, "trait": trait}
        if name == "ethics_cm":
            given["is_short"] = row.get("is_short", "")
        if name == "ethics_utilitarianism":
            given["cluster"] = content_id(given["activity"])
        yield given


def _grouped(name: str, rows: Iterable[dict[str, Any]], source: Path) -> Iterator[dict[str, Any]]:
    """Yield rows with the number of their group, where the part has groups."""
    size = GROUP_SIZES.get(name)
    shared = ""
    for row in rows:
        if size is not None:
            place = row["id"] % size
            is_named = name != "ethics_justice"  # whose rows are whole sentences, with no column they share
            if place and is_named and row["scenario"] != shared:
                raise BenchmarkError(
                    f"{ethics_file(source, name)}, row {row['id'] + 1}: its scenario is not that of the rows "
                    f"before it, and the exact match takes {size} rows of one scenario together. Give the "
                    "file in its published order."
                )
            shared = row["scenario"]
            row["group_id"] = row["id"] // size
        yield row


def _csv_rows(path: Path, columns: Sequence[str], *, has_header: bool = True) -> Iterator[Mapping[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            reader = csv.DictReader(handle, None if has_header else list(columns), strict=True)
            missing = [each for each in columns if each not in (reader.fieldnames or ())]
            if missing:
                raise BenchmarkError(
                    f"{path} has no column {missing[0]!r}; it needs {', '.join(columns)}. Give the file as "
                    "published."
                )
            for number, row in enumerate(reader, start=1):
                if any(row[each] is None for each in columns):
                    raise BenchmarkError(f"{path}, row {number}: it has too few cells; correct the file.")
                if number > 1 or has_header or tuple(row.values()) != tuple(columns):
                    yield row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BenchmarkError(f"{path} cannot be read as a CSV in UTF-8 ({error}); check the path.") from error


def _of_file(file: Path, split: str) -> dict[str, Any]:
    return {
        "dataset_path": "json",
        "dataset_name": None,
        "dataset_kwargs": {"data_files": {split: str(file.resolve())}},
    }


def _of_hub(source: Pinned, repository: str) -> dict[str, Any]:
    source.require()
    return {
        "dataset_path": source.repository or repository,
        "dataset_kwargs": {"revision": source.revision},
    }


def _read_yaml(path: Path) -> Mapping[str, Any]:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]
    except (OSError, yaml.YAMLError) as error:
        raise EngineError(
            f"The installed lm-eval has no {path.name} that can be read ({error}); install lm-eval 0.4.13."
        ) from error


def _write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    _write(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def _write(path: Path, text: str) -> None:
    """Write a file unless it holds this text: `datasets` takes one with a new time for new data."""
    if not path.is_file() or path.read_bytes() != text.encode():
        write_text(path, text)


def _write_tasks(configs: Mapping[str, Mapping[str, Any]], tag: str, out: Path) -> tuple[str, ...]:
    for name, config in configs.items():
        included = Path(config["include"])
        if not included.is_file():
            raise EngineError(f"The installed lm-eval has no {included}; install lm-eval 0.4.13.")
        whole = {
            "include": config["include"],
            "task": f"{PREFIX}{name}",
            "tag": f"{PREFIX}{tag}",
            **{key: value for key, value in config.items() if key != "include"},
            "metadata": {"version": VERSION},
        }
        text = yaml.safe_dump(whole, sort_keys=False, allow_unicode=True, width=1000)
        _write(out / f"{PREFIX}{name}.yaml", text)
    return tuple(f"{PREFIX}{name}" for name in configs)
