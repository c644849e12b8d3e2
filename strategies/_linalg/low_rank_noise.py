"""Low-rank noise for evolution strategies, and the step that fitness gives (EGGROLL, Sarkar et al. 2025)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

VARIANCE_FLOOR = 1e-5
"""Added to the variance of fitness, so that differences below its root count for less."""


@dataclass(frozen=True, eq=False)
class Noise:
    """Noise of one parameter for all pairs of a generation: A B^T / sqrt(r), of mean 0 and variance 1 in each entry.

    Attributes:
        a: A, `(pairs, out, r)`, standard normal.
        b: B, `(pairs, in, r)`, standard normal; ones `(pairs, 1, 1)` for vectors, whose noise is A.
    """

    a: Tensor
    b: Tensor

    @classmethod
    def draw(cls, p: Tensor, pairs: int, rank: int, generator: torch.Generator) -> "Noise":
        """Noise for a parameter.

        Args:
            p: The parameter; a tensor of more than two dimensions counts as a matrix of its first one.
            pairs: Number of pairs.
            rank: Rank r of the noise of a matrix.
            generator: Source of randomness, on the CPU.
        """
        if p.ndim < 2:
            a = torch.randn(pairs, p.numel(), 1, generator=generator)
            return cls(a.to(p), torch.ones(pairs, 1, 1).to(p))
        sizes = (len(p), p.numel() // len(p))
        a, b = (torch.randn(pairs, size, rank, generator=generator).to(p) for size in sizes)
        return cls(a, b)

    def of(self, pair: int) -> Tensor:
        """The noise of one pair, `(out, in)`."""
        return self.a[pair] @ self.b[pair].T / math.sqrt(self.a.shape[2])

    def total(self, weights: Tensor) -> Tensor:
        """Sum over pairs of weight times noise, `(out, in)`; one product of matrices.

        Args:
            weights: `(pairs,)`.
        """
        left = (self.a * weights[:, None, None]).transpose(0, 1).flatten(1)
        return left @ self.b.transpose(0, 1).flatten(1).T / math.sqrt(self.a.shape[2])


def scores_of(fitness: Tensor) -> Tensor:
    """Fitness of a generation as z-scores, with the variance plus 1e-5.

    Args:
        fitness: Higher is better, `(members,)`.
    """
    return (fitness - fitness.mean()) / (fitness.var(correction=0) + VARIANCE_FLOOR).sqrt()


def pair_weights(fitness: Tensor) -> Tensor:
    """Weights of the noises in the step sqrt(N) mean_i f_i s_i E_i of N members with signs s, `(pairs,)`.

    Args:
        fitness: `(pairs, 2)`: of each noise with the sign + and with the sign -.
    """
    scores = scores_of(fitness.flatten()).reshape(-1, 2)
    return (scores[:, 0] - scores[:, 1]) / math.sqrt(fitness.numel())
