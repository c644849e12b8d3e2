"""Sequential low-rank adapters: a new LoRA for each task, merged into the weights when the task is done."""

from collections.abc import Iterator, Sequence
from typing import Generic, Protocol, TypeVar, final

import torch
from peft import LoraConfig as PeftLoraConfig
from peft.tuners.lora import LoraModel
from pydantic import Field
from torch import nn

from clbench.contracts import Learner, LinearLayer, Task
from clbench.core.registry import STRATEGIES
from clbench.strategies._training.gradient import GradientStrategy
from clbench.strategies._training.layers import AdapterConfig, chosen_layers


class LoraConfig(AdapterConfig):
    """Settings of `Lora`."""

    lr: float = Field(2e-3, gt=0, description="Peak learning rate of AdamW.")
    rank: int = Field(16, ge=1, description="Rank r of each adapter.")
    alpha: float | None = Field(
        None, gt=0, description="The update is scaled by alpha / rank; by 1, whatever the rank, if not set."
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout before the adapters.")


L = TypeVar("L", bound=LoraConfig)


class LoraStrategy(GradientStrategy[L], Generic[L]):
    """What strategies on PEFT's LoRA layers share: only A and B are trained, and merged into W after the task."""

    def begin_task(self, task: Task) -> None:
        """Wrap the chosen layers in fresh adapters."""
        self._adapted = add_adapters(self.learner, chosen_layers(self.learner, self.config), self.config)

    def trainable_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """A and B of every adapter."""
        yield from ((name, p) for name, p in self.learner.module.named_parameters() if "lora_" in name)

    def footprint(self) -> dict[str, int]:
        """The size of A and B, and the number of adapted layers."""
        adapted = add_adapters(self.learner, chosen_layers(self.learner, self.config), self.config)
        return {**super().footprint(), "adapters": len(adapted.targeted_module_names)}

    def end_task(self, task: Task) -> None:
        """Merge the adapters into the weights and unwrap the layers."""
        merge_adapters(self.learner, self._adapted)
        del self._adapted


@STRATEGIES.register("lora", config=LoraConfig)
@final
class Lora(LoraStrategy[LoraConfig]):
    """W + (alpha / r) B A with A random and B zero at first (Hu et al. 2022, Eq. 3); PEFT's layers do the arithmetic.

    Only A and B are trained. After the task the product is added to W and the adapters are removed, so that versions
    cost nothing extra at inference and the next task starts with fresh ones.

    The scale is 1 at every rank by default, so that ranks differ in nothing but rank: an alpha of 16, say, would make
    the steps of rank 1 sixteen times as long as those of rank 16. The plain adapters in CoDyRA's code start at 1, too.

    This is also what the literature calls IncLoRA (a new adapter a task, the earlier ones kept frozen; a baseline of
    Wang et al. 2023): the output (W + sum of frozen products) x + B A x and its gradient in A and B are the same to
    round-off whether the frozen products are added to W or computed beside it. So there is no strategy `inc-lora`.
    """


class AdapterShape(Protocol):
    """The settings that say what an adapter is."""

    @property
    def rank(self) -> int:
        """Rank r."""

    @property
    def alpha(self) -> float | None:
        """The update is scaled by alpha / r; by 1 if None."""

    @property
    def dropout(self) -> float:
        """Before the adapter."""


def add_adapters(learner: Learner, layers: Sequence[LinearLayer], config: AdapterShape) -> LoraModel:
    """Put PEFT's LoRA layers in the place of some of the learner's; A and B are float32 at least, whatever W is."""
    peft_config = PeftLoraConfig(
        r=config.rank,
        lora_alpha=config.alpha or config.rank,  # type: ignore[arg-type]  # PEFT computes alpha / r: any number does
        lora_dropout=config.dropout,
        target_modules=[layer.name for layer in layers],
        bias="none",
    )
    model = LoraModel(learner.module, peft_config, "default")
    for name, p in learner.module.named_parameters():
        if "lora_" in name:  # PEFT gives them W's type; steps of AdamW would be lost in bfloat16
            p.data = p.data.to(torch.promote_types(p.dtype, torch.float32))
    return model


def merge_adapters(learner: Learner, adapted: LoraModel) -> None:
    """Add the products to the weights; the layers are plain again."""
    adapted.merge_and_unload(progressbar=False)
    vars(learner.module).pop("peft_config", None)  # older releases of PEFT leave it, and warn of it next time
