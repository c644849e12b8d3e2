"""Results that `--fresh` replaces are kept until the new ones are finished."""

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

    A finished cell moves there when its new run begins (one rename). When that run ends, in any way, the backup is
    either dropped or restored. It is dropped if the new result is finished. Otherwise it moves back and replaces what
    there is of the new one, and the reason of a failure stays beside it as `fresh-failed.json`. After a kill the next
    call does the same first, with `--fresh` or without; in MLflow the killed run still counts as running. A cell that
    was not finished is deleted when its new run begins.

    Args:
        suite: The suite's folder, which this process must hold alone.
    """

    def __init__(self, suite: Path) -> None:
        self._suite = suite
        self._backup = suite / ".earlier"

    def commit_or_restore(self) -> None:
        """Drop or restore the backups that a killed run has left.

        Raises:
            ClbenchError: When the disk is not writable.
        """
        for earlier in self._backup.glob("*"):
            self._drop_or_restore(earlier.name)

    @contextlib.contextmanager
    def hold(self, key: str) -> Iterator[None]:
        """Move a cell's result to the backup, and drop or restore it afterwards.

        Raises:
            ClbenchError: When the disk is not writable.
        """
        cell = self._suite / key
        with _one_line(cell):
            if CellFolder(cell).finished:
                self._backup.mkdir(exist_ok=True)
                os.replace(cell, self._backup / key)
            elif cell.exists():
                shutil.rmtree(cell)
        try:
            yield
        finally:
            self._drop_or_restore(key)

    def _drop_or_restore(self, key: str) -> None:
        cell, earlier = self._suite / key, self._backup / key
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
