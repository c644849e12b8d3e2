"""Rules for the number of singular triplets that each layer retains."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from clbench.contracts import Batch, Learner, LinearLayer, Samples, Task
from clbench.core.errors import TrainingError
from clbench.strategies._training.layers import AdapterConfig


class RankConfig(AdapterConfig):
    """Settings of the rank rule."""

    rank_rule: Literal["importance", "schedule", "fixed"] = Field(
        "importance",
        description="What decides the share retained of a layer: its importance for the previous task, the number of"
        " earlier tasks, or the constant `fraction`.",
    )
    mrr: float = Field(0.1, ge=0, le=1, description="Share retained of a layer of importance 0; rule `importance`.")
    trr: float = Field(0.8, ge=0, le=1, description="Share retained of a layer of importance 1; rule `importance`.")
    calibration_samples: int = Field(
        500, ge=1, description="Number of training samples of the previous task for importances; all if it has fewer."
    )
    slope: float = Field(0.1, ge=0, le=1, description="Growth of the share retained with each task; rule `schedule`.")
    fraction: float = Field(0.5, ge=0, le=1, description="Share retained of every layer; rule `fixed`.")
    protect_pretrained: bool = Field(
        False, description="Also constrain the first task, to protect version 0; not with rule `importance`."
    )

    @model_validator(mode="after")
    def _fits(self) -> "RankConfig":
        if self.protect_pretrained and self.rank_rule == "importance":
            raise ValueError("protect_pretrained needs rank_rule fixed or schedule: importance needs a previous task")
        if self.trr < self.mrr:
            raise ValueError(f"trr must be at least mrr ({self.mrr:g}), got {self.trr:g}")
        return self


def kept_rank(share: float, size: int) -> int:
    """floor(share * size + 1e-9), clamped to 0 and size, so that round-off does not lose a rank."""
    return min(size, max(0, math.floor(share * size + 1e-9)))


def planned_share(config: RankConfig, position: int) -> float:
    """Share retained of a layer while task number `position` (from 1) is learnt.

    With the rule `importance` this is the share of a layer of importance 1, which is the mean importance.
    """
    earlier = position - 1 + config.protect_pretrained
    if earlier == 0:
        return 0.0
    return {"importance": config.trr, "schedule": min(1.0, earlier * config.slope), "fixed": config.fraction}[
        config.rank_rule
    ]


def shares(cosines: Mapping[str, float], mrr: float, trr: float) -> dict[str, float]:
    """Shares r = mrr + I (trr - mrr) by layer, with importance I = cosine / mean cosine; they may exceed 1.

    If all cosines are 0, no layer is more important than another, so I = 1.

    Args:
        cosines: Mean cosine of input and output, by layer.
        mrr: Share of a layer of importance 0.
        trr: Share of a layer of importance 1.
    """
    mean = sum(cosines.values()) / len(cosines)
    return {name: mrr + (cosine / mean if mean else 1.0) * (trr - mrr) for name, cosine in cosines.items()}


def mean_ranks(layers: Sequence[LinearLayer], ranks: Mapping[str, int]) -> dict[str, float]:
    """Mean rank of all layers (`mean_rank`) and of each tower and role (`rank/<tower>.<role>`)."""
    groups: dict[str, list[int]] = defaultdict(list)
    for layer in layers:
        groups["mean_rank"].append(ranks[layer.name])
        groups[f"rank/{layer.tower}.{layer.role}"].append(ranks[layer.name])
    return {name: sum(members) / len(members) for name, members in groups.items()}


@torch.no_grad()
def mean_cosines(
    learner: Learner, layers: Sequence[LinearLayer], samples: Samples, task: Task, batches: Sequence[Tensor]
) -> dict[str, float]:
    """Mean over tokens of max(0, cos(x, W x)) of each layer, the importance of OSFT before normalization.

    If W is not square, both vectors are cut to their first min(out, in) entries, as in the released code; the paper
    does not define this case. A layer that the loss does not use gets 0.

    Args:
        learner: The version before the task.
        layers: Layers to measure.
        samples: Training samples of the previous task.
        task: The previous task; its loss runs the layers.
        batches: Positions of samples, one tensor for each batch.

    Raises:
        TrainingError: When outputs of a layer are not finite.
    """
    meters = [_Meter(learner, layer) for layer in layers]
    hooks = [meter.attached() for meter in meters]
    try:
        for index in batches:
            batch = samples.batch(index)
            for meter in meters:
                meter.batch = batch
            with learner.autocast():
                learner.loss(batch, task)
    finally:
        for hook in hooks:
            hook.remove()
    cosines = {meter.layer.name: float(meter.total / meter.count.clamp(min=1)) for meter in meters}
    for name, cosine in cosines.items():
        if not math.isfinite(cosine):
            raise TrainingError(f"layer {name}: its outputs for task {task.name!r} are not finite: no rank follows")
    return cosines


class _Meter:
    """Sums the cosines of one layer, on the device."""

    def __init__(self, learner: Learner, layer: LinearLayer) -> None:
        self.layer = layer
        self.batch: Batch = {}
        self.total, self.count = torch.zeros(2, device=learner.device, dtype=torch.float64)
        self._learner = learner

    def attached(self) -> RemovableHandle:
        """Attach the hook that measures."""
        return self._learner.module.get_submodule(self.layer.name).register_forward_hook(self._look)

    def _look(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(module, nn.Linear)  # what `Learner.linear_layers` promises
        x, y = inputs[0].float(), output.float()
        if module.bias is not None:
            y = y - module.bias.float()
        size = min(x.shape[-1], y.shape[-1])
        cosines = F.cosine_similarity(x[..., :size], y[..., :size], dim=-1).clamp(min=0)
        real = self._learner.real_tokens(self.batch, self.layer) if x.ndim == 3 else None
        if real is None or real.shape != cosines.shape:
            real = torch.ones_like(cosines, dtype=torch.bool)
        self.total += (cosines * real).sum()
        self.count += real.sum()
