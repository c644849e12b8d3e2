"""A fetus in the womb, by convex probes: head, belly and thigh."""

import numpy as np

from clbench_tools.ultrasound_mini.scene import Random, Scene, moved, scanner
from clbench_tools.ultrasound_simulator.canvas import Canvas
from clbench_tools.ultrasound_simulator.grid import Grid
from clbench_tools.ultrasound_simulator.parts import everywhere, organ, surface
from clbench_tools.ultrasound_simulator.pose import Pose
from clbench_tools.ultrasound_simulator.shapes import Blob, segment, waves
from clbench_tools.ultrasound_simulator.tissue import BONE, CONNECTIVE, FLUID, LIVER

SKULL = BONE.but(echo=15, attenuation=3.0)
"""Thin and half mineralised: the far side still shows."""


def head(grid: Grid, patient: Random, view: Random) -> Scene:
    """Skull with brain, midline, cavum and choroid plexus; label 1 is the head, skull included."""
    half = patient.uniform(24, 38)
    middle = (0.0, float(patient.uniform(58, 68)))
    canvas = _womb(grid, middle, patient, view, tilt=0.5)
    skull = Blob(middle, (half * patient.uniform(1.18, 1.35), half), 0, waves(patient, 0.015, range(2, 5)))
    radius = skull.radius(canvas.x, canvas.z)
    _skin(canvas, skull, 1.5)
    canvas.fill(radius < 1, SKULL, label=1)
    brain = radius < 1 - 2.0 / half
    canvas.fill(brain, LIVER.but(echo=patient.uniform(-14, -9), attenuation=0.35))
    canvas.vary(brain, (7, 5), 2.0, patient)
    for side in (-1, 1):
        plexus = Blob(skull.body(-0.25, 0.4 * side), (0.3 * half, 0.11 * half), 0.2 * side)
        organ(canvas, Blob(skull.body(-0.2, 0.4 * side), (0.45 * half, 0.17 * half), 0.15 * side), FLUID)
        canvas.vary(organ(canvas, plexus, LIVER.but(echo=-3)), (2, 2), 2, patient)
    midline = segment(canvas.x, canvas.z, skull.body(-0.85, 0), skull.body(0.88, 0))
    canvas.fill(canvas.above(-0.7, midline < 0.7, (6, 6), patient), CONNECTIVE)
    cavum = Blob(skull.body(0.42, 0), (0.16 * half, 0.09 * half))
    organ(canvas, cavum, FLUID, wall=0.7)
    return Scene(canvas, scanner(view, 0.36))


def belly(grid: Grid, patient: Random, view: Random) -> Scene:
    """Cross-section of the belly with liver, stomach, vein and spine; the value is its circumference in mm."""
    long = patient.uniform(28, 48)
    outline = Blob(
        (0.0, float(patient.uniform(58, 66))),
        (long, long * patient.uniform(0.84, 0.98)),
        0,
        waves(patient, 0.008, range(2, 5)),
    )
    canvas = _womb(grid, outline.centre, patient, view, tilt=0.9)
    _skin(canvas, outline, 1.0)
    radius = outline.radius(canvas.x, canvas.z)
    inside = radius < 1
    canvas.fill(inside, LIVER.but(echo=patient.uniform(-5, -1)))
    canvas.vary(inside, (6, 6), 1.5, patient)
    canvas.fill((radius < 1) & (radius > 1 - 3 / long), CONNECTIVE.but(echo=4, attenuation=0.8))
    organ(
        canvas, Blob(outline.body(-0.5, -0.1), (0.22 * long, 0.15 * long), 0.5, waves(patient, 0.1, range(2, 5))), FLUID
    )
    vein = segment(canvas.x, canvas.z, outline.body(0.65, -0.15), outline.body(0.15, 0.05))
    canvas.fill(vein < 0.055 * long, FLUID.but(echo=-30))
    around = patient.uniform(0.9, 2.2)
    spine = outline.body(0.68 * np.cos(around), 0.68 * np.sin(around))
    for dx, dz in ((-3.5, 0), (3.5, 0), (0, 4)):
        canvas.fill(Blob((spine[0] + dx, spine[1] + dz), (1.8, 1.4)).radius(canvas.x, canvas.z) < 1, BONE)
    organ(canvas, Blob((spine[0] - 9 * np.cos(around), spine[1] - 9 * np.sin(around)), (2.6, 2.6)), FLUID, wall=0.5)
    for turn in patient.uniform(0, 2 * np.pi, 3):
        rib = outline.body(0.95 * np.cos(turn), 0.95 * np.sin(turn))
        canvas.fill(Blob(rib, (2.0, 1.0), turn + np.pi / 2).radius(canvas.x, canvas.z) < 1, SKULL)
    return Scene(canvas, scanner(view, 0.36), value=perimeter(*outline.axes))


