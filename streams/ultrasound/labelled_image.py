"""One image of a data set with its truth; no file is decoded before the rows are made."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from clbench.core.errors import DataError
from clbench.core.image_reading import UNDECODABLE
from clbench.core.image_values import Array
from clbench.kinds import png
from clbench.spec.task import Split

Numbers: TypeAlias = tuple[tuple[float, ...], ...]
"""Boxes (x_min, y_min, x_max, y_max) or points (x, y), in pixels."""

UNREADABLE = (DataError, *UNDECODABLE)
"""Errors that readers of images raise for damaged files or other contents."""


@dataclass(frozen=True)
class ImageFile:
    """The files of an image or a mask, and how it is read.

    Attributes:
        files: Files that it is made from.
        read: Reads it from these files; None where Pillow decodes the one file.
    """

    files: tuple[Path, ...]
    read: Callable[..., Array] | None = None

    def cell(self) -> dict[str, object]:
        """The image as a cell of `datasets.Image`: the path of its file, or PNG bytes.

        Raises:
            DataError: When it cannot be made.
        """
        if self.read is None:
            return {"bytes": None, "path": str(self.files[0])}
        try:
            return {"bytes": png(self.read(*self.files)), "path": None}
        except UNREADABLE as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DataError(reason if isinstance(error, DataError) else f"{self.files[0]}: {reason}") from None


Truth: TypeAlias = int | float | ImageFile | Numbers
"""A label, a value, a mask, or boxes or points."""


@dataclass(frozen=True)
class LabelledImage:
    """An image of a task.

    Attributes:
        name: Name of the image, unique in its task.
        image: Input of the model.
        truth: Label, value, mask, boxes or points.
        where: File and row that list it, for messages.
        patient: Patient, unique over the stream; empty where unknown.
        split: Part that the data name; None where they name none.
    """

    name: str
    image: ImageFile
    truth: Truth
    where: str
    patient: str = ""
    split: Split | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """Files of the image and, where it has one, of its mask."""
        return self.image.files + (self.truth.files if isinstance(self.truth, ImageFile) else ())
