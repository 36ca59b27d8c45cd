"""The 19 picture corruptions: stronger with severity, the same everywhere, whole for any picture."""

import hashlib
import io
import os
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acclimate.evaluate.corruptions import (
    CORRUPTIONS,
    EXTRA,
    IMAGENET_C,
    PLAIN,
    RANDOM,
    SEVERITIES,
    corrupt,
    corrupted_png,
)
from acclimate.evaluate.corruptions_blur import _exchange
from acclimate.evaluate.corruptions_exact import (
    ONE,
    Draws,
    bell_weights,
    dragged,
    filtered,
    plasma,
    smooth,
    whole_weights,
)
from acclimate.evaluate.corruptions_noise import _poisson_table

UNEVEN = {"glass_blur": {(1, 2), (3, 4)}, "frost": {(3, 4)}, "saturate": {(2, 3)}}
"""Steps of severity that the published constants do not put in the order of PSNR. The package's own pictures
rise at the same steps (tests/parity/corruptions_oracle.json, docs/robustness.md)."""
N_KEYS = {"fog": 16, "frost": 100}
"""Draws a picture where one draw differs from another by more than a severity from the next."""


def scene(seed: int, size: tuple[int, int] = (96, 96)) -> Image.Image:
    """A picture with flat colours, edges, a slope and texture, from whole-number arithmetic alone."""
    bits = np.random.PCG64(seed)
    width, height = size
    down, across = np.mgrid[0:height, 0:width]
    pixels = np.stack([across * 190 // width + 30, down * 170 // height + 40, (down + across) % 160 + 50], 2)
    for _ in range(12):
        word = int(bits.random_raw(1)[0])
        left, top = word % width, (word >> 12) % height
        right, bottom = left + 4 + (word >> 24) % 40, top + 4 + (word >> 32) % 40
        pixels[top:bottom, left:right] = [(word >> shift) % 256 for shift in (40, 48, 56)]
    grain = bits.random_raw(height * width).reshape(height, width, 1) % 17
    return Image.fromarray(np.clip(pixels + grain.astype(np.int64) - 8, 0, 255).astype(np.uint8))


@cache
def scenes() -> tuple[Image.Image, ...]:
    return tuple(
        scene(seed, size) for seed, size in enumerate([(96, 96), (120, 80), (72, 110), (128, 96)] * 3)
    )


def psnr(clean: Image.Image, made: Image.Image) -> float:
    change = np.asarray(made).astype(np.float64) - np.asarray(clean)
    return float(10 * np.log10(255**2 / (change * change).mean()))


def digest(image: Image.Image) -> str:
    return hashlib.sha256(f"{image.mode} {image.size} ".encode() + image.tobytes()).hexdigest()[:12]


def test_all_nineteen_are_here() -> None:
    assert (len(IMAGENET_C), len(EXTRA)) == (15, 4)
    assert set(PLAIN) | set(RANDOM) == set(CORRUPTIONS)
    assert not set(PLAIN) & set(RANDOM)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_pictures_get_worse_with_severity(name: str) -> None:
    n_keys = 1 if name in PLAIN else N_KEYS.get(name, 3)
    means = [
        float(
            np.mean(
                [
                    psnr(each, corrupt(each, name, severity, f"{at} {key}"))
                    for at, each in enumerate(scenes())
                    for key in range(n_keys)
                ]
            )
        )
        for severity in SEVERITIES
    ]
    rising = {(at, at + 1) for at in (1, 2, 3, 4) if means[at] >= means[at - 1]}
    assert rising <= UNEVEN.get(name, set()), [round(mean, 2) for mean in means]
    assert means[4] < means[0]


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_key_alone_decides_the_noise(name: str) -> None:
    clean = scene(1)
    first = corrupt(clean, name, 3, "one").tobytes()
    assert corrupt(clean, name, 3, "one").tobytes() == first
    assert (corrupt(clean, name, 3, "two").tobytes() == first) == (name in PLAIN)


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("size", [(40, 23), (23, 40), (320, 8)])
def test_size_and_mode_stay_and_the_picture_given_too(name: str, size: tuple[int, int]) -> None:
    clean = scene(2, size)
    before = clean.tobytes()
    made = corrupt(clean, name, 5, "key")
    assert (made.size, made.mode) == (size, "RGB")
    assert made.tobytes() != before
    assert clean.tobytes() == before


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2), (3, 5), (7, 7), (16, 17)])
@pytest.mark.parametrize("shade", [None, 0, 255])
def test_tiny_and_uniform_pictures(size: tuple[int, int], shade: int | None) -> None:
    clean = scene(3, size) if shade is None else Image.new("RGB", size, (shade,) * 3)
    for name in CORRUPTIONS:
        for severity in SEVERITIES:
            assert corrupt(clean, name, severity, "key").size == size


