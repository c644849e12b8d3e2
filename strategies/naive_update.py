"""Naive update: train a new adapter for each task on the new release, without regard to the old model."""

from typing import final

from clbench.core.registry import STRATEGIES
from clbench.strategies._updates.updates import UpdateConfig, UpdateStrategy


@STRATEGIES.register("naive-update", config=UpdateConfig)
@final
class NaiveUpdate(UpdateStrategy[UpdateConfig]):
    """The baseline without any method: the same training on every release, independent of earlier predictions.

    These are the old and the new model of Echterhoff et al. 2024. Every other strategy for updates should have fewer
    flips.
    """
