"""A feature vector of each sample that learners of every family have."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from clbench.contracts import Batch, Learner, LinearLayer, Task
from clbench.core.errors import ConfigError


def last_layer(learner: Learner, task: Task) -> LinearLayer:
    """The last linear layer that reads samples: of the vision tower, for images.

    Raises:
        ConfigError: If there is none, as in convolutional networks.
    """
    images = task.limits is None
    found = [layer for layer in learner.linear_layers() if (layer.tower == "vision") == images]
    if not found:
        raise ConfigError(f"learner {learner.name} has no linear layer that reads the samples of task {task.name!r}")
    return found[-1]


@torch.no_grad()
def input_sums(learner: Learner, task: Task, batches: Iterable[Batch]) -> Tensor:
    """Inputs of the last linear layer, summed over the tokens of each sample: `(n, width)` float64 on the CPU.

    Args:
        learner: The learner.
        task: The task of the samples.
        batches: The samples.
    """
    layer = last_layer(learner, task)
    inputs: list[Tensor] = []
    sums = []

    def note(_module: nn.Module, given: tuple[Tensor, ...]) -> None:
        inputs[:] = [given[0]]

    hook = learner.module.get_submodule(layer.name).register_forward_pre_hook(note)
    for batch in batches:
        with learner.autocast():
            learner.loss(batch, task)
        x, real = inputs[0].double(), learner.real_tokens(batch, layer)
        sums.append((x if real is None else x * real.unsqueeze(2)).sum(dim=1).cpu())
    hook.remove()
    return torch.cat(sums)
