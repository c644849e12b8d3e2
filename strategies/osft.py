"""Full fine-tuning orthogonal to the first singular directions of every matrix (OSFT)."""

from collections.abc import Iterator
from typing import ClassVar, Literal, final

import torch
from pydantic import Field
from torch import nn

from clbench.contracts import Context, LinearLayer, Task
from clbench.core import processes
from clbench.core.errors import ConfigError
from clbench.core.registry import STRATEGIES
from clbench.core.seeding import generator_for
from clbench.strategies._linalg.rank_rules import RankConfig, kept_rank, mean_cosines, mean_ranks, planned_share, shares
from clbench.strategies._linalg.retained_layers import Retained, in_groups
from clbench.strategies._linalg.subspaces import Form, freedom, stored
from clbench.strategies._parts.slots import Slot
from clbench.strategies._training.gradient import GradientStrategy
from clbench.strategies._training.layers import BLOCK, Role, chosen_layers

MEASURED_EVERY = 8
"""Period, in steps from the first on, of computing full gradients to measure how much of them projections keep."""


class OsftConfig(RankConfig):
    """Settings of `Osft`.

    The default form of the projection is that of the released code, not of the paper's Eq. 4. `weights_every` is ours:
    the released code does not project weights. docs/osft.md compares the other settings.
    """

    roles: tuple[Role, ...] = Field(
        BLOCK,
        min_length=1,
        description="Projections that are decomposed; attention to an encoder's output is not, as published.",
    )
    projection: Form = Field(
        "factor",
        description="Space of updates: (I - P_U) dW (I - P_V), as in all implementations, or the larger"
        " dW - P_U dW P_V of the paper's Eq. 4.",
    )
    others: Literal["train", "freeze"] = Field(
        "train", description="Whether all other parameters are trained, without protection, or frozen."
    )
    weights_every: int = Field(
        4,
        ge=1,
        description="Period, in steps, of projecting weights, also after the last step.",
    )


