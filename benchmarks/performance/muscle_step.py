"""What a step of MUSCLE costs beside a step by the task loss alone, with live and with stored teachers.

A step of the second stage: with live teachers three forward passes and a backward one. The samples are those of a task
of text-open. Both releases are the same weights: the time of a step does not depend on them.
"""

import argparse
import statistics
from collections.abc import Mapping
from functools import partial

from clbench.benchmarks.engine.learners import build_learner
from clbench.benchmarks.performance._measuring import (
    DeviceClock,
    StepTimer,
    default_device,
    describe_machine,
    take_turns,
)
from clbench.benchmarks.performance._report import Comparison, Report
from clbench.benchmarks.performance._training_work import TrainingWork
from clbench.contracts import Budget, Samples
from clbench.contracts.updating import adopt_release
from clbench.streams.card import load_stream

TURNS = 7
TASK = "topic"
BATCH = 16
WAYS: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "task loss": ("continue-update", {}),
    "live teachers": ("muscle", {}),
    "stored teachers": ("muscle", {"teachers": "stored", "top_k": 64}),
}


class Setup:
    """Two releases, a task and its samples on one device.

    Args:
        learner: Specification of a language model.
        steps: Steps of each stage of an update.
    """

    def __init__(self, learner: str, steps: int) -> None:
        device = default_device()
        self.clock = DeviceClock(device)
        self.steps = steps
        self.task = next(task for task in load_stream("text-open").tasks if task.name == TASK)
        self.releases = [build_learner(learner, 0, device) for _ in range(2)]
        encoded = self.releases[0].encode(self.task.load("train").select(range(8 * BATCH)), self.task)
        tensors = {name: tensor.to(device) for name, tensor in encoded.tensors.items()}
        samples = Samples(encoded.ids, tensors, device)
        budget = Budget(steps=steps, batch_size=BATCH)
        self.work = TrainingWork(self.releases[0], budget, lambda task, split: samples)

    def step_seconds(self, way: str) -> float:
        """Median step of a second stage, after its first step."""
        name, settings = WAYS[way]
        timer = StepTimer(self.clock)
        strategy = self.work.strategy(name, {**settings, "rank": 16}, timer.end_step)
        adopt_release(strategy, self.releases[0], [self.task])
        timer.ends.clear()
        adopt_release(strategy, self.releases[1], [self.task])
        return statistics.median(timer.seconds(first=self.steps))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Learner and steps."""
    parser.add_argument("--learner", default="mini-llama", help="a language model (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=6, help="steps of each stage, at least 2 (default: %(default)s)")


def measure(options: argparse.Namespace) -> Report:
    """A step of each way, in turn."""
    setup = Setup(options.learner, options.steps)
    measured = take_turns({way: partial(setup.step_seconds, way) for way in WAYS}, options.turns, "a step")
    settings = {"learner": options.learner, "task": TASK, "batch": BATCH}
    comparison = Comparison("a step", "s", "task loss", measured)
    return Report("muscle_step", describe_machine(setup.clock.device), settings, [comparison])
