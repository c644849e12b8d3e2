"""Gradient ascent: the steps, the level at which they end, and the samples that they see."""

import copy
from collections.abc import MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.strategies.conftest import context_of
from tests.strategies.forget_requests import CPU, after_learning, class_of, request_of, with_noise
from tests.text_tasks import rows_of, text_task
from torch import nn

from clbench.benchmarks.engine.learners import build_learner
from clbench.contracts import Budget, Context, ScoresClasses, Task, require
from clbench.contracts.updating import learn_task
from clbench.core.errors import ConfigError
from clbench.strategies._training.gradient import GradientConfig
from clbench.strategies._unlearning.held_out_level import HeldOutLevel
from clbench.strategies._unlearning.training_data import divided
from clbench.strategies.ascent import Ascent, AscentConfig
from clbench.strategies.finetune import Finetune
from clbench.streams.card import load_stream

HERE = Path(__file__).parents[1]
EVERYTHING = torch.arange(9)


def taught(tiny: Any, numbers: MutableMapping[str, float]) -> tuple[Context, list[Task]]:
    """A tiny CLIP that has learnt two tasks; all validation images of the second are noise to it."""
    tasks = list(load_stream(tiny.stream).tasks[:2])
    context = context_of(tiny, steps=40, numbers=numbers)
    strategy = Finetune(GradientConfig(lr=3e-3), context)
    for task in tasks:
        learn_task(strategy, task)
    return with_noise(context, tasks[1], "validation", EVERYTHING), tasks


def accuracy(context: Context, task: Task, split: Any, label: int) -> float:
    """Accuracy on the samples of one class."""
    batch = context.samples(task, split).batch(slice(None))
    with torch.no_grad():
        right = require(context.learner, ScoresClasses).logits(batch, [task]).argmax(dim=1) == batch["label"]
    return float(right[batch["label"] == label].float().mean())


def test_steps_are_those_of_adamw_on_minus_the_loss(tiny: Any) -> None:
    numbers: dict[str, float] = {}
    context, (one, two) = taught(tiny, numbers)
    positions = class_of(context, two, 0)  # eight, a whole batch
    reference = copy.deepcopy(context.learner)
    config = AscentConfig(lr=1e-4, max_steps=4, check_every=4)
    after_learning(Ascent(config, context), [one, two]).forget(request_of({two: positions}))
    assert numbers["unlearn/steps"] == 4
    assert numbers["samples_read"] == 4 * 8 + 8 + 3  # steps, one comparison of the forgotten, three held-out ones

    parameters = list(reference.trainable().values())
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.0)
    batch = context.samples(two, "train").batch(positions)
    for _ in range(4):
        optimizer.zero_grad()
        (-reference.loss(batch, two)).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    with torch.no_grad():
        wanted, found = (learner.loss(batch, two) for learner in (reference, context.learner))
    torch.testing.assert_close(found, wanted, rtol=1e-2, atol=1e-3)
    assert numbers["train/loss_last"] > 1.5 * numbers["train/loss_first"]


def test_it_ends_at_the_accuracy_of_held_out_samples_of_the_class(tiny: Any) -> None:
    numbers: dict[str, float] = {}
    context, (one, two) = taught(tiny, numbers)
    level = min(accuracy(context, two, "validation", label) for label in range(3))
    label = next(i for i in range(3) if accuracy(context, two, "validation", i) == level)
    assert level < accuracy(context, two, "train", label) == 1
    strategy = after_learning(Ascent(AscentConfig(lr=3e-4, check_every=1), context), [one, two])
    strategy.forget(request_of({two: class_of(context, two, label)}))
    assert accuracy(context, two, "train", label) <= level
    assert 1 < numbers["unlearn/steps"] < 100


def test_samples_that_are_answered_no_better_need_no_step(tiny: Any) -> None:
    numbers: dict[str, float] = {}
    context, (one, two) = taught(tiny, numbers)
    before = context.learner.digest()
    strategy = after_learning(Ascent(AscentConfig(), context), [one, two])
    strategy.forget(request_of({one: class_of(context, one, 0)}))  # a pattern: held-out samples are all known
    assert context.learner.digest() == before
    assert numbers["unlearn/steps"] == 0
    assert not context.learner.module.training


def test_retained_images_do_not_matter(tiny: Any) -> None:
    digests = []
    for label in (None, 1):
        context, (one, two) = taught(tiny, {})
        if label is not None:
            context = with_noise(context, two, "train", class_of(context, two, label))
        strategy = after_learning(Ascent(AscentConfig(max_steps=3), context), [one, two])
        strategy.forget(request_of({two: class_of(context, two, 0)}))
        digests.append(context.learner.digest())
    assert digests[0] == digests[1]


def test_tasks_take_turns(tiny: Any) -> None:
    context, (one, two) = taught(tiny, {})
    turns: list[str] = []

    class Spy(Ascent):  # type: ignore[misc]
        """Notes whose batch each step had."""

        def after_step(self, task: Task, step: int) -> None:
            """Note the task."""
            turns.append(task.name)

    context = with_noise(context, one, "validation", EVERYTHING)
    strategy = after_learning(Spy(AscentConfig(lr=1e-6, max_steps=5), context), [one, two])
    strategy.forget(request_of({one: torch.arange(8), two: torch.arange(8)}))
    assert turns == ["one", "two", "one", "two", "one"]


def text_context() -> tuple[Context, Task]:
    """A tiny LLaMA and a task whose validation rows are as its training rows."""
    learner = build_learner(str(HERE / "tiny_llama.py"), 0, CPU)
    task = text_task("two")
    context = Context(
        learner=learner,
        budget=Budget(steps=5, batch_size=4),
        seed=0,
        samples=lambda asked, split: learner.encode(asked.load(split), asked),
        new_learner=lambda: build_learner(str(HERE / "tiny_llama.py"), 0, CPU),
        progress=lambda step, total: None,
        record=lambda name, value: None,
    )
    return context, task


def test_texts_are_compared_by_their_loss() -> None:
    context, task = text_context()
    positions = class_of(context, task, 1)
    level = HeldOutLevel(context, divided(context, [task], request_of({task: positions})).forgotten)
    with torch.no_grad():
        losses = []
        for split, chosen in (("train", positions), ("validation", torch.tensor([1, 4, 7]))):
            rows = [
                context.samples(task, split).batch(torch.tensor([i]))  # type: ignore[arg-type]
                for i in chosen.tolist()
            ]
            tokens = [int(row["answer.width"].sum()) for row in rows]
            total = sum(float(context.learner.loss(row, task)) * n for row, n in zip(rows, tokens, strict=True))
            losses.append(total / sum(tokens))
    assert losses[0] != losses[1]
    assert level.reached() == (losses[0] >= losses[1])
    assert level.samples_read == 3 + len(positions)


def test_a_class_without_held_out_samples_is_told() -> None:
    context, task = text_context()
    task = replace(
        task, load=lambda split: rows_of("two", split).filter(lambda row: row["label"] != 1 or split == "train")
    )
    with pytest.raises(ConfigError, match="task 'two': validation samples of the forgotten classes: wanted some"):
        HeldOutLevel(context, divided(context, [task], request_of({task: class_of(context, task, 1)})).forgotten)
