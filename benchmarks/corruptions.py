"""How long the 19 picture corruptions take at 5 severities, against the package `imagecorruptions` 1.1.2.

Both get the same decoded pictures and give decoded pictures. They take turns, picture by picture, each in a
process and on a thread of its own, and the first picture is done twice, the first time uncounted: there the
package compiles, and ours draws its frosts and tables. `benchmarks/peers/corruptions_env.sh` builds the
package's environment.

    OMP_NUM_THREADS=1 nice .venv/bin/python benchmarks/corruptions.py --images DIR \
        --peers /tmp/oracle/corruptions/bin/python
"""

import argparse
import json
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from acclimate.evaluate.corruptions import CORRUPTIONS, SEVERITIES, corrupt

PEER = """
import json, sys, time, warnings
import numpy as np
warnings.filterwarnings("ignore")
import cv2
from imagecorruptions import corrupt

cv2.setNumThreads(1)
for line in sys.stdin:
    job = json.loads(line)
    picture = np.load(job["picture"])
    times = {}
    for name in job["names"]:
        start = time.perf_counter()
        for severity in job["severities"]:
            corrupt(picture, corruption_name=name, severity=severity)
        times[name] = time.perf_counter() - start
    print(json.dumps(times), flush=True)
"""
TARGET = 1.0


def ours(pixels: np.ndarray, key: str) -> Counter[str]:
    """Return how long each corruption takes at all severities, in seconds."""
    image = Image.fromarray(pixels)
    times: Counter[str] = Counter()
    for name in CORRUPTIONS:
        start = time.perf_counter()
        for severity in SEVERITIES:
            corrupt(image, name, severity, key)
        times[name] = time.perf_counter() - start
    return times


def theirs(peer: subprocess.Popen[str], pixels: np.ndarray, folder: Path) -> Counter[str]:
    """Return the same of the package."""
    if peer.stdin is None or peer.stdout is None:
        raise SystemExit("the package's process has no pipes")
    path = folder / "picture.npy"
    np.save(path, pixels)
    job = {"picture": str(path), "names": CORRUPTIONS, "severities": SEVERITIES}
    peer.stdin.write(json.dumps(job) + "\n")
    peer.stdin.flush()
    line = peer.stdout.readline()
    if not line:
        raise SystemExit("the package's process died; build it by benchmarks/peers/corruptions_env.sh")
    return Counter(json.loads(line))


def main() -> None:
    """Print a table, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, required=True, help="a folder of pictures")
    parser.add_argument("--peers", default="/tmp/oracle/corruptions/bin/python")
    parser.add_argument("--pictures", type=int, default=100)
    options = parser.parse_args()
    found = sorted(path for path in options.images.iterdir() if path.suffix.lower() in (".jpg", ".png"))
    files = found[:: max(len(found) // options.pictures, 1)][: options.pictures]
    if not files:
        raise SystemExit(f"{options.images} holds no pictures")
    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in files]
    our_s: Counter[str] = Counter()
    their_s: Counter[str] = Counter()
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    command = [options.peers, "-c", PEER]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=threads
        ) as peer,
    ):
        our_first_s = ours(pictures[0], "first").total()
        their_first_s = theirs(peer, pictures[0], Path(folder)).total()
        for at, pixels in enumerate(pictures):
            our_s += ours(pixels, str(at))
            their_s += theirs(peer, pixels, Path(folder))
    n = len(pictures)
    print(f"milliseconds a picture, mean of {n} pictures at {len(SEVERITIES)} severities")
    print(f"{'':20s} {'ours':>9s} {'package':>9s} {'ratio':>7s}")
    for name in CORRUPTIONS:
        one, two = (each[name] * 1000 / (n * len(SEVERITIES)) for each in (our_s, their_s))
        print(f"{name:20s} {one:9.2f} {two:9.2f} {two / one:7.2f}")
    detail = {
        "pictures": n,
        "megapixels": round(sum(pixels.shape[0] * pixels.shape[1] for pixels in pictures) / 1e6, 2),
        "ours_s": round(our_s.total(), 2),
        "theirs_s": round(their_s.total(), 2),
        "ours_first_picture_s": round(our_first_s, 2),
        "theirs_first_picture_s": round(their_first_s, 2),
        "ratio_by_corruption": {name: round(their_s[name] / our_s[name], 2) for name in CORRUPTIONS},
    }
    ratio = round(their_s.total() / our_s.total(), 3)
    figure = f"time of {len(CORRUPTIONS)} corruptions at {len(SEVERITIES)} severities against the package"
    row = {"benchmark": "corruptions", "figure": figure, "ratio": ratio, "target": TARGET}
    print(json.dumps(row | {"detail": detail}))


if __name__ == "__main__":
    main()
