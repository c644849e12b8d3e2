"""Scatterers: the complex field that a blur turns into speckle."""

import numpy as np

from clbench_tools.ultrasound_simulator.blur import Complexes
from clbench_tools.ultrasound_simulator.grid import Grid
from clbench_tools.ultrasound_simulator.probe import Floats


def dense(shape: tuple[int, ...], rng: np.random.Generator) -> Complexes:
    """So many scatterers that each sample is complex Gaussian, of mean power 1."""
    parts = rng.standard_normal((*shape, 2), dtype=np.float32)
    parts *= np.float32(np.sqrt(0.5))
    return parts.view(np.complex64)[..., 0]


def sparse(grid: Grid, density: float, rng: np.random.Generator) -> Complexes:
    """A Poisson number of scatterers with amplitudes N(0, 1) and any phase, mean power 1 a sample.

    Args:
        grid: Where they are put; a sample holds those around it.
        density: Scatterers per mm^2.
        rng: Draws them.
    """
    expected = density * grid.axial_step * grid.beam_distance
    row = np.repeat(np.arange(grid.rows), rng.poisson(expected * grid.columns))
    place = row * grid.columns + rng.integers(grid.columns, size=len(row))
    amplitude: Floats = rng.standard_normal(len(row), dtype=np.float32) / np.sqrt(expected)[row]
    phase = 2 * np.pi * rng.random(len(row), dtype=np.float32)
    size = grid.rows * grid.columns
    real = np.bincount(place, amplitude * np.cos(phase), size)
    imaginary = np.bincount(place, amplitude * np.sin(phase), size)
    return (real + 1j * imaginary).astype(np.complex64).reshape(grid.rows, grid.columns)
