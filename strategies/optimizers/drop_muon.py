"""Each step moves the blocks above a random one only, by Muon or AdamW."""

from collections.abc import Sequence
from typing import Literal, final

import torch
from pydantic import Field
from torch.optim import Optimizer

from clbench.core.registry import OPTIMIZERS
from clbench.strategies._parts.blocks import Block, depths_of
from clbench.strategies._parts.muon import MuonConfig, muon_of
from clbench.strategies._parts.optimizer import Dropping, OptimizerPart, Plan
from clbench.strategies._parts.part import Trained


class DropMuonConfig(MuonConfig):
    """Settings of `DropMuon`."""

    rule: Literal["muon", "adamw"] = Field("muon", description="Optimizer of the matrices that move.")
    blocks: Literal["top", "random"] = Field(
        "top", description="Move the blocks from a random one to the top, or as many blocks drawn uniformly (control)."
    )


@OPTIMIZERS.register("drop-muon", config=DropMuonConfig)
@final
class DropMuon(OptimizerPart[DropMuonConfig]):
    """Drop-Muon (Gruntkowska et al. 2025): draw s uniformly from 1 to b in each step and move the blocks s to b only.

    Block i moves with probability i / b, counted from the input. The others keep weights and momentum. Departures: a
    layer is a block of the transformer; a model with several towers draws one height for all, in proportion to their
    depths; gradients below s are computed and discarded, so a step saves no time, and clipping counts them. There is no
    published code. `rule: adamw` shows what the draw does without Muon. Equal numbers of steps are fewer moves of a
    block than under other optimizers: (b + 1) / 2b of them.
    """

    @property
    def state_bytes(self) -> float:
        """Those of the rule: Muon's one mean, AdamW's two."""
        return 4.0 if self.config.rule == "muon" else 8.0

    def takes(self, trained: Trained) -> bool:
        """Matrices in blocks."""
        return trained.is_matrix and trained.layer is not None and trained.layer.block >= 0

    def build(self, parameters: Sequence[Trained], plan: Plan) -> Optimizer:
        """The rule's optimizer, with the draws of all steps."""
        found = [item.parameter for item in parameters]
        inner: Optimizer = muon_of(found, self.config, plan)
        if self.config.rule == "adamw":
            inner = torch.optim.AdamW(found, plan.lr, plan.betas, weight_decay=plan.weight_decay, fused=True)
        heights = torch.rand(plan.steps, generator=(generator := self.new_generator()))
        moves: dict[Block, list[bool]] = {}
        for tower, depth in depths_of(self.learner).items():
            table = torch.arange(depth) >= (heights * depth).long().unsqueeze(1)
            if self.config.blocks == "random":
                table = table.gather(1, torch.rand(table.shape, generator=generator).argsort(dim=1))
            moves |= {(tower, block): column.tolist() for block, column in enumerate(table.T)}
        turns = [moves[item.layer.tower, item.layer.block] for item in parameters if item.layer is not None]
        return Dropping(inner, found, turns)
