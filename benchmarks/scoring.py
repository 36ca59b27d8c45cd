"""How fast answers are marked, beside the packages that mark them elsewhere, on the same texts.

    sh benchmarks/peers/captions_env.sh
    .venv/bin/python benchmarks/scoring.py --peers /tmp/oracle/captions/bin/python

Both sides run this file, each in its own interpreter, in turns; a side's time is its best round. Texts are
drawn from a vocabulary whose frequencies fall off as Zipf's law says. Captions are given as tokens joined by
spaces, so that no tokeniser is timed; both sides split them inside the timed part and return scores per item
and of the corpus. Both sides' values are compared. Peers: `rouge` 1.0.1 (ROUGE-L), `pycocoevalcap` (BLEU-1 to
BLEU-4 and what it calls CIDEr), scikit-learn's `f1_score`, called per row on binary vectors as the official
scorer does; where it is marked from text, the peer's side reads the text by the same rule, in plain Python.
"""

import argparse
import contextlib
import gc
import importlib
import importlib.metadata
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

TARGET = 5.0
N_REFERENCES = 5
N_LABELS = 101
N_ROWS = 25_250
N_RECIPES = 1_000
PEERS = {
    "rouge_l_paper": ("rouge",),
    "bleu": ("pycocoevalcap",),
    "cider_d": ("pycocoevalcap",),
    "label_f1": ("scikit-learn",),
    "label_f1_from_text": ("scikit-learn",),
}
TITLES = {
    "rouge_l_paper": f"ROUGE-L, paper form, {N_RECIPES} pairs of recipes",
    "bleu": f"BLEU-1 to BLEU-4, {{}} captions, {N_REFERENCES} references each",
    "cider_d": f"CIDEr-D, {{}} captions, {N_REFERENCES} references each",
    "label_f1": f"multi-label F1, {N_ROWS} rows, {N_LABELS} labels",
    "label_f1_from_text": "the same from the replies' texts",
}

Data = dict[str, Any]
Work = Callable[[Data], list[float]]


# --- data -----------------------------------------------------------------------------------------


def zipf_words(rng: np.random.Generator, n: int, vocabulary: int = 10_000) -> list[str]:
    """Return n words; the k-th most frequent one has a share that falls as 1/k."""
    shares = 1 / np.arange(1, vocabulary + 1)
    drawn = rng.choice(vocabulary, p=shares / shares.sum(), size=n)
    return [f"w{number}" for number in drawn]


def texts(rng: np.random.Generator, lengths: Sequence[int]) -> list[str]:
    """Return texts of so many words."""
    words = iter(zipf_words(rng, sum(lengths)))
    return [" ".join(next(words) for _ in range(length)) for length in lengths]


