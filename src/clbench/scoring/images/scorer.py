"""What a score of images is: the truth of an image read once, and any number of predictions compared with it."""

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
class ImageScore:
    """What the ledger says of one image.

    Attributes:
        prediction: As compact text, in pixels of the original image or in the unit of the value.
        target: The truth in the same form.
        score: In [0, 1], higher is better: the common scale of R.
        measures: The official numbers of this image, by name, each in its own unit; finite.
    """

    prediction: str
    target: str
    score: float
    measures: dict[str, float]


@dataclass(frozen=True, eq=False)
class Truth:
    """The truth of one image.

    Attributes:
        size: Height and width of the original image in pixels.
        text: As in the ledger.
    """

    size: tuple[int, int]
    text: str

    @property
    def diagonal(self) -> float:
        """Of the image, in pixels: what distances are where there is nothing to measure them from."""
        return float(np.hypot(*self.size))

    @property
    def nbytes(self) -> int:
        """Roughly what it takes in memory."""
        return len(self.text) + 256


class ImageScorer(ABC, Generic[T]):
    """A score of the images of one task.

    Args:
        task: Says the names of classes, the range of values and so on.

    Raises:
        ConfigError: For a task that lacks what the score needs.
    """

    def __init__(self, task: "Task") -> None:
        self.task = task

    @abstractmethod
    def truth(self, row: Mapping[str, Any]) -> T:
        """Read the truth of one image.

        Args:
            row: What `Samples.truth` has of it, and `sample_id`.

        Raises:
            DataError: For a truth that cannot be right, with the sample.
        """

    @abstractmethod
    def score(self, truth: T, prediction: npt.NDArray[Any]) -> ImageScore:
        """Compare one prediction, as `Predictions.prediction` has it, with the truth."""
