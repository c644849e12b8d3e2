"""What a score of pictures is: the truth of a picture read once, and any number of predictions compared with it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from clbench.spec.task import Task

Numbers = npt.NDArray[np.float64]
Labels = npt.NDArray[np.uint8]
T = TypeVar("T", bound="Truth")


@dataclass(frozen=True)
class PictureScore:
    """What the ledger says of one picture.

    Attributes:
        prediction: As compact text, in pixels of the original picture or in the unit of the value.
        target: The truth in the same form.
        score: In [0, 1], higher is better: the common scale of R.
        measures: The official numbers of this picture, by name, each in its own unit; finite.
    """

    prediction: str
    target: str
    score: float
    measures: dict[str, float]


@dataclass(frozen=True, eq=False)
class Truth:
    """The truth of one picture.

    Attributes:
        size: Height and width of the original picture in pixels.
        text: As in the ledger.
    """

    size: tuple[int, int]
    text: str

    @property
    def diagonal(self) -> float:
        """Of the picture, in pixels: what distances are where there is nothing to measure them from."""
        return float(np.hypot(*self.size))

    @property
    def nbytes(self) -> int:
        """Roughly what it takes in memory."""
        return len(self.text) + 256


class PictureScorer(ABC, Generic[T]):
    """A score of the pictures of one task.

    Args:
        task: Says the names of classes, the range of values and so on.

    Raises:
        ConfigError: For a task that lacks what the score needs.
    """

    def __init__(self, task: "Task") -> None:
        self.task = task

    @abstractmethod
    def truth(self, row: Mapping[str, Any]) -> T:
        """Read the truth of one picture.

        Args:
            row: What `Samples.truth` has of it, and `sample_id`.

        Raises:
            DataError: For a truth that cannot be right, with the sample.
        """

    @abstractmethod
    def score(self, truth: T, prediction: npt.NDArray[Any]) -> PictureScore:
        """Compare one prediction, as `Predictions.prediction` has it, with the truth."""
