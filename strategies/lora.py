"""Sequential low-rank adapters: a new LoRA for each task, merged into the weights after the task."""

from typing import final

from clbench.core.registry import STRATEGIES
from clbench.strategies._adapters.lora_strategy import LoraSettings, LoraStrategy


class LoraConfig(LoraSettings):
    """Settings of `Lora`; `lr`, `rank` and the scale of 1 are ours, the other defaults are those of all strategies."""


@STRATEGIES.register("lora", config=LoraConfig)
@final
class Lora(LoraStrategy[LoraConfig]):
    """W + (alpha / r) B A with A random and B zero at first (Hu et al. 2022, Eq. 3), equal to PEFT's layers to the bit.

    Only A and B are trained. After the task the product is added to W and the adapter is removed. So a version costs
    nothing extra at inference, and the next task starts with a new adapter.

    The scale is 1 at every rank by default, so that runs of different ranks differ in rank alone. A fixed alpha of 16,
    for example, would make the steps of rank 1 sixteen times as long as those of rank 16. The plain adapters in
    CoDyRA's code have scale 1, too.

    This is also IncLoRA (a new adapter for each task beside frozen earlier ones; a baseline of Wang et al. 2023): the
    output (W + sum of frozen products) x + B A x and its gradient in A and B are the same to round-off whether the
    frozen products are added to W or computed beside it. So there is no strategy `inc-lora`.
    """

    takes_shards = True
