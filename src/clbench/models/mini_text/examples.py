"""Training examples of mini-t5, made of token ids without a loop over samples."""

import numpy as np
from numpy.typing import NDArray

from clbench.models.mini_text.corpus import END, SENTINEL, SENTINELS, SPECIAL, Ids

Mask = NDArray[np.bool_]
SPAN = 3
"""Tokens of a hidden span."""


def compact(slots: Ids, valid: Mask, width: int) -> Ids:
    """Rows without their invalid slots, zeros behind: `(n, slots)` to `(n, width)`."""
    order = np.argsort(~valid, axis=1, kind="stable")
    kept = np.where(np.take_along_axis(valid, order, 1), np.take_along_axis(slots, order, 1), 0)
    result = np.zeros((len(slots), width), np.int32)
    result[:, : kept.shape[1]] = kept[:, :width]
    return result


def with_end(rows: Ids) -> Ids:
    """The end mark behind each row `(n, width)`, in place of the last token where a row is full."""
    lengths = (rows != 0).sum(axis=1)
    rows = rows.copy()
    rows[np.arange(len(rows)), np.minimum(lengths, rows.shape[1] - 1)] = END
    return rows


def corrupted(ids: Ids, rate: float, rng: np.random.Generator) -> tuple[Ids, Ids]:
    """Span corruption (Raffel et al. 2020, section 3.1.4): texts with hidden spans, and the spans.

    Args:
        ids: `(n, width)`, zeros behind.
        rate: Share of tokens hidden.
        rng: Source of randomness.

    Returns:
        Inputs and targets, each `(n, width)` with end marks.
    """
    width = ids.shape[1]
    real = ids != 0
    starts = (rng.random(ids.shape) < rate / SPAN) & real
    hidden = starts.copy()
    for shift in range(1, SPAN):
        hidden[:, shift:] |= starts[:, :-shift]
    hidden &= real
    first = hidden & ~np.pad(hidden, ((0, 0), (1, 0)))[:, :-1]
    number = np.minimum(np.cumsum(first, axis=1) - 1, SENTINELS - 1)
    sentinels = (SENTINEL + number).astype(np.int32)
    inputs = compact(np.where(first, sentinels, ids), real & (~hidden | first), width)
    slots = np.stack([sentinels, ids], axis=2).reshape(len(ids), 2 * width)
    targets = compact(slots, np.stack([first, hidden], axis=2).reshape(len(ids), 2 * width), width)
    return with_end(inputs), with_end(targets)


def without_a_word(
    ids: Ids, weights: NDArray[np.float32], prefix: list[int], rng: np.random.Generator
) -> tuple[Ids, Ids]:
    """Texts from which a telling word is taken, every time it occurs, and that word.

    Args:
        ids: `(n, width)`, zeros behind.
        weights: How telling each entry of the vocabulary is, 0 for those that are not asked for.
        prefix: Token ids before the text.
        rng: Source of randomness.

    Returns:
        Inputs `(n, width)` and targets `(n, 4)` with end marks.
    """
    weight = weights[ids] * (1 + np.log((ids[:, :, None] == ids[:, None, :]).sum(axis=2)))
    noisy = np.where(weight > 0, weight + rng.gumbel(0, 1, ids.shape), -np.inf)
    words = np.take_along_axis(ids, noisy.argmax(axis=1)[:, None], 1)
    rest = compact(ids, (ids != words) & (ids != 0), ids.shape[1])
    targets = np.zeros((len(ids), 4), np.int32)
    targets[:, :1], targets[:, 1] = words, END
    return prefixed(rest, prefix), targets


def prefixed(ids: Ids, prefix: list[int]) -> Ids:
    """Token ids with a prefix and the end mark, as wide as before."""
    before = np.broadcast_to(np.array(prefix, np.int32), (len(ids), len(prefix)))
    return with_end(np.concatenate([before, ids], axis=1)[:, : ids.shape[1]])


def telling(ids: Ids, names: list[str]) -> NDArray[np.float32]:
    """Inverse document frequency of the vocabulary's whole words in texts `(n, width)`, 0 for rare and common ones."""
    frequency = np.zeros(len(names))
    for row in ids:
        frequency[np.unique(row)] += 1
    word = np.array([len(name) > 3 and name.isalpha() and name not in SPECIAL for name in names])
    asked = word & (frequency >= 5) & (frequency <= 0.03 * len(ids))
    return np.where(asked, np.log(len(ids) / np.maximum(frequency, 1)), 0).astype(np.float32)
