"""Where the weights lie while a task is trained: whole in every process of the cell, or in shards (FSDP2)."""

import copy
import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from clbench.contracts import Learner
from clbench.core import processes
from clbench.strategies._parts.blocks import block_modules
from clbench.strategies._training.optimization import clip_gradient


class Replicated:
    """Every process holds all parameters.

    Attributes:
        learner: The learner that is trained.
        sharded: Whether a forward pass needs all processes.
    """

    sharded = False

    def __init__(self, learner: Learner) -> None:
        self.learner = learner

    def held(self, parameter: nn.Parameter) -> nn.Parameter:
        """What this process trains of a parameter."""
        return parameter

    def to_add_up(self, parameters: Sequence[nn.Parameter]) -> Sequence[nn.Parameter]:
        """Those whose gradients a backward pass does not add up over the processes."""
        return parameters

    def forward(self, compute: Callable[[], Tensor]) -> Tensor:
        """The result of a forward pass."""
        return compute()

    def clip(self, parameters: Sequence[nn.Parameter], norm: float | None) -> None:
        """Scale gradients down so that their joint norm is at most `norm`; None does not clip."""
        clip_gradient(parameters, norm)

    def end(self) -> None:
        """Put whole weights back into the learner that was given."""


class Sharded(Replicated):
    """Every process holds a shard of each parameter, of its gradient and of its optimizer state.

    This is fully sharded data parallelism (Zhao et al. 2023; ZeRO stage 3 of Rajbhandari et al. 2020), by torch's
    `fully_shard`. Forward and backward passes gather one block after another, and what lies outside of blocks once.
    A copy of the learner is sharded, because torch cannot undo it. The parameters of the learner itself are empty until
    `end`, so a process never holds all weights twice.

    Args:
        learner: The learner; what of it is trained needs gradients already.
        whole: Parameters that stay whole, as a process may have no gradient of them: heads and prompts.
    """

    sharded = True

    def __init__(self, learner: Learner, whole: Sequence[nn.Parameter]) -> None:
        from torch.distributed.fsdp import FSDPModule, fully_shard  # takes a while to import

        own = dict(learner.module.named_parameters())
        # The copy has the same parameters and, as functions are not copied, the hooks of adapters.
        super().__init__(copy.deepcopy(learner, {id(p): p for p in own.values()}))
        module = self.learner.module
        frozen_scalars = {p for p in own.values() if p.ndim == 0 and not p.requires_grad}
        left_out = {*whole, *frozen_scalars}
        whole_yet = set(own.values()) - left_out
        self._root = _Root(module)
        mesh = processes.mesh(learner.device)
        for part in (*map(module.get_submodule, block_modules(learner)), self._root):
            found = [p for p in part.parameters() if p in whole_yet]
            fully_shard(part, mesh=mesh, ignored_params=left_out)
            for p in found:
                p.data = p.data.new_empty(0)
        for part in self._root.modules():
            if isinstance(part, FSDPModule):  # losses are weighted already, so gradients are summed
                part.set_gradient_divide_factor(1.0)
                part.set_force_sum_reduction_for_comms(True)
        shards = dict(module.named_parameters())
        self._shard_of = {p: shards[name] for name, p in own.items() if p in whole_yet}
        self._shards = set(self._shard_of.values())
        # Blocks of T5 return position biases as a view, which nothing changes in place.
        warnings.filterwarnings("ignore", "FSDP2-wrapped module", UserWarning)

    def held(self, parameter: nn.Parameter) -> nn.Parameter:
        """The shard of a parameter of the learner, or the parameter where it stays whole."""
        return self._shard_of.get(parameter, parameter)

    def to_add_up(self, parameters: Sequence[nn.Parameter]) -> Sequence[nn.Parameter]:
        """Those that stay whole; gradients of shards are added up in a backward pass."""
        return [p for p in parameters if p not in self._shards]

    def forward(self, compute: Callable[[], Tensor]) -> Tensor:
        """The result of a forward pass, in which all processes must take part."""
        found: Tensor = self._root(compute)
        return found

    def clip(self, parameters: Sequence[nn.Parameter], norm: float | None) -> None:
        """The same, with the norm over the shards of all processes: equal to that of whole gradients to round-off."""
        if norm is None:
            return
        from torch.distributed.tensor import DTensor

        whole, shards = self.to_add_up(parameters), [p for p in parameters if p in self._shards]
        square = _norm([p.grad.to_local() for p in shards if isinstance(p.grad, DTensor)]).square()
        processes.add_up([square])
        total = (square + _norm([p.grad for p in whole if p.grad is not None]).square()).sqrt().float()
        for some in (whole, shards):
            nn.utils.clip_grads_with_norm_(some, norm, total, foreach=True)

    @torch.no_grad()
    def end(self) -> None:
        """Gather whole weights in the learner that was given, in every process."""
        from torch.distributed.tensor import DTensor

        for parameter, shard in self._shard_of.items():
            assert isinstance(shard, DTensor)
            parameter.data = shard.full_tensor()
            shard.to_local().untyped_storage().resize_(0)  # torch's hooks refer to each other and so live on


class _Root(nn.Module):
    """The whole model: its call gathers what lies outside of blocks, whichever methods of the model a loss calls."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, compute: Callable[[], Tensor]) -> Tensor:
        return compute()


def _norm(tensors: Sequence[Tensor]) -> Tensor:
    return nn.utils.get_total_norm(tensors, foreach=True).double()
