"""What a GPU does with clbench: equal bits, speed beside bare models, peak memory, waits for the device.

One command for a machine with a GPU, without MLflow, Avalanche and network: docs/gpu.md says how to carry it there. A
section that fails does not stop the others, and what is found is on standard error at once. The exit status is 1 if
something does not hold. `--tiny` runs everything on the smallest models, also on a CPU, to show that the script runs.
"""

import argparse
import gc
import platform
import statistics
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import torch

from clbench.benchmarks.engine.learners import build_learner
from clbench.benchmarks.engine.numerics import make_deterministic
from clbench.benchmarks.engine.samples import SampleStore
from clbench.benchmarks.performance._gpu_cells import Pair, differences, pairs_of_learners, pairs_of_strategies
from clbench.benchmarks.performance._gpu_models import Size, Work, clip, llama, t5
from clbench.benchmarks.performance._measuring import (
    DeviceClock,
    StepTimer,
    default_device,
    describe_machine,
    note_progress,
    take_turns,
)
from clbench.benchmarks.performance._report import Check, Comparison, Report
from clbench.contracts import ContinuesFromPrefix, require
from clbench.core.devices import device_kind, has_bfloat16
from clbench.core.errors import ConfigError
from clbench.strategies._linalg.subspaces import decompose
from clbench.streams.card import load_stream

TURNS = 3
MINUTES = 8.0
GOAL = 1.03
"""Largest time of a step or a test over that of the bare model."""
WATCHED = ("finetune", "lora", "osft", "codyra")
"""Strategies whose waits for the device are counted."""
TINY = (
    "mini-clip, finetune",
    "mini-vit, lora",
    "mini-vit, telly",
    "mini-clip, finetune, prune",
    "mini-clip, finetune, ssd",
)
"""Cells that are run if all is tiny."""
LLAMA_7B = 224
"""Matrices that `osft` decomposes in LLaMA-2-7B: seven in each of 32 blocks, up to 4096 x 11008."""
BARE, OURS = "bare", "clbench"


