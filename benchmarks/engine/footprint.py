"""What a strategy trains on a learner, counted without data."""

from collections.abc import Mapping
from typing import cast

import torch

from clbench.benchmarks.engine.learners import build_learner
from clbench.contracts import Budget, Context, Samples, Strategy, StrategyConfig
from clbench.core.config import validate
from clbench.core.registry import STRATEGIES


def footprint(strategy: str, learner: str, settings: Mapping[str, object] | None = None) -> dict[str, object]:
    """What a strategy trains on a learner: parameters and, for low-rank ones, adapters.

    Args:
        strategy: Registered name.
        learner: Specification of the learner.
        settings: Settings of the strategy that differ from the defaults.

    Raises:
        ConfigError: For settings that do not fit.
    """
    entry = STRATEGIES.get(strategy)
    assert entry.config is not None
    built = build_learner(learner, 0, torch.device("cpu"))
    total = sum(p.numel() for p in built.module.parameters())

    def unavailable(*wanted: object) -> Samples:
        raise AssertionError(f"counting parameters needs no data, got {wanted}")

    context = Context(
        built, Budget(), 0, unavailable, lambda: built, lambda step, steps: None, lambda name, value: None
    )
    config = validate(entry.config, settings or {}, f"strategy {strategy}")
    found = cast(Strategy[StrategyConfig], entry.value(config, context)).footprint()
    trainable = found.pop("trainable_parameters", 0)
    return {"trainable_parameters": trainable, "total_parameters": total, "trainable_share": trainable / total, **found}
