"""Rates synthetic tasks from the scene alone, on the levels 1 to 5 of the paper's appendix D.

How the levels follow from the world, in words (our wording of the levels: `curate/quality_rubrics.py`):

*Knowledge*. 1: the oracle cannot read the question, or its premise is false, so that it has no one right
answer. 2: it has the same answer for every picture of the domain. 3: a description or a story. 4: one detail
of one thing. 5: more than one thing has to be taken together, or a thing be found by what it is like.

*Complexity*. 1: as above, or the caption repeated does it. 2: naming what is plain to see: the domain, a
thing, whether a form is there, a story's thing. 3: one detail of one thing, or whether a thing with a certain
colour, mark or place is there. 4: what needs all things. 5: level 4, and the question asks for a form: one of
lettered choices, or an order. Choices change nothing for levels 2 and 3.

*Accuracy*. The conclusion is the precise answer (with one answer only: what that concludes), and it is
right where `oracle.is_right` says so. The reasons are the informative answer, and they are right where it
can be read and nothing in it is false, by `conclusions.statements`. Where its conclusion has a clause of its
own (domain, count, exist, rule) that clause is no reason; elsewhere one statement is both, and has to be
there. 5: both right, and the reasons do not lead elsewhere. 4: conclusion right; the reasons are wrong, or
lead to another conclusion. 3: conclusion wrong; the reasons state something, and all of it is true. 2:
neither. 1: the question cannot be read, the precise answer has no word of the world, or a sole answer
concludes nothing. Descriptions and stories: the conclusion is right where every form and number it names is.

*Consistency* is judged by what is written, whether right or not.

Tasks that rules make of a caption are rated by their kind (`RULES`). Their answer is right where the scene
says so; words and order of the caption itself, which is true in the lab, are compared with the caption.

Source: the levels' meaning is AdaMLLM's appendix D; the mapping is our own.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from acclimate.curate.ratings import Rating
from acclimate.lab.conclusions import APART_KINDS, conclusion, same, stands_in, statements, words
from acclimate.lab.language import TASK_TYPES
from acclimate.lab.oracle import Reading, is_right, read
from acclimate.lab.world import DOMAINS, NUMBERS, PLACES, Lexicon, Scene
from acclimate.records import JudgedTriplet, Label, Triplet
from acclimate.synthesize.rules_templates import BLANK, COLOUR, COUNT, PRESENCE

RATER = "oracle"

Task: TypeAlias = Triplet | JudgedTriplet


@dataclass(frozen=True, slots=True)
class Row:
    """What a kind of task is rated."""

    task_type: str
    knowledge: int
    complexity: int


MAPPING: Mapping[str, Row] = {
    "domain": Row(TASK_TYPES["domain"], 2, 2),
    "object": Row(TASK_TYPES["object"], 4, 2),
    "colour": Row(TASK_TYPES["colour"], 4, 3),
    "mark": Row(TASK_TYPES["mark"], 4, 3),
    "where": Row(TASK_TYPES["where"], 4, 3),
    "exist": Row(TASK_TYPES["exist"], 4, 2),
    "count": Row(TASK_TYPES["count"], 5, 4),
    "reverse": Row(TASK_TYPES["reverse"], 5, 4),
    "rule": Row(TASK_TYPES["rule"], 5, 4),
    "list": Row(TASK_TYPES["list"], 5, 4),
    "odd": Row(TASK_TYPES["odd"], 5, 4),
    "order": Row(TASK_TYPES["order"], 5, 5),
    "describe": Row(TASK_TYPES["describe"], 3, 1),
    "story": Row(TASK_TYPES["story"], 3, 2),
}
"""Of questions that can be read, by the oracle's kind. `exist` with a colour, mark or place has complexity
3, and level 4 with lettered choices is 5."""

RULES: Mapping[str, Row] = {
    "describe": Row("Caption Generation", 3, 1),
    "topic": Row("Caption Generation", 3, 1),
    "fill_in": Row("Attribute and Context Recognition", 4, 1),
    "presence": Row("Image-Text Matching", 4, 2),
    "choice": Row("Object Recognition", 4, 2),
    "colour": Row("Attribute and Context Recognition", 4, 3),
    "count": Row("Data Representation and Visualization", 5, 4),
    "order": Row("Step-by-Step Guidance", 2, 3),
    "side": Row("Visual Grounding", 4, 3),
}
"""Of the rule generator's tasks, by their kind."""

DETAIL = Row("Caption Generation", 3, 1)
"""Of the text teacher's descriptions; its other tasks are read as questions."""


