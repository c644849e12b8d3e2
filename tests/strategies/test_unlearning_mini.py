"""Unlearning on the mini models: forgotten classes are answered worse, and weights that are not hit keep their bits."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import pytest
import torch
from tests.strategies.forget_requests import Taught, class_of, request_of
from torch import Tensor

from clbench.contracts import Context, ScoresClasses, Task, require
from clbench.strategies._unlearning.parameter_groups import groups_of
from clbench.strategies.ascent import Ascent, AscentConfig
from clbench.strategies.ssd import Ssd, SsdConfig
from clbench.streams.card import load_stream


@dataclass(frozen=True)
class Case:
    """A model, a task, and one of its classes."""

    learner: str
    stream: str
    task: str
    label: int


CASES = [
    Case("mini-clip", "clip-mini", "digits", 3),
    pytest.param(Case("mini-vit", "ultrasound-mini", "lung_3cls", 2), marks=pytest.mark.slow),
    pytest.param(Case("mini-llama", "text-open", "factbook", 1), marks=pytest.mark.slow),
]
METHODS: list[Callable[[Context], Ssd | Ascent]] = [
    lambda context: Ssd(SsdConfig(), context),
    lambda context: Ascent(AscentConfig(lr=1e-4, head_lr=1e-4), context),
]


@cache
def taught(case: Case) -> tuple[Taught, Task]:
    """The model after 40 steps on the task."""
    task = next(task for task in load_stream(case.stream).tasks if task.name == case.task)
    return Taught(case.learner, [task], lr=1e-3), task


def accuracy(strategy: Ssd | Ascent, task: Task, positions: Tensor) -> float:
    """Accuracy on some training samples."""
    samples = strategy.context.samples(task, "train")
    right = []
    with torch.no_grad():
        for index in positions.split(128):
            batch = samples.batch(index)
            right.append(require(strategy.learner, ScoresClasses).logits(batch, [task]).argmax(dim=1) == batch["label"])
    return float(torch.cat(right).float().mean())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_forgotten_class_is_answered_worse(case: Case) -> None:
    model, task = taught(case)
    for method in METHODS:
        numbers: dict[str, float] = {}
        strategy = model.ready(method, numbers)
        positions = class_of(strategy.context, task, case.label)
        before = accuracy(strategy, task, positions)
        strategy.forget(request_of({task: positions}))
        assert accuracy(strategy, task, positions) < before - 0.05
        assert numbers["samples_read"] > len(positions)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_weights_that_are_not_hit_keep_their_bits(case: Case) -> None:
    model, task = taught(case)
    numbers: dict[str, float] = {}
    strategy = model.ready(METHODS[0], numbers)
    strategy.forget(request_of({task: class_of(strategy.context, task, case.label)}))
    groups = groups_of(strategy.learner, [task], [task])
    hit = considered = 0
    for name, tensor in strategy.learner.state_dict().items():
        before = model.weights[name]
        changed = int((tensor != before).sum())
        assert bool((tensor * before >= 0).all())
        if name in groups:
            hit, considered = hit + changed, considered + tensor.numel()
        else:
            assert changed == 0, name
    assert hit / considered == pytest.approx(numbers["unlearn/share"], rel=0.02)
    assert 0.02 < hit / considered < 0.05


def test_other_weights_do_not_serve_as_well() -> None:
    """mini-clip, ten digits: SSD forgets one and keeps the others; as many other weights hardly forget it."""
    case = Case("mini-clip", "clip-mini", "digits", 3)
    model, task = taught(case)
    found: dict[str, tuple[float, float]] = {}
    for name, config in (
        ("before", None),
        ("loss", SsdConfig()),
        ("output", SsdConfig(importance="output")),
        ("control", SsdConfig(shuffled=True)),
    ):
        strategy = model.ready(lambda context, used=config: Ssd(used or SsdConfig(), context), {})  # type: ignore[misc]
        positions = class_of(strategy.context, task, case.label)
        others = torch.cat([class_of(strategy.context, task, label) for label in range(10) if label != case.label])
        if config is not None:
            strategy.forget(request_of({task: positions}))
        found[name] = accuracy(strategy, task, positions), accuracy(strategy, task, others)
    assert found["loss"][0] < 0.2 < 0.6 < found["control"][0]
    assert found["output"][0] < found["control"][0] - 0.1
    assert min(found["loss"][1], found["output"][1]) > found["before"][1] - 0.1
