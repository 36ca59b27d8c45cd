"""Our picture corruptions beside those of the package `imagecorruptions` 1.1.2, on real pictures.

`sh benchmarks/peers/corruptions_env.sh` builds the package's environment, with libraries old enough that all
of its 19 corruptions run. What was measured stands in `corruptions_oracle.json` beside this file and was
written by

    ACCLIMATE_CORRUPTIONS_ENV=/tmp/oracle/corruptions .venv/bin/python tests/parity/test_corruptions_oracle.py

(a quarter of an hour, most of it the package's; a folder named as argument keeps the package's pictures, so
that a change of ours is compared in a minute).

20 pictures of `pairs_general` and 10 of `vqa_rad`, one draw each; those of more than 512 pixels a side are
reduced to that, for the package's glass_blur takes a minute a megapixel. Corruptions without randomness are
compared pixel by pixel; the package cuts fractions off where we round, which alone is half a level on
average. The others are compared by how far they take a picture: PSNR against the clean one, mean and
deviation of the change. docs/robustness.md says what differs and why.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from acclimate.evaluate.corruptions import CORRUPTIONS, PLAIN, RANDOM, SEVERITIES, corrupt

STORED = Path(__file__).with_name("corruptions_oracle.json")
SHARED_DATA = Path(__file__).parents[3] / "shared" / "data"
PACKAGES = ("imagecorruptions", "numpy", "scipy", "scikit-image", "opencv-python-headless", "numba", "pillow")
LONGEST = 512
FOLDERS = (("pairs_general/images", 20), ("vqa_rad/images", 10))

PLAIN_TOLERANCE: Mapping[str, float] = {"": 0.75, "defocus_blur": 1.2}
"""Mean absolute difference, levels of 255. Half a level is the package's cutting off of fractions; its discs
of severities 4 and 5 do not sum to 1 and brighten the picture by a hundredth."""
PSNR_TOLERANCE_DB: Mapping[str, float] = {
    "": 0.25,
    "fog": 1.0,
    "frost": 1.0,
    "spatter": 1.0,
    "spatter 1": 5.0,
}
"""Between the mean PSNRs. One fog or frost differs from the next by decibels, so 30 draws say no more."""
MEAN_TOLERANCE: Mapping[str, float] = {"": 1.0, "fog": 5.0, "frost": 8.0}
"""Between the mean changes, levels of 255."""
DEVIATION_TOLERANCE: Mapping[str, float] = {
    "": 0.05,
    "fog": 0.1,
    "frost": 0.2,
    "spatter": 0.1,
    "spatter 1": 0.7,
}
"""Between the deviations of the change, as a share of the package's."""

ORACLE = """
import importlib.metadata, json, sys, warnings
from pathlib import Path
import numpy as np
warnings.filterwarnings("ignore")
import cv2
from imagecorruptions import corrupt

cv2.setNumThreads(1)
job = json.load(open(sys.argv[1]))
for at, path in enumerate(job["pictures"]):
    picture = np.load(path)
    for name in job["names"]:
        for severity in job["severities"]:
            np.random.seed(1000 * at + severity)
            made = np.asarray(corrupt(picture, corruption_name=name, severity=severity))
            np.save(Path(job["folder"]) / f"{name}-{severity}-{at}.npy", made.astype(np.uint8))
versions = {name: importlib.metadata.version(name) for name in job["packages"]}
json.dump(versions, open(Path(job["folder"]) / "versions.json", "w"))
"""


