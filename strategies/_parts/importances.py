"""What penalties share that weigh changes of weights by importances: `ewc`, `mas` and `si`."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar, cast

import torch
from pydantic import Field
from torch import Tensor

from clbench.contracts import Batch, Strategy, Task
from clbench.strategies._parts.penalty import Penalty, PenaltyConfig
from clbench.strategies._unlearning.importance import ImportanceOf, Source
from clbench.strategies._unlearning.training_data import Part as SomeSamples


class ImportanceConfig(PenaltyConfig):
    """Settings of every penalty with importances that gradients give after a task."""

    samples: int = Field(
        200,
        ge=1,
        description="Number of random training samples that importances are computed on; all if there are fewer.",
    )
    batch_size: int = Field(
        1, ge=1, description="Samples whose gradients are averaged before they are squared, or taken absolutely."
    )


P = TypeVar("P", bound=PenaltyConfig)
C = TypeVar("C", bound=ImportanceConfig)


class WithImportances(Penalty[P], Generic[P]):
    """A penalty whose importances of weights survive between updates."""

    needs_weights = True

    def __init__(self, config: P, strategy: Strategy[Any]) -> None:
        super().__init__(config, strategy)
        self.importances: dict[str, Tensor] = {}
        """Omega of all tasks by name of the weight, on the CPU."""

    def state_dict(self) -> Mapping[str, object]:
        """The importances."""
        return dict(self.importances)

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Restore the importances."""
        self.importances = dict(cast(Mapping[str, Tensor], state))


class ImportancePenalty(WithImportances[C], Generic[C]):
    """Adds strength * sum Omega (theta - theta_t)^2 over shared weights, theta_t the version before the task.

    Omega is computed after each task, at the version after it, on samples without augmentation, and merged with that of
    earlier tasks. As theta_t is the last version, what another update has changed is not pulled back.

    Attributes:
        source: What is differentiated, see `ImportanceOf`.
    """

    source: ClassVar[Source]

    @abstractmethod
    def merged(self, old: Tensor, new: Tensor) -> Tensor:
        """Omega of all tasks, from that of earlier ones and that of the last one."""

    def begin_task(self, task: Task) -> None:
        """Keep the weights before the task."""
        known = {name: p for name, p in self.shared_weights().items() if name in self.importances}
        self._terms = [(p, p.detach().clone(), self.importances[name].to(p.device)) for name, p in known.items()]

    def term(self, batch: Batch, task: Task) -> Tensor | None:
        """The weighted squared distance, a scalar; None in the first task."""
        found = [(omega * (p - start).square()).sum() for p, start, omega in self._terms if p.requires_grad]
        return torch.stack(found).sum() if found else None

    def end_task(self, task: Task) -> None:
        """Compute the importances of the task, and drop the copy."""
        self._terms = []
        samples, generator = self.strategy.context.samples(task, "train"), self.new_generator()
        drawn = torch.randperm(len(samples), generator=generator)[: self.config.samples].to(samples.index_device)
        weights, micro_batch = self.shared_weights(), self.strategy.context.budget.micro_batch
        measure = ImportanceOf(self.learner, weights, self.source, micro_batch)
        new = measure.over([SomeSamples(task, samples, drawn)], self.config.batch_size, generator)
        for name, omega in new.items():
            old = self.importances.get(name)
            self.importances[name] = omega.cpu() if old is None else self.merged(old, omega.cpu())
