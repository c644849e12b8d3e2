"""OPCM: add task vectors without what lies along the offset so far, and keep the norm that tasks have on average."""

from typing import final

import torch
from pydantic import Field

from clbench.core.registry import STRATEGIES
from clbench.strategies._merging.merge_strategy import MergeConfig, Merged, MergeStrategy
from clbench.strategies._merging.orthogonal_projection import project_out
from clbench.strategies._merging.task_vectors import Vectors, dot, norm, plus, share
from clbench.strategies._training.layers import BLOCK, CROSS, Role


class OpcmConfig(MergeConfig):
    """Settings of `Opcm`; `alpha` is the authors'."""

    alpha: float = Field(
        0.5, ge=0, le=1, description="Share of the sum of singular values before which directions are protected."
    )
    roles: tuple[Role, ...] = Field(
        (*BLOCK, *CROSS, "other"), description="Linear layers in which task vectors are projected; elsewhere they add."
    )


@STRATEGIES.register("opcm", config=OpcmConfig)
@final
class Opcm(MergeStrategy[OpcmConfig]):
    """Orthogonal projection-based continual merging (Tang et al. 2025), in an equivalent form with an unscaled sum.

    S_1 = tau_1, S_t = S_(t-1) + projected tau_t (`project_out`), theta_t = theta_0 + S_t * mean ||tau_i|| / ||S_t||.
    The projection concerns weights of linear layers; all other parameters add. `merge/lambda` is ||S_t|| / mean
    ||tau_i||, about the square root of t for task vectors of equal norm. The order of tasks matters.

    The diagonal of the projected task vector is removed only within the rank of S. Norms are those of the merged
    parameters, without buffers.
    """

    def combine(self, tau: Vectors, offset: Vectors) -> Merged:
        """The rescaled sum of projected task vectors.

        Args:
            tau: Task vector of the current task.
            offset: Not needed: the sum is kept without its scale.
        """
        layers = (layer for layer in self.learner.linear_layers() if layer.role in self.config.roles)
        projected = dict(tau)
        if before := self.memory.get("sum_projected"):
            for name in (f"{layer.name}.weight" for layer in layers):
                if name in tau:
                    projected[name] = project_out(tau[name], before[name], self.config.alpha)
        total = plus(before, projected) if before else projected
        norms = self.memory.get("norms", {}).get("sum", torch.zeros((), dtype=torch.float64)).to(self.learner.device)
        norms = norms + norm(tau)
        self.memory |= {"sum_projected": total, "norms": {"sum": norms}}
        mean, size = norms / len(self.seen), norm(total)
        emitted = {name: tensor * share(mean, size).to(tensor) for name, tensor in total.items()}
        return Merged(emitted, dot(projected, projected), {"lambda": share(size, mean)})