def real_pictures(data: Path) -> list[npt.NDArray[np.uint8]]:
    """Pictures spread over the folders, none of more than 512 pixels a side."""
    pictures = []
    for name, n in FOLDERS:
        every = sorted((data / name).glob("*.jpg"))
        for path in every[:: len(every) // n][:n]:
            image = Image.open(path).convert("RGB")
            image.thumbnail((LONGEST, LONGEST))
            pictures.append(np.asarray(image))
    return pictures


def run_package(env: Path, pictures: list[npt.NDArray[np.uint8]], names: list[str], folder: Path) -> None:
    """Let the package corrupt every picture, and say its versions last."""
    paths = [folder / f"clean-{at}.npy" for at in range(len(pictures))]
    for path, pixels in zip(paths, pictures, strict=True):
        np.save(path, pixels)
    asked, program = folder / "job.json", folder / "oracle.py"
    job = {"pictures": [str(path) for path in paths], "names": names, "severities": SEVERITIES}
    asked.write_text(json.dumps(job | {"folder": str(folder), "packages": PACKAGES}))
    program.write_text(ORACLE)
    subprocess.run([env / "bin" / "python", program, asked], check=True, stdout=subprocess.DEVNULL)


def psnr(clean: npt.NDArray[np.uint8], made: npt.NDArray[np.uint8]) -> float:
    """Decibels; a picture that did not change counts as changed by a hundredth of a level."""
    change = made.astype(np.float64) - clean
    return float(10 * np.log10(255**2 / max((change * change).mean(), 1e-4)))


def plain_figures(ours: list[npt.NDArray[np.uint8]], theirs: list[npt.NDArray[np.uint8]]) -> dict[str, float]:
    """How far the pixels of two lists of pictures lie apart."""
    pairs = zip(ours, theirs, strict=True)
    apart = np.concatenate([np.abs(one.astype(np.int16) - two).ravel() for one, two in pairs])
    return {
        "mean_absolute_difference": round(float(apart.mean()), 4),
        "largest_difference": int(apart.max()),
        "share_within_one_level": round(float((apart <= 1).mean()), 5),
    }


def random_figures(
    clean: list[npt.NDArray[np.uint8]],
    ours: list[npt.NDArray[np.uint8]],
    theirs: list[npt.NDArray[np.uint8]],
) -> dict[str, Any]:
    """How far two corruptions take the pictures: [ours, theirs], means over the pictures."""
    sides: list[list[tuple[float, float, float]]] = []
    for made in (ours, theirs):
        rows = []
        for before, after in zip(clean, made, strict=True):
            change = after.astype(np.float64) - before
            rows.append((psnr(before, after), float(change.mean()), float(change.std())))
        sides.append(rows)
    one, two = (np.array(rows) for rows in sides)
    apart = one[:, 0] - two[:, 0]
    means = np.stack([one.mean(0), two.mean(0)]).round(3).T.tolist()
    return {
        "psnr_db": means[0],
        "psnr_difference_error_db": round(float(apart.std(ddof=1) / np.sqrt(len(apart))), 3),
        "mean_change": means[1],
        "deviation_of_change": means[2],
    }


def measure(env: Path, data: Path, folder: Path, names: tuple[str, ...] = CORRUPTIONS) -> dict[str, Any]:
    """Everything that is compared, as figures."""
    pictures = real_pictures(data)
    if not (folder / "versions.json").exists():
        run_package(env, pictures, list(names), folder)
    versions = json.loads((folder / "versions.json").read_text())
    figures: dict[str, dict[str, Any]] = {"plain": {}, "random": {}}
    for name in names:
        for severity in SEVERITIES:
            images = [Image.fromarray(pixels) for pixels in pictures]
            ours = [
                np.asarray(corrupt(image, name, severity, f"oracle {at}")) for at, image in enumerate(images)
            ]
            paths = [folder / f"{name}-{severity}-{at}.npy" for at in range(len(pictures))]
            theirs = [np.load(path) for path in paths]
            if name in PLAIN:
                found = plain_figures(ours, theirs)
                found |= {"psnr_db": random_figures(pictures, ours, theirs)["psnr_db"]}
            else:
                found = random_figures(pictures, ours, theirs)
            figures["plain" if name in PLAIN else "random"].setdefault(name, {})[str(severity)] = found
    return {"versions": versions | {"python": platform.python_version()}, "n": len(pictures), **figures}


def named_environment() -> Path | None:
    """The folder that ACCLIMATE_CORRUPTIONS_ENV names, if it holds an interpreter."""
    name = os.environ.get("ACCLIMATE_CORRUPTIONS_ENV", "")
    return Path(name) if name and (Path(name) / "bin" / "python").exists() else None


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    env = named_environment()
    if env is None:
        pytest.skip(
            "ACCLIMATE_CORRUPTIONS_ENV names no environment; build it by benchmarks/peers/corruptions_env.sh"
        )
    if not SHARED_DATA.is_dir():
        pytest.skip(f"needs the real data in {SHARED_DATA}")
    # Over a gigabyte of pictures: not in pytest's folder, which keeps those of three runs.
    with tempfile.TemporaryDirectory() as folder:
        return measure(env, SHARED_DATA, Path(folder))


pytestmark = pytest.mark.slow


def tolerance(tolerances: Mapping[str, float], name: str, severity: str) -> float:
    """That of a corruption and severity, else of the corruption, else of all."""
    return tolerances.get(f"{name} {severity}", tolerances.get(name, tolerances[""]))


@pytest.mark.parametrize("name", PLAIN)
def test_plain_corruptions_have_the_package_s_pixels(figures: dict[str, Any], name: str) -> None:
    for severity, each in figures["plain"][name].items():
        assert each["mean_absolute_difference"] < tolerance(PLAIN_TOLERANCE, name, severity), severity


@pytest.mark.parametrize("name", ["pixelate", "jpeg_compression"])
def test_these_have_them_to_the_bit(figures: dict[str, Any], name: str) -> None:
    assert [each["largest_difference"] for each in figures["plain"][name].values()] == [0] * 5


@pytest.mark.parametrize("name", RANDOM)
def test_random_corruptions_go_as_far_as_the_package_s(figures: dict[str, Any], name: str) -> None:
    for severity, each in figures["random"][name].items():
        ours, theirs = each["psnr_db"]
        assert abs(ours - theirs) < tolerance(PSNR_TOLERANCE_DB, name, severity), severity
        ours, theirs = each["mean_change"]
        assert abs(ours - theirs) < tolerance(MEAN_TOLERANCE, name, severity), severity
        ours, theirs = each["deviation_of_change"]
        assert abs(ours / theirs - 1) < tolerance(DEVIATION_TOLERANCE, name, severity), severity


def test_the_stored_figures_are_these(figures: dict[str, Any]) -> None:
    stored = json.loads(STORED.read_text())
    assert stored["plain"] == figures["plain"]
    # The package draws its impulse noise by a generator that nobody can seed; ours is the same every time.
    unseeded = "impulse_noise"
    assert ours_of(stored["random"][unseeded]) == ours_of(figures["random"][unseeded])
    assert {**stored["random"], unseeded: None} == {**figures["random"], unseeded: None}


def ours_of(figures: Mapping[str, Mapping[str, Any]]) -> dict[str, list[float]]:
    names = ("psnr_db", "mean_change", "deviation_of_change")
    return {severity: [each[name][0] for name in names] for severity, each in figures.items()}


def main() -> None:
    """Write the figures."""
    env = named_environment()
    if env is None:
        raise SystemExit("ACCLIMATE_CORRUPTIONS_ENV names no environment; see the head of this file.")
    with tempfile.TemporaryDirectory() as passing:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else passing)
        folder.mkdir(parents=True, exist_ok=True)
        figures = measure(env, SHARED_DATA, folder)
    STORED.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
