"""`clbench budget`: how well tasks are learnt by the steps that a method may train on each."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from clbench.reports.learning_curves import LearningCurves


def budget(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs with several budgets.")],
    reference: Annotated[str, typer.Option(help="Method whose scores at its most steps count as learnt.")] = "per-task",
    points: Annotated[float, typer.Option(help="Allowed gap to the reference, in percentage points.")] = 3.0,
    protocol: Annotated[Optional[str], typer.Option(help="Protocol. Default: the first of each stream.")] = None,
    plot: Annotated[Optional[Path], typer.Option(help="Draw the curves into this PNG file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Print how well tasks are learnt by the steps a task.

    Of each method and number of steps: the mean score of the tasks right after each was learnt, and how far the worst
    task is below the reference.
    """
    from dataclasses import asdict

    from clbench.cli.output import print_json, print_table
    from clbench.core.errors import ConfigError, DataError
    from clbench.reports.finished_cells import finished_cells
    from clbench.reports.leaderboard.text import plain
    from clbench.reports.learning_curves import curves_figure, learning_curves

    if not 0 <= points < 100:
        raise ConfigError(f"--points must be at least 0 and below 100, got {points}")
    if plot and plot.suffix != ".png":
        raise ConfigError(f"--plot must be a .png file, got {plot}")
    cells, left_out = finished_cells(runs)
    found, more = learning_curves(cells, reference, protocol)
    if not found:
        raise DataError("; ".join([*more, *left_out][:1]) or "no finished cells")
    for line in [*left_out, *more]:
        print(plain(f"left out: {line}"), file=sys.stderr)
    if plot:
        curves_figure(found, plot)
    if as_json:
        print_json({"points": points, "reference": reference, "streams": [asdict(each) for each in found]})
        return
    for each in found:
        steps = sorted({n for curve in each.curves.values() for n in curve.learnt})
        print_table(_title(each, reference), ["", *(f"{n:,}" for n in steps), "enough"], _rows(each, steps, points))
    print(
        "by steps a task: mean score of the tasks right after learning / largest gap of a task to the reference, in %"
    )
    print(f"enough: steps from which on no task is more than {points:g} points below the reference")


def _title(found: "LearningCurves", reference: str) -> str:
    seeds = f"{found.seeds} seed{'' if found.seeds == 1 else 's'}"
    where = f"{found.stream} / {found.learner} / {found.split} / {found.protocol}"
    return f"{where}: {seeds}, reference {reference} at {found.reference_steps:,} steps"


def _rows(found: "LearningCurves", steps: list[int], points: float) -> list[tuple[str, ...]]:
    from statistics import fmean

    rows = []
    for method, curve in found.curves.items():
        shown = [
            f"{100 * fmean(curve.learnt[n].values()):.1f} / {100 * curve.gap(n, found.reference)[0]:.1f}"
            if n in curve.learnt
            else ""
            for n in steps
        ]
        enough = curve.enough(found.reference, points / 100)
        rows.append((method, *shown, f"{enough:,}" if enough is not None else "no"))
    return rows
