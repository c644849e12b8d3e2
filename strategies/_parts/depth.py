"""How deep each parameter of a learner is in its tower, from what its linear layers say."""

from collections.abc import Sequence

from clbench.contracts import Learner
from clbench.core.errors import ConfigError


def depths(learner: Learner) -> dict[str, float | None]:
    """Depth of every trainable parameter: 0 in the first block of its tower, 1 in the last, None outside the blocks.

    A block is the outermost module with all of its linear layers and none of another block's, so its norms and biases
    belong to it, too. Block l of L has depth l / (L - 1); a single block has 1.

    Raises:
        ConfigError: If the learner has no blocks.
    """
    blocks: dict[tuple[str, int], list[str]] = {}
    for layer in learner.linear_layers():
        if layer.block >= 0:
            blocks.setdefault((layer.tower, layer.block), []).append(layer.name)
    if not blocks:
        raise ConfigError(f"learner {learner.name} has no blocks, so its parameters have no depth")
    prefixes: dict[str, float] = {}
    for (tower, block), names in blocks.items():
        last = max(number for of, number in blocks if of == tower)
        others = [name for key, found in blocks.items() if key != (tower, block) for name in found]
        prefixes[_prefix(names, others, block)] = block / last if last else 1.0
    return {name: _depth(name, prefixes) for name in learner.trainable()}


def _prefix(names: Sequence[str], others: Sequence[str], block: int) -> str:
    """Name of the module that is a block: it has all these layers, and none of the others."""
    parts = [name.split(".") for name in names]
    same = 0
    while all(len(part) > same and part[same] == parts[0][same] for part in parts):
        same += 1
    prefix = parts[0][:same]
    while len(prefix) > 1 and prefix[-1] != str(block):
        outer = ".".join(prefix[:-1]) + "."
        if any(name.startswith(outer) for name in others):
            break
        prefix = prefix[:-1]
    return ".".join(prefix) + "."


def _depth(name: str, prefixes: dict[str, float]) -> float | None:
    return next((depth for prefix, depth in prefixes.items() if name.startswith(prefix)), None)
