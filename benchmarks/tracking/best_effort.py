"""A failure of the tracking store never fails a run: results stay on disk and are logged later."""

from collections.abc import Callable, Sequence
from functools import partial

from clbench.benchmarks.engine.cell import Cell
from clbench.benchmarks.engine.cell_folder import CellFolder
from clbench.benchmarks.tracking.tracker import Tracker
from clbench.core.errors import ClbenchError

KEPT = "the results are in the run folder"


class BestEffort:
    """Calls to the tracking store that must not stop the work; after the first failure no more are made.

    Args:
        tell: Called with the failure, one line.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._answers = True

    def attempt(self, call: Callable[[], None]) -> None:
        """Make the call, unless an earlier one failed."""
        problem = _problem_of(call) if self._answers else None
        if problem:
            self._answers = False
            self._tell(f"{problem} ({KEPT}; it is tried again at the end)")


def catch_up(tracker: Tracker, cells: Sequence[tuple[Cell, CellFolder]], failed: bool) -> list[str]:
    """Log what earlier calls could not log, then close the suite's run.

    If the store refuses a cell, the others are logged all the same; if it does not answer, no more calls are made.

    Args:
        tracker: Writes to the store.
        cells: The finished cells.
        failed: Whether some cells of the suite failed.

    Returns:
        What the store did not take, one line each.
    """
    problems: list[str] = []
    for cell, folder in cells:
        refused = _problem_of(partial(tracker.finish, cell, folder))
        if not refused:
            continue
        away = _problem_of(
            partial(tracker.close, True)
        )  # which the store must do in any case, so it shows whether the store answers
        if away:
            return [*problems, f"{away} ({KEPT}; the same command logs them later)"]
        problems.append(f"{cell.title}: not logged: {refused} ({KEPT}; the same command logs them later)")
    closing = _problem_of(partial(tracker.close, failed or bool(problems)))
    return [*problems, f"{closing} ({KEPT})"] if closing else problems


def _problem_of(call: Callable[[], None]) -> str | None:
    """Make a call; the error that it raises is returned as one line."""
    try:
        call()
    except Exception as error:  # the boundary to the tracking store: a defect in there must not fail a sound cell
        message = " ".join(str(error).split())
        return message if isinstance(error, ClbenchError) else f"logging failed: {type(error).__name__}: {message}"
    return None
