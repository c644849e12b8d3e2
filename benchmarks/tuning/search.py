"""A search: run the trials of a plan, choose, record."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from clbench.benchmarks.engine.cell_log import Listener, Outcome
from clbench.benchmarks.engine.environment import package_versions
from clbench.benchmarks.engine.runner import RunOptions, run_suite
from clbench.benchmarks.engine.suite import Suite
from clbench.benchmarks.tuning.criterion import Criterion
from clbench.benchmarks.tuning.plan import Plan
from clbench.benchmarks.tuning.search_log import log_search
from clbench.benchmarks.tuning.trials import Trial, Trials
from clbench.benchmarks.tuning.tuned_record import Chosen, TrialRecord, Tuned, write_tuned
from clbench.core.errors import ClbenchError


@dataclass(frozen=True)
class Found:
    """How a search ended.

    Attributes:
        tuned: The result; None where something must be mended first.
        path: Its file.
        trials: All of them.
        to_mend: Cells that failed by no fault of their settings.
        unlogged: What the tracking store did not take, one line each.
    """

    tuned: Tuned | None
    path: Path
    trials: Sequence[Trial]
    to_mend: Sequence[Outcome]
    unlogged: Sequence[str]


def run_search(plan: Plan, cells: Trials, options: RunOptions, listener: Listener) -> Found:
    """Run the missing trials, choose the best settings, write the result's file and log it.

    Args:
        plan: The checked search.
        cells: Cells of all trials.
        options: Folder, device and tracking store.
        listener: Called as the cells go on.

    Raises:
        ClbenchError: As `run_suite` does, and when the file cannot be written.
    """
    result = run_suite(Suite(plan.folder, plan.suite.config, cells), options, listener)
    assert len(cells.done) == cells.planned  # a loop over a sequence takes an IndexError for its end
    to_mend = [o for o in result.outcomes if o.status == "failed" and not cells.diverged(o.cell)]
    path = options.out / f"{plan.name}.yaml"
    if to_mend:
        return Found(None, path, cells.done, to_mend, result.unlogged)
    tuned = _record(plan, cells.done)
    write_tuned(tuned, path)
    unlogged = list(result.unlogged)
    try:
        log_search(options, path, tuned, cells)
    except ClbenchError as error:
        unlogged.append(f"{path.name}: not logged: {error}")
    return Found(tuned, path, cells.done, to_mend, unlogged)


def best_of(trials: Sequence[Trial], criterion: Criterion) -> Trial | None:
    """The best trial with a value; of equal ones the first of the grid."""
    with_value = [trial for trial in trials if trial.value is not None]
    return min(with_value, key=lambda trial: (criterion.loss(trial.value), trial.point), default=None)


def _record(plan: Plan, trials: Sequence[Trial]) -> Tuned:
    stream, learner, _ = plan.suite.cells[0].names
    chosen = [best_of([trial for trial in trials if trial.variant is v], plan.criterion) for v in plan.variants]
    return Tuned(
        schema=1,
        suite=plan.suite.name,
        stream=stream,
        learner=learner,
        split="validation",
        seeds=plan.suite.config.seeds,
        budget=plan.suite.config.budget,
        criterion=plan.criterion.metric,
        protocol=plan.criterion.protocol,
        direction=plan.criterion.direction,
        trials_each=plan.trials,
        packages={**package_versions(), "optuna": version("optuna")},
        chosen=tuple(
            Chosen(value=trial.value, **_what(trial)) for trial in chosen if trial and trial.value is not None
        ),
        untuned=tuple(plan.untuned),
        trials=tuple(TrialRecord(value=trial.value, error=trial.error or None, **_what(trial)) for trial in trials),
    )


def _what(trial: Trial) -> dict[str, object]:
    settings = trial.variant.settings(trial.point)
    return {"strategy": trial.variant.strategy, "given": trial.variant.given, "settings": settings}
