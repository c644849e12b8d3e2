"""What a frozen prefix saves: `python -m clbench.benchmarks.performance.frozen_prefix [LEARNER]`.

Steps of training with the bottom 70 % of the blocks frozen, with and without a kept prefix, beside those of full
fine-tuning; and tests of ten versions on a task of each kind from kept prefixes beside as many full tests. Turn by turn
on the same noise images, so that a busy machine slows all alike; medians. No data are needed: the time does not
depend on them.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import torch

from clbench.benchmarks.engine.execution import build_learner
from clbench.benchmarks.engine.frozen_features import FrozenFeatureCache
from clbench.benchmarks.performance.overhead import medians
from clbench.contracts import Budget, Context, Learner, Samples, Split, Strategy, StrategyConfig, Task
from clbench.core import strict_json
from clbench.core.registry import STRATEGIES
from clbench.learners._vit.vit_learner import VitLearner

STEPS = 3
BATCH = 16
TESTED = 64
VERSIONS = 10
"""Of a stream of ten tasks, as `ultrasound-mini` is, without version 0."""
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "finetune": ("finetune", {}),
    "telly": ("telly", {"share": 0.3}),
    "telly, prefix kept": ("telly", {"share": 0.3, "augment": False}),
    "tap-slf, prompts at the input": ("tap-slf", {}),
    "tap-slf, prompts at the top, prefix kept": ("tap-slf", {"enter": "top", "augment": False}),
    "head-only, prefix kept": ("head-only", {"augment": False}),
}


def main() -> None:
    """Measure and print as JSON."""
    name = sys.argv[1] if len(sys.argv) > 1 else "mini-vit"
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    ways = {way: _Way(name, device, *settings) for way, settings in WAYS.items()}
    steps = medians({way: item.train for way, item in ways.items()}, device)
    tests = medians({way: item.test_versions for way, item in ways.items() if way in ("finetune", "telly")}, device)
    report = {
        "learner": name,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads",
        "seconds_a_step": {way: round(seconds / STEPS, 4) for way, seconds in steps.items()},
        "step_over_finetune": {way: round(seconds / steps["finetune"], 3) for way, seconds in steps.items()},
        f"{VERSIONS}_tests_from_prefixes_over_full_tests": round(tests["telly"] / tests["finetune"], 3),
    }
    print(strict_json.dumps(report, indent=1))  # noqa: T201


class _Way:
    """A strategy on a learner of its own, with images of noise."""

    def __init__(self, learner: str, device: torch.device, strategy: str, settings: dict[str, Any]) -> None:
        built = build_learner(learner, 0, device)
        assert isinstance(built, VitLearner), f"{learner} is no vision transformer"
        self._learner = built
        self._task = Task("masks", "segmentation", "dice", _no_rows, str, classes=("background", "thing"))
        self._tested = (
            self._task,
            Task("classes", "classification", "accuracy", _no_rows, str, classes=("one", "two", "three")),
            Task("boxes", "detection", "iou", _no_rows, str, boxes=1),
            Task("points", "regression", "point_accuracy", _no_rows, str, points=3),
        )
        self._noise = _noise(built, device)
        self._prefixes = FrozenFeatureCache(
            lambda task, split: self._noise, built, self._blocks, Path(tempfile.gettempdir())
        )
        entry = STRATEGIES.get(strategy)
        assert entry.config is not None
        context = Context(
            cast(Learner, built),
            Budget(steps=STEPS, batch_size=BATCH),
            0,
            self._prefixes,
            lambda: built,
            lambda done, total: None,
            lambda name, value: None,
        )
        self._strategy = cast(Strategy[StrategyConfig], entry.value(entry.config(**settings), context))

    def train(self) -> None:
        """`STEPS` steps."""
        self._strategy.update(self._task)
        self._prefixes.weights_have_changed()

    def test_versions(self) -> None:
        """As many versions as there are, one after another; the first one pays for what the others find kept."""
        self._prefixes._kept.clear()
        for task in self._tested:
            self._learner.add_task(task)
        self._learner.module.eval()
        for _ in range(VERSIONS):
            self._prefixes.weights_have_changed()
            predict = self._learner.predictor(self._tested, ["task-id"])
            with torch.no_grad(), self._learner.autocast():
                for task in self._tested:
                    samples = self._prefixes(task, "test")
                    for start in range(0, TESTED, self._learner.test_batch):
                        predict(samples.batch(slice(start, start + self._learner.test_batch)), task)

    def _blocks(self, task: Task, split: Split) -> int:
        return 0 if split == "train" and self._strategy.augments else self._strategy.frozen_blocks(task)


def _noise(learner: VitLearner, device: torch.device) -> Samples:
    size = learner._images.size
    tensors = {
        "image": torch.randint(256, (TESTED, 3, size, size), dtype=torch.uint8, device=device),
        "mask": torch.randint(2, (TESTED, size, size), dtype=torch.uint8, device=device),
        "mirror": torch.ones(TESTED, dtype=torch.bool, device=device),
    }
    return Samples(pa.array([str(number) for number in range(TESTED)]), tensors, device)


def _no_rows(split: Split) -> Any:
    raise AssertionError(split)


if __name__ == "__main__":
    main()
