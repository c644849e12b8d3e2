"""Orthogonal LoRA: each task's adapters read from directions that no earlier task's adapters read from."""

from collections.abc import Mapping
from typing import cast, final

import torch
from pydantic import Field
from torch import Tensor, nn

from clbench.contracts import Batch, Context, Task
from clbench.core.registry import STRATEGIES
from clbench.strategies._adapters.lora_strategy import LoraSettings, LoraStrategy


class OLoraConfig(LoraSettings):
    """Settings of `OLora`."""

    strength: float = Field(0.5, ge=0, description="Weight lambda_1 of the orthogonality loss.")


@STRATEGIES.register("o-lora", config=OLoraConfig)
@final
class OLora(LoraStrategy[OLoraConfig]):
    """Adds lambda_1 sum_{i<t} sum |A_t A_i^T| over all adapters (O-LoRA, Wang et al. 2023, Eq. 7).

    The paper squares the entries; the released code takes their absolute values, and its lambda_1 of 0.5 goes with
    that, so this does too. PEFT's layers do the low-rank arithmetic. After each task the product is added to W, which
    leaves outputs and gradients as they are with frozen adapters beside W; the A's of all earlier tasks are kept,
    `rank` rows a task and layer.

    The released code adapts q and v at rank 8; here the layers are `lora`'s, for a fair table.
    """

    def __init__(self, config: OLoraConfig, context: Context) -> None:
        super().__init__(config, context)
        self._past: dict[str, Tensor] = {}
        """Rows of all earlier A's by layer, `(tasks * rank, in)`."""

    def begin_task(self, task: Task) -> None:
        """Fresh adapters; those with inputs of one width are compared with their past in one product."""
        super().begin_task(task)
        self._pairs: list[tuple[list[nn.Parameter], Tensor]] = []
        factors = self._input_factors()
        for width in sorted({past.shape[1] for past in self._past.values()}):
            names = [name for name in factors if self._past[name].shape[1] == width]
            past = torch.stack([self._past[name] for name in names]).to(self.learner.device)
            self._pairs.append(([factors[name] for name in names], past.transpose(1, 2)))

    def loss(self, batch: Batch, task: Task) -> Tensor:
        """Task loss plus the overlap of the A's with earlier ones."""
        loss = self.learner.loss(batch, task)
        with torch.autocast(self.learner.device.type, enabled=False):  # overlaps are smaller than bfloat16 can tell
            for current, past in self._pairs:
                loss = loss + self.config.strength * (torch.stack(list(current)) @ past).abs().sum()
        return loss

    def end_task(self, task: Task) -> None:
        """Remember the A's, then merge."""
        for name, a in self._input_factors().items():
            earlier = [self._past[name]] if name in self._past else []
            self._past[name] = torch.cat([*earlier, a.detach().cpu()])
        del self._pairs
        super().end_task(task)

    def state_dict(self) -> Mapping[str, object]:
        """The A's of all earlier tasks."""
        return {"past": self._past}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Take them back."""
        self._past = dict(cast(Mapping[str, Tensor], state["past"]))

    def _input_factors(self) -> dict[str, nn.Parameter]:
        """A `(rank, in)` of every adapter, by layer."""
        return {name: factors.a for name, factors in self._adapter.factors.items()}
