"""Puts a question, its choices, its hint and worked examples into a benchmark's prompt. Pure."""

import re
import string
from collections.abc import Mapping, Sequence

from acclimate.evaluate.benchmark import BenchmarkSpec

LETTERS = string.ascii_uppercase
_MARK = re.compile(r"\{(question|choices|hint|shots|by)\}")
_LISTED = re.compile(r"(?:\A|[\n,;]|(?<=[\s:])) *\(?([A-Z])[.:)] *")
_LINES = re.compile(r"\n([A-Z])\. ?")


def choice_labels(n_choices: int) -> Sequence[str]:
    """Letters of the choices: A, B, C, ...; none when there are more than 26."""
    return tuple(LETTERS[:n_choices]) if n_choices <= len(LETTERS) else ()


def listed_choices(spec: BenchmarkSpec, choices: Sequence[str]) -> str:
    """Return the choices as the prompt lists them.

    Source:
        The benchmark's own style. Our own rule: more than 26 choices have no letters and are listed by name.
    """
    labels = choice_labels(len(choices))
    if spec.choice_style == "x" or not labels:
        return ", ".join(choices)
    styled = {"A. x": "{}. {}", "(A) x": "({}) {}", "A: x": "{}: {}"}[spec.choice_style]
    return spec.choice_separator.join(
        styled.format(label, text) for label, text in zip(labels, choices, strict=True)
    )


def render_prompt(
    spec: BenchmarkSpec,
    question: str,
    choices: Sequence[str] = (),
    *,
    hint: str = "",
    shots: str = "",
    by: str = "",
) -> str:
    """Return the text that is asked, choices included.

    Args:
        choices: what the prompt lists; where its template does not say where, they are appended.
        shots: worked examples, already rendered.
        by: the value of the column that the examples are chosen by.

    Source:
        Table 13 of the paper for the wording "The choices are:".
    """
    template = spec.prompt or "{question}"
    if choices and "{choices}" not in template and not spec.choices_in_question:
        template += "\nThe choices are: {choices}"
    values: Mapping[str, str] = {
        "question": question,
        "choices": listed_choices(spec, choices),
        "hint": hint or spec.hint_absent,
        "shots": shots,
        "by": by,
    }
    # Replaced in one pass, so that braces inside a question stay what they are.
    return _MARK.sub(lambda found: values[found[1]], template).lstrip("\n")


def render_shots(spec: BenchmarkSpec, shots: Sequence[tuple[str, Sequence[str], str]]) -> str:
    """Return worked examples as they stand before a question: the template's own lines from the question on.

    Args:
        shots: question, choices and right letter of each.
    """
    template = (spec.prompt or "{question}").partition("{shots}")[2] or "{question}"
    bare = spec.model_copy(update={"prompt": template})
    return "".join(
        f"{render_prompt(bare, question, choices)} {answer}\n\n" for question, choices, answer in shots
    )


def choices_in(question: str) -> tuple[str, ...]:
    """Return the choices that a question's own text lists; () where it lists none.

    Listed are they behind "Options:" ("A: a cat, B: a dog"), or as the last lines of the text ("A. a cat").

    Source:
        The layouts of MMStar's published file and of LLaVA's ScienceQA. Our own rule: letters count only in
        their order, from A on.
    """
    _, found, listed = question.rpartition("Options:")
    if not found:
        lines = question.split("\n")
        at = max((at for at, line in enumerate(lines) if line.startswith("A.")), default=len(lines))
        listed = "\n" + "\n".join(lines[at:])
    places: list[tuple[int, int]] = []
    for match in (_LISTED if found else _LINES).finditer(listed):
        if len(places) < len(LETTERS) and match[1] == LETTERS[len(places)]:
            places.append((match.start(), match.end()))
    ends = [start for start, _ in places[1:]] + [len(listed)]
    texts = tuple(listed[start:end].strip(" ,;\n") for (_, start), end in zip(places, ends, strict=True))
    return texts if len(texts) > 1 else ()
