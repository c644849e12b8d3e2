"""Orthogonal LoRA: a penalty keeps each task's input directions orthogonal to those of earlier tasks."""

from collections.abc import Mapping
from typing import cast, final

import torch
from pydantic import Field
from torch import Tensor, nn

from clbench.contracts import Batch, Context, Task
from clbench.core.registry import STRATEGIES
from clbench.strategies._adapters.lora_strategy import LoraSettings, LoraStrategy


class OLoraConfig(LoraSettings):
    """Settings of `OLora`; `strength` is the authors', layers, rank, optimizer and schedule are those of `lora`."""

    strength: float = Field(0.5, ge=0, description="Weight lambda_1 of the orthogonality loss.")


@STRATEGIES.register("o-lora", config=OLoraConfig)
@final
class OLora(LoraStrategy[OLoraConfig]):
    """Adds lambda_1 sum_{i<t} sum |A_t A_i^T| over all adapters (O-LoRA, Wang et al. 2023, Eq. 7).

    The paper squares the entries. This follows the released code, which takes absolute values and for which
    lambda_1 = 0.5 is published. The A's of all earlier tasks are kept, `rank` rows for each task and layer.

    Deviations: after each task the product is added to W, which gives the same outputs and gradients as frozen adapters
    beside W. The released code adapts q and v at rank 8; here layers and rank are those of `lora`, for a fair table.
    """

    def __init__(self, config: OLoraConfig, context: Context) -> None:
        super().__init__(config, context)
        self._past: dict[str, Tensor] = {}
        """A's of all earlier tasks by layer, `(tasks * rank, in)`."""

    def begin_task(self, task: Task) -> None:
        """Attach a new adapter; group its layers by input width, so that each width needs one product."""
        super().begin_task(task)
        self._pairs: list[tuple[list[nn.Parameter], Tensor]] = []
        factors = self.input_factors()
        for width in sorted({past.shape[1] for past in self._past.values()}):
            names = [name for name in factors if self._past[name].shape[1] == width]
            past = torch.stack([self._past[name] for name in names]).to(self.learner.device)
            self._pairs.append(([factors[name] for name in names], past.transpose(1, 2)))

    def loss(self, batch: Batch, task: Task) -> Tensor:
        """Task loss plus the weighted overlap of the A's with earlier ones, a scalar."""
        loss = self.learner.loss(batch, task)
        with torch.autocast(self.learner.device.type, enabled=False):  # bfloat16 is too coarse for overlaps
            for current, past in self._pairs:
                loss = loss + self.config.strength * (torch.stack(list(current)) @ past).abs().sum()
        return loss

    def end_task(self, task: Task) -> None:
        """Keep the A's, then merge the adapter."""
        for name, a in self.input_factors().items():
            earlier = [self._past[name]] if name in self._past else []
            self._past[name] = torch.cat([*earlier, a.detach().cpu()])
        del self._pairs
        super().end_task(task)

    def state_dict(self) -> Mapping[str, object]:
        """The A's of all earlier tasks."""
        return {"past": self._past}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Restore the A's."""
        self._past = dict(cast(Mapping[str, Tensor], state["past"]))

    def input_factors(self) -> dict[str, nn.Parameter]:
        """A of the current adapter by layer, `(rank, in)`."""
        return {name: factors.a for name, factors in self._adapter.factors.items()}
