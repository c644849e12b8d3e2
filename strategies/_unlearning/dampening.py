"""Selective synaptic dampening as arithmetic on importances (Foster et al. 2024, arXiv 2308.07707)."""

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from clbench.core.errors import TrainingError


def adaptive_percentile(share: float) -> float:
    """The percentile of ASSD, q = 100 - ln(1 + 100 |F| / |D|), from |F| / |D| in [0, 1]; in per cent.

    Source: released code of Schoepf et al. 2024 (arXiv 2402.10098).
    """
    return 100 - math.log(1 + 100 * share)


def percentile(values: Iterable[Tensor], q: float) -> float:
    """The q-th percentile of all finite values of some tensors, exact, with linear interpolation between two ranks.

    It is NumPy's, on the CPU: the rank that `torch.quantile` interpolates at has the values' float32, which does not
    hold ranks above 2^24.

    Args:
        values: Tensors of any shapes.
        q: The percentile, in [0, 100].

    Raises:
        TrainingError: When no value is finite.
    """
    kept = torch.cat([tensor[tensor.isfinite()].cpu() for tensor in values]).numpy()
    if not len(kept):
        raise TrainingError("unlearning: no parameter has a gradient, so there is nothing to compare")
    return float(np.percentile(kept, q))


def unseen(forgotten: Tensor, overall: Tensor) -> Tensor:
    """Where I_D = 0 < I_F, bool: the passes over all samples say nothing about these parameters."""
    return (overall == 0) & (forgotten > 0)


def dampening_factor(
    forgotten: Tensor, overall: Tensor, alpha: float, dampening: float, *, zero_unseen: bool
) -> Tensor:
    """min(lambda I_D / I_F, 1) where I_F / I_D > alpha, else 1; in [0, 1] and of the importances' shape.

    Source: the released code of SSD. There the minimum bounds the *factor*; a minimum of factor times theta and theta,
    as the algorithm is sometimes printed, would leave negative theta unchanged.

    Args:
        forgotten: I_F, importances for the samples to forget, at least 0.
        overall: I_D, importances for all samples, at least 0.
        alpha: Largest ratio that is not dampened.
        dampening: lambda; smaller values dampen more.
        zero_unseen: Whether `unseen` parameters get the factor 0, as in the released code, instead of 1.
    """
    hit = forgotten / overall > alpha
    if not zero_unseen:
        hit &= ~unseen(forgotten, overall)
    return torch.where(hit, (dampening * overall / forgotten).clamp(max=1), 1.0)


def shuffled(factor: Tensor, generator: torch.Generator) -> Tensor:
    """The same factors at random places."""
    order = torch.randperm(factor.numel(), generator=generator).to(factor.device)
    return factor.flatten()[order].view_as(factor)


def dampened(weight: Tensor, factor: Tensor, origin: Tensor | None = None) -> Tensor:
    """theta_0 + factor (theta - theta_0); weights of factor 1 keep their bits.

    Args:
        weight: theta.
        factor: Factors in [0, 1], of the same shape.
        origin: theta_0; 0 if None.
    """
    moved = weight * factor if origin is None else origin + factor * (weight - origin)
    return torch.where(factor < 1, moved, weight)
