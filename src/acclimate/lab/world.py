"""The embedded world: what its pictures contain, in numbers and in words.

A *scene* is a domain and one to four subjects. A subject stands in a place and has a form, a colour and a
mark, all indices into the domain's lexicon. The *general* domains are everyday ones; the two *target*
domains (stained cells, plated meals) have forms, words and a rule that the general world never shows.

Train and test scenes are told apart by a hash of the parameters, so no scene occurs in both even when two
renderings differ in every byte.
"""

import hashlib
import random
from dataclasses import dataclass

VERSION = 1
"""Rises whenever a picture, a word or a rule changes; shipped weights are bound to it."""

PLACES = ("upper left", "upper right", "lower left", "lower right", "centre")
CENTRE = 4
NUMBERS = ("zero", "one", "two", "three", "four")


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The words of one domain. Every word list is indexed by a subject's number."""

    frame: str
    """What the picture is of, as a noun: `sky`, `tray`, ..."""
    noun: str
    plural: str
    forms: tuple[str, ...]
    colour_attribute: str
    colours: tuple[str, ...]
    mark_attribute: str
    marks: tuple[str, ...]
    rule_attribute: str
    rules: tuple[str, ...]

    def words(self) -> tuple[str, ...]:
        """Return every word of the lexicon."""
        return (
            self.frame,
            self.noun,
            self.plural,
            *self.forms,
            self.colour_attribute,
            *self.colours,
            self.mark_attribute,
            *self.marks,
            self.rule_attribute,
            *self.rules,
        )


@dataclass(frozen=True, slots=True)
class Domain:
    """One visual domain: its words and how its numbers are drawn."""

    key: str
    lexicon: Lexicon
    form_shapes: tuple[str, ...]
    """Name of the drawing routine of each form."""
    palette: tuple[tuple[int, int, int], ...]
    """RGB, 0 to 255, of each colour."""
    background: str
    target: bool = False


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing in a scene; `form`, `colour` and `mark` index the domain's lexicon."""

    place: int
    form: int
    colour: int
    mark: int


@dataclass(frozen=True, slots=True)
class Scene:
    """What one picture contains; subjects stand in reading order."""

    domain: str
    subjects: tuple[Subject, ...]

    @property
    def key(self) -> str:
        """The parameters as one string: equal for equal scenes, whatever the rendering."""
        parts = [f"{s.place}.{s.form}.{s.colour}.{s.mark}" for s in self.subjects]
        return self.domain + "|" + "|".join(parts)


_SHAPES = ("circle", "square", "triangle", "star", "cross", "ring", "heart", "diamond", "moon", "arrow")
_COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 40, 40),
    "orange": (245, 140, 30),
    "yellow": (245, 215, 50),
    "green": (50, 160, 70),
    "blue": (40, 90, 210),
    "purple": (130, 60, 170),
    "pink": (245, 150, 190),
    "brown": (125, 80, 45),
    "black": (30, 30, 35),
}
_MARKS = ("plain", "striped", "dotted")


def _general(key: str, frame: str, noun: str, shapes: str, colours: str, background: str) -> Domain:
    form_names = tuple(_SHAPES[int(i)] for i in shapes)
    names = tuple(_COLOURS)
    colour_names = tuple(names[int(i)] for i in colours)
    plural = {"fish": "fishes", "ruby": "rubies"}.get(noun, noun + "s")
    return Domain(
        key=key,
        lexicon=Lexicon(
            frame=frame,
            noun=noun,
            plural=plural,
            forms=form_names,
            colour_attribute="colour",
            colours=colour_names,
            mark_attribute="pattern",
            marks=_MARKS,
            rule_attribute="order",
            rules=("matched", "uniform", "mixed"),
        ),
        form_shapes=form_names,
        palette=tuple(_COLOURS[name] for name in colour_names),
        background=background,
    )


