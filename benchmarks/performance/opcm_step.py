"""What `opcm` costs for one more task beside the singular value decompositions that it needs, on ViT-B/16 of CLIP.

Weights and task vectors are random, in float32. The step is `Opcm.combine`: projection, sum and scale. It decomposes
each linear weight in float64 on the CPU. All 144 matrices take minutes, so a few blocks of both towers are merged;
`--blocks 12` merges all.
"""

import argparse
from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from clbench.benchmarks.engine.learners import build_learner
from clbench.benchmarks.performance._measuring import DeviceClock, describe_machine, take_turns
from clbench.benchmarks.performance._report import Comparison, Report
from clbench.benchmarks.performance._training_work import TrainingWork, no_rows
from clbench.contracts import Budget, Learner, Task
from clbench.core.errors import ConfigError
from clbench.strategies.opcm import Opcm

TURNS = 3


def task_vector(learner: Learner, blocks: int, seed: int) -> dict[str, Tensor]:
    """A random vector for the linear weights of the first blocks.

    Args:
        learner: The learner.
        blocks: Number of blocks of each tower.
        seed: Seed of the values.
    """
    generator = torch.Generator().manual_seed(seed)
    names = [f"{layer.name}.weight" for layer in learner.linear_layers() if 0 <= layer.block < blocks]
    shapes = {name: learner.module.get_parameter(name).shape for name in names}
    return {name: 1e-3 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def decompose(matrices: Mapping[str, Tensor]) -> None:
    """The singular value decompositions alone."""
    for matrix in matrices.values():
        torch.linalg.svd(matrix.double(), full_matrices=False)


def combine(strategy: Opcm, first: Mapping[str, Tensor], second: Mapping[str, Tensor], clock: DeviceClock) -> float:
    """Seconds to merge a second task vector after a first one.

    Args:
        strategy: The strategy, whose memory is replaced.
        first: Task vector of the first task.
        second: Task vector of the second task.
        clock: Measures.
    """
    strategy.memory = {}
    strategy.combine(first, {})
    return clock.seconds(lambda: strategy.combine(second, {}))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Learner and blocks."""
    parser.add_argument("--learner", default="open_clip:ViT-B-16", help="a learner (default: %(default)s)")
    parser.add_argument("--blocks", type=int, default=2, help="blocks of each tower (default: %(default)s)")


def measure(options: argparse.Namespace) -> Report:
    """The step beside its decompositions.

    Raises:
        ConfigError: For a number of blocks that leaves no matrix.
    """
    clock = DeviceClock(torch.device("cpu"))
    learner = build_learner(options.learner, 0, clock.device)
    first, second = (task_vector(learner, options.blocks, seed) for seed in (0, 1))
    if not first:
        raise ConfigError(f"--blocks: wanted at least 1, got {options.blocks}")
    work = TrainingWork(learner, Budget(), lambda task, split: no_rows(split))
    strategy = work.strategy("opcm", {})
    assert isinstance(strategy, Opcm)
    strategy.seen = [Task("made up", "classification", "accuracy", no_rows, no_rows, classes=("a",))]
    ways = {
        "decompositions": partial(clock.seconds, partial(decompose, first)),
        "opcm": partial(combine, strategy, first, second, clock),
    }
    measured = take_turns(ways, options.turns, "one more task")
    settings = {"learner": options.learner, "blocks of each tower": options.blocks, "matrices": len(first)}
    found = Comparison("one more task", "s", "decompositions", measured)
    return Report("opcm_step", describe_machine(clock.device), settings, [found])
