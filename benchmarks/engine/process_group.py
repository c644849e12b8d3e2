"""Several processes that run one cell together: process 0 starts the others and ends them.

A follower is asked by one JSON object on its standard input, as a worker is. Its folder of the cell is a copy, and what
it writes there is dropped.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from clbench.benchmarks.engine.cell import Cell
from clbench.benchmarks.engine.cell_folder import CellFolder
from clbench.benchmarks.engine.cell_request import cell_from_json, cell_to_json
from clbench.benchmarks.engine.engines.json_process import PATIENCE, asked, end
from clbench.benchmarks.engine.execution import CellRun, Workplace
from clbench.benchmarks.engine.group_store import FollowingStore, LeadingStore
from clbench.benchmarks.engine.numerics import make_deterministic
from clbench.benchmarks.engine.samples import SampleStore
from clbench.benchmarks.engine.shared_results import SharedResults
from clbench.core import processes
from clbench.core.errors import ClbenchError, ConfigError

COMMAND = (sys.executable, "-m", "clbench.benchmarks.engine.process_group")


@contextlib.contextmanager
def together(cell: Cell, folder: CellFolder, workplace: Workplace) -> Iterator[Workplace]:
    """Start the other processes of a cell; gives the workplace for process 0, which is this one.

    Args:
        cell: The cell.
        folder: Its folder.
        workplace: What it shares with other cells.

    Raises:
        ConfigError: When there are fewer GPUs than processes.
        ClbenchError: When another process of the cell dies.
    """
    if cell.processes == 1:
        yield workplace
        return
    device = workplace.device
    if device.type == "cuda" and torch.cuda.device_count() < cell.processes:
        raise ConfigError(f"--processes {cell.processes}: wanted as many GPUs, got {torch.cuda.device_count()}")
    with tempfile.TemporaryDirectory() as name:
        aside = Path(name)
        followers = [_Follower(cell, folder, workplace, aside, number) for number in range(1, cell.processes)]

        def require_all() -> None:
            if why := next(filter(None, (follower.death(0) for follower in followers)), None):
                raise ClbenchError(why)

        try:
            with processes.joined(aside / "meeting", 0, cell.processes, require_all):
                store = LeadingStore(workplace.versions.out, workplace.versions.fresh, workplace.versions.keep)
                # What memory holds differs between processes, so nothing is kept there.
                yield Workplace(workplace.samples, store, device, SharedResults(limit=0))
        except RuntimeError as error:
            if why := next(filter(None, (follower.death(PATIENCE) for follower in followers)), None):
                raise ClbenchError(why) from error
            raise
        finally:
            for follower in followers:
                follower.stop()


class _Follower:
    """A process of a cell besides process 0."""

    def __init__(self, cell: Cell, folder: CellFolder, workplace: Workplace, aside: Path, number: int) -> None:
        self._number = number
        self._log = aside / f"process-{number}.log"
        own = aside / str(number) / folder.path.name
        if folder.path.is_dir():
            shutil.copytree(folder.path, own)
        request = {
            "cell": cell_to_json(cell),
            "folder": str(own),
            "out": str(workplace.versions.out.absolute()),
            "keep": workplace.versions.keep,
            "device": f"cuda:{number}" if workplace.device.type == "cuda" else workplace.device.type,
            "meeting": str(aside / "meeting"),
            "number": number,
            "of": cell.processes,
        }
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=log, stderr=log, process_group=0)
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has died, which is told by `death`
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()  # and left open: the follower ends when this process does

    def death(self, patience: float) -> str | None:
        """How it ended, if it has not ended well; waits some seconds for one that is about to."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)
        if not (status := self._process.poll()):
            return None
        last = (self._log.read_text(encoding="utf-8", errors="replace").strip() or "nothing was said").splitlines()[-1]
        how = f"by signal {-status}" if status < 0 else f"with status {status}"
        return f"process {self._number} of the cell ended {how}: {last}"

    def stop(self) -> None:
        """End it, in the middle of its work too."""
        end(self._process)
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()


def follow(request: Mapping[str, Any]) -> None:
    """Run a cell beside process 0, and drop what this process writes.

    Args:
        request: What `together` asks of a follower.
    """
    cell, folder = cell_from_json(request["cell"]), CellFolder(Path(request["folder"]))
    device = torch.device(request["device"])
    with processes.joined(Path(request["meeting"]), request["number"], request["of"]):
        samples = SampleStore(device, folder.path.parent / "cache")
        store = FollowingStore(Path(request["out"]), keep=request["keep"])
        workplace = Workplace(samples, store, device, SharedResults(limit=0))
        CellRun(cell, folder, workplace, lambda doing, step, total: None).run(lambda version: None)


def main() -> None:
    """Follow the process that has written a request on standard input."""
    make_deterministic()
    try:
        follow(next(asked()))
    except ClbenchError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    finally:
        sys.stderr.flush()


if __name__ == "__main__":
    main()
    os._exit(0)  # threads of gloo may wait for a process 0 that has ended
