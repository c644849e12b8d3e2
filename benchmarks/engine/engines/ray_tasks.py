"""The engine of a Ray cluster: each cell is one task, submitted by a driver in a process of its own."""

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from queue import Empty

from clbench.benchmarks.engine.engines.json_process import Events, JsonProcess
from clbench.benchmarks.engine.engines.protocol import ENDS, Handle, Request, failed
from clbench.core.errors import ClbenchError, ConfigError

DRIVER = (sys.executable, "-m", "clbench.benchmarks.engine.engines.ray_driver")
ANSWER = 45.0
"""Seconds that the head of the cluster has for its first answer."""


class RayTasks:
    """Runs each cell as a task of the cluster that `RAY_ADDRESS` names, by default the one of this machine.

    Args:
        folder: Folder of the suite.
        limit: Most cells at a time; None leaves it to Ray.

    Raises:
        ConfigError: When Ray is not installed.
    """

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        if find_spec("ray") is None:
            raise ConfigError("--engine ray: ray is not installed: pip install 'clbench[ray]'")
        self._address = os.environ.get("RAY_ADDRESS") or "auto"
        if self._address.startswith("ray://"):
            raise ConfigError(
                f"RAY_ADDRESS must be the address of a head, HOST:PORT, and this machine a node, got {self._address}"
            )
        self._log = folder / ".ray.log"
        self._limit = limit

    def run(self, requests: Sequence[Request], handle: Handle) -> None:
        """Run cells: see `Engine.run`."""
        if not requests:
            return
        events, running = Events(), {request["index"] for request in requests}
        driver = JsonProcess(DRIVER, events, log=self._log)
        try:
            suite = {"address": self._address, "requests": requests, "limit": self._limit, "cwd": str(Path.cwd())}
            driver.ask(suite)
            self._require_connection(events)
            while running:
                event = events.get()
                del event["process"]
                if event["event"] == "died":
                    lost = f"the Ray cluster at {self._address} does not answer any more (see {self._log})"
                    for index in sorted(running):
                        handle(failed(index, lost))
                    return
                handle(event)
                if event["event"] in ENDS:
                    running.remove(event["index"])
        finally:
            driver.stop()

    def _require_connection(self, events: Events) -> None:
        where = f"the head of the Ray cluster at {self._address}"
        try:
            event = events.get(timeout=ANSWER)
        except Empty:
            raise ClbenchError(f"{where} does not answer within {ANSWER:g} s") from None
        if event["event"] == "refused":
            raise ClbenchError(f"{where} does not answer: {event['message']}")
        if event["event"] == "died":
            raise ClbenchError(f"{where} cannot be used (see {self._log})")
