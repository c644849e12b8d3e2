"""Where the samples of a frame lie: along the beams of a probe."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from clbench_tools.ultrasound_simulator.probe import Floats, Probe


@dataclass(frozen=True)
class Grid:
    """Samples of a frame: `rows` along each beam, `columns` beams.

    The plane has x to the right and z downwards, both in mm, 0 in the middle of the probe's face.
    """

    probe: Probe
    rows: int = 1024
    columns: int = 384

    @property
    def axial_step(self) -> float:
        """Distance of samples on a beam, mm."""
        return self.probe.depth / self.rows

    @property
    def lateral_step(self) -> float:
        """Distance of beams: mm if they are parallel, otherwise radians."""
        width = self.probe.field if self.probe.radius is None else np.radians(self.probe.field)
        return float(width) / self.columns

    @cached_property
    def depth(self) -> Floats:
        """Way of the sound from the face, mm, `(rows,)`."""
        return ((np.arange(self.rows) + 0.5) * self.axial_step).astype(np.float32)

    @cached_property
    def lateral(self) -> Floats:
        """Place of the beams, mm or radians, 0 in the middle, `(columns,)`."""
        return ((np.arange(self.columns) + 0.5 - self.columns / 2) * self.lateral_step).astype(np.float32)

    @cached_property
    def beam_distance(self) -> Floats:
        """Distance of neighbouring beams at each depth, mm, `(rows,)`."""
        if self.probe.radius is None:
            return np.full(self.rows, self.lateral_step, np.float32)
        return (self.depth + np.float32(self.probe.radius)) * np.float32(self.lateral_step)

    @cached_property
    def plane(self) -> tuple[Floats, Floats]:
        """Place of every sample, x and z, mm, each `(rows, columns)`."""
        radius = self.probe.radius
        if radius is None:
            x, z = np.broadcast_arrays(self.lateral[None, :], self.depth[:, None])
            return np.ascontiguousarray(x), np.ascontiguousarray(z)
        along = self.depth[:, None] + np.float32(radius)
        return along * np.sin(self.lateral)[None, :], along * np.cos(self.lateral)[None, :] - np.float32(radius)


@lru_cache(maxsize=8)
def grid_of(probe: Probe, rows: int = 1024, columns: int = 384) -> Grid:
    """The grid, with what was computed of it before."""
    return Grid(probe, rows, columns)
