"""What a training step without parts costs beside the same step of another checkout of clbench.

Each measurement is a process of its own, whose path has one of the two checkouts. Pairs of processes alternate, and the
one that comes first alternates, too. The interval of the median ratio is that of order statistics, at least 95 %.
"""

import argparse
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

from scipy.stats import binom

import clbench
from clbench.benchmarks.performance import _loop_child
from clbench.benchmarks.performance._measuring import default_device, describe_machine, note_progress
from clbench.benchmarks.performance._report import Comparison, Report
from clbench.core.errors import ConfigError

TURNS = 21
BEFORE, NOW = "the other checkout", "this one"


def step_seconds(source: Path, options: argparse.Namespace) -> float:
    """Median step of `finetune` in a new process.

    Args:
        source: Folder that holds the package `clbench`.
        options: Stream, learner and steps.

    Raises:
        ConfigError: When the process fails.
    """
    command = [sys.executable, "-P", _loop_child.__file__, options.stream, options.learner, str(options.steps)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(source)}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        raise ConfigError(f"{source}: the step could not be measured: {last}")
    return float(done.stdout)


def interval(ratios: list[float]) -> tuple[float, float]:
    """Order statistics between which the median lies with a probability of at least 0.95; the extremes if too few."""
    ordered, n = sorted(ratios), len(ratios)
    below = max(0, int(binom.ppf(0.025, n, 0.5)) - 1)
    return ordered[below], ordered[n - 1 - below]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The other checkout, stream, learner and steps."""
    parser.add_argument("--before", type=Path, required=True, help="root of the other checkout")
    parser.add_argument("--stream", default="clip-mini", help="its first task is learnt (default: %(default)s)")
    parser.add_argument("--learner", default="mini-clip", help="a learner (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=60, help="steps, at least 2 (default: %(default)s)")


def measure(options: argparse.Namespace) -> Report:
    """Pairs of processes.

    Raises:
        ConfigError: When the folder is no checkout of clbench, or a process fails.
    """
    source = options.before.resolve() / "src"
    if not (source / "clbench").is_dir():
        raise ConfigError(f"--before: wanted a checkout of clbench, with src/clbench, got {options.before}")
    ways = {BEFORE: partial(step_seconds, source), NOW: partial(step_seconds, Path(clbench.__file__).parents[1])}
    measured: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(options.turns):
        for way in ways if turn % 2 else reversed(ways):
            measured[way].append(ways[way](options))
            note_progress(f"a step, turn {turn + 1} of {options.turns}, {way}: {measured[way][-1]:.4g}")
    ratios = [now / before for now, before in zip(measured[NOW], measured[BEFORE], strict=True)]
    low, high = interval(ratios)
    settings = {
        "stream": options.stream,
        "learner": options.learner,
        "batch": _loop_child.BATCH,
        "interval of the median ratio": f"{low:.4f} to {high:.4f}",
    }
    return Report("loop", describe_machine(default_device()), settings, [Comparison("a step", "s", BEFORE, measured)])
