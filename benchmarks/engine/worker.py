"""A worker: a process that runs cells, one after another, as its standard input asks, and tells of them in JSON lines.

It writes nothing but the folder of the cell and the store of versions; tracking and display are its parent's.

    {"index": 3, "cell": {...}, "folder": "...", "out": "...", "device": "cpu", "fresh": false, "keep": "branches"}
    -> {"index": 3, "event": "start", "versions": 8}
    -> {"index": 3, "event": "version", "version": 0}
    -> {"index": 3, "event": "step", "doing": "train", "step": 1, "total": 50}
    -> {"index": 3, "event": "end", "taken": 0}    or {"event": "failed", "error": ..., "traceback": ..., "defect": ...}
"""

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

import torch

from clbench.benchmarks.engine.cell_folder import CellFolder
from clbench.benchmarks.engine.cell_request import cell_from_json
from clbench.benchmarks.engine.execution import CellRun, Workplace, workplace_in
from clbench.benchmarks.engine.failures import told
from clbench.benchmarks.engine.numerics import make_deterministic

EVERY = 0.2
"""Least number of seconds between two events of one kind of step."""
Tell = Callable[..., None]


def main() -> None:
    """Run cells until standard input ends."""
    events = _own_standard_output()
    make_deterministic()
    workplaces: dict[tuple[Any, ...], Workplace] = {}
    for line in sys.stdin:
        request = json.loads(line)

        def tell(event: str, index: int = request["index"], **values: object) -> None:
            print(json.dumps({"index": index, "event": event, **values}), file=events, flush=True)

        key = tuple(request[name] for name in ("out", "device", "fresh", "keep"))
        try:
            if key not in workplaces:
                workplaces[key] = workplace_in(
                    Path(request["out"]), torch.device(request["device"]), request["fresh"], request["keep"]
                )
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

    run = CellRun(cell_from_json(request["cell"]), CellFolder(Path(request["folder"])), workplace, on_step)
    tell("start", versions=run.stream.last_version + 1)
    run.run(lambda version: tell("version", version=version))
    tell("end", taken=run.taken)


def _own_standard_output() -> TextIO:
    """Standard output for events alone: what libraries print goes to standard error."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return events


if __name__ == "__main__":
    main()
