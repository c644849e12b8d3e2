"""Frames for pre-training: organs and probes that no task of a stream has.

`PYTHONPATH=tools python -m clbench_tools.ultrasound_simulator.pretraining --frames 4000 --size 96 --out FILE.npz`
writes them as `frames`, `(n, size, size)` uint8, for scripts that may not import streams.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from clbench_tools.ultrasound_simulator.canvas import Canvas
from clbench_tools.ultrasound_simulator.grid import Grid
from clbench_tools.ultrasound_simulator.other_organs.belly import gall_bladder, kidney, liver
from clbench_tools.ultrasound_simulator.other_organs.limbs import (
    lesions,
    muscle,
    tendon,
    vessel_across,
    vessel_along,
)
from clbench_tools.ultrasound_simulator.probe import Probe
from clbench_tools.ultrasound_simulator.render import Grey, Settings, compressed, eight_bits, envelope
from clbench_tools.ultrasound_simulator.scan import Converter

STREAM_OF_SEEDS = 0x5EED
"""Keeps these frames' random numbers apart from those of any stream, whose generators are not made with it."""

Painter = Callable[[Grid, np.random.Generator], Canvas]
DEEP: tuple[Painter, ...] = (liver, kidney, gall_bladder, lesions)
NEAR: tuple[Painter, ...] = (vessel_across, vessel_along, muscle, tendon, lesions)
ROWS, COLUMNS = 448, 160


def pretraining_frames(seed: int, n: int, size: int) -> Iterator[Grey]:
    """Yield `n` grey images, `(size, size)` uint8, squashed to a square as learners do.

    Args:
        seed: Seed; the first images do not depend on `n`.
        n: How many.
        size: Side of an image, pixels.
    """
    for index in range(n):
        yield _frame(np.random.default_rng((STREAM_OF_SEEDS, seed, index)), size)


def _frame(rng: np.random.Generator, size: int) -> Grey:
    near = rng.random() < 0.45
    probe = _linear(rng) if near else _sector(rng)
    grid = Grid(probe, ROWS, COLUMNS)
    painters = NEAR if near else DEEP
    canvas = painters[rng.integers(len(painters))](grid, rng)
    settings = Settings(
        looks=int(rng.integers(1, 3)),
        noise=rng.uniform(-60, -45),
        tgc=rng.uniform(0.65, 0.95) if near else rng.uniform(0.4, 0.6),
        dynamic_range=rng.uniform(50, 70),
        white=rng.uniform(22, 34),
        haze=rng.uniform(-25, -8) if rng.random() < 0.3 else None,
    )
    grey = compressed(envelope(canvas, settings, rng), settings)
    image = Converter(grid, size, oversampling=2).image(grey)
    return np.asarray(Image.fromarray(eight_bits(image)).resize((size, size), Image.Resampling.BILINEAR))


def _linear(rng: np.random.Generator) -> Probe:
    depth = rng.uniform(30, 60)
    return Probe(
        frequency=rng.uniform(5, 7),
        bandwidth=rng.uniform(0.55, 0.8),
        field=rng.uniform(38, 52),
        depth=depth,
        aperture=12,
        focus=depth * rng.uniform(0.4, 0.6),
        focal_zone=depth * 0.3,
        side_lobes=0.01,
    )


def _sector(rng: np.random.Generator) -> Probe:
    depth, phased = rng.uniform(110, 180), rng.random() < 0.25
    return Probe(
        frequency=rng.uniform(2.2, 3.2) if phased else rng.uniform(2.5, 5),
        bandwidth=rng.uniform(0.55, 0.8),
        radius=rng.uniform(6, 12) if phased else rng.uniform(40, 62),
        field=rng.uniform(75, 90) if phased else rng.uniform(55, 75),
        depth=depth,
        aperture=20 if phased else 24,
        focus=depth * rng.uniform(0.4, 0.65),
        focal_zone=depth * 0.3,
        side_lobes=0.015,
    )


def main() -> None:
    """Write frames into a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the .npz file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--frames", type=int, required=True)
    parser.add_argument("--size", type=int, required=True, help="side of a frame, pixels")
    options = parser.parse_args()
    frames = np.stack(list(pretraining_frames(options.seed, options.frames, options.size)))
    np.savez_compressed(options.out, frames=frames)


if __name__ == "__main__":
    main()
