"""Ensemble: ask the old and the new model and take the mean of their probabilities. The upper bound of updates."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import final

from clbench.contracts import Batch, EvalProtocol, Predictions, Predictor, Task
from clbench.core.registry import STRATEGIES
from clbench.strategies._updates.adapted import Adapted
from clbench.strategies._updates.updates import UpdateConfig, UpdateStrategy, digest_of


@STRATEGIES.register("ensemble", config=UpdateConfig)
@final
class Ensemble(UpdateStrategy[UpdateConfig]):
    """Mean probability of the old model and the naive update (as in Yan et al. 2021); of texts token by token.

    It needs both models at inference, so it says what could be had and is no way to update. In a longer chain the old
    model is the plain one of the release before, not an ensemble again: two models, however many releases.
    """

    partner: Adapted | None = None
    """The old model that goes on answering."""

    def finalize(self) -> None:
        """Keep the old model."""
        self.partner = self.old

    def digest(self) -> str:
        """Hash of both models."""
        if self.partner is None:
            return super().digest()
        both = super().digest() + digest_of(self.partner.learner, self.partner.adapters)
        return hashlib.blake2b(both.encode(), digest_size=16).hexdigest()

    def predictor(self, tasks: Sequence[Task], protocols: Sequence[EvalProtocol]) -> Predictor:
        """The mean of both models, each with its own adapter in; of the first release the plain model."""
        partner = self.partner
        if partner is None:
            return super().predictor(tasks, protocols)

        both = self.by_task(lambda task: self.learner.ensemble(partner.learner, tasks, protocols))

        def predict(batch: Batch, task: Task) -> Mapping[EvalProtocol, Predictions]:
            with partner.adapters[task.name].on(partner.learner.module):
                return both(batch, task)

        return predict
