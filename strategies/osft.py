"""Full fine-tuning in what the first singular directions of every matrix leave free (OSFT)."""

from collections.abc import Iterator
from typing import Literal, final

import torch
from pydantic import Field
from torch import nn

from clbench.contracts import Context, LinearLayer, Task
from clbench.core.errors import ConfigError
from clbench.core.registry import STRATEGIES
from clbench.core.seeding import generator_for
from clbench.strategies._linalg.rank_rules import RankConfig, kept_rank, mean_cosines, mean_ranks, planned_share, shares
from clbench.strategies._linalg.retained_layers import Retained, in_groups
from clbench.strategies._linalg.subspaces import Form, freedom, stored
from clbench.strategies._training.gradient import GradientStrategy
from clbench.strategies._training.layers import BLOCK, Role, chosen_layers

MEASURED_EVERY = 8
"""The gradients of every so many steps, the first among them, are computed whole, to see how much of them is kept."""


class OsftConfig(RankConfig):
    """Settings of `Osft`."""

    roles: tuple[Role, ...] = Field(
        BLOCK,
        min_length=1,
        description="Which projections are decomposed; attention to an encoder's output is not, as published.",
    )
    projection: Form = Field(
        "factor",
        description="Which space updates stay in: (I - P_U) dW (I - P_V), as in all implementations, or the larger"
        " dW - P_U dW P_V of the paper's Eq. 4.",
    )
    others: Literal["train", "freeze"] = Field(
        "train", description="What becomes of all other parameters; nothing protects them if they are trained."
    )
    weights_every: int = Field(
        4, ge=1, description="Weights are projected after every so many steps and after the last, gradients at each."
    )


@STRATEGIES.register("osft", config=OsftConfig)
@final
class Osft(GradientStrategy[OsftConfig]):
    """Orthogonal subspace fine-tuning with adaptive ranks (OSFT, "Sculpting Subspaces", arXiv 2504.07097).

    Before every task but the first each target W (m x n) is decomposed as the earlier tasks left it, and its first k
    singular triplets U_h, s_h, V_h are retained: with P_U = U_h U_h^T and P_V = V_h V_h^T the task's update stays in
    (I - P_U) dW (I - P_V), of dimension (m - k)(n - k). That is what all implementations, which train factors, allow.
    The paper's Eq. 4 takes away P_U dW P_V alone and leaves mn - k^2 dimensions (setting `projection`); it lets the
    retained directions be mixed with others. How k is found: `rank_rule`.

    The dense weights are trained: nothing is added to the forward pass and AdamW is `finetune`'s. Gradients are
    projected before they are clipped. AdamW divides by another number in each entry, which turns the step out of
    the subspace (the released code ignores it), so the weights are projected too; see `weights_every`. The version
    after a task is exact to round-off whatever that is. Departures from paper and released code: docs/osft.md.

    A layer that retains all its freedom is not trained. Embeddings, norms, biases, heads and matrices of other roles
    are not decomposed, and nothing protects them (`others`), as in the paper's code.

    Records `osft/mean_rank` (retained triplets a layer), the same as `osft/rank/<tower>.<role>`, `osft/frozen_layers`
    (those that keep everything), `osft/gradient_kept` (what projections leave of the squared gradients of the targets)
    and `osft/leak` (largest change of what a layer retains, relative to it).
    """

    def __init__(self, config: OsftConfig, context: Context) -> None:
        super().__init__(config, context)
        self._frozen: frozenset[str] = frozenset()
        """Parameters that this task does not train."""

    @torch.no_grad()
    def begin_task(self, task: Task) -> None:
        """Choose the ranks and decompose.

        Raises:
            ConfigError: When nothing is left to train.
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
        """Project the gradients of the targets; now and then see how much is left of them."""
        measured = self._measured
        for group in self._groups:
            before = group.gradient_energy() if measured else None
            group.project_gradients()
            if before is not None:
                self._energy += torch.stack([before, group.gradient_energy()])

    def after_step(self, task: Task, step: int) -> None:
        """Take out of the weights what AdamW has put into retained directions."""
        self._measure(step % MEASURED_EVERY == 0)
        if step % self.config.weights_every == 0 or step == self.number_of_steps(task):
            for group in self._groups:
                group.restore_weights()

    def _measure(self, measured: bool) -> None:
        """Whether the gradients of the next step are wanted whole."""
        if measured != self._measured:
            for group in self._groups:
                if measured:
                    group.gather_no_more()
                else:
                    group.gather(self.learner.module)
        self._measured = measured

    @torch.no_grad()
    def end_task(self, task: Task) -> None:
        """Record what projections did; forget the bases."""
        self._measure(True)
        if self._groups:
            before, after = self._energy.tolist()
            if before:
                self.context.record("osft/gradient_kept", after / before)
            self.context.record("osft/leak", max(float(group.leak().max()) for group in self._groups))
        del self._groups, self._energy

    def trainable_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """What the learner offers, less what this task does not train."""
        yield from ((name, p) for name, p in super().trainable_parameters() if name not in self._frozen)

    def footprint(self) -> dict[str, int]:
        """Targets, their mean rank, dimensions left to them and bytes of bases, in the first task that is constrained.

        For the rule `importance` as if all layers mattered alike; their sum of ranks depends on data.
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
        """How many triplets each layer retains while the task is learnt that is now the last in `seen`."""
        share = planned_share(self.config, len(self.seen))
        found = {layer.name: share for layer in layers}
        if share and self.config.rank_rule == "importance":
            found = shares(self._cosines(layers), self.config.mrr, self.config.trr)
        return {layer.name: kept_rank(found[layer.name], min(self._weight(layer).shape)) for layer in layers}

    def _cosines(self, layers: tuple[LinearLayer, ...]) -> dict[str, float]:
        """Those of the previous task, on random samples that training does not depend on."""
        previous = self.seen[-2]
        samples = self.context.samples(previous, "train")
        generator = generator_for(self.context.seed, "osft", len(self.seen))
        chosen = torch.randperm(len(samples), generator=generator)[: self.config.calibration_samples]
        size = self.context.budget.micro_batch or self.context.budget.batch_size
        self.learner.module.eval()
        return mean_cosines(self.learner, layers, samples, previous, chosen.split(size))

    def _choose_parameters(self, layers: tuple[LinearLayer, ...], ranks: dict[str, int]) -> dict[str, nn.Parameter]:
        """Decide what the task trains; returns the weights of the targets that may move, by name of the layer."""
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