def rating(task: Task, scene: Scene, caption: str, lexicon: Lexicon | None = None) -> Rating:
    """Return what the oracle says of a task about a scene.

    Args:
        caption: what the pair says of the picture; rule tasks may be about its words.
        lexicon: the words that the pair speaks in; the domain's own where it is None.
    """
    lexicon = lexicon or DOMAINS[scene.domain].lexicon
    if task.generator == "rules" and task.kind in RULES:
        return _rated(task, RULES[task.kind], _of_rule(task, scene, caption, lexicon))
    if task.generator == "text_teacher" and task.kind == "detail":
        return _rated(task, DETAIL, _of_description(task.informative, scene, lexicon))
    reading = read(scene, task.instruction, lexicon)
    verdict = truth(task, scene, lexicon)
    label = None if verdict == "unjudged" else verdict
    is_pair = bool(task.precise.strip())
    if reading is None:
        return Rating(task.id, RATER, None, 1, 1, 1, 1 if is_pair else None, 1, label)
    row = MAPPING[reading.kind]
    has_answer = reading.open or bool(reading.answers)
    return Rating(
        task_id=task.id,
        rater=RATER,
        task_type=row.task_type,
        knowledge=row.knowledge if has_answer else 1,
        complexity=_complexity(row, reading.kind, task.instruction) if has_answer else 1,
        accuracy=_accuracy(task, scene, lexicon, reading),
        accuracy_precise=_level(right=precise_right(task, scene, lexicon)) if is_pair else None,
        accuracy_informative=_level(right=informative_right(task, scene, lexicon)),
        consistent=label,
    )


def truth(task: Task, scene: Scene, lexicon: Lexicon | None = None) -> Label:
    """Say whether the two answers of a task say the same, by what is written, right or not.

    They do where the informative answer's conclusion is the precise answer. An informative answer that
    concludes nothing supports none. With a question that cannot be read, the precise answer has to stand in
    the informative one. A task with one answer is `unjudged`.
    """
    lexicon = lexicon or DOMAINS[scene.domain].lexicon
    if not task.precise.strip():
        return "unjudged"
    reading = read(scene, task.instruction, lexicon)
    if reading is None:
        return "consistent" if stands_in(task.precise, task.informative) else "inconsistent"
    if reading.open:
        return "open"
    said = conclusion(reading.kind, task.informative, lexicon)
    agrees = said is not None and same(reading.kind, task.instruction, said.value, task.precise, lexicon)
    return "consistent" if agrees else "inconsistent"


def precise_right(task: Task, scene: Scene, lexicon: Lexicon | None = None) -> bool:
    """Say whether the precise answer is right; it is not where there is none, or no readable question."""
    return bool(task.precise.strip() and is_right(scene, task.instruction, task.precise, lexicon))


def informative_right(task: Task, scene: Scene, lexicon: Lexicon | None = None) -> bool:
    """Say whether what the informative answer concludes is right; of descriptions, whether all of it is."""
    lexicon = lexicon or DOMAINS[scene.domain].lexicon
    reading = read(scene, task.instruction, lexicon)
    if reading is None:
        return False
    if reading.open:
        told = statements(task.informative, scene, lexicon)
        return bool(told) and all(told) and bool(is_right(scene, task.instruction, task.informative, lexicon))
    said = conclusion(reading.kind, task.informative, lexicon)
    return said is not None and bool(is_right(scene, task.instruction, said.value, lexicon))


def _level(*, right: bool) -> int:
    return 5 if right else 2


def _complexity(row: Row, kind: str, question: str) -> int:
    if kind == "exist" and re.search(r" (?:with|at) ", question):
        return 3
    return 5 if row.complexity == 4 and "\nThe choices are:" in question else row.complexity


def _accuracy(task: Task, scene: Scene, lexicon: Lexicon, reading: Reading) -> int:
    """Return the level of the whole response to a question that can be read."""
    said = conclusion(reading.kind, task.informative, lexicon)
    answer = task.precise.strip() or (said.value if said else task.informative if reading.open else "")
    if not _is_of_world(answer, lexicon):
        return 1
    told = statements(said.reasons if said else task.informative, scene, lexicon)
    can_read = said is not None or (bool(told) and (reading.open or reading.kind in APART_KINDS))
    sound = can_read and all(told)
    leads_elsewhere = said is not None and not informative_right(task, scene, lexicon)
    if is_right(scene, task.instruction, answer, lexicon):
        return 5 if sound and not leads_elsewhere else 4
    return 3 if sound and told else 2


def _is_of_world(text: str, lexicon: Lexicon) -> bool:
    """Say whether any word of a text is one that the scene can be spoken of in."""
    known = {"yes", "no", *NUMBERS, *lexicon.words(), *" ".join(PLACES).split()}
    return any(word in known or word.isdecimal() for word in words(text).split())


def _rated(task: Task, row: Row, accuracy: int | None) -> Rating:
    """Return the rating of a task with one answer; `accuracy` is None where the task asks for no sense."""
    if accuracy is None:
        return Rating(task.id, RATER, None, 1, 1, 1, None, 1)
    return Rating(task.id, RATER, row.task_type, row.knowledge, row.complexity, accuracy, None, accuracy)


def _of_description(text: str, scene: Scene, lexicon: Lexicon) -> int:
    told = statements(text, scene, lexicon)
    return _level(right=all(told)) if told else 1


