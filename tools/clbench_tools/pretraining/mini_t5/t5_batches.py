"""The examples of a step of pre-training, as token ids, drawn without a loop over samples."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clbench_tools.pretraining.mini_text.corpus import Ids
from clbench_tools.pretraining.mini_text.examples import corrupted, with_end
from clbench_tools.pretraining.mini_text.teacher import Floats
from clbench_tools.pretraining.mini_text.teacher_targets import TeacherTargets

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
        inputs: `(n, width)` with end tokens, padded with 0: named passages, definitions, pairs.
        answers: `(n, 7)` in the same form.
        embeddings: The teacher's embeddings `(named + defined, 384)`.
        holes: Passages with hidden spans `(m, width)`.
        spans: The hidden spans `(m, width)`.
    """

    inputs: Ids
    answers: Ids
    embeddings: Floats
    holes: Ids
    spans: Ids


class Batches:
    """Draws examples.

    Args:
        targets: The corpus with the teacher's targets.
        seed: Seed of the draws.
    """

    def __init__(self, targets: TeacherTargets, seed: int) -> None:
        self._targets = targets
        self._rng = np.random.default_rng(seed)

    def draw(self) -> Examples:
        """The examples of a step."""
        t, rng = self._targets, self._rng
        named, spans = (rng.integers(HELD_BACK, len(t.passages), ROWS[kind]) for kind in ("named", "spans"))
        defined = rng.integers(HELD_BACK, len(t.defined), ROWS["defined"])
        pairs = np.searchsorted(t.pair_cdf, rng.random(ROWS["pairs"]) * t.pair_cdf[-1])
        return self._examples(named, defined, np.minimum(pairs, len(t.pairs) - 1), spans, rng)

    def held_back(self) -> Examples:
        """Examples that are never trained on, the same each time; no pairs."""
        rows = np.arange(HELD_BACK)
        return self._examples(rows, rows, rows[:0], rows, np.random.default_rng(0))

    def _examples(self, named: Rows, defined: Rows, pairs: Rows, spans: Rows, rng: np.random.Generator) -> Examples:
        t = self._targets
        which = (rng.random((len(named), 1)) > t.near_cdf[named]).sum(axis=1).clip(0, t.near.shape[1] - 1)
        name = np.zeros((len(named), t.words.shape[1]), np.int32)
        name[:, 0] = t.near[named, which]
        inputs = np.concatenate([t.named[named], t.defined[defined], t.pairs[pairs]])
        answers = np.concatenate([name, t.words[defined], t.answers[pairs]])
        embeddings = np.concatenate([t.of_passages[named], t.of_glosses[defined]])
        holes, hidden = corrupted(t.passages[spans], HIDDEN, rng)
        return Examples(with_end(_wider(inputs)), with_end(_wider(answers)), embeddings, holes, hidden)


def _wider(ids: Ids) -> Ids:
    """Add a column for the end token."""
    return np.pad(ids, ((0, 0), (0, 1)))
