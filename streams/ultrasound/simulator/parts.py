"""Parts that many organs have: poses, walls, layers of the body's surface, muscle, gas."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from clbench.streams.ultrasound.simulator.canvas import Canvas, Where
from clbench.streams.ultrasound.simulator.probe import Floats
from clbench.streams.ultrasound.simulator.shapes import Blob, texture, wavy
from clbench.streams.ultrasound.simulator.tissue import AIR, CONNECTIVE, FAT, MUSCLE, SKIN, Tissue

Pose: TypeAlias = Callable[[Floats, Floats], tuple[Floats, Floats]]


def pose(shift: tuple[float, float] = (0, 0), turn: float = 0.0, pivot: tuple[float, float] = (0, 0)) -> Pose:
    """How the probe is held: the body is turned by `turn` radians about a pivot, then moved by `shift` mm."""
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))

    def to_body(x: Floats, z: Floats) -> tuple[Floats, Floats]:
        x, z = x - np.float32(shift[0] + pivot[0]), z - np.float32(shift[1] + pivot[1])
        return cos * x + sin * z + np.float32(pivot[0]), cos * z - sin * x + np.float32(pivot[1])

    return to_body


def mottle(canvas: Canvas, where: Where, size: tuple[float, float], strength: float, rng: np.random.Generator) -> None:
    """Let the echo level of a tissue vary by `strength` dB over so many mm."""
    canvas.echo[where] += np.float32(strength) * texture(canvas.x, canvas.z, size, rng)[where]


def organ(canvas: Canvas, blob: Blob, tissue: Tissue, wall: float = 0.0, label: int | None = None) -> Where:
    """Fill a blob and put a wall of connective tissue around it, mm thick; returns the inside."""
    radius = blob.radius(canvas.x, canvas.z)
    inside = radius < 1
    if wall:
        canvas.fill((radius >= 1) & (radius < 1 + wall / min(blob.axes)), CONNECTIVE)
    canvas.fill(inside, tissue, label)
    return inside


def surface(canvas: Canvas, skin: float, fat: float, muscle: float, rng: np.random.Generator) -> Floats:
    """Skin, fat with fibres and muscle, each so many mm thick, at the probe's face; returns the depth below them."""
    depth = np.broadcast_to(canvas.grid.depth[:, None], canvas.x.shape)
    x = canvas.grid.plane[0]
    base = wavy(x, skin + fat, 0.12 * fat, 30, rng)
    bottom = base + np.float32(muscle) + wavy(x, 0, 0.1 * muscle, 40, rng)
    if muscle:
        striped(canvas, (depth >= base) & (depth < bottom), 1.3, rng)
        canvas.fill(np.abs(depth - bottom) < 0.4, CONNECTIVE)
    inside = depth < base
    canvas.fill(inside, FAT)
    septa = np.abs(texture(canvas.x, canvas.z, (9, 1.8), rng)) < 0.12
    canvas.echo[inside & septa] += 7
    canvas.fill(np.abs(depth - base) < 0.3, CONNECTIVE)
    canvas.fill(depth < skin, SKIN)
    return depth - bottom


def striped(canvas: Canvas, where: Where, pitch: float, rng: np.random.Generator) -> None:
    """Muscle: dark, with long bright fibres `pitch` mm apart."""
    canvas.fill(where, MUSCLE)
    fibres = texture(canvas.x, canvas.z, (18, pitch), rng)
    canvas.echo[where] += np.where(fibres > 0.7, 8, 0)[where].astype(np.float32)


def gas(canvas: Canvas, blob: Blob) -> None:
    """Gas: a bright front and a shadow."""
    canvas.fill(blob.radius(canvas.x, canvas.z) < 1, AIR.but(echo=16))
