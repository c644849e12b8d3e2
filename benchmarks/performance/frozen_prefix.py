"""What a frozen prefix saves in training and testing of a vision transformer, beside full fine-tuning.

Training: steps with the bottom 70 % of the blocks frozen, with and without a cached prefix. Testing: ten versions on a
task of each kind from cached prefixes, beside as many full tests. All on the same images of noise.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from clbench.benchmarks.engine.frozen_features import FrozenFeatureCache
from clbench.benchmarks.engine.learners import build_learner
from clbench.benchmarks.performance._measuring import DeviceClock, default_device, describe_machine, take_turns
from clbench.benchmarks.performance._report import Comparison, Report
from clbench.benchmarks.performance._training_work import TrainingWork, no_rows
from clbench.contracts import Budget, Samples, Split, Task
from clbench.contracts.updating import learn_task
from clbench.core.errors import ConfigError
from clbench.learners._vit.vit_learner import VitLearner

TURNS = 5
STEPS = 3
BATCH = 16
TESTED = 64
VERSIONS = 10
"""Versions that are tested: those of a stream of ten tasks, as `ultrasound-mini` is, without version 0."""
FULL = "finetune"
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    FULL: ("finetune", {}),
    "telly": ("telly", {"share": 0.3}),
    "telly, prefix cached": ("telly", {"share": 0.3, "augment": False}),
    "tap-slf, prompts at the input": ("tap-slf", {}),
    "tap-slf, prompts at the top, prefix cached": ("tap-slf", {"enter": "top", "augment": False}),
    "head-only, prefix cached": ("head-only", {"augment": False}),
}
TASKS = (
    Task("masks", "segmentation", "dice", no_rows, str, classes=("background", "thing")),
    Task("classes", "classification", "accuracy", no_rows, str, classes=("one", "two", "three")),
    Task("boxes", "detection", "iou", no_rows, str, boxes=1),
    Task("points", "regression", "point_accuracy", no_rows, str, points=3),
)
"""One task of each kind; the first one is trained."""


class Way:
    """A strategy on a learner of its own, with images of noise.

    Args:
        learner: Specification of a vision transformer.
        strategy: Registered name.
        settings: Settings of the strategy.

    Raises:
        ConfigError: For a learner that is no vision transformer.
    """

    def __init__(self, learner: str, strategy: str, settings: dict[str, Any]) -> None:
        built = build_learner(learner, 0, default_device())
        if not isinstance(built, VitLearner):
            raise ConfigError(f"learner: wanted a vision transformer, got {learner}")
        self._learner = built
        self._noise = _noise(built)
        self._cache = self._empty_cache()
        budget = Budget(steps=STEPS, batch_size=BATCH)
        work = TrainingWork(built, budget, lambda task, split: self._cache(task, split))
        self._strategy = work.strategy(strategy, settings)

    def train(self) -> None:
        """`STEPS` steps."""
        learn_task(self._strategy, TASKS[0])
        self._cache.weights_have_changed()

    def test_versions(self) -> None:
        """Test `VERSIONS` versions one after another, from an empty cache: the first one fills it for the others."""
        self._cache = self._empty_cache()
        for task in TASKS:
            self._learner.add_task(task)
        self._learner.module.eval()
        size = self._learner.test_batch
        for _ in range(VERSIONS):
            self._cache.weights_have_changed()
            predict = self._learner.predictor(TASKS, ["task-id"])
            with torch.no_grad(), self._learner.autocast():
                for task in TASKS:
                    samples = self._cache(task, "test")
                    for start in range(0, TESTED, size):
                        predict(samples.batch(slice(start, start + size)), task)

    def _empty_cache(self) -> FrozenFeatureCache:
        folder = Path(tempfile.gettempdir())
        return FrozenFeatureCache(lambda task, split: self._noise, self._learner, self._blocks, folder)

    def _blocks(self, task: Task, split: Split) -> int:
        return 0 if split == "train" and self._strategy.augments else self._strategy.frozen_blocks(task)


def _noise(learner: VitLearner) -> Samples:
    backbone: Any = learner.module.backbone  # timm's
    height, width = backbone.patch_embed.img_size
    tensors = {
        "image": torch.randint(256, (TESTED, 3, height, width), dtype=torch.uint8, device=learner.device),
        "mask": torch.randint(2, (TESTED, height, width), dtype=torch.uint8, device=learner.device),
        "mirror": torch.ones(TESTED, dtype=torch.bool, device=learner.device),
    }
    return Samples(pa.array([str(number) for number in range(TESTED)]), tensors, learner.device)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Learner."""
    parser.add_argument("learner", nargs="?", default="mini-vit", help="a vision transformer (default: %(default)s)")


def measure(options: argparse.Namespace) -> Report:
    """Training in every way, testing of all versions in two."""
    clock = DeviceClock(default_device())
    ways = {name: Way(options.learner, *settings) for name, settings in WAYS.items()}
    train = {name: partial(clock.seconds, way.train) for name, way in ways.items()}
    test = {name: partial(clock.seconds, ways[name].test_versions) for name in (FULL, "telly")}
    training, testing = f"training, {STEPS} steps of {BATCH}", f"testing {VERSIONS} versions"
    comparisons = [
        Comparison(training, "s", FULL, take_turns(train, options.turns, training)),
        Comparison(testing, "s", FULL, take_turns(test, options.turns, testing)),
    ]
    return Report("frozen_prefix", describe_machine(clock.device), {"learner": options.learner}, comparisons)
