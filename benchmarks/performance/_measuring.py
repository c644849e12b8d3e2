"""How the performance scripts measure: turns, a clock that waits for the device, the machine."""

import importlib.metadata
import itertools
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from clbench.benchmarks.engine.environment import hardware


def default_device() -> torch.device:
    """The GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def note_progress(text: str) -> None:
    """Write a line on standard error: standard output is for the result."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


@dataclass(frozen=True)
class DeviceClock:
    """Seconds of work on a device.

    On a GPU, reading the clock waits until all queued work is done. On a CPU with one thread it is the processor time
    of this process, which other programs disturb less than wall-clock time.
    """

    device: torch.device

    @property
    def kind(self) -> str:
        """`wall-clock` or `processor`."""
        return "processor" if self.device.type == "cpu" and torch.get_num_threads() == 1 else "wall-clock"

    def now(self) -> float:
        """Seconds from a fixed but unknown point."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.process_time() if self.kind == "processor" else time.perf_counter()

    def seconds(self, work: Callable[[], object]) -> float:
        """Seconds that a call takes."""
        started = self.now()
        work()
        return self.now() - started


@dataclass(frozen=True)
class StepTimer:
    """Records when each step of a training loop ends."""

    clock: DeviceClock
    ends: list[float] = field(default_factory=list)

    def end_step(self) -> None:
        """Record the end of a step."""
        self.ends.append(self.clock.now())

    def seconds(self, first: int = 0) -> list[float]:
        """Seconds of every step after the recorded step `first`."""
        return [later - earlier for earlier, later in itertools.pairwise(self.ends[first:])]


def take_turns(ways: Mapping[str, Callable[[], float]], turns: int, what: str = "") -> dict[str, list[float]]:
    """Measure all ways one after another, turn by turn: another program on the machine slows all of them alike.

    One more turn comes first, to warm up, and does not count.

    Args:
        ways: By name, a call that returns what it measured (seconds, say).
        turns: Turns that count.
        what: Subject of the lines of progress.

    Returns:
        By name, one measurement a turn.
    """
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(turns + 1):
        for name, way in ways.items():
            value = way()
            note_progress(
                f"{what or 'measured'}, {f'turn {turn} of {turns}' if turn else 'warm-up'}, {name}: {value:.4g}"
            )
            if turn:
                found[name].append(value)
    return found


def describe_machine(device: torch.device) -> dict[str, object]:
    """Processor, threads, GPU, release of torch and kind of clock, by the names that a report prints."""
    machine = hardware()
    return {
        "processor": machine["processor"],
        "cores": machine["cores"],
        "threads": machine["threads"],
        "GPU": torch.cuda.get_device_name(device) if device.type == "cuda" else "none",
        "torch": importlib.metadata.version("torch"),
        "clock": DeviceClock(device).kind,
    }
