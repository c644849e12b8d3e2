"""Builds learners from their specifications, and tells their classes without building them."""

from collections.abc import Sequence
from typing import cast, get_type_hints

import torch

from clbench.contracts import Learner, Precision
from clbench.contracts.capabilities import lacking
from clbench.core.errors import CheckpointError
from clbench.core.finite import unsound_weights
from clbench.core.forward_passes import count_passes
from clbench.core.registry import LEARNERS


def build_learner(specification: str, seed: int, device: torch.device, precision: Precision = "auto") -> Learner:
    """The learner `name` or `name:argument` at version 0; passes through it, and through its deep copies, are counted.

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
    count_passes(learner.counted_module())
    if found := unsound_weights(learner.module):
        raise CheckpointError(f"learner {specification}: {found}")
    return learner


def class_of(specification: str) -> type[Learner] | None:
    """The class of a learner, without building it; None where its factory does not tell by its return annotation.

    Args:
        specification: As for `build_learner`.

    Raises:
        RegistryError: For an unknown learner, or a file that does not import.
    """
    factory = LEARNERS.get(specification.partition(":")[0]).value
    if isinstance(factory, type):
        told: object = factory
    else:
        try:
            told = get_type_hints(factory).get("return")
        except (NameError, TypeError):  # an annotation that cannot be resolved, or is none
            return None
    return told if isinstance(told, type) and issubclass(told, Learner) and told is not Learner else None


def shipped_with(capabilities: Sequence[type]) -> list[str]:
    """Names of the learners of this package that have all of some capabilities, sorted; imports all of them.

    Args:
        capabilities: Protocols of `clbench.contracts.capabilities`.
    """
    shipped = [listing.name for listing in LEARNERS.listings() if listing.module.startswith(f"{LEARNERS.package}.")]
    classes = {name: class_of(name) for name in shipped}
    return [name for name, own in classes.items() if own is not None and not lacking(own, capabilities)]
