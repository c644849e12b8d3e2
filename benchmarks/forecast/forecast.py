"""The cost of a suite before anything is trained: a few real steps on this machine, extrapolated.

For each strategy two short updates are run on real samples with the real learner, at small sizes on a CPU and at the
suite's own on a GPU. The time of a step of the second update is taken as linear in the batch and in the classes of a
task. This is an estimate: the work of a strategy between tasks is measured on few samples only.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import cast

import torch

from clbench.benchmarks.engine.cell import Cell
from clbench.benchmarks.engine.learners import build_learner
from clbench.benchmarks.engine.process_memory import MIB
from clbench.benchmarks.engine.samples import SampleEncoder
from clbench.benchmarks.forecast.memory_use import memory_above_now, memory_mib
from clbench.contracts import Budget, Context, Learner, Samples, Split, Strategy, StrategyConfig, Stream, Task
from clbench.contracts.updating import adopt_release, learn_task
from clbench.core.errors import CheckpointError, ConfigError
from clbench.core.registry import STRATEGIES
from clbench.spec.update import Adopt, Learn

ROWS = 64
"""Samples of a task that are decoded for a forecast."""
QUICK = 0.3
"""If a step at a sixteenth of the batch takes fewer seconds than this, the whole batch is measured."""


@dataclass(frozen=True)
class TaskSize:
    """How large a task is: classes, prompts (classes times templates), training and test samples."""

    name: str
    classes: int
    prompts: int
    train: int
    test: int


@dataclass(frozen=True)
class StepCost:
    """Cost of a strategy's steps.

    Attributes:
        fixed: Seconds of a step without samples and classes.
        sample: Seconds more for each sample of the batch.
        class_: Seconds more for each class of the task.
        between: Seconds of everything but the steps, for each task.
        peak_mib: Memory of the device, or of the process on a CPU, at the suite's batch size.
    """

    fixed: float
    sample: float
    class_: float
    between: float
    peak_mib: float

    def seconds(self, batch: int, classes: float) -> float:
        """Seconds of one step."""
        return self.fixed + self.sample * batch + self.class_ * classes


@dataclass(frozen=True)
class Forecast:
    """Expected cost of one cell: optimizer steps, seconds of training, testing and decoding, memory in MiB."""

    cell: Cell
    steps: int
    train_seconds: float
    test_seconds: float
    decode_seconds: float
    samples_mib: float
    peak_mib: float


@dataclass(frozen=True)
class SuiteForecast:
    """The forecasts of all cells, the sizes of all tasks by stream, and what would stop the suite."""

    cells: tuple[Forecast, ...]
    tasks: dict[str, tuple[TaskSize, ...]]
    problems: tuple[str, ...]


def forecast_suite(
    cells: Sequence[Cell], device: torch.device, told: Callable[[str], None] = lambda what: None
) -> SuiteForecast:
    """Measure and extrapolate; each strategy is measured once for a stream and a learner, whatever the seed.

    Weights that cannot be loaded are reported as a problem, and random weights are measured instead.

    Args:
        cells: Cells of a suite.
        device: Device on which it will run.
        told: Called with the title of the cell that is measured next.

    Raises:
        DataError: When data are missing or do not decode.
    """
    found: list[Forecast] = []
    tasks: dict[str, tuple[TaskSize, ...]] = {}
    problems: list[str] = []
    bench: Bench | None = None
    known: dict[tuple[str, str, str], Forecast] = {}
    for cell in cells:
        key = (cell.stream, cell.learner, cell.label)
        if key not in known:
            told(cell.title)
            if bench is None or (bench.cell.stream, bench.cell.learner) != key[:2]:
                bench = Bench(cell, device, problems)
                tasks[cell.names[0]] = bench.sizes
            known[key] = bench.forecast(cell)
        found.append(replace(known[key], cell=cell))
    return SuiteForecast(tuple(found), tasks, tuple(dict.fromkeys(problems)))


class Bench:
    """One stream and learner on one device, ready to be measured."""

    def __init__(self, cell: Cell, device: torch.device, problems: list[str]) -> None:
        self.cell = cell
        self._device = device
        self._stream: Stream = cell.load_stream()
        self._specification = cell.learner
        self._learner = self._build(problems)
        self._resting_mib = memory_mib(device)
        self._split: Split = cell.split
        self.sizes = tuple(self._size_of(task) for task in self._stream.tasks)
        by_classes = sorted(self._stream.tasks, key=lambda task: len(task.classes))
        self._few, self._many = by_classes[0], by_classes[-1]
        self._samples = cache(self._encoded)
        self._test_seconds = self._time_test()
        self._decode_seconds, self._sample_bytes = self._time_decoding()

    def forecast(self, cell: Cell) -> Forecast:
        """The forecast of one cell, on a new learner."""
        self._learner = self._build([])
        tasks = self._stream.tasks
        strategy = self._strategy(cell, cell.budget, lambda step, total: None)
        end_alone = cell.last_only and strategy.retrains_from_scratch and self._stream.is_chain_of_tasks
        steps = self._steps(strategy, end_alone)
        cost = self._step_cost(cell) if steps else StepCost(0, 0, 0, 0, self._resting_mib)
        classes = sum(size.classes for size in self.sizes) / len(tasks)
        samples = sum(size.train + size.test for size in self.sizes)
        return Forecast(
            cell,
            steps,
            steps * cost.seconds(cell.budget.batch_size, classes)
            + (1 if end_alone else sum(len(tasks) for tasks in self._learnt())) * cost.between,
            (1 if cell.last_only else self._stream.last_version + 1) * self._test_seconds,
            samples * self._decode_seconds,
            samples * self._sample_bytes / MIB,
            cost.peak_mib,
        )

    def _steps(self, strategy: Strategy[StrategyConfig], end_alone: bool) -> int:
        """Optimizer steps of all versions, or of the last one if those before it are not made."""
        steps = 0
        for version, tasks in enumerate(self._learnt(), 1):
            strategy.version = len(self._stream.path(version)) - 1
            strategy.seen = list(self._stream.seen(self._stream.parents[version - 1]))
            for task in tasks:
                strategy.seen.append(task)
                if not end_alone or version == self._stream.last_version:
                    steps += strategy.number_of_steps(task)
        return steps

    def _learnt(self) -> list[tuple[Task, ...]]:
        """The tasks that each update trains: one that is learnt, all that are known where a release is adopted."""
        known = {task.name: task for task in self._stream.tasks}
        return [
            (known[update.task],)
            if isinstance(update, Learn)
            else self._stream.seen(version)
            if isinstance(update, Adopt)
            else ()
            for version, update in enumerate(self._stream.updates, 1)
        ]

    def _build(self, problems: list[str]) -> Learner:
        """The learner; where its weights cannot be loaded, the same architecture with random ones, if it is known."""
        try:
            return build_learner(self._specification, self.cell.seed, self._device, self.cell.precision)
        except CheckpointError as error:
            for stand_in in with_random_weights(self._specification):
                with contextlib.suppress(CheckpointError, ConfigError):
                    learner = build_learner(stand_in, self.cell.seed, self._device, self.cell.precision)
                    problems.append(str(error))
                    self._specification = stand_in
                    return learner
            raise

    def _size_of(self, task: Task) -> TaskSize:
        classes = len(task.classes)
        train, test = len(task.load("train")), len(task.load(self._split))
        return TaskSize(task.name, classes, classes * len(task.templates), train, test)

    def _encoded(self, task: Task) -> Samples:
        encoded = self._encode_some(task)
        tensors = {name: tensor.to(self._device) for name, tensor in encoded.tensors.items()}
        return replace(encoded, tensors=tensors)

    def _time_decoding(self) -> tuple[float, float]:
        """Seconds and bytes of a sample."""
        started = time.perf_counter()
        encoded = self._encode_some(self._many)
        seconds = time.perf_counter() - started
        return seconds / len(encoded), sum(tensor.nbytes for tensor in encoded.tensors.values()) / len(encoded)

    def _encode_some(self, task: Task) -> Samples:
        rows = task.load("train")
        rows = rows.select(range(min(ROWS, len(rows))))
        return next(SampleEncoder(self._learner, self.cell.skip_broken).chunks(rows, task, "train"))

    def _time_test(self) -> float:
        """Seconds of testing one version: what is computed once, by its number of prompts, and all samples."""
        prompts, samples = sum(size.prompts for size in self.sizes), sum(size.test for size in self.sizes)
        own = next(size.prompts for size in self.sizes if size.name == self._few.name) or 1
        size = self._learner.test_batch if self._device.type == "cuda" else 16
        batch = self._samples(self._few)
        index = torch.arange(size, device=batch.index_device) % len(batch)
        self._learner.add_task(self._few)
        self._learner.module.eval()
        with torch.no_grad(), self._learner.autocast():
            for _ in range(2):  # the first time to warm up
                started = self._clock()
                predict = self._learner.predictor([self._few], self._stream.protocols)
                once = self._clock() - started
                started = self._clock()
                predict(batch.batch(index), self._few)
                each = (self._clock() - started) / size
        return once * prompts / own + each * samples

    def _step_cost(self, cell: Cell) -> StepCost:
        """Measured with two sizes of batch and two numbers of classes; with small batches only where steps are slow."""
        wanted = cell.budget.batch_size
        small = max(min(2, wanted), wanted // 16)  # a memory needs a batch of two
        one = self._measure(cell, self._few, small)
        large = 2 * small
        if one.step < QUICK:
            small, large = max(1, wanted // 2), wanted
            one = self._measure(cell, self._few, small)
        two = self._measure(cell, self._few, max(small + 1, large))
        three = self._measure(cell, self._many, small)
        more_samples = max(small + 1, large) - small
        more_classes = len(self._many.classes) - len(self._few.classes)
        sample = max(0.0, (two.step - one.step) / more_samples)
        class_ = max(0.0, (three.step - one.step) / more_classes) if more_classes else 0.0
        fixed = max(0.0, one.step - sample * small - class_ * len(self._few.classes))
        growth = max(0.0, (two.memory_mib - one.memory_mib) / more_samples)
        grown = max(one.memory_mib, three.memory_mib) + growth * (wanted - small)
        return StepCost(fixed, sample, class_, min(one.between, two.between), self._resting_mib + grown)

    def _measure(self, cell: Cell, task: Task, batch: int) -> "_Measured":
        """Times the last step and everything else of a strategy's second update; the first update warms up."""
        times: list[float] = []
        budget = Budget(steps=2, batch_size=batch)
        strategy = self._strategy(cell, budget, lambda step, total: times.append(self._clock()))
        releases = not self._stream.learns and bool(self._stream.releases)
        if releases:  # on the same task, so that there is an old model
            adopt_release(strategy, self._learner, [task])
        else:
            learn_task(strategy, self._many if task is self._few else self._few)
        times.clear()
        with memory_above_now(self._device) as above:
            started = self._clock()
            if releases:
                adopt_release(strategy, self._build([]), [task])
            else:
                learn_task(strategy, task)
            ended = self._clock()
        step = times[-1] - times[-2]
        return _Measured(step, max(0.0, ended - started - step * len(times)), above[0])

    def _strategy(self, cell: Cell, budget: Budget, progress: Callable[[int, int], None]) -> Strategy[StrategyConfig]:
        context = Context(
            learner=self._learner,
            budget=budget,
            seed=cell.seed,
            samples=lambda task, split: self._samples(task),
            new_learner=lambda: self._build([]),
            progress=progress,
            record=lambda name, value: None,
        )
        strategy = cast(Strategy[StrategyConfig], STRATEGIES.get(cell.strategy).value(cell.config, context))
        for task in self._stream.tasks:
            strategy.check(task)
        return strategy

    def _clock(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


@dataclass(frozen=True)
class _Measured:
    step: float
    between: float
    memory_mib: float


def with_random_weights(learner: str) -> tuple[str, str]:
    """Learners with random weights that may have the same architecture: of language models, and of CLIP."""
    name, _, argument = learner.partition(":")
    return f"{name}:random:{argument.rpartition('/')[2].lower()}", learner.partition("/")[0]


def total_seconds(forecasts: Iterable[Forecast]) -> float:
    """Seconds of a suite: training and testing of every cell, and decoding once for each stream and learner."""
    found = list(forecasts)
    decoding = {(f.cell.stream, f.cell.learner): f.decode_seconds for f in found}
    return sum(f.train_seconds + f.test_seconds for f in found) + sum(decoding.values())
