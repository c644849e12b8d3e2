"""Few-shot training parts: so many images a class, drawn by the seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clbench.core.errors import DataError
from clbench.core.seeding import derive


@dataclass(frozen=True)
class Shots:
    """How many training images a class, and how they are drawn.

    Attributes:
        number: Of each class.
        seed: The cell's.
        repeat: Draw from smaller classes with replacement, as X-TAIL's code does, instead of refusing them.
    """

    number: int
    seed: int
    repeat: bool


def drawn(shots: Shots, where: Path, labels: NDArray[np.int64], task: str, classes: Sequence[str]) -> NDArray[np.int64]:
    """The rows of the drawn images, class by class, without replacement.

    The code of X-TAIL draws with Python's global generator whenever it makes a data set, so the published shots cannot
    be had again; ours depend on the seed and the task's name alone.

    Args:
        shots: How many, and how.
        where: What lists the images, for messages.
        labels: `(n,)` of all training images.
        task: Its name gives each task a generator of its own.
        classes: Class names by label.

    Raises:
        DataError: For a class with fewer images than shots.
    """
    rng = np.random.default_rng(derive(shots.seed, "shots", task))
    rows = []
    for label, name in enumerate(classes):
        found = np.flatnonzero(labels == label)
        if not len(found) or (len(found) < shots.number and not shots.repeat):
            way_out = " (`short: repeat` in the task's source draws some of them again)" if len(found) else ""
            got = f"{len(found)} training images, wanted {shots.number} shots"
            raise DataError(f"{where}: class {name!r} of task {task!r} has {got}{way_out}")
        rows.append(rng.choice(found, shots.number, replace=len(found) < shots.number))
    return np.concatenate(rows).astype(np.int64)
