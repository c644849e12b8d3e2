"""Birth: pubic symphysis and fetal head by a convex probe at the perineum.

Three points: upper and lower end of the symphysis, and where the tangent from its lower end touches the head; they
give the angle of progression.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from clbench_tools.ultrasound_mini.organs.fetus import SKULL
from clbench_tools.ultrasound_mini.scene import Random, Scene, moved, scanner
from clbench_tools.ultrasound_simulator.canvas import Canvas
from clbench_tools.ultrasound_simulator.grid import Grid
from clbench_tools.ultrasound_simulator.parts import everywhere, organ, surface
from clbench_tools.ultrasound_simulator.pose import Pose
from clbench_tools.ultrasound_simulator.shapes import Blob
from clbench_tools.ultrasound_simulator.tissue import LIVER


def pelvis(grid: Grid, patient: Random, view: Random) -> Scene:
    """An oval of cartilage with a bright capsule, and a skull that has come down more or less far."""
    pose = Pose(moved(view, 4, 2.5), float(patient.normal(0, 0.1) + view.normal(0, 0.07)), (0, 55))
    canvas = Canvas(grid, LIVER.but(echo=patient.uniform(-4, 0), attenuation=0.6), pose)
    canvas.vary(everywhere(canvas), (10, 4), 3.0, patient)
    half = patient.uniform(14, 18)
    bone = Blob(
        (patient.uniform(-26, -20), patient.uniform(30, 35)),
        (half, half * patient.uniform(0.36, 0.46)),
        patient.uniform(0.4, 0.75),
    )
    size, down = patient.uniform(38, 46), view.uniform(-8, 14)
    skull = Blob(
        (patient.uniform(4, 12) + down, patient.uniform(88, 94) - down),
        (size * patient.uniform(1, 1.15), size),
        patient.uniform(0.3, 0.9),
    )
    low = np.array(bone.body(1, 0))
    while _near(skull, low) < 1.15:  # a head does not come through the symphysis
        skull = replace(skull, centre=(skull.centre[0] + 0.5, skull.centre[1] + 1))
    radius = skull.radius(canvas.x, canvas.z)
    canvas.fill(radius < 1 + 3 / size, LIVER.but(echo=2))
    canvas.fill(radius < 1, SKULL.but(attenuation=5.0))
    brain = radius < 1 - 2.5 / size
    canvas.fill(brain, LIVER.but(echo=patient.uniform(-16, -11), attenuation=0.5))
    canvas.vary(brain, (8, 6), 2.0, patient)
    inside = organ(canvas, bone, LIVER.but(echo=patient.uniform(-13, -8), attenuation=1.4), wall=1.3)
    canvas.vary(inside, (4, 3), 1.5, patient)
    surface(canvas, 2, patient.uniform(2, 5), patient.uniform(2, 4), patient)
    points = np.array([bone.body(-1, 0), low, tangent(low, skull)])
    return Scene(canvas, scanner(view, 0.55), points=canvas.pose.to_plane(points))


def _near(blob: Blob, point: NDArray[np.float64]) -> float:
    place = point.astype(np.float32)
    return float(blob.radius(place[:1], place[1:])[0])


def tangent(point: NDArray[np.float64], blob: Blob) -> tuple[float, float]:
    """Where the tangent from a point outside touches an ellipse, the touch that lies further to the right."""
    turns = np.linspace(0, 2 * np.pi, 3600, endpoint=False)
    edge = np.array([blob.body(float(np.cos(turn)), float(np.sin(turn))) for turn in turns])
    x, z = edge[np.argmin(np.arctan2(edge[:, 1] - point[1], edge[:, 0] - point[0]))]
    return float(x), float(z)
