"""Task vectors, the changes of weights by training on a task (Ilharco et al. 2023): arithmetic on tensors by name."""

from collections.abc import Mapping
from typing import TypeAlias

import torch
from torch import Tensor

Vectors: TypeAlias = Mapping[str, Tensor]
"""Tensors by name of their parameter; sums, products and norms run over all of them."""


def plus(one: Vectors, other: Vectors, weight: float = 1.0) -> dict[str, Tensor]:
    """One + weight * other.

    Args:
        one: Tensors by name.
        other: Tensors of the same names and shapes.
        weight: Factor of `other`.
    """
    return {name: torch.add(tensor, other[name], alpha=weight) for name, tensor in one.items()}


def scaled(vectors: Vectors, factor: float | Tensor) -> dict[str, Tensor]:
    """All tensors times one factor."""
    return {name: tensor * factor for name, tensor in vectors.items()}


def dot(one: Vectors, other: Vectors) -> Tensor:
    """The inner product over all entries, a scalar, summed in float64."""
    products = [(tensor.double() * other[name].double()).sum() for name, tensor in one.items()]
    return torch.stack(products).sum()


def norm(vectors: Vectors) -> Tensor:
    """The Frobenius norm over all tensors together, a scalar in float64."""
    return dot(vectors, vectors).sqrt()


def share(part: Tensor, whole: Tensor) -> Tensor:
    """Part / whole for a whole of at least 0; 0 where it is 0."""
    return torch.where(whole > 0, part / whole.clamp(min=torch.finfo(whole.dtype).tiny), 0.0)


def flat(vectors: Vectors) -> Tensor:
    """All entries in one tensor `(n,)`, in the order of the names in `vectors`."""
    return torch.cat([tensor.reshape(-1) for tensor in vectors.values()])


def unflat(entries: Tensor, like: Vectors) -> dict[str, Tensor]:
    """The inverse of `flat`.

    Args:
        entries: Entries `(n,)`.
        like: Tensors whose names, order and shapes the result has.
    """
    parts = entries.split([tensor.numel() for tensor in like.values()])
    return {name: part.reshape(tensor.shape) for (name, tensor), part in zip(like.items(), parts, strict=True)}


def permuted(vectors: Vectors, generator: torch.Generator) -> dict[str, Tensor]:
    """The same entries in random order within each tensor: equal norms and values, at other places.

    Args:
        vectors: Tensors by name; each draws one permutation, in this order.
        generator: Source of randomness, on the CPU.
    """
    found = {}
    for name, tensor in vectors.items():
        order = torch.randperm(tensor.numel(), generator=generator).to(tensor.device)
        found[name] = tensor.reshape(-1)[order].reshape(tensor.shape)
    return found
