"""Synaptic intelligence against the paper's equations in NumPy, fed by gradients that are worked out again."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from clbench.contracts import Batch, Context, Task
from clbench.contracts.updating import learn_task
from clbench.strategies._training.gradient import GradientConfig
from clbench.strategies.finetune import Finetune
from clbench.strategies.si import Si, SiConfig
from clbench.streams.card import load_stream

NewContext = Callable[..., Context]
Weights = dict[str, NDArray[np.float64]]


class Twin(Si):  # type: ignore[misc]
    """Does the sums of the paper beside the strategy, in NumPy, from gradients of its own."""

    omega: Weights
    checked = 0

    def begin_task(self, task: Task) -> None:
        """A new path."""
        super().begin_task(task)
        self.path = {name: np.zeros(p.shape) for name, p in self.trainable_parameters()}
        self.start = self.read()

    def loss(self, batch: Batch, task: Task) -> Tensor:
        """Remember the batch, and where its step starts."""
        self.batch, self.before = batch, self.read()
        return super().loss(batch, task)

    def after_backward(self, task: Task) -> None:
        """Autograd's gradient of the task loss, and of the whole objective as the paper writes it."""
        names, parameters = zip(*self.trainable_parameters(), strict=True)
        kept = [p.grad for p in parameters]
        loss = self.learner.loss(self.batch, task)
        alone = torch.autograd.grad(loss, parameters, retain_graph=True)
        for name, p in self.trainable_parameters():
            if hasattr(self, "omega"):
                drift = p - torch.from_numpy(self.start[name]).to(p.dtype)
                loss = loss + self.config.strength * (torch.from_numpy(self.omega[name]).to(p.dtype) * drift**2).sum()
        whole = torch.autograd.grad(loss, parameters)
        for p, grad in zip(parameters, kept, strict=True):
            p.grad = grad
        super().after_backward(task)
        self.gradient = {name: grad.double().numpy() for name, grad in zip(names, alone, strict=True)}
        for name, p, wanted in zip(names, parameters, whole, strict=True):
            assert p.grad is not None
            torch.testing.assert_close(p.grad, wanted, atol=1e-5, rtol=1e-4, msg=name)
            self.checked += 1

    def after_step(self, task: Task, step: int) -> None:
        """Path integral: w -= g (theta_after - theta_before)."""
        super().after_step(task, step)
        for name, after in self.read().items():
            self.path[name] -= self.gradient[name] * (after - self.before[name])

    def end_task(self, task: Task) -> None:
        """Omega = max(0, Omega + w / (D^2 + xi))."""
        super().end_task(task)
        old = getattr(self, "omega", {name: np.zeros_like(w) for name, w in self.path.items()})
        self.omega = {
            name: np.maximum(0, old[name] + w / ((self.read()[name] - self.start[name]) ** 2 + self.config.damping))
            for name, w in self.path.items()
        }

    def read(self) -> Weights:
        """The weights as they are."""
        return {name: p.detach().double().numpy().copy() for name, p in self.trainable_parameters()}


def test_importances_and_penalty_are_those_of_the_paper(tiny: Any, new_context: NewContext) -> None:
    context = new_context(6)
    strategy = Twin(SiConfig(strength=30.0, damping=1e-4, clip_norm=0.1, lr=3e-3), context)
    for task in load_stream(tiny.stream).tasks:
        learn_task(strategy, task)
        omega = strategy.state_dict()["omega"]
        assert isinstance(omega, dict)
        assert omega.keys() == context.learner.trainable().keys()
        for name, wanted in strategy.omega.items():
            scale = float(wanted.max()) or 1.0
            np.testing.assert_allclose(omega[name].numpy(), wanted, rtol=1e-3, atol=1e-5 * scale, err_msg=name)
    assert strategy.checked == 3 * 6 * len(strategy.omega)
    assert sum(float(values.sum()) for values in strategy.omega.values()) > 0


def test_without_strength_it_is_finetune_to_the_last_bit(tiny: Any, new_context: NewContext) -> None:
    plain, free = new_context(), new_context()
    finetune, si = Finetune(GradientConfig(), plain), Si(SiConfig(strength=0.0), free)
    for task in load_stream(tiny.stream).tasks:
        learn_task(finetune, task)
        learn_task(si, task)
        assert plain.learner.digest() == free.learner.digest()


def test_a_strong_penalty_holds_the_weights(tiny: Any, new_context: NewContext) -> None:
    one, two, _ = load_stream(tiny.stream).tasks
    moved = []
    for strength in (0.0, 1e4):
        context = new_context(30)
        strategy = Si(SiConfig(strength=strength), context)
        learn_task(strategy, one)
        before = {name: p.detach().clone() for name, p in context.learner.trainable().items()}
        learn_task(strategy, two)
        moved.append(sum(float((p.detach() - before[n]).pow(2).sum()) for n, p in context.learner.trainable().items()))
    assert moved[1] < 0.8 * moved[0]


@pytest.mark.parametrize("tasks_before", [1, 2])
def test_it_goes_on_from_its_state(tasks_before: int, tiny: Any, new_context: NewContext) -> None:
    tasks = load_stream(tiny.stream).tasks
    straight, resumed = new_context(), new_context()
    strategy, again = Si(SiConfig(), straight), Si(SiConfig(), resumed)
    for task in tasks[:tasks_before]:
        learn_task(strategy, task)
    resumed.learner.load_state_dict({name: tensor.clone() for name, tensor in straight.learner.state_dict().items()})
    omega = strategy.state_dict()["omega"]
    assert isinstance(omega, dict)
    again.load_state_dict({"omega": {name: tensor.clone() for name, tensor in omega.items()}})
    again.seen.extend(tasks[:tasks_before])
    again.version = tasks_before
    for each in (strategy, again):
        learn_task(each, tasks[tasks_before])
    assert straight.learner.digest() == resumed.learner.digest()
