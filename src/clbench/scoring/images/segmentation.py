"""Scores of segmentation: Dice and Hausdorff distances of label maps."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from clbench.core.errors import ConfigError, DataError
from clbench.scoring.images.label_maps import Outline, dice, hausdorff, hd95, resized
from clbench.scoring.images.run_length import text_of
from clbench.scoring.images.scorer import ImageScore, ImageScorer, Labels, Truth

if TYPE_CHECKING:
    from clbench.spec.task import Task


@dataclass(frozen=True, eq=False)
class LabelMap(Truth):
    """The true label map of an image.

    Attributes:
        labels: Class ids `(height, width)`.
        classes: Number of classes, the background included.
    """

    labels: Labels
    classes: int

    @cached_property
    def outlines(self) -> list[Outline]:
        """The edges of all classes without the background."""
        return [Outline.of(self.labels == label) for label in range(1, self.classes)]

    @property
    def nbytes(self) -> int:
        """Approximate size in bytes, with the outlines and their search trees, computed or not."""
        return super().nbytes + self.labels.nbytes + sum(6 * outline.points.nbytes for outline in self.outlines)


class Segmentation(ImageScorer[LabelMap]):
    """Mean Dice over the classes without the background, at the original size, as in FMC_UIA.

    Measures: `dice/<class>`; `hausdorff/<class>` and `hd95/<class>` in pixels, 0 if a class is empty in both label maps
    and the image's diagonal if it is empty in one.
    """

    def __init__(self, task: "Task") -> None:
        super().__init__(task)
        if len(task.classes) < 2:
            raise ConfigError(
                f"task {task.name!r}: segmentation wants classes, the background first, got {task.classes}"
            )

    def truth(self, row: Mapping[str, Any]) -> LabelMap:
        """Decode the mask."""
        from PIL import Image

        labels = np.asarray(Image.open(io.BytesIO(row["mask"])))
        size = tuple(row["size"])
        if labels.shape != size or labels.dtype != np.uint8:
            got = f"{labels.shape} of {labels.dtype}"
            raise DataError(f"sample {row['sample_id']!r}: wanted a mask {size} of 8 bits in one channel, got {got}")
        if (largest := int(labels.max())) >= len(self.task.classes):
            known = len(self.task.classes)
            raise DataError(f"sample {row['sample_id']!r}: mask has class {largest}, the task knows {known}")
        return LabelMap((labels.shape[0], labels.shape[1]), text_of(labels), labels, len(self.task.classes))

    def score(self, truth: LabelMap, prediction: npt.NDArray[Any]) -> ImageScore:
        """Compare a label map `(h, w)` of any size; its text keeps its size."""
        labels = resized(prediction, truth.size)
        measures: dict[str, float] = {}
        for label, name in enumerate(self.task.classes[1:], 1):
            masks = (labels == label, truth.labels == label)
            outlines = (Outline.of(masks[0]), truth.outlines[label - 1])
            empty = [not len(outline.points) for outline in outlines]
            undefined = truth.diagonal if any(empty) and not all(empty) else 0.0
            measures[f"dice/{name}"] = dice(*masks)
            measures[f"hausdorff/{name}"] = undefined if any(empty) else hausdorff(masks, outlines)
            measures[f"hd95/{name}"] = undefined if any(empty) else hd95(outlines)
        score = float(np.mean([value for name, value in measures.items() if name.startswith("dice/")]))
        return ImageScore(text_of(prediction), truth.text, score, measures)
