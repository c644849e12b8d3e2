"""Parts that many organs have: walls, layers of the body's surface, muscle, gas."""

import numpy as np

from clbench_tools.ultrasound_simulator.canvas import Canvas, Where
from clbench_tools.ultrasound_simulator.probe import Floats
from clbench_tools.ultrasound_simulator.shapes import Blob, wavy
from clbench_tools.ultrasound_simulator.texture import texture
from clbench_tools.ultrasound_simulator.tissue import AIR, CONNECTIVE, FAT, MUSCLE, SKIN, Tissue


def everywhere(canvas: Canvas) -> Where:
    """All samples."""
    return np.ones(canvas.x.shape, np.bool_)


def organ(canvas: Canvas, blob: Blob, tissue: Tissue, wall: float = 0.0, label: int | None = None) -> Where:
    """Fill a blob and put a wall of connective tissue around it, mm thick; returns the inside."""
    radius = blob.radius(canvas.x, canvas.z)
    inside = radius < 1
    if wall:
        around = (radius >= 1) & (radius < 1 + wall / min(blob.axes))
        canvas.fill(around, CONNECTIVE.but(echo=1))
        canvas.vary(around, (4 * wall, 4 * wall), 5.0, np.random.default_rng(0))
    canvas.fill(inside, tissue, label)
    return inside


def surface(canvas: Canvas, skin: float, fat: float, muscle: float, rng: np.random.Generator) -> Floats:
    """Skin, fat with fibres and muscle, each so many mm thick, at the probe's face.

    Fat that attenuates unevenly lays faint streaks over all that is below.

    Returns:
        Depth below them, mm; negative within them.
    """
    depth = np.broadcast_to(canvas.grid.depth[:, None], canvas.x.shape)
    x = canvas.grid.plane[0]
    base = wavy(x, skin + fat, 0.12 * fat, 30, rng)
    bottom = base + np.float32(muscle) + wavy(x, 0, 0.1 * muscle, 40, rng)
    if muscle:
        striped(canvas, (depth >= base) & (depth < bottom), 1.3, rng)
        canvas.fill(np.abs(depth - bottom) < 0.4, CONNECTIVE)
    inside = depth < base
    canvas.fill(inside, FAT)
    canvas.echo[canvas.above(1.2, inside, (9, 0.9), rng)] += 7
    canvas.fill(np.abs(depth - base) < 0.3, CONNECTIVE)
    canvas.fill(depth < skin, SKIN)
    beams = canvas.grid.lateral / np.ptp(canvas.grid.lateral)
    shade = np.maximum(1 + np.float32(0.35) * texture(beams, np.zeros_like(beams), (0.12, 1), rng), 0.2)
    canvas.attenuation *= np.where(depth < base, shade, 1)
    return depth - bottom


def striped(canvas: Canvas, where: Where, pitch: float, rng: np.random.Generator) -> None:
    """Muscle: dark, with long bright fibres `pitch` mm apart."""
    canvas.fill(where, MUSCLE)
    canvas.echo[canvas.above(0.7, where, (18, pitch), rng)] += 8


def gas(canvas: Canvas, blob: Blob) -> None:
    """Gas: a bright front and a shadow."""
    canvas.fill(blob.radius(canvas.x, canvas.z) < 1, AIR.but(echo=16))
