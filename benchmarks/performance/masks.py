"""What masks cost in a training step, beside the same step without a selector.

Full fine-tuning on the first task of a stream, with a real selector each: `all` has no masks, `random` has one for
every tensor, `id3` also sorts the gradients of the whole model in every step. What the loop costs without any part
beside a bare loop is measured by `overhead`.
"""

import argparse
import statistics
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from clbench.benchmarks.engine.learners import build_learner
from clbench.benchmarks.engine.samples import SampleStore
from clbench.benchmarks.performance._measuring import (
    DeviceClock,
    StepTimer,
    default_device,
    describe_machine,
    take_turns,
)
from clbench.benchmarks.performance._report import Comparison, Report
from clbench.benchmarks.performance._training_work import TrainingWork
from clbench.contracts import Budget, Task
from clbench.contracts.updating import learn_task
from clbench.streams.card import load_stream

TURNS = 7
BATCH = 32
LR = 1e-9
"""So small that the weights stay as they are and every turn does the same work."""
WAYS: Mapping[str, Mapping[str, object]] = {
    "no selector": {},
    "all": {"select": "all"},
    "random, 10 %": {"select": {"name": "random", "share": 0.1}},
    "id3, 1 %": {"select": {"name": "id3", "share": 0.01}},
}


def step_seconds(work: TrainingWork, task: Task, clock: DeviceClock, settings: Mapping[str, object]) -> float:
    """Median step of an update, after its first step.

    Args:
        work: Learner, samples and budget.
        task: The task.
        clock: Measures.
        settings: Settings of `finetune`.
    """
    timer = StepTimer(clock)
    learn_task(work.strategy("finetune", {"lr": LR, **settings}, timer.end_step), task)
    return statistics.median(timer.seconds())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Stream, learner and steps."""
    parser.add_argument(
        "--stream", default="clip-mini", help="stream whose first task is learnt (default: %(default)s)"
    )
    parser.add_argument("--learner", default="mini-clip", help="a learner (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=20, help="steps, at least 2 (default: %(default)s)")


def measure(options: argparse.Namespace) -> Report:
    """A step of each way, in turn."""
    device = default_device()
    clock = DeviceClock(device)
    learner = build_learner(options.learner, 0, device)
    task = load_stream(options.stream).tasks[0]
    with tempfile.TemporaryDirectory() as folder:
        samples = SampleStore(device, Path(folder)).of(options.stream, learner, options.learner)
        work = TrainingWork(learner, Budget(steps=options.steps, batch_size=BATCH), samples)
        ways = {way: partial(step_seconds, work, task, clock, settings) for way, settings in WAYS.items()}
        measured = take_turns(ways, options.turns, "a step")
    settings = {"stream": options.stream, "learner": options.learner, "batch": BATCH}
    return Report("masks", describe_machine(device), settings, [Comparison("a step", "s", "no selector", measured)])
