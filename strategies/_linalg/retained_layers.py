"""Retained subspaces of many layers; layers of one shape are batched."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from clbench.core.errors import TrainingError
from clbench.strategies._linalg.projected_gradients import Coordinates
from clbench.strategies._linalg.subspaces import Form, Subspace, decompose

TOGETHER, TOGETHER_ON_CPU = 2**22, 2**18
"""Largest number of values stacked for one batched product, on accelerators and on a CPU.

Stacking costs a copy, and larger matrices keep a device busy without it. For a CPU 512 x 512 is enough; copies of
larger matrices would take 3 % of a step.
"""


class Retained:
    """Retained subspaces and weights of layers of one shape.

    Args:
        names: Names of the layers.
        weights: Weights of the layers, all of one shape `(out, in)`.
        ranks: Number of triplets that each layer retains, at least 1.
        form: Form of the projection.

    Raises:
        TrainingError: For a matrix that is not finite or cannot be decomposed.
    """

    def __init__(self, names: Sequence[str], weights: Sequence[nn.Parameter], ranks: Sequence[int], form: Form) -> None:
        self.names = names
        self._weights = weights
        for name, weight in zip(names, weights, strict=True):
            if not bool(torch.isfinite(weight).all()):
                raise TrainingError(f"layer {name}: its weights are not finite before the task: nothing to decompose")
        try:
            self._space: Subspace = decompose(_stacked([weight.detach() for weight in weights]), ranks, form)
        except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]  # documented, not listed
            reason = " ".join(str(error).split())[:200]
            raise TrainingError(f"layer {' or '.join(names)}: its decomposition failed: {reason}") from None
        self._coordinates: list[Coordinates] = []

    def use_coordinates(self, module: nn.Module) -> None:
        """Compute only the projected part of gradients from now on, if that is cheaper.

        Args:
            module: The module that holds the layers.
        """
        if self._space.by_coordinates:
            for name, basis in zip(self.names, self._space.right, strict=True):
                layer = module.get_submodule(name)
                assert isinstance(layer, nn.Linear)  # what `Learner.linear_layers` promises
                self._coordinates.append(Coordinates(layer, basis))
                self._coordinates[-1].on()

    def use_full_gradients(self) -> None:
        """Compute full gradients from now on."""
        while self._coordinates:
            self._coordinates.pop().off()

    def project_gradients(self) -> None:
        """Project the gradients, in place; layers without gradient are skipped."""
        if self._coordinates:
            self._lift()
            return
        if all(weight.grad is None for weight in self._weights):
            return
        x = _stacked([torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in self._weights])
        self._space.project_(x)
        _unstack(x, [weight.grad for weight in self._weights])

    def _lift(self) -> None:
        """Compute the projected gradients from their coordinates."""
        found = [coordinates.take() for coordinates in self._coordinates]
        none = self._space.right.new_zeros(self._space.left.shape[1], self._space.right.shape[2])
        free = self._space.freed_(torch.stack([none if y is None else y for y in found]))
        right = self._space.right
        whole = right @ free.mT if self._coordinates[0].wide else free @ right.mT
        for weight, y, gradient in zip(self._weights, found, whole, strict=True):
            weight.grad = None if y is None else gradient

    def restore_weights(self) -> None:
        """Restore the retained part of the weights from before the task, in place."""
        w = _stacked(self._weights)
        self._space.restore_(w)
        _unstack(w, self._weights)

    def gradient_energy(self) -> Tensor:
        """Sum of the squared gradients, a scalar."""
        gradients = [weight.grad for weight in self._weights if weight.grad is not None]
        if not gradients:
            return self._space.left.new_zeros(())
        return torch.stack(torch._foreach_norm(gradients)).square().sum()

    def leak(self) -> Tensor:
        """Distance of weights from those after `restore_weights`, relative to the retained part, `(layers,)`."""
        return self._space.leak(_stacked([weight.detach() for weight in self._weights]))


def in_groups(weights: Mapping[str, nn.Parameter], ranks: Mapping[str, int], form: Form) -> Iterator[Retained]:
    """Batch layers of one shape and of similar ranks; layers that retain nothing are left out.

    Args:
        weights: Weights by name of their layer.
        ranks: Number of retained triplets by name of the layer.
        form: Form of the projection.
    """
    order = sorted((name for name in weights if ranks[name]), key=lambda name: (weights[name].shape, ranks[name]))
    start = 0
    while start < len(order):
        first = weights[order[start]]
        shape, together = first.shape, TOGETHER_ON_CPU if first.device.type == "cpu" else TOGETHER
        stop = start + max(1, together // shape.numel())
        names = [name for name in order[start:stop] if weights[name].shape == shape]
        yield Retained(names, [weights[name] for name in names], [ranks[name] for name in names], form)
        start += len(names)


def _stacked(tensors: Sequence[Tensor]) -> Tensor:
    """Stack matrices to one tensor `(b, m, n)` with m >= n; a view if there is only one matrix."""
    tall = [tensor.mT if tensor.shape[0] < tensor.shape[1] else tensor for tensor in tensors]
    return tall[0].unsqueeze(0) if len(tall) == 1 else torch.stack(tall)


def _unstack(stacked: Tensor, tensors: Sequence[Tensor | None]) -> None:
    """Copy the members of `_stacked` back to their tensors."""
    if len(tensors) == 1:
        return
    for part, tensor in zip(stacked, tensors, strict=True):
        if tensor is not None:
            tensor.copy_(part if part.shape == tensor.shape else part.mT)
