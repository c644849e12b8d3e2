"""Lung between ribs, by a linear probe. Behind the pleura nothing is anatomy: all is reverberation.

Aerated: lines that repeat the pleura at twice, three times its depth. B-lines: bright rays from the pleura to the
bottom. Consolidation: a lung without air looks like liver, with a ragged edge and gas in it.
"""

import numpy as np

from clbench_tools.ultrasound_mini.scene import Random, Scene, scanner
from clbench_tools.ultrasound_simulator.canvas import Canvas
from clbench_tools.ultrasound_simulator.grid import Grid
from clbench_tools.ultrasound_simulator.parts import surface
from clbench_tools.ultrasound_simulator.pose import Pose
from clbench_tools.ultrasound_simulator.probe import Floats
from clbench_tools.ultrasound_simulator.shapes import Blob, waves
from clbench_tools.ultrasound_simulator.texture import texture
from clbench_tools.ultrasound_simulator.tissue import BONE, CONNECTIVE, LIVER, LUNG, MUSCLE

CLASSES = ("aerated", "b-lines", "consolidation")


def aerated(grid: Grid, patient: Random, view: Random) -> Scene:
    """A lung full of air: repeated lines, at most one ray."""
    return _lung(grid, patient, view, 0)


def b_lines(grid: Grid, patient: Random, view: Random) -> Scene:
    """A lung with water between its air: three to five rays."""
    return _lung(grid, patient, view, 1)


def consolidated(grid: Grid, patient: Random, view: Random) -> Scene:
    """A lung with a part without air below the pleura."""
    return _lung(grid, patient, view, 2)


def _lung(grid: Grid, patient: Random, view: Random, label: int) -> Scene:
    """Surface, ribs with shadows, pleura, and one of three states of the lung."""
    pose = Pose((float(view.normal(0, 3)), 0.0), float(view.normal(0, 0.05)))
    tgc = patient.uniform(0.5, 0.6)
    canvas = Canvas(grid, MUSCLE, pose)
    below = surface(canvas, 1.5, patient.uniform(2.5, 6), patient.uniform(5, 9), patient)
    pleura = float(np.median(grid.depth[np.argmin(np.abs(below), axis=0)]))
    lines = label == 0 or patient.random() < 0.3
    _reverberation(canvas, below, tgc, patient)
    if lines:
        _repeated_lines(canvas, below, pleura, patient)
    rays = {0: int(view.random() < 0.25), 1: int(view.integers(3, 6)), 2: int(view.integers(0, 3))}[label]
    canvas.fill(np.abs(below) < 0.45, CONNECTIVE.but(echo=19, attenuation=tgc))
    if label == 2:
        _consolidation(canvas, below, pleura, patient)
    for place in view.permutation(np.linspace(-15, 15, 9))[:rays]:
        _ray(canvas, below, float(place + view.normal(0, 1)), view)
    for place in (-19.0, 19.0):
        if patient.random() < 0.6:
            rib = Blob((place + patient.normal(0, 2), pleura - 3.5), (5.5, 2.2))
            canvas.fill(rib.radius(canvas.x, canvas.z) < 1, BONE)
    return Scene(canvas, scanner(view, tgc))


def _reverberation(canvas: Canvas, below: Floats, tgc: float, patient: Random) -> None:
    behind = below > 0
    canvas.fill(behind, LUNG.but(attenuation=tgc, impedance=1.68))
    canvas.echo[behind] = -9 - 0.45 * below[behind]
    canvas.vary(behind, (14, 4), 2.5, patient)


def _repeated_lines(canvas: Canvas, below: Floats, pleura: float, patient: Random) -> None:
    for time in (1, 2, 3):
        line = np.abs(below - time * pleura) < 0.5
        canvas.echo[line] = 11 - 5 * time
        canvas.vary(line, (8, 8), 2.0, patient)


def _ray(canvas: Canvas, below: Floats, place: float, view: Random) -> None:
    width = view.uniform(0.5, 1.2) + 0.03 * np.maximum(below, 0)
    level = (
        view.uniform(3, 8) + 2.5 * texture(canvas.x, canvas.z, (2, 2.5), view) - 6 * ((canvas.x - place) / width) ** 2
    )
    canvas.echo = np.where(below > 0, np.maximum(canvas.echo, level), canvas.echo)


def _consolidation(canvas: Canvas, below: Floats, pleura: float, patient: Random) -> None:
    width, height = patient.uniform(6, 13), patient.uniform(5, 12)
    middle = (float(patient.uniform(-9, 9)), pleura + 0.25 * height)
    patch = Blob(middle, (width, height), 0, waves(patient, 0.12, range(3, 10)))
    radius = patch.radius(canvas.x, canvas.z)
    inside = (radius < 1) & (below > -0.3)
    edge = canvas.above(-0.5, (radius < 1.2) & (below > 0), (2, 2), patient)
    canvas.fill(edge, CONNECTIVE.but(echo=8, impedance=1.68, attenuation=0.6))
    canvas.fill(inside, LIVER.but(echo=patient.uniform(-8, -3), impedance=1.68))
    canvas.vary(inside, (2.5, 2.5), 1.5, patient)
    for _ in range(patient.integers(2, 7)):
        gas = Blob(patch.body(*patient.uniform(-0.6, 0.6, 2)), (patient.uniform(0.5, 1.6), 0.5), patient.normal(0, 0.5))
        canvas.echo[(gas.radius(canvas.x, canvas.z) < 1) & inside] = 13
