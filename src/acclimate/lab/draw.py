"""Draws scenes: 64 by 64 RGB pictures with seeded jitter in place, size, tilt, shade and background."""

import io
import math
import random
from collections.abc import Callable, Sequence

from PIL import Image, ImageDraw

from acclimate.lab.world import DOMAINS, Domain, Scene, Subject

SIDE_PX = 64
_SCALE = 2
"""Everything is drawn at twice the size and averaged down."""

Colour = tuple[int, int, int]
Point = tuple[float, float]

_CENTRES = ((32, 32), (96, 32), (32, 96), (96, 96), (64, 64))


def _shade(colour: Colour, factor: float) -> Colour:
    red, green, blue = (max(0, min(255, round(channel * factor))) for channel in colour)
    return red, green, blue


def _jitter(colour: Colour, rng: random.Random, amount: int = 14) -> Colour:
    red, green, blue = (max(0, min(255, channel + rng.randint(-amount, amount))) for channel in colour)
    return red, green, blue


def _polygon(points: Sequence[Point], centre: Point, size: float, tilt: float) -> list[Point]:
    cos, sin = math.cos(tilt), math.sin(tilt)
    return [
        (centre[0] + size * (x * cos - y * sin), centre[1] + size * (x * sin + y * cos)) for x, y in points
    ]


def _regular(n: int, phase: float, inner: float = 1.0) -> list[Point]:
    points = []
    count = n if inner == 1.0 else 2 * n
    for i in range(count):
        angle = phase + 2 * math.pi * i / count
        radius = inner if inner != 1.0 and i % 2 else 1.0
        points.append((radius * math.cos(angle), radius * math.sin(angle)))
    return points


_HEART = [
    (
        0.062 * 16 * math.sin(t / 12 * math.pi) ** 3,
        -0.062
        * (
            13 * math.cos(t / 12 * math.pi)
            - 5 * math.cos(2 * t / 12 * math.pi)
            - 2 * math.cos(3 * t / 12 * math.pi)
            - math.cos(4 * t / 12 * math.pi)
        ),
    )
    for t in range(24)
]
_ARM = 0.36
_CROSS: list[Point] = [
    (-_ARM, -1), (_ARM, -1), (_ARM, -_ARM), (1, -_ARM), (1, _ARM), (_ARM, _ARM),
    (_ARM, 1), (-_ARM, 1), (-_ARM, _ARM), (-1, _ARM), (-1, -_ARM), (-_ARM, -_ARM),
]  # fmt: skip
_ARROW: list[Point] = [(0, -1), (0.85, 0), (0.35, 0), (0.35, 1), (-0.35, 1), (-0.35, 0), (-0.85, 0)]
_OUTLINES: dict[str, list[Point]] = {
    "circle": _regular(28, 0),
    "square": [(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)],
    "triangle": _regular(3, -math.pi / 2),
    "star": _regular(5, -math.pi / 2, 0.42),
    "cross": _CROSS,
    "heart": _HEART,
    "diamond": [(0, -1.05), (0.68, 0), (0, 1.05), (-0.68, 0)],
    "arrow": _ARROW,
}


def _mask_shape(draw: ImageDraw.ImageDraw, shape: str, centre: Point, size: float, tilt: float) -> None:
    x, y = centre
    box = (x - size, y - size, x + size, y + size)
    if shape == "ring":
        draw.ellipse(box, fill=255)
        hole = size * 0.5
        draw.ellipse((x - hole, y - hole, x + hole, y + hole), fill=0)
    elif shape == "moon":
        draw.ellipse(box, fill=255)
        dx = size * 0.62 * math.cos(tilt)
        dy = size * 0.62 * math.sin(tilt)
        hole = size * 0.86
        draw.ellipse((x + dx - hole, y + dy - hole, x + dx + hole, y + dy + hole), fill=0)
    else:
        draw.polygon(_polygon(_OUTLINES[shape], centre, size, tilt), fill=255)


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, fill: Colour) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


