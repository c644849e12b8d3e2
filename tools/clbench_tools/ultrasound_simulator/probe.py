"""Probes: where their beams go and how sharp they are."""

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from clbench.core.config import Config

SPEED = 1.54
"""Speed of sound in soft tissue, mm per microsecond."""

FWHM = 2 * math.sqrt(2 * math.log(2))
"""Full width at half maximum of a Gaussian, in standard deviations."""

Floats = NDArray[np.float32]


class Probe(Config):
    """A probe with its settings of depth and focus."""

    frequency: float = Field(gt=0, description="Centre frequency, MHz.")
    bandwidth: float = Field(0.75, gt=0, lt=2, description="Two-way bandwidth at -6 dB, as a share of the frequency.")
    radius: float | None = Field(
        None, gt=0, description="Distance of the face from where all beams meet, mm; none for parallel beams."
    )
    field: float = Field(gt=0, description="Width: angle between the outermost beams, degrees, or mm if parallel.")
    depth: float = Field(gt=0, description="Length of the beams from the face on, mm.")
    aperture: float = Field(gt=0, description="Width of the active elements, mm.")
    focus: float = Field(gt=0, description="Depth at which beams are narrowest, mm.")
    focal_zone: float = Field(
        gt=0,
        description="Distance from the focus where beams are wider by sqrt(2), mm; dynamic focusing makes it long.",
    )
    broadening: float = Field(1.2, ge=1, description="Beam width at the focus, in wavelengths x focus / aperture.")
    side_lobes: float = Field(0.0, ge=0, le=0.2, description="Amplitude of a beam four times as wide that is added.")

    @property
    def wavelength(self) -> float:
        """Wavelength in mm."""
        return SPEED / self.frequency

    @property
    def axial_sigma(self) -> float:
        """Standard deviation of the pulse along the beam, mm, from its Gaussian spectrum."""
        spectrum = self.bandwidth * self.frequency / 2 / math.sqrt(2 * math.log(2))
        return SPEED / (2 * math.pi * spectrum) / 2

    def lateral_sigma(self, depth: Floats) -> Floats:
        """Standard deviation of the beam across at each depth, mm: hyperbola around the focus."""
        narrowest = self.broadening * self.wavelength * self.focus / self.aperture / FWHM
        sigma: Floats = np.float32(narrowest) * np.sqrt(1 + ((depth - self.focus) / self.focal_zone) ** 2)
        return sigma


# The probes of PyMUST (Verasonics C5-2v, L11-5v, P4-2v), with depths and foci of everyday use.
CONVEX = Probe(
    frequency=3.57,
    bandwidth=0.79,
    radius=49.6,
    field=70,
    depth=120,
    aperture=24,
    focus=65,
    focal_zone=35,
    side_lobes=0.01,
)
LINEAR = Probe(
    frequency=7.6, bandwidth=0.77, field=38.1, depth=40, aperture=12, focus=20, focal_zone=12, side_lobes=0.01
)
PHASED = Probe(
    frequency=2.72,
    bandwidth=0.74,
    radius=9,
    field=80,
    depth=150,
    aperture=19.2,
    focus=75,
    focal_zone=40,
    side_lobes=0.02,
)
