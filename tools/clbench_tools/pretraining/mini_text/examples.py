"""Training examples of mini-t5, computed from token ids without a loop over samples."""

import numpy as np
from numpy.typing import NDArray

from clbench_tools.pretraining.mini_text.corpus import END, SENTINEL, SENTINELS, Ids

Mask = NDArray[np.bool_]
SPAN = 3
"""Tokens of a hidden span."""


def compact(slots: Ids, valid: Mask, width: int) -> Ids:
    """Remove invalid slots and pad with zeros.

    Args:
        slots: Token ids `(n, slots)`.
        valid: Which slots are kept `(n, slots)`.
        width: Tokens of a row of the result.

    Returns:
        Token ids `(n, width)`.
    """
    order = np.argsort(~valid, axis=1, kind="stable")
    kept = np.where(np.take_along_axis(valid, order, 1), np.take_along_axis(slots, order, 1), 0)
    result = np.zeros((len(slots), width), np.int32)
    result[:, : kept.shape[1]] = kept[:, :width]
    return result


def with_end(rows: Ids) -> Ids:
    """Append the end token to each row `(n, width)`; in a full row it replaces the last token."""
    lengths = (rows != 0).sum(axis=1)
    rows = rows.copy()
    rows[np.arange(len(rows)), np.minimum(lengths, rows.shape[1] - 1)] = END
    return rows


def corrupted(ids: Ids, rate: float, rng: np.random.Generator) -> tuple[Ids, Ids]:
    """Span corruption (Raffel et al. 2020, section 3.1.4): texts with hidden spans, and the spans.

    Args:
        ids: `(n, width)`, padded with 0.
        rate: Share of hidden tokens.
        rng: Source of randomness.

    Returns:
        Inputs and targets, each `(n, width)` with end tokens.
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
