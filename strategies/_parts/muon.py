"""Muon's settings and construction, shared by the optimizers that make its steps."""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from clbench.strategies._parts.optimizer import OptimizerConfig, Plan


class MuonConfig(OptimizerConfig):
    """Settings of Muon; those of torch, but for `scale`."""

    momentum: float = Field(0.95, ge=0, lt=1, description="Decay rate of the mean of gradients.")
    nesterov: bool = Field(True, description="Orthogonalize the gradient averaged with the mean (Nesterov's form).")
    scale: Literal["match_rms_adamw", "original"] = Field(
        "match_rms_adamw",
        description="Factor of the rate: 0.2 sqrt(max(out, in)), with which AdamW's rates can be used (Liu et al. "
        "2025), or sqrt(max(1, out / in)).",
    )


def muon_of(parameters: Sequence[nn.Parameter], config: MuonConfig, plan: Plan) -> torch.optim.Muon:
    """Muon of torch.

    Args:
        parameters: Matrices.
        config: Momentum and scale.
        plan: Rate and decay.
    """
    return torch.optim.Muon(
        list(parameters),
        lr=plan.lr,
        weight_decay=plan.weight_decay,
        momentum=config.momentum,
        nesterov=config.nesterov,
        adjust_lr_fn=config.scale,
    )
