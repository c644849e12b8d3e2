"""A strategy's context without a runner."""

from collections.abc import Callable, MutableMapping
from functools import partial
from typing import Any

import pytest
import torch

from clbench.benchmarks.engine.learners import build_learner
from clbench.contracts import Budget, Context

CPU = torch.device("cpu")


def context_of(tiny: Any, steps: int = 5, numbers: MutableMapping[str, float] | None = None) -> Context:
    """What the runner would give, with a fresh tiny learner."""
    learner = build_learner(tiny.learner, 0, CPU)
    return Context(
        learner=learner,
        budget=Budget(steps=steps, batch_size=8),
        seed=0,
        samples=lambda task, split: learner.encode(task.load(split), task),
        new_learner=lambda: build_learner(tiny.learner, 0, CPU),
        progress=lambda step, total: None,
        record=({} if numbers is None else numbers).__setitem__,
    )


@pytest.fixture
def new_context(tiny: Any) -> Callable[..., Context]:
    """Builds contexts for the tiny stream."""
    return partial(context_of, tiny)
