"""What six image conditions cost beside one: wall time, and pictures through the vision tower.

    OMP_NUM_THREADS=1 nice .venv/bin/python benchmarks/conditions.py --data DIR

The lab's model answers all questions of a benchmark under `original` alone and under the six conditions of
visual reliance, in processes and folders of their own, so that neither finds the other's pictures or
replies. Timed is `evaluate.stage.predict`, not the loading of the model; `making` is its part that makes
the changed pictures, which later runs on the same folder find made. Encodes are counted at the vision tower
by a hook that hashes the pixels it reads. Pictures of other content may come to it as the same pixels (grey
ones of several sizes, made one size), so `encoded_again` are forwards of some pixels beyond the number of
pictures that have them; `tower_rows` counts the copies that fill its batches too. `cpu_s` is what to look
at where the machine is shared. Prints a table, then one line of JSON; without savings the ratio would be
the target, that of the questions.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from acclimate.engines.encode import preprocess_image
from acclimate.engines.families import load_processor
from acclimate.engines.open import open_engine
from acclimate.engines.spec import EngineExecution, spec_of
from acclimate.evaluate.catalogue import locate
from acclimate.evaluate.conditions import shown_images
from acclimate.evaluate.load import load_benchmark
from acclimate.evaluate.stage import EvaluateConfig, predict
from acclimate.files import ImageStore

CONDITIONS = {
    "one": ("original",),
    "six": ("original", "mismatch", "blank", "noise", "patch_shuffle", "text_only"),
}
MODEL = Path(__file__).parents[1] / "src" / "acclimate" / "lab" / "weights" / "general-mllm"


def digest(pixels: torch.Tensor) -> str:
    """Return the hash of what the tower reads of one picture."""
    return hashlib.sha256(pixels.float().numpy().tobytes()).hexdigest()


def measure(options: argparse.Namespace, conditions: tuple[str, ...]) -> dict[str, Any]:
    """Return wall time and counts of one run under these conditions."""
    forwards: list[Counter[str]] = []

    def look(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], _: object) -> None:
        if type(module).__name__.endswith("VisionModel"):
            parts = torch.split(args[0], kwargs["grid_thw"].prod(-1).tolist())
            forwards.append(Counter(digest(part) for part in parts))

    with tempfile.TemporaryDirectory() as folder:
        store = ImageStore(Path(folder))
        loaded = load_benchmark(locate(options.benchmark, data=options.data), store, options.limit)
        engine = open_engine(spec_of(str(options.model), Path()), store, EngineExecution())
        torch.nn.modules.module.register_module_forward_hook(look, with_kwargs=True)
        config = EvaluateConfig(conditions=conditions)
        lengths = loaded.max_tokens_by_benchmark
        start, cpu = time.perf_counter(), time.process_time()
        for each in conditions:
            shown_images(loaded.items, each, seed=config.seed, store=store)
        made_s, made_cpu_s = time.perf_counter() - start, time.process_time() - cpu
        found = list(
            predict(
                loaded.items,
                engine,
                config,
                model="m",
                store=store,
                log=None,
                max_tokens_by_benchmark=lengths,
            )
        )
        wall_s, cpu_s = time.perf_counter() - start, time.process_time() - cpu
        processor = load_processor(options.model)
        shown = {each.image for each in found if each.image is not None}
        read = [preprocess_image(processor, [store.open(each)]).tensors["pixel_values"] for each in shown]
    n_forwards = Counter(name for forward in forwards for name in forward)
    n_pictures = Counter(digest(pixels.to(torch.bfloat16)) for pixels in read)
    if n_pictures.keys() != n_forwards.keys():
        raise SystemExit("the tower read other pixels than those of the pictures shown")
    return {
        "questions": len(found),
        "with_picture": sum(each.image is not None for each in found),
        "distinct_pictures": len(shown),
        "distinct_pixels": len(n_pictures),
        "encoded_again": sum(max(0, n - n_pictures[name]) for name, n in n_forwards.items()),
        "tower_rows": sum(forward.total() for forward in forwards),
        "wall_s": round(wall_s, 2),
        "cpu_s": round(cpu_s, 2),
        "making_wall_s": round(made_s, 2),
        "making_cpu_s": round(made_cpu_s, 2),
    }


def main() -> None:
    """Print both runs and their ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the published benchmarks' files")
    parser.add_argument("--benchmark", default="vqa_rad")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--limit", type=int, help="rows, to try it out")
    parser.add_argument("--only", choices=tuple(CONDITIONS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measure(options, CONDITIONS[options.only])))
        return
    found = {}
    for name in CONDITIONS:
        command = [sys.executable, __file__, *sys.argv[1:], "--only", name]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found[name] = json.loads(done.stdout.splitlines()[-1])
    print(f"{'':22s} {'one':>10s} {'six':>10s} {'ratio':>7s}")
    for name, one in found["one"].items():
        six = found["six"][name]
        print(f"{name:22s} {one:10} {six:10} {six / one if one else 1.0:7.2f}")
    ratio = round(found["six"]["wall_s"] / found["one"]["wall_s"], 3)
    target = found["six"]["questions"] / found["one"]["questions"]
    figure = f"wall time of six conditions against one, {options.benchmark}"
    row = {"benchmark": "conditions", "figure": figure, "ratio": ratio, "target": target}
    print(json.dumps(row | {"detail": found}))


if __name__ == "__main__":
    main()
