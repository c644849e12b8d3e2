"""Dynamic rank-selective LoRA: each rank of an update has a gate, and a proximal step shrinks small gates to zero."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import ClassVar, Literal, final

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from clbench.contracts import Batch, ScoresClasses, Task, require
from clbench.core.registry import STRATEGIES
from clbench.strategies._adapters.gated import GatedAdapter
from clbench.strategies._training.gradient import Decay, GradientStrategy
from clbench.strategies._training.layers import AdapterConfig, chosen_layers

GRID = 50
"""Number of values in the published ramp of the threshold."""


class CodyraConfig(AdapterConfig):
    """Settings of `Codyra`; the defaults are those of the authors' runner, not of their argument parser.

    Not the authors' are `operator` (theirs is `released`), `symmetric` (theirs is on) and `reference_steps` (theirs is
    null, which makes a difference when a task has other than 500 steps).
    """

    lr: float = Field(5e-4, gt=0, description="Peak learning rate of AdamW, for A, B and gates alike.")
    betas: tuple[Decay, Decay] = Field(
        (0.9, 0.9999), description="Decay rates of AdamW's moving averages of the gradient and of its square."
    )
    warmup: float = Field(0.0, ge=0, lt=1, description="Share of a task's steps in which the learning rate rises.")
    clip_norm: float | None = Field(None, gt=0, description="Largest norm of the gradient; not clipped if not set.")
    rank: int = Field(16, ge=1, description="Rank of each adapter before pruning.")
    kappa_max: float = Field(0.005, ge=0, description="Threshold kappa at the end of a task.")
    dense: float = Field(0.5, ge=0, le=1, description="Share of a task's steps without shrinking, at its start.")
    operator: Literal["soft", "released"] = Field(
        "soft", description="Exact soft-thresholding, or the released code's operator, which cuts below 2 kappa."
    )
    reference_steps: int | None = Field(
        500,
        ge=1,
        description="Number of steps whose total shrinkage thresholds are scaled to; null does not scale. "
        "This preserves the number of surviving gates with the soft operator only.",
    )
    symmetric: bool = Field(
        False, description="Add the published class-to-sample loss; for learners that have class scores only."
    )


@STRATEGIES.register("codyra", config=CodyraConfig)
@final
class Codyra(GradientStrategy[CodyraConfig]):
    """W + sum_i w_i B_i A_i with gates w that a proximal step shrinks (CoDyRA, Lu et al. 2024, arXiv 2412.01004).

    After the dense share of a task's steps, each step is followed by w <- T_kappa(w) = sign(w) max(|w| - kappa, 0)
    with a rising kappa (see `thresholds`). So L1 regularization is a proximal step, not a term of the loss. After the
    task the updates are added to W and the adapters are removed, so inference has no extra cost.

    This follows the released code and its runner, with these differences:

    - The manuscript's Eq. 4 and 7 print T_kappa with a plus sign; project page and code have the minus.
    - The released operator subtracts kappa and *then* zeroes values below kappa, so it cuts |w| < 2 kappa. That is not
      the proximal operator of the L1 norm, from which the paper derives its step. It is the setting `operator`.
    - The released schedule never prunes with fewer than 50 sparse steps; see `thresholds`.
    - The published loss has a second term, from classes to samples (see `class_to_sample_loss`). Not every learner has
      the class scores that it needs, and other methods do not have it. It is the setting `symmetric`.
    - Updates are merged at the end of a task, not at the start of the next one, which gives the same weights.
    - On CUDA our loops compute in bfloat16 under autocast, the released code in float32.

    With the published settings Adam moves a gate by about 0.1 in a task, while shrinking subtracts 0.65 in total. So
    the random start mostly decides which ranks survive: 16 P(|N(0, 1)| > 0.65) = 8.25 of 16; the published mean is 8.3.
    The total grows with the number of steps: 0.65 with 500 steps, 0.065 with 50, which prunes almost nothing, 1.3 with
    1,000. So thresholds are scaled to the total of the published 500 steps (`reference_steps`).

    Records `codyra/mean_rank` (mean number of nonzero gates in a layer) and, for each tower and role,
    `codyra/rank/<tower>.<role>`.
    """

    trains_weights: ClassVar[bool] = False

    @classmethod
    def required(cls, config: CodyraConfig) -> tuple[type, ...]:
        """Scores of classes for `symmetric`."""
        return (ScoresClasses,) if config.symmetric else ()

    def begin_task(self, task: Task) -> None:
        """Attach a new adapter and compute the task's thresholds."""
        self._attach()
        self._thresholds = thresholds(self.number_of_steps(task), self.config)

    def loss(self, batch: Batch, task: Task) -> Tensor:
        """The learner's loss, a scalar; with `symmetric`, plus the cross-entropy of classes over samples."""
        if not self.config.symmetric:
            return self.learner.loss(batch, task)
        learner = require(self.learner, ScoresClasses)
        logits = learner.logits(batch, [task])
        classes_seen = sum(len(known.classes) for known in self.seen)
        loss = learner.loss_from_logits(logits, batch["label"], [task])
        return loss + class_to_sample_loss(logits, batch["label"], classes_seen)

    def after_step(self, task: Task, step: int) -> None:
        """Shrink all gates by the step's threshold."""
        if kappa := self._thresholds[step - 1]:
            self._adapter.shrink(OPERATORS[self.config.operator], kappa)

    def end_task(self, task: Task) -> None:
        """Record ranks, then merge the adapter into the weights."""
        for name, rank in self._mean_ranks().items():
            self.context.record(f"codyra/{name}", rank)
        self._adapter.merge(self.learner.module)
        del self._adapter

    def trainable_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """A, B and gate of every layer."""
        yield from self._adapter.parameters()

    def footprint(self) -> dict[str, int]:
        """Number of values in A, B and gates, of adapted layers, and of gate values."""
        self._attach()
        gates = self._adapter.gates
        return {**super().footprint(), "adapters": len(gates), "gates": gates.numel()}

    def _attach(self) -> None:
        self._layers = chosen_layers(self.learner, self.config)
        names = [layer.name for layer in self._layers]
        self._adapter = GatedAdapter(self.learner.module, names, self.config.rank, self.generator)
        self._adapter.attach(self.learner.module)

    def _mean_ranks(self) -> dict[str, float]:
        """Mean number of nonzero gates, over all layers and by tower and role."""
        ranks = (self._adapter.gates != 0).sum(dim=1).tolist()
        groups: dict[str, list[int]] = defaultdict(list)
        for layer, rank in zip(self._layers, ranks, strict=True):
            groups["mean_rank"].append(rank)
            groups[f"rank/{layer.tower}.{layer.role}"].append(rank)
        return {name: sum(members) / len(members) for name, members in groups.items()}


