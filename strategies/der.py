"""Dark experience replay: a memory keeps logits of earlier samples, and the model is trained to reproduce them."""

from typing import Any, final

import torch
from pydantic import Field

from clbench.core.registry import STRATEGIES
from clbench.strategies._avalanche.avalanche_data import columns_of, dataset_of
from clbench.strategies._avalanche.avalanche_strategy import AvalancheConfig, AvalancheStrategy


class DerConfig(AvalancheConfig):
    """Settings of `Der`; see `AvalancheConfig` for what is not the authors'."""

    mem_size: int = Field(200, ge=1, description="Number of samples kept, shared equally by all classes seen.")
    batch_size_mem: int | None = Field(
        None, ge=1, description="Old samples in a step, in addition to new ones; as many as new ones if not set."
    )
    alpha: float = Field(0.1, ge=0, description="Weight of the squared distance to the stored logits.")
    beta: float = Field(0.5, ge=0, description="Weight of the cross-entropy of old samples (DER++); 0 for plain DER.")


@STRATEGIES.register("der", config=DerConfig)
@final
class Der(AvalancheStrategy[DerConfig]):
    """Replays samples with their old logits, and labels if beta > 0 (DER and DER++, Buzzega et al. 2020), by Avalanche.

    Avalanche's `DER` class replaces the criterion from the second task on: the cross-entropy of new samples, too, is
    over the classes of all tasks seen. It needs logits of one width, for a head with all classes to come.

    Deviation: here classes become known task by task. So at the start of a task the memory adds the logits that the
    version before the task gives to the new classes, and keeps them (similar to X-DER, Boschini et al. 2022).
    """

    scope = "seen"
    mixed = True
    keeps_positions = True
    carried = ("storage_policy.buffer_groups", "storage_policy.seen_classes")

    def plugins(self) -> list[Any]:
        """None: Avalanche has a strategy class for this method."""
        return []

    def template(self, **settings: Any) -> Any:
        """Avalanche's `DER`."""
        from avalanche.training.supervised.der import DER

        return DER(mem_size=self.config.mem_size, alpha=self.config.alpha, beta=self.config.beta, **settings)

    def carrier(self, template: Any) -> Any:
        """The strategy object, which owns the memory."""
        return template

    def begin_task(self, template: Any) -> None:
        """Add logits of the new classes to the memory, and allow a memory smaller than a batch."""
        from avalanche.training.supervised.der import compute_dataset_logits

        groups = [group for group in template.storage_policy.buffer_groups.values() if len(group.buffer)]
        if not groups:
            return
        for group in groups:
            at, labels, known = columns_of(group.buffer)
            fresh = compute_dataset_logits(
                dataset_of(at, labels), template.model, template.train_mb_size, template.device
            )
            group.buffer = dataset_of(at, labels, torch.cat([known, torch.stack(fresh)[:, known.shape[1] :]], dim=1))
        wanted = self.config.batch_size_mem or template.train_mb_size
        template.batch_size_mem = min(wanted, sum(len(group.buffer) for group in groups))
