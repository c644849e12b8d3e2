"""How long the decomposition of `osft` takes beside a singular value decomposition, on the matrices of T5-large.

The 288 matrices have two shapes; 0.8 of every rank is retained. A few of each shape are timed and the rest is
extrapolated; with `--all` every matrix is timed.
"""

import argparse

import torch

from clbench.benchmarks.performance._measuring import DeviceClock, default_device, describe_machine, take_turns
from clbench.benchmarks.performance._report import Comparison, Report
from clbench.strategies._linalg.subspaces import decompose

TURNS = 9
"""Matrices of a shape that are timed: the time of one varies by a fifth."""
RETAINED = 0.8
T5_LARGE = {(1024, 1024): 192, (4096, 1024): 96}
"""Matrices by shape."""
OURS, FULL = "osft", "svd"


def decomposition_seconds(shape: tuple[int, int], turns: int, clock: DeviceClock) -> dict[str, list[float]]:
    """Seconds of both decompositions of random matrices, a new matrix in every turn.

    Args:
        shape: Shape of the matrices.
        turns: Number of matrices that count.
        clock: Clock of the device.
    """
    matrix = torch.empty(0)

    def ours() -> float:
        nonlocal matrix
        matrix = torch.randn(1, *shape, device=clock.device) / shape[1] ** 0.5
        return clock.seconds(lambda: decompose(matrix, [int(RETAINED * min(shape))], "factor"))

    def full() -> float:
        return clock.seconds(lambda: torch.linalg.svd(matrix, full_matrices=False))

    return take_turns({OURS: ours, FULL: full}, turns, f"{shape[0]} x {shape[1]}")


def compare(shapes: dict[tuple[int, int], int], turns: int | None, clock: DeviceClock) -> list[Comparison]:
    """Seconds of one matrix of each shape, and of all matrices together.

    Args:
        shapes: Number of matrices by shape.
        turns: Timed matrices of a shape; None for all of them.
        clock: Clock of the device.
    """
    found = [
        Comparison(
            f"one matrix of {shape[0]} x {shape[1]}", "s", FULL, decomposition_seconds(shape, turns or count, clock)
        )
        for shape, count in shapes.items()
    ]
    totals = {
        way: [
            sum(
                sum(item.measured[way]) if turns is None else item.median(way) * count
                for item, count in zip(found, shapes.values(), strict=True)
            )
        ]
        for way in (OURS, FULL)
    }
    timed = "all timed" if turns is None else "extrapolated"
    return [*found, Comparison(f"{sum(shapes.values())} matrices, {timed}", "s", FULL, totals)]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whether all matrices are timed."""
    parser.add_argument("--all", action="store_true", help="time every matrix instead of some of each shape")


def measure(options: argparse.Namespace) -> Report:
    """The matrices of T5-large."""
    clock = DeviceClock(default_device())
    comparisons = compare(T5_LARGE, None if options.all else options.turns, clock)
    settings = {"retained share of every rank": RETAINED}
    return Report("decomposition", describe_machine(clock.device), settings, comparisons)
