"""The point spread function: Gaussian along the beam, Gaussian of changing width across it, both by FFT."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from clbench_tools.ultrasound_simulator.grid import Grid
from clbench_tools.ultrasound_simulator.probe import Floats

Complexes = NDArray[np.complex64]

REACH = 4
"""Padding at each border, in standard deviations: FFTs wrap around, images do not."""

WIDEST = 1 / 16
"""Largest standard deviation across, as a share of the field: the near field of a sector is all one beam."""

SIDE_LOBE_WIDTH = 4


def blurred(field: Complexes, grid: Grid) -> Complexes:
    """Convolve scatterers `(rows, columns)` with the grid's point spread function of unit energy.

    Unit energy means that white noise keeps its mean power, at every depth.
    """
    axial, lateral = _kernels(grid)
    rows, columns = field.shape
    spectrum = fft.fft(field, n=axial.shape[0], axis=0)
    spectrum *= axial[:, None]
    field = fft.ifft(spectrum, axis=0, overwrite_x=True)[:rows]
    spectrum = fft.fft(field, n=lateral.shape[1], axis=1)
    spectrum *= lateral
    result: Complexes = fft.ifft(spectrum, axis=1, overwrite_x=True)[:, :columns]
    return result


@lru_cache(maxsize=8)
def _kernels(grid: Grid) -> tuple[Floats, Floats]:
    """Spectra of the axial pulse `(padded rows,)` and of the beam at each depth `(rows, padded columns)`."""
    along = grid.probe.axial_sigma / grid.axial_step
    across = grid.probe.lateral_sigma(grid.depth) / grid.beam_distance
    across = np.minimum(across, WIDEST * grid.columns)[:, None]
    axial = _gaussian(np.float32(along), grid.rows + int(REACH * along) + 1)
    reach = 2 * REACH if grid.probe.side_lobes else REACH
    size = grid.columns + int(reach * across.max()) + 1
    lateral = _gaussian(across, size)
    if grid.probe.side_lobes:
        lateral = lateral + np.float32(grid.probe.side_lobes) * _gaussian(SIDE_LOBE_WIDTH * across, size)
    return _unit_energy(axial), _unit_energy(lateral)


def _gaussian(sigma: Floats | np.float32, size: int) -> Floats:
    frequency = fft.fftfreq(fft.next_fast_len(size)).astype(np.float32)
    spectrum: Floats = np.exp(-2 * (np.float32(np.pi) * frequency * sigma) ** 2)
    return spectrum


def _unit_energy(spectrum: Floats) -> Floats:
    scaled: Floats = spectrum / np.sqrt((spectrum**2).mean(axis=-1, keepdims=True))
    return scaled
