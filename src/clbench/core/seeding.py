"""Randomness as an argument: every generator is derived from the cell's seed and a name."""

import contextlib
import hashlib
from collections.abc import Iterator

import torch


def derive(seed: int, *words: object) -> int:
    """A seed in [0, 2^63) for one use, which `words` name; seeds of different names are independent.

    Unlike with `seed + offset`, cells with neighbouring seeds share no random numbers.
    """
    text = "/".join(str(word) for word in (seed, *words))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def generator_for(seed: int, *words: object) -> torch.Generator:
    """A CPU generator for one use, which `words` name."""
    return torch.Generator().manual_seed(derive(seed, *words))


@contextlib.contextmanager
def seeded_apart(seed: int) -> Iterator[None]:
    """Draw from a seed of its own on the CPU, where models are built; no random state is another one afterwards.

    `torch.manual_seed` would also seed the generators of all other devices, and `fork_rng(devices=[])` does not put
    those back: dropout on a GPU would begin anew whenever a model or a head is built.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def seed_globally(seed: int) -> None:
    """Seed the global states of random, NumPy and torch, which libraries draw from."""
    import random

    import numpy as np

    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  # it is the legacy state that libraries use
    torch.manual_seed(seed)
