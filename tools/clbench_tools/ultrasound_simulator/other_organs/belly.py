"""Liver, kidney and gall bladder, by convex and phased probes."""

import numpy as np

from clbench_tools.ultrasound_simulator.canvas import Canvas
from clbench_tools.ultrasound_simulator.grid import Grid
from clbench_tools.ultrasound_simulator.parts import everywhere, gas, organ, surface
from clbench_tools.ultrasound_simulator.pose import Pose
from clbench_tools.ultrasound_simulator.shapes import Blob, segment, waves
from clbench_tools.ultrasound_simulator.tissue import (
    AIR,
    BLOOD,
    BONE,
    CONNECTIVE,
    FAT,
    FLUID,
    KIDNEY,
    LIVER,
    Tissue,
)


def liver(grid: Grid, rng: np.random.Generator) -> Canvas:
    """Liver with vessels, diaphragm and sometimes lesions."""
    canvas = _belly(grid, LIVER.but(echo=rng.uniform(-3, 4), attenuation=rng.uniform(0.4, 0.75)), rng)
    for _ in range(rng.integers(2, 7)):
        start, end = _inside(grid, rng), _inside(grid, rng)
        width, bright = rng.uniform(1, 4.5), rng.random() < 0.5
        distance = segment(canvas.x, canvas.z, start, end)
        if bright:
            canvas.fill(distance < width + 1.2, CONNECTIVE)
        canvas.fill(distance < width, BLOOD)
    for _ in range(rng.integers(0, 3)):
        kind = FLUID if rng.random() < 0.3 else LIVER.but(echo=rng.uniform(-12, 8))
        organ(
            canvas,
            Blob(_inside(grid, rng), (rng.uniform(4, 15), rng.uniform(4, 15)), 0, waves(rng, 0.06, range(2, 6))),
            kind,
        )
    far = Blob(
        (rng.normal(0, 20), grid.probe.depth * rng.uniform(0.2, 0.4)), (150, grid.probe.depth * rng.uniform(0.45, 0.6))
    )
    radius = far.radius(canvas.x, canvas.z)
    below = canvas.z > far.centre[1]
    canvas.fill(below & (radius > 1), AIR.but(echo=-2, attenuation=1.0))
    canvas.fill(below & (np.abs(radius - 1) < 0.012), CONNECTIVE.but(echo=14))
    return canvas


def kidney(grid: Grid, rng: np.random.Generator) -> Canvas:
    """Kidney beside liver: dark cortex, darker pyramids, bright sinus; sometimes stones or cysts."""
    canvas = _belly(grid, LIVER.but(echo=rng.uniform(-2, 3)), rng)
    middle = (rng.normal(0, 10), grid.probe.depth * rng.uniform(0.4, 0.6))
    size = rng.uniform(40, 56)
    outer = Blob(middle, (size, size * rng.uniform(0.42, 0.52)), rng.normal(0, 0.4), waves(rng, 0.03, range(2, 5)))
    canvas.vary(organ(canvas, outer, KIDNEY, wall=1.0), (4, 4), 1.0, rng)
    turns = rng.uniform(0, 6) + np.arange(9) * 2 * np.pi / 9
    for turn in turns:
        organ(canvas, Blob(outer.body(0.68 * np.cos(turn), 0.66 * np.sin(turn)), (4.5, 4.5)), KIDNEY.but(echo=-12))
    sinus = Blob(middle, (size * 0.52, size * 0.2), outer.angle, waves(rng, 0.15, range(3, 8)))
    canvas.vary(organ(canvas, sinus, FAT.but(echo=8)), (3, 3), 3.0, rng)
    if rng.random() < 0.4:
        organ(canvas, Blob(outer.body(*rng.uniform(-0.4, 0.4, 2)), (rng.uniform(2, 5), rng.uniform(1.5, 4))), BONE)
    if rng.random() < 0.3:
        organ(canvas, Blob(outer.body(0.8, rng.uniform(-0.4, 0.4)), (rng.uniform(5, 12),) * 2), FLUID, wall=0.6)
    return canvas


def gall_bladder(grid: Grid, rng: np.random.Generator) -> Canvas:
    """Gall bladder, with or without stones, below liver; bowel gas beside it."""
    canvas = _belly(grid, LIVER.but(echo=rng.uniform(-2, 3)), rng)
    middle = (rng.normal(0, 12), grid.probe.depth * rng.uniform(0.35, 0.55))
    length = rng.uniform(22, 38)
    bag = Blob(middle, (length, length * rng.uniform(0.3, 0.45)), rng.uniform(-0.7, 0.7), waves(rng, 0.05, range(2, 5)))
    inside = organ(canvas, bag, FLUID, wall=rng.uniform(1, 3))
    if rng.random() < 0.5:
        canvas.fill(inside & (bag.own(canvas.x, canvas.z)[1] > 0.6 * bag.axes[1]), LIVER.but(echo=-12))
    for _ in range(rng.integers(0, 4)):
        organ(canvas, Blob(bag.body(rng.uniform(-0.6, 0.6), 0.75), (rng.uniform(2, 6), rng.uniform(2, 4))), BONE)
    if rng.random() < 0.5:
        gas(
            canvas,
            Blob(
                (middle[0] + rng.choice([-1, 1]) * 45, middle[1] + rng.uniform(0, 25)),
                (18, 9),
                0,
                waves(rng, 0.1, range(2, 7)),
            ),
        )
    return canvas


def _belly(grid: Grid, tissue: Tissue, rng: np.random.Generator) -> Canvas:
    canvas = Canvas(grid, tissue, Pose(turn=rng.normal(0, 0.2)))
    canvas.vary(everywhere(canvas), (12, 12), rng.uniform(0.3, 1.2), rng)
    surface(canvas, 1.5, rng.uniform(5, 16), rng.uniform(4, 10), rng)
    return canvas


def _inside(grid: Grid, rng: np.random.Generator) -> tuple[float, float]:
    return float(rng.normal(0, 0.3 * grid.probe.depth)), float(grid.probe.depth * rng.uniform(0.25, 0.85))
