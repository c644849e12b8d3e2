"""Naive update: take the new release and train each task's adapter anew, as if there had been no old model."""

from typing import final

from clbench.core.registry import STRATEGIES
from clbench.strategies._updates.updates import UpdateConfig, UpdateStrategy


@STRATEGIES.register("naive-update", config=UpdateConfig)
@final
class NaiveUpdate(UpdateStrategy[UpdateConfig]):
    """What is done without any method: the same recipe on every release, independent of the answers before.

    The old and the new model of Echterhoff et al. 2024, whose flips every other strategy of updates has to lower.
    """
