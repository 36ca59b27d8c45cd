"""Our picture corruptions beside those of the package `imagecorruptions` 1.1.2, on real pictures.

`sh benchmarks/peers/corruptions_env.sh` builds the package's environment, with libraries old enough that all of
its 19 corruptions run. What was measured stands in `corruptions_oracle.json` beside this file and was written by

    ACCLIMATE_CORRUPTIONS_ENV=/tmp/oracle/corruptions .venv/bin/python tests/parity/test_corruptions_oracle.py

20 pictures of `pairs_general` and 10 of `vqa_rad`, one draw each. Corruptions without randomness are compared
pixel by pixel; the package cuts fractions off where we round, which alone is half a level on average. The others
are compared by how far they take a picture: PSNR against the clean one, mean and deviation of the change.
docs/robustness.md says what differs and why.
"""

import json
import os
import platform
import subprocess
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
FOLDERS = (("pairs_general/images", 20), ("vqa_rad/images", 10))

PSNR_TOLERANCE_DB = 0.5
"""Between the mean PSNRs of a random corruption, in decibels, unless `LOOSER_PSNR_DB` says otherwise."""
LOOSER_PSNR_DB: Mapping[str, float] = {}
PLAIN_TOLERANCE = 0.75
"""Levels of 255, mean absolute difference: half a level is the package's cutting off of fractions."""
LOOSER_PLAIN: Mapping[str, float] = {}

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


def picture_files(data: Path) -> list[Path]:
    """Pictures spread over the folders."""
    files: list[Path] = []
    for name, n in FOLDERS:
        every = sorted((data / name).glob("*.jpg"))
        files += every[:: len(every) // n][:n]
    return files


def run_package(env: Path, pictures: list[npt.NDArray[np.uint8]], names: list[str], folder: Path) -> Any:
    """Let the package corrupt every picture; return its versions."""
    paths = [folder / f"clean-{at}.npy" for at in range(len(pictures))]
    for path, pixels in zip(paths, pictures, strict=True):
        np.save(path, pixels)
    asked, program = folder / "job.json", folder / "oracle.py"
    job = {"pictures": [str(path) for path in paths], "names": names, "severities": SEVERITIES}
    asked.write_text(json.dumps(job | {"folder": str(folder), "packages": PACKAGES}))
    program.write_text(ORACLE)
    subprocess.run([env / "bin" / "python", program, asked], check=True, stdout=subprocess.DEVNULL)
    return json.loads((folder / "versions.json").read_text())


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
    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in picture_files(data)]
    versions = run_package(env, pictures, list(names), folder)
    figures: dict[str, dict[str, Any]] = {"plain": {}, "random": {}}
    for name in names:
        for severity in SEVERITIES:
            images = [Image.fromarray(pixels) for pixels in pictures]
            ours = [
                np.asarray(corrupt(image, name, severity, f"oracle {at}")) for at, image in enumerate(images)
            ]
            paths = [folder / f"{name}-{severity}-{at}.npy" for at in range(len(pictures))]
            theirs = [np.load(path) for path in paths]
            for path in paths:
                path.unlink()
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
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    env = named_environment()
    if env is None:
        pytest.skip(
            "ACCLIMATE_CORRUPTIONS_ENV names no environment; build it by benchmarks/peers/corruptions_env.sh"
        )
    if not SHARED_DATA.is_dir():
        pytest.skip(f"needs the real data in {SHARED_DATA}")
    return measure(env, SHARED_DATA, tmp_path_factory.mktemp("oracle"))


pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", PLAIN)
def test_plain_corruptions_have_the_package_s_pixels(figures: dict[str, Any], name: str) -> None:
    for severity, each in figures["plain"][name].items():
        assert each["mean_absolute_difference"] < LOOSER_PLAIN.get(name, PLAIN_TOLERANCE), severity


@pytest.mark.parametrize("name", RANDOM)
def test_random_corruptions_go_as_far_as_the_package_s(figures: dict[str, Any], name: str) -> None:
    for severity, each in figures["random"][name].items():
        ours, theirs = each["psnr_db"]
        assert abs(ours - theirs) < LOOSER_PSNR_DB.get(name, PSNR_TOLERANCE_DB), severity


def test_the_stored_figures_are_these(figures: dict[str, Any]) -> None:
    stored = json.loads(STORED.read_text())
    assert stored["plain"] == figures["plain"]
    assert stored["random"] == figures["random"]


def main() -> None:
    """Write the figures."""
    env = named_environment()
    if env is None:
        raise SystemExit("ACCLIMATE_CORRUPTIONS_ENV names no environment; see the head of this file.")
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(env, SHARED_DATA, Path(folder))
    STORED.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
