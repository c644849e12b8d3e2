"""The retained subspaces of many layers, those of one shape together, so that few operations serve them all."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from clbench.core.errors import TrainingError
from clbench.strategies._linalg.projected_gradients import Coordinates
from clbench.strategies._linalg.subspaces import Form, Subspace, decompose

TOGETHER, TOGETHER_ON_CPU = 2**22, 2**18
"""Most numbers stacked for one batched product: stacking costs a copy, which matrices do without whose products
alone keep a device busy. A processor is by 512 x 512, where copies would take 3 % of a step."""


class Retained:
    """What layers of one shape retain, and their weights.

    Args:
        names: Of the layers, for messages.
        weights: Theirs, all of one shape `(out, in)`.
        ranks: How many triplets each retains, at least 1.
        form: Which changes are taken away.

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

    def gather(self, module: nn.Module) -> None:
        """From now on compute no more of the gradients than may stay, where that is cheaper.

        Args:
            module: Has the layers.
        """
        if self._space.by_coordinates:
            for name, basis in zip(self.names, self._space.right, strict=True):
                layer = module.get_submodule(name)
                assert isinstance(layer, nn.Linear)  # what `Learner.linear_layers` promises
                self._coordinates.append(Coordinates(layer, basis))
                self._coordinates[-1].on()

    def gather_no_more(self) -> None:
        """From now on gradients come whole."""
        while self._coordinates:
            self._coordinates.pop().off()

    def project_gradients(self) -> None:
        """Take what must not change out of the gradients, in place; a layer without gradient is left out."""
        if self._coordinates:
            self._lift()
            return
        if all(weight.grad is None for weight in self._weights):
            return
        x = _stacked([torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in self._weights])
        self._space.project_(x)
        _unstack(x, [weight.grad for weight in self._weights])

    def _lift(self) -> None:
        """Gradients from their coordinates; what is not in the space is not computed at all."""
        found = [coordinates.take() for coordinates in self._coordinates]
        none = self._space.right.new_zeros(self._space.left.shape[1], self._space.right.shape[2])
        free = self._space.freed_(torch.stack([none if y is None else y for y in found]))
        right = self._space.right
        whole = right @ free.mT if self._coordinates[0].wide else free @ right.mT
        for weight, y, gradient in zip(self._weights, found, whole, strict=True):
            weight.grad = None if y is None else gradient

    def restore_weights(self) -> None:
        """Put the weights back to where they agree with those before the task in all that is retained."""
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
        """How far each layer's weights are from `restore_weights`, relative to what is retained: `(layers,)`."""
        return self._space.leak(_stacked([weight.detach() for weight in self._weights]))


def in_groups(weights: Mapping[str, nn.Parameter], ranks: Mapping[str, int], form: Form) -> Iterator[Retained]:
    """Layers of one shape and of about equal ranks together; those that retain nothing are left out.

    Args:
        weights: By name of the layer.
        ranks: Likewise.
        form: Which changes are taken away.
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
    """One tensor `(b, m, n)` with m >= n; a view of the tensor, if there is but one."""
    tall = [tensor.mT if tensor.shape[0] < tensor.shape[1] else tensor for tensor in tensors]
    return tall[0].unsqueeze(0) if len(tall) == 1 else torch.stack(tall)


def _unstack(stacked: Tensor, tensors: Sequence[Tensor | None]) -> None:
    """Copy the members of `_stacked` back to where they came from."""
    if len(tensors) == 1:
        return
    for part, tensor in zip(stacked, tensors, strict=True):
        if tensor is not None:
            tensor.copy_(part if part.shape == tensor.shape else part.mT)
