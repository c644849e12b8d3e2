"""The parameters that unlearning may dampen, in groups."""

from collections.abc import Sequence

from torch import nn

from clbench.contracts import Learner, Task


def groups_of(learner: Learner, seen: Sequence[Task], forgotten: Sequence[Task]) -> dict[str, str]:
    """The parameters that unlearning may dampen, and the group of each.

    They are all parameters of `linear_layers`, all norms and biases, and heads of the tasks that have samples to
    forget. Embeddings, positions and heads of other tasks are left out.

    Args:
        learner: The learner.
        seen: The tasks learnt so far.
        forgotten: The tasks that have samples to forget.

    Returns:
        Groups by name of the parameter: `<tower>.<role>` for linear layers, `head`, or `other` for norms and biases.
    """
    layers = {layer.name: f"{layer.tower}.{layer.role}" for layer in learner.linear_layers()}
    heads = {name for task in forgotten for name in learner.head(task)}
    excluded = {name for task in seen for name in learner.head(task)} - heads
    modules = dict(learner.module.named_modules())
    groups = {}
    for name in learner.trainable():
        owner, _, own_name = name.rpartition(".")
        if name in heads:
            groups[name] = "head"
        elif owner in layers:
            groups[name] = layers[owner]
        elif name not in excluded and (own_name == "bias" or _is_norm(modules[owner])):
            groups[name] = "other"
    return groups


def _is_norm(module: nn.Module) -> bool:
    return "norm" in type(module).__name__.lower()
