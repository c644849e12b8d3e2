"""`clbench run --dry-run`: expected time and memory of a suite, without training."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from clbench.benchmarks.engine.suite import Suite
    from clbench.benchmarks.forecast.forecast import Forecast, SuiteForecast


def dry_run(suite: "Suite", device: "torch.device", as_json: bool) -> bool:
    """Measure a few steps of a suite, print the forecast and its problems.

    Args:
        suite: The suite.
        device: Device to measure on.
        as_json: Whether to print JSON instead of tables.

    Returns:
        Whether the suite can run: there are no problems.
    """
    from clbench.benchmarks.forecast.forecast import forecast_suite
    from clbench.cli.output import print_json

    found = forecast_suite(suite.cells, device, lambda what: print(f"measuring {what}", file=sys.stderr))
    if as_json:
        print_json(_plain(found))
    else:
        _print(found, str(device))
    for problem in found.problems:
        print(f"problem: {problem}", file=sys.stderr)
    return not found.problems


def _plain(found: "SuiteForecast") -> dict[str, object]:
    return {
        "tasks": {stream: [asdict(size) for size in sizes] for stream, sizes in found.tasks.items()},
        "cells": [{"cell": each.cell.title, **_numbers(each)} for each in found.cells],
        "problems": list(found.problems),
    }


def _numbers(each: "Forecast") -> dict[str, float]:
    return {name: value for name, value in vars(each).items() if name != "cell"}


def _print(found: "SuiteForecast", device: str) -> None:
    from clbench.benchmarks.forecast.forecast import total_seconds
    from clbench.cli.output import print_table

    for stream, sizes in found.tasks.items():
        rows = [[size.name, *(f"{n:,}" for n in (size.classes, size.prompts, size.train, size.test))] for size in sizes]
        total = [sum(column) for column in zip(*((s.classes, s.prompts, s.train, s.test) for s in sizes), strict=True)]
        rows.append(["all", *(f"{n:,}" for n in total)])
        print_table(stream, ("task", "classes", "prompts", "train", "test"), rows)
    rows = [
        [
            each.cell.title,
            f"{each.steps:,}",
            duration(each.train_seconds),
            duration(each.test_seconds),
            f"{each.samples_mib / 1024:.1f}",
            f"{each.peak_mib / 1024:.1f}",
        ]
        for each in found.cells
    ]
    columns = ("cell", "steps", "training", "testing", "samples (GiB)", "peak (GiB)")
    print_table(f"forecast for {device}, from a few measured steps", columns, rows)
    print(f"decoding:  {duration(max(each.decode_seconds for each in found.cells))}, once")
    print(f"all cells: {duration(total_seconds(found.cells))}, one after another")


def duration(seconds: float) -> str:
    """A time for people: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
