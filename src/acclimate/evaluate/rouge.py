"""ROUGE-L in two forms: Lin's, and what the Python package `rouge` 1.0.1 computes under the name.

Lin 2004, *ROUGE: A Package for Automatic Evaluation of Summaries*, sections 3.1 (one sentence) and 3.2 (union
over sentences). The longest common subsequence is bit-parallel: Hyyrö 2004, *Bit-Parallel LCS-length
Computation Revisited*, with Python's integers as the bit vectors.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

DEPTH = 992
"""How many steps the package's recursive walk back may take before Python's limit of 1000 frames ends it.

Measured with CPython 3.11, called from a module's top level: two equal texts of 992 words score 1 and of 993
words 0, and so it is for walks that only go left. Every frame above the call takes one step away; the
official scorer's few frames are not counted here."""


def longest_common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the length of the longest common subsequence of two token sequences.

    Source:
        Hyyrö 2004, figure 3: a row of the table is one integer, in which a zero marks a step. Time is
        O(len(first) * len(second) / word size).
    """
    rows, columns = (first, second) if len(first) <= len(second) else (second, first)
    places = _places(columns)
    every = (1 << len(columns)) - 1
    row = every
    for token in rows:
        met = row & places.get(token, 0)
        if met:
            row = ((row + met) | (row - met)) & every
    return len(columns) - row.bit_count()


def rouge_l_strict(gold_tokens: Sequence[str], said_tokens: Sequence[str]) -> float:
    """Return ROUGE-L F of two token sequences, in [0, 1]; 0 where either is empty.

    Source:
        Lin 2004, section 3.1, with beta = 1 and each text as one sentence.
    """
    total = len(gold_tokens) + len(said_tokens)
    return 2 * longest_common_subsequence(gold_tokens, said_tokens) / total if total else 0.0


def rouge_l_paper(gold: str, said: str) -> float:
    """Return what the package `rouge` 1.0.1 calls `rouge-l`'s `f`, which the official Recipe1M scores are.

    Source:
        Written from a description of the package's behaviour and checked against it as a black box. Quirks
        kept: sentences end at every period ("3.5" too); words are split at white space, with case and
        punctuation; precision and recall count *kinds* of words, however often they stand; the words of one
        longest common subsequence of every pair of sentences are united, of several the one that a walk back
        meets which goes left, in the reply, where it may; white space between two periods is a sentence of
        one empty word; f stays below 1, since 1e-8 is added to its denominator. A text without a sentence
        scores 0, and so does a pair of texts of which two sentences need more than `DEPTH` steps back, since
        the official scorer turns every error into 0.

    Returns:
        A value in [0, 1).
    """
    golds, saids = _sentences(gold), _sentences(said)
    if not golds or not saids:
        return 0.0
    gold_kinds, said_kinds = _kinds(golds), _kinds(saids)
    united = _united(golds, saids, gold_kinds & said_kinds)
    if united is None:
        return 0.0
    recall, precision = len(united) / len(gold_kinds), len(united) / len(said_kinds)
    return 2 * (precision * recall / (precision + recall + 1e-8))


def _sentences(text: str) -> list[tuple[str, ...]]:
    """Return every different sentence's words."""
    found = (tuple(piece.split()) or ("",) for piece in text.split(".") if piece)
    return list(dict.fromkeys(found))


def _kinds(sentences: Sequence[Sequence[str]]) -> set[str]:
    return {word for sentence in sentences for word in sentence}


def _places(tokens: Sequence[str]) -> dict[str, int]:
    """Return for each token the bits of its places."""
    places: dict[str, int] = {}
    bit = 1
    for token in tokens:
        places[token] = places.get(token, 0) | bit
        bit <<= 1
    return places


def _united(
    golds: Sequence[Sequence[str]], saids: Sequence[Sequence[str]], shared: set[str]
) -> set[str] | None:
    """Return the words of the common subsequences of all pairs of sentences; None where a walk is too deep.

    A pair is walked only where it can matter: where it has a shared word that is not united yet, or where it
    is so long that its walk may be too deep.
    """
    tables = [_places(said) for said in saids]
    united: set[str] = set()
    for gold, at in _pairs(golds, saids, shared, united):
        words = _walk_back(gold, saids[at], tables[at])
        if words is None:
            return None
        united |= words
    return united


def _pairs(
    golds: Sequence[Sequence[str]], saids: Sequence[Sequence[str]], shared: set[str], united: set[str]
) -> Iterator[tuple[Sequence[str], int]]:
    """Yield the pairs that matter: a gold sentence and the place of a said one; `united` grows meanwhile."""
    if max(map(len, golds)) + max(map(len, saids)) > DEPTH:
        for gold in golds:
            yield from ((gold, at) for at, said in enumerate(saids) if len(gold) + len(said) > DEPTH)
    having = defaultdict[str, list[int]](list)
    for at, said in enumerate(saids):
        for word in shared.intersection(said):
            having[word].append(at)
    for gold in golds:
        walked: set[int] = set()
        for word in shared.intersection(gold) - united:
            for at in having[word]:
                if word not in united and at not in walked:
                    walked.add(at)
                    yield gold, at


def _walk_back(gold: Sequence[str], said: Sequence[str], places: Mapping[str, int]) -> set[str] | None:
    """Return the words of one longest common subsequence, the one that a walk to the left first meets.

    Returns:
        The words; None where the walk has more than `DEPTH` steps.
    """
    if min(len(gold), len(said)) > DEPTH:
        return None
    every = (1 << len(said)) - 1
    row, rows = every, list[int]()
    for word in gold:
        met = row & places.get(word, 0)
        if met:
            row = ((row + met) | (row - met)) & every
        rows.append(row)
    words: set[str] = set()
    i, j = len(gold), len(said)
    for _ in range(DEPTH):
        if not i or not j:
            return words
        if gold[i - 1] == said[j - 1]:
            words.add(gold[i - 1])
            i, j = i - 1, j - 1
        elif rows[i - 1] >> (j - 1) & 1:
            j -= 1
        else:
            i -= 1
    return None if i and j else words
