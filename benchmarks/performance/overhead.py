"""What clbench adds to the model's own time in training and testing, beside a bare loop and beside Avalanche.

`bare` is the shortest loop that we can write on tensors that are in memory already, with open_clip's own model.
`clbench` is the evaluator (ledger rows included) and the gradient loop (augmentation included). `avalanche` is
Avalanche's `Naive` with its accuracy metric on the same tensors. All run in one precision.
"""

import argparse
import copy
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from clbench.benchmarks.engine.learners import build_learner
from clbench.benchmarks.engine.samples import SampleStore
from clbench.benchmarks.evaluation.evaluator import Evaluator
from clbench.benchmarks.performance._measuring import DeviceClock, default_device, describe_machine, take_turns
from clbench.benchmarks.performance._report import Comparison, Report
from clbench.benchmarks.performance._training_work import TrainingWork
from clbench.contracts import Budget, Samples, Split, Stream, Task
from clbench.contracts.updating import learn_task
from clbench.core.errors import ConfigError
from clbench.learners._clip.clip_learner import ClipLearner, filled
from clbench.streams.card import load_stream

TURNS = 5
BATCH = 32
LR = 1e-9
"""So small that the weights stay as they are and every turn does the same work."""


class BareClassifier(nn.Module):
    """A CLIP as a plain classifier over the prompts of some tasks, as somebody with their own loop would write it.

    In evaluation the text features are those of the last `encode_text`, so that the same text is not encoded again for
    every batch.
    """

    def __init__(self, learner: ClipLearner, tasks: Sequence[Task]) -> None:
        super().__init__()
        own = copy.deepcopy(learner)
        self.clip: Any = own.module
        self._text_features = own.text_features
        self._autocast = own.autocast
        self._prompts = tuple(filled(task.templates[0], name) for task in tasks for name in task.classes)
        self.encode_text()

    def encode_text(self) -> None:
        """Encode the prompts for evaluation."""
        with torch.no_grad():
            self._text = self._text_features(self._prompts)

    def forward(self, images: Tensor) -> Tensor:
        """Logits `(n, prompts)`."""
        with self._autocast():
            text = self._text_features(self._prompts) if self.training else self._text
            image = F.normalize(self.clip.encode_image(images), dim=-1)
            logits: Tensor = self.clip.logit_scale.exp() * image @ text.T
        return logits.float()


