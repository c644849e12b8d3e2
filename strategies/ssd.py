"""Selective synaptic dampening: shrink parameters that matter more for the forgotten samples than for all samples."""

from collections import Counter
from collections.abc import Mapping
from typing import Literal, final

import torch
from pydantic import Field
from torch import Tensor, nn

from clbench.contracts import ForgetRequest, ScoresTokens, Strategy, StrategyConfig
from clbench.core.registry import STRATEGIES
from clbench.strategies._unlearning.dampening import (
    adaptive_percentile,
    dampened,
    dampening_factor,
    percentile,
    shuffled,
    unseen,
)
from clbench.strategies._unlearning.importance import ImportanceOf, Source
from clbench.strategies._unlearning.parameter_groups import groups_of
from clbench.strategies._unlearning.training_data import divided


class SsdConfig(StrategyConfig):
    """Settings of `Ssd`: SSD is `alpha: 10`, LFSSD is that with `importance: output`, ASSD is the default."""

    importance: Source = Field(
        "loss",
        description="Gradients that importances are made of: those of the task loss, squared, or, without labels, those"
        " of the squared norm of the scores, absolute.",
    )
    alpha: float | None = Field(
        None,
        ge=0,
        description="Parameters whose importance is more than alpha times that for all samples are dampened; chosen by"
        " the share of forgotten samples if null.",
    )
    dampening: float = Field(
        1.0, ge=0, description="Factor of dampened parameters at equal importances (lambda); smaller dampens more."
    )
    batch_size: int = Field(
        128, ge=1, description="Samples in a batch of importances; fewer if a task has fewer to forget."
    )
    toward: Literal["zero", "pretrained"] = Field(
        "zero", description="What parameters are dampened towards: 0, or their values in the pre-trained model."
    )
    zero_unseen: bool = Field(
        False, description="Also dampen parameters without importance for all samples; their factor is 0."
    )
    shuffled: bool = Field(
        False, description="Control: put the factors of each parameter tensor at random places in it."
    )


@STRATEGIES.register("ssd", config=SsdConfig)
@final
class Ssd(Strategy[SsdConfig]):
    """Multiplies by min(lambda I_D / I_F, 1) every parameter with I_F > alpha I_D, without training.

    I_D are importances for all training samples of the tasks learnt so far (the forgotten ones included), I_F those for
    the forgotten samples, both at the present weights, without augmentation and dropout.

    Sources: SSD, Foster, Schoepf and Brintrup 2024 (arXiv 2308.07707); label-free (LFSSD), arXiv 2402.19308; adaptive
    (ASSD), arXiv 2402.10098: alpha is the q-th percentile of I_F / I_D over all parameters, q = 100 - ln(1 + 100 |F| /
    |D|). Deviations: all batches are full and as large for F as for D; parameters with I_D = 0 stay (`zero_unseen`);
    embeddings and heads of other tasks stay. Reasons: docs/unlearning.md.

    Records `unlearn/share` (share of the considered parameters that is dampened), also for each tower and role as
    `unlearn/share/<tower>.<role>`, with `head` for heads and `other` for norms and biases; `unlearn/zeroed` (number of
    parameters set to exactly 0); `unlearn/unseen` (number of parameters with I_D = 0 < I_F); `unlearn/alpha`;
    `unlearn/batch_size`; and `samples_read` (number of samples in both passes).
    """

    @classmethod
    def required(cls, config: SsdConfig) -> tuple[type, ...]:
        """Scores for importances without labels."""
        return (ScoresTokens,) if config.importance == "output" else ()

    def forget(self, request: ForgetRequest) -> None:
        """Compute importances for all and for the forgotten samples, and dampen parameters.

        Raises:
            ConfigError: For a request that selects no or all training samples, or samples of a task not learnt; with
                `importance: output`, for a task or a learner without scores.
            TrainingError: When importances are not finite, or all are 0.
        """
        data = divided(self.context, self.seen, request)
        groups = groups_of(self.learner, self.seen, [part.task for part in data.forgotten])
        trainable = self.learner.trainable()
        parameters = {name: trainable[name] for name in groups}
        size = min(self.config.batch_size, *map(len, (*data.all, *data.forgotten)))
        measure = ImportanceOf(self.learner, parameters, self.config.importance, self.context.budget.micro_batch)
        overall = measure.over(data.all, size, self.generator)
        forgotten = measure.over(data.forgotten, size, self.generator)
        alpha = self.config.alpha
        if alpha is None:
            ratios = (forgotten[name] / overall[name] for name in groups)
            alpha = percentile(ratios, adaptive_percentile(data.share))
        factors = {
            name: dampening_factor(
                forgotten[name], overall[name], alpha, self.config.dampening, zero_unseen=self.config.zero_unseen
            )
            for name in groups
        }
        if self.config.shuffled:
            factors = {name: shuffled(factor, self.generator) for name, factor in factors.items()}
        zeroed = self._dampen(parameters, factors)
        self._record_shares(groups, factors)
        numbers = {
            "unlearn/alpha": alpha,
            "unlearn/batch_size": size,
            "unlearn/unseen": sum(int(unseen(forgotten[name], overall[name]).sum()) for name in groups),
            "unlearn/zeroed": zeroed,
            "samples_read": measure.samples_read,
        }
        for name, value in numbers.items():
            self.context.record(name, value)

    @torch.no_grad()
    def _dampen(self, parameters: Mapping[str, nn.Parameter], factors: Mapping[str, Tensor]) -> int:
        """Multiply in place; returns the number of parameters that became exactly 0."""
        origin: Mapping[str, Tensor] = {}
        if self.config.toward == "pretrained":
            pretrained = self.context.new_learner()
            for task in self.seen:
                pretrained.add_task(task)
            origin = pretrained.trainable()
        zeroed = torch.zeros((), dtype=torch.int64, device=self.learner.device)
        for name, weight in parameters.items():
            moved = dampened(weight, factors[name], origin.get(name))
            zeroed += ((moved == 0) & (weight != 0)).sum()
            weight.copy_(moved)
        return int(zeroed)

    def _record_shares(self, groups: Mapping[str, str], factors: Mapping[str, Tensor]) -> None:
        changed: Counter[str] = Counter()
        size: Counter[str] = Counter()
        for name, group in groups.items():
            changed[group] += int((factors[name] < 1).sum())
            size[group] += factors[name].numel()
        self.context.record("unlearn/share", changed.total() / size.total())
        for group in size:
            self.context.record(f"unlearn/share/{group}", changed[group] / size[group])
