"""What is said about scenes: captions, questions of many kinds, and precise and informative answers.

Everything is written from a scene and a lexicon, so that the same grammar serves everyday words, invented
words and the target domains' words. `oracle.py` reads the same questions back.
"""

import random
from dataclasses import dataclass, replace

from acclimate.lab.world import NUMBERS, PLACES, Lexicon, Scene, Subject, odd_one, rule_of

KINDS = (
    "domain",
    "object",
    "colour",
    "mark",
    "where",
    "count",
    "exist",
    "reverse",
    "rule",
    "list",
    "order",
    "odd",
    "describe",
    "story",
)
"""Question kinds; `describe` and `story` have no single right answer (label `open`)."""

TASK_TYPES = {
    "domain": "Domain Classification",
    "object": "Object Recognition",
    "colour": "Attribute and Context Recognition",
    "mark": "Style Classification",
    "where": "Visual Grounding",
    "count": "Data Representation and Visualization",
    "exist": "Image-Text Matching",
    "reverse": "Task-Oriented Image Recognition",
    "rule": "Scene Classification",
    "list": "Segmentation",
    "order": "Step-by-Step Guidance",
    "odd": "Anomaly Detection",
    "describe": "Caption Generation",
    "story": "Visual Storytelling",
}
"""The paper's name (appendix D) of each kind."""

OPEN_KINDS = ("describe", "story")
_ENDS = ("went home", "fell asleep", "made a friend", "saw the sun")
"""How a story ends."""
CHOICE_KINDS = ("object", "colour", "mark", "where", "reverse", "rule")
LETTERS = "ABCD"

TEMPLATES: dict[str, tuple[str, ...]] = {
    "domain": ("What is the picture of?", "What kind of picture is this?", "Name the kind of picture."),
    "object": (
        "Which {noun} is at the {place}?",
        "What {noun} can be seen at the {place}?",
        "Name the {noun} at the {place}.",
    ),
    "colour": (
        "What is the {colour_attribute} of the {thing}?",
        "Which {colour_attribute} does the {thing} have?",
        "Name the {colour_attribute} of the {thing}.",
    ),
    "mark": (
        "What is the {mark_attribute} of the {thing}?",
        "Which {mark_attribute} does the {thing} have?",
        "Name the {mark_attribute} of the {thing}.",
    ),
    "where": (
        "Where is the {thing}?",
        "At which place is the {thing}?",
        "Give the place of the {thing}.",
    ),
    "count": (
        "How many {plural} are there?",
        "Count the {plural}.",
        "How many {plural} are on the {frame}?",
    ),
    "exist": (
        "Is there {a_thing}?",
        "Can {a_thing} be seen?",
        "Does the {frame} hold {a_thing}?",
    ),
    "reverse": (
        "Which {noun} has {a_trait}?",
        "What {noun} with {a_trait} is shown?",
        "Name the {noun} with {a_trait}.",
    ),
    "rule": (
        "What is the {rule_attribute}?",
        "Which {rule_attribute} does the {frame} have?",
        "Name the {rule_attribute} of the {frame}.",
    ),
    "list": ("List the {plural}.", "Name all {plural}.", "Which {plural} are on the {frame}?"),
    "order": (
        "Read the {plural} in order.",
        "Go through the {plural} step by step.",
        "In which order do the {plural} stand?",
    ),
    "odd": (
        "Which {noun} is unlike the others?",
        "Which {noun} does not belong?",
        "Find the odd {noun}.",
    ),
    "describe": ("Describe the {frame}.", "Describe the picture.", "What can be said about the {frame}?"),
    "story": (
        "Tell a short story about the {plural}.",
        "What might happen to the {plural}?",
        "Make up a tale for the {frame}.",
    ),
}


@dataclass(frozen=True, slots=True)
class Stated:
    """What a caption says: the facts a reader without the picture can know."""

    colours: frozenset[int]
    """Indices of subjects whose colour is named; likewise below."""
    marks: frozenset[int]
    count: bool
    rule: bool


@dataclass(frozen=True, slots=True)
class Task:
    """One question with its two answers."""

    kind: str
    question: str
    precise: str
    informative: str
    choices: tuple[str, ...] = ()
    consistent: bool = True
    """Whether both answers say the same; noise may make them differ."""


