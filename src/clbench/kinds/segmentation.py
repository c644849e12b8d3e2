"""Segmentation: a class for every pixel of an image."""

from collections.abc import Mapping, Set
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clbench.core.errors import DataError
from clbench.kinds._image_kind import Asked, ImageKind, in_pixels, png, require_names
from clbench.kinds._task_kind import TASK_KINDS

if TYPE_CHECKING:
    from clbench.core.image_reading import ImageCell
    from clbench.scoring.images import ImageScorer


@TASK_KINDS.register("segmentation")
@final
class Segmentation(ImageKind):
    """Label maps: `image` and `mask` (class ids in one channel, as large as the image; the background is 0)."""

    heading = "Segmentation: Dice"
    short_heading = "seg Dice"
    place = 0
    measures = ("dice/",)
    truth_types: ClassVar[Mapping[str, pa.DataType]] = {"mask": pa.binary()}

    def fitting(self, asked: Asked) -> Set[str]:
        """The classes, and whether a mask may be empty.

        Raises:
            ValueError: When there are no classes.
        """
        require_names(asked, "segmentation")
        return {"classes", "empty_masks"}

    def metric(self, asked: Asked) -> str:
        """`dice`."""
        return "dice"

    def column(self, asked: Asked) -> str:
        """`mask`."""
        return "mask"

    def feature(self, asked: Asked) -> Any:
        """An image."""
        from datasets import Image

        return Image()

    def truth(self, row: Mapping[str, Any], size: tuple[int, int], asked: Asked) -> dict[str, object]:
        """The mask as PNG of class ids.

        Args:
            row: The row.
            size: Height and width of the image, in pixels.
            asked: The task.

        Raises:
            DataError: For a mask of another size, an unknown class, or an empty one where there must be none.
        """
        return {"mask": png(_mask(row["mask"], size, asked))}

    def scorers(self) -> "Mapping[str, type[ImageScorer[Any]]]":
        """Dice, with Hausdorff distances."""
        from clbench.scoring.images import segmentation

        return {"dice": segmentation.Segmentation}


def _mask(cell: "ImageCell", size: tuple[int, int], asked: Asked) -> NDArray[np.uint8]:
    """The class ids of a mask, as large as its image."""
    from clbench.core.image_reading import name_of, read_ids, source_of

    name = name_of(cell, "the mask")
    values = read_ids(source_of(cell, "the mask"), name)
    if values.shape != size:
        raise DataError(f"{name} is {in_pixels(values.shape)}, its image is {in_pixels(size)}")
    largest = values.max()
    if largest >= len(asked.classes):
        raise DataError(f"{name} has the class {largest}, which the card does not know (0 to {len(asked.classes) - 1})")
    if largest == 0 and not asked.empty_masks:
        raise DataError(f"{name} is empty (`empty_masks: true` in the task's source allows that)")
    return values
