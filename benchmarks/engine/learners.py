"""Builds learners from their specifications."""

from typing import cast

import torch

from clbench.contracts import Learner, Precision
from clbench.core.errors import CheckpointError
from clbench.core.finite import unsound_weights
from clbench.core.registry import LEARNERS


def build_learner(specification: str, seed: int, device: torch.device, precision: Precision = "auto") -> Learner:
    """The learner `name` or `name:argument` at version 0.

    Args:
        specification: Registered name, with an argument of the learner after a colon if it takes one.
        seed: Seed of randomly initialised weights.
        device: Device of the weights.
        precision: Precision of the computation.

    Raises:
        CheckpointError: When some of its weights are not finite.
    """
    name, _, argument = specification.partition(":")
    learner = cast(Learner, LEARNERS.get(name).value(argument, seed=seed))
    learner.module.to(device)
    learner.precision = precision
    if found := unsound_weights(learner.module):
        raise CheckpointError(f"learner {specification}: {found}")
    return learner
