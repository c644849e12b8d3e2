"""Smooth random fields: tissue is not even."""

import numpy as np

from clbench_tools.ultrasound_simulator.probe import Floats


def texture(x: Floats, z: Floats, size: tuple[float, float], rng: np.random.Generator) -> Floats:
    """A smooth random field, mean 0 and variance about 1, that belongs to the body: value noise on a lattice.

    Args:
        x: In mm.
        z: In mm.
        size: Of the lattice's cells along x and z, mm.
        rng: Draws the lattice of 64 x 64 values, which repeats.
    """
    lattice = rng.standard_normal((64, 64), dtype=np.float32)
    u, v = x / np.float32(size[0]) + 32, z / np.float32(size[1]) + 32
    i, j = np.floor(u).astype(np.int32), np.floor(v).astype(np.int32)
    s, t = _smooth(u - i), _smooth(v - j)
    i0, i1, j0, j1 = i & 63, (i + 1) & 63, j & 63, (j + 1) & 63
    top = lattice[j0, i0] * (1 - s) + lattice[j0, i1] * s
    low = lattice[j1, i0] * (1 - s) + lattice[j1, i1] * s
    field: Floats = np.float32(1.4) * (top * (1 - t) + low * t)
    return field


def _smooth(share: Floats) -> Floats:
    return share * share * (3 - 2 * share)
