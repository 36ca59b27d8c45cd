"""Corpus metrics over tokenised captions: BLEU, CIDEr, CIDEr-D and COCO's ROUGE-L.

Papineni et al. 2002 (BLEU), Vedantam et al. 2015 (CIDEr, section 4, and CIDEr-D, section 6), Lin 2004 with
COCO's beta (Chen et al. 2015). Tokens are strings, in COCO's case those of `ptb.ptb_tokens`. What the package
`pycocoevalcap` calls CIDEr is CIDEr-D (`cider_d` here); the plain one of the paper is `cider`. Sums run in
an order that no order of the items changes, so that a score is the same to the last bit in any order.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from acclimate.errors import DataError
from acclimate.evaluate.rouge import longest_common_subsequence

Tokens = Sequence[str]
Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

SCALE = 10.0
"""CIDEr and CIDEr-D are published times ten."""
COCO_BETA = 1.2
_TINY, _SMALL = 1e-15, 1e-9
"""Added to matches and to counts as COCO's BLEU does: a zero count gives nearly 0 and not an error."""


def mean(values: Iterable[float]) -> float:
    """Return the mean, the same to the last bit in any order; 0 of no values."""
    every = list(values)
    return math.fsum(every) / len(every) if every else 0.0


# --- BLEU -----------------------------------------------------------------------------------------


def bleu_parts(references: Sequence[Tokens], hypothesis: Tokens, n: int = 4) -> tuple[float, ...]:
    """Return what corpus BLEU sums over items.

    Args:
        references: tokens of each reference; at least one.
        hypothesis: tokens of the hypothesis; may be empty.
        n: the longest n-grams.

    Returns:
        2n + 2 numbers: matches and count of 1-grams, ..., of n-grams, matches clipped at the largest count in
        any one reference; the hypothesis' length; that of the reference closest to it, of two the shorter.

    Raises:
        DataError: there is no reference.

    Source:
        Papineni et al. 2002, sections 2.1 to 2.2.
    """
    if not references:
        raise DataError("An item to be marked by BLEU has no reference; give it one, or leave it out.")
    length = len(hypothesis)
    parts: list[float] = []
    matches = 1
    for order in range(1, n + 1):
        if matches:  # without a shared n-gram there is no longer one
            said = list(_grams(hypothesis, order))
            matches = _matches([_grams(each, order) for each in references], said)
        parts += (matches, max(0, length - order + 1))
    closest = min([(abs(len(each) - length), len(each)) for each in references])[1]
    return (*parts, length, closest)


def _matches(references: Sequence[Iterable[object]], said: Sequence[object]) -> int:
    """Return how many of the hypothesis' n-grams the references' hold, clipped."""
    missing = set(said)
    if len(missing) == len(said):
        missing.difference_update(*references)
        return len(said) - len(missing)
    counts = Counter(said)
    best = dict.fromkeys(counts, 0)
    for reference in references:
        for gram, count in Counter(gram for gram in reference if gram in counts).items():
            best[gram] = max(best[gram], count)
    return sum(min(count, best[gram]) for gram, count in counts.items())


def _grams(tokens: Tokens, order: int) -> Iterable[object]:
    """Return the n-grams of one order, in order."""
    if order == 1:
        return tokens
    return zip(*[tokens[at:] for at in range(order)], strict=False)


def sum_parts(parts: Iterable[Sequence[float]]) -> tuple[float, ...]:
    """Return the sums of items' parts, place by place."""
    return tuple(math.fsum(column) for column in zip(*parts, strict=True))


def bleu(parts_sum: Sequence[float], n: int | None = None) -> float:
    """Return corpus BLEU from summed parts, in [0, 1].

    Args:
        parts_sum: `sum_parts` of the items' `bleu_parts`.
        n: the longest n-grams to count, at most what the parts hold, which is also the default.

    Source:
        Papineni et al. 2002, section 2.3: geometric mean of the precisions times the brevity penalty. As in
        COCO's evaluation 1e-15 is added to matches and 1e-9 to counts, so no matches give a value near 0.
    """
    orders = (len(parts_sum) - 2) // 2 if n is None else n
    length, reference_length = parts_sum[-2:]
    product = 1.0
    for order in range(orders):
        matches, count = parts_sum[2 * order : 2 * order + 2]
        product *= (matches + _TINY) / (count + _SMALL)
    ratio = (length + _TINY) / (reference_length + _SMALL)
    brevity = math.exp(1 - 1 / ratio) if ratio < 1 else 1.0
    return cast("float", product ** (1 / orders)) * brevity


# --- ROUGE-L --------------------------------------------------------------------------------------


