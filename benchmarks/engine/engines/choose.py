"""The engine that a command names."""

from collections.abc import Sequence
from pathlib import Path

import torch

from clbench.benchmarks.engine.cell import Cell
from clbench.benchmarks.engine.engines.local_processes import LocalProcesses, gpus_for
from clbench.benchmarks.engine.engines.protocol import Engine
from clbench.benchmarks.engine.engines.ray_tasks import RayTasks
from clbench.benchmarks.engine.engines.slurm_jobs import SlurmJobs
from clbench.benchmarks.engine.worker_count import asked_number, worker_count
from clbench.core.errors import ConfigError

ENGINES = ("local", "ray", "slurm")


def engine_for(name: str, workers: str, cells: Sequence[Cell], device: torch.device, folder: Path) -> Engine | None:
    """The engine of that name; None where one process suffices, which is this one.

    Args:
        name: `local`, `ray` or `slurm`.
        workers: Most cells at a time: a number, or `auto`.
        cells: The cells to run.
        device: Device of the learners.
        folder: Folder of the suite.

    Raises:
        ConfigError: For another name or number, or cells that could take any number of threads of a shared machine.
    """
    if name not in ENGINES:
        raise ConfigError(f"--engine must be {', '.join(ENGINES)}, got {name!r}")
    if name == "local":
        count = worker_count(workers, cells, device)
        each = max((cell.processes for cell in cells), default=1)
        return LocalProcesses(gpus_for(count, device, each)) if count > 1 else None
    if device.type == "cpu" and not all(cell.threads for cell in cells):
        raise ConfigError(
            f"--engine {name}: the suite sets no threads, so that a cell would take all cores of its machine, and its "
            "numbers would depend on how many these are; use --set threads=1"
        )
    limit = asked_number(workers)
    return RayTasks(folder, limit) if name == "ray" else SlurmJobs(folder, limit)
