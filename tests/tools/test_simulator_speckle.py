"""Speckle of the simulator against theory: first and second order, few scatterers, looks, grey."""

import math

import numpy as np
import pytest
from scipy import stats

from clbench_tools.ultrasound_simulator import measured
from clbench_tools.ultrasound_simulator import statistics as theory
from clbench_tools.ultrasound_simulator.blur import blurred
from clbench_tools.ultrasound_simulator.grid import Grid, grid_of
from clbench_tools.ultrasound_simulator.measured import INSIDE, PLAIN, speckle
from clbench_tools.ultrasound_simulator.probe import CONVEX, FWHM, LINEAR, PHASED, Probe
from clbench_tools.ultrasound_simulator.scatterers import dense, sparse


def test_theory_by_its_numbers() -> None:
    assert pytest.approx(1.913, abs=1e-3) == theory.RAYLEIGH_SNR
    assert pytest.approx(5.57, abs=1e-2) == theory.LOG_STD
    assert pytest.approx(-2.51, abs=1e-2) == theory.LOG_OFFSET
    assert theory.speckle_gcnr(6) == pytest.approx(0.471, abs=1e-3)
    assert theory.speckle_gcnr(-12) == pytest.approx(0.778, abs=1e-3)
    assert theory.sparse_nakagami(1) == pytest.approx(0.274, abs=1e-3)


def test_measures_on_numbers_drawn_by_scipy() -> None:
    rng = np.random.default_rng(0)
    amplitude = stats.rayleigh.rvs(size=200_000, random_state=rng).astype(np.float32)
    assert theory.signal_to_noise(amplitude) == pytest.approx(theory.RAYLEIGH_SNR, rel=0.01)
    assert theory.nakagami(amplitude) == pytest.approx(1, rel=0.02)
    half = stats.nakagami.rvs(0.5, size=200_000, random_state=rng).astype(np.float32)
    assert theory.nakagami(half) == pytest.approx(0.5, rel=0.03)
    assert theory.gcnr(amplitude, 2 * amplitude) == pytest.approx(theory.speckle_gcnr(20 * math.log10(2)), abs=0.02)


@pytest.mark.parametrize("probe", [CONVEX, LINEAR, PHASED], ids=["convex", "linear", "phased"])
def test_speckle_is_fully_developed_for_every_probe(probe: Probe) -> None:
    amplitude = speckle(grid_of(probe))[INSIDE]
    levels = theory.level(amplitude)
    assert 1.80 < theory.signal_to_noise(amplitude) < 2.00
    assert 0.9 < theory.nakagami(amplitude) < 1.1
    assert 5.3 < levels.std() < 5.9
    assert levels.mean() - theory.intensity_level(amplitude) == pytest.approx(theory.LOG_OFFSET, abs=0.15)


def test_decorrelated_amplitudes_are_rayleigh() -> None:
    grid = grid_of(CONVEX)
    amplitude = speckle(grid)[INSIDE][::24, ::12].ravel()
    scale = np.sqrt(np.mean(amplitude.astype(np.float64) ** 2) / 2)
    assert stats.kstest(amplitude, stats.rayleigh(scale=scale).cdf).pvalue > 0.01


def test_mean_power_is_the_same_at_every_depth() -> None:
    amplitude = speckle(grid_of(CONVEX))
    bands = [theory.intensity_level(amplitude[start : start + 128, 40:344]) for start in range(128, 896, 128)]
    assert np.ptp(bands) < 0.6


def test_widths_of_the_autocorrelation_are_those_of_the_beam() -> None:
    rows = measured.widths()
    assert len(rows) == 6
    for name, expected, found in rows:
        assert found == pytest.approx(expected, rel=0.1), name


def test_beams_widen_away_from_the_focus() -> None:
    depth = np.array([CONVEX.focus, CONVEX.focus + CONVEX.focal_zone], np.float32)
    narrow, wide = CONVEX.lateral_sigma(depth)
    assert wide / narrow == pytest.approx(math.sqrt(2), rel=1e-5)
    # 1.2 wavelengths x focus / aperture, by hand
    assert FWHM * narrow == pytest.approx(1.2 * 1.54 / 3.57 * 65 / 24, rel=1e-5)


def test_the_pulse_has_the_bandwidth_that_the_probe_says() -> None:
    # at half the bandwidth off the centre, the two-way spectrum of the amplitude has fallen to half
    off = CONVEX.bandwidth * CONVEX.frequency / 2
    wavenumber = 2 * off / 1.54  # there and back
    spectrum = math.exp(-2 * (math.pi * wavenumber * CONVEX.axial_sigma) ** 2)
    assert spectrum == pytest.approx(0.5, rel=1e-6)


def test_few_scatterers_make_less_than_developed_speckle() -> None:
    for name, expected, found in measured.sparse(frames=1):
        assert found == pytest.approx(expected, rel=0.12), name


def test_sparse_scatterers_have_unit_power_on_any_grid() -> None:
    for rows, columns in ((512, 192), (256, 96)):
        field = sparse(Grid(CONVEX, rows, columns), 5.0, np.random.default_rng(0))
        assert np.mean(np.abs(field) ** 2) == pytest.approx(1, rel=0.05)


def test_independent_looks_raise_the_snr_by_the_root_of_their_number() -> None:
    ((_, expected, found),) = measured.looks()
    assert found == pytest.approx(expected, rel=0.05)


def test_grey_varies_as_the_dynamic_range_says() -> None:
    for name, expected, found in measured.greys():
        assert found == pytest.approx(expected, rel=0.06), name


def test_the_blur_is_a_convolution_with_a_gaussian() -> None:
    probe = LINEAR.model_copy(update={"side_lobes": 0})
    grid = Grid(probe, 1024, 256)
    field = np.zeros((1024, 256), np.complex64)
    row = int(probe.focus / grid.axial_step)
    field[row, 128] = 1j
    spread = blurred(field, grid)
    rows, columns = np.arange(1024) - row, np.arange(256) - 128
    along = np.exp(-((rows * grid.axial_step) ** 2) / (2 * probe.axial_sigma**2))
    across = np.exp(-((columns * grid.lateral_step) ** 2) / (2 * float(probe.lateral_sigma(grid.depth)[row]) ** 2))
    assert np.allclose(np.abs(spread[:, 128]) / np.abs(spread[row, 128]), along, atol=2e-3)
    assert np.allclose(np.abs(spread[row]) / np.abs(spread[row, 128]), across, atol=2e-3)
    assert np.abs(spread.real).max() < 1e-5


def test_nothing_wraps_around_the_borders() -> None:
    grid = Grid(CONVEX, 256, 96)
    field = np.zeros((256, 96), np.complex64)
    field[0, 0] = 1
    spread = np.abs(blurred(field, grid))
    assert spread[-20:].max() < 1e-3 * spread.max()
    assert spread[:, -8:].max() < 1e-3 * spread.max()


def test_the_same_seed_gives_the_same_frame_and_another_does_not() -> None:
    grid = Grid(CONVEX, 128, 64)
    assert np.array_equal(speckle(grid, PLAIN, 3), speckle(grid, PLAIN, 3))
    assert not np.array_equal(speckle(grid, PLAIN, 3), speckle(grid, PLAIN, 4))
    field = dense((64, 64), np.random.default_rng(0))
    assert np.mean(np.abs(field) ** 2) == pytest.approx(1, rel=0.05)