def _draw_general(
    image: Image.Image, shape: str, colour: Colour, mark: int, centre: Point, size: float, rng: random.Random
) -> None:
    tilt = rng.uniform(-0.22, 0.22)
    mask = Image.new("L", image.size, 0)
    _mask_shape(ImageDraw.Draw(mask), shape, centre, size, tilt)
    fill = Image.new("RGB", image.size, colour)
    pen = ImageDraw.Draw(fill)
    light = (250, 250, 245) if sum(colour) < 500 else (70, 60, 60)
    if mark == 1:
        step, width = 10, 4
        offset = rng.randint(0, step - 1)
        for i in range(-image.size[1], image.size[0] + image.size[1], step):
            pen.line(
                (i + offset, 0, i + offset + image.size[1] * 0.4, image.size[1]), fill=light, width=width
            )
    elif mark == 2:
        step = 11
        ox, oy = rng.randint(0, step - 1), rng.randint(0, step - 1)
        for ix, px in enumerate(range(ox, image.size[0], step)):
            for py in range(oy + (step // 2 if ix % 2 else 0), image.size[1], step):
                _disc(pen, px, py, 2.6, light)
    image.paste(fill, (0, 0), mask)


def _texture(
    draw: ImageDraw.ImageDraw, mark: int, x: float, y: float, radius: float, rng: random.Random
) -> None:
    """Cells' marks: smooth, granular (dark specks), vacuolated (pale holes)."""
    if mark == 0:
        return
    for _ in range(16 if mark == 1 else 6):
        angle, reach = rng.uniform(0, 2 * math.pi), radius * rng.uniform(0.55, 0.9)
        px, py = x + reach * math.cos(angle), y + reach * math.sin(angle)
        _disc(draw, px, py, 1.7 if mark == 1 else 4.2, (70, 30, 50) if mark == 1 else (252, 246, 250))


def _draw_cell(
    image: Image.Image, shape: str, colour: Colour, mark: int, centre: Point, size: float, rng: random.Random
) -> None:
    draw = ImageDraw.Draw(image)
    x, y = centre
    nucleus = _jitter((75, 45, 120), rng, 10)
    if shape == "platelet":
        size *= 0.62
    _disc(draw, x, y, size, _shade(colour, 0.8))
    _disc(draw, x, y, size * 0.93, colour)
    _texture(draw, mark, x, y, size, rng)
    tilt = rng.uniform(0, 2 * math.pi)
    cos, sin = math.cos(tilt), math.sin(tilt)
    if shape == "lymphocyte":
        _disc(draw, x, y, size * 0.66, nucleus)
    elif shape == "monocyte":
        _disc(draw, x, y, size * 0.62, nucleus)
        _disc(draw, x + size * 0.42 * cos, y + size * 0.42 * sin, size * 0.34, colour)
    elif shape == "neutrophil":
        for i in range(3):
            angle = tilt + 2 * math.pi * i / 3
            _disc(
                draw,
                x + size * 0.38 * math.cos(angle),
                y + size * 0.38 * math.sin(angle),
                size * 0.27,
                nucleus,
            )
    elif shape == "eosinophil":
        for side in (-1, 1):
            _disc(draw, x + side * size * 0.36 * cos, y + side * size * 0.36 * sin, size * 0.31, nucleus)
    elif shape == "basophil":
        _disc(draw, x, y, size * 0.8, nucleus)
        for side in (-1, 1):
            _disc(
                draw, x + side * size * 0.3 * cos, y + side * size * 0.3 * sin, size * 0.17, (235, 225, 245)
            )


def _draw_meal(
    image: Image.Image, shape: str, colour: Colour, mark: int, centre: Point, size: float, rng: random.Random
) -> None:
    draw = ImageDraw.Draw(image)
    x, y = centre
    _disc(draw, x, y, size, colour)
    tilt = rng.uniform(-0.3, 0.3)
    if shape == "falafel":
        for i in range(3):
            angle = tilt + 2 * math.pi * i / 3 - math.pi / 2
            _disc(
                draw,
                x + size * 0.36 * math.cos(angle),
                y + size * 0.36 * math.sin(angle),
                size * 0.3,
                (120, 85, 40),
            )
    elif shape == "quiche":
        draw.polygon(_polygon(_OUTLINES["square"], centre, size * 0.72, tilt), fill=(245, 230, 180))
        draw.polygon(_polygon(_OUTLINES["square"], centre, size * 0.4, tilt), fill=(220, 195, 130))
    elif shape == "brisket":
        for i in (-1, 0, 1):
            bar = [
                (-0.75, i * 0.5 - 0.17),
                (0.75, i * 0.5 - 0.17),
                (0.75, i * 0.5 + 0.17),
                (-0.75, i * 0.5 + 0.17),
            ]
            draw.polygon(_polygon(bar, centre, size * 0.85, tilt), fill=(165, 120, 70))
    elif shape == "taco":
        wedge = _polygon(_OUTLINES["triangle"], centre, size * 0.85, tilt)
        draw.polygon(wedge, fill=(252, 248, 235))
    elif shape == "pretzel":
        for i in (-1, 1):
            cx, cy = x + i * size * 0.34 * math.cos(tilt), y + i * size * 0.34 * math.sin(tilt)
            _disc(draw, cx, cy, size * 0.42, (150, 35, 30))
            _disc(draw, cx, cy, size * 0.18, (225, 120, 95))
    else:  # edamame
        for i in range(5):
            angle = tilt + 2 * math.pi * i / 5
            _disc(
                draw,
                x + size * 0.5 * math.cos(angle),
                y + size * 0.5 * math.sin(angle),
                size * 0.2,
                (140, 205, 80),
            )
        _disc(draw, x, y, size * 0.2, (140, 205, 80))
    _garnish(draw, mark, x, y, size, rng)


def _garnish(
    draw: ImageDraw.ImageDraw, mark: int, x: float, y: float, size: float, rng: random.Random
) -> None:
    """Meals' marks: bare, sesame (pale specks), chive (green strokes)."""
    if mark == 1:
        for _ in range(14):
            angle, reach = rng.uniform(0, 2 * math.pi), size * rng.uniform(0, 0.9)
            _disc(draw, x + reach * math.cos(angle), y + reach * math.sin(angle), 1.8, (255, 250, 225))
    elif mark == 2:
        for _ in range(7):
            px, py = x + size * rng.uniform(-0.65, 0.65), y + size * rng.uniform(-0.65, 0.65)
            draw.line((px - 5, py - 3, px + 5, py + 3), fill=(25, 95, 40), width=3)


_GROUNDS: dict[str, tuple[Colour, Colour]] = {
    "sky": ((170, 205, 235), (205, 225, 240)),
    "cloth": ((225, 215, 195), (210, 198, 176)),
    "wall": ((205, 205, 205), (185, 185, 188)),
    "fair": ((240, 232, 245), (225, 215, 235)),
    "road": ((150, 152, 155), (135, 137, 140)),
    "tank": ((150, 215, 215), (125, 195, 200)),
    "garden": ((190, 220, 165), (172, 205, 148)),
    "case": ((75, 75, 95), (88, 88, 108)),
    "night": ((45, 50, 85), (55, 60, 100)),
    "tray": ((195, 195, 205), (178, 178, 190)),
    "harbour": ((185, 210, 225), (120, 165, 195)),
    "jacket": ((100, 110, 120), (112, 122, 132)),
    "smear": ((246, 236, 242), (240, 226, 236)),
    "plate": ((112, 96, 88), (248, 248, 250)),
}
"""Two colours of each background."""


def _paint_lines(draw: ImageDraw.ImageDraw, kind: str, side: int, second: Colour, rng: random.Random) -> None:
    if kind in ("sky", "harbour", "tank", "night"):
        level = side * rng.uniform(0.6, 0.75)
        draw.rectangle((0, level, side, side), fill=second)
    elif kind in ("wall", "tray", "jacket"):
        for i in range(0, side, 21):
            draw.line((0, i, side, i), fill=second, width=3)
            if kind == "wall":
                draw.line((i, 0, i, side), fill=second, width=3)
    elif kind in ("cloth", "fair", "case"):
        for i in range(-side, side, 16):
            draw.line((i, 0, i + side, side), fill=second, width=5)
    elif kind == "road":
        draw.rectangle((side * 0.46, 0, side * 0.54, side), fill=second)


def _paint_still(draw: ImageDraw.ImageDraw, kind: str, side: int, second: Colour, rng: random.Random) -> None:
    if kind == "garden":
        for _ in range(12):
            _disc(draw, rng.uniform(0, side), rng.uniform(0, side), 8, second)
    elif kind == "smear":
        for _ in range(6):
            px, py = rng.uniform(0, side), rng.uniform(0, side)
            _disc(draw, px, py, 9, (240, 205, 205))
            _disc(draw, px, py, 4, second)
    elif kind == "plate":
        _disc(draw, side / 2, side / 2, side * 0.56, second)
        draw.ellipse((side * 0.06, side * 0.06, side * 0.94, side * 0.94), outline=(220, 220, 226), width=2)


def _background(domain: Domain, side: int, rng: random.Random) -> Image.Image:
    first, second = (_jitter(colour, rng, 6) for colour in _GROUNDS[domain.background])
    image = Image.new("RGB", (side, side), first)
    draw = ImageDraw.Draw(image)
    paint = _paint_still if domain.background in ("garden", "smear", "plate") else _paint_lines
    paint(draw, domain.background, side, second, rng)
    return image


_ROUTINES: dict[str, Callable[..., None]] = {"cells": _draw_cell, "meals": _draw_meal}


def _place(domain: Domain, image: Image.Image, subject: Subject, rng: random.Random) -> None:
    x, y = _CENTRES[subject.place]
    single = subject.place == 4
    reach = 9 if single else 4
    centre = (x + rng.uniform(-reach, reach), y + rng.uniform(-reach, reach))
    size = rng.uniform(36, 46) if single else rng.uniform(21, 26)
    colour = _jitter(domain.palette[subject.colour], rng)
    routine = _ROUTINES.get(domain.key, _draw_general)
    routine(image, domain.form_shapes[subject.form], colour, subject.mark, centre, size, rng)


def draw(scene: Scene, seed: str) -> Image.Image:
    """Return the scene as a 64 by 64 RGB picture; the seed decides the jitter."""
    rng = random.Random(f"draw/{scene.key}/{seed}")
    domain = DOMAINS[scene.domain]
    image = _background(domain, SIDE_PX * _SCALE, rng)
    for subject in scene.subjects:
        _place(domain, image, subject, rng)
    return image.reduce(_SCALE)


def png(image: Image.Image) -> bytes:
    """Return the picture's PNG bytes."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()
