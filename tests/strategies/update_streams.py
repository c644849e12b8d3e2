"""Streams of releases for tests: the tiny CLIP in two or three releases, and contexts of tiny language models."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from clbench.benchmarks.engine.learners import build_learner
from clbench.contracts import Budget, Context, Learner, Strategy, StrategyConfig, Task
from clbench.contracts.updating import adopt_release
from clbench.core.registry import STRATEGIES

CPU = torch.device("cpu")
TESTS = Path(__file__).parents[1]
LLAMA = str(TESTS / "tiny_llama.py")
CLIP = str(TESTS / "tiny_clip.py")
QUICK = {"lr": 1e-2, "rank": 4}


def write_card(tiny: Any, folder: Path, **changes: Any) -> str:
    """The card of a stream on the tasks of the tiny stream."""
    releases = changes.get("releases", [f"{CLIP}:a", f"{CLIP}:b"])
    card = {
        "name": "tiny-updates",
        "description": "Releases of a tiny CLIP.",
        "loader": "releases",
        "based_on": tiny.stream,
        "learner": releases[0] if releases else CLIP,
        "releases": releases,
        "protocols": ["task-id"],
        "order_reason": "none",
        "tasks": [{"name": name, "kind": "classification", "metric": "accuracy"} for name in ("one", "three")],
        **changes,
    }
    path = folder / "tiny_updates.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in card.items() if value is not None}), "utf-8")
    return str(path)


def write_suite(stream: str, folder: Path, *strategies: Any, **settings: Any) -> str:
    """A suite on such a stream."""
    values = {"streams": [stream], "strategies": list(strategies), "budget": {"steps": 4, "batch_size": 8}, **settings}
    path = folder / "suite.yaml"
    path.write_text(yaml.safe_dump(values), "utf-8")
    return str(path)


def context_of(
    learner: Learner, steps: int = 4, record: Callable[[str, float], None] = lambda name, value: None
) -> Context:
    """What a runner would give to a strategy on a stream of releases."""
    return Context(
        learner=learner,
        budget=Budget(steps=steps, batch_size=6),
        seed=0,
        samples=lambda task, split: learner.encode(task.load(split), task),
        new_learner=lambda: learner,
        progress=lambda step, total: None,
        record=record,
    )


def updated(
    name: str, tasks: Sequence[Task], releases: Sequence[str], steps: int = 4, **settings: Any
) -> Strategy[StrategyConfig]:
    """A strategy after it has adopted some releases one after another."""
    first, *others = [build_learner(release, 0, CPU) for release in releases]
    entry = STRATEGIES.get(name)
    assert entry.config is not None
    strategy: Strategy[StrategyConfig] = entry.value(entry.config(**{**QUICK, **settings}), context_of(first, steps))
    for release in (first, *others):
        adopt_release(strategy, release, tasks)
    return strategy
