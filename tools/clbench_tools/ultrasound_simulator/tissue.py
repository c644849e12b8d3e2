"""What tissues do to sound."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Tissue:
    """A tissue in numbers.

    Attributes:
        echo: Level of its speckle before attenuation, dB relative to liver.
        attenuation: One way, dB/cm/MHz.
        impedance: MRayl.
    """

    echo: float
    attenuation: float
    impedance: float

    def but(self, **changes: float) -> "Tissue":
        """The same with other numbers."""
        return replace(self, **changes)


# Attenuation at 1 MHz: PMC10001275, table 4; impedance: PMC10346919; of air, liver and blood: textbook values.
# Echo levels are a choice of ours: what an image shows relative to liver.
FLUID = Tissue(-45, 0.0022, 1.46)
BLOOD = Tissue(-32, 0.15, 1.61)
LIVER = Tissue(0, 0.50, 1.65)
SPLEEN = Tissue(1, 0.40, 1.66)
KIDNEY = Tissue(-5, 0.60, 1.62)
HEART = Tissue(-2, 0.52, 1.67)
MUSCLE = Tissue(-7, 0.96, 1.68)
FAT = Tissue(-4, 0.63, 1.39)
GLAND = Tissue(4, 0.75, 1.60)
SKIN = Tissue(6, 0.35, 1.99)
CONNECTIVE = Tissue(5, 1.57, 1.75)
BONE = Tissue(14, 15, 6.5)
AIR = Tissue(-30, 40, 0.0004)
LUNG = Tissue(-20, 40, 0.18)
