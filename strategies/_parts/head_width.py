"""The size of an attention head, as the modules of common libraries tell it."""

from torch import nn

from clbench.contracts import Learner, LinearLayer
from clbench.core.errors import ConfigError

HEADS = ("out", "v")
"""Roles of layers whose inputs or outputs are those of attention heads."""


def unit_width(learner: Learner, layer: LinearLayer) -> int:
    """Number of values of a head for the inputs of `out` and the outputs of `v`; 1, a channel, for other roles.

    Raises:
        ConfigError: When no module around the layer tells the size of its heads.
    """
    if layer.role not in HEADS:
        return 1
    linear = learner.module.get_submodule(layer.name)
    assert isinstance(linear, nn.Linear)
    width = linear.in_features if layer.role == "out" else linear.out_features
    parent = layer.name
    while parent := parent.rpartition(".")[0]:
        attention = learner.module.get_submodule(parent)
        for known in ("head_dim", "key_value_proj_dim"):
            if isinstance(size := getattr(attention, known, None), int):
                return size
        for known in ("num_heads", "heads"):
            if isinstance(heads := getattr(attention, known, None), int):
                return width // heads
    raise ConfigError(f"selector s2ft: {learner.name}: {layer.name} does not tell the size of its heads")
