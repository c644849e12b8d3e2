"""What theory says of speckle is measured with these: pure functions of amplitudes and grey."""

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from clbench_tools.ultrasound_simulator.probe import Floats

RAYLEIGH_SNR = float(np.sqrt(np.pi / (4 - np.pi)))
"""Mean over standard deviation of the amplitude of fully developed speckle, 1.913."""

LOG_STD = float(20 / np.log(10) * np.pi / np.sqrt(24))
"""Standard deviation of its level, 5.57 dB: the logarithm of an exponential variable has variance pi^2 / 6."""

LOG_OFFSET = float(-10 / np.log(10) * np.euler_gamma)
"""Mean level minus the level of the mean intensity, -2.51 dB."""


def signal_to_noise(amplitude: Floats) -> float:
    """Mean over standard deviation."""
    return float(amplitude.mean(dtype=np.float64) / amplitude.std(dtype=np.float64))


def nakagami(amplitude: Floats) -> float:
    """Shape m = E[I]^2 / Var[I] of the intensity I: 1 for fully developed speckle, less where scatterers are few."""
    intensity = amplitude.astype(np.float64) ** 2
    return float(intensity.mean() ** 2 / intensity.var())


def level(amplitude: Floats) -> NDArray[np.float64]:
    """20 log10 of the amplitude, dB."""
    return 20 * np.log10(amplitude.astype(np.float64))


def intensity_level(amplitude: Floats) -> float:
    """Level of the mean intensity, dB."""
    return float(10 * np.log10(np.mean(amplitude.astype(np.float64) ** 2)))


def sparse_nakagami(scatterers: float) -> float:
    """Theory: m for that many scatterers with Gaussian amplitudes in a cell of one FWHM along and across.

    1 / (1 + kurtosis / N) with kurtosis 3 and N = density x 2 pi sigma_x sigma_z, the effective number.
    """
    effective = scatterers * 2 * np.pi / (8 * np.log(2))
    return float(1 / (1 + 3 / effective))


def correlation_width(amplitude: Floats, axis: int, step: float) -> float:
    """Full width at half maximum of the autocovariance of the intensity, in the unit of `step`.

    Args:
        amplitude: Of a uniform region.
        axis: Along which it is taken; the mean is over the other.
        step: Distance of samples.
    """
    intensity = amplitude.astype(np.float64) ** 2
    intensity -= intensity.mean()
    size = intensity.shape[axis]
    power = np.abs(fft.fft(intensity, n=2 * size, axis=axis)) ** 2
    covariance = fft.ifft(power, axis=axis).real.mean(axis=1 - axis)[:size] / np.arange(size, 0, -1)
    covariance /= covariance[0]
    after = int(np.argmax(covariance < 0.5))
    share = (covariance[after - 1] - 0.5) / (covariance[after - 1] - covariance[after])
    return float(2 * (after - 1 + share) * step)


def gcnr(one: Floats, other: Floats, bins: int = 200) -> float:
    """Generalised contrast to noise ratio (Rodriguez-Molares et al. 2020): 1 minus the overlap of two histograms."""
    edges = np.linspace(min(one.min(), other.min()), max(one.max(), other.max()), bins + 1)
    first, second = (np.histogram(part, edges)[0] / part.size for part in (one, other))
    return float(1 - np.minimum(first, second).sum())


def speckle_gcnr(contrast: float) -> float:
    """Theory: gCNR of two regions of fully developed speckle whose intensities differ by `contrast` dB."""
    ratio = 10 ** (abs(contrast) / 10)
    return float(ratio ** (-1 / (ratio - 1)) - ratio ** (-ratio / (ratio - 1)))
