"""No step of a training loop and no batch of a test makes the host wait for a GPU; no operation lacks a fixed order."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from tests.strategies.device_guard import DeviceGuard, Guarded
from tests.strategies.part_cells import PARTS, entry
from tests.text_tasks import text_task
from torch import Tensor

from clbench.benchmarks.engine.learners import build_learner
from clbench.contracts import Budget, Context, Learner, Strategy, StrategyConfig, Task
from clbench.contracts.updating import learn_task
from clbench.core.registry import STRATEGIES
from clbench.streams.card import load_stream

TESTS = Path(__file__).parents[1]
CPU = torch.device("cpu")
STEPS = 4
ENTRIES: list[Mapping[str, Any]] = [
    {"name": "finetune"},
    {"name": "lora"},
    {"name": "osft"},
    {"name": "osft", "protect_pretrained": True, "rank_rule": "fixed", "weights_every": 1},
    {"name": "codyra"},
    {"name": "snella"},
    {"name": "o-lora"},
    *(entry("finetune", slot, part) for slot, part in PARTS if slot != "edit"),
    entry("lora", "optimizer", "muon"),
    entry("lora", "memory", "random"),
]
ALLOWED: dict[str, str] = {}


def strategy_of(item: Mapping[str, Any], learner: Learner, guard: DeviceGuard) -> Strategy[StrategyConfig]:
    """A strategy whose steps are watched, from the second to the last one."""

    def progress(step: int, total: int) -> None:
        guard.watching = step < total

    settings = {key: value for key, value in item.items() if key != "name"}
    found = STRATEGIES.get(str(item["name"]))
    assert found.config is not None
    context = Context(
        learner=learner,
        budget=Budget(steps=STEPS, batch_size=4),
        seed=0,
        samples=Guarded(guard, learner),
        new_learner=lambda: build_learner(str(TESTS / f"{learner.name.replace('-', '_')}.py"), 0, CPU),
        progress=progress,
        record=lambda name, value: None,
    )
    return cast(Strategy[StrategyConfig], found.value(found.config.model_validate(settings), context))


def learnt(item: Mapping[str, Any], learner: Learner, tasks: Sequence[Task]) -> DeviceGuard:
    """What a guard found while a strategy learnt the tasks."""
    guard = DeviceGuard()
    strategy = strategy_of(item, learner, guard)
    with guard:
        for task in tasks:
            learner.add_task(task)
            guard.put(learner.module.parameters())
            learn_task(strategy, task)
    return guard


@pytest.mark.parametrize("item", ENTRIES, ids=str)
def test_no_step_waits_on_images(item: Mapping[str, Any], tiny: Any) -> None:
    guard = learnt(item, build_learner(tiny.learner, 0, CPU), load_stream(tiny.stream).tasks[:2])
    assert guard.found == []
    assert guard.unordered == set()


@pytest.mark.parametrize("item", ENTRIES[:7], ids=str)
@pytest.mark.parametrize("learner", ["tiny_t5", "tiny_llama"])
def test_no_step_waits_on_texts(learner: str, item: Mapping[str, Any]) -> None:
    tasks = [text_task("one"), text_task("two")]
    guard = learnt(item, build_learner(str(TESTS / f"{learner}.py"), 0, CPU), tasks)
    assert guard.found == []
    assert guard.unordered == set()


@pytest.mark.parametrize(
    ("work", "noted"),
    [
        (lambda w: w.sum().item(), "_local_scalar_dense"),
        (lambda w: bool(w.sum() > 0), "_local_scalar_dense"),
        (lambda w: w[w > 0], "index"),
        (lambda w: w.nonzero(), "nonzero"),
        (lambda w: w.tolist(), "tolist"),
        (lambda w: w.cpu(), "cpu"),
        (lambda w: torch.ones(3).to(w.device), "to, blocking"),
        (lambda w: torch.tensor([1.0], device=w.device), "tensor on the device"),
        (lambda w: torch.ones(3).sum().item(), None),
        (lambda w: w * torch.ones(3).to(w.device, non_blocking=True), None),
        (lambda w: w.masked_fill(w > 0, 0.0), None),
    ],
)
def test_the_guard_sees(work: Any, noted: str | None) -> None:
    guard, weights = DeviceGuard(watching=True), torch.ones(3)
    guard.put([weights])
    with guard:
        work(2 * weights)
    assert [text.partition(":")[0] for text in guard.found] == ([noted] if noted else [])


def test_the_guard_knows_what_has_no_fixed_order() -> None:
    scores: Tensor = torch.randn(2, 3, 4, 4, requires_grad=True)
    target = torch.zeros(2, 4, 4, dtype=torch.int64)
    with DeviceGuard() as guard:
        torch.nn.functional.cross_entropy(scores, target, reduction="none").mean().backward()
    assert guard.unordered == set()
    with guard:
        torch.nn.functional.cross_entropy(scores, target).backward()
        torch.ones(3).cumsum(0)
    assert guard.unordered == {"nll_loss2d_forward", "cumsum"}
