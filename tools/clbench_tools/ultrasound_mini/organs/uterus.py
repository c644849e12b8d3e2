"""The womb behind the bladder with a fibroid, by a convex probe; label 1 is the fibroid."""

import numpy as np

from clbench_tools.ultrasound_mini.scene import Random, Scene, moved, scanner
from clbench_tools.ultrasound_simulator.canvas import Canvas
from clbench_tools.ultrasound_simulator.grid import Grid
from clbench_tools.ultrasound_simulator.parts import everywhere, gas, organ, surface
from clbench_tools.ultrasound_simulator.pose import Pose
from clbench_tools.ultrasound_simulator.shapes import Blob, waves
from clbench_tools.ultrasound_simulator.tissue import CONNECTIVE, FLUID, LIVER


def uterus(grid: Grid, patient: Random, view: Random) -> Scene:
    """Surface, bladder, womb with its lining, a whorled fibroid in or on its wall, gas in bowels."""
    pose = Pose(moved(view, 5, 3), float(view.normal(0, 0.08)), (0, 60), view.random() < 0.5)
    canvas = Canvas(grid, LIVER.but(echo=patient.uniform(-3, 2), attenuation=0.55), pose)
    canvas.vary(everywhere(canvas), (9, 6), 3.0, patient)
    body = Blob(
        (patient.normal(4, 4), patient.uniform(64, 72)),
        (patient.uniform(36, 46), patient.uniform(17, 24)),
        patient.normal(0.15, 0.15),
        waves(patient, 0.04, range(2, 5)),
    )
    canvas.vary(organ(canvas, body, LIVER.but(echo=patient.uniform(-9, -6)), wall=0.8), (5, 4), 1.2, patient)
    lining = Blob(
        body.body(0.1, 0), (0.6 * body.axes[0], patient.uniform(1.5, 4)), body.angle, waves(patient, 0.1, range(2, 5))
    )
    canvas.vary(organ(canvas, lining, LIVER.but(echo=2)), (4, 2), 1.5, patient)
    _fibroid(canvas, body, patient)
    bladder = Blob(
        (patient.uniform(-22, -8), patient.uniform(30, 36)),
        (patient.uniform(17, 28), patient.uniform(8, 13)),
        patient.normal(0.15, 0.1),
        waves(patient, 0.05, range(2, 5)),
    )
    organ(canvas, bladder, FLUID, wall=1.6)
    for place in (-62.0, 64.0):
        if patient.random() < 0.6:
            gas(
                canvas,
                Blob(
                    (place + patient.normal(0, 6), patient.uniform(50, 85)),
                    (15, 8),
                    0,
                    waves(patient, 0.12, range(2, 7)),
                ),
            )
    surface(canvas, 2, patient.uniform(5, 12), patient.uniform(4, 7), patient)
    return Scene(canvas, scanner(view, 0.5))


def _fibroid(canvas: Canvas, body: Blob, patient: Random) -> None:
    size, around = patient.uniform(8, 17), patient.uniform(0, 2 * np.pi)
    middle = body.body(0.75 * np.cos(around), (0.5 + size / 40) * np.sin(around))
    blob = Blob(
        middle, (size, size * patient.uniform(0.78, 1.0)), patient.uniform(0, 3), waves(patient, 0.03, range(2, 6))
    )
    tissue = LIVER.but(echo=patient.uniform(-18, -12), attenuation=patient.uniform(0.8, 1.3))
    inside = organ(canvas, blob, tissue, wall=0.9, label=1)
    whorls = np.sin(np.float32(size) * blob.radius(canvas.x, canvas.z) * np.float32(2 * np.pi / 5))
    canvas.echo[inside] += 2.5 * whorls[inside]
    canvas.vary(inside, (3, 3), 1.5, patient)
    if patient.random() < 0.25:
        organ(canvas, Blob(blob.body(*patient.uniform(-0.5, 0.5, 2)), (2, 1.2)), CONNECTIVE.but(echo=14, attenuation=8))