def thigh(grid: Grid, patient: Random, view: Random) -> Scene:
    """The femur in its thigh, and another limb across; the points are its ends, left one first."""
    half, middle = patient.uniform(11, 27), np.array([0.0, patient.uniform(40, 55)])
    canvas = _womb(grid, (0.0, float(middle[1])), patient, view, tilt=0.28)
    bone = Blob((0.0, float(middle[1])), (half, 1.4))
    start, end = bone.body(-1, 0), bone.body(1, 0)
    flesh = segment(canvas.x, canvas.z, bone.body(-1.5, 0), bone.body(1.25, 0))
    thick = patient.uniform(8, 13)
    inside = flesh < thick
    canvas.fill(inside, LIVER.but(echo=patient.uniform(-9, -4), attenuation=0.7))
    canvas.vary(inside, (6, 2), 2.5, patient)
    limb = Blob(
        (float(patient.choice([-1, 1]) * patient.uniform(26, 40)), float(middle[1] + patient.uniform(8, 22))), (9, 8)
    )
    canvas.vary(organ(canvas, limb, LIVER.but(echo=-6)), (3, 3), 2, patient)
    canvas.fill(Blob(limb.centre, (2.2, 1.6)).radius(canvas.x, canvas.z) < 1, BONE.but(attenuation=8))
    sag = np.float32(patient.uniform(0, 1.6))
    along, across = bone.own(canvas.x, canvas.z)
    share = along / np.float32(half)
    shaft = np.abs(across + sag * (1 - share**2)) < 1.1 + 1.1 * share**6
    canvas.fill(shaft & (np.abs(share) < 1), BONE.but(echo=18))
    points = canvas.pose.to_plane(np.array([start, end]))
    return Scene(canvas, scanner(view, 0.34), points=points[np.argsort(points[:, 0])])


def perimeter(a: float, b: float) -> float:
    """Perimeter of an ellipse with these half axes (Ramanujan's first formula, as in HC18)."""
    return float(np.pi * (3 * (a + b) - np.sqrt((3 * a + b) * (a + 3 * b))))


def _womb(grid: Grid, middle: tuple[float, float], patient: Random, view: Random, tilt: float) -> Canvas:
    """Mother's surface, womb, placenta and fluid; the fetus will lie at `middle`, and moves from view to view."""
    shift = moved(view, 6, 3)
    turn = float(patient.normal(0, tilt) + view.normal(0, 0.12))
    canvas = Canvas(
        grid, LIVER.but(echo=patient.uniform(-6, -1), attenuation=0.6), Pose(shift, turn, middle, view.random() < 0.5)
    )
    canvas.vary(everywhere(canvas), (9, 5), 2.0, patient)
    sac = Blob(
        (middle[0], middle[1] + 4),
        (patient.uniform(60, 78), patient.uniform(38, 52)),
        -turn,
        waves(patient, 0.06, range(2, 6)),
    )
    organ(canvas, sac, FLUID.but(echo=-30), wall=1.5)
    side = float(patient.choice([-1.0, 1.0]))
    placenta = Blob(
        sac.body(0.5 * side, -0.9 if patient.random() < 0.5 else 0.95),
        (45, 14),
        -turn,
        waves(patient, 0.08, range(2, 6)),
    )
    canvas.vary(organ(canvas, placenta, LIVER.but(echo=1)), (5, 5), 1.5, patient)
    surface(canvas, 2, patient.uniform(5, 14), patient.uniform(3, 7), patient)
    return canvas


def _skin(canvas: Canvas, blob: Blob, thickness: float) -> None:
    """Fluid right around a part of the fetus, and its skin."""
    radius = blob.radius(canvas.x, canvas.z) * np.float32(min(blob.axes))
    size = np.float32(min(blob.axes))
    near = (radius < size + thickness + 3) & (radius >= size)
    canvas.fill(near, FLUID.but(echo=-30))
    canvas.fill((radius < size + thickness) & (radius >= size), LIVER.but(echo=-3))
