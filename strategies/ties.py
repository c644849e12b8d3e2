"""TIES-Merging: trim each task vector, elect a sign for every entry, merge what agrees with it."""

from typing import final

import torch
from pydantic import Field

from clbench.core.registry import STRATEGIES
from clbench.strategies._merging.merge_strategy import MergeConfig, Merged, MergeStrategy
from clbench.strategies._merging.sign_election import Function, Trimmed, ties, trim
from clbench.strategies._merging.task_vectors import Vectors, flat, plus, scaled, unflat


class TiesConfig(MergeConfig):
    """Settings of `Ties`; the defaults are those of FusionBench's configuration."""

    keep: float = Field(0.2, gt=0, le=1, description="Share of entries that is kept of each task vector.")
    function: Function = Field("sum", description="Add the values that have the elected sign, or average them.")
    scale: float = Field(0.3, gt=0, description="Factor of the merged task vector.")
    pairwise: bool = Field(
        False, description="Merge the offset so far with the new task vector, and add the result to the offset."
    )


@STRATEGIES.register("ties", config=TiesConfig)
@final
class Ties(MergeStrategy[TiesConfig]):
    """theta_t = theta_0 + scale * TIES(tau_1, ..., tau_t) (Yadav et al. 2023, Algorithm 1), over the whole model.

    Entries are compared over all parameters together, as in the authors' code; PEFT trims each tensor by itself. The
    trimmed task vectors of all tasks are kept, so a version is that of all tasks at once in any order.

    `pairwise: true` is another method, the continual form in FusionBench: offset + scale * TIES(offset, tau_t), and
    scale * tau_1 at first. It keeps nothing, counts what is in the offset again at every task, and depends on the
    order. FusionBench's scale for it is 0.5.
    """

    def combine(self, tau: Vectors, offset: Vectors) -> Merged:
        """The merged task vectors.

        Args:
            tau: Task vector of the current task.
            offset: The offset before the task; only `pairwise` needs it.
        """
        config, entries = self.config, flat(tau)
        if config.pairwise and len(self.seen) == 1:
            return Merged(scaled(tau, config.scale), entries.double().square().sum(), {})
        if config.pairwise:
            both = [trim(flat(offset), config.keep), trim(entries, config.keep)]
            merged, entering = ties(both, len(entries), config.function)
            return Merged(plus(offset, unflat(merged, tau), config.scale), entering, {})
        merged, entering = ties(self._all_trimmed(entries), len(entries), config.function)
        return Merged(unflat(config.scale * merged, tau), entering, {})

    def _all_trimmed(self, entries: torch.Tensor) -> list[Trimmed]:
        """The trimmed task vectors of all tasks, the current one last, which is kept from now on."""
        places, values = (self.memory.setdefault(name, {}) for name in ("places", "values"))
        new, number = trim(entries, self.config.keep), len(self.seen)
        places[str(number)], values[str(number)] = new.places, new.values
        return [Trimmed(places[str(task)], values[str(task)]) for task in range(1, number + 1)]
