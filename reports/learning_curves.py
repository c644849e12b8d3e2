"""How well tasks are learnt by the steps that a method may train on each: the curves from which a budget is chosen."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import final

from clbench.core.errors import DataError
from clbench.core.storage import written_whole
from clbench.reports.finished_cells import FinishedCell

ByTask = Mapping[str, float]


@final
@dataclass(frozen=True)
class LearningCurve:
    """Scores of one method right after each task was learnt.

    Attributes:
        learnt: By steps a task, rising: the score of each task by its name, mean over the seeds.
    """

    learnt: Mapping[int, ByTask]

    def gap(self, steps: int, reference: ByTask) -> tuple[float, str]:
        """How far the worst task is below a reference at a budget, and its name; below 0 if all are above.

        Args:
            steps: Steps a task, one of the curve's.
            reference: The score of each task that counts as learnt.
        """
        return max((reference[task] - score, task) for task, score in self.learnt[steps].items())

    def enough(self, reference: ByTask, within: float) -> int | None:
        """The smallest number of steps from which on no task is further below the reference; None if there is none.

        Args:
            reference: The score of each task that counts as learnt.
            within: Allowed gap, in the unit of the scores.
        """
        found = None
        for steps in sorted(self.learnt, reverse=True):
            if self.gap(steps, reference)[0] > within:
                break
            found = steps
        return found


@final
@dataclass(frozen=True)
class LearningCurves:
    """The curves of the methods of a stream.

    Attributes:
        stream: Name of the stream.
        learner: Name of the learner.
        split: Part of the tasks that was tested.
        protocol: Name of the protocol.
        seeds: Number of different seeds.
        reference_steps: The most steps a task of the reference method.
        reference: Its scores there, by task.
        curves: By method.
    """

    stream: str
    learner: str
    split: str
    protocol: str
    seeds: int
    reference_steps: int
    reference: ByTask
    curves: Mapping[str, LearningCurve]


def learning_curves(
    cells: Sequence[FinishedCell], reference: str, protocol: str | None = None
) -> tuple[list[LearningCurves], list[str]]:
    """The curves of every stream that some cells are of, and why others are left out, one line each.

    Cells are put together that differ in steps and seed only: one result a stream, learner, batch size and part.

    Args:
        cells: Finished cells of several budgets.
        reference: Method whose scores at its most steps count as learnt.
        protocol: Name of the protocol; None for the first one of each stream.
    """
    groups: dict[str, list[tuple[int, FinishedCell]]] = {}
    left_out: list[str] = []
    for cell in cells:
        setting = json.loads(cell.setting)
        steps = setting["budget"].pop("steps", None)
        if isinstance(steps, int):
            groups.setdefault(json.dumps(setting, sort_keys=True), []).append((steps, cell))
        else:
            left_out.append(f"{cell.place.name}: it has no steps a task")
    found = []
    for group in groups.values():
        first = group[0][1]
        name = protocol or next(iter(first.result.protocols))
        curves, missing = _curves(group, name)
        left_out += missing
        if reference not in curves:
            left_out.append(f"{first.stream} / {first.learner}: no cell of {reference}, whose scores are the reference")
            continue
        most, learnt = max(curves[reference].learnt.items())
        seeds = len({cell.seed for _, cell in group})
        found.append(LearningCurves(first.stream, first.learner, first.split, name, seeds, most, learnt, curves))
    return found, left_out


def _curves(cells: Sequence[tuple[int, FinishedCell]], protocol: str) -> tuple[dict[str, LearningCurve], list[str]]:
    """The curve of each method, and why cells were left out."""
    scores: dict[str, dict[int, dict[str, list[float]]]] = {}
    left_out = []
    for steps, cell in cells:
        try:
            learnt = _just_learnt(cell, protocol)
        except DataError as error:
            left_out.append(f"{cell.place.name}: {error}")
            continue
        by_task = scores.setdefault(cell.method, {}).setdefault(steps, {})
        for task, score in learnt.items():
            by_task.setdefault(task, []).append(score)
    return {
        method: LearningCurve(
            {steps: {task: fmean(of) for task, of in by_task.items()} for steps, by_task in sorted(of_steps.items())}
        )
        for method, of_steps in scores.items()
    }, left_out


def _just_learnt(cell: FinishedCell, protocol: str) -> dict[str, float]:
    if protocol not in cell.result.protocols:
        raise DataError(f"no scores of protocol {protocol!r}")
    matrix = cell.result.matrix(protocol)
    at = matrix.learnt_at()
    found = {task: float(matrix.scores[version, matrix.tasks.index(task)]) for task, version in at.items()}
    if not found or any(score != score for score in found.values()):
        raise DataError("versions were not tested on the tasks that they learnt")
    return found


def curves_figure(found: Sequence[LearningCurves], path: Path) -> None:
    """Draw the mean of the tasks right after learning against the steps as PNG, a panel a stream, whole or not at all.

    Args:
        found: Curves of at least one stream.
        path: The PNG file.

    Raises:
        ClbenchError: When the disk is full or not writable.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * len(found), 3.8), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    for number, of in enumerate(found, 1):
        axes = figure.add_subplot(1, len(found), number)
        ticks = sorted({steps for curve in of.curves.values() for steps in curve.learnt})
        for method, curve in of.curves.items():
            axes.plot(list(curve.learnt), [100 * fmean(x.values()) for x in curve.learnt.values()], "o-", label=method)
        axes.axhline(100 * fmean(of.reference.values()), color="grey", linestyle=":", linewidth=1)
        axes.set_xscale("log")
        axes.set_xticks(ticks, [f"{steps:,}" for steps in ticks])
        axes.minorticks_off()
        axes.set_xlabel("steps a task")
        axes.set_ylabel("learnt, in %")
        axes.set_title(f"{of.stream}, {of.learner}", fontsize=10, parse_math=False)
        axes.grid(visible=True, alpha=0.3)
        axes.legend(fontsize=8, frameon=False)
    with written_whole(path) as aside:
        figure.savefig(aside, format="png", metadata={"Software": None})
