"""A driver of a Ray cluster: a process that submits each cell as a task and tells of them in JSON lines.

It is a process of its own because Ray ends the process that uses it where the head of the cluster goes away.

    {"address": "...", "requests": [...], "limit": null, "cwd": "..."}
    -> {"event": "connected"}    or {"event": "refused", "message": "..."}
    -> the events of the cells (see `worker.py`), and {"event": "problem", "message": "..."}
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import ray
from ray.exceptions import OutOfMemoryError, RayError, RayTaskError

from clbench.benchmarks.engine.engines.json_process import asked, own_standard_output
from clbench.benchmarks.engine.engines.protocol import ENDS, Event, Request, death, failed
from clbench.benchmarks.engine.engines.ray_cell import run_cell

LOSSES = 3
"""Times that a cell may lose its node and begin again."""
Tell = Callable[[Event], None]


def main() -> None:
    """Run the cells that the first line of standard input asks for."""
    events = own_standard_output()

    def tell(event: Event) -> None:
        print(json.dumps(event), file=events, flush=True)

    suite = next(asked())
    try:
        ray.init(address=suite["address"], log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        tell({"event": "refused", "message": " ".join(str(error).split())})
        return
    tell({"event": "connected"})
    try:
        asyncio.run(run_cells(suite, tell))
    finally:
        ray.shutdown()  # ends the tasks that still run


async def run_cells(suite: Mapping[str, Any], tell: Tell) -> None:
    """Run cells on the cluster to which this process is connected.

    Args:
        suite: The requests, and how they are run; see above.
        tell: Gets the events.
    """
    largest = max((_resources(request) for request in suite["requests"]), key=lambda needs: tuple(needs.values()))
    if not any(all(node["Resources"].get(n, 0) >= x for n, x in largest.items()) for node in ray.nodes()):
        wanted = " and ".join(f"{amount:g} {name}" for name, amount in largest.items() if amount)
        tell({"event": "problem", "message": f"Ray: no node has {wanted} now; cells wait for one"})
    gate = asyncio.Semaphore(suite["limit"] or len(suite["requests"]))
    task = ray.remote(num_returns="streaming", max_retries=0)(run_cell)
    await asyncio.gather(
        *(_cell(request, partial(_begin, task, request, suite["cwd"]), gate, tell) for request in suite["requests"])
    )


def _begin(task: Any, request: Request, cwd: str) -> Any:
    """Submit a cell; gives the events that Ray brings."""
    needs = _resources(request)
    return task.options(num_cpus=needs["CPU"], num_gpus=needs["GPU"]).remote(json.dumps(request), cwd)


async def _cell(request: Request, begin: Callable[[], Any], gate: asyncio.Semaphore, tell: Tell) -> None:
    """Run a cell to its end, again where its node is lost.

    Args:
        request: What its worker is asked.
        begin: Submits it.
        gate: Lets some cells in at a time.
        tell: Gets the events.
    """
    index, lost = request["index"], "the task ended early"
    async with gate:
        for _ in range(1 + LOSSES):
            try:
                async for reference in begin():
                    event = json.loads(await reference)
                    if event["event"] == "died":
                        event = failed(index, death(event["status"]))
                    tell(event)
                    if event["event"] in ENDS:
                        return
            except OutOfMemoryError:
                tell(failed(index, "Ray has ended the process of the cell, because its node was short of memory"))
                return
            except RayTaskError as error:
                tell(failed(index, f"the node cannot run the cell: {' '.join(str(error.cause).split())}"))
                return
            except RayError as error:
                lost = type(error).__name__
    tell(failed(index, f"the cell has lost its node {1 + LOSSES} times (Ray: {lost})"))


def _resources(request: Request) -> dict[str, float]:
    """What a cell takes of its node, by Ray's names."""
    each = request["cell"]["processes"]
    return {"CPU": (request["cell"]["threads"] or 1) * each, "GPU": float((request["device"] == "cuda") * each)}


if __name__ == "__main__":
    main()
