"""ScienceQA in its published form: `problems.json`, `pid_splits.json`, `images/<split>/<id>/<name>`.

A problem becomes one question and one answer in the form QCM-LEA, which LLaVA is fine-tuned on: question,
context and lettered options; then lecture, explanation and the answer's letter.

Source:
    The format's fields and labels: Lu et al. 2022 (ScienceQA) and LLaVA's converter, whose behaviour this
    follows: the label of the question is left out, an empty hint is `N/A`, two spaces become one, and a
    problem with a picture has it after the question.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from acclimate.errors import DataError
from acclimate.files import read_json
from acclimate.ingest.chats import Chat
from acclimate.ingest.readers import BrokenRow, RawRow, row_id
from acclimate.ingest.rows import has_lone_surrogate, printable
from acclimate.records import Turn, content_id

FIELDS = ("question", "choices", "answer")
"""What tells a problem from any other row."""
IMAGES = "images"
"""The folder of pictures beside the problems."""
SPLITS = "pid_splits.json"
_LETTERS = "ABCDE"
_PLACES = ("train", "val", "test")


def science_chats(rows: Sequence[RawRow], source: Path, split: str) -> Iterator[Chat]:
    """Yield one chat per problem of a split, in the split's order.

    Args:
        rows: of `problems.json`, each with its key as `id`.
        source: that file; `pid_splits.json` is looked for beside it. Without one, `train`, `val`, `test` and
            `trainval` are known from the problems' own field `split`.
        split: train, val, test, trainval, minitrain, ...

    Raises:
        DataError: there is no such split.
    """
    problem_by_id = {str(raw["id"]): raw for raw in rows if isinstance(raw, dict) and "id" in raw}
    ids_by_split = _splits(problem_by_id, source)
    if split not in ids_by_split:
        raise DataError(
            f"{source} has no split {split!r}; choose one of {', '.join(ids_by_split) or 'none'} as `split`."
        )
    place_by_id = {each: place for place in _PLACES for each in ids_by_split.get(place, ())}
    for problem_id in ids_by_split[split]:
        problem = problem_by_id.get(problem_id)
        if problem is None:
            detail = f"{SPLITS} names it and {source.name} does not hold it"
            yield Chat(content_id("row", problem_id), problem_id, problem=("no_problem", detail))
        else:
            place = str(problem.get("split") or place_by_id.get(problem_id, split))
            yield _chat(problem_id, problem, place)
    yield from (_broken(raw) for raw in rows if isinstance(raw, BrokenRow))


def _splits(problem_by_id: Mapping[str, Mapping[str, Any]], source: Path) -> dict[str, list[str]]:
    path = source.parent / SPLITS
    if path.is_file():
        value = read_json(path)
        if not isinstance(value, dict) or not all(isinstance(each, list) for each in value.values()):
            raise DataError(f"{path} is not an object with a list of ids per split; download it again.")
        return {name: [str(each) for each in ids] for name, ids in value.items()}
    found: dict[str, list[str]] = {}
    for problem_id, problem in problem_by_id.items():
        if problem.get("split"):
            found.setdefault(str(problem["split"]), []).append(problem_id)
    if "train" in found and "val" in found:
        found["trainval"] = found["train"] + found["val"]
    return found


def _broken(raw: BrokenRow) -> Chat:
    return Chat(row_id(raw), "", problem=("bad_row", f"{raw.detail}; it begins: {printable(raw.text)[:120]}"))


def _chat(problem_id: str, problem: Mapping[str, Any], place: str) -> Chat:
    chat_id, label = row_id(dict(problem)), printable(problem_id)[:80]
    fault = _fault(problem)
    if fault:
        return Chat(chat_id, label, problem=("bad_row", fault))
    question, answer = qcm_lea(problem)
    if has_lone_surrogate(question + answer):
        return Chat(chat_id, label, problem=("bad_row", "the text holds half of a surrogate pair"))
    turns = (Turn("user", question, trained=False), Turn("assistant", answer, trained=True))
    if not problem.get("image"):
        return Chat(chat_id, label, turns)
    return Chat(chat_id, label, turns, (f"{place}/{problem_id}/{problem['image']}",), (0,))


def _fault(problem: Mapping[str, Any]) -> str:
    choices, answer, image = problem.get("choices"), problem.get("answer"), problem.get("image")
    if not isinstance(problem.get("question"), str) or not problem["question"].strip():
        return "the problem has no question"
    if not isinstance(choices, list) or not all(isinstance(each, str) for each in choices):
        return "choices is no list of texts"
    if len(choices) > len(_LETTERS):
        return f"{len(choices)} choices; at most {len(_LETTERS)} have a letter"
    if not isinstance(answer, int) or isinstance(answer, bool) or not 0 <= answer < len(choices):
        return f"the answer {str(answer)[:40]!r} is not the number of a choice"
    if any(not isinstance(problem.get(name) or "", str) for name in ("hint", "lecture", "solution")):
        return "hint, lecture or solution is no text"
    return "" if image is None or isinstance(image, str) else "image is not a file's name"


def qcm_lea(problem: Mapping[str, Any]) -> tuple[str, str]:
    """Return a problem's question and answer in the form QCM-LEA, without the picture's marker."""
    context = (problem.get("hint") or "").strip() or "N/A"
    options = " ".join(
        f"({letter}) {text}" for letter, text in zip(_LETTERS, problem["choices"], strict=False)
    )
    question = f"{problem['question']}\nContext: {context}\nOptions: {options}"
    reasons = f"{problem.get('lecture') or ''} {problem.get('solution') or ''}"
    answer = f"{reasons} The answer is {_LETTERS[problem['answer']]}."
    return question.replace("  ", " ").strip(), answer.replace("  ", " ").strip()
