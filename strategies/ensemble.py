"""Ensemble: the mean of the old and the new model's probabilities, an upper bound for updates."""

from collections.abc import Mapping, Sequence
from typing import final

from clbench.contracts import Batch, Ensembles, EvalProtocol, Predictions, Predictor, ScoresTokens, Task, require
from clbench.core.registry import STRATEGIES
from clbench.core.tensor_digest import tensor_digest
from clbench.strategies._updates.adapted import Adapted
from clbench.strategies._updates.updates import UpdateConfig, UpdateStrategy, digest_of


@STRATEGIES.register("ensemble", config=UpdateConfig)
@final
class Ensemble(UpdateStrategy[UpdateConfig]):
    """Mean probability of the old model and the naive update (as in Yan et al. 2021), token by token for texts.

    Inference needs both models, so this is a bound and not a practical update. In a longer chain the old model is the
    plain one of the release before, not an ensemble: there are two models for any number of releases.
    """

    requires = (ScoresTokens, Ensembles)
    partner: Adapted | None = None
    """The old model, which keeps predicting."""

    def finalize(self) -> None:
        """Keep the old model for inference."""
        self.partner = self.old

    def digest(self) -> str:
        """Hash of both models."""
        if self.partner is None:
            return super().digest()
        both = super().digest() + digest_of(self.partner.learner, self.partner.adapters)
        return tensor_digest((), begin=both)

    def predictor(self, tasks: Sequence[Task], protocols: Sequence[EvalProtocol]) -> Predictor:
        """Mean predictions of both models with their adapters; the plain model's for the first release."""
        partner = self.partner
        if partner is None:
            return super().predictor(tasks, protocols)

        learner = require(self.learner, Ensembles)
        both = self.by_task(lambda task: learner.ensemble(partner.learner, tasks, protocols))

        def predict(batch: Batch, task: Task) -> Mapping[EvalProtocol, Predictions]:
            with partner.adapters[task.name].on(partner.learner.module):
                return both(batch, task)

        return predict
