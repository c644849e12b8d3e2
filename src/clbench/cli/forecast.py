"""`clbench run --dry-run`: expected time and memory of a suite, without training."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from clbench.benchmarks.engine.suite import Suite
    from clbench.benchmarks.forecast.forecast import Forecast, SuiteForecast
    from clbench.benchmarks.forecast.memory_plan import MemoryPlan, Plans, Way


def dry_run(suite: "Suite", device: "torch.device", as_json: bool) -> bool:
    """Measure a few steps of a suite, print the forecast and its problems.

    A language model of a known shape that this machine does not hold, or whose data are not there, is not measured; how
    much memory it takes on a GPU follows from its shapes.

    Args:
        suite: The suite.
        device: Device to measure on.
        as_json: Whether to print JSON instead of tables.

    Returns:
        Whether the suite can run: there are no problems.

    Raises:
        DataError: When data are missing and nothing can be planned without them.
    """
    from clbench.benchmarks.forecast.forecast import SuiteForecast, forecast_suite
    from clbench.benchmarks.forecast.memory_plan import MemoryPlan, plan_suite, too_large
    from clbench.cli.output import print_json
    from clbench.core.errors import DataError

    def told(what: str) -> None:
        print(f"measuring {what}", file=sys.stderr)

    plans = plan_suite(suite.cells, told)
    planned = any(isinstance(plan, MemoryPlan) for plan in plans.values())
    why = too_large(plans, device)
    try:
        for line in dict.fromkeys(line for cell in suite.cells for line in cell.load_stream().data_deviations):
            print(f"not the published data: {line}", file=sys.stderr)
    except DataError as error:
        if not planned:
            raise
        why = str(error)
    found = (
        SuiteForecast((), {}, (f"time is not forecast: {why}",)) if why else forecast_suite(suite.cells, device, told)
    )
    if as_json:
        print_json({**_plain(found), "memory": [_of_plan(*item) for item in plans.items()]})
    else:
        _print(found, str(device))
        _print_plans(plans)
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
    if not rows:
        return
    columns = ("cell", "steps", "training", "testing", "samples (GiB)", "peak (GiB)")
    print_table(f"forecast for {device}, from a few measured steps", columns, rows)
    print(f"decoding:  {duration(max(each.decode_seconds for each in found.cells))}, once")
    print(f"all cells: {duration(total_seconds(found.cells))}, one after another")


def _of_plan(way: "Way", plan: "MemoryPlan | str") -> dict[str, object]:
    from clbench.benchmarks.forecast.memory_plan import CARDS

    told: dict[str, object] = asdict(way)
    if isinstance(plan, str):
        return {**told, "not_planned": plan}
    fits = {f"micro_batch_{gib}_gib": plan.largest_micro_batch(gib) for gib in CARDS}
    return {**told, **asdict(plan), "activations": plan.activations, **fits}


def _print_plans(plans: "Plans") -> None:
    from clbench.benchmarks.forecast.memory_plan import CARDS, GIB, MemoryPlan
    from clbench.cli.output import print_table

    for learner in dict.fromkeys(way.learner for way, plan in plans.items() if isinstance(plan, MemoryPlan)):
        rows = []
        for way, plan in plans.items():
            if way.learner != learner:
                continue
            if isinstance(plan, str):
                print(f"not planned: {way.strategy}: {plan}", file=sys.stderr)
                continue
            parts = (plan.weights, plan.gradients, plan.optimizer, plan.bases, plan.activations, plan.totals[1])
            fits = (plan.largest_micro_batch(gib) for gib in CARDS)
            rows.append(
                [way.title, *(f"{part / GIB:.1f}" for part in parts), *(str(n) if n else "does not fit" for n in fits)]
            )
        columns = ("strategy", "weights", "gradients", "optimizer", "bases", "activations", "in all")
        print_table(
            f"{learner}: GiB of a GPU for one sample of full length, from shapes; then samples a forward pass that fit",
            (*columns, *(f"{gib} GiB" for gib in CARDS)),
            rows,
        )


def duration(seconds: float) -> str:
    """A time for people: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
