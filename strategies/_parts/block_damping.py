"""Blocks of a model damped in turn, and what the losses then say of their importance (IST, Yao et al. 2024)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from clbench.contracts import Batch, Learner, Task
from clbench.strategies._parts.part import Trained

DAMPED = 0.25
"""Factor of a damped block's change."""
SETS = 3
"""Sets of blocks that are damped in turn."""
TRIES = 20
"""Draws of sets; equal ones count once."""


class BlockChanges:
    """The changes of blocks since now.

    A change is that of the factors that are 0 now (B of LoRA), else that of all parameters of the block.

    Args:
        blocks: What is trained of each block.
    """

    def __init__(self, blocks: Sequence[Sequence[Trained]]) -> None:
        self._starts = [_starts(items) for items in blocks]

    @contextmanager
    def damped(self, blocks: Sequence[int]) -> Iterator[None]:
        """Damp the changes of some blocks, by number, for the duration of a `with` block."""
        found = [(p, start, p.detach().clone()) for number in blocks for p, start in self._starts[number]]
        with torch.no_grad():
            for p, start, _ in found:
                p.copy_(torch.lerp(start, p, DAMPED))
            yield
            for p, _, present in found:
                p.copy_(present)

    def losses(self, sets: Sequence[Sequence[int]], learner: Learner, batch: Batch, task: Task) -> Tensor:
        """Loss of a batch without dropout with each set of blocks damped, `(sets,)`.

        Args:
            sets: The sets.
            learner: The learner in training mode, which has the blocks.
            batch: The batch.
            task: Its task.
        """
        losses = []
        learner.module.eval()
        for blocks in sets:
            with self.damped(blocks), learner.autocast():
                losses.append(learner.loss(batch, task))
        learner.module.train()
        return torch.stack(losses)


def drawn_blocks(weights: Tensor, share: float, generator: torch.Generator) -> tuple[int, ...]:
    """Numbers of a share of the blocks, at least one, ascending, drawn without replacement.

    Args:
        weights: Weight of each block in the draw, `(blocks,)`.
        share: The share, rounded down.
        generator: Source of randomness, on the CPU.
    """
    count = max(1, int(share * len(weights)))
    return tuple(sorted(torch.multinomial(weights, count, generator=generator).tolist()))


def different_sets(harmless: Tensor, generator: torch.Generator) -> list[tuple[int, ...]]:
    """Up to `SETS` different sets of half of the blocks.

    Args:
        harmless: Weight of each block in the draw, `(blocks,)`.
        generator: Source of randomness, on the CPU.
    """
    return list(dict.fromkeys(drawn_blocks(harmless, 0.5, generator) for _ in range(TRIES)))[:SETS]


def score_change(losses: Tensor, sets: Sequence[Sequence[int]], harmless: Tensor) -> Tensor:
    """Change of the scores by a measurement, without the factor `rate`, `(blocks,)` float64.

    Args:
        losses: Loss with each set of blocks damped, `(sets,)`.
        sets: The sets.
        harmless: p = sigmoid(s) of each block, `(blocks,)`.
    """
    kept = torch.exp(-losses.double())
    inside = torch.zeros(len(sets), len(harmless), dtype=torch.float64)
    for row, blocks in zip(inside, sets, strict=True):
        row[list(blocks)] = 1
    return (kept - kept.mean()) @ inside * harmless * (1 - harmless)


def _starts(items: Sequence[Trained]) -> list[tuple[Tensor, Tensor]]:
    """Parameters whose change is a block's change, each with its value now."""
    copies = [(item, item.parameter.detach().clone()) for item in items]
    zero = [(item, start) for item, start in copies if not item.own and not start.any()]
    return [(item.parameter, start) for item, start in zero or copies]