@pytest.mark.parametrize("name", ["gauss", "", "Fog", "imagenet_c"])
def test_an_unknown_name_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(ValueError, match=r"known are gaussian_noise, .*, saturate"):
        corrupt(scene(0), name, 1, "key")


@pytest.mark.parametrize("severity", [0, 6, -1])
def test_an_unknown_severity_is_refused_with_the_known_ones(severity: int) -> None:
    with pytest.raises(ValueError, match="known are 1, 2, 3, 4, 5"):
        corrupt(scene(0), "fog", severity, "key")


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "I;16", "CMYK"])
def test_a_picture_in_another_mode_is_refused(mode: str) -> None:
    with pytest.raises(ValueError, match="not in RGB"):
        corrupt(Image.new(mode, (8, 8)), "fog", 1, "key")


def test_png_holds_the_same_pixels() -> None:
    clean = scene(4)
    stored = corrupted_png(clean, "snow", 2, "key")
    assert stored == corrupted_png(clean, "snow", 2, "key")
    with Image.open(io.BytesIO(stored)) as opened:
        assert opened.format == "PNG"
        assert opened.tobytes() == corrupt(clean, "snow", 2, "key").tobytes()


# --- the same bytes everywhere -------------------------------------------------------------------


GOLDEN = {
    "gaussian_noise": "61c4be5266ad 0110008fc370 afa560af273e c06bd98e9094 43e2987fea9e",
    "shot_noise": "09fc0de676ba 01ce66a5232a 8542fe070a5f 3de33c2b48ea aec3dcd2ff8b",
    "impulse_noise": "4e08fd146e43 38545c9f1c53 41a3cb494995 3e22fac5fe80 cd77a2abb256",
    "defocus_blur": "2f458d64f5b0 d08da5ef8f7d 2f0d26ac0aad e8f6364b1073 01d41a1797bf",
    "glass_blur": "6fd347bf375d 890fd83665cb fb3b07f978a1 1f9738175153 559eccce2c7b",
    "motion_blur": "7fd696c2e756 babf1dd08350 4be969dcb267 cbcae235d4e8 8226f392633c",
    "zoom_blur": "69fd7a96e402 379c7f7bf9db 546a040dcebb 7dabf273f863 196346dc4fdf",
    "snow": "00221e2adb87 5fdadf3d65b9 3bdea4cda84b 2fda6328fe66 5ee0fc798f1e",
    "frost": "247f8891be1a 9bea2521dc66 dbdf73f25885 4ec56863b0b2 40eb0b8154d5",
    "fog": "4387b56a7c57 0f47ca759db5 879e3b7aa0f9 650986133194 73d9dda16426",
    "brightness": "b3e8ba033361 3846741abdbb e38bd6b241ba e747e7aa2457 112b0377d2b0",
    "contrast": "361a859b1e96 986b482a7413 c26149a545ba 3f5a8d36ddf8 1fff71179703",
    "elastic_transform": "a40112f96519 74ad698a5453 fe6402dd7fc4 d0f0061495e5 6c665afb6667",
    "pixelate": "68126e6c3f7f 678fdbe51160 e44f8497df73 4fc29e364176 55751925c013",
    "jpeg_compression": "4283d008d68b d31bdba98988 8228555290e8 1e96fe891492 d02ccce5fec5",
    "speckle_noise": "18ac0b3d5307 c1938d4fc110 48f3faa5c2af f83e47abd300 eb0e7178573f",
    "gaussian_blur": "40e4c2f8caef d7fd4b06163f 08a019e185df a5dd6a8e256c d0ef4b5e6bf2",
    "spatter": "e36a9a67df64 9511ae1a0f50 65238e183651 92f0354d758e a18a7362bbe6",
    "saturate": "88fb15357e61 266f2c5dbbff 0025ad995cd7 26983022cba5 2a9457fd552d",
}
"""Hashes of one small picture at severities 1 to 5. Where they change, `corruptions.VERSION` must rise;
`.venv/bin/python -m tests.test_corruptions` prints them."""


