"""Specular boundaries: what smooth interfaces throw back and what they let through."""

import numpy as np
from scipy import ndimage

from clbench.streams.ultrasound.simulator.blur import Complexes
from clbench.streams.ultrasound.simulator.canvas import Canvas
from clbench.streams.ultrasound.simulator.probe import Floats

SHARPNESS = 4
"""Power of the cosine between beam and normal: how soon an oblique boundary is lost."""

WANDER = 0.25
"""Of the phase of an interface, radians after 1 mm: no interface is flat to a part of a wavelength."""

SMOOTHING = 0.6
"""Boundaries are drawn in steps of samples; their direction is taken over this distance, mm."""


def reflections(canvas: Canvas) -> Floats:
    """Reflection coefficient of the interface in front of each sample: (Z2 - Z1) / (Z2 + Z1) along the beam."""
    found = np.zeros_like(canvas.log_impedance)
    found[1:] = np.tanh(np.diff(canvas.log_impedance, axis=0) / 2)
    return found


def specular_echo(canvas: Canvas, reflection: Floats, rng: np.random.Generator) -> Complexes:
    """Reflection times |cos(beam, normal)|^4, with a phase that wanders slowly from beam to beam.

    Scaled so that the blur, which keeps the power of scatterers whatever the grid, gives a flat interface of R the
    amplitude R sqrt(2 sigma_lateral / sigma_axial), on any grid too.
    """
    grid = canvas.grid
    steps = rng.normal(0, WANDER * np.sqrt(grid.beam_distance[grid.rows // 2]), grid.columns)
    scale = np.sqrt(grid.beam_distance / np.float32(grid.axial_step))[:, None]
    echo: Complexes = reflection * scale * np.exp(1j * np.cumsum(steps)).astype(np.complex64)
    row, column = np.nonzero(reflection)
    echo[row, column] *= _cosine(canvas)[row, column] ** SHARPNESS
    return echo


def transmission_loss(reflection: Floats) -> Floats:
    """Loss on the way there and back through all interfaces so far, dB: the factor 1 - R^2 each."""
    loss = np.zeros_like(reflection)
    row, column = np.nonzero(reflection)
    loss[row, column] = -20 * np.log10(np.maximum(1 - reflection[row, column] ** 2, 1e-6))
    total: Floats = np.cumsum(loss, axis=0)
    return total


def _cosine(canvas: Canvas) -> Floats:
    grid = canvas.grid
    sigma = (SMOOTHING / grid.axial_step, SMOOTHING / float(grid.beam_distance[grid.rows // 2]))
    smooth = ndimage.gaussian_filter(canvas.log_impedance, sigma, truncate=2.5)
    along = np.gradient(smooth, axis=0) / np.float32(grid.axial_step)
    across = np.gradient(smooth, axis=1) / grid.beam_distance[:, None]
    cosine: Floats = np.abs(along) / np.maximum(np.hypot(along, across), np.float32(1e-9))
    return cosine
