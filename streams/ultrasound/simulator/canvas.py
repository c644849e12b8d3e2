"""The maps that a frame is made from, painted tissue by tissue."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from clbench.streams.ultrasound.simulator.grid import Grid
from clbench.streams.ultrasound.simulator.probe import Floats
from clbench.streams.ultrasound.simulator.tissue import Tissue

Where = NDArray[np.bool_]
Labels = NDArray[np.uint8]


class Canvas:
    """Echo level, attenuation, impedance and labels of every sample of a grid.

    Args:
        grid: Where the samples lie.
        tissue: What is everywhere at first.
        pose: How the probe is held: maps the probe's plane to the body's, so that a picture shows the body moved.

    Attributes:
        x: Of every sample in the body, mm, `(rows, columns)`; likewise `z`, downwards.
        echo: Level of the speckle, dB.
        attenuation: dB/cm/MHz.
        log_impedance: Natural logarithm of the impedance in MRayl.
        labels: Class of every sample, 0 at first.
    """

    def __init__(
        self, grid: Grid, tissue: Tissue, pose: Callable[[Floats, Floats], tuple[Floats, Floats]] | None = None
    ) -> None:
        self.grid = grid
        x, z = grid.plane
        self.x, self.z = (x, z) if pose is None else pose(x, z)
        self.echo: Floats = np.full(x.shape, tissue.echo, np.float32)
        self.attenuation: Floats = np.full(x.shape, tissue.attenuation, np.float32)
        self.log_impedance: Floats = np.full(x.shape, np.log(tissue.impedance), np.float32)
        self.labels: Labels = np.zeros(x.shape, np.uint8)

    def fill(self, where: Where, tissue: Tissue, label: int | None = None) -> None:
        """Put a tissue, and a label if one is given, where the mask says."""
        self.echo[where] = tissue.echo
        self.attenuation[where] = tissue.attenuation
        self.log_impedance[where] = np.log(tissue.impedance)
        if label is not None:
            self.labels[where] = label