@dataclass(frozen=True)
class Setup:
    """One stream, learner and device, on which the three ways are compared.

    Attributes:
        stream: Its first task is trained, all are tested.
        learner: A CLIP.
        samples: Encoded samples of a task's split.
        steps: Steps of training.
    """

    stream: Stream
    learner: ClipLearner
    samples: Callable[[Task, Split], Samples]
    steps: int

    def images(self, task: Task, split: Split) -> tuple[Tensor, Tensor]:
        """Images in [0, 1] `(n, 3, size, size)` and labels `(n,)`; not normalised, which changes no time."""
        tensors = self.samples(task, split).tensors
        return tensors["image"].float() / 255, tensors["label"]

    def evaluate_clbench(self) -> Callable[[], object]:
        """The evaluator: all tasks, all protocols of the stream, ledger rows."""
        return partial(Evaluator(self.stream, "test", self.samples).evaluate, self.learner, 0)

    def evaluate_bare(self) -> Callable[[], object]:
        """Encode the text once, images in batches, count right answers."""
        data = [self.images(task, "test") for task in self.stream.tasks]
        size = self.learner.test_batch
        model = BareClassifier(self.learner, self.stream.tasks).eval()

        def loop() -> int:
            right = torch.zeros((), dtype=torch.int64, device=self.learner.device)
            with torch.no_grad():
                model.encode_text()
                for images, labels in data:
                    for x, y in zip(images.split(size), labels.split(size), strict=True):
                        right += (model(x).argmax(1) == y).sum()
            return int(right)

        return loop

    def train_clbench(self) -> Callable[[], object]:
        """`finetune` on the first task."""
        work = TrainingWork(self.learner, Budget(steps=self.steps, batch_size=BATCH), self.samples)
        return partial(learn_task, work.strategy("finetune", {"lr": LR}), self.stream.tasks[0])

    def train_bare(self) -> Callable[[], object]:
        """Forward pass, backward pass, step of the optimizer."""
        images, labels = self.images(self.stream.tasks[0], "train")
        model = BareClassifier(self.learner, self.stream.tasks[:1]).train()

        def loop() -> None:
            optimizer = torch.optim.AdamW(model.parameters(), lr=LR, fused=True)
            epochs = -(-self.steps * BATCH // len(images))
            order = torch.randperm(len(images), device=images.device).repeat(epochs)[: self.steps * BATCH]
            for index in order.split(BATCH):
                F.cross_entropy(model(images[index]), labels[index]).backward()
                optimizer.step()
                optimizer.zero_grad()

        return loop

    def avalanche(self) -> tuple[Callable[[], object], Callable[[], object]]:
        """Avalanche's own loops: train the first task for as many steps, evaluate all tasks."""
        from avalanche.benchmarks import benchmark_from_datasets  # takes seconds to import
        from avalanche.benchmarks.utils import as_taskaware_classification_dataset
        from avalanche.evaluation.metrics import accuracy_metrics
        from avalanche.training.plugins import EvaluationPlugin
        from avalanche.training.supervised import Naive

        first = self.stream.tasks[0]

        def dataset(images: Tensor, labels: Tensor) -> Any:
            labels = labels.cpu().clamp(max=len(first.classes) - 1)  # only the time matters
            rows = TensorDataset(images.cpu(), labels)
            rows.targets = labels.tolist()  # type: ignore[attr-defined]
            return as_taskaware_classification_dataset(rows)

        images, labels = self.images(first, "train")
        order = torch.arange(self.steps * BATCH, device=labels.device) % len(labels)
        tests = [dataset(*self.images(task, "test")) for task in self.stream.tasks]
        benchmark = benchmark_from_datasets(train=[dataset(images[order], labels[order])], test=tests)
        model = BareClassifier(self.learner, [first])
        strategy = Naive(
            model=model,
            optimizer=torch.optim.AdamW(model.parameters(), lr=LR, fused=True),
            train_mb_size=BATCH,
            eval_mb_size=self.learner.test_batch,
            device=self.learner.device,
            evaluator=EvaluationPlugin(accuracy_metrics(experience=True), loggers=[]),
        )
        return partial(strategy.train, benchmark.train_stream[0]), partial(strategy.eval, benchmark.test_stream)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Stream, learner and steps."""
    parser.add_argument("--stream", default="clip-mini", help="stream of image classification (default: %(default)s)")
    parser.add_argument("--learner", default="mini-clip", help="a CLIP (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=20, help="steps of training (default: %(default)s)")


def measure(options: argparse.Namespace) -> Report:
    """Evaluation and training, three ways each.

    Raises:
        ConfigError: For a learner that is no CLIP.
    """
    device = default_device()
    clock = DeviceClock(device)
    learner = build_learner(options.learner, 0, device)
    if not isinstance(learner, ClipLearner):
        raise ConfigError(f"--learner: wanted a CLIP, got {options.learner}")
    stream = load_stream(options.stream)
    with tempfile.TemporaryDirectory() as folder:
        samples = SampleStore(device, Path(folder)).of(options.stream, learner, options.learner)
        setup = Setup(stream, learner, samples, options.steps)
        train, evaluate = setup.avalanche()
        work = {
            "evaluation": {
                "bare": setup.evaluate_bare(),
                "clbench": setup.evaluate_clbench(),
                "avalanche": evaluate,
            },
            f"training, {options.steps} steps of {BATCH}": {
                "bare": setup.train_bare(),
                "clbench": setup.train_clbench(),
                "avalanche": train,
            },
        }
        found = []
        for name, ways in work.items():
            timed = {way: partial(clock.seconds, call) for way, call in ways.items()}
            found.append(Comparison(name, "s", "bare", take_turns(timed, options.turns, name)))
    settings = {"stream": options.stream, "learner": options.learner}
    return Report("overhead", describe_machine(device), settings, found)
