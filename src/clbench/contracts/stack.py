"""What methods may ask of a model that is one stack of blocks, such as a vision transformer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from clbench.spec.task import Kind

Sharing = Literal["all", "kind", "task", "both"]
"""Who shares a bank of prompts: all tasks, those of one kind, nobody; or the sum of the kind's bank and one's own."""


@dataclass(frozen=True)
class Stack:
    """A model as one stack of blocks, counted from the input.

    Attributes:
        blocks: How many there are.
        places: For every parameter of `Learner.trainable` the block that it is in: -1 before the first one, `blocks`
            after the last (a final norm, heads).
    """

    blocks: int
    places: Mapping[str, int]


@dataclass(frozen=True)
class PromptPlan:
    """Soft prompts, trainable vectors that a model reads as further tokens of its input.

    Attributes:
        count: How many tokens.
        enter: The block at whose input they appear.
        deep: Whether every later block has prompts of its own in their place, or they go through the blocks as others.
        sharing: Who shares a bank.
        without: Kinds of tasks that have none.
        start: First values: normal of deviation 0.02, cut at two deviations, or even, as far out as Glorot's rule says.
    """

    count: int
    enter: int
    deep: bool
    sharing: Sharing
    without: frozenset[Kind]
    start: Literal["normal", "even"]
