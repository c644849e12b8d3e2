"""The simulator against theory, as a table in Markdown.

`PYTHONPATH=tools python -m clbench_tools.ultrasound_simulator.measured` prints it.
"""

import argparse
import logging

import numpy as np

from clbench_tools.ultrasound_simulator import statistics as theory
from clbench_tools.ultrasound_simulator.canvas import Canvas
from clbench_tools.ultrasound_simulator.grid import Grid, grid_of
from clbench_tools.ultrasound_simulator.probe import CONVEX, FWHM, LINEAR, Floats
from clbench_tools.ultrasound_simulator.render import Settings, compressed, eight_bits, envelope
from clbench_tools.ultrasound_simulator.shapes import Blob
from clbench_tools.ultrasound_simulator.tissue import FLUID, LIVER, Tissue

LOG = logging.getLogger("measured")

STILL = Tissue(0, 0, 1.65)
"""Scatters and does not attenuate."""

PLAIN = Settings(noise=None, tgc=0, specular=0)
INSIDE = (slice(100, 924), slice(40, 344))
"""Away from the borders of a frame of 1024 x 384."""

Row = tuple[str, float, float]


def main() -> None:
    """Print measured values beside those of theory."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    LOG.info("| quantity | theory | measured |\n|---|---:|---:|")
    for part in (first_order(), greys(), looks(), widths(), sparse(), contrasts(), attenuation()):
        for name, expected, found in part:
            LOG.info("| %s | %.3g | %.3g |", name, expected, found)


def speckle(grid: Grid, settings: Settings = PLAIN, seed: int = 0) -> Floats:
    """Amplitude of uniform tissue."""
    return envelope(Canvas(grid, STILL), settings, np.random.default_rng(seed))


def first_order() -> list[Row]:
    """Of the amplitude of fully developed speckle."""
    amplitude = speckle(grid_of(CONVEX))[INSIDE]
    levels = theory.level(amplitude)
    return [
        ("SNR of the amplitude", theory.RAYLEIGH_SNR, theory.signal_to_noise(amplitude)),
        ("Nakagami m", 1.0, theory.nakagami(amplitude)),
        ("standard deviation of the level, dB", theory.LOG_STD, float(levels.std())),
        (
            "mean level against mean intensity, dB",
            theory.LOG_OFFSET,
            float(levels.mean()) - theory.intensity_level(amplitude),
        ),
    ]


def greys() -> list[Row]:
    """Standard deviation of the 8-bit image at three dynamic ranges, of the pixels that are not clipped."""
    amplitude = speckle(grid_of(CONVEX))[INSIDE]
    rows: list[Row] = []
    for width in (40.0, 50.0, 60.0):
        image = eight_bits(compressed(amplitude, Settings(dynamic_range=width, white=14)))
        shown = image[(image > 0) & (image < 255)].astype(float)
        rows.append((f"standard deviation of grey at {width:.0f} dB", theory.LOG_STD * 255 / width, float(shown.std())))
    return rows


def looks() -> list[Row]:
    """SNR of the mean of four envelopes."""
    amplitude = speckle(grid_of(CONVEX), PLAIN.model_copy(update={"looks": 4}))[INSIDE]
    return [("SNR of 4 looks", 2 * theory.RAYLEIGH_SNR, theory.signal_to_noise(amplitude))]


def widths() -> list[Row]:
    """Widths of the autocovariance, mm: along, and across at the focus and below it; several frames each."""
    rows: list[Row] = []
    for name, probe in (("convex", CONVEX), ("linear", LINEAR)):
        probe = probe.model_copy(update={"side_lobes": 0})
        grid = grid_of(probe)
        frames = [speckle(grid, seed=seed) for seed in range(4)]
        along = np.mean([theory.correlation_width(frame[INSIDE], 0, grid.axial_step) for frame in frames])
        rows.append((f"width along, {name}, mm", FWHM * probe.axial_sigma, float(along)))
        for place, depth in (("at the focus", probe.focus), ("at 0.85 of the depth", 0.85 * probe.depth)):
            row = int(depth / grid.axial_step)
            band = slice(row - 40, row + 40)
            step = float(grid.beam_distance[row])
            across = np.mean([theory.correlation_width(frame[band], 1, step) for frame in frames])
            expected = FWHM * float(probe.lateral_sigma(grid.depth[row : row + 1])[0])
            rows.append((f"width across {place}, {name}, mm", expected, float(across)))
    return rows


def sparse(frames: int = 6) -> list[Row]:
    """Nakagami m of few scatterers, around the focus, where the cell is known."""
    probe = CONVEX.model_copy(update={"side_lobes": 0})
    grid = grid_of(probe)
    row = int(probe.focus / grid.axial_step)
    band = (slice(row - 60, row + 60), slice(40, 344))
    cell = FWHM**2 * probe.axial_sigma * float(probe.lateral_sigma(grid.depth[row : row + 1])[0])
    rows: list[Row] = []
    for scatterers in (1, 2, 5, 10, 20, 50):
        settings = PLAIN.model_copy(update={"density": scatterers / cell})
        found = np.mean([theory.nakagami(speckle(grid, settings, seed)[band]) for seed in range(frames)])
        rows.append((f"Nakagami m, {scatterers} scatterers a cell", theory.sparse_nakagami(scatterers), float(found)))
    return rows


def contrasts() -> list[Row]:
    """Level and gCNR of lesions against their surroundings at the same depth."""
    rows: list[Row] = []
    for contrast in (-12.0, -6.0, 6.0):
        grid = grid_of(CONVEX)
        canvas = Canvas(grid, STILL)
        radius = Blob((0, 62), (16, 16)).radius(canvas.x, canvas.z)
        canvas.fill(radius < 1, STILL.but(echo=contrast))
        amplitude = envelope(canvas, PLAIN, np.random.default_rng(1))
        inside, outside = amplitude[radius < 0.8], amplitude[(radius > 1.3) & (np.abs(canvas.z - 62) < 16)]
        found = theory.intensity_level(inside) - theory.intensity_level(outside)
        rows.append((f"lesion of {contrast:+.0f} dB, dB", contrast, found))
        rows.append(("its gCNR", theory.speckle_gcnr(contrast), theory.gcnr(inside, outside)))
    return rows


def attenuation() -> list[Row]:
    """Level behind a cyst and behind a stone, against the same depth beside them."""
    cyst = behind(FLUID.but(impedance=LIVER.impedance), 20.0)
    stone = behind(LIVER.but(attenuation=20), 8.0)
    frequency = CONVEX.frequency
    return [
        ("enhancement behind a cyst of 20 mm, dB", 2 * frequency * (LIVER.attenuation - FLUID.attenuation) * 2.0, cyst),
        ("shadow behind a stone of 8 mm, dB (theory without noise and side lobes)", -2 * frequency * 19.5 * 0.8, stone),
    ]


def behind(tissue: Tissue, thickness: float) -> float:
    """Level behind a slab between two angles, so many mm thick, against liver beside it, dB."""
    grid = grid_of(CONVEX)
    canvas = Canvas(grid, LIVER)
    depth = grid.depth[:, None]
    middle = np.abs(grid.lateral)[None, :] < 0.25
    canvas.fill((depth >= 40) & (depth < 40 + thickness) & middle, tissue)
    amplitude = envelope(canvas, Settings(), np.random.default_rng(2))
    rows = (grid.depth > 40 + thickness + 3) & (grid.depth < 40 + thickness + 20)
    shadow = amplitude[rows][:, np.abs(grid.lateral) < 0.15]
    beside = amplitude[rows][:, (np.abs(grid.lateral) > 0.35) & (np.abs(grid.lateral) < 0.5)]
    return theory.intensity_level(shadow) - theory.intensity_level(beside)


if __name__ == "__main__":
    main()
