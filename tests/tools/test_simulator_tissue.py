"""Lesions, attenuation, interfaces, noise and gain of the simulator against arithmetic."""

import numpy as np
import pytest

from clbench_tools.ultrasound_simulator import measured
from clbench_tools.ultrasound_simulator import statistics as theory
from clbench_tools.ultrasound_simulator.boundary import interfaces
from clbench_tools.ultrasound_simulator.canvas import Canvas
from clbench_tools.ultrasound_simulator.grid import Grid, grid_of
from clbench_tools.ultrasound_simulator.measured import PLAIN, STILL
from clbench_tools.ultrasound_simulator.probe import CONVEX, LINEAR
from clbench_tools.ultrasound_simulator.render import Settings, compressed, eight_bits, envelope
from clbench_tools.ultrasound_simulator.tissue import FLUID, LIVER


def test_lesions_have_the_contrast_that_was_painted() -> None:
    rows = measured.contrasts()
    assert len(rows) == 6
    for name, expected, found in rows:
        assert found == pytest.approx(expected, abs=0.04 if "gCNR" in name else 0.7), name


def test_behind_a_cyst_it_is_brighter_and_behind_a_stone_dark() -> None:
    (_, enhancement, found), (_, _, shadow) = measured.attenuation()
    assert found == pytest.approx(enhancement, abs=0.7)
    assert shadow < -15


def test_attenuation_is_two_way_and_gain_makes_it_good() -> None:
    grid = grid_of(LINEAR, 512, 192)
    canvas = Canvas(grid, STILL.but(attenuation=0.5))
    amplitude = envelope(canvas, PLAIN, np.random.default_rng(0))
    near, far = (theory.intensity_level(amplitude[row - 30 : row + 30]) for row in (100, 400))
    cm = 300 * grid.axial_step / 10
    assert near - far == pytest.approx(2 * 0.5 * 7.6 * cm, abs=0.6)
    level = envelope(canvas, PLAIN.model_copy(update={"tgc": 0.5}), np.random.default_rng(0))
    near, far = (theory.intensity_level(level[row - 30 : row + 30]) for row in (100, 400))
    assert near - far == pytest.approx(0, abs=0.6)


def test_noise_rises_with_the_gain() -> None:
    grid = grid_of(CONVEX, 512, 192)
    canvas = Canvas(grid, STILL.but(echo=-200))
    settings = Settings(noise=-50, tgc=0.5, specular=0)
    amplitude = envelope(canvas, settings, np.random.default_rng(0))
    for row in (100, 400):
        expected = -50 + 2 * 0.5 * 3.57 * grid.depth[row] / 10
        assert theory.intensity_level(amplitude[row - 5 : row + 6]) == pytest.approx(expected, abs=0.5)


def test_a_flat_interface_reflects_as_its_impedances_say() -> None:
    grid = Grid(LINEAR, 256, 96)
    canvas = Canvas(grid, LIVER)
    canvas.fill(canvas.z >= 20, LIVER.but(impedance=3.3))  # twice as much: R = 1 / 3
    found = interfaces(canvas)
    assert len(found.row) == grid.columns
    assert np.allclose(found.reflection, 1 / 3, atol=1e-5)
    assert np.allclose(found.facing, 1, atol=1e-3)
    loss = found.loss(grid)
    assert np.allclose(loss[found.row[0] :], -20 * np.log10(1 - 1 / 9), atol=1e-4)
    assert not loss[: found.row[0]].any()


def test_an_oblique_interface_faces_away_by_its_angle() -> None:
    grid = Grid(LINEAR, 1024, 384)
    canvas = Canvas(grid, LIVER)
    canvas.fill(canvas.z - canvas.x * np.tan(np.radians(30)) > 20, LIVER.but(impedance=1.8))
    middle = np.abs(interfaces(canvas).column - 192) < 100
    facing = interfaces(canvas).facing[middle]
    assert facing.mean() == pytest.approx(np.cos(np.radians(30)), abs=0.02)


@pytest.mark.parametrize(("rows", "columns"), [(512, 192), (1024, 384)])
def test_the_echo_of_an_interface_does_not_depend_on_the_grid(rows: int, columns: int) -> None:
    probe = LINEAR.model_copy(update={"side_lobes": 0})
    grid = Grid(probe, rows, columns)
    canvas = Canvas(grid, STILL.but(echo=-200))
    canvas.fill(canvas.z >= 20, STILL.but(echo=-200, impedance=3.3))
    amplitude = envelope(canvas, PLAIN.model_copy(update={"specular": 12}), np.random.default_rng(0))
    peak = np.median(amplitude.max(axis=0)[columns // 8 : -columns // 8])
    sigma = float(probe.lateral_sigma(np.array([20], np.float32))[0])
    expected = 12 / 3 * np.sqrt(2 * sigma / probe.axial_sigma)
    assert 20 * np.log10(peak / expected) == pytest.approx(0, abs=1)


def test_what_is_behind_air_is_gone() -> None:
    grid = grid_of(CONVEX, 512, 192)
    canvas = Canvas(grid, STILL)
    canvas.fill((canvas.z > 40) & (canvas.z < 45), STILL.but(impedance=0.0004))
    amplitude = envelope(canvas, PLAIN, np.random.default_rng(0))
    before, behind = grid.depth < 35, grid.depth > 60
    columns = slice(80, 112)
    gone = theory.intensity_level(amplitude[behind][:, columns]) - theory.intensity_level(amplitude[before][:, columns])
    assert gone < -60


def test_log_compression_by_hand() -> None:
    settings = Settings(dynamic_range=60, white=20)
    amplitude = np.array([10.0, 1.0, 0.1, 0.01, 1e-9, 1000.0], np.float32)
    assert np.allclose(compressed(amplitude, settings), [1, 2 / 3, 1 / 3, 0, 0, 1], atol=1e-6)
    assert eight_bits(np.array([0, 0.5, 1], np.float32)).tolist() == [0, 128, 255]


def test_haze_lies_near_the_probe() -> None:
    grid = grid_of(CONVEX, 512, 192)
    canvas = Canvas(grid, FLUID.but(echo=-200))
    settings = PLAIN.model_copy(update={"haze": -10.0, "haze_depth": 10.0})
    amplitude = envelope(canvas, settings, np.random.default_rng(0))
    for depth in (10, 30):
        row = int(depth / grid.axial_step)
        found = theory.intensity_level(amplitude[row - 5 : row + 6])
        assert found == pytest.approx(-10 - 20 * depth / 10 * np.log10(np.e), abs=1)
