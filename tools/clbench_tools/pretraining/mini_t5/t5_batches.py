"""The examples of a step of pre-training, as token ids, drawn without a loop over samples."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clbench_tools.pretraining.mini_text.corpus import Ids
from clbench_tools.pretraining.mini_text.examples import corrupted, with_end
from clbench_tools.pretraining.mini_text.taught import Taught
from clbench_tools.pretraining.mini_text.teacher import Floats

ROWS = {"named": 24, "defined": 20, "pairs": 28, "spans": 12}
"""Rows of a step, by kind."""
HIDDEN = 0.18
"""Share of a passage's tokens that span corruption hides."""
HELD_BACK = 500
"""First passages and definitions, which are never trained on."""

Rows = NDArray[np.int64]


class Examples(NamedTuple):
    """A batch.

    Attributes:
        inputs: `(n, width)`, ended, 0 behind: named passages first, then definitions, then pairs.
        answers: `(n, 7)`, the same.
        taught: The teacher's embeddings `(named + defined, 384)`.
        holes: Passages with hidden spans `(m, width)`.
        spans: What is hidden `(m, width)`.
    """

    inputs: Ids
    answers: Ids
    taught: Floats
    holes: Ids
    spans: Ids


class Batches:
    """Draws examples.

    Args:
        taught: The corpus as the teacher sees it.
        seed: Draws them.
    """

    def __init__(self, taught: Taught, seed: int) -> None:
        self._taught = taught
        self._rng = np.random.default_rng(seed)

    def draw(self) -> Examples:
        """The examples of a step."""
        t, rng = self._taught, self._rng
        named, spans = (rng.integers(HELD_BACK, len(t.passages), ROWS[kind]) for kind in ("named", "spans"))
        defined = rng.integers(HELD_BACK, len(t.defined), ROWS["defined"])
        pairs = np.searchsorted(t.pair_cdf, rng.random(ROWS["pairs"]) * t.pair_cdf[-1])
        return self._examples(named, defined, np.minimum(pairs, len(t.pairs) - 1), spans, rng)

    def held_back(self) -> Examples:
        """Examples that are never trained on, the same each time; no pairs."""
        rows = np.arange(HELD_BACK)
        return self._examples(rows, rows, rows[:0], rows, np.random.default_rng(0))

    def _examples(self, named: Rows, defined: Rows, pairs: Rows, spans: Rows, rng: np.random.Generator) -> Examples:
        t = self._taught
        which = (rng.random((len(named), 1)) > t.near_cdf[named]).sum(axis=1).clip(0, t.near.shape[1] - 1)
        name = np.zeros((len(named), t.words.shape[1]), np.int32)
        name[:, 0] = t.near[named, which]
        inputs = np.concatenate([t.named[named], t.defined[defined], t.pairs[pairs]])
        answers = np.concatenate([name, t.words[defined], t.answers[pairs]])
        taught = np.concatenate([t.of_passages[named], t.of_glosses[defined]])
        holes, hidden = corrupted(t.passages[spans], HIDDEN, rng)
        return Examples(with_end(_wider(inputs)), with_end(_wider(answers)), taught, holes, hidden)


def _wider(ids: Ids) -> Ids:
    """Room for the end mark."""
    return np.pad(ids, ((0, 0), (0, 1)))