@STRATEGIES.register("osft", config=OsftConfig)
@final
class Osft(GradientStrategy[OsftConfig]):
    """Orthogonal subspace fine-tuning with adaptive ranks (OSFT, "Sculpting Subspaces", arXiv 2504.07097).

    Before every task except the first, each target W (m x n) is decomposed and its first k singular triplets
    U_h, s_h, V_h are retained. With P_U = U_h U_h^T and P_V = V_h V_h^T, the task's update stays in
    (I - P_U) dW (I - P_V), of dimension (m - k)(n - k), as in all implementations, which train factors. The paper's
    Eq. 4 removes P_U dW P_V only, which leaves mn - k^2 dimensions and mixes retained directions with others (setting
    `projection`). `rank_rule` decides k.

    Deviation: the dense weights are trained, so the forward pass has no extra cost, and AdamW is that of `finetune`.
    Gradients are projected before they are clipped. AdamW scales each entry differently, which turns the step out of
    the subspace. The released code ignores this; here weights are projected, too (`weights_every`). The version after a
    task is exact to round-off for every `weights_every`. All deviations: docs/osft.md.

    A layer whose update space has dimension 0 is not trained. Embeddings, norms, biases, heads and matrices of other
    roles are not decomposed and not protected (`others`), as in the paper's code.

    Records `osft/mean_rank` (retained triplets of a layer), also for each tower and role as
    `osft/rank/<tower>.<role>`; `osft/frozen_layers` (number of targets that are not trained); `osft/gradient_kept`
    (share of the targets' squared gradients that projections keep); and `osft/leak` (largest relative change of the
    retained part of a layer).
    """

    slots: ClassVar[tuple[Slot, ...]] = ("optimizer", "memory", "penalty", "edit")
    """Without `select`: a mask of entries would turn updates out of the space that they must stay in."""

    def __init__(self, config: OsftConfig, context: Context) -> None:
        super().__init__(config, context)
        self._frozen: frozenset[str] = frozenset()
        """Names of parameters that this task does not train."""

    @torch.no_grad()
    def begin_task(self, task: Task) -> None:
        """Choose ranks and decompose the targets.

        Raises:
            ConfigError: When no parameter is left to train.
            TrainingError: When a matrix is not finite or cannot be decomposed.
        """
        layers = chosen_layers(self.learner, self.config)
        ranks = self._ranks(layers)
        moving = self._choose_parameters(layers, ranks)
        self._groups: list[Retained] = list(in_groups(moving, ranks, self.config.projection))
        self._energy = torch.zeros(2, dtype=torch.float64, device=self.learner.device)
        self._measured = True
        for name, rank in mean_ranks(layers, ranks).items():
            self.context.record(f"osft/{name}", rank)
        self.context.record("osft/frozen_layers", len(layers) - len(moving))

    def after_backward(self, task: Task) -> None:
        """Project the gradients of the targets; periodically measure the share that is kept."""
        measured = self._measured
        for group in self._groups:
            before = group.gradient_energy() if measured else None
            group.project_gradients()
            if before is not None:
                self._energy += torch.stack([before, group.gradient_energy()])

    def after_step(self, task: Task, step: int) -> None:
        """Remove from the weights what AdamW added to retained directions."""
        self._measure(step % MEASURED_EVERY == 0)
        if step % self.config.weights_every == 0 or step == self.number_of_steps(task):
            for group in self._groups:
                group.restore_weights()

    def _measure(self, measured: bool) -> None:
        """Choose full or projected gradients for the next step; several processes add up full ones."""
        measured = measured or processes.count() > 1
        if measured != self._measured:
            for group in self._groups:
                if measured:
                    group.use_full_gradients()
                else:
                    group.use_coordinates(self.learner.module)
        self._measured = measured

    @torch.no_grad()
    def end_task(self, task: Task) -> None:
        """Record the effect of projections and free the bases."""
        self._measure(True)
        if self._groups:
            before, after = self._energy.tolist()
            if before:
                self.context.record("osft/gradient_kept", after / before)
            self.context.record("osft/leak", max(float(group.leak().max()) for group in self._groups))
        del self._groups, self._energy

    def trainable_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Trainable parameters of the learner, without those that are frozen for this task."""
        yield from ((name, p) for name, p in super().trainable_parameters() if name not in self._frozen)

    def footprint(self) -> dict[str, int]:
        """Number of targets, their mean rank, free dimensions and bytes of bases, in the first constrained task.

        With the rule `importance`, all layers count as equally important, because importances depend on data.
        """
        layers, form = chosen_layers(self.learner, self.config), self.config.projection
        share = planned_share(self.config, 1 if self.config.protect_pretrained else 2)
        ranks = {layer.name: kept_rank(share, min(self._weight(layer).shape)) for layer in layers}
        moving = self._choose_parameters(layers, ranks)
        return {
            **super().footprint(),
            "targets": len(layers),
            "mean_rank": round(sum(ranks.values()) / len(layers)),
            "free_dimensions": sum(freedom(w.shape, ranks[name], form) for name, w in moving.items()),
            "bytes_of_bases": sum(w.element_size() * stored(w.shape, ranks[name], form) for name, w in moving.items()),
        }

    def _ranks(self, layers: tuple[LinearLayer, ...]) -> dict[str, int]:
        """Number of triplets that each layer retains while the current task is learnt."""
        share = planned_share(self.config, len(self.seen))
        found = {layer.name: share for layer in layers}
        if share and self.config.rank_rule == "importance":
            found = shares(self._cosines(layers), self.config.mrr, self.config.trr)
        return {layer.name: kept_rank(found[layer.name], min(self._weight(layer).shape)) for layer in layers}

    def _cosines(self, layers: tuple[LinearLayer, ...]) -> dict[str, float]:
        """Mean cosines on random samples of the previous task, from a generator that training does not use."""
        previous = self.seen[-2]
        samples = self.context.samples(previous, "train")
        generator = generator_for(self.context.seed, "osft", len(self.seen))
        chosen = torch.randperm(len(samples), generator=generator)[: self.config.calibration_samples]
        size = self.context.budget.micro_batch or self.context.budget.batch_size
        self.learner.module.eval()
        return mean_cosines(self.learner, layers, samples, previous, chosen.split(size))

    def _choose_parameters(self, layers: tuple[LinearLayer, ...], ranks: dict[str, int]) -> dict[str, nn.Parameter]:
        """Choose the parameters to train; returns the weights of the targets among them, by name of the layer."""
        weights = {layer.name: self._weight(layer) for layer in layers}
        form = self.config.projection
        moving = {name: w for name, w in weights.items() if freedom(w.shape, ranks[name], form)}
        left_out = {f"{name}.weight" for name in weights.keys() - moving.keys()}
        if self.config.others == "freeze":
            left_out |= self.learner.trainable().keys() - {f"{name}.weight" for name in moving}
        self._frozen = frozenset(left_out)
        if not dict(self.trainable_parameters()):
            raise ConfigError(
                f"strategy osft: nothing is left to train in task {len(self.seen)}: every layer retains its whole rank"
                " and all else is frozen: retain less, or set others to 'train'"
            )
        return moving

    def _weight(self, layer: LinearLayer) -> nn.Parameter:
        weight = self.learner.module.get_submodule(layer.name).weight
        assert isinstance(weight, nn.Parameter)
        return weight
