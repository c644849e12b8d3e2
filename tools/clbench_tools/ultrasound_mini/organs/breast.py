"""Breast with one lesion, by a linear probe.

Benign: a smooth, wide ellipse with a thin capsule that lets sound through, so that it is brighter behind. Malignant:
taller, ragged, without capsule, in a bright halo, with a shadow, often with calcifications. Both kinds overlap.
"""

from collections.abc import Callable

import numpy as np

from clbench_tools.ultrasound_mini.scene import Random, Scene, moved, scanner
from clbench_tools.ultrasound_simulator.canvas import Canvas
from clbench_tools.ultrasound_simulator.grid import Grid
from clbench_tools.ultrasound_simulator.parts import everywhere, organ, striped, surface
from clbench_tools.ultrasound_simulator.pose import Pose
from clbench_tools.ultrasound_simulator.shapes import Blob, waves, wavy
from clbench_tools.ultrasound_simulator.tissue import BONE, CONNECTIVE, FAT, FLUID, GLAND

CLASSES = ("benign", "malignant")


def benign(grid: Grid, patient: Random, view: Random) -> Scene:
    """A breast with a benign lesion."""
    return _breast(grid, patient, view, _benign)


def malignant(grid: Grid, patient: Random, view: Random) -> Scene:
    """A breast with a malignant lesion."""
    return _breast(grid, patient, view, _malignant)


def _breast(
    grid: Grid, patient: Random, view: Random, lesion: Callable[[Canvas, tuple[float, float], Random], None]
) -> Scene:
    """Skin, fat, gland, the lesion, muscle and sometimes ribs."""
    pose = Pose(moved(view, 2.5, 0.8), view.normal(0, 0.08), (0, 16), mirrored=view.random() < 0.5)
    canvas = Canvas(grid, GLAND.but(echo=patient.uniform(1, 5)), pose)
    canvas.vary(everywhere(canvas), (3.5, 1.5), patient.uniform(1.5, 3), patient)
    canvas.echo[canvas.above(patient.uniform(0.8, 1.6), everywhere(canvas), (6, 2.5), patient)] -= 7
    surface(canvas, 1.4, patient.uniform(3, 8), 0, patient)
    _chest_wall(canvas, patient)
    middle = (float(patient.uniform(-7, 7)), float(patient.uniform(13, 20)))
    lesion(canvas, middle, patient)
    return Scene(canvas, scanner(view, patient.uniform(0.7, 0.82)))


def _benign(canvas: Canvas, middle: tuple[float, float], patient: Random) -> None:
    width = patient.uniform(4, 10)
    height = width * patient.uniform(0.5, 0.9)
    ragged = patient.uniform(0.02, 0.07)
    blob = Blob(middle, (width, min(height, 7.5)), patient.normal(0, 0.15), waves(patient, ragged, range(2, 6)))
    cyst = patient.random() < 0.15
    through = patient.uniform(0.15, 0.4) if patient.random() < 0.75 else 0.8
    tissue = FLUID if cyst else GLAND.but(echo=patient.uniform(-15, -8), attenuation=through)
    inside = organ(canvas, blob, tissue, wall=0.35 if patient.random() < 0.7 else 0.0, label=1)
    if not cyst:
        canvas.vary(inside, (2, 2), 1.2, patient)
        _calcify(canvas, blob, patient, often=0.15)


def _malignant(canvas: Canvas, middle: tuple[float, float], patient: Random) -> None:
    width = patient.uniform(3.5, 7)
    height = min(width * patient.uniform(0.7, 1.35), 8.5)
    blob = Blob(
        middle, (width, height), patient.normal(0, 0.4), waves(patient, patient.uniform(0.05, 0.13), range(3, 11))
    )
    radius = blob.radius(canvas.x, canvas.z)
    if patient.random() < 0.65:
        halo = canvas.above(-0.3, (radius >= 1) & (radius < 1.3), (2, 2), patient)
        canvas.fill(halo, CONNECTIVE.but(echo=6, attenuation=0.9))
    shadow = patient.uniform(1.5, 2.7) if patient.random() < 0.7 else patient.uniform(0.6, 0.9)
    inside = organ(canvas, blob, GLAND.but(echo=patient.uniform(-17, -9), attenuation=shadow), label=1)
    canvas.vary(inside, (1.5, 1.5), 2.0, patient)
    _calcify(canvas, blob, patient, often=0.45)


def _calcify(canvas: Canvas, blob: Blob, patient: Random, often: float) -> None:
    for _ in range(patient.integers(2, 6) if patient.random() < often else 0):
        place = blob.body(*patient.uniform(-0.6, 0.6, 2))
        canvas.echo[Blob(place, (0.4, 0.3)).radius(canvas.x, canvas.z) < 1] = 14


def _chest_wall(canvas: Canvas, patient: Random) -> None:
    border = wavy(canvas.x, patient.uniform(24, 29), 0.8, 40, patient)
    striped(canvas, canvas.z > border, 1.2, patient)
    canvas.fill(np.abs(canvas.z - border) < 0.35, CONNECTIVE)
    for place in (-12.0, 12.0):
        if patient.random() < 0.5:
            rib = Blob((place + patient.normal(0, 3), patient.uniform(35, 38)), (6, 2.5))
            canvas.fill(rib.radius(canvas.x, canvas.z) < 1, BONE)
    canvas.fill(np.abs(canvas.z - border - 10) < 0.3, FAT.but(echo=9))
