"""Specular boundaries: what smooth interfaces throw back and what they let through."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from clbench_tools.ultrasound_simulator.blur import Complexes
from clbench_tools.ultrasound_simulator.canvas import Canvas
from clbench_tools.ultrasound_simulator.grid import Grid
from clbench_tools.ultrasound_simulator.probe import Floats

SHARPNESS = 4
"""Power of the cosine between beam and normal: how soon an oblique boundary is lost."""

WANDER = 0.25
"""Spread of the phase of an interface, radians after 1 mm: no interface is flat to a part of a wavelength."""

SMOOTHING = 0.6
"""Boundaries are drawn in steps of samples; their direction is taken over this distance, mm."""

Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Interfaces:
    """All samples that begin another tissue along their beam, `(n,)` each.

    Attributes:
        row: Of the sample behind the interface.
        column: Its beam.
        reflection: (Z2 - Z1) / (Z2 + Z1).
        facing: |cos| of the angle between the beam and the interface's normal.
    """

    row: Indices
    column: Indices
    reflection: Floats
    facing: Floats

    def add_echoes(self, field: Complexes, grid: Grid, strength: Floats, rng: np.random.Generator) -> None:
        """Add reflection x |cos|^4 x strength, with a phase that wanders slowly from beam to beam.

        Scaled so that the blur, which keeps the power of scatterers whatever the grid, gives a flat interface of
        reflection R the amplitude R sqrt(2 sigma_lateral / sigma_axial), on any grid.

        Args:
            field: Scatterers, `(rows, columns)`.
            grid: Of the field.
            strength: Of a full reflection at each interface, `(n,)`.
            rng: Draws the phase.
        """
        step = WANDER * np.sqrt(grid.beam_distance[grid.rows // 2])
        phase = np.cumsum(rng.normal(0, step, grid.columns))
        turned = np.exp(1j * phase).astype(np.complex64)[self.column]
        scale = np.sqrt(grid.beam_distance[self.row] / np.float32(grid.axial_step))
        field[self.row, self.column] += turned * scale * strength * self.reflection * self.facing**SHARPNESS

    def loss(self, grid: Grid) -> Floats:
        """Loss on the way there and back through all interfaces so far, dB: the factor 1 - R^2 each."""
        loss = np.zeros((grid.rows, grid.columns), np.float32)
        loss[self.row, self.column] = -20 * np.log10(np.maximum(1 - self.reflection**2, 1e-6))
        return np.cumsum(loss, axis=0, out=loss)


def interfaces(canvas: Canvas) -> Interfaces:
    """Find where the impedance changes along the beams."""
    jump = np.diff(canvas.log_impedance, axis=0)
    row, column = np.nonzero(jump)
    reflection: Floats = np.tanh(jump[row, column] / 2)
    row = row + 1
    return Interfaces(row, column, reflection, _facing(canvas, row, column))


def _facing(canvas: Canvas, row: Indices, column: Indices) -> Floats:
    grid = canvas.grid
    if not len(row):
        return np.ones(0, np.float32)
    sigma = (SMOOTHING / grid.axial_step, SMOOTHING / float(grid.beam_distance[grid.rows // 2]))
    smooth = ndimage.gaussian_filter(canvas.log_impedance, sigma, truncate=2.5)
    before, after = np.maximum(column - 1, 0), np.minimum(column + 1, grid.columns - 1)
    along = (smooth[np.minimum(row + 1, grid.rows - 1), column] - smooth[row - 1, column]) / np.float32(grid.axial_step)
    across = (smooth[row, after] - smooth[row, before]) / grid.beam_distance[row]
    facing: Floats = np.abs(along) / np.maximum(np.hypot(along, across), np.float32(1e-9))
    return facing
