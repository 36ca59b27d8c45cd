"""How a model that was not tuned is to write tasks, and how that is read: JSON (pure). Our own rule.

Reasons: `empty_reply`, `truncated`, `malformed_json`, `missing_field`, `empty_question`, `empty_answer`,
`surplus_task`.
"""

import json
import re

from acclimate.synthesize.grammars import Task

JSON_FIELDS = ("instruction", "informative", "precise")
_FENCED = re.compile(r"\A```(?:json)?[ \t]*\n(.*)\n[ \t]*```\Z", re.DOTALL)


def json_schema(most: int) -> dict[str, object]:
    """Return the JSON schema of a reply with so many tasks."""
    task: dict[str, object] = {
        "type": "object",
        "properties": {name: {"type": "string", "minLength": 1} for name in JSON_FIELDS},
        "required": list(JSON_FIELDS),
        "additionalProperties": False,
    }
    if most == 1:
        return task
    return {
        "type": "object",
        "properties": {"tasks": {"type": "array", "items": task, "minItems": most, "maxItems": most}},
        "required": ["tasks"],
        "additionalProperties": False,
    }


def read_json(text: str, *, ended: bool = True, most: int = 1) -> list[Task | str] | str:
    """Return the tasks of a reply in JSON, a reason in the place of each bad one, or a reason for the whole.

    The whole reply is JSON, in a code fence or not: a task, a list of tasks, or `{"tasks": [...]}`. Nothing
    is searched for in prose. Tasks beyond `most` are `surplus_task`.
    """
    text = text.strip()
    if not text:
        return "empty_reply"
    fenced = _FENCED.match(text)
    try:
        found = json.loads(fenced[1] if fenced else text, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return "malformed_json" if ended else "truncated"
    if isinstance(found, dict) and set(found) == {"tasks"}:
        found = found["tasks"]
    rows = found if isinstance(found, list) else [found]
    outcomes = [_json_task(row) for row in rows]
    n_good = 0
    for index, outcome in enumerate(outcomes):
        if isinstance(outcome, Task):
            n_good += 1
            if n_good > most:
                outcomes[index] = "surplus_task"
    if len(outcomes) == 1 and isinstance(outcomes[0], str):
        return outcomes[0]
    return outcomes or "missing_field"


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return an object's fields; a field told twice has no value, so it is refused."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a field comes twice")
    return fields


def _json_task(row: object) -> Task | str:
    if not isinstance(row, dict):
        return "missing_field"
    values = [row.get(name) for name in JSON_FIELDS]
    texts = [value.strip() for value in values if isinstance(value, str)]
    if len(texts) < len(JSON_FIELDS):
        return "missing_field"
    if not texts[0]:
        return "empty_question"
    return Task(*texts) if all(texts) else "empty_answer"
