"""What methods may ask of a model that is one stack of blocks, such as a vision transformer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Sharing = Literal["all", "kind", "task", "both"]
"""Which tasks share a bank of prompts: all tasks, the tasks of one kind, or none (`task`: every task has its own bank).
`both` adds the bank of the kind and the bank of the task."""


@dataclass(frozen=True)
class Stack:
    """A model as one stack of blocks, counted from the input.

    Attributes:
        blocks: Number of blocks.
        block_of: Index of the block of every parameter in `Learner.trainable`: -1 before the first block, `blocks`
            after the last one (final norm, heads).
    """

    blocks: int
    block_of: Mapping[str, int]


@dataclass(frozen=True)
class PromptPlan:
    """Soft prompts: trainable vectors that a model reads as additional tokens.

    Attributes:
        count: Number of prompt tokens.
        first_block: Index of the first block that reads prompts.
        deep: Whether every later block replaces them by prompts of its own (deep prompts); otherwise the prompts of
            the first block pass through all later ones (shallow prompts).
        sharing: Which tasks share a bank of prompts.
        excluded: Kinds of tasks without prompts.
        init: First values: `normal` with standard deviation 0.02, truncated at two deviations, or `uniform` within
            Glorot's bound.
    """

    count: int
    first_block: int
    deep: bool
    sharing: Sharing
    excluded: frozenset[str]
    init: Literal["normal", "uniform"]
