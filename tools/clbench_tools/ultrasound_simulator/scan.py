"""Scan conversion: beams become an image, and labels and points go the same way."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from clbench_tools.ultrasound_simulator.canvas import Labels
from clbench_tools.ultrasound_simulator.grid import Grid
from clbench_tools.ultrasound_simulator.probe import Floats

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Converter:
    """Turns frames of a grid into images of a given height; the probe's field decides the width.

    Attributes:
        grid: Of the frames.
        height: Of the images, pixels.
        oversampling: So many times finer are images converted, then averaged down: speckle finer than a pixel
            becomes smooth and does not alias.
    """

    grid: Grid
    height: int
    oversampling: int = 1

    @cached_property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the field, mm."""
        probe = self.grid.probe
        if probe.radius is None:
            return -probe.field / 2, 0.0, probe.field / 2, probe.depth
        half = np.radians(probe.field / 2)
        right = float((probe.radius + probe.depth) * np.sin(half))
        return -right, float(probe.radius * (np.cos(half) - 1)), right, probe.depth

    @property
    def pixel(self) -> float:
        """Side of a pixel, mm."""
        _, top, _, bottom = self.box
        return (bottom - top) / self.height

    @property
    def width(self) -> int:
        """Width of the images, pixels."""
        left, _, right, _ = self.box
        return round((right - left) / self.pixel)

    def image(self, grey: Floats) -> Floats:
        """Bilinear on the frame's (log-compressed) grey; 0 outside the field. `(height, width)`."""
        places, weights = self._bilinear
        flat = grey.ravel()
        fine = np.zeros_like(weights[0])
        for place, weight in zip(places, weights, strict=True):
            fine += flat[place] * weight
        times = self.oversampling
        shaped = fine.reshape(self.height, times, self.width, times)
        averaged: Floats = shaped.mean(axis=(1, 3), dtype=np.float32)
        return averaged

    def mask(self, labels: Labels) -> Labels:
        """The nearest sample's label at the middle of each pixel; 0 outside the field. `(height, width)`."""
        row, column = self._samples(1)
        inside = self._inside(row, column)
        row = np.clip(np.rint(row), 0, self.grid.rows - 1).astype(np.intp)
        column = np.clip(np.rint(column), 0, self.grid.columns - 1).astype(np.intp)
        return np.where(inside, labels[row, column], 0).astype(np.uint8)

    def points(self, plane: Points) -> Points:
        """Points of the plane (x, z in mm), `(n, 2)`, in pixels x, y; the middle of the first pixel is (0, 0)."""
        left, top, _, _ = self._drawn
        return (np.asarray(plane, np.float64) - (left, top)) / self.pixel - 0.5

    @property
    def _drawn(self) -> tuple[float, float, float, float]:
        """The box of whole pixels: the width is rounded, so it is a little wider or narrower than the field."""
        half = self.width * self.pixel / 2
        return -half, self.box[1], half, self.box[3]

    def _samples(self, times: int) -> tuple[Floats, Floats]:
        """Row and column, in fractions, that show at each pixel of an image so many times finer."""
        left, top, _, _ = self._drawn
        step = self.pixel / times
        x = (left + (np.arange(self.width * times) + 0.5) * step)[None, :]
        z = (top + (np.arange(self.height * times) + 0.5) * step)[:, None]
        radius = self.grid.probe.radius
        if radius is None:
            depth, lateral = np.broadcast_to(z, (z.size, x.size)), np.broadcast_to(x, (z.size, x.size))
        else:
            depth, lateral = np.hypot(x, z + radius) - radius, np.arctan2(x, z + radius)
        row = depth / self.grid.axial_step - 0.5
        column = lateral / self.grid.lateral_step + self.grid.columns / 2 - 0.5
        return row.astype(np.float32), column.astype(np.float32)

    def _inside(self, row: Floats, column: Floats) -> NDArray[np.bool_]:
        rows, columns = self.grid.rows, self.grid.columns
        return (row >= -0.5) & (row <= rows - 0.5) & (column >= -0.5) & (column <= columns - 0.5)

    @cached_property
    def _bilinear(self) -> tuple[list[NDArray[np.int32]], list[Floats]]:
        """Places in the flat frame and their weights, 0 outside the field, for each pixel of the finer image."""
        row, column = self._samples(self.oversampling)
        inside = self._inside(row, column)
        row = np.clip(row, 0, self.grid.rows - 1)
        column = np.clip(column, 0, self.grid.columns - 1)
        top = np.minimum(row.astype(np.int32), self.grid.rows - 2)
        left = np.minimum(column.astype(np.int32), self.grid.columns - 2)
        down, right = row - top, column - left
        first = top * self.grid.columns + left
        places = [first, first + 1, first + self.grid.columns, first + self.grid.columns + 1]
        weights = [(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right]
        return places, [weight * inside for weight in weights]


@lru_cache(maxsize=8)
def converter_of(grid: Grid, height: int, oversampling: int = 1) -> Converter:
    """The converter, with what was computed of it before."""
    return Converter(grid, height, oversampling)


def box_of(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """The smallest box around a mask's pixels: x_min, y_min, x_max, y_max; the last two one pixel further.

    Raises:
        ValueError: For an empty mask.
    """
    if not mask.any():
        raise ValueError("an empty mask has no box")
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
