"""ResultBackup results that `--fresh` replaces: kept until the new ones are finished."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from clbench.benchmarks.engine.cell_folder import CellFolder
from clbench.core.errors import ClbenchError
from clbench.reports.result import FILE


class ResultBackup:
    """The finished cells of a suite that are being computed again, in `<suite>/.earlier/<cell>`.

    A finished cell moves there when its new run begins (one rename). When the run ends, in whatever way, it is settled:
    a new result that is finished replaces the earlier one; else the earlier one moves back over what there is of the
    new, and the reason of a failure stays beside it as `fresh-failed.json`. After a kill the next call, with `--fresh`
    or without, settles what is still there before it does anything else; in MLflow the run that was killed stays
    behind as running. A cell that was not finished has nothing to lose and is deleted when its new run begins.

    Args:
        suite: The suite's folder, which this process must hold alone.
    """

    def __init__(self, suite: Path) -> None:
        self._suite = suite
        self._aside = suite / ".earlier"

    def commit_or_restore(self) -> None:
        """Settle whatever a killed run has left.

        Raises:
            ClbenchError: When the disk is not writable.
        """
        for earlier in self._aside.glob("*"):
            self._settle(earlier.name)

    @contextlib.contextmanager
    def hold(self, key: str) -> Iterator[None]:
        """Move a cell's result away, and settle it afterwards.

        Raises:
            ClbenchError: When the disk is not writable.
        """
        cell = self._suite / key
        with _one_line(cell):
            if CellFolder(cell).finished:
                self._aside.mkdir(exist_ok=True)
                os.replace(cell, self._aside / key)
            elif cell.exists():
                shutil.rmtree(cell)
        try:
            yield
        finally:
            self._settle(key)

    def _settle(self, key: str) -> None:
        cell, earlier = self._suite / key, self._aside / key
        with _one_line(cell):
            if not earlier.exists():
                return
            if CellFolder(cell).finished:
                shutil.rmtree(earlier)
                return
            if (cell / FILE).exists():
                os.replace(cell / FILE, earlier / "fresh-failed.json")
            if cell.exists():
                shutil.rmtree(cell)
            os.replace(earlier, cell)


@contextlib.contextmanager
def _one_line(cell: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ClbenchError(f"{cell}: the earlier result cannot be moved or removed: {error.strerror}") from error
