"""The contract of image scores: the truth of an image is read once, and any number of predictions compared with it."""

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
    """The result for one image, as the ledger stores it.

    Attributes:
        prediction: Prediction as compact text, in pixels of the original image or in the unit of the value.
        target: Truth in the same form.
        score: Score in [0, 1], higher is better: the common scale of R.
        measures: Further numbers of this image by name, such as those of challenges, each in its own unit; finite.
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
        text: Truth as compact text, for the ledger.
    """

    size: tuple[int, int]
    text: str

    @property
    def diagonal(self) -> float:
        """Diagonal of the image in pixels: the distance that counts if one of two regions is empty."""
        return float(np.hypot(*self.size))

    @property
    def nbytes(self) -> int:
        """Approximate size in memory, in bytes."""
        return len(self.text) + 256


class ImageScorer(ABC, Generic[T]):
    """Scores the images of one task.

    Args:
        task: The task, with its class names, range of values and so on.

    Raises:
        ConfigError: For a task that lacks what the score needs.
    """

    def __init__(self, task: "Task") -> None:
        self.task = task

    @abstractmethod
    def truth(self, row: Mapping[str, Any]) -> T:
        """Read the truth of one image.

        Args:
            row: The image's row of `Samples.truth`, and its `sample_id`.

        Raises:
            DataError: For an impossible truth; the message names the sample.
        """

    @abstractmethod
    def score(self, truth: T, prediction: npt.NDArray[Any]) -> ImageScore:
        """Compare a prediction, in the form of one row of `Predictions.prediction`, with the truth."""
