"""Strategies that compress, on small models that have learnt some tasks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tests.text_tasks import text_task

from clbench.benchmarks.engine.learners import build_learner
from clbench.contracts import Budget, Context, Learner, Task
from clbench.core.config import validate
from clbench.core.registry import STRATEGIES
from clbench.streams.card import load_stream

CPU = torch.device("cpu")
TESTS = Path(__file__).parents[1]
T5, LLAMA, VIT = (str(TESTS / f"tiny_{name}.py") for name in ("t5", "llama", "vit"))
MINIS = {"mini-clip": "clip-mini", "mini-vit": "ultrasound-mini", "mini-llama": "text-open"}
"""Streams of the models that ship."""
TEXTS = [text_task("one"), text_task("two")]


def strategy_of(
    name: str, learner: str, tasks: Sequence[Task] = TEXTS, **settings: Any
) -> tuple[Any, dict[str, float]]:
    """A strategy whose learner has learnt tasks (without training), and the numbers that it will record.

    `seed` and `batch_size` are those of the cell, all other settings those of the strategy.
    """
    seed, batch_size = settings.pop("seed", 0), settings.pop("batch_size", 32)
    model, numbers = build_learner(learner, 0, CPU), dict[str, float]()
    for task in tasks:
        model.add_task(task)
    context = Context(
        learner=model,
        budget=Budget(steps=1, batch_size=batch_size),
        seed=seed,
        samples=lambda task, split: model.encode(task.load(split), task),
        new_learner=lambda: build_learner(learner, 0, CPU),
        progress=lambda step, total: None,
        record=numbers.__setitem__,
    )
    entry = STRATEGIES.get(name)
    assert entry.config is not None
    strategy: Any = entry.value(validate(entry.config, settings, f"strategy {name}"), context)
    strategy.seen.extend(tasks)
    strategy.reseed("version", len(tasks) + 1)
    return strategy, numbers


def mini(name: str, learner: str, count: int = 2, **settings: Any) -> tuple[Any, dict[str, float]]:
    """The same with a model that ships, and the first tasks of its stream."""
    return strategy_of(name, learner, load_stream(MINIS[learner]).tasks[:count], **settings)


def weights_of(learner: Learner) -> dict[str, torch.Tensor]:
    """Copies of the weights that are compressed, by name of the layer."""
    state = learner.state_dict()
    return {layer.name: state[f"{layer.name}.weight"].clone() for layer in learner.linear_layers()}
