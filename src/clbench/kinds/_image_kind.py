"""Kinds of tasks on images: what cards say of their answers, and the truth of their images."""

import io
from abc import abstractmethod
from collections.abc import Callable, Mapping, Set
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clbench.core.errors import ConfigError, RegistryError, did_you_mean
from clbench.kinds._task_kind import TASK_KINDS, TaskKind, kind_of

if TYPE_CHECKING:
    from datasets import Dataset
    from PIL import Image

    from clbench.scoring.images import ImageScorer
    from clbench.spec.task import Task

SIZE = pa.list_(pa.int32())
"""Type of the column `size` of `Samples.truth`."""
NUMBER_LISTS = pa.list_(pa.list_(pa.float64()))
"""Type of a column of boxes or points."""


class Asked(Protocol):
    """What is asked of an image, as a task and its card have it; see the attributes of `Task`."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of classes, in the order of labels."""

    @property
    def empty_masks(self) -> bool:
        """Whether a mask may be all background."""

    @property
    def boxes(self) -> int:
        """Largest number of boxes in an image."""

    @property
    def points(self) -> int:
        """Number of keypoints in an image; 0 where one value is asked for."""

    @property
    def value_range(self) -> tuple[float, float] | None:
        """Smallest and largest possible value."""

    @property
    def unit(self) -> str:
        """Unit of the value."""


class ImageKind(TaskKind):
    """A kind of task on images; rows have `sample_id`, `image` and one column of the truth.

    Attributes:
        truth_types: Columns of `Samples.truth` besides `size`, by the type of their values.
    """

    truth_types: ClassVar[Mapping[str, pa.DataType]] = {}

    @abstractmethod
    def fitting(self, asked: Asked) -> Set[str]:
        """The attributes of `Asked` that a card of this kind may set.

        Raises:
            ValueError: When one is missing or does not fit the others.
        """

    @abstractmethod
    def metric(self, asked: Asked) -> str:
        """Name of the score of such answers."""

    @abstractmethod
    def column(self, asked: Asked) -> str:
        """The one column of the truth in rows."""

    @abstractmethod
    def feature(self, asked: Asked) -> Any:
        """Type of that column, a feature of the library `datasets`."""

    def truth(self, row: Mapping[str, Any], size: tuple[int, int], asked: Asked) -> dict[str, object]:
        """The truth of one image as `Samples.truth` has it, checked against the image.

        Args:
            row: The row.
            size: Height and width of the image, in pixels.
            asked: The task.

        Raises:
            DataError: For a truth that does not fit the image or the task.
        """
        return {}

    def scorers(self) -> "Mapping[str, type[ImageScorer[Any]]]":
        """The scorers of this kind, by the name of their metric; none where answers are classes."""
        return {}

    def scorer(self, task: "Task") -> "ImageScorer[Any] | None":
        """The scorer of the task's metric; None where answers are classes.

        Raises:
            ConfigError: For an unknown metric, or a task that lacks what the score needs.
        """
        known = self.scorers()
        if not known:
            return None
        if task.metric not in known:
            raise ConfigError(f"task {task.name!r}: unknown metric {task.metric!r}: {did_you_mean(task.metric, known)}")
        return known[task.metric](task)


def image_kind(name: str) -> ImageKind:
    """The kind of a name, which must be one on images.

    Raises:
        RegistryError: For an unknown name, or a kind that is not on images.
    """
    kind = kind_of(name)
    if not isinstance(kind, ImageKind):
        known = [other for other in TASK_KINDS.names() if isinstance(kind_of(other), ImageKind)]
        raise RegistryError(f"task kind {name!r} is not one on images: {did_you_mean(name, known)}")
    return kind


def decode_rows(rows: "Dataset", task: "Task", take: "Callable[[int, Image.Image], None]") -> dict[str, pa.Array]:
    """Decode every image, pass it on, and check its truth.

    Args:
        rows: Rows with the columns of the task's kind and `sample_id`; messages name the place in an optional column
            `where`.
        task: The task, whose classes, boxes and points the truth is checked against.
        take: Called with the position of a row and its image (RGB, in its own size), from several threads.

    Returns:
        The columns of `Samples.truth`: `size` (height and width), and those of `mask` (PNG of class ids, as large as
        the image), `boxes`, `points` and `value` that the kind has.

    Raises:
        BrokenSamplesError: For rows that do not decode or whose truth does not fit their image: their positions, and
            the sample id, place and reason of the first.
    """
    from clbench.core.image_rows import decode_each  # reports ask kinds for headings, and read no image

    kind = image_kind(task.kind)

    def read(index: int, image: "Image.Image", row: Mapping[str, Any]) -> dict[str, object]:
        truth = {"size": [image.height, image.width], **kind.truth(row, (image.height, image.width), task)}
        take(index, image)
        return truth

    truths = decode_each(rows, read)
    types = {"size": SIZE, **kind.truth_types}
    return {name: pa.array([truth[name] for truth in truths], types[name]) for name in truths[0]}


def png(image: NDArray[np.uint8]) -> bytes:
    """An image `(height, width)` or `(height, width, 3)` as a PNG, compressed quickly."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "png", compress_level=1)
    return buffer.getvalue()


def in_pixels(size: tuple[int, ...]) -> str:
    """A size (height, width) for messages: width first, as people write it."""
    return f"{size[1]} x {size[0]} pixels"


def require_names(asked: Asked, kind: str) -> None:
    """Refuse answers without at least two classes of different names.

    Raises:
        ValueError: For such answers.
    """
    if len(set(asked.classes)) < max(2, len(asked.classes)):
        raise ValueError(f"{kind} needs at least two classes with different names")
