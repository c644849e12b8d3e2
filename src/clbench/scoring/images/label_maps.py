"""Label maps: resizing as in the challenge FMC_UIA, overlap, and distances between outlines."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from clbench.scoring.images.scorer import Labels, Numbers

Mask = npt.NDArray[np.bool_]
BLOCK = 16
"""Side in pixels of the squares that `farthest` divides an image into, to skip those without the farthest point."""


def resized(labels: Labels, size: tuple[int, int]) -> Labels:
    """Resize a label map by the nearest label, as `cv2.resize(..., INTER_NEAREST)` does.

    Pixel i of n takes pixel floor(i / (n / m)) of m, in double precision: aligned at the upper left corner, while
    Pillow aligns the centres of pixels. The official evaluator of FMC_UIA resizes predictions like this.

    Args:
        labels: Class ids `(h, w)`.
        size: New height and width.
    """
    if labels.shape == size:
        return labels
    rows, columns = (_nearest(have, want) for have, want in zip(labels.shape, size, strict=True))
    return labels[rows[:, np.newaxis], columns]


def _nearest(have: int, want: int) -> npt.NDArray[np.int64]:
    step = 1.0 / (want / have)  # as OpenCV rounds it; i * have // want differs now and then
    return np.asarray(np.minimum(np.floor(np.arange(want) * step), have - 1), np.int64)


def dice(prediction: Mask, truth: Mask) -> float:
    """2 |P and T| / (|P| + |T|) of two masks `(h, w)`; 1 if both are empty."""
    areas = int(np.count_nonzero(prediction)) + int(np.count_nonzero(truth))
    return 2 * int(np.count_nonzero(prediction & truth)) / areas if areas else 1.0


@dataclass(frozen=True, eq=False)
class Outline:
    """The edge of a region, for computing distances.

    Attributes:
        points: Rows and columns of the region's pixels with one of four neighbours outside, `(n, 2)`.
    """

    points: npt.NDArray[np.int64]

    @classmethod
    def of(cls, mask: Mask) -> "Outline":
        """The edge of a mask `(h, w)`; pixels at the border of the image belong to it (as in MONAI)."""
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not len(rows):
            return cls(np.empty((0, 2), np.int64))
        corner = np.array([rows[0], columns[0]])
        part = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        wide = np.pad(part, 1)
        inside = wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
        return cls(np.argwhere(part & ~inside) + corner)

    @cached_property
    def _tree(self) -> Any:
        from scipy.spatial import cKDTree

        return cKDTree(self.points)

    def distances(self, points: npt.NDArray[np.int64]) -> Numbers:
        """Exact distance of each point outside the region to the region, in pixels `(n,)`.

        The nearest pixel of a region lies on its edge, so only the edge is searched.
        """
        return np.asarray(self._tree.query(points)[0], np.float64)

    def farthest(self, points: npt.NDArray[np.int64]) -> float:
        """The largest of `distances`, without computing all of them; 0 for no points."""
        if len(points) > 4 * BLOCK**2:
            points = self._farthest_blocks(points)
        return float(self.distances(points).max(initial=0.0))

    def _farthest_blocks(self, points: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The points of the blocks that may hold the farthest point, by the triangle inequality."""
        blocks = points // BLOCK
        _, first, block = np.unique(blocks[:, 0] << 32 | blocks[:, 1], return_index=True, return_inverse=True)
        reached = self.distances(points[first])  # of one point per block; the others are at most a diagonal away
        near = reached + BLOCK * np.sqrt(2) >= reached.max()
        return np.asarray(points[near[block]], np.int64)


def hausdorff(masks: tuple[Mask, Mask], outlines: tuple[Outline, Outline]) -> float:
    """The full Hausdorff distance of two regions that are not empty, in pixels.

    The largest distance from a pixel of one region to the nearest pixel of the other, in both directions, as in
    SimpleITK's `HausdorffDistanceImageFilter`. Pixels inside count like those on the edge, so it may be larger than the
    distance of the edges.
    """
    first, second = masks
    here, there = outlines
    return max(there.farthest(np.argwhere(first & ~second)), here.farthest(np.argwhere(second & ~first)))


def hd95(outlines: tuple[Outline, Outline]) -> float:
    """The 95 % Hausdorff distance of two regions that are not empty, in pixels, as MONAI defines it.

    From every edge pixel of one region to the nearest edge pixel of the other; the larger of the two directed 95th
    percentiles (linear interpolation). MedPy takes one percentile of both directions together instead.
    """
    here, there = outlines
    directed = (there.distances(here.points), here.distances(there.points))
    return max(float(np.percentile(found, 95)) for found in directed)