def golden() -> dict[str, str]:
    clean = scene(7, (61, 47))
    return {
        name: " ".join(digest(corrupt(clean, name, severity, "golden")) for severity in SEVERITIES)
        for name in CORRUPTIONS
    }


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_pixels_are_those_of_the_golden_hashes(name: str) -> None:
    assert golden_here()[name] == GOLDEN[name]


@cache
def golden_here() -> dict[str, str]:
    return golden()


def test_another_process_on_an_older_processor_gives_the_same_bytes() -> None:
    """NumPy and OpenBLAS are told to leave alone every vector unit that not all processors have."""
    units = np.show_config("dicts")["SIMD Extensions"].get("found", [])
    ran = subprocess.run(
        [sys.executable, "-m", "tests.test_corruptions"],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(units), "OPENBLAS_CORETYPE": "Prescott"},
        capture_output=True,
        check=True,
        text=True,
    )
    assert ran.stdout == table(golden_here())


def table(hashes: dict[str, str]) -> str:
    return "".join(f'    "{name}": "{each}",\n' for name, each in hashes.items())


def test_no_table_entry_lies_near_a_tie() -> None:
    """A mathematics library whose last bit differs must round every entry of the normal table alike."""
    from scipy.special import ndtri

    exact = ndtri((np.arange(ONE) + 0.5) / ONE) * 4096
    assert np.abs(np.abs(exact - np.floor(exact)) - 0.5).min() > 1e-8


def test_a_seeded_stream_is_the_documented_one() -> None:
    """NumPy keeps PCG64's raw stream fixed; these are its first words for one seed."""
    assert Draws("key", "fog", 1).words(4).tolist() == FIRST_WORDS


FIRST_WORDS = [5383, 30936, 56385, 12790]


# --- the parts, against slow and plain forms -----------------------------------------------------


def test_glass_blur_s_pointers_are_the_walk_pixel_by_pixel() -> None:
    for height, width, reach in [(30, 41, 1), (25, 31, 2), (40, 23, 4), (5, 5, 4), (9, 10, 4)]:
        found = _exchange(height, width, reach, Draws("key", "walk", reach))
        draws = Draws("key", "walk", reach)
        rows, columns = range(reach + 1, height - reach + 1), range(reach + 1, width - reach + 1)
        shown = np.arange(height * width).reshape(height, width)
        if rows and columns:
            steps = draws.words(2, len(rows), len(columns)).astype(int) * (2 * reach) // ONE - reach
            for row in reversed(rows):
                for column in reversed(columns):
                    down, across = steps[:, row - reach - 1, column - reach - 1]
                    shown[row, column] = shown[row + down, column + across]
        assert found.tolist() == shown.ravel().tolist()


def test_filters_are_the_sums_they_stand_for() -> None:
    pixels = np.asarray(scene(5, (19, 13)))
    disc = whole_weights((np.add.outer(np.arange(-4, 5) ** 2, np.arange(-4, 5) ** 2) <= 16).astype(float))
    padded = np.pad(pixels, ((4, 4), (4, 4), (0, 0)), mode="reflect").astype(np.int64)
    whole = sum(
        int(disc[down, across]) * padded[down : down + 13, across : across + 19]
        for down in range(9)
        for across in range(9)
    )
    assert (filtered(pixels, disc) * ONE == whole).all()
    # A line of 2 * radius + 1 steps to the right, the border going on.
    steps = np.arange(7)
    weights = whole_weights(np.exp(-0.5 * (steps / 2.0) ** 2), 0).astype(np.int64)
    columns = np.minimum(np.arange(19)[:, None] + steps, 18)
    expected = np.rint((pixels.astype(np.int64)[:, columns] * weights[:, None]).sum(2) / ONE)
    assert (dragged(pixels, 3, 2.0, 0.0) == expected).all()


