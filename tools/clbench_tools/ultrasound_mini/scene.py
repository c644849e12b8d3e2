"""One view of one patient: maps, settings of the scanner, and the truth."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from clbench_tools.ultrasound_simulator.canvas import Canvas
from clbench_tools.ultrasound_simulator.grid import Grid
from clbench_tools.ultrasound_simulator.render import Settings

Random: TypeAlias = np.random.Generator


@dataclass(frozen=True)
class Scene:
    """The result of a painter.

    Attributes:
        canvas: Maps and labels; for a detection task, label 1 is what the box is drawn around.
        settings: Of the scanner.
        points: Keypoints in the probe's plane, mm, `(n, 2)`.
        value: What is measured.
    """

    canvas: Canvas
    settings: Settings
    points: NDArray[np.float64] | None = None
    value: float | None = None


Painter: TypeAlias = Callable[[Grid, Random, Random], Scene]
"""Paints a scene from the generator of the patient, equal in all of their images, and that of the view."""


def moved(view: Random, across: float, down: float, middle: float = 0.0) -> tuple[float, float]:
    """Where the body lies in a view, x and z: standard deviations in mm, about a middle x."""
    return float(view.normal(middle, across)), float(view.normal(0, down))


def scanner(view: Random, tgc: float, **changes: float | None) -> Settings:
    """Settings of the scanner: gain, dynamic range and noise vary from image to image, as in clinics."""
    settings = {
        "tgc": tgc * view.uniform(0.92, 1.08),
        "dynamic_range": view.uniform(54, 66),
        "white": view.uniform(25, 32),
        "noise": view.uniform(-58, -48),
    }
    return Settings.model_validate({**settings, **changes})
