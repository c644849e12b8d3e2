"""From maps to what a scanner shows: echoes, attenuation, blur, noise, TGC, envelope, log compression."""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from clbench.core.config import Config
from clbench_tools.ultrasound_simulator.blur import Complexes, blurred
from clbench_tools.ultrasound_simulator.boundary import Interfaces, interfaces
from clbench_tools.ultrasound_simulator.canvas import Canvas
from clbench_tools.ultrasound_simulator.probe import Floats
from clbench_tools.ultrasound_simulator.scatterers import dense, sparse

Grey = NDArray[np.uint8]

NEPERS = np.float32(np.log(10) / 20)
"""Per dB, of amplitude."""


class Settings(Config):
    """How a frame is taken and shown."""

    density: float | None = Field(None, gt=0, description="Scatterers per mm^2; infinitely many when absent.")
    specular: float = Field(12.0, ge=0, description="Amplitude of a full reflection before the blur; liver has 1.")
    looks: int = Field(1, ge=1, description="Envelopes with speckle of their own that are averaged.")
    noise: float | None = Field(-55.0, description="Electronic noise, dB relative to liver near the probe.")
    haze: float | None = Field(None, description="Clutter at the probe's face, dB relative to liver.")
    haze_depth: float = Field(15.0, gt=0, description="Depth at which the clutter's amplitude has fallen to 1/e, mm.")
    tgc: float = Field(0.5, ge=0, description="Attenuation that time gain compensation makes good, dB/cm/MHz.")
    dynamic_range: float = Field(60.0, gt=0, description="Between black and white, dB.")
    white: float = Field(30.0, description="Level that is shown white, dB relative to liver at the probe.")


def envelope(canvas: Canvas, settings: Settings, rng: np.random.Generator) -> Floats:
    """Amplitude after TGC, `(rows, columns)`; 1 is the root mean square of liver at the probe."""
    grid = canvas.grid
    found = interfaces(canvas)
    loss = _loss(canvas, found)
    level = np.exp(NEPERS * (canvas.echo - loss))
    strength = np.float32(settings.specular) * np.exp(-NEPERS * loss[found.row - 1, found.column])
    gain = np.exp(NEPERS * np.float32(0.2 * settings.tgc * grid.probe.frequency) * grid.depth)[:, None]
    total = np.zeros_like(canvas.echo)
    for _ in range(settings.looks):
        field = dense(level.shape, rng) if settings.density is None else sparse(grid, settings.density, rng)
        field *= level
        found.add_echoes(field, grid, strength, rng)
        if settings.haze is not None:
            field += _haze(settings.haze, settings.haze_depth, grid.depth) * dense(level.shape, rng)
        total += np.abs(_with_noise(blurred(field, grid), settings.noise, rng))
    total *= gain / np.float32(settings.looks)
    return total


def compressed(amplitude: Floats, settings: Settings) -> Floats:
    """Grey between 0 and 1: the logarithm of the amplitude, `dynamic_range` dB below `white` and what is above."""
    grey = np.log10(np.maximum(amplitude, np.float32(1e-9)))
    grey *= np.float32(20 / settings.dynamic_range)
    grey += np.float32(1 - settings.white / settings.dynamic_range)
    shown: Floats = np.clip(grey, 0, 1, out=grey)
    return shown


def eight_bits(grey: Floats) -> Grey:
    """0 to 1 as 0 to 255, rounded."""
    return np.rint(grey * 255).astype(np.uint8)


def _loss(canvas: Canvas, found: Interfaces) -> Floats:
    """Attenuation there and back up to each sample, dB, interfaces included."""
    loss: Floats = np.cumsum(canvas.attenuation, axis=0)
    loss *= np.float32(2 * canvas.grid.probe.frequency * canvas.grid.axial_step / 10)
    if len(found.row):
        loss += found.loss(canvas.grid)
    return loss


def _haze(level: float, reach: float, depth: Floats) -> Floats:
    haze: Floats = np.exp(NEPERS * np.float32(level) - depth / np.float32(reach))[:, None]
    return haze


def _with_noise(field: Complexes, level: float | None, rng: np.random.Generator) -> Complexes:
    if level is not None:
        field += np.float32(10 ** (level / 20)) * dense(field.shape, rng)
    return field