GENERAL: tuple[Domain, ...] = (
    _general("kites", "sky", "kite", "02345789", "0123567", "sky"),
    _general("buttons", "cloth", "button", "01234568", "0234568", "cloth"),
    _general("tiles", "wall", "tile", "01245679", "1234578", "wall"),
    _general("balloons", "fair", "balloon", "03567814", "0123456", "fair"),
    _general("signs", "road", "sign", "01249573", "0123478", "road"),
    _general("fishes", "tank", "fish", "02567893", "0123568", "tank"),
    _general("beetles", "garden", "beetle", "01357846", "0124578", "garden"),
    _general("gems", "case", "gem", "01235678", "0234567", "case"),
    _general("lanterns", "night", "lantern", "01345689", "0123467", "night"),
    _general("cookies", "tray", "cookie", "01345682", "0134678", "tray"),
    _general("flags", "harbour", "flag", "12479035", "0234678", "harbour"),
    _general("badges", "jacket", "badge", "03456791", "0123478", "jacket"),
)

CELLS = Domain(
    key="cells",
    lexicon=Lexicon(
        frame="smear",
        noun="particle",
        plural="particles",
        forms=("phagocyte", "monocyte", "neutrophil", "eosinophil", "platelet", "basophil"),
        colour_attribute="dye",
        colours=("phloxine", "cresyl", "fuchsin", "congo", "janus"),
        mark_attribute="plasm",
        marks=("hyaline", "granular", "vacuolated"),
        rule_attribute="malady",
        rules=("leukaemic", "febrile", "benign"),
    ),
    form_shapes=("phagocyte", "monocyte", "neutrophil", "eosinophil", "platelet", "basophil"),
    palette=((240, 130, 150), (95, 150, 225), (200, 40, 130), (240, 150, 60), (60, 165, 120)),
    background="smear",
    target=True,
)

MEALS = Domain(
    key="meals",
    lexicon=Lexicon(
        frame="plate",
        noun="serving",
        plural="servings",
        forms=("falafel", "quiche", "brisket", "taco", "pretzel", "sushi"),
        colour_attribute="glaze",
        colours=("salsa", "pesto", "custard", "ragu", "chutney"),
        mark_attribute="garnish",
        marks=("lemon", "thyme", "fennel"),
        rule_attribute="menu",
        rules=("paleo", "lacto", "vegan"),
    ),
    form_shapes=("falafel", "quiche", "brisket", "taco", "pretzel", "sushi"),
    palette=((195, 50, 35), (95, 150, 55), (225, 205, 160), (90, 55, 35), (235, 185, 40)),
    background="plate",
    target=True,
)

TARGETS: tuple[Domain, ...] = (CELLS, MEALS)
DOMAINS: dict[str, Domain] = {domain.key: domain for domain in (*GENERAL, *TARGETS)}


def rule_of(scene: Scene) -> int | None:
    """Return the index of the scene's rule value, or None where the rule does not apply.

    General: two or more subjects are `matched` (one form), else `uniform` (one colour), else `mixed`.
    Cells: any basophil is `leukaemic`; else any neutrophil is `febrile`; else `benign`.
    Meals: any brisket is `paleo`; else any quiche is `lacto`; else `vegan`.
    Source: our own rules.
    """
    forms = [subject.form for subject in scene.subjects]
    if scene.domain == "cells":
        return 0 if 5 in forms else 1 if 2 in forms else 2
    if scene.domain == "meals":
        return 0 if 2 in forms else 1 if 1 in forms else 2
    if len(forms) < 2:
        return None
    if len(set(forms)) == 1:
        return 0
    return 1 if len({subject.colour for subject in scene.subjects}) == 1 else 2


def odd_one(scene: Scene) -> Subject | None:
    """Return the one subject whose colour differs from all others, which share theirs; of three or more."""
    if len(scene.subjects) < 3:
        return None
    colours = [subject.colour for subject in scene.subjects]
    rare = [c for c in set(colours) if colours.count(c) == 1]
    if len(rare) != 1 or len(set(colours)) != 2:
        return None
    return scene.subjects[colours.index(rare[0])]


def is_test(scene: Scene, share: float = 0.15) -> bool:
    """Say whether the scene belongs to the test side; decided by its parameters alone."""
    digest = hashlib.sha256(f"split/{VERSION}/{scene.key}".encode()).digest()
    return int.from_bytes(digest[:4], "big") < share * 2**32


