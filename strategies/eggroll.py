"""Evolution strategies with low-rank perturbations (EGGROLL): learning by forward passes alone."""

from collections.abc import Iterator, Mapping
from typing import final

import torch
from pydantic import Field
from torch import Tensor, nn

from clbench.contracts import Batch, Budget, Strategy, StrategyConfig, Task
from clbench.core.registry import STRATEGIES
from clbench.strategies._linalg.low_rank_noise import Noise, pair_weights
from clbench.strategies._training.layers import BLOCK, CROSS, AdapterConfig, Role, chosen_layers
from clbench.strategies._training.optimization import batches_of, report_losses


class EggrollConfig(StrategyConfig):
    """Settings of `Eggroll`; `sigma` and `rank` are the released ones, the others are ours."""

    lr: float = Field(
        1e-3, gt=0, description="Length of a weight's step in units of the noise: the released rate times sigma."
    )
    sigma: float = Field(1e-3, gt=0, description="Standard deviation of the noise that weights are tested with.")
    rank: int = Field(1, ge=1, description="Rank r of the noise of a matrix.")
    population: int = Field(
        4, ge=2, multiple_of=2, description="Members of a generation: each noise with both signs, on one batch."
    )
    passes_per_step: int = Field(
        3, ge=1, description="Forward passes in the place of one gradient step of the budget, which costs about three."
    )
    augment: bool = Field(True, description="Train on random views of samples, if the learner has augmentation.")
    roles: tuple[Role, ...] = Field((*BLOCK, *CROSS), min_length=1, description="Which projections are trained.")
    towers: tuple[str, ...] = Field((), description="Encoders that are trained (`vision`, `text`); all when empty.")


def plan(budget: Budget, config: EggrollConfig) -> tuple[int, int]:
    """Number of generations and members of each, an even number, within the forward passes of a task.

    Where the passes do not suffice for one generation, it is made smaller.
    """
    passes = budget.steps * config.passes_per_step
    members = max(2, min(config.population, passes) // 2 * 2)
    return max(1, passes // members), members


@STRATEGIES.register("eggroll", config=EggrollConfig)
@final
class Eggroll(Strategy[EggrollConfig]):
    """Steps along sqrt(N) mean_i f_i s_i E_i, from the fitness f of N perturbed models (EGGROLL, Sarkar et al. 2025).

    A generation draws noise E = A B^T / sqrt(r) for every chosen matrix, and tests W + sigma E and W - sigma E on one
    batch. The fitness is minus the task loss, as z-scores over the generation (`scores_of`). No gradient is computed,
    and no activations are kept; so the budget's `micro_batch` is not needed.

    Budget: a gradient step costs about three forward passes. So `steps` gradient steps become 3 `steps` forward passes
    (`passes_per_step`), in generations of `population` members. The direction has a cosine of about sqrt(N / values)
    with the gradient. So this is for few trained values, or for a much larger budget: at an equal one it learns far
    less than gradients do.

    Written from the formula; differences from the released code:

    - Its rate is that of noise with sigma in it. So our `lr` is that rate times sigma: 1e-3 for the released 1, 1e-3.
    - Its population is 1,024, which would be one generation of a budget of 341 steps. Progress along the gradient goes
      as generations * sqrt(population), so small populations get further with a fixed number of passes and a fixed
      rate. Four is the smallest in which the size of fitness counts; of two members, z-scores are signs.
    - Chosen matrices and the task's head are trained, other weights are frozen. Vectors of a head get full noise.
    - Every generation draws its own noise and its own batch.
    """

    def learn(self, task: Task) -> None:
        """Run the generations of one task.

        Raises:
            TrainingError: When the loss of a member is not finite; losses are read once, after the last generation.
        """
        generations, members = plan(self.context.budget, self.config)
        parameters = self._parameters(task)
        samples = self.context.samples(task, "train")
        budget = self.context.budget.model_copy(update={"steps": generations})
        losses = torch.zeros(generations, members // 2, 2, device=self.learner.device)
        self.learner.module.eval()
        with torch.no_grad():
            for n, index in enumerate(batches_of(len(samples), budget, self.generator, samples.index_device)):
                batch = samples.batch(index)
                if self.config.augment:
                    batch = self.learner.augment(batch, self.generator)
                noises = [Noise.draw(p, members // 2, self.config.rank, self.generator) for p in parameters.values()]
                for member, loss in enumerate(self._losses(batch, task, parameters, noises)):
                    losses[n].view(-1)[member] = loss
                    self.context.progress(n * members + member + 1, generations * members)
                weights = pair_weights(-losses[n])
                for p, noise in zip(parameters.values(), noises, strict=True):
                    p.add_(noise.total(weights).view_as(p), alpha=self.config.lr)
        report_losses(losses.mean(dim=(1, 2)), task, self.config.lr, self.context.record)

    def number_of_steps(self, task: Task) -> int:
        """Number of forward passes."""
        generations, members = plan(self.context.budget, self.config)
        return generations * members

    @property
    def augments(self) -> bool:
        """The setting `augment`."""
        return self.config.augment

    def footprint(self) -> dict[str, int]:
        """Number of values in the chosen matrices, without heads, which depend on the task."""
        return {"trainable_parameters": sum(p.numel() for p in self._matrices().values()), "adapters": 0}

    def _losses(
        self, batch: Batch, task: Task, parameters: Mapping[str, nn.Parameter], noises: list[Noise]
    ) -> Iterator[Tensor]:
        """Loss of every member: of each noise with the sign + and with the sign -. Ends with the weights as before."""
        centres = [p.clone() for p in parameters.values()]
        for pair in range(len(noises[0].a)):
            drawn = [noise.of(pair).view_as(p) for noise, p in zip(noises, parameters.values(), strict=True)]
            for scale in (self.config.sigma, -self.config.sigma):
                for p, centre, noise in zip(parameters.values(), centres, drawn, strict=True):
                    p.copy_(centre.add(noise, alpha=scale))
                with self.learner.autocast():
                    yield self.learner.loss(batch, task)
        for p, centre in zip(parameters.values(), centres, strict=True):
            p.copy_(centre)

    def _parameters(self, task: Task) -> dict[str, nn.Parameter]:
        """The chosen matrices and the task's head, by name."""
        return self._matrices() | self.learner.head(task)

    def _matrices(self) -> dict[str, nn.Parameter]:
        layers = chosen_layers(self.learner, AdapterConfig(roles=self.config.roles, towers=self.config.towers))
        return {layer.name: self.learner.module.get_parameter(f"{layer.name}.weight") for layer in layers}
