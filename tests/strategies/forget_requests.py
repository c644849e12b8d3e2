"""Made-up requests to forget, and learners that have something to forget."""

from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor

from clbench.benchmarks.engine.learners import build_learner
from clbench.contracts import Budget, Context, ForgetRequest, Learner, Samples, Split, Strategy, Task
from clbench.contracts.updating import learn_task
from clbench.spec.update import Forget
from clbench.strategies._training.gradient import GradientConfig
from clbench.strategies.finetune import Finetune

CPU = torch.device("cpu")
S = TypeVar("S", bound=Strategy[Any])


def class_of(context: Context, task: Task, label: int) -> Tensor:
    """Positions of the training samples of one class."""
    return (context.samples(task, "train").tensors["label"] == label).nonzero()[:, 0]


def request_of(positions: dict[Task, Tensor]) -> ForgetRequest:
    """A request for some training samples of some tasks."""
    update = Forget(task=next(iter(positions)).name)
    return ForgetRequest(update, tuple(positions), {task.name: found for task, found in positions.items()})


def with_noise(context: Context, task: Task, split: Split, positions: Tensor) -> Context:
    """The same context, where some images of a task's split are noise."""

    def samples(asked: Task, wanted: Split) -> Samples:
        found = context.samples(asked, wanted)
        if (asked.name, wanted) != (task.name, split):
            return found
        image = found.tensors["image"].clone()
        noise = torch.randint(0, 256, image[positions].shape, generator=torch.Generator().manual_seed(0))
        image[positions] = noise.to(image.dtype)
        return replace(found, tensors={**found.tensors, "image": image})

    return replace(context, samples=samples)


def after_learning(strategy: S, tasks: Sequence[Task]) -> S:
    """The strategy as it is when it has to forget: the tasks have been learnt, and have heads."""
    for task in tasks:
        strategy.learner.add_task(task)
    strategy.seen = list(tasks)
    strategy.reseed("version", len(tasks) + 1)
    return strategy


class Taught:
    """A mini model that has learnt tasks by fine-tuning, 40 steps each.

    Args:
        name: Name of the learner.
        tasks: The tasks, in order.
        lr: Learning rate.
    """

    def __init__(self, name: str, tasks: Sequence[Task], lr: float) -> None:
        self.tasks = tuple(tasks)
        self._name = name
        encoder = self._new_learner()
        self._samples = cache(lambda task, split: encoder.encode(task.load(split), task))
        context = self.context({})
        strategy = Finetune(GradientConfig(lr=lr), context)
        for task in tasks:
            learn_task(strategy, task)
        self.weights = {name: tensor.clone() for name, tensor in context.learner.state_dict().items()}

    def _new_learner(self) -> Learner:
        return build_learner(self._name, 0, CPU)

    def samples(self, task: Task, split: Split) -> Samples:
        """Encoded samples, cached."""
        found: Samples = self._samples(task, split)
        return found

    def context(self, numbers: MutableMapping[str, float]) -> Context:
        """A context with a fresh learner at version 0."""
        return Context(
            learner=self._new_learner(),
            budget=Budget(steps=40, batch_size=16),
            seed=0,
            samples=self.samples,
            new_learner=self._new_learner,
            progress=lambda step, total: None,
            record=numbers.__setitem__,
        )

    def ready(self, build: Callable[[Context], S], numbers: MutableMapping[str, float]) -> S:
        """A strategy for the learner as it was taught."""
        strategy = after_learning(build(self.context(numbers)), self.tasks)
        strategy.learner.load_state_dict(self.weights)
        return strategy
