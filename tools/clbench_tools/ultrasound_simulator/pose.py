"""Pose of the probe: between the body, in which organs are described, and the probe's plane."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clbench_tools.ultrasound_simulator.probe import Floats


@dataclass(frozen=True)
class Pose:
    """The body is turned about a pivot, then moved, and perhaps seen from the other side.

    Attributes:
        shift: Of the body in the image, x and z, mm.
        turn: Radians, from x towards z.
        pivot: x and z, mm.
        mirrored: Whether left and right are exchanged.
    """

    shift: tuple[float, float] = (0.0, 0.0)
    turn: float = 0.0
    pivot: tuple[float, float] = (0.0, 0.0)
    mirrored: bool = False

    def to_body(self, x: Floats, z: Floats) -> tuple[Floats, Floats]:
        """Where in the body the samples of the plane lie."""
        cos, sin = np.float32(np.cos(self.turn)), np.float32(np.sin(self.turn))
        sign = np.float32(-1 if self.mirrored else 1)
        x = sign * x - np.float32(self.shift[0] + self.pivot[0])
        z = z - np.float32(self.shift[1] + self.pivot[1])
        return cos * x + sin * z + np.float32(self.pivot[0]), cos * z - sin * x + np.float32(self.pivot[1])

    def to_plane(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where points of the body, `(n, 2)`, are in the plane."""
        x, z = (np.asarray(points, np.float64) - self.pivot).T
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        moved = np.stack([cos * x - sin * z, sin * x + cos * z], axis=1) + self.pivot + self.shift
        return moved * (-1.0 if self.mirrored else 1.0, 1.0)


STRAIGHT = Pose()
