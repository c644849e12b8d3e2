"""One run as the leaderboard sees it: what was run, how it ended, and its result."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from clbench.reports.result import CellResult

SCHEMA = "2"
"""Layout of a run's tags and artifacts that this code writes: the result is the artifact `result.json`."""
SCHEMA_OF_0_1 = "1"
"""Layout of the runs of clbench 0.1: R is the artifact `matrix.json`, all else is read from the run's metrics."""
COST_NOTE = (
    "Each run is counted as if it were alone; what had been computed before, for another run or an earlier version, is "
    "counted and shown as taken over. Where decoding has no number, it is a part of training and testing."
)


@final
@dataclass(frozen=True)
class LoggedCell:
    """A (stream, learner, strategy, seed) of a suite, from the one of its runs that counts.

    Args:
        run_id: Id of the run in MLflow, or name of the cell's folder.
        key: What is equal for all runs of the same cell.
        stream: Name of the stream.
        learner: Name of the learner.
        strategy: Registered name of the strategy.
        label: Name of the strategy with its settings, as tables show it.
        seed: As the run's tag has it.
        split: Part of the tasks that was tested.
        status: Of the run, in MLflow's words.
        started: Milliseconds since 1970.
        schema: Layout of the run's tags and artifacts.
        result: None unless the run finished and its result can be read.
        error: Why there is no result, one line; None for a finished run.
        budget: What a strategy might spend on a task, in words; runs of different budgets are never averaged.
        environment: Further tags of the run (versions, hardware).
        suite: Name of the suite; empty if not known.
        place: Folder on this machine with the files of the cell; None where a server has them.
        digest: Hash of all that a page shows of the cell; empty if it was not read for pages.
        calibration: Expected calibration error of the last version by protocol, where confidences were recorded.
    """

    run_id: str
    key: str
    stream: str
    learner: str
    strategy: str
    label: str
    seed: str
    split: str
    status: str
    started: int
    schema: str = SCHEMA
    result: CellResult | None = None
    error: str | None = None
    budget: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    suite: str = ""
    place: Path | None = None
    digest: str = ""
    calibration: Mapping[str, float] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether the run has a result."""
        return self.result is not None