def rouge_l_coco(references: Sequence[Tokens], hypothesis: Tokens) -> float:
    """Return COCO's ROUGE-L of one item, in [0, 1]; 0 where the hypothesis or all references are empty.

    Precision and recall are each the best over the references, whichever reference that is, and F weighs
    recall by beta = 1.2.

    Source:
        Lin 2004, equations 2 to 4; the maxima and beta are those of COCO's evaluation (Chen et al. 2015).
    """
    precision = recall = 0.0
    for reference in references:
        if reference and hypothesis:
            shared = longest_common_subsequence(reference, hypothesis)
            precision = max(precision, shared / len(hypothesis))
            recall = max(recall, shared / len(reference))
    if not precision or not recall:
        return 0.0
    return (1 + COCO_BETA**2) * precision * recall / (recall + COCO_BETA**2 * precision)


# --- CIDEr ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Every reference with the hypothesis of its item; captions are numbered, references first."""

    reference: Integers
    """(R,) 0, 1, ..., R - 1."""
    hypothesis: Integers
    """(R,)"""
    lengths: Integers
    """(R + I,) tokens of each caption."""
    items: Integers
    """(R + I,) the item of each caption."""


@dataclass(frozen=True, slots=True)
class _Vectors:
    """The TF-IDF vectors of one order, sparse: caption `caption[e]` has `weight[e]` at n-gram `gram[e]`.

    Sorted by caption, then by n-gram.
    """

    caption: Integers
    gram: Integers
    weight: Floats
    n_grams: int


_Similarities = Callable[[_Vectors, _Pairs], Floats]


def cider(references: Sequence[Sequence[Tokens]], hypotheses: Sequence[Tokens], *, n: int = 4) -> list[float]:
    """Return the plain CIDEr of every item, in [0, 10]; `mean` of them is the corpus' score.

    The mean over 1-grams to n-grams of the mean over references of the cosine of TF-IDF vectors. An n-gram's
    document frequency is the number of items of this very set whose references hold it, so a set of one item
    scores 0 throughout.

    Args:
        references: of each item its references' tokens, at least one reference each.
        hypotheses: of each item the hypothesis' tokens; may be empty, which scores 0.
        n: the longest n-grams.

    Raises:
        DataError: there are not as many hypotheses as items, or an item has no reference.

    Source:
        Vedantam et al. 2015, section 4. No stemming. An n-gram that no reference holds has frequency 1. This
        is *not* what `pycocoevalcap` computes; see `cider_d`.
    """
    return _cider(references, hypotheses, n, _cosines)


def cider_d(
    references: Sequence[Sequence[Tokens]], hypotheses: Sequence[Tokens], *, n: int = 4, sigma: float = 6.0
) -> list[float]:
    """Return the CIDEr-D of every item, in [0, 10]; `mean` of them is the corpus' score.

    As `cider`, but a hypothesis' TF-IDF counts at most as much as the reference's, and every cosine is
    multiplied by a Gaussian of the difference of lengths. This is what `pycocoevalcap` calls CIDEr.

    Args:
        references: as for `cider`.
        hypotheses: as for `cider`.
        n: the longest n-grams.
        sigma: standard deviation of the Gaussian, in tokens.

    Raises:
        DataError: there are not as many hypotheses as items, or an item has no reference.

    Source:
        Vedantam et al. 2015, section 6 (CIDEr-D). As in COCO's evaluation a caption's length is its number of
        2-grams, so captions of no and of one token are of equal length.
    """

    def similarities(vectors: _Vectors, pairs: _Pairs) -> Floats:
        lengths = np.maximum(pairs.lengths - 1, 0)
        gaps = lengths[pairs.hypothesis] - lengths[pairs.reference]
        table = np.array([math.exp(-(gap**2) / (2 * sigma**2)) for gap in range(int(np.abs(gaps).max()) + 1)])
        weights: Floats = table[np.abs(gaps)]
        return _cosines(vectors, pairs, is_clipped=True) * weights

    return _cider(references, hypotheses, n, similarities)


def _cider(
    references: Sequence[Sequence[Tokens]],
    hypotheses: Sequence[Tokens],
    n: int,
    similarities: _Similarities,
) -> list[float]:
    if len(references) != len(hypotheses):
        raise DataError(
            f"{len(references)} items have references and {len(hypotheses)} a hypothesis; give both."
        )
    if not all(references):
        raise DataError("An item to be marked by CIDEr has no reference; give it one, or leave it out.")
    if not hypotheses:
        return []
    captions = [*(caption for item in references for caption in item), *hypotheses]
    n_each = np.array([len(item) for item in references], np.int64)
    pairs = _paired(captions, n_each)
    totals = np.zeros(len(pairs.reference))
    for caption, gram in _all_orders(captions, pairs.lengths, n):
        totals += similarities(_weighed(caption, gram, pairs, len(hypotheses)), pairs)
    items = pairs.items[pairs.reference]
    scores = _sums(items, totals, len(hypotheses)) * SCALE / (n * n_each)
    # The cosine of a caption with itself may pass 1 in its last bit.
    return cast("list[float]", np.minimum(scores, SCALE).tolist())


