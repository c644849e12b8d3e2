"""What gated low-rank updates cost beside plain ones: `python -m clbench.benchmarks.performance.adapters`.

On a CLIP of published size with random weights, `lora` and `codyra` at one rank on the same layers, step by step in
turn, so that a busy machine slows both alike; then merging, peak memory (a process each), and what the text of the
classes of a task adds to a step.
"""

import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import cast

import pyarrow as pa
import torch

from clbench.benchmarks.engine.execution import build_learner
from clbench.benchmarks.forecast.memory_use import memory_above_now, memory_mib
from clbench.contracts import Budget, Context, Learner, Samples, Strategy, StrategyConfig, Task
from clbench.core import strict_json
from clbench.core.registry import STRATEGIES
from clbench.strategies._adapters.gated import GatedAdapter

LEARNER = "open_clip:ViT-B-16"
RANK = 16
TURNS = 5
STEPS = 3
CLASSES = (10, 100, 397)


def made_up_task(classes: int) -> Task:
    """A task of that many classes; its data are never read."""

    def no_rows(split: str) -> object:
        raise AssertionError(f"made up samples are not loaded, got {split}")

    return Task("made-up", "classification", "accuracy", no_rows, str, tuple(f"class {i}" for i in range(classes)))


class Bench:
    """A learner with random weights and images on one device."""

    def __init__(self, device: torch.device, batch: int) -> None:
        self.device, self.batch = device, batch
        self.learner: Learner = build_learner(LEARNER, 0, device)
        size = self.learner.test_batch if device.type == "cuda" else batch
        images = torch.randint(0, 256, (size, 3, 224, 224), dtype=torch.uint8, device=device)
        labels = torch.arange(size, device=device) % CLASSES[0]
        ids = pa.array([str(i) for i in range(size)])
        self.samples = Samples(ids, {"image": images, "label": labels})

    def strategy(self, name: str, step: Callable[[], None]) -> Strategy[StrategyConfig]:
        """A strategy of the shared rank, with a step's end told to `step`."""
        entry = STRATEGIES.get(name)
        assert entry.config is not None
        settings = cast(StrategyConfig, entry.config.model_validate({"rank": RANK, "lr": 1e-6}))
        context = Context(
            learner=self.learner,
            budget=Budget(steps=STEPS, batch_size=self.batch),
            seed=0,
            samples=lambda task, split: self.samples,
            new_learner=lambda: self.learner,
            progress=lambda done, total: step(),
            record=lambda key, value: None,
        )
        return cast(Strategy[StrategyConfig], entry.value(settings, context))

    def clock(self) -> float:
        """Seconds, the device waited for."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def step_seconds(self, name: str, task: Task) -> float:
        """The quickest of the steps after the first one of an update."""
        times: list[float] = []
        self.strategy(name, lambda: times.append(self.clock())).update(task)
        return min(later - earlier for earlier, later in itertools.pairwise(times))

    def merge_seconds(self) -> tuple[int, float]:
        """How many adapters, and what merging them takes."""
        names = [layer.name for layer in self.learner.linear_layers() if layer.role != "other"]
        adapter = GatedAdapter(self.learner.module, names, RANK, torch.Generator().manual_seed(0))
        started = self.clock()
        adapter.merge(self.learner.module)
        return len(names), self.clock() - started

    def forward_seconds(self) -> tuple[float, float]:
        """A batch of images through the bare model, and through the predictor over ten tasks' classes."""
        model, images = self.learner.module, self.samples.tensors["image"]
        tasks = [made_up_task(110)]
        bare, ours = [], []
        with torch.no_grad(), self.learner.autocast():
            floats = images.float() / 255
            predict = self.learner.predictor(tasks, ("task-id", "union"))
            for _ in range(TURNS + 1):
                started = self.clock()
                model.encode_image(floats)  # type: ignore[operator]  # an open_clip model
                bare.append(self.clock() - started)
                started = self.clock()
                predict(self.samples.batch(slice(None)), tasks[0])
                ours.append(self.clock() - started)
        return statistics.median(bare[1:]), statistics.median(ours[1:])


def peak_mib(name: str) -> float:
    """Peak memory of three steps of a strategy in a process of its own."""
    code = f"from clbench.benchmarks.performance.adapters import peak_of; peak_of({name!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def peak_of(name: str) -> None:
    """Print the peak memory of this process, or of the device, in MiB after one update."""
    device, batch = _where()
    bench = Bench(device, batch)
    resting = memory_mib(device)
    with memory_above_now(device) as above:  # the system's own account of a peak would begin with the parent's
        bench.strategy(name, lambda: None).update(made_up_task(CLASSES[0]))
    print(resting + above[0])  # noqa: T201


def _where() -> tuple[torch.device, int]:
    return (torch.device("cuda"), 64) if torch.cuda.is_available() else (torch.device("cpu"), 8)


def main() -> None:
    """Measure and print as JSON."""
    device, batch = _where()
    bench = Bench(device, batch)
    times: dict[str, list[float]] = {"lora": [], "codyra": []}
    for turn in range(TURNS + 1):
        for name, kept in times.items():
            seconds = bench.step_seconds(name, made_up_task(CLASSES[0]))
            if turn:
                kept.append(seconds)
    step = {name: statistics.median(kept) for name, kept in times.items()}
    text = {n: statistics.median(bench.step_seconds("codyra", made_up_task(n)) for _ in range(3)) for n in CLASSES}
    adapters, merging = bench.merge_seconds()
    bare, ours = bench.forward_seconds()
    memory = {name: peak_mib(name) for name in times}
    report = {
        "learner": LEARNER,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads",
        "rank": RANK,
        "batch": batch,
        "seconds_a_step": step,
        "codyra_step_over_lora": step["codyra"] / step["lora"],
        "images_a_second_in_training": batch / step["codyra"],
        "adapters": adapters,
        "seconds_to_merge": merging,
        "peak_mib": memory,
        "codyra_peak_over_lora": memory["codyra"] / memory["lora"],
        "codyra_step_by_classes": text,
        "images_a_second_in_testing": len(bench.samples) / ours,
        "bare_forward_over_testing": bare / ours,
    }
    print(strict_json.dumps(report, indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
