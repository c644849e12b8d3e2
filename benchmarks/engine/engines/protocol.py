"""What an engine is: it is given requests, runs each as a worker's command, and passes on what the workers say.

A request and an event are JSON objects; `worker.py` has their keys. Nothing else goes between the process of the suite
and the processes of its cells, so no object is pickled and a cell can run on any machine that sees the run's folder.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from typing import Protocol as Interface

Request = Mapping[str, Any]
Event = Mapping[str, Any]
Handle = Callable[[Event], None]
"""Called with every event, in the thread of the suite."""
COMMAND = (sys.executable, "-m", "clbench.benchmarks.engine.worker")
"""The command of a cell, which reads the request from its standard input and prints events."""
ENDS = ("end", "failed")
"""The last event of a cell is one of these."""
GOES_ON = "the same command goes on from the last version"


class Engine(Interface):
    """Runs cells somewhere."""

    def run(self, requests: Sequence[Request], handle: Handle) -> None:
        """Run cells; returns when each of them has ended.

        If this is left by an exception, such as Ctrl-C, all cells that still run are ended first. A cell may begin a
        second time after its node was lost; then its event `start` comes again.

        Args:
            requests: What the workers are asked, in the order in which the cells begin.
            handle: Called with every event of a cell, and with events `problem` (`message`) that belong to none.

        Raises:
            ClbenchError: When the engine does not answer at the start.
        """


def failed(index: int, message: str) -> Event:
    """The event of a cell that ended without saying so.

    Args:
        index: Place of the cell in the suite.
        message: How it ended.
    """
    return {
        "index": index,
        "event": "failed",
        "error": f"{message}; {GOES_ON}",
        "traceback": "",
        "defect": False,
    }


def death(status: int) -> str:
    """How a process ended, by its status as `subprocess` has it: negative for signals."""
    how = f"by signal {-status}" if status < 0 else f"with status {status}"
    why = " (perhaps for memory)" if status == -9 else ""
    return f"the process of the cell ended {how}{why}"
