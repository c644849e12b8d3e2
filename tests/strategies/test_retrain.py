"""Retraining on a release: joint training that does not know the old model."""

from typing import Any

import pytest
from tests.strategies.update_streams import CLIP, CPU, context_of
from torch import Tensor

from clbench.benchmarks.engine.learners import build_learner
from clbench.contracts import Batch, Learner, Task
from clbench.contracts.updating import adopt_release, learn_task
from clbench.strategies._training.gradient import GradientConfig
from clbench.strategies.joint import Joint, JointConfig
from clbench.strategies.retrain import Retrain
from clbench.streams.card import load_stream


def clip(release: str) -> Learner:
    return build_learner(f"{CLIP}:{release}", 0, CPU)


def retrained(tiny: Any, old: str, numbers: dict[str, float], **settings: Any) -> tuple[Retrain, Learner]:
    """The strategy after it has left a release for `b`, with two tasks; and that release."""
    strategy = Retrain(GradientConfig(**settings), context_of(clip(old), record=numbers.__setitem__))
    release = clip("b")
    adopt_release(strategy, release, load_stream(tiny.stream).tasks[:2])
    return strategy, release


def test_the_release_is_trained_as_joint_trains_it(tiny: Any) -> None:
    """`joint` that has seen one task and learns another as update 1 has the same randomness as `retrain`."""
    one, two, _ = load_stream(tiny.stream).tasks
    strategy, release = retrained(tiny, "a", {}, lr=1e-3)
    assert strategy.learner is release
    learner = clip("b")
    joint = Joint(JointConfig(lr=1e-3), context_of(learner))
    learner.add_task(one)
    joint.seen = [one]
    learn_task(joint, two)
    assert release.digest() == learner.digest() != clip("b").digest()


def test_nothing_of_the_old_model_matters(tiny: Any) -> None:
    digests = {retrained(tiny, old, {})[1].digest() for old in ("a", "c")}
    assert len(digests) == 1


def test_losses_of_the_last_task_are_recorded(tiny: Any) -> None:
    numbers: dict[str, float] = {}
    strategy, _ = retrained(tiny, "a", numbers, lr=3e-3)
    assert numbers["train/loss_first"] > 0
    assert set(numbers) == {"train/loss_first", "train/loss_last", "memory/trained_share"}
    assert strategy.footprint()["trainable_parameters"] == sum(p.numel() for p in clip("b").module.parameters()) - 1


@pytest.mark.parametrize("steps", [1, 5])
def test_every_task_gets_the_budget(steps: int, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = load_stream(tiny.stream).tasks
    strategy = Retrain(GradientConfig(), context_of(clip("a"), steps=steps))
    release = clip("b")
    trained: list[str] = []
    loss = release.loss

    def noted(batch: Batch, task: Task) -> Tensor:
        trained.append(task.name)
        return loss(batch, task)

    monkeypatch.setattr(release, "loss", noted)
    adopt_release(strategy, release, tasks)
    assert sorted(trained) == sorted([task.name for task in tasks] * steps)
