"""Vessels, muscle over bone and tendons of arms and legs, by linear probes."""

import numpy as np

from clbench_tools.ultrasound_simulator.canvas import Canvas
from clbench_tools.ultrasound_simulator.grid import Grid
from clbench_tools.ultrasound_simulator.parts import everywhere, organ, striped, surface
from clbench_tools.ultrasound_simulator.pose import Pose
from clbench_tools.ultrasound_simulator.shapes import Blob, segment, waves, wavy
from clbench_tools.ultrasound_simulator.tissue import BLOOD, BONE, CONNECTIVE, FAT, LIVER, MUSCLE


def vessel_across(grid: Grid, rng: np.random.Generator) -> Canvas:
    """Artery and veins cut across, between muscles; sometimes plaque or a nerve."""
    canvas = _limb(grid, rng)
    for _ in range(rng.integers(1, 4)):
        middle = (rng.uniform(-0.35, 0.35) * grid.probe.field, grid.probe.depth * rng.uniform(0.35, 0.75))
        width = rng.uniform(2, 0.12 * grid.probe.depth)
        lumen = Blob(middle, (width, width * rng.uniform(0.6, 1)), rng.normal(0, 0.2), waves(rng, 0.03, range(2, 5)))
        organ(canvas, lumen, BLOOD, wall=rng.uniform(0.3, 1.0))
        if rng.random() < 0.3:
            organ(canvas, Blob(lumen.body(0.2, 0.75), (0.5 * width, 0.25 * width)), BONE.but(echo=10, attenuation=6))
    nerve = Blob((rng.uniform(-10, 10), grid.probe.depth * rng.uniform(0.3, 0.7)), (3.5, 2))
    inside = organ(canvas, nerve, FAT.but(echo=6), wall=0.4)
    canvas.echo[canvas.above(0, inside, (0.9, 0.9), rng)] -= 12
    return canvas


def vessel_along(grid: Grid, rng: np.random.Generator) -> Canvas:
    """A vessel cut along: two bright walls with blood between."""
    canvas = _limb(grid, rng)
    level, width = grid.probe.depth * rng.uniform(0.4, 0.7), rng.uniform(3, 8)
    slope = rng.normal(0, 0.12)
    distance = np.abs(canvas.z - slope * canvas.x - wavy(canvas.x, level, 0.5, 40, rng))
    canvas.fill(distance < width / 2 + rng.uniform(0.5, 1.2), CONNECTIVE)
    canvas.fill(distance < width / 2 + 0.3, LIVER.but(echo=-14))
    canvas.fill(distance < width / 2, BLOOD)
    return canvas


def muscle(grid: Grid, rng: np.random.Generator) -> Canvas:
    """Muscle with fibres that run at an angle, a border between two bellies, and bone with its shadow."""
    canvas = _limb(grid, rng)
    border = np.abs(
        canvas.z
        - rng.normal(0, 0.1) * canvas.x
        - wavy(canvas.x, grid.probe.depth * rng.uniform(0.4, 0.6), 0.8, 30, rng)
    )
    canvas.fill(border < rng.uniform(0.3, 0.8), CONNECTIVE)
    if rng.random() < 0.7:
        deep = wavy(canvas.x, grid.probe.depth * rng.uniform(0.7, 0.9), 1.5, 35, rng)
        canvas.fill(canvas.z + rng.normal(0, 0.15) * canvas.x > deep, BONE)
    return canvas


def tendon(grid: Grid, rng: np.random.Generator) -> Canvas:
    """A tendon: a bright band of fine fibres over bone, sometimes torn."""
    canvas = _limb(grid, rng)
    level, width = grid.probe.depth * rng.uniform(0.25, 0.5), rng.uniform(4, 8)
    middle = canvas.z - rng.normal(0, 0.1) * canvas.x - wavy(canvas.x, level, 0.6, 40, rng)
    inside = np.abs(middle) < width / 2
    canvas.fill(inside, CONNECTIVE.but(echo=3))
    canvas.echo[canvas.above(0.2, inside, (14, 0.7), rng)] += 6
    if rng.random() < 0.5:
        organ(
            canvas,
            Blob((rng.uniform(-9, 9), level), (rng.uniform(2, 5), width / 3), 0, waves(rng, 0.1, range(2, 7))),
            MUSCLE.but(echo=-18),
        )
    canvas.fill(canvas.z > wavy(canvas.x, level + width + rng.uniform(2, 10), 1.5, 30, rng), BONE)
    return canvas


def lesions(grid: Grid, rng: np.random.Generator) -> Canvas:
    """No organ: blobs and lines of any tissue, over each other."""
    canvas = Canvas(grid, LIVER.but(echo=rng.uniform(-6, 4)), Pose(turn=rng.normal(0, 0.3)))
    canvas.vary(everywhere(canvas), (0.1 * grid.probe.depth,) * 2, rng.uniform(0, 2), rng)
    depth = grid.probe.depth
    for _ in range(rng.integers(2, 8)):
        middle = (float(rng.normal(0, 0.3 * depth)), float(depth * rng.uniform(0.1, 0.95)))
        axes = tuple(float(depth * a) for a in rng.uniform(0.03, 0.18, 2))
        tissue = LIVER.but(
            echo=rng.uniform(-40, 12), attenuation=rng.choice([0.01, 0.5, 1.2, 4.0], p=[0.3, 0.4, 0.2, 0.1])
        )
        organ(
            canvas,
            Blob(middle, (axes[0], axes[1]), rng.uniform(0, 3), waves(rng, 0.12, range(2, 9))),
            tissue,
            rng.choice([0, 0.01 * depth]),
        )
    for _ in range(rng.integers(0, 3)):
        ends = [(float(rng.normal(0, 0.3 * depth)), float(depth * rng.uniform(0.2, 0.9))) for _ in range(2)]
        canvas.fill(
            segment(canvas.x, canvas.z, ends[0], ends[1]) < 0.008 * depth, BONE.but(attenuation=rng.uniform(0, 8))
        )
    return canvas


def _limb(grid: Grid, rng: np.random.Generator) -> Canvas:
    canvas = Canvas(grid, MUSCLE, Pose(turn=rng.normal(0, 0.15), pivot=(0, grid.probe.depth / 2)))
    striped(canvas, everywhere(canvas), rng.uniform(0.8, 1.8), rng)
    surface(canvas, rng.uniform(0.8, 1.8), rng.uniform(2, 8), 0, rng)
    return canvas