def _paired(captions: Sequence[Tokens], n_each: Integers) -> _Pairs:
    """Return the pairs of references and hypotheses; `n_each` (I,) counts the references of every item."""
    n_items, n_references = len(n_each), int(n_each.sum())
    of_references = np.repeat(np.arange(n_items), n_each)
    return _Pairs(
        reference=np.arange(n_references),
        hypothesis=n_references + of_references,
        lengths=np.fromiter(map(len, captions), np.int64, len(captions)),
        items=np.concatenate([of_references, np.arange(n_items)]),
    )


def _all_orders(captions: Sequence[Tokens], lengths: Integers, n: int) -> Iterable[tuple[Integers, Integers]]:
    """Yield for 1-grams, ..., n-grams the caption and the number of every n-gram, in the text's order.

    Numbers go up in the order of the n-grams' words, so that they do not depend on the captions' order.
    """
    words = [word for caption in captions for word in caption]
    numbers = {word: number for number, word in enumerate(sorted(set(words)))}
    tokens = np.fromiter(map(numbers.__getitem__, words), np.int64, len(words))
    caption = np.repeat(np.arange(len(captions)), lengths)
    left = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(tokens))
    place, gram = np.arange(len(tokens)), tokens
    for order in range(1, n + 1):
        if order > 1:
            goes_on = left[place] >= order
            place = place[goes_on]
            gram = _ranks(gram[goes_on] * len(numbers) + tokens[place + order - 1])
        yield caption[place], gram


def _ranks(values: Integers) -> Integers:
    """Return each value's rank among the different values."""
    order = np.argsort(values, kind="stable")
    ranks = np.empty(len(values), np.int64)
    ranks[order] = np.cumsum(_is_new(values[order])) - 1
    return ranks


def _counted(values: Integers) -> tuple[Integers, Integers]:
    """Return the different values, sorted, and how often each stands.

    By sorting: `np.unique` of NumPy 2.4 hashes, which takes many times as long on keys like ours.
    """
    ordered = np.sort(values)
    starts = np.flatnonzero(_is_new(ordered))
    return ordered[starts], np.diff(np.append(starts, len(ordered)))


def _is_new(ordered: Integers) -> npt.NDArray[np.bool_]:
    """Return where a sorted array's value differs from the one before."""
    return np.concatenate([np.ones(min(1, len(ordered)), np.bool_), ordered[1:] != ordered[:-1]])


def _weighed(caption: Integers, gram: Integers, pairs: _Pairs, n_items: int) -> _Vectors:
    """Return the TF-IDF vectors of all captions for one order."""
    n_grams = int(gram.max()) + 1 if len(gram) else 1
    keys, counts = _counted(caption * n_grams + gram)
    caption, gram = np.divmod(keys, n_grams)
    is_reference = caption < len(pairs.reference)
    held = _counted(pairs.items[caption[is_reference]] * n_grams + gram[is_reference])[0] % n_grams
    frequencies = np.maximum(1, np.bincount(held, minlength=n_grams))
    logs = np.array([0.0, *(math.log(number) for number in range(1, n_items + 1))])
    rarity = logs[n_items] - logs[frequencies]
    return _Vectors(caption, gram, counts * rarity[gram], n_grams)


def _cosines(vectors: _Vectors, pairs: _Pairs, *, is_clipped: bool = False) -> Floats:
    """Return (R,) the cosine of each reference's vector and its hypothesis'; 0 where one of them is 0."""
    n_captions, n_references = len(pairs.lengths), len(pairs.reference)
    norms = np.sqrt(_sums(vectors.caption, vectors.weight**2, n_captions))
    first_said = int(np.searchsorted(vectors.caption, n_references))
    caption, weight = vectors.caption[:first_said], vectors.weight[:first_said]
    wanted = pairs.hypothesis[caption] * vectors.n_grams + vectors.gram[:first_said]
    said = vectors.caption[first_said:] * vectors.n_grams + vectors.gram[first_said:]
    at = np.searchsorted(said, wanted)
    is_met = np.append(said, -1)[at] == wanted
    both = weight[is_met]
    other = vectors.weight[first_said:][at[is_met]]
    products = (np.minimum(other, both) if is_clipped else other) * both
    sums = _sums(caption[is_met], products, n_references)
    scale = norms[pairs.reference] * norms[pairs.hypothesis]
    cosines = np.zeros(n_references)
    np.divide(sums, scale, out=cosines, where=scale > 0)
    return cosines


def _sums(places: Integers, values: Floats, n: int) -> Floats:
    """Return (n,) the sum of the values of each place, added one after another."""
    return cast("Floats", np.bincount(places, values, n))
