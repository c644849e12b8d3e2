"""KnOTS: merge LoRA updates by TIES in the common basis of their outputs."""

from typing import final

from pydantic import Field

from clbench.core.registry import STRATEGIES
from clbench.strategies._merging.aligned_pieces import aligned
from clbench.strategies._merging.lora_merging import LoraMergeConfig, LoraMergeStrategy
from clbench.strategies._merging.merge_strategy import Merged
from clbench.strategies._merging.sign_election import Function, ties, trim
from clbench.strategies._merging.task_vectors import Vectors, flat, unflat


class KnotsConfig(LoraMergeConfig):
    """Settings of `Knots`; `keep`, `function` and `scale` are the authors' for ViT-B/32 with rank 16."""

    keep: float = Field(0.2, gt=0, le=1, description="Share of entries that is kept of each task's pieces.")
    function: Function = Field("mean", description="Add the values that have the elected sign, or average them.")
    scale: float = Field(0.6, gt=0, description="Factor of the merged update.")


@STRATEGIES.register("knots", config=KnotsConfig)
@final
class Knots(LoraMergeStrategy[KnotsConfig]):
    """theta_t = theta_0 + scale * U TIES(S V_1^T, ..., S V_t^T) (Stoica et al. 2025, `KnOTS-TIES`).

    U, S and V come from the SVD of the tasks' updates side by side, layer by layer. Entries are compared over all
    layers together. The plain sum or mean of the pieces would be that of the updates.
    """

    def combine(self, tau: Vectors, offset: Vectors) -> Merged:
        """The merged updates of all tasks so far.

        Args:
            tau: Update of the current task; A and B of all tasks are kept.
            offset: Not needed.
        """
        found = {name: aligned(self.pairs(name)) for name in self.names()}
        number, config = len(self.seen), self.config
        pieces = [{name: parts[task] for name, (_, parts) in found.items()} for task in range(number)]
        entries = [flat(task) for task in pieces]
        merged, entering = ties([trim(e, config.keep) for e in entries], len(entries[0]), config.function)
        parts = unflat(config.scale * merged, pieces[0])
        update = {f"{name}.weight": (basis @ parts[name]) for name, (basis, _) in found.items()}
        return Merged({name: tensor.to(tau[name]) for name, tensor in update.items()}, entering, {})