def draw(n_captions: int) -> Data:
    """Return the texts that both sides mark."""
    rng = np.random.default_rng(0)
    captions = texts(rng, rng.integers(8, 16, size=n_captions * (N_REFERENCES + 1)).tolist())
    sentences = iter(texts(rng, rng.integers(5, 20, size=N_RECIPES * 20).tolist()))
    recipes = [". ".join(next(sentences) for _ in range(10)) + "." for _ in range(N_RECIPES * 2)]
    labels = sorted({f"{first} {second}" for first in "abcdefghijk" for second in texts(rng, [1] * 40)})
    labels = labels[:: len(labels) // N_LABELS][:N_LABELS]
    gold, said = (
        [rng.choice(labels, size=k, replace=False).tolist() for k in rng.integers(0, 6, N_ROWS)] for _ in "gs"
    )
    return {
        "references": [
            captions[at : at + N_REFERENCES] for at in range(0, n_captions * N_REFERENCES, N_REFERENCES)
        ],
        "hypotheses": captions[n_captions * N_REFERENCES :],
        "recipes": [recipes[at : at + 2] for at in range(0, len(recipes), 2)],
        "labels": labels,
        "gold": gold,
        "said": said,
        "replies": ["The dish shows " + ", ".join(row) + "." for row in said],
    }


# --- ours -----------------------------------------------------------------------------------------


def ours() -> dict[str, Work]:
    """Return what this package does for every figure."""
    ngrams = importlib.import_module("acclimate.evaluate.ngrams")
    paper = importlib.import_module("acclimate.evaluate.paper")
    rouge = importlib.import_module("acclimate.evaluate.rouge")

    def bleu(data: Data) -> list[float]:
        items = zip(data["references"], data["hypotheses"], strict=True)
        parts = [ngrams.bleu_parts([each.split() for each in own], said.split()) for own, said in items]
        every = [ngrams.sum_parts(parts), *parts]
        return [ngrams.bleu(each, order) for order in range(1, 5) for each in every]

    def cider_d(data: Data) -> list[float]:
        scores = ngrams.cider_d(
            [[each.split() for each in own] for own in data["references"]],
            [said.split() for said in data["hypotheses"]],
        )
        return [ngrams.mean(scores), *scores]

    def label_f1(data: Data) -> list[float]:
        return [
            paper.paper_label_f1(gold, said) for gold, said in zip(data["gold"], data["said"], strict=True)
        ]

    def label_f1_from_text(data: Data) -> list[float]:
        rows = zip(data["gold"], data["replies"], strict=True)
        return [paper.paper_label_f1(gold, paper.paper_labels(data["labels"], text)) for gold, text in rows]

    return {
        "rouge_l_paper": lambda data: [rouge.rouge_l_paper(gold, said) for gold, said in data["recipes"]],
        "bleu": bleu,
        "cider_d": cider_d,
        "label_f1": label_f1,
        "label_f1_from_text": label_f1_from_text,
    }


# --- theirs ---------------------------------------------------------------------------------------


def theirs() -> dict[str, Work]:
    """Return what the peers do for every figure."""
    package = importlib.import_module("rouge").Rouge(metrics=["rouge-l"])
    bleu_class = importlib.import_module("pycocoevalcap.bleu.bleu").Bleu
    cider_class = importlib.import_module("pycocoevalcap.cider.cider").Cider
    importlib.import_module("sklearn.metrics")  # not in the timed part

    def rouge_l(data: Data) -> list[float]:
        return [package.get_scores(said, gold)[0]["rouge-l"]["f"] for gold, said in data["recipes"]]

    def caption(scorer: Any, data: Data) -> tuple[Any, Any]:  # noqa: ANN401
        references = dict(enumerate(data["references"]))
        hypotheses = {at: [said] for at, said in enumerate(data["hypotheses"])}
        with contextlib.redirect_stdout(io.StringIO()):
            score, each = scorer.compute_score(references, hypotheses)
        return score, each

    def bleu(data: Data) -> list[float]:
        score, each = caption(bleu_class(4), data)
        return [value for corpus, items in zip(score, each, strict=True) for value in (corpus, *items)]

    def cider_d(data: Data) -> list[float]:
        score, each = caption(cider_class(), data)
        return [float(score), *map(float, each)]

    return {
        "rouge_l_paper": rouge_l,
        "bleu": bleu,
        "cider_d": cider_d,
        "label_f1": label_f1,
        "label_f1_from_text": label_f1_from_text,
    }


def row_f1(labels: Sequence[str], gold: Sequence[str], said: Sequence[str]) -> float:
    """Return scikit-learn's F1 of one row's binary vectors."""
    vectors = ([int(label in row) for label in labels] for row in (gold, said))
    return float(importlib.import_module("sklearn.metrics").f1_score(*vectors, zero_division=1.0))


def label_f1(data: Data) -> list[float]:
    """Return the F1 of every row."""
    rows = zip(data["gold"], data["said"], strict=True)
    return [row_f1(data["labels"], gold, said) for gold, said in rows]


def label_f1_from_text(data: Data) -> list[float]:
    """Return the F1 of every row, its labels read from the reply: longest first, each deleted where found."""
    by_length = sorted(data["labels"], key=len, reverse=True)
    values = []
    for gold, text in zip(data["gold"], data["replies"], strict=True):
        rest, said = text.lower(), []
        for label in by_length:
            if label.lower() in rest:
                said.append(label)
                rest = rest.replace(label.lower(), "")
        values.append(row_f1(data["labels"], gold, said))
    return values


# --- both -----------------------------------------------------------------------------------------


def mark(works: dict[str, Work], data: Data) -> dict[str, dict[str, Any]]:
    """Return each figure's seconds and values."""
    done: dict[str, dict[str, Any]] = {}
    gc.collect()
    gc.freeze()  # the data are no rubbish of either side's
    for name, work in works.items():
        began = time.perf_counter()
        values = work(data)
        done[name] = {"seconds": time.perf_counter() - began, "values": values}
    return done


def one_side(python: str, side: str, data: Path) -> dict[str, dict[str, Any]]:
    """Return what one side did in a fresh process."""
    out = data.with_name(f"{side}.json")
    subprocess.run([python, __file__, "--side", side, "--data", str(data), "--out", str(out)], check=True)
    return dict(json.loads(out.read_text()))


def versions(python: str, packages: Sequence[str]) -> dict[str, str]:
    """Return packages' versions in an interpreter."""
    program = (
        "import importlib.metadata as m, sys, json; "
        "print(json.dumps({name: m.version(name) for name in sys.argv[1:]}))"
    )
    done = subprocess.run(
        [python, "-c", program, *packages], check=True, capture_output=True, encoding="utf-8"
    )
    return dict(json.loads(done.stdout))


def compare(peers: str, n_captions: int, n_rounds: int) -> list[dict[str, Any]]:
    """Return a row per figure."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data.json"
        data.write_text(json.dumps(draw(n_captions)))
        rounds = [
            (one_side(sys.executable, "ours", data), one_side(peers, "theirs", data)) for _ in range(n_rounds)
        ]
    rows = []
    for name, packages in PEERS.items():
        mine, other = ([turn[side][name] for turn in rounds] for side in (0, 1))
        values = zip(mine[0]["values"], other[0]["values"], strict=True)
        seconds, peer_seconds = ([turn["seconds"] for turn in each] for each in (mine, other))
        detail = {
            "what": TITLES[name].format(n_captions),
            "seconds": [round(each, 4) for each in seconds],
            "peer_seconds": [round(each, 4) for each in peer_seconds],
            "values": len(mine[0]["values"]),
            "largest_difference": max(abs(one - two) for one, two in values),
            "peer": versions(peers, packages),
        }
        ratio = round(min(peer_seconds) / min(seconds), 2)
        rows.append(
            {"benchmark": "scoring", "figure": name, "ratio": ratio, "target": TARGET, "detail": detail}
        )
    return rows


def main() -> None:
    """Print a table, then one line of JSON per figure; fail where values differ."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--peers", help="the interpreter of the peers' environment")
    parser.add_argument("--captions", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        works = ours() if options.side == "ours" else theirs()
        options.out.write_text(json.dumps(mark(works, json.loads(options.data.read_text()))))
        return
    if not options.peers:
        parser.error("--peers is needed: the interpreter that benchmarks/peers/captions_env.sh makes")
    rows = compare(options.peers, options.captions, options.rounds)
    print(f"{'figure':<20} {'ours s':>9} {'peer s':>9} {'ratio':>7}  largest difference")
    for row in rows:
        detail = row["detail"]
        print(
            f"{row['figure']:<20} {min(detail['seconds']):>9.3f} {min(detail['peer_seconds']):>9.3f} "
            f"{row['ratio']:>7.1f}  {detail['largest_difference']:.1e}"
        )
    for row in rows:
        print(json.dumps(row), flush=True)
    if any(row["detail"]["largest_difference"] > 1e-9 for row in rows):
        raise SystemExit("The two sides' values differ by more than 1e-9.")


if __name__ == "__main__":
    main()
