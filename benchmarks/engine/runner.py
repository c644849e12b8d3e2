"""The runner: all cells of a suite, here or on an engine; it alone owns order, failure and the outside world."""

import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from clbench.benchmarks.engine.cell_folder import CellFolder
from clbench.benchmarks.engine.cell_log import CellLog, Listener, Outcome
from clbench.benchmarks.engine.cell_request import cell_to_json
from clbench.benchmarks.engine.engines.protocol import Engine, Event, failed
from clbench.benchmarks.engine.environment import describe
from clbench.benchmarks.engine.execution import CellRun, Workplace, workplace_in
from clbench.benchmarks.engine.failures import told
from clbench.benchmarks.engine.folder_locks import PATIENCE, cell_alone, suite_alone
from clbench.benchmarks.engine.numerics import make_deterministic
from clbench.benchmarks.engine.process_group import together
from clbench.benchmarks.engine.result_backup import ResultBackup
from clbench.benchmarks.engine.retention import Keep
from clbench.benchmarks.engine.suite import Suite
from clbench.benchmarks.evaluation.harness_probe import HarnessProbe
from clbench.benchmarks.tracking.best_effort import BestEffort, catch_up
from clbench.benchmarks.tracking.tracker import Tracker
from clbench.core.errors import ConfigError


@dataclass(frozen=True)
class SuiteResult:
    """How a suite ended.

    Attributes:
        outcomes: One for each cell, in the suite's order.
        unlogged: What the tracking store did not take, one line each; it is on disk, and the next call logs it.
        experiment: Id of the experiment of the runs in the store.
        changed: Whether something was logged, so that pages made from the store are outdated.
    """

    outcomes: Sequence[Outcome]
    unlogged: Sequence[str]
    experiment: str
    changed: bool = True


@dataclass(frozen=True)
class RunOptions:
    """How a suite runs.

    Attributes:
        out: Folder for results.
        device: Device of the learners.
        tracking_uri: The MLflow store.
        fresh: Whether finished cells are computed again.
        probe: Tasks of lm-evaluation-harness on which models are measured besides the tasks of the stream.
        keep: Versions that keep their weights.
        engine: Where the cells run; None runs them in this process, one after another.
    """

    out: Path
    device: torch.device
    tracking_uri: str
    fresh: bool = False
    probe: HarnessProbe | None = None
    keep: Keep = "branches"
    engine: Engine | None = None


