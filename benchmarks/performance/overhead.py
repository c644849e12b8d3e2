"""What clbench adds to the model's own time: `python -m clbench.benchmarks.performance.overhead`.

Three ways to do the same work, in one run, turn by turn, so that a busy machine slows all of them alike; medians are
printed. `bare` is the shortest loop that we can write on tensors that are in memory already, with open_clip's own
model. `clbench` is the evaluator (ledger rows included) and the gradient loop (augmentation included). `avalanche` is
Avalanche's `Naive` with its accuracy metric on the same tensors.
"""

import copy
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from clbench.benchmarks.engine.execution import build_learner
from clbench.benchmarks.engine.samples import SampleStore
from clbench.benchmarks.evaluation.evaluator import Evaluator
from clbench.contracts import Budget, Context, Task
from clbench.core import strict_json
from clbench.learners._clip.clip_learner import ClipLearner, filled
from clbench.strategies._training.gradient import GradientConfig
from clbench.strategies.finetune import Finetune
from clbench.streams.card import load_stream

REPEATS = 5
STEPS = 20
SIZE = 32


class _Classifier(nn.Module):
    """A CLIP as a plain classifier over the prompts of one task, as somebody with his own loop would write it.

    In evaluation its text features are given, so that no way is charged for encoding the same text at every batch.
    """

    def __init__(self, learner: ClipLearner, model: nn.Module, tokens: Tensor) -> None:
        super().__init__()
        self.clip: Any = model
        self._encode_text = ClipLearner("bare", model, learner._tokenizer, learner._preprocess)._encode_text
        self._tokens = tokens
        self._autocast = learner.autocast
        with torch.no_grad():
            self._text = self.text()

    def text(self) -> Tensor:
        """Unit text features of the prompts."""
        return F.normalize(self._encode_text(self._tokens), dim=-1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits `(n, prompts)`."""
        with self._autocast():  # the precision of clbench's loops, so that only the loops differ
            text = self.text() if self.training else self._text
            image = F.normalize(self.clip.encode_image(images), dim=-1)
            logits: Tensor = self.clip.logit_scale.exp() * image @ text.T
        return logits.float()


class Comparison:
    """The three ways on one stream, learner and device."""

    def __init__(self, stream: str, learner: str, device: torch.device) -> None:
        self.device = device
        self.stream = load_stream(stream)
        built = build_learner(learner, 0, device)
        assert isinstance(built, ClipLearner)
        self.learner = built
        self.samples = SampleStore(device, Path(tempfile.gettempdir())).of(stream, built, learner)
        self.task = self.stream.tasks[0]

    def images(self, task: Task, split: Any) -> tuple[Tensor, Tensor]:
        """Normalised images and labels, in memory."""
        tensors = self.samples(task, split).tensors
        return self.learner._normalise(tensors["image"]), tensors["label"]

    def classifier(self, tasks: Sequence[Task]) -> _Classifier:
        """A copy of the model with the prompts of some tasks, cut as the learner cuts them."""
        prompts = tuple(filled(task.templates[0], name) for task in tasks for name in task.classes)
        return _Classifier(self.learner, copy.deepcopy(self.learner.module), self.learner._tokenise(prompts))

    def evaluate_clbench(self) -> Callable[[], object]:
        """The evaluator: all tasks, both protocols, ledger rows."""
        evaluator = Evaluator(self.stream, "test", self.samples)
        return lambda: evaluator.evaluate(self.learner, 0)

    def evaluate_bare(self) -> Callable[[], object]:
        """Text once, images in batches, count what is right."""
        data = [self.images(task, "test") for task in self.stream.tasks]
        size = self.learner.test_batch
        model = self.classifier(self.stream.tasks).eval()

        def loop() -> int:
            right = torch.zeros((), dtype=torch.int64, device=self.device)
            with torch.no_grad():
                model._text = model.text()
                for images, labels in data:
                    for x, y in zip(images.split(size), labels.split(size), strict=True):
                        right += (model(x).argmax(1) == y).sum()
            return int(right)

        return loop

    def train_clbench(self) -> Callable[[], object]:
        """`finetune` for some steps."""
        learner = self.learner
        context = Context(
            learner,
            Budget(steps=STEPS, batch_size=SIZE),
            0,
            self.samples,
            lambda: learner,
            lambda a, b: None,
            lambda a, b: None,
        )
        strategy = Finetune(GradientConfig(lr=1e-9), context)
        return lambda: strategy.update(self.task)

    def train_bare(self) -> Callable[[], object]:
        """Forward, backward, step."""
        images, labels = self.images(self.task, "train")
        model = self.classifier([self.task]).train()

        def loop() -> None:
            optimizer = torch.optim.AdamW(model.parameters(), lr=1e-9, fused=True)
            order = torch.randperm(len(images), device=self.device).repeat(STEPS)[: STEPS * SIZE]
            for index in order.split(SIZE):
                F.cross_entropy(model(images[index]), labels[index]).backward()
                optimizer.step()
                optimizer.zero_grad()

        return loop

    def avalanche(self) -> tuple[Callable[[], object], Callable[[], object]]:
        """Avalanche's own loops: (train the first task for as many steps, evaluate all tasks)."""
        from avalanche.benchmarks import benchmark_from_datasets  # takes seconds to import
        from avalanche.benchmarks.utils import as_taskaware_classification_dataset
        from avalanche.evaluation.metrics import accuracy_metrics
        from avalanche.training.plugins import EvaluationPlugin
        from avalanche.training.supervised import Naive

        def dataset(images: Tensor, labels: Tensor) -> Any:
            labels = labels.cpu().clamp(max=len(self.task.classes) - 1)  # only the time matters
            rows = TensorDataset(images.cpu(), labels)
            rows.targets = labels.tolist()  # type: ignore[attr-defined]
            return as_taskaware_classification_dataset(rows)

        images, labels = self.images(self.task, "train")
        order = torch.arange(STEPS * SIZE, device=self.device) % len(labels)
        tests = [dataset(*self.images(task, "test")) for task in self.stream.tasks]
        benchmark = benchmark_from_datasets(train=[dataset(images[order], labels[order])], test=tests)
        model = self.classifier([self.task])
        strategy = Naive(
            model=model,
            optimizer=torch.optim.AdamW(model.parameters(), lr=1e-9, fused=True),
            train_mb_size=SIZE,
            eval_mb_size=self.learner.test_batch,
            device=self.device,
            evaluator=EvaluationPlugin(accuracy_metrics(experience=True), loggers=[]),
        )
        return (lambda: strategy.train(benchmark.train_stream[0])), (lambda: strategy.eval(benchmark.test_stream))


def medians(ways: dict[str, Callable[[], object]], device: torch.device) -> dict[str, float]:
    """Median seconds of each way, taken turn by turn after one round to warm up."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(REPEATS + 1):
        for name, call in ways.items():
            started = time.perf_counter()
            call()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if turn:
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in times.items()}


def main(stream: str = "clip-mini", learner: str = "mini-clip") -> None:
    """Measure and print seconds and ratios as JSON."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    comparison = Comparison(stream, learner, device)
    train, evaluate = comparison.avalanche()
    found = {
        "evaluation": {
            "bare": comparison.evaluate_bare(),
            "clbench": comparison.evaluate_clbench(),
            "avalanche": evaluate,
        },
        f"training, {STEPS} steps of {SIZE}": {
            "bare": comparison.train_bare(),
            "clbench": comparison.train_clbench(),
            "avalanche": train,
        },
    }
    report: dict[str, object] = {
        "stream": stream,
        "learner": learner,
        "device": str(device),
        "threads": torch.get_num_threads(),
    }
    for work, ways in found.items():
        seconds = medians(ways, device)
        report[work] = {
            "seconds": {name: round(value, 4) for name, value in seconds.items()},
            "times_bare": {name: round(value / seconds["bare"], 3) for name, value in seconds.items()},
        }
    print(strict_json.dumps(report, indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
