"""Analytic shapes: where they are, given x and z in mm, at any resolution and in any pose."""

from dataclasses import dataclass

import numpy as np

from clbench_tools.ultrasound_simulator.canvas import Where
from clbench_tools.ultrasound_simulator.probe import Floats


@dataclass(frozen=True)
class Blob:
    """An ellipse, its edge waved by a few harmonics.

    Attributes:
        centre: x and z, mm.
        axes: Half axes, mm.
        angle: By which the first axis is turned from x towards z, radians.
        waves: Harmonic, amplitude (share of the radius) and phase of each wave of the edge.
    """

    centre: tuple[float, float]
    axes: tuple[float, float]
    angle: float = 0.0
    waves: tuple[tuple[int, float, float], ...] = ()

    def radius(self, x: Floats, z: Floats) -> Floats:
        """Distance from the centre as a share of the edge's: below 1 inside."""
        u, v = self.own(x, z)
        u, v = u / np.float32(self.axes[0]), v / np.float32(self.axes[1])
        distance: Floats = np.hypot(u, v)
        if not self.waves:
            return distance
        around = np.arctan2(v, u)
        edge = np.ones_like(distance)
        for harmonic, amplitude, phase in self.waves:
            edge += np.float32(amplitude) * np.cos(np.float32(harmonic) * around + np.float32(phase))
        distance /= np.maximum(edge, np.float32(0.1))
        return distance

    def own(self, x: Floats, z: Floats) -> tuple[Floats, Floats]:
        """Coordinates along the two axes, mm."""
        x, z = x - np.float32(self.centre[0]), z - np.float32(self.centre[1])
        cos, sin = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
        return cos * x + sin * z, cos * z - sin * x

    def body(self, u: float, v: float) -> tuple[float, float]:
        """Place of a point (x, z) given as shares of the two axes."""
        along, across = u * self.axes[0], v * self.axes[1]
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return float(self.centre[0] + cos * along - sin * across), float(self.centre[1] + sin * along + cos * across)

    def shell(self, x: Floats, z: Floats, thickness: float) -> Where:
        """Whether a sample is outside the edge, by at most about so many mm."""
        radius = self.radius(x, z)
        return (radius >= 1) & (radius < 1 + thickness / min(self.axes))


def waves(rng: np.random.Generator, amplitude: float, harmonics: range) -> tuple[tuple[int, float, float], ...]:
    """Random waves of an edge: amplitudes fall with the harmonic, phases are free."""
    first = harmonics[0]
    return tuple((k, float(rng.normal(0, amplitude) * first / k), float(rng.uniform(0, 2 * np.pi))) for k in harmonics)


def segment(x: Floats, z: Floats, start: tuple[float, float], end: tuple[float, float]) -> Floats:
    """Distance of each sample from a line between two points, mm."""
    direction = np.array(end) - np.array(start)
    length = float(np.hypot(*direction))
    u, v = (direction / max(length, 1e-6)).astype(np.float32)
    dx, dz = x - np.float32(start[0]), z - np.float32(start[1])
    along = np.clip(dx * u + dz * v, 0, np.float32(length))
    distance: Floats = np.hypot(dx - along * u, dz - along * v)
    return distance


def wavy(x: Floats, level: float, amplitude: float, length: float, rng: np.random.Generator) -> Floats:
    """Depth of a layer's border at each x: a level with three random waves of about the given length, all in mm."""
    depth = np.full_like(x, level)
    for factor in (0.5, 1.0, 2.0):
        wavelength, phase = length * factor * rng.uniform(0.8, 1.25), rng.uniform(0, 2 * np.pi)
        depth += np.float32(rng.normal(0, amplitude / 2)) * np.sin(
            x * np.float32(2 * np.pi / wavelength) + np.float32(phase)
        )
    return depth
