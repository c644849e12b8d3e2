"""Which block of which tower a trained parameter belongs to."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import TypeAlias

from clbench.contracts import Learner
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

    A parameter that belongs to no linear layer (a norm) is in the block whose module it lies in.
    """
    prefixes = _prefixes(learner)

    def block_of(item: Trained) -> Block | None:
        if item.layer is not None:
            return (item.layer.tower, item.layer.block) if item.layer.block >= 0 else None
        return next((block for prefix, block in prefixes.items() if item.name.startswith(prefix)), None)

    return {item.name: block_of(item) for item in trained}


def _prefixes(learner: Learner) -> Mapping[str, Block]:
    names = defaultdict(list)
    for layer in learner.linear_layers():
        if layer.block >= 0:
            names[layer.tower, layer.block].append(layer.name.split("."))
    return {_prefix(paths, str(block[1])): block for block, paths in names.items()}


def _prefix(paths: Sequence[Sequence[str]], number: str) -> str:
    """The modules that all layers of a block have in common, as far as the one with the block's number."""
    parts = [level[0] for level in takewhile(lambda level: len(set(level)) == 1, zip(*paths, strict=False))]
    if number in parts:
        parts = parts[: parts.index(number) + 1]
    return "".join(f"{part}." for part in parts)
