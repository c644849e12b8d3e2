"""Regression: keypoints of an image, or one value of it."""

from collections.abc import Mapping, Set
from typing import TYPE_CHECKING, Any, ClassVar, final

import pyarrow as pa

from clbench.kinds._image_kind import NUMBER_LISTS, Asked, ImageKind
from clbench.kinds._task_kind import TASK_KINDS

if TYPE_CHECKING:
    from clbench.scoring.images import ImageScorer


@TASK_KINDS.register("regression")
@final
class Regression(ImageKind):
    """Keypoints or a value: `image` and `points` (`[[x, y], ...]` in pixels of the image) or `value` (in its unit)."""

    heading = "Regression: score"
    short_heading = "reg score"
    place = 3
    measures = ("mre", "mae")
    truth_types: ClassVar[Mapping[str, pa.DataType]] = {"points": NUMBER_LISTS, "value": pa.float64()}

    def fitting(self, asked: Asked) -> Set[str]:
        """The number of points, or range and unit of the value.

        Raises:
            ValueError: When both are set, or neither is, or the range does not rise.
        """
        if (asked.points == 0) == (asked.value_range is None):
            raise ValueError("regression needs either points or a value_range")
        if asked.value_range is None:
            return {"points", "value_range"}
        if asked.value_range[0] >= asked.value_range[1]:
            raise ValueError(f"value_range must rise, got {list(asked.value_range)}")
        return {"points", "value_range", "unit"}

    def metric(self, asked: Asked) -> str:
        """`point_accuracy` or `value_accuracy`."""
        return "point_accuracy" if asked.points else "value_accuracy"

    def column(self, asked: Asked) -> str:
        """`points` or `value`."""
        return "points" if asked.points else "value"

    def feature(self, asked: Asked) -> Any:
        """A list of lists of numbers, or a number."""
        from datasets import List, Value

        return List(List(Value("float64"))) if asked.points else Value("float64")

    def truth(self, row: Mapping[str, Any], size: tuple[int, int], asked: Asked) -> dict[str, object]:
        """The points or the value, unchanged.

        Args:
            row: The row.
            size: Not used: a point may lie outside the image.
            asked: The task.
        """
        column = self.column(asked)
        return {column: row[column]}

    def scorers(self) -> "Mapping[str, type[ImageScorer[Any]]]":
        """Distance of points, or difference of values."""
        from clbench.scoring.images import regression

        return {"point_accuracy": regression.PointAccuracy, "value_accuracy": regression.ValueAccuracy}
