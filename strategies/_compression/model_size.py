"""What of a model is compressed: its linear layers; their shapes, their zeros and the bytes of all else."""

from collections import defaultdict

import torch
from torch import nn

from clbench.contracts import Learner, LinearLayer

FLOAT_BYTES = 4
"""Bytes of a value that is not compressed."""


def linear_modules(learner: Learner) -> dict[LinearLayer, nn.Linear]:
    """The layers whose weights are compressed, in the learner's order."""
    found = {}
    for layer in learner.linear_layers():
        module = learner.module.get_submodule(layer.name)
        assert isinstance(module, nn.Linear)  # what `Learner.linear_layers` promises
        found[layer] = module
    return found


def shapes_of(learner: Learner) -> dict[str, tuple[int, int]]:
    """Outputs and inputs of the compressed layers, by name."""
    modules = linear_modules(learner).items()
    return {layer.name: (module.out_features, module.in_features) for layer, module in modules}


def float_bytes(learner: Learner) -> int:
    """Bytes of all weights of a version in float32."""
    return FLOAT_BYTES * sum(tensor.numel() for tensor in learner.state_dict().values())


def bytes_not_compressed(learner: Learner) -> int:
    """Bytes of biases, norms, embeddings, heads and whatever else is not a weight of a compressed layer."""
    compressed = sum(outputs * inputs for outputs, inputs in shapes_of(learner).values())
    return float_bytes(learner) - FLOAT_BYTES * compressed


def shares_of_zeros(learner: Learner) -> dict[str, float]:
    """Share of zeros among the compressed weights: `sparsity`, and `sparsity/TOWER.ROLE` for each kind of layer."""
    zeros: dict[str, list[torch.Tensor]] = defaultdict(list)
    sizes: dict[str, int] = defaultdict(int)
    for layer, module in linear_modules(learner).items():
        count = (module.weight == 0).sum()
        for name in ("sparsity", f"sparsity/{layer.tower}.{layer.role}"):
            zeros[name].append(count)
            sizes[name] += module.weight.numel()
    return {name: float(torch.stack(counts).sum()) / sizes[name] for name, counts in zeros.items()}