def choose_device(name: str, here: bool = True) -> torch.device:
    """`auto` takes a GPU where this machine has one.

    Args:
        name: `auto`, `cpu` or `cuda`.
        here: Whether the cells run on this machine, on which a GPU that is wanted must then be.

    Raises:
        ConfigError: When `cuda` is wanted and not there.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"--device must be auto, cpu or cuda, got {name!r}")
    if name == "cuda" and not here:
        return torch.device("cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: no CUDA device is available")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def run_suite(suite: Suite, options: RunOptions, listener: Listener) -> SuiteResult:
    """Run all cells of a suite; those that are finished are left alone, those that were cut off go on.

    A cell that fails is recorded and the others go on. If the tracking store stops answering or refuses something on
    the way, the cells still run to the end and stay on disk.

    Args:
        suite: The suite.
        options: Folder, device, tracking store and what becomes of earlier results.
        listener: Called as the cells go on.

    Returns:
        How the cells ended, in the suite's order.

    Raises:
        ConfigError: When another process runs this suite in the same folder.
        ClbenchError: When the folder is not writable.
        TrackingError: When the tracking store does not answer at the start.
    """
    make_deterministic()
    folder = options.out / suite.name
    with suite_alone(folder):
        earlier = ResultBackup(folder)
        earlier.commit_or_restore()
        tracker = Tracker(options.tracking_uri, options.out, suite.name, folder, describe())
        try:
            if options.engine:
                logs = [CellLog(i, c, CellFolder(folder / c.key), tracker, listener) for i, c in enumerate(suite.cells)]
                outcomes = _elsewhere(logs, options, options.engine, earlier)
            else:
                outcomes = list(_one_by_one(suite, options, earlier, tracker, listener))
        except KeyboardInterrupt:
            BestEffort(listener.on_problem).attempt(tracker.interrupt)
            raise
        sound = [(outcome.cell, outcome.folder) for outcome in outcomes if outcome.status != "failed"]
        unlogged = catch_up(tracker, sound, failed=len(sound) < len(outcomes))
        return SuiteResult(outcomes, unlogged, tracker.experiment, tracker.changed)


def _one_by_one(
    suite: Suite, options: RunOptions, earlier: ResultBackup, tracker: Tracker, listener: Listener
) -> Iterator[Outcome]:
    """Run the cells in this process, one after another; those of a search depend on earlier ones."""
    workplace = workplace_in(options.out, options.device, options.fresh, options.keep)
    for index, cell in enumerate(suite.cells):
        with earlier.hold(cell.key) if options.fresh else nullcontext():
            folder = CellFolder(options.out / suite.name / cell.key)
            log = CellLog(index, cell, folder, tracker, listener)
            outcome = _run_here(log, workplace, options.probe)
            log.end()
        yield _with_earlier(outcome) if options.fresh else outcome


def _run_here(log: CellLog, workplace: Workplace, probe: HarnessProbe | None) -> Outcome:
    """Run a cell in this process, or find that it is finished; an error of the cell never leaves this function."""
    folder = log.folder

    def cell_run() -> CellRun:
        return CellRun(log.cell, folder, workplace, log.step, probe)

    try:
        if (kept := log.kept()) is not None:
            if probe and folder.probes.missing(probe.asked, folder.last_version or 0):
                cell_run().probe()
            return kept
        with cell_alone(folder.path), together(log.cell, folder, workplace) as workplace:
            run = cell_run()
            log.start(run.stream.last_version + 1)
            run.run(log.version)
            run.probe()
        return log.finish(run.taken)
    except Exception as error:  # the cell boundary: whatever happens in a cell must not take the others with it
        message, defect = told(error)
        return log.fail(message, "".join(traceback.format_exception(error)), defect)


def _elsewhere(logs: Sequence[CellLog], options: RunOptions, engine: Engine, earlier: ResultBackup) -> list[Outcome]:
    """Run the cells in other processes; tracking and display stay here."""
    cells = _CellsElsewhere(logs, options.fresh)
    try:
        requests = []
        for log in logs:
            if options.fresh:
                cells.held[log.index].enter_context(earlier.hold(log.cell.key))
            if (kept := _kept_or_failed(log)) is None:
                requests.append(_request(log, options))
            else:
                cells.outcomes[log.index] = kept
                log.end()
        engine.run(requests, cells.handle)
    finally:
        for stack in cells.held.values():
            stack.close()
    return [cells.outcomes[log.index] for log in logs]


class _CellsElsewhere:
    """Cells that run in other processes, and what is heard of them."""

    def __init__(self, logs: Sequence[CellLog], fresh: bool) -> None:
        self.outcomes: dict[int, Outcome] = {}
        self.held = {log.index: ExitStack() for log in logs}
        """Earlier results that are kept until a cell ends."""
        self._logs = logs
        self._fresh = fresh
        self._begun: set[int] = set()

    def handle(self, event: Event) -> None:
        """Pass on an event."""
        if event["event"] == "problem":
            self._logs[0].listener.on_problem(event["message"])
            return
        log = self._logs[event["index"]]
        if event["event"] == "start":
            if log.index in self._begun:  # again, after its node was lost
                return
            self._begun.add(log.index)
        outcome = log.told(_once_visible(log, event) if event["event"] == "end" else event)
        if outcome is not None:
            log.end()
            self.held[log.index].close()
            self.outcomes[log.index] = _with_earlier(outcome) if self._fresh else outcome


def _once_visible(log: CellLog, event: Event) -> Event:
    """The event that a cell has ended, once this machine sees its result: a network file system may take its time."""
    deadline = time.monotonic() + PATIENCE
    while not log.folder.finished:
        if time.monotonic() > deadline:
            return failed(log.index, f"{log.folder.path}: its process says that it is finished, which is not seen here")
        time.sleep(0.5)
    return event


def _kept_or_failed(log: CellLog) -> Outcome | None:
    """The outcome of a cell that is finished already, with a damaged file perhaps; None if it is to be run."""
    try:
        return log.kept()
    except Exception as error:  # as above
        message, defect = told(error)
        return log.fail(message, "".join(traceback.format_exception(error)), defect)


def _request(log: CellLog, options: RunOptions) -> dict[str, object]:
    """What a worker is asked."""
    return {
        "index": log.index,
        "cell": cell_to_json(log.cell),
        "folder": str(log.folder.path.absolute()),
        "out": str(options.out.absolute()),
        "device": options.device.type,
        "fresh": options.fresh,
        "keep": options.keep,
    }


def _with_earlier(outcome: Outcome) -> Outcome:
    """Say so where the earlier result outlived a new run that failed."""
    if outcome.status != "failed" or not outcome.folder.finished:
        return outcome
    return replace(outcome, error=f"{outcome.error} (the earlier result was kept)")
