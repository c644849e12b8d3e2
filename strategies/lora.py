"""Sequential low-rank adapters: a new LoRA for each task, merged into the weights when the task is done."""

from collections.abc import Iterator
from typing import Literal, final

from peft import LoraConfig as PeftLoraConfig
from peft.tuners.lora import LoraModel
from pydantic import Field
from torch import nn

from clbench.contracts import Learner, Task
from clbench.errors import ConfigError
from clbench.registry import STRATEGIES
from clbench.strategies.gradient import GradientConfig, GradientStrategy

Role = Literal["q", "k", "v", "out", "gate", "up", "down", "other"]


class LoraConfig(GradientConfig):
    """Settings of `Lora`."""

    lr: float = Field(2e-3, gt=0, description="Peak learning rate of AdamW.")
    rank: int = Field(16, ge=1, description="Rank r of each adapter.")
    alpha: float = Field(16.0, gt=0, description="The update is scaled by alpha / rank.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout before the adapters.")
    roles: tuple[Role, ...] = Field(
        ("q", "k", "v", "out", "up", "down", "gate"), min_length=1, description="Which projections get an adapter."
    )
    towers: tuple[str, ...] = Field((), description="Encoders that get adapters (`vision`, `text`); all when empty.")


@STRATEGIES.register("lora", config=LoraConfig)
@final
class Lora(GradientStrategy[LoraConfig]):
    """W + (alpha / r) B A with A random and B zero at first (Hu et al. 2022, Eq. 3); PEFT's layers do the arithmetic.

    Only A and B are trained. After the task the product is added to W and the adapters are removed, so that versions
    cost nothing extra at inference and the next task starts with fresh ones.
    """

    def begin_task(self, task: Task) -> None:
        """Wrap the chosen layers in fresh adapters."""
        self._adapted = add_adapters(self.learner, self.config)

    def trainable_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """A and B of every adapter."""
        yield from ((name, p) for name, p in self.learner.module.named_parameters() if "lora_" in name)

    def footprint(self) -> dict[str, int]:
        """The size of A and B, and the number of adapted layers."""
        adapted = add_adapters(self.learner, self.config)
        return {**super().footprint(), "adapters": len(adapted.targeted_module_names)}

    def end_task(self, task: Task) -> None:
        """Merge the adapters into the weights and unwrap the layers."""
        self._adapted.merge_and_unload(progressbar=False)
        del self._adapted
        vars(self.learner.module).pop("peft_config", None)  # older releases of PEFT leave it, and warn of it next time


def add_adapters(learner: Learner, config: LoraConfig) -> LoraModel:
    """Put PEFT's LoRA layers into the learner's module, in place.

    Raises:
        ConfigError: When the learner has no layer of the chosen roles and towers.
    """
    chosen = [
        layer.name
        for layer in learner.linear_layers()
        if layer.role in config.roles and (not config.towers or layer.tower in config.towers)
    ]
    if not chosen:
        wanted = f"roles {config.roles} in towers {config.towers or 'any'}"
        raise ConfigError(f"strategy lora: {learner.name} has no linear layer with {wanted}")
    peft_config = PeftLoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,  # type: ignore[arg-type]  # PEFT computes alpha / r: any number does
        lora_dropout=config.dropout,
        target_modules=chosen,
        bias="none",
    )
    return LoraModel(learner.module, peft_config, "default")
