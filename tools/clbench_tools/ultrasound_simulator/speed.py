"""Seconds a frame of 1024 x 384: `PYTHONPATH=tools python -m clbench_tools.ultrasound_simulator.speed`.

Prints processor time of the one thread, which other programs on the machine change little, and wall-clock time.
"""

import argparse
import logging
import statistics
import time
from collections.abc import Callable

import numpy as np

from clbench_tools.ultrasound_simulator.canvas import Canvas
from clbench_tools.ultrasound_simulator.grid import grid_of
from clbench_tools.ultrasound_simulator.probe import CONVEX, Floats
from clbench_tools.ultrasound_simulator.render import Settings, compressed, envelope
from clbench_tools.ultrasound_simulator.scan import converter_of
from clbench_tools.ultrasound_simulator.shapes import Blob
from clbench_tools.ultrasound_simulator.tissue import BONE, FLUID, LIVER

LOG = logging.getLogger("speed")
TURNS = 11


def main() -> None:
    """Time the steps of a frame with a cyst and a stone; medians, the first turn left out."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    grid, rng = grid_of(CONVEX), np.random.default_rng(0)
    converter = converter_of(grid, 256)

    def painted() -> Canvas:
        canvas = Canvas(grid, LIVER)
        canvas.fill(Blob((-15, 60), (12, 10)).radius(canvas.x, canvas.z) < 1, FLUID)
        canvas.fill(Blob((20, 50), (5, 4)).radius(canvas.x, canvas.z) < 1, BONE)
        return canvas

    def frame() -> Floats:
        return converter.image(compressed(envelope(painted(), settings, rng), settings))

    canvas, settings = painted(), Settings()
    amplitude = envelope(canvas, settings, rng)
    grey = compressed(amplitude, settings)
    plain = Settings(noise=None, specular=0)
    speckle = Canvas(grid, LIVER)
    steps: dict[str, Callable[[], object]] = {
        "maps": painted,
        "envelope": lambda: envelope(canvas, settings, rng),
        "envelope, speckle only": lambda: envelope(speckle, plain, rng),
        "log compression": lambda: compressed(amplitude, settings),
        "scan conversion to 256 rows": lambda: converter.image(grey),
        "a frame, all steps": frame,
    }
    LOG.info("%-28s %9s %9s", "", "processor", "wall")
    for name, step in steps.items():
        LOG.info("%-28s %7.3f s %7.3f s", name, *_medians(step))


def _medians(step: Callable[[], object]) -> tuple[float, float]:
    """Processor and wall-clock seconds."""
    times = []
    for _ in range(TURNS):
        begin = time.process_time(), time.perf_counter()
        step()
        times.append((time.process_time() - begin[0], time.perf_counter() - begin[1]))
    processor, wall = zip(*times[1:], strict=True)
    return statistics.median(processor), statistics.median(wall)


if __name__ == "__main__":
    main()
