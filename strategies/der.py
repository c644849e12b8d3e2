"""Dark experience replay: the memory keeps what the model said of a sample, and it shall go on saying so."""

from typing import Any, final

import torch
from pydantic import Field

from clbench.core.registry import STRATEGIES
from clbench.strategies._avalanche.avalanche_data import columns_of, dataset_of
from clbench.strategies._avalanche.avalanche_strategy import AvalancheConfig, AvalancheStrategy


class DerConfig(AvalancheConfig):
    """Settings of `Der`."""

    mem_size: int = Field(200, ge=1, description="Samples kept in all; those of a class are dropped as classes arrive.")
    batch_size_mem: int | None = Field(
        None, ge=1, description="Old samples a step, besides the new ones; as many as new ones if not set."
    )
    alpha: float = Field(0.1, ge=0, description="Weight of the squared distance to the remembered logits.")
    beta: float = Field(0.5, ge=0, description="Weight of the cross-entropy of old samples (DER++); 0 for plain DER.")


@STRATEGIES.register("der", config=DerConfig)
@final
class Der(AvalancheStrategy[DerConfig]):
    """Replays samples with their old logits, and labels if beta > 0 (DER and DER++, Buzzega et al. 2020), by Avalanche.

    Avalanche's `DER` class replaces the criterion from the second task on: cross-entropy is over the classes of all
    tasks seen, for new samples too. It also wants logits of one width, made for a head that knows all classes to come.
    Here classes become known task by task. So at the start of a task the memory gets the logits that the version before
    the task gives to the new classes, and keeps them (near to X-DER, Boschini et al. 2022).
    """

    scope = "seen"
    mixed = True
    carried = ("storage_policy.buffer_groups", "storage_policy.seen_classes")

    def plugins(self) -> list[Any]:
        """None: the method is a class of its own."""
        return []

    def template(self, **settings: Any) -> Any:
        """Avalanche's `DER`."""
        from avalanche.training.supervised.der import DER

        return DER(mem_size=self.config.mem_size, alpha=self.config.alpha, beta=self.config.beta, **settings)

    def carrier(self, template: Any) -> Any:
        """The memory belongs to the strategy object."""
        return template

    def begin_task(self, template: Any) -> None:
        """Remember logits for the new classes too, and let Avalanche replay even a memory smaller than a batch."""
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
