"""SNELLA: sparse additions by a kernel of thin factors, with layers that compete for the number of entries."""

from collections import defaultdict
from collections.abc import Iterator
from typing import ClassVar, final

from pydantic import Field, field_validator
from torch import nn

from clbench.contracts import Task
from clbench.core.registry import STRATEGIES
from clbench.strategies._adapters.entry_budget import Sensitivity, shares_of
from clbench.strategies._adapters.kernel_adapter import attached_kernels
from clbench.strategies._training.gradient import GradientStrategy
from clbench.strategies._training.layers import AdapterConfig, chosen_layers


class SnellaConfig(AdapterConfig):
    """Settings of `Snella`. The authors choose `target` for each data set; 0.6 is the middle of what they use."""

    lr: float = Field(1e-3, gt=0, description="Peak learning rate of AdamW.")
    rank: int = Field(32, ge=2, description="Width q of the factors, even; as many values as a LoRA of rank q.")
    initial_sparsity: float = Field(0.01, ge=0, lt=1, description="Share rho_0 of zeros in each addition at first.")
    target: float = Field(0.6, ge=0, lt=1, description="Share of zeros in all additions together after the last step.")
    smoothing: float = Field(0.85, gt=0, lt=1, description="Decay rate of the moving averages behind scores.")

    @field_validator("rank")
    @classmethod
    def _even(cls, rank: int) -> int:
        if rank % 2:
            raise ValueError(f"must be even, because half of it goes to each of two kernels, got {rank}")
        return rank


@STRATEGIES.register("snella", config=SnellaConfig)
@final
class Snella(GradientStrategy[SnellaConfig]):
    """W + S |S| at the largest |S|, where S is a kernel of thin factors (SNELLA; released code of Shen et al.).

    S = D + a softmax(D / g) + b, with D = 0.1 (d_0 - d_1) of Euclidean distances d_h between rows of the factors. So S
    is not of low rank, with q (in + out) + 3 trained values for a layer. Every step divides the number of kept entries
    among layers by the sensitivity of their factors (`Sensitivity`, `shares_of`). The number falls from
    1 - `initial_sparsity` to 1 - `target` of all entries, with a difference that goes as (1 - step / steps)^3.

    Differences from the released code:

    - S is not zero before training, so the released model differs from the pre-trained one before its first step. Here
      the first addition is subtracted from W: W' = W - dW_0. So a task changes W by dW_T - dW_0, and an entry stays as
      it was only where *both* are zero. The share of zeros in `update/zeros` is therefore smaller than `target`.
    - The number of entries is exact. The released quantile cuts the smallest entry at a sparsity of 0 as well, and
      refuses matrices of more than 2^24 entries.
    - Entries are divided after every step, without steps of warm-up before and after. The released script takes an
      interval and both warm-ups as arguments. There is no dropout before additions, and no path is dropped.
    - The addition is merged into W after each task, and the next one starts with new factors.

    Every forward pass sorts the entries of every adapted matrix and keeps an addition of its size for the backward
    pass. Controls: `lora` with `rank` q has as many trained values.

    Records `snella/kept/<tower>.<role>`, the mean share of entries that layers keep in the end.
    """

    trains_weights: ClassVar[bool] = False

    def begin_task(self, task: Task) -> None:
        """Attach new factors; their first addition is subtracted from the weights."""
        self._attach()
        self._sensitivity = Sensitivity(list(self._adapter.factors.values()), self.config.smoothing)
        self._total = self.number_of_steps(task)

    def trainable_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Factors and scalars of every layer."""
        yield from self._adapter.parameters()

    def footprint(self) -> dict[str, int]:
        """Number of trained values, and number of adapted layers."""
        self._attach()
        return {**super().footprint(), "adapters": len(self._adapter.factors)}

    def after_backward(self, task: Task) -> None:
        """Take the step's gradients into the scores of layers."""
        self._scores = self._sensitivity.update()

    def after_step(self, task: Task, step: int) -> None:
        """Divide the entries of the next step among layers."""
        start, end = 1 - self.config.initial_sparsity, 1 - self.config.target
        share = end + (start - end) * (1 - step / self._total) ** 3
        sizes = self._adapter.sizes
        self._adapter.kept = shares_of((share * sizes.sum()).floor(), self._scores, sizes)

    def end_task(self, task: Task) -> None:
        """Record the shares of entries, then merge the additions into the weights."""
        shares: dict[str, list[float]] = defaultdict(list)
        for layer, share in zip(self._layers, (self._adapter.kept / self._adapter.sizes).tolist(), strict=True):
            shares[f"{layer.tower}.{layer.role}"].append(share)
        for name, found in shares.items():
            self.context.record(f"snella/kept/{name}", sum(found) / len(found))
        self._adapter.merge(self.learner.module)
        del self._adapter, self._sensitivity, self._scores

    def _attach(self) -> None:
        self._layers = chosen_layers(self.learner, self.config)
        names, settings = [layer.name for layer in self._layers], self.config
        self._adapter = attached_kernels(
            self.learner.module, names, settings.rank, settings.initial_sparsity, self.generator
        )
