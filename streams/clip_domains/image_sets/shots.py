"""Few-shot training parts: a number of images a class, drawn by the seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clbench.core.errors import DataError
from clbench.core.seeding import derive


@dataclass(frozen=True)
class Shots:
    """Number of training images a class, and how they are drawn.

    Attributes:
        number: Training images of each class.
        seed: Seed of the cell.
        repeat: Draw from smaller classes with replacement, as X-TAIL's code does, instead of refusing them.
    """

    number: int
    seed: int
    repeat: bool


def drawn(shots: Shots, where: Path, labels: NDArray[np.int64], task: str, classes: Sequence[str]) -> NDArray[np.int64]:
    """The rows of the drawn images, class by class, without replacement.

    The code of X-TAIL draws with Python's global generator each time it makes a data set, so the published shots cannot
    be reproduced; ours depend on the seed and the task's name alone.

    Args:
        shots: Number of images, and how they are drawn.
        where: File or folder that lists the images, for messages.
        labels: Class of each training image, `(n,)`.
        task: Name of the task, which seeds a generator of its own.
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
