"""One image of a data set, with what is true of it; nothing is decoded before the rows are made."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from clbench.core.errors import DataError
from clbench.core.image_reading import UNDECODABLE
from clbench.core.image_values import Array
from clbench.scoring.images.truth import png
from clbench.spec.task import Split

Numbers: TypeAlias = tuple[tuple[float, ...], ...]
"""Boxes (x_min, y_min, x_max, y_max) or points (x, y), in pixels."""

UNREADABLE = (DataError, *UNDECODABLE)
"""What readers of images raise for files that are damaged or hold something else."""


@dataclass(frozen=True)
class ImageFile:
    """An image or a mask that is in files.

    Attributes:
        files: What it is made from.
        read: Makes it from these files; None where Pillow decodes the one file to what is wanted.
    """

    files: tuple[Path, ...]
    read: Callable[..., Array] | None = None

    def cell(self) -> dict[str, object]:
        """The image as `datasets.Image` keeps it: the path of its file, or the PNG of what was made.

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
class Row:
    """An image of a task.

    Attributes:
        name: Unique in its task.
        image: What the model sees.
        truth: What it should say.
        where: What lists it, and where there, for messages.
        patient: Whose it is, unique over all patients of the stream; empty where that is not known.
        split: Its part; None where no one has said.
    """

    name: str
    image: ImageFile
    truth: Truth
    where: str
    patient: str = ""
    split: Split | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that it is made from."""
        return self.image.files + (self.truth.files if isinstance(self.truth, ImageFile) else ())
