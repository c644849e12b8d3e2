"""Which block of which tower a parameter belongs to, and how deep the block is, from what linear layers say."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias

from clbench.contracts import Learner
from clbench.core.errors import ConfigError
from clbench.strategies._parts.part import Trained

Block: TypeAlias = tuple[str, int]
"""A tower and the index of a block in it, from 0 at the input."""


def depths_of(learner: Learner) -> dict[str, int]:
    """Number of blocks of each tower."""
    depths: dict[str, int] = defaultdict(int)
    for layer in learner.linear_layers():
        depths[layer.tower] = max(depths[layer.tower], layer.block + 1)
    return {tower: depth for tower, depth in depths.items() if depth}


def blocks_of(trained: Sequence[Trained], learner: Learner) -> dict[str, Block | None]:
    """The block of each trained parameter, by its name; None outside the blocks.

    A parameter that belongs to no linear layer (a norm) is in the block whose module it is in.
    """
    prefixes = _prefixes(learner)

    def block_of(item: Trained) -> Block | None:
        if item.layer is not None:
            return (item.layer.tower, item.layer.block) if item.layer.block >= 0 else None
        return _block_of(item.name, prefixes)

    return {item.name: block_of(item) for item in trained}


def modules_of(towers: Collection[str], learner: Learner) -> frozenset[str]:
    """First parts of the names of parameters in some towers: the modules that hold these towers' blocks.

    Raises:
        ConfigError: When the learner has none of the towers.
    """
    layers = learner.linear_layers()
    found = frozenset(layer.name.partition(".")[0] for layer in layers if layer.tower in towers)
    if not found:
        known = sorted({layer.tower for layer in layers})
        raise ConfigError(f"towers: {learner.name} has {', '.join(known)}, got {', '.join(towers)}")
    return found


def grouped_by_block(trained: Sequence[Trained], learner: Learner) -> list[list[Trained]]:
    """What is trained in the blocks, a list for each block of which anything is trained."""
    blocks = blocks_of(trained, learner)
    groups: dict[Block, list[Trained]] = defaultdict(list)
    for item in trained:
        if (block := blocks[item.name]) is not None:
            groups[block].append(item)
    return list(groups.values())


def depths(learner: Learner) -> dict[str, float | None]:
    """Depth of every trainable parameter: 0 in the first block of its tower, 1 in the last, None outside the blocks.

    Norms and biases belong to their block. Block l of L has depth l / (L - 1); a single block has 1.

    Raises:
        ConfigError: If the learner has no blocks.
    """
    towers, prefixes = depths_of(learner), _prefixes(learner)
    if not prefixes:
        raise ConfigError(f"learner {learner.name} has no blocks, so its parameters have no depth")
    found = {name: _block_of(name, prefixes) for name in learner.trainable()}
    return {
        name: None if of is None else of[1] / (towers[of[0]] - 1) if towers[of[0]] > 1 else 1.0
        for name, of in found.items()
    }


def block_modules(learner: Learner) -> list[str]:
    """Names of the modules that are the blocks of all towers; empty for a learner without blocks."""
    return [prefix.removesuffix(".") for prefix in _prefixes(learner)]


def _block_of(name: str, prefixes: Mapping[str, Block]) -> Block | None:
    return next((block for prefix, block in prefixes.items() if name.startswith(prefix)), None)


def _prefixes(learner: Learner) -> dict[str, Block]:
    """Blocks by the name of their module, with a dot: the outermost one with all of a block's layers and no others."""
    names: dict[Block, list[str]] = defaultdict(list)
    for layer in learner.linear_layers():
        if layer.block >= 0:
            names[layer.tower, layer.block].append(layer.name)
    found = {}
    for block, own in names.items():
        others = [name for other, layers in names.items() if other != block for name in layers]
        found[_module_of(own, others, block[1])] = block
    return found


def _module_of(names: Sequence[str], others: Sequence[str], block: int) -> str:
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
