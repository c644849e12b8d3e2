"""Detection: boxes around what is looked for in an image."""

from collections.abc import Mapping, Set
from typing import TYPE_CHECKING, Any, ClassVar, final

import pyarrow as pa

from clbench.core.errors import DataError
from clbench.kinds._image_kind import NUMBER_LISTS, Asked, ImageKind, in_pixels
from clbench.kinds._task_kind import TASK_KINDS

if TYPE_CHECKING:
    from clbench.scoring.images import ImageScorer


@TASK_KINDS.register("detection")
@final
class Detection(ImageKind):
    """Boxes: `image` and `boxes` (`[[x_min, y_min, x_max, y_max], ...]` in pixels of the image, at least one)."""

    heading = "Detection: IoU"
    short_heading = "det IoU"
    place = 2
    measures = ("iou",)
    truth_types: ClassVar[Mapping[str, pa.DataType]] = {"boxes": NUMBER_LISTS}

    def fitting(self, asked: Asked) -> Set[str]:
        """The largest number of boxes."""
        return {"boxes"}

    def metric(self, asked: Asked) -> str:
        """`iou`."""
        return "iou"

    def column(self, asked: Asked) -> str:
        """`boxes`."""
        return "boxes"

    def feature(self, asked: Asked) -> Any:
        """A list of lists of numbers."""
        from datasets import List, Value

        return List(List(Value("float64")))

    def truth(self, row: Mapping[str, Any], size: tuple[int, int], asked: Asked) -> dict[str, object]:
        """The boxes, unchanged.

        Args:
            row: The row.
            size: Height and width of the image, in pixels.
            asked: The task.

        Raises:
            DataError: For no box, too many, or one that is empty or not inside the image.
        """
        boxes, (height, width) = row["boxes"], size
        if not 1 <= len(boxes) <= asked.boxes:
            raise DataError(f"wanted 1 to {asked.boxes} boxes, got {len(boxes)}")
        for box in boxes:
            x_min, y_min, x_max, y_max = box
            if not (0 <= x_min < x_max <= width and 0 <= y_min < y_max <= height):
                raise DataError(f"the box {box} is empty or not inside the image of {in_pixels(size)}")
        return {"boxes": boxes}

    def scorers(self) -> "Mapping[str, type[ImageScorer[Any]]]":
        """Overlap of boxes."""
        from clbench.scoring.images import detection

        return {"iou": detection.Detection}