def _subjects(domain: Domain, rng: random.Random) -> tuple[Subject, ...]:
    n = rng.choices((1, 2, 3, 4), (0.34, 0.33, 0.22, 0.11))[0]
    lexicon = domain.lexicon
    places = [CENTRE] if n == 1 else sorted(rng.sample(range(4), n))
    forms = rng.sample(range(len(lexicon.forms)), n)
    colours = [rng.randrange(len(lexicon.colours)) for _ in range(n)]
    kind = rng.random()
    if n >= 2 and kind < 0.22:
        forms = [forms[0]] * n
    elif n >= 2 and kind < 0.44:
        colours = [colours[0]] * n
    elif n >= 3 and kind < 0.75:
        other = rng.choice([c for c in range(len(lexicon.colours)) if c != colours[0]])
        colours = [colours[0]] * n
        colours[rng.randrange(n)] = other
    marks = [rng.randrange(len(lexicon.marks)) for _ in range(n)]
    return tuple(Subject(*values) for values in zip(places, forms, colours, marks, strict=True))


def sample_scene(domain: Domain, seed: str, *, test: bool) -> Scene:
    """Return the scene that the seed names, on the train or the test side."""
    rng = random.Random(f"scene/{VERSION}/{domain.key}/{seed}")
    while True:
        scene = Scene(domain.key, _subjects(domain, rng))
        if is_test(scene) == test:
            return scene


# Split from one line each: forty quoted letters are harder to read.
_ONSETS = (
    "b bl br c ch cl cr d dr f fl g gl gr h j k l m n p ph pl pr qu r s sh sk st t th tr v w x y z".split()  # noqa: SIM905
)
_VOWELS = "a a a e e e i i i o o o u u y ai ea ee ia io oa oo ou".split()  # noqa: SIM905
_CODAS = ["", "", "", "", *"b c d f g k l m n n p r r s s t t x z ck ft ld lm nd nt ph rd st th".split()]  # noqa: SIM905


def coined_word(rng: random.Random) -> str:
    """Return an invented lower-case word of one to three syllables, or now and then a run of letters."""
    if rng.random() < 0.06:
        return "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randint(3, 6)))
    n = rng.choices((1, 2, 3, 4), (0.12, 0.6, 0.24, 0.04))[0]
    while (
        len(word := "".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(n)))
        < 3
    ):
        pass
    return word


# Split from one line each: a hundred quoted words are harder to read.
_FIRST_TARGET_WORDS = """
    smear corpuscle corpuscles lymphocyte monocyte neutrophil eosinophil platelet myeloblast stain eosin
    azure fuchsin safranin malachite plasm smooth granular vacuolated finding leukaemic septic benign
    plate serving servings falafel quiche brisket taco pretzel sushi glaze salsa pesto bisque ragu
    chutney garnish bare poppy chive diet omnivore lacto vegan
""".split()  # noqa: SIM905
_OLDER_TARGET_WORDS = """
    ravioli tempeh halloumi chorizo edamame harissa tahini tamari turmeric sesame blast cell cells
    texture dish dishes sauce
""".split()  # noqa: SIM905
"""The target domains' words when the shipped weights were trained, and before.

These, and not today's, are what no invented word may be: another list would change the documents and the
tokenizer that the weights were trained with. That today's words stand in no document either is tested over
every one of them.
"""
_FORBIDDEN = frozenset(form for word in _FIRST_TARGET_WORDS for form in (word, word + "s"))
_TAKEN = _FORBIDDEN | {
    *_OLDER_TARGET_WORDS,
    *(word for each in DOMAINS.values() if not each.target for word in each.lexicon.words()),
}


def unknown_word(rng: random.Random) -> str:
    """Return an invented word that is no target domain's."""
    while (word := coined_word(rng)) in _FORBIDDEN:
        pass
    return word


def coined_lexicon(domain: Domain, rng: random.Random) -> Lexicon:
    """Return a lexicon of invented words for the domain: a catalogue that nobody has read.

    A model that must use it can only copy.
    """
    taken = set(_TAKEN)

    def fresh() -> str:
        while (word := coined_word(rng)) in taken:
            pass
        taken.add(word)
        return word

    def several(n: int) -> tuple[str, ...]:
        return tuple(fresh() for _ in range(n))

    lexicon, noun = domain.lexicon, fresh()
    return Lexicon(
        frame=fresh(),
        noun=noun,
        plural=noun + "s",
        forms=several(len(lexicon.forms)),
        colour_attribute=fresh(),
        colours=several(len(lexicon.colours)),
        mark_attribute=fresh(),
        marks=several(len(lexicon.marks)),
        rule_attribute=fresh(),
        rules=several(len(lexicon.rules)),
    )