@dataclass
class Finder:
    """Runs the sections and keeps what they find.

    Attributes:
        device: The device.
        tiny: Whether all models are the smallest.
        turns: Turns of measurements that count.
        ends: When no further work begins, on the clock of `time.monotonic`.
    """

    device: torch.device
    tiny: bool
    turns: int
    ends: float
    checks: list[Check] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    MISSING: ClassVar[tuple[str, ...]] = ("avalanche", "mlflow")

    def check(self, section: str, what: str, said: str, holds: bool | None) -> None:
        """Keep a check and write it on standard error.

        Args:
            section: Part of the script.
            what: What was checked.
            said: What was found, in one line.
            holds: Whether it is as it should be; None if it was not checked.
        """
        self.checks.append(Check(section, what, said, holds))
        note_progress(f"{self.checks[-1].mark:6}  {section}: {what}: {said}")

    def figure(self, name: str, value: float) -> None:
        """Keep a number and write it on standard error."""
        self.figures[name] = value
        note_progress(f"{name}: {value:.4g}")

    def attempt(self, section: str, what: str, work: Callable[[], None]) -> None:
        """Do a piece of work; one that fails is a check that does not hold, and the next one runs.

        Args:
            section: Name of the section.
            what: Name of the work.
            work: The work.
        """
        if time.monotonic() > self.ends:
            self.check(section, what, "the time was up", None)
            return
        try:
            work()
        except torch.OutOfMemoryError:
            self.check(section, what, "does not fit into the GPU's memory", None)
        except Exception as error:  # the boundary of a section: all kinds of failures of a new machine end here
            absent = isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in self.MISSING
            first = (str(error).splitlines() or [""])[0][:200]
            self.check(section, what, f"{type(error).__name__}: {first}", None if absent else False)
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    # Equal bits

    def pairs(self, pairs: Iterable[Pair]) -> None:
        """Same seed twice, and resume, for cells of two updates."""
        for pair in pairs:
            self.attempt("cells", pair.name, partial(self._pair, pair))

    def _pair(self, pair: Pair) -> None:
        for what, apart in differences(pair, self.device).items():
            self.check(what, pair.name, apart or "equal", not apart)

    def data(self) -> None:
        """Where samples are kept, and what a prefix of frozen blocks changes."""
        learner = build_learner("mini-vit", 0, self.device)
        task = load_stream("ultrasound-mini").tasks[0]
        learner.add_task(task)
        learner.module.eval()
        with TemporaryDirectory() as folder:
            samples = SampleStore(self.device, Path(folder)).of("ultrasound-mini", learner, "mini-vit")(task, "test")
            kinds = {tensor.device.type for tensor in samples.tensors.values()}
            self.check("data", "samples are kept on the device", ", ".join(sorted(kinds)), kinds == {self.device.type})
            batch = samples.batch(slice(0, 16))
            with torch.no_grad(), learner.autocast():
                predict = learner.predictor([task], ["task-id"])
                prefix = require(learner, ContinuesFromPrefix).prefix(batch, 2)
                found = [predict(given, task)["task-id"].prediction for given in (batch, {**batch, **prefix})]
        first, second = (self._tensor(one).double() for one in found)
        gap = float((first - second).abs().max())
        self.check("data", "answers from a frozen prefix", f"apart by {gap:.2g}" if gap else "equal", gap == 0)

    @staticmethod
    def _tensor(found: object) -> torch.Tensor:
        assert isinstance(found, torch.Tensor)
        return found

    # Speed and memory

    def model(self, name: str, build: Callable[[], Work]) -> None:
        """Training and testing beside the bare model, peak memory, and waits for the device.

        Args:
            name: Name in tables.
            build: Builds the model and its batch.
        """
        work, clock = build(), DeviceClock(self.device)
        train_units, test_units, unit = work.units
        ways = {BARE: work.train_bare, OURS: work.train}
        bare_test, test = work.tests()
        for what, calls, units in (
            ("training", ways, train_units * work.size.steps),
            ("testing", {BARE: bare_test, OURS: test}, test_units),
        ):
            timed = {way: partial(clock.seconds, call) for way, call in calls.items()}
            found = Comparison(f"{name}, {what}", "s", BARE, take_turns(timed, self.turns, f"{name}, {what}"))
            self.comparisons.append(found)
            self.figure(f"{name}, {what}: {unit} a second", units / found.median(OURS))
            said, ratio = f"{found.ratio(OURS):.3f} of the bare time (goal {GOAL})", found.ratio(OURS)
            self.check("speed", f"{name}, {what}", said, None if self.tiny else ratio <= GOAL)
        if self.device.type == "cuda":
            for way, call in ways.items():
                self.figure(f"{name}, training, {way}: peak GiB", _peak_gib(call))
        for strategy in WATCHED:
            self.attempt("waits", f"{name}, {strategy}", partial(self._waits, name, work, strategy))

    def _waits(self, name: str, work: Work, strategy: str, **settings: Any) -> None:
        if self.device.type != "cuda":
            self.check("waits", f"{name}, {strategy}", "counted on a GPU only", None)
            return
        waits, where = count_waits(lambda on_step: work.train(strategy, on_step, **settings), work.size.steps)
        said = f"{waits:g} a step" + (f", at {', '.join(where)}" if where else "")
        self.check("waits", f"{name}, {strategy}", said, waits == 0)

    def osft(self, work: Work) -> None:
        """Steps and peak memory of `osft` beside full fine-tuning and PEFT's OSF, on the shapes of T5-large."""
        half: Mapping[str, Any] = {"rank_rule": "fixed", "protect_pretrained": True, "fraction": 0.5}
        ways: Mapping[str, tuple[str, Mapping[str, Any]]] = {
            "finetune": ("finetune", {}),
            "osft, half": ("osft", half),
            "PEFT OSF": ("peft", {"method": "osf"}),
        }
        measured: dict[str, list[float]] = {}
        for way, (strategy, settings) in ways.items():
            timer = StepTimer(DeviceClock(self.device))
            peak = _peak_gib(partial(work.train, strategy, timer.end_step, **settings))
            measured[way] = [statistics.median(timer.seconds())]
            note_progress(f"T5-large's shapes, {way}: {measured[way][0]:.4g} s a step")
            if self.device.type == "cuda":
                self.figure(f"T5-large's shapes, {way}: peak GiB", peak)
        self.comparisons.append(Comparison("T5-large's shapes, a step", "s", "finetune", measured))
        self._waits("T5-large's shapes, half retained", work, "osft", **half)

    def decomposition(self) -> None:
        """Seconds to decompose one matrix in float64, and what LLaMA-2-7B would take for every task."""
        side = 64 if self.tiny else 4096
        matrix = torch.randn(1, side, side, device=self.device) / side**0.5
        decompose(matrix[:, :64, :64], [32], "factor")  # loads the library
        seconds = DeviceClock(self.device).seconds(lambda: decompose(matrix, [side // 2], "factor"))
        self.figure(f"decomposition of a matrix of {side} x {side}: s", seconds)
        if not self.tiny:
            self.figure(f"decomposition of {LLAMA_7B} of them (LLaMA-2-7B, about): s a task", LLAMA_7B * seconds)


def count_waits(train: Callable[[Callable[[], None]], None], steps: int) -> tuple[float, list[str]]:
    """Synchronisations of a step on CUDA, after the first step, and the lines of Python that made them.

    Args:
        train: Trains, and calls its argument after each step.
        steps: Number of steps, at least 2.
    """
    at: list[int] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            train(lambda: at.append(len(caught)))
        finally:
            torch.cuda.set_sync_debug_mode("default")
    within = [one for one in caught[at[0] : at[-1]] if "synchroniz" in str(one.message)]
    where = dict.fromkeys(f"{Path(one.filename).name}:{one.lineno}" for one in within)
    return len(within) / (steps - 1), list(where)[:5]


def _peak_gib(work: Callable[[], object]) -> float:
    if not torch.cuda.is_available():
        work()
        return 0.0
    torch.cuda.reset_peak_memory_stats()
    work()
    return torch.cuda.max_memory_allocated() / 2**30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Size and time."""
    parser.add_argument("--tiny", action="store_true", help="the smallest models and a few strategies, also on a CPU")
    parser.add_argument(
        "--minutes", type=float, default=MINUTES, help="no further work begins after these (default: %(default)s)"
    )


def measure(options: argparse.Namespace) -> Report:
    """All sections, the most important ones first.

    Raises:
        ConfigError: Without a GPU, unless all is tiny.
    """
    started = time.monotonic()
    device, tiny = default_device(), options.tiny
    if device.type == "cpu" and not tiny:
        raise ConfigError("gpu: wanted a GPU, torch finds none; --tiny shows on a CPU that the script runs")
    make_deterministic()
    # What has begun goes on: half a minute is kept for it.
    finder = Finder(device, tiny, options.turns, started + 60 * options.minutes - 30)
    kind = f"{device_kind(device)}, {'bfloat16' if has_bfloat16(device) else 'float32'} under auto"
    finder.check("device", "kind", kind, None)
    finder.attempt("data", "samples and prefixes", finder.data)
    finder.pairs(pair for pair in pairs_of_learners() if not tiny or pair.name in TINY)
    images, texts = (Size(True, 4, 3), Size(True, 2, 3)) if tiny else (Size(False, 64, 8), Size(False, 8, 6))
    models: Mapping[str, Callable[[], Work]] = {
        "ViT-B/16 CLIP": lambda: clip(images, device),
        "T5-large": lambda: t5(texts, device),
        "LLaMA 1.1B": lambda: llama(texts, device),
    }
    for name, build in models.items():
        called = f"tiny instead of {name}" if tiny else name
        finder.attempt("model", called, partial(finder.model, called, build))
    finder.attempt("osft", "T5-large's shapes", lambda: finder.osft(t5(texts, device, layers=2)))
    finder.attempt("osft", "decomposition", finder.decomposition)
    done = {pair.name for pair in pairs_of_learners()}
    others = (pair for pair in pairs_of_strategies() if pair.name not in done)
    finder.pairs(pair for pair in others if not tiny or pair.name in TINY)
    finder.figure("minutes", (time.monotonic() - started) / 60)
    settings = {"tiny": tiny, "Python": platform.python_version()}
    return Report("gpu", describe_machine(device), settings, finder.comparisons, finder.figures, finder.checks)