def _of_rule(task: Task, scene: Scene, caption: str, lexicon: Lexicon) -> int | None:
    """Return the accuracy of a rule task, or None where it asks for what is no thing of the world."""
    question, answer = task.instruction, words(task.informative)
    if not answer:
        return 1
    if task.kind in ("describe", "topic"):
        return _of_description(task.informative, scene, lexicon)
    checks: dict[str, Callable[[], bool | None]] = {
        "fill_in": lambda: _fills(question, task.informative, caption),
        "order": lambda: _is_order(question, task.informative, caption),
        "presence": lambda: _is_present(question, answer, scene, lexicon),
        "choice": lambda: _is_choice(question, answer, scene, lexicon),
        "colour": lambda: _is_colour(question, answer, scene, lexicon),
        "count": lambda: _is_count(question, answer, scene, lexicon),
        "side": lambda: _is_left(question, answer, scene, lexicon),
    }
    right = checks[task.kind]()
    return None if right is None else _level(right=right)


def _fills(question: str, answer: str, caption: str) -> bool:
    sentence = next((line for line in question.splitlines() if BLANK in line), "")
    return bool(sentence) and sentence.replace(BLANK, answer.strip()) in caption


def _lettered(question: str) -> dict[str, str]:
    return dict(re.findall(r"^([A-Z])\. (.+)$", question, re.MULTILINE))


def _is_order(question: str, answer: str, caption: str) -> bool:
    sentences = _lettered(question)
    letters = re.findall(r"\b[A-Z]\b", answer)
    places = [caption.find(sentences.get(letter, "\n")) for letter in letters]
    return sorted(letters) == sorted(sentences) and -1 not in places and places == sorted(places)


def _noun(wordings: tuple[str, ...], question: str) -> str:
    """Return the noun that a rule's question is about, in lower case; empty where it fits no wording."""
    for wording in wordings:
        pattern = re.escape(wording).replace(r"\{is\}", "(?:is|are)")
        pattern = re.sub(r"\\\{(?:thing|noun)\\\}", "(?:an? )?(?P<noun>.+?)", pattern)
        if match := re.fullmatch(pattern, question):
            return match["noun"].lower()
    return ""


def _is_shown(noun: str, scene: Scene, lexicon: Lexicon) -> bool | None:
    """Say whether the scene shows what a noun names; None where it names nothing of the world."""
    if noun in lexicon.forms:
        return any(lexicon.forms[subject.form] == noun for subject in scene.subjects)
    always = (lexicon.frame, lexicon.noun, lexicon.plural, lexicon.colour_attribute, lexicon.mark_attribute)
    return True if noun in (*always, lexicon.rule_attribute) else None


def _is_present(question: str, answer: str, scene: Scene, lexicon: Lexicon) -> bool | None:
    noun = _noun(PRESENCE, question)
    shown = _is_shown(noun, scene, lexicon)
    if not noun or (shown is None and answer == "yes"):
        return None
    return answer == ("yes" if shown else "no")


def _is_choice(question: str, answer: str, scene: Scene, lexicon: Lexicon) -> bool | None:
    """Say whether the chosen thing is there and no other is."""
    nouns = {key: re.sub(r"^an? ", "", option.lower()) for key, option in _lettered(question).items()}
    shown = {key: _is_shown(noun, scene, lexicon) for key, noun in nouns.items()}
    chosen = answer[0].upper()
    if shown.get(chosen) is None:
        return None
    return [key for key, value in shown.items() if value] == [chosen] and answer.endswith(nouns[chosen])


def _is_colour(question: str, answer: str, scene: Scene, lexicon: Lexicon) -> bool | None:
    noun = _noun(COLOUR, question)
    if _is_shown(noun, scene, lexicon) is None:
        return None
    fits = [s for s in scene.subjects if noun not in lexicon.forms or lexicon.forms[s.form] == noun]
    return answer in {lexicon.colours[subject.colour] for subject in fits}


def _is_count(question: str, answer: str, scene: Scene, lexicon: Lexicon) -> bool | None:
    noun = _noun(COUNT, question)
    n = len(scene.subjects)
    if noun not in (lexicon.noun, lexicon.plural):
        n = sum(noun in (form, form + "s") for form in (lexicon.forms[s.form] for s in scene.subjects))
        if not n and _is_shown(noun.removesuffix("s"), scene, lexicon) is None:
            return None
    return answer in (NUMBERS[n], str(n))


def _is_left(question: str, answer: str, scene: Scene, lexicon: Lexicon) -> bool | None:
    """Say whether the answer is further left than the other form of the question."""
    columns: dict[str, set[int]] = {}
    for subject in scene.subjects:
        place = PLACES[subject.place]
        column = 0 if place.endswith("left") else 2 if place.endswith("right") else 1
        columns.setdefault(lexicon.forms[subject.form], set()).add(column)
    asked = [form for form in lexicon.forms if form in words(question).split()]
    chosen = answer.removeprefix("the ")
    if len(asked) != 2 or chosen not in asked:
        return None
    (other,) = (form for form in asked if form != chosen)
    if chosen not in columns or other not in columns:
        return False
    return max(columns[chosen]) < min(columns[other])
