"""Checkpointing computes activations again: the same bits as without it, and a clear line where a learner cannot."""

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from tests.text_tasks import text_task
from tests.tiny_images import write_stream

from clbench.benchmarks.engine.learners import build_learner
from clbench.contracts import Budget, Context, Learner, Strategy, StrategyConfig, Task
from clbench.contracts.updating import learn_task
from clbench.core.errors import ConfigError
from clbench.core.registry import STRATEGIES
from clbench.streams.card import load_stream

HERE = Path(__file__).parents[1]
CPU = torch.device("cpu")
WAYS: dict[str, dict[str, object]] = {
    "finetune": {},
    "lora": {"dropout": 0.3},
    "osft": {"rank_rule": "fixed", "protect_pretrained": True},
}


def train(task: Task, learner: Learner, name: str, checkpointing: bool) -> None:
    """Learn a task."""
    entry = STRATEGIES.get(name)
    assert entry.config is not None
    samples = learner.encode(task.load("train"), task)
    context = Context(
        learner=learner,
        budget=Budget(steps=3, batch_size=4, checkpointing=checkpointing),
        seed=0,
        samples=lambda task, split: samples,
        new_learner=lambda: learner,
        progress=lambda step, total: None,
        record=lambda name, value: None,
    )
    strategy = entry.value(entry.config.model_validate(WAYS[name]), context)
    learn_task(cast(Strategy[StrategyConfig], strategy), task)


class Watched:
    """Notes when checkpointing of a learner is switched."""

    def __init__(self, learner: Learner) -> None:
        self.calls: list[bool] = []
        self._plain = learner.set_checkpointing

    def __call__(self, on: bool) -> None:
        self.calls.append(on)
        self._plain(on)


@pytest.mark.parametrize("name", list(WAYS))
@pytest.mark.parametrize("family", ["clip", "vit", "t5", "llama"])
def test_the_same_weights(family: str, name: str, tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bits are equal, but T5 adds up the gradients of its shared position biases in another order."""
    made = {
        "clip": lambda: load_stream(tiny.stream).tasks[0],
        "vit": lambda: load_stream(write_stream(tmp_path, str(HERE / "tiny_vit.py"), ("tone",))).tasks[0],
    }
    task = made.get(family, lambda: text_task("one"))()
    found = []
    for on in (False, True):
        learner = build_learner(str(HERE / f"tiny_{family}.py"), 0, CPU)
        monkeypatch.setattr(learner, "set_checkpointing", watched := Watched(learner))
        train(task, learner, name, on)
        assert watched.calls == [on, False], "on while a task is learnt, off afterwards"
        found.append(learner.state_dict())
    for key, tensor in found[0].items():
        torch.testing.assert_close(found[1][key], tensor, atol=1e-5 if family == "t5" else 0, rtol=0)


def test_a_learner_that_cannot_says_so(tiny: Any) -> None:
    learner = build_learner(tiny.learner, 0, CPU)
    with pytest.raises(ConfigError, match=r"has no checkpointing \(wanted budget.checkpointing: false\)"):
        Learner.checkpoint_blocks(learner, True)
    learner.set_checkpointing(False)