def thresholds(steps: int, config: CodyraConfig) -> list[float]:
    """Thresholds kappa by which gates shrink after each step of a task; 0 for steps without shrinking.

    This is the ramp (see `ramp`), scaled to the sum of the ramp over `reference_steps` if that is set.

    Args:
        steps: Number of steps of the task.
        config: Settings.

    Returns:
        One threshold for each step.
    """
    kappas = ramp(steps, config)
    if config.reference_steps is None or not sum(kappas):
        return kappas
    factor = sum(ramp(config.reference_steps, config)) / sum(kappas)  # exactly 1 with as many steps
    return [kappa * factor for kappa in kappas]


def ramp(steps: int, config: CodyraConfig) -> list[float]:
    """The published thresholds, one for each step, and an equivalent for tasks that are too short for them.

    Steps count from 0 and the sparse ones are those from `dense * steps` on.

    - With at least 50 sparse steps, the released schedule: a grid of 50 values from 0 to `kappa_max`; the index starts
      at 0 and rises, up to 49, at every sparse step that is a multiple of `sparse // 50`; gates shrink after every step
      *beyond* `dense * steps`. With 500 steps: index 1 at 250 (no shrinking yet), shrinking from 251, 49 from 490.
    - With n < 50 sparse steps, for which the released code stays at 0: kappa_max / n, 2 kappa_max / n, ..., kappa_max.
    """
    first = config.dense * steps
    stride = int((steps - first) // GRID)
    if stride:
        grid = np.linspace(0, config.kappa_max, GRID).tolist()
        risen = np.cumsum([step >= first and step % stride == 0 for step in range(steps)])
        return [grid[min(int(index), GRID - 1)] if step > first else 0.0 for step, index in enumerate(risen)]
    sparse = sum(step >= first for step in range(steps))
    return [config.kappa_max * max(0, step + 1 + sparse - steps) / max(1, sparse) for step in range(steps)]


def released_shrink(gates: Tensor, kappa: float) -> Tensor:
    """The released operator: move w towards 0 by kappa if |w| > kappa, *then* set |w| < kappa to 0."""
    moved = torch.where(gates.abs() > kappa, gates - kappa * gates.sign(), gates)
    return torch.where(moved.abs() < kappa, 0.0, moved)


OPERATORS: dict[str, Callable[[Tensor, float], Tensor]] = {"soft": F.softshrink, "released": released_shrink}


def class_to_sample_loss(logits: Tensor, labels: Tensor, classes_seen: int) -> Tensor:
    """Cross-entropy of each class over the samples of the batch, as released, a scalar.

    For each class: minus the sum, over its samples, of log softmax over the batch. The result is the mean over all
    classes seen so far, including this task's. Classes without a sample in the batch add 0, so the term shrinks when
    more classes are seen.

    Args:
        logits: Scores of the task's classes, `(batch, classes)`.
        labels: Class of each sample, `(batch,)` int64.
        classes_seen: Number of classes of all tasks so far.
    """
    return -logits.log_softmax(dim=0).gather(1, labels[:, None]).sum() / classes_seen
