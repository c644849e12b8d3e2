"""A worker: a process that runs cells, one after another, as its standard input asks, and tells of them in JSON lines.

It writes nothing but the folder of the cell and the store of versions; tracking and display are its parent's, which may
be on another machine that sees the same folders.

    {"index": 3, "cell": {...}, "folder": "...", "out": "...", "device": "cpu", "fresh": false, "keep": "branches"}
    -> {"index": 3, "event": "start", "versions": 8}
    -> {"index": 3, "event": "version", "version": 0}
    -> {"index": 3, "event": "step", "doing": "train", "step": 1, "total": 50}
    -> {"index": 3, "event": "end", "taken": 0}    or {"event": "failed", "error": ..., "traceback": ..., "defect": ...}
"""

import json
import platform
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from clbench.benchmarks.engine.cell_folder import CellFolder
from clbench.benchmarks.engine.cell_request import cell_from_json
from clbench.benchmarks.engine.engines.json_process import asked, own_standard_output
from clbench.benchmarks.engine.execution import CellRun, Workplace, workplace_in
from clbench.benchmarks.engine.failures import told
from clbench.benchmarks.engine.folder_locks import cell_alone, require_head
from clbench.benchmarks.engine.numerics import make_deterministic
from clbench.benchmarks.engine.process_group import together
from clbench.core.errors import ConfigError

EVERY = 0.2
"""Least number of seconds between two events of one kind of step."""
Tell = Callable[..., None]


def main() -> None:
    """Run cells until standard input ends."""
    events = own_standard_output()
    make_deterministic()
    workplaces: dict[tuple[Any, ...], Workplace] = {}
    for request in asked():

        def tell(event: str, index: int = request["index"], **values: object) -> None:
            print(json.dumps({"index": index, "event": event, **values}), file=events, flush=True)

        key = tuple(request[name] for name in ("out", "device", "fresh", "keep"))
        try:
            require_head(Path(request["folder"]))
            if key not in workplaces:
                device = torch.device(request["device"])
                if device.type == "cuda" and not torch.cuda.is_available():
                    raise ConfigError(f"{platform.node()}: no CUDA device is available to the cell")
                workplaces[key] = workplace_in(Path(request["out"]), device, request["fresh"], request["keep"])
            _run(request, workplaces[key], tell)
        except Exception as error:  # the boundary of a cell, as in the runner
            message, defect = told(error)
            trace = "".join(traceback.format_exception(error))
            tell("failed", error=message, traceback=trace, defect=defect)


def _run(request: Mapping[str, Any], workplace: Workplace, tell: Tell) -> None:
    told_at: dict[str, float] = {}

    def on_step(doing: str, step: int, total: int) -> None:
        now = time.monotonic()
        if now - told_at.get(doing, 0.0) > EVERY:
            told_at[doing] = now
            tell("step", doing=doing, step=step, total=total)

    cell, folder = cell_from_json(request["cell"]), CellFolder(Path(request["folder"]))
    if cell.key != folder.path.name:
        raise ConfigError(
            f"{platform.node()}: wanted the cell {folder.path.name}, got {cell.key}: code, data or weights are not "
            "those of the machine that runs the suite"
        )
    with cell_alone(folder.path), together(cell, folder, workplace) as workplace:
        run = CellRun(cell, folder, workplace, on_step)
        tell("start", versions=run.stream.last_version + 1)
        run.run(lambda version: tell("version", version=version))
        tell("end", taken=run.taken)


if __name__ == "__main__":
    main()
