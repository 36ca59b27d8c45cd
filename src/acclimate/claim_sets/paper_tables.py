"""The AdaMLLM paper's tables as rows: the JSON form that holds `table14` and its neighbours (pure).

Attributes: Table 14's own (`source`, `model`, `pipeline`, `instruction`); the untouched models of Tables 2
and 3 have `pipeline` and `instruction` none; Table 5 has `ablation`; Table 6 `shown`; Table 7 `tasks`; Table
8 `captions_from` and `written_by`. Rows of Tables 2 and 3 that stand in Table 14 too are left out.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from acclimate.claim_sets.numbers import Row
from acclimate.errors import DataError

_DOMAINS = {"Recipe1M": "food"}
"""By source of captions; the others are biomedicine."""
_ABLATIONS = (
    "ours",
    "without_blank_image",
    "without_filter_precise",
    "without_filter_informative",
    "without_synthetic_task",
    "without_image_caption",
    "general_task",
    "general_task_plus_domain_caption",
)
_MEASURES = ("diversity", "knowledge", "complexity", "accuracy")


def is_paper_tables(data: Mapping[str, Any]) -> bool:
    """Return whether an object is of this form."""
    return isinstance(data.get("table14"), list)


def rows_of_paper(data: Mapping[str, Any], path: Path) -> tuple[Row, ...]:
    """Return the rows of all tables that are there.

    Raises:
        DataError: a table has not the form of its kind.
    """
    try:
        rows = [*_table_14(data), *_untouched(data), *_table_5(data)]
        return (*rows, *_table_6(data), *_table_7(data), *_table_8(data))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{path} has `table14`, but not as the form has it ({type(error).__name__}: {error}); "
            "docs/claim_sets.md says what each table holds."
        ) from error


def _table_14(data: Mapping[str, Any]) -> Iterator[Row]:
    for each in data["table14"]:
        own = {name: str(each[name]) for name in ("source", "model", "pipeline", "instruction")}
        own["domain"] = _DOMAINS.get(own["source"], "biomedicine")
        yield Row(own, _floats(each["scores"]), float(each["average_printed"]))


def _untouched(data: Mapping[str, Any]) -> Iterator[Row]:
    """Yield Tables 2 and 3 for the models of Table 14 as they were before."""
    models = {each["model"] for each in data["table14"]}
    for table, domain in (("table2", "biomedicine"), ("table3", "food")):
        for each in data.get(table, ()):
            if each["model"] in models:
                own = {"model": each["model"], "pipeline": "none", "instruction": "none", "domain": domain}
                yield Row(own, _floats(each["scores"]))


def _table_5(data: Mapping[str, Any]) -> Iterator[Row]:
    table = data.get("table5", {})
    for at, name in enumerate(table.get("rows", ())):
        for ablation in _ABLATIONS:
            own = {"ablated_on": name, "ablation": ablation.replace("_", " ")}
            yield Row(own, {}, float(table[ablation][at]))


def _table_6(data: Mapping[str, Any]) -> Iterator[Row]:
    table = data.get("table6", {})
    for at, name in enumerate(table.get("columns", ())):
        yield Row({"shown": name}, {measure: float(table[measure][at]) for measure in _MEASURES})


def _table_7(data: Mapping[str, Any]) -> Iterator[Row]:
    """Yield both columns; after the filter the paper gives one accuracy, which stands for both answers'."""
    for name, table in data.get("table7", {}).items():
        before, after = table["without_filter"], table["with_filter"]
        yield Row(
            {"rated": name, "tasks": "all"},
            {
                "consistency": float(before["consistency"]),
                "precise answers": float(before["precise_acc"]),
                "informative answers": float(before["informative_acc"]),
            },
        )
        right = float(after["accuracy"])
        yield Row(
            {"rated": name, "tasks": "kept"},
            {
                "consistency": float(after["consistency"]),
                "precise answers": right,
                "informative answers": right,
            },
        )


def _table_8(data: Mapping[str, Any]) -> Iterator[Row]:
    table = data.get("table8", {})
    for at, name in enumerate(table.get("columns", ())):
        source, _, writer = name.partition(" ")
        own = {"captions_from": source, "written_by": writer}
        yield Row(own, {measure: float(table[measure][at]) for measure in _MEASURES})


def _floats(scores: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in scores.items()}
