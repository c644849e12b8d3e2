"""What a step of MUSCLE costs over one by the task loss alone: `python -m clbench.benchmarks.performance.muscle_step`.

A step of the second stage, teachers live (three forward passes, one backward) and stored, on mini-llama with the
samples of a task of text-mini. The machine is shared, so kinds of step take turns and medians are compared.
"""

import itertools
import statistics
import time
from collections.abc import Callable, Mapping
from typing import cast

import torch

from clbench.benchmarks.engine.execution import build_learner
from clbench.contracts import Budget, Context, Samples, Split, Strategy, StrategyConfig, Task
from clbench.core import strict_json
from clbench.core.registry import STRATEGIES
from clbench.streams.card import load_stream

RELEASES = ("mini-llama", "mini-llama:v1")  # the same weights: the time of a step does not depend on them
TASK = "comp"
STEPS = 6
TURNS = 7
KINDS: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "task loss": ("continue-update", {}),
    "live": ("muscle", {}),
    "stored": ("muscle", {"teachers": "stored", "top_k": 64}),
}


class Bench:
    """Two releases, a task and its samples on one device."""

    def __init__(self, device: torch.device, batch: int) -> None:
        self.device, self.batch = device, batch
        self.task = next(task for task in load_stream("text-mini").tasks if task.name == TASK)
        self.learners = [build_learner(name, 0, device) for name in RELEASES]
        encoded = self.learners[0].encode(self.task.load("train").select(range(8 * batch)), self.task)
        tensors = {name: tensor.to(device) for name, tensor in encoded.tensors.items()}
        self.samples = Samples(encoded.ids, tensors, device)

    def step_seconds(self, kind: str) -> float:
        """Median of the steps of a second stage after the first of them."""
        name, settings = KINDS[kind]
        times: list[float] = []
        strategy = self._strategy(name, {**settings, "rank": 16}, lambda: times.append(self._clock()))
        strategy.update_release(self.learners[0], [self.task])
        times.clear()
        strategy.update_release(self.learners[1], [self.task])
        return statistics.median(later - earlier for earlier, later in itertools.pairwise(times[STEPS:]))

    def _strategy(
        self, name: str, settings: Mapping[str, object], step: Callable[[], None]
    ) -> Strategy[StrategyConfig]:
        entry = STRATEGIES.get(name)
        assert entry.config is not None

        def samples(_task: Task, _split: Split) -> Samples:
            return self.samples

        context = Context(
            learner=self.learners[0],
            budget=Budget(steps=STEPS, batch_size=self.batch),
            seed=0,
            samples=samples,
            new_learner=lambda: self.learners[0],
            progress=lambda done, total: step(),
            record=lambda key, value: None,
        )
        return cast(Strategy[StrategyConfig], entry.value(entry.config.model_validate(settings), context))

    def _clock(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def main() -> None:
    """Measure and print as JSON."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    bench = Bench(device, batch=16)
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for turn in range(TURNS + 1):
        for kind, kept in times.items():
            seconds = bench.step_seconds(kind)
            if turn:
                kept.append(seconds)
    median = {kind: statistics.median(kept) for kind, kept in times.items()}
    report = {
        "learner": RELEASES[0],
        "device": torch.cuda.get_device_name() if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads",
        "batch": bench.batch,
        "seconds_a_step": median,
        "live_over_task_loss": median["live"] / median["task loss"],
        "stored_over_task_loss": median["stored"] / median["task loss"],
    }
    print(strict_json.dumps(report, indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