def test_weights_are_whole_and_sum_to_one() -> None:
    for sigma in (0.1, 0.7, 1.5, 6, 40):
        weights = bell_weights(sigma, int(4 * sigma + 0.5))
        assert weights.sum() == ONE
        assert (weights == np.rint(weights)).all()
        assert (weights == weights[::-1]).all()
    assert (smooth(np.full((5, 6), 77), (2.0, 3.0), 4.0, "nearest") == 77).all()


def test_noise_has_the_published_strength() -> None:
    grey = Image.new("RGB", (400, 300), (120, 120, 120))

    def change(name: str, severity: int) -> np.ndarray:
        return np.asarray(corrupt(grey, name, severity, "key")).astype(np.float64) - 120

    noise = change("gaussian_noise", 1)
    assert abs(noise.mean()) < 0.2
    assert noise.std() == pytest.approx(255 * 0.08, rel=0.01)
    assert change("speckle_noise", 1).std() == pytest.approx(120 * 0.15, rel=0.01)
    hit = change("impulse_noise", 5)
    assert (hit != 0).mean() == pytest.approx(0.27, abs=0.005)
    assert (hit > 0).mean() == pytest.approx(0.135, abs=0.005)


@pytest.mark.parametrize("photons", [60, 12, 3])
def test_shot_noise_is_poisson(photons: int) -> None:
    from scipy.stats import poisson

    table = _poisson_table(photons).reshape(256, ONE)
    for level in (0, 10, 100, 255):
        mean = level * photons / 255
        for count in range(photons):
            share = (table[level] <= min(round(count * 255 / photons), 255)).mean()
            assert share == pytest.approx(poisson.cdf(count, mean), abs=2e-5)


def test_a_plasma_spans_its_range_and_goes_on_around() -> None:
    field = plasma(64, 2.0, Draws("key", "plasma", 1))
    assert (field.min(), field.max()) == (0, 1)
    inside = np.abs(np.diff(field, axis=0)).max()
    assert np.abs(field[0] - field[-1]).max() < 3 * inside


def test_plain_corruptions_on_colours_worked_out_by_hand() -> None:
    colours = np.array([[[200, 100, 50], [0, 0, 0], [90, 90, 90]]], np.uint8)
    image = Image.fromarray(colours)

    def made(name: str, severity: int) -> list[list[int]]:
        return np.asarray(corrupt(image, name, severity, "key"))[0].tolist()

    # Value 200 + 51 and hue and saturation kept; black has no hue; 255 * 0.2 is 51.
    assert made("brightness", 2) == [[251, 126, 63], [51, 51, 51], [141, 141, 141]]
    # Saturation 0.75 becomes 0.225; greys stay.
    assert made("saturate", 1) == [[200, 170, 155], [0, 0, 0], [90, 90, 90]]
    # Saturation 0.75 becomes 1; a grey's becomes 0.1, in red.
    assert made("saturate", 4) == [[200, 67, 0], [0, 0, 0], [90, 81, 81]]
    # Means 96.67, 63.33, 46.67; a fifth of the distance is left.
    assert made("contrast", 3) == [[117, 71, 47], [77, 51, 37], [95, 69, 55]]


# --- time ----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_big_picture_takes_bounded_time(name: str) -> None:
    """12 megapixels; the bound is four times what one core of 2026 takes for the slowest."""
    clean = scene(6, (1000, 750)).resize((4000, 3000))
    start = time.perf_counter()
    made = corrupt(clean, name, 5, "key")
    assert time.perf_counter() - start < 60
    assert made.size == (4000, 3000)


if __name__ == "__main__":
    sys.stdout.write(table(golden()))