def a(phrase: str) -> str:
    """Return the phrase with its indefinite article."""
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def joined(parts: list[str]) -> str:
    """Return `x`, `x and y` or `x, y and z`."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def _with_equals(told: set[int], values: list[int]) -> set[int]:
    """Return the subjects told of, with all others that have a value told."""
    said = {values[index] for index in told}
    return {index for index, value in enumerate(values) if value in said}


def caption(
    scene: Scene, lexicon: Lexicon, rng: random.Random, *, full: bool = False, even: bool = False
) -> tuple[str, Stated]:
    """Return a caption in whole sentences, subjects in reading order, and what it states.

    Args:
        full: state every fact in the plainest frame; otherwise facts are left out now and then.
        even: a value told of one subject is told of every subject that has it, so that what the caption says
            of one can be asked for without a word about the others.
    """
    n = len(scene.subjects)
    noun = lexicon.noun if n == 1 else lexicon.plural
    counted = full or rng.random() < 0.6
    opening = f"The {lexicon.frame} shows {NUMBERS[n] + ' ' if counted else ''}{noun}."
    if not full and rng.random() < 0.4:
        opening = f"This is {a(lexicon.frame)} with {NUMBERS[n] + ' ' if counted else ''}{noun}."
    if n == 1 and not counted:
        opening = opening.replace(f" {noun}.", f" {a(noun)}.")
    # Drawn first, subject by subject: what is told of whom, and in which of two frames.
    drawn = [
        (full or rng.random() < 0.9, full or rng.random() < 0.45, full or rng.random() < 0.6)
        for _ in scene.subjects
    ]
    colours = {index for index, told in enumerate(drawn) if told[0]}
    marks = {index for index, told in enumerate(drawn) if told[1]}
    if even:
        colours = _with_equals(colours, [subject.colour for subject in scene.subjects])
        marks = _with_equals(marks, [subject.mark for subject in scene.subjects])
    sentences = [opening]
    for index, subject in enumerate(scene.subjects):
        traits = []
        if index in colours:
            traits.append(f"{a(lexicon.colours[subject.colour])} {lexicon.colour_attribute}")
        if index in marks:
            traits.append(f"{a(lexicon.marks[subject.mark])} {lexicon.mark_attribute}")
        form, place = lexicon.forms[subject.form], PLACES[subject.place]
        if drawn[index][2]:
            sentence = f"At the {place} is {a(form)}" + (f" with {joined(traits)}" if traits else "")
        else:
            sentence = (
                f"The {form} at the {place} has {joined(traits)}"
                if traits
                else f"The {form} is at the {place}"
            )
        sentences.append(sentence + ".")
    rule = rule_of(scene)
    ruled = rule is not None and not full and rng.random() < 0.5
    if ruled and rule is not None:
        sentences.append(f"The {lexicon.rule_attribute} is {lexicon.rules[rule]}.")
    return " ".join(sentences), Stated(frozenset(colours), frozenset(marks), counted, ruled)


def _trait(subject: Subject, lexicon: Lexicon, *, colour: bool) -> str:
    if colour:
        return f"{a(lexicon.colours[subject.colour])} {lexicon.colour_attribute}"
    return f"{a(lexicon.marks[subject.mark])} {lexicon.mark_attribute}"


def subject_phrase(subject: Subject, lexicon: Lexicon) -> str:
    """Return `star at the upper left`."""
    return f"{lexicon.forms[subject.form]} at the {PLACES[subject.place]}"


def _thing(scene: Scene, lexicon: Lexicon, index: int, rng: random.Random, *, place: bool = True) -> str:
    """Return words that pick out one subject; with `place` False its place is not given away."""
    subject = scene.subjects[index]
    form = lexicon.forms[subject.form]
    unique = sum(other.form == subject.form for other in scene.subjects) == 1
    ways = [form] if unique else []
    if place:
        ways.append(subject_phrase(subject, lexicon))
        ways.append(f"{lexicon.noun} at the {PLACES[subject.place]}")
    elif not unique:
        ways.append(f"{form} with {_trait(subject, lexicon, colour=True)}")
    return rng.choice(ways)


def _forms(scene: Scene, lexicon: Lexicon) -> list[str]:
    return [lexicon.forms[subject.form] for subject in scene.subjects]


def _fill(kind: str, rng: random.Random, lexicon: Lexicon, **slots: str) -> str:
    return rng.choice(TEMPLATES[kind]).format(
        frame=lexicon.frame,
        noun=lexicon.noun,
        plural=lexicon.plural,
        colour_attribute=lexicon.colour_attribute,
        mark_attribute=lexicon.mark_attribute,
        rule_attribute=lexicon.rule_attribute,
        **slots,
    )


def _pick(rng: random.Random, values: tuple[str, ...] | list[str], *, besides: str) -> str | None:
    others = [value for value in values if value != besides]
    return rng.choice(others) if others else None


class Asker:
    """Writes tasks about one scene in one lexicon.

    With `stated`, only what a caption says is asked for, in the caption's own words: nothing in a task needs
    a word that the caption does not hold. Noise is drawn per answer: the two annotators of a real seed set
    err independently.
    """

    def __init__(
        self,
        scene: Scene,
        lexicon: Lexicon,
        rng: random.Random,
        *,
        stated: Stated | None = None,
        precise_noise: float = 0.0,
        informative_noise: float = 0.0,
        balanced: bool = False,
    ) -> None:
        """Prepare to ask.

        Args:
            balanced: with `stated`, ask whether a thing is there only in forms of words in which yes and no
                are equally likely. Otherwise a bare *Is there a star?* is always yes, since a caption names
                no form that is absent, and that is then what is learned.
        """
        self.balanced = balanced
        self.scene = scene
        self.lexicon = lexicon
        self.rng = rng
        self.stated = stated
        self.noise = (precise_noise, informative_noise)
        self.consistent = True

    def words(self, which: str) -> list[str]:
        """Return the words that may be used for a wrong or alternative value."""
        lexicon, stated = self.lexicon, self.stated
        subjects = self.scene.subjects
        if which == "forms":
            return list(lexicon.forms) if stated is None else sorted(set(_forms(self.scene, lexicon)))
        if which == "places":
            return list(PLACES[:4])
        if which == "numbers":
            return list(NUMBERS[1:])
        if which == "rules":
            return list(lexicon.rules) if stated is None else []
        known = lexicon.colours if which == "colours" else lexicon.marks
        if stated is None:
            return list(known)
        said = stated.colours if which == "colours" else stated.marks
        values = [subjects[i].colour if which == "colours" else subjects[i].mark for i in sorted(said)]
        return sorted({known[value] for value in values})

    def _two(self, value: str, which: str) -> tuple[str, str]:
        """Return the value as the precise and the informative annotator see it."""
        seen = []
        for noise in self.noise:
            wrong = _pick(self.rng, self.words(which), besides=value) if self.rng.random() < noise else None
            seen.append(wrong or value)
        self.consistent = seen[0] == seen[1]
        return seen[0], seen[1]

    def task(self, kind: str) -> Task | None:
        """Return a task of the kind, or None where the scene or the caption does not allow one."""
        self.consistent = True
        result: Task | None = getattr(self, f"_{kind}")()
        return replace(result, consistent=self.consistent) if result else None

    def choice(self, kind: str) -> Task | None:
        """Return a task of the kind with lettered choices, or None."""
        task = self.task(kind)
        which = {
            "object": "forms", "colour": "colours", "mark": "marks",
            "where": "places", "reverse": "forms", "rule": "rules",
        }[kind]  # fmt: skip
        if task is None:
            return None
        others = [word for word in self.words(which) if word != task.precise]
        if not others:
            return None
        options = [task.precise, *self.rng.sample(others, min(3, len(others)))]
        self.rng.shuffle(options)
        return replace(task, question=with_choices(task.question, options), choices=tuple(options))

    def _domain(self) -> Task:
        lexicon = self.lexicon
        return Task(
            "domain",
            _fill("domain", self.rng, lexicon),
            lexicon.frame,
            f"The picture shows {a(lexicon.frame)} with {lexicon.plural}, so it is of {a(lexicon.frame)}.",
        )

    def _object(self) -> Task:
        subject = self.rng.choice(self.scene.subjects)
        place = PLACES[subject.place]
        precise, seen = self._two(self.lexicon.forms[subject.form], "forms")
        return Task(
            "object",
            _fill("object", self.rng, self.lexicon, place=place),
            precise,
            f"The {self.lexicon.noun} at the {place} of the {self.lexicon.frame} is {a(seen)}.",
        )

    def _attribute(self, kind: str, *, colour: bool) -> Task | None:
        stated, lexicon = self.stated, self.lexicon
        indices = list(range(len(self.scene.subjects)))
        if stated is not None:
            indices = sorted(stated.colours if colour else stated.marks)
        if not indices:
            return None
        index = self.rng.choice(indices)
        subject = self.scene.subjects[index]
        value = lexicon.colours[subject.colour] if colour else lexicon.marks[subject.mark]
        attribute = lexicon.colour_attribute if colour else lexicon.mark_attribute
        precise, seen = self._two(value, "colours" if colour else "marks")
        return Task(
            kind,
            _fill(kind, self.rng, lexicon, thing=_thing(self.scene, lexicon, index, self.rng)),
            precise,
            f"The {subject_phrase(subject, lexicon)} has {a(seen)} {attribute}.",
        )

    def _colour(self) -> Task | None:
        return self._attribute("colour", colour=True)

    def _mark(self) -> Task | None:
        return self._attribute("mark", colour=False)

    def _where(self) -> Task | None:
        scene, lexicon = self.scene, self.lexicon
        indices = [
            i for i, s in enumerate(scene.subjects) if sum(o.form == s.form for o in scene.subjects) == 1
        ]
        if not indices:
            return None
        index = self.rng.choice(indices)
        subject = scene.subjects[index]
        precise, seen = self._two(PLACES[subject.place], "places")
        return Task(
            "where",
            _fill("where", self.rng, lexicon, thing=_thing(scene, lexicon, index, self.rng, place=False)),
            precise,
            f"The {lexicon.forms[subject.form]} stands at the {seen} of the {lexicon.frame}.",
        )

    def _count(self) -> Task:
        lexicon = self.lexicon
        precise, seen = self._two(NUMBERS[len(self.scene.subjects)], "numbers")
        noun = lexicon.noun if seen == "one" else lexicon.plural
        listed = joined([a(form) for form in _forms(self.scene, lexicon)])
        return Task(
            "count",
            _fill("count", self.rng, lexicon),
            precise,
            f"The {lexicon.frame} holds {listed}, that is {seen} {noun}.",
        )

    def _exist(self) -> Task | None:
        """Half the questions are about what is there; the others change one fact."""
        scene, lexicon, rng = self.scene, self.lexicon, self.rng
        index = rng.randrange(len(scene.subjects))
        subject = scene.subjects[index]
        said = self.stated is None or index in self.stated.colours
        form, colour, place = (
            lexicon.forms[subject.form],
            lexicon.colours[subject.colour],
            PLACES[subject.place],
        )
        shapes: tuple[str, ...] = ("form", "form", "form colour", "form place", "form colour place")
        if self.balanced and self.stated is not None:
            others = set(self.words("colours")) - {colour}
            shapes = ("form place", "form place", "form colour place", *(["form colour"] if others else []))
        shape = rng.choice(shapes)
        if not said:
            shape = "form place" if self.balanced and self.stated else shape.replace(" colour", "")
        if rng.random() < 0.5:
            kinds = shape.split()
            wrong = rng.choice(kinds)
            if self.balanced and wrong == "form" and len(set(_forms(scene, lexicon))) == 1:
                wrong = kinds[-1]
            which = {"form": "forms", "colour": "colours", "place": "places"}[wrong]
            present = set(_forms(scene, lexicon)) if shape == "form" else {form}
            options = [w for w in self.words(which) if w not in present | {colour, place}]
            if not options:
                shape, which, wrong = "form place", "places", "place"
                options = [w for w in self.words("places") if w != place]
            value = rng.choice(options)
            form = value if wrong == "form" else form
            colour = value if wrong == "colour" else colour
            place = value if wrong == "place" else place
        thing = form
        if "colour" in shape:
            thing += f" with {a(colour)} {lexicon.colour_attribute}"
        if "place" in shape:
            thing += f" at the {place}"
        held = any(
            lexicon.forms[s.form] == form
            and ("colour" not in shape or lexicon.colours[s.colour] == colour)
            and ("place" not in shape or PLACES[s.place] == place)
            for s in scene.subjects
        )
        verdicts = [held != (rng.random() < noise) for noise in self.noise]
        self.consistent = verdicts[0] == verdicts[1]
        listed = joined([a(subject_phrase(s, lexicon)) for s in scene.subjects])
        return Task(
            "exist",
            _fill("exist", rng, lexicon, a_thing=a(thing)),
            "yes" if verdicts[0] else "no",
            f"The {lexicon.frame} holds {listed}, so the answer is {'yes' if verdicts[1] else 'no'}.",
        )

    def _reverse(self) -> Task | None:
        scene, lexicon, rng = self.scene, self.lexicon, self.rng
        ways = []
        for index, subject in enumerate(scene.subjects):
            if self.stated is None or index in self.stated.colours:
                same = {s.form for s in scene.subjects if s.colour == subject.colour}
                ways.append((index, True)) if len(same) == 1 else None
            if self.stated is None or index in self.stated.marks:
                same = {s.form for s in scene.subjects if s.mark == subject.mark}
                ways.append((index, False)) if len(same) == 1 else None
        if not ways:
            return None
        index, colour = rng.choice(ways)
        subject = scene.subjects[index]
        trait = _trait(subject, lexicon, colour=colour)
        precise, seen = self._two(lexicon.forms[subject.form], "forms")
        return Task(
            "reverse",
            _fill("reverse", rng, lexicon, a_trait=trait),
            precise,
            f"The {lexicon.noun} with {trait} is the {seen} at the {PLACES[subject.place]}.",
        )

    def _rule(self) -> Task | None:
        rule = rule_of(self.scene)
        if rule is None or (self.stated is not None and not self.stated.rule):
            return None
        lexicon = self.lexicon
        precise, seen = self._two(lexicon.rules[rule], "rules")
        listed = joined([a(form) for form in _forms(self.scene, lexicon)])
        return Task(
            "rule",
            _fill("rule", self.rng, lexicon),
            precise,
            f"The {lexicon.frame} holds {listed}, so the {lexicon.rule_attribute} is {seen}.",
        )

    def _listed(self, kind: str, glue: str) -> Task | None:
        scene, lexicon = self.scene, self.lexicon
        forms = list(dict.fromkeys(_forms(scene, lexicon))) if kind == "list" else _forms(scene, lexicon)
        if kind == "order" and len(forms) < 2:
            return None
        both = []
        for noise in self.noise:
            wrong = list(forms)
            if self.rng.random() < noise:
                at = self.rng.randrange(len(wrong))
                wrong[at] = _pick(self.rng, self.words("forms"), besides=wrong[at]) or wrong[at]
            both.append(wrong)
        self.consistent = both[0] == both[1]
        places = [PLACES[s.place] for s in scene.subjects]
        if kind == "list":
            told = f"The {lexicon.plural} on the {lexicon.frame} are {joined([a(form) for form in both[1]])}."
        else:
            pairs = zip(both[1], places, strict=True)
            told = f"The {lexicon.plural} stand in order: {joined([f'{a(f)} at the {p}' for f, p in pairs])}."
        return Task(kind, _fill(kind, self.rng, lexicon), glue.join(both[0]), told)

    def _list(self) -> Task | None:
        return self._listed("list", ", ")

    def _order(self) -> Task | None:
        return self._listed("order", ", then ")

    def _odd(self) -> Task | None:
        subject = odd_one(self.scene)
        if subject is None or (
            self.stated is not None and len(self.stated.colours) < len(self.scene.subjects)
        ):
            return None
        lexicon = self.lexicon
        if sum(s.form == subject.form for s in self.scene.subjects) > 1:
            return None
        precise, seen = self._two(lexicon.forms[subject.form], "forms")
        return Task(
            "odd",
            _fill("odd", self.rng, lexicon),
            precise,
            f"Only the {seen} has {_trait(subject, lexicon, colour=True)}, so it is unlike the others.",
        )

    def _describe(self) -> Task:
        lexicon = self.lexicon
        n = len(self.scene.subjects)
        noun = lexicon.noun if n == 1 else lexicon.plural
        listed = joined([a(subject_phrase(s, lexicon)) for s in self.scene.subjects])
        return Task(
            "describe",
            _fill("describe", self.rng, lexicon),
            f"{NUMBERS[n]} {noun}",
            f"The {lexicon.frame} holds {listed}.",
        )

    def _story(self) -> Task:
        lexicon = self.lexicon
        subject = self.rng.choice(self.scene.subjects)
        form = lexicon.forms[subject.form]
        end = self.rng.choice(_ENDS)
        question = _fill("story", self.rng, lexicon)
        other_end = self.rng.choice(_ENDS)
        return Task(
            "story",
            question,
            f"the {form} {end}",
            f"Once upon a time {a(form)} lived on {a(lexicon.frame)}, and in the end it {other_end}.",
        )


def with_choices(question: str, options: list[str] | tuple[str, ...]) -> str:
    """Return the question with its lettered choices on a second line (the form of PMC-VQA's prompt)."""
    lettered = " ".join(f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False))
    return f"{question}\nThe choices are: {lettered}"
