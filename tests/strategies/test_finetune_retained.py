"""Fine-tuning on retained samples: it trains on all of them and on nothing else."""

from collections import Counter
from typing import Any

import pytest
import torch
from tests.strategies.conftest import context_of
from tests.strategies.forget_requests import after_learning, class_of, request_of, with_noise

from clbench.contracts import Task
from clbench.core.errors import ConfigError
from clbench.strategies.finetune_retained import FinetuneRetained, FinetuneRetainedConfig
from clbench.streams.card import load_stream


def test_forgotten_images_do_not_matter_and_retained_ones_do(tiny: Any) -> None:
    one, two, _ = load_stream(tiny.stream).tasks
    digests = []
    for which in (None, 1, 2):
        context = context_of(tiny, steps=40)
        if which is not None:
            context = with_noise(context, two, "train", class_of(context, two, which))
        strategy = after_learning(FinetuneRetained(FinetuneRetainedConfig(), context), [one, two])
        strategy.forget(request_of({two: class_of(context, two, 1)}))
        digests.append(context.learner.digest())
    assert digests[0] == digests[1] != digests[2]


def test_every_task_gets_its_share_of_the_budget(tiny: Any) -> None:
    one, two, three = load_stream(tiny.stream).tasks
    numbers: dict[str, float] = {}
    context = context_of(tiny, steps=40, numbers=numbers)
    seen: Counter[str] = Counter()

    class Spy(FinetuneRetained):  # type: ignore[misc]
        """Notes whose batch each step had."""

        def after_step(self, task: Task, step: int) -> None:
            """Note the task."""
            seen[task.name] += 1

    strategy = after_learning(Spy(FinetuneRetainedConfig(share_of_budget=0.2), context), [one, two, three])
    strategy.forget(request_of({two: torch.arange(24), three: torch.arange(5)}))
    assert seen == {"one": 8, "three": 8}  # nothing of task two is retained
    assert numbers["unlearn/steps"] == 16
    assert numbers["samples_read"] == 16 * 8
    assert numbers["train/loss_first"] > 0


def test_requests_are_checked(tiny: Any) -> None:
    one = load_stream(tiny.stream).tasks[0]
    strategy = after_learning(FinetuneRetained(FinetuneRetainedConfig(), context_of(tiny)), [one])
    with pytest.raises(ConfigError, match="got all of them"):
        strategy.forget(request_of({one: torch.arange(24)}))
