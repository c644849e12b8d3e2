"""Seconds of a step of `finetune`, with whatever clbench is on the path: run by `loop`, also for an older checkout.

It uses only what checkouts since the time before parts have under the same names.
"""

import statistics
import sys
import tempfile
from pathlib import Path

from clbench.benchmarks.engine.learners import build_learner
from clbench.benchmarks.engine.samples import SampleStore
from clbench.benchmarks.performance._measuring import DeviceClock, StepTimer, default_device
from clbench.benchmarks.performance._training_work import TrainingWork
from clbench.contracts import Budget
from clbench.contracts.updating import learn_task
from clbench.streams.card import load_stream

BATCH = 32
LR = 1e-9
"""So small that the weights stay as they are and every update does the same work."""


def main(stream: str, learner_name: str, steps: int) -> None:
    """Print the median step of the second of two updates.

    Args:
        stream: A stream whose first task is learnt.
        learner_name: A learner.
        steps: Steps of an update, at least 2.
    """
    device = default_device()
    learner = build_learner(learner_name, 0, device)
    task = load_stream(stream).tasks[0]
    with tempfile.TemporaryDirectory() as folder:
        samples = SampleStore(device, Path(folder)).of(stream, learner, learner_name)
        work = TrainingWork(learner, Budget(steps=steps, batch_size=BATCH), samples)
        for _ in range(2):
            timer = StepTimer(DeviceClock(device))
            learn_task(work.strategy("finetune", {"lr": LR}, timer.end_step), task)
    sys.stdout.write(f"{statistics.median(timer.seconds()):.9f}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
