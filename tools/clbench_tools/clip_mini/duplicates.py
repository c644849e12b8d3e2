"""Images that are the same, or nearly the same, across parts."""

import numpy as np
from numpy.typing import NDArray

from clbench_tools.clip_mini.icons import Pixels

NEAR = 0.06
"""Root mean square difference, in units of full white, below which two images look the same at a glance."""


def nearest(images: Pixels, others: Pixels) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Distance and index of the nearest of `others` to each image, root mean square over pixels and channels."""
    a = images.reshape(len(images), -1).astype(np.float32) / 255
    b = others.reshape(len(others), -1).astype(np.float32) / 255
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None, :] - 2 * a @ b.T
    distance = np.sqrt(np.maximum(squared, 0) / a.shape[1])
    index = distance.argmin(1)
    return distance[np.arange(len(a)), index], index
