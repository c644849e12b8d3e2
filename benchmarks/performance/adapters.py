"""What the gated low-rank updates of `codyra` cost beside the plain ones of `lora`, on a CLIP of published size.

Weights and images are random. Both strategies have one rank on the same layers. Further measured: peak memory (a
process for each strategy), merging, the text of more classes, and testing beside the bare forward pass.
"""

import argparse
import subprocess
import sys
from functools import partial
from typing import Any, cast

import pyarrow as pa
import torch

from clbench.benchmarks.engine.learners import build_learner
from clbench.benchmarks.forecast.memory_use import memory_above_now, memory_mib
from clbench.benchmarks.performance._measuring import (
    DeviceClock,
    StepTimer,
    default_device,
    describe_machine,
    note_progress,
    take_turns,
)
from clbench.benchmarks.performance._report import Comparison, Report
from clbench.benchmarks.performance._training_work import TrainingWork, no_rows
from clbench.contracts import Budget, Learner, Samples, Task
from clbench.contracts.updating import learn_task
from clbench.strategies._adapters.gated import GatedAdapter

TURNS = 5
STRATEGIES = ("lora", "codyra")
STEPS = 3
CLASSES = (10, 100, 397)
"""Classes of a task, whose prompts are encoded in every step; SUN397 has 397."""
TESTED_CLASSES = 1100
"""Classes of all tasks together in testing: about those of X-TAIL."""
MEASURE_PEAK = "from clbench.benchmarks.performance.adapters import print_peak; import sys; print_peak(*sys.argv[1:])"


def made_up_task(classes: int) -> Task:
    """A task of so many classes without data."""
    return Task("made-up", "classification", "accuracy", no_rows, str, tuple(f"class {i}" for i in range(classes)))


class Setup:
    """A learner with random weights, and random images on its device.

    Args:
        learner: Specification of a CLIP.
        rank: Rank of the adapters.
    """

    def __init__(self, learner: str, rank: int) -> None:
        self.rank = rank
        self.device = default_device()
        self.clock = DeviceClock(self.device)
        self.batch = 64 if self.device.type == "cuda" else 8
        self.learner: Learner = build_learner(learner, 0, self.device)
        size = self.learner.test_batch if self.device.type == "cuda" else self.batch
        self._clip = cast(Any, self.learner.module)  # open_clip has no types
        height, width = self._clip.visual.image_size
        images = torch.randint(0, 256, (size, 3, height, width), dtype=torch.uint8, device=self.device)
        labels = torch.arange(size, device=self.device) % CLASSES[0]
        ids = pa.array([str(i) for i in range(size)])
        self.samples = Samples(ids, {"image": images, "label": labels})
        budget = Budget(steps=STEPS, batch_size=self.batch)
        self.work = TrainingWork(self.learner, budget, lambda task, split: self.samples)

    def train(self, name: str, task: Task) -> StepTimer:
        """One update by a strategy."""
        timer = StepTimer(self.clock)
        learn_task(self.work.strategy(name, {"rank": self.rank, "lr": 1e-6}, timer.end_step), task)
        return timer

    def step_seconds(self, name: str, classes: int) -> float:
        """The quickest step of an update after its first step."""
        return min(self.train(name, made_up_task(classes)).seconds())

    def merge_seconds(self) -> tuple[int, float]:
        """Number of adapters, and seconds to merge them."""
        names = [layer.name for layer in self.learner.linear_layers() if layer.role != "other"]
        adapter = GatedAdapter(self.learner.module, names, self.rank, torch.Generator().manual_seed(0))
        return len(names), self.clock.seconds(lambda: adapter.merge(self.learner.module))

    def forward_seconds(self, turns: int) -> dict[str, list[float]]:
        """A batch of images through the bare model, and through the predictor with prompts encoded before."""
        floats = self.samples.tensors["image"].float() / 255
        task = made_up_task(TESTED_CLASSES)
        with torch.no_grad(), self.learner.autocast():
            predict = self.learner.predictor([task], ("task-id", "union"))
            ways = {
                "bare forward pass": partial(self.clock.seconds, partial(self._clip.encode_image, floats)),
                "predictor": partial(self.clock.seconds, lambda: predict(self.samples.batch(slice(None)), task)),
            }
            return take_turns(ways, turns, "testing")


def peak_mib(name: str, learner: str, rank: int) -> float:
    """Peak memory of an update by a strategy in a process of its own, in MiB.

    Args:
        name: Registered name of the strategy.
        learner: Specification of a CLIP.
        rank: Rank of the adapters.
    """
    command = [sys.executable, "-c", MEASURE_PEAK, name, learner, str(rank)]
    found = float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    note_progress(f"peak memory, {name}: {found:.0f} MiB")
    return found


def print_peak(name: str, learner: str, rank: str) -> None:
    """Print the peak memory of this process, or of the device, over one update.

    Args:
        name: Registered name of the strategy.
        learner: Specification of a CLIP.
        rank: Rank of the adapters, as text.
    """
    setup = Setup(learner, int(rank))
    resting = memory_mib(setup.device)
    with memory_above_now(setup.device) as above:  # the system's own account of a peak would begin with the parent's
        setup.train(name, made_up_task(CLASSES[0]))
    sys.stdout.write(f"{resting + above[0]}\n")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Learner and rank."""
    parser.add_argument("--learner", default="open_clip:ViT-B-16", help="a CLIP (default: %(default)s)")
    parser.add_argument("--rank", type=int, default=16, help="rank of the adapters (default: %(default)s)")


def measure(options: argparse.Namespace) -> Report:
    """Steps, peak memory, steps by number of classes, testing, merging."""
    setup = Setup(options.learner, options.rank)
    steps = {name: partial(setup.step_seconds, name, CLASSES[0]) for name in STRATEGIES}
    texts = {f"{number} classes": partial(setup.step_seconds, "codyra", number) for number in CLASSES}
    comparisons = [
        Comparison("a step", "s", "lora", take_turns(steps, options.turns, "a step")),
        Comparison(
            "a step of codyra", "s", f"{CLASSES[0]} classes", take_turns(texts, min(3, options.turns), "codyra")
        ),
        Comparison("testing a batch", "s", "bare forward pass", setup.forward_seconds(options.turns)),
        Comparison(
            "peak memory", "MiB", "lora", {name: [peak_mib(name, options.learner, options.rank)] for name in STRATEGIES}
        ),
    ]
    adapters, merging = setup.merge_seconds()
    figures = {
        "adapters": float(adapters),
        "merging all adapters, s": merging,
        "training images a second, codyra": setup.batch / comparisons[0].median("codyra"),
        "test images a second": len(setup.samples) / comparisons[2].median("predictor"),
    }
    settings = {"learner": options.learner, "rank": options.rank, "batch": setup.batch}
    return Report("adapters", describe_machine(setup.device), settings, comparisons, figures)
