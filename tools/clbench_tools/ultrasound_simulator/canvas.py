"""The maps that a frame is made from, painted tissue by tissue."""

import numpy as np
from numpy.typing import NDArray

from clbench_tools.ultrasound_simulator.grid import Grid
from clbench_tools.ultrasound_simulator.pose import STRAIGHT, Pose
from clbench_tools.ultrasound_simulator.probe import Floats
from clbench_tools.ultrasound_simulator.texture import texture
from clbench_tools.ultrasound_simulator.tissue import Tissue

Random = np.random.Generator
Where = NDArray[np.bool_]
Labels = NDArray[np.uint8]


class Canvas:
    """Echo level, attenuation, impedance and labels of every sample of a grid.

    Args:
        grid: Where the samples lie.
        tissue: What is everywhere at first.
        pose: How the probe is held.

    Attributes:
        x: Of every sample in the body, mm, `(rows, columns)`; likewise `z`, downwards.
        echo: Level of the speckle, dB.
        attenuation: dB/cm/MHz.
        log_impedance: Natural logarithm of the impedance in MRayl.
        labels: Class of every sample, 0 at first.
    """

    def __init__(self, grid: Grid, tissue: Tissue, pose: Pose = STRAIGHT) -> None:
        self.grid, self.pose = grid, pose
        self.x, self.z = pose.to_body(*grid.plane)
        self.echo: Floats = np.full(self.x.shape, tissue.echo, np.float32)
        self.attenuation: Floats = np.full(self.x.shape, tissue.attenuation, np.float32)
        self.log_impedance: Floats = np.full(self.x.shape, np.log(tissue.impedance), np.float32)
        self.labels: Labels = np.zeros(self.x.shape, np.uint8)

    def fill(self, where: Where, tissue: Tissue, label: int | None = None) -> None:
        """Put a tissue, and a label if one is given, where the mask says."""
        self.echo[where] = tissue.echo
        self.attenuation[where] = tissue.attenuation
        self.log_impedance[where] = np.log(tissue.impedance)
        if label is not None:
            self.labels[where] = label

    def vary(self, where: Where, size: tuple[float, float], strength: float, rng: Random) -> None:
        """Let the echo level vary by `strength` dB over so many mm along x and z."""
        self.echo[where] += np.float32(strength) * texture(self.x[where], self.z[where], size, rng)

    def above(self, level: float, where: Where, size: tuple[float, float], rng: Random) -> Where:
        """The part of `where` in which a smooth random field of variance 1 is above a level."""
        chosen = np.zeros_like(where)
        chosen[where] = texture(self.x[where], self.z[where], size, rng) > level
        return chosen
