"""Wordings of tasks and caption questions: our own, written for this project (data).

`{q}` is the instruction, `{i}` the informative and `{p}` the precise answer. A reasoning wording gives the
reasons first and then the answer; none is reversed or leaves the answer out. Source: the idea of drawing
from a pool is AdaMLLM's (section 3.3); every string here is ours.
"""

REASONING_QUESTIONS = (
    "{q}",
    "{q}\nExplain your answer.",
    "{q}\nGive your reasons first.",
    "{q}\nSay how you know.",
    "{q}\nThink it through, then answer.",
    "{q}\nLook closely and reason before you answer.",
    "{q}\nWork towards the answer step by step.",
    "{q}\nTell me what you see before you answer.",
    "Answer with reasons: {q}",
    "Look at the image. {q}",
)
"""How the question of a reasoning task is put."""

REASONING_ANSWERS = (
    "{i} So the answer is {p}.",
    "{i} Therefore, the answer is {p}.",
    "{i} Thus the answer is {p}.",
    "{i} Hence the answer is {p}.",
    "{i} The answer is {p}.",
    "{i} This means the answer is {p}.",
    "{i} That makes the answer {p}.",
    "{i} In short, the answer is {p}.",
)
"""How reasons and answer are joined."""

PLAIN_QUESTIONS = (
    "{q}",
    "{q}\nAnswer from the image.",
    "Look at the image. {q}",
    "Please answer: {q}",
    "{q}\nUse what you see.",
)
"""How the question of a task is put whose answer stands as it is."""

CAPTION_QUESTIONS = (
    "Describe the image.",
    "What does the image show?",
    "Write a caption for the image.",
    "Say what can be seen here.",
    "Give a description of the picture.",
    "What is in this picture?",
)
"""How a caption is asked for."""
