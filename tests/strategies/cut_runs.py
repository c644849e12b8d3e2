"""Cells that are run whole or cut off between two versions, as a kill would."""

from pathlib import Path
from typing import cast

import torch

from clbench.benchmarks.engine.cell import Cell
from clbench.benchmarks.engine.cell_folder import CellFolder
from clbench.benchmarks.engine.execution import CellRun, workplace_in
from clbench.contracts import Stacked, Strategy, StrategyConfig
from clbench.contracts.updating import handled_kinds
from clbench.core.registry import STRATEGIES

CPU = torch.device("cpu")
FOR_TASKS = [
    item.name
    for item in STRATEGIES.listings()
    if item.module.startswith("clbench.")
    and Stacked not in cast(type[Strategy[StrategyConfig]], STRATEGIES.get(item.name).value).requires
    and "learn" in handled_kinds(STRATEGIES.get(item.name).value)
]
"""Our strategies for streams of tasks on any learner. Those for one stack of blocks are in test_contract_images.py,
those for streams of releases in test_update_contract.py."""


class Killed(Exception):
    """Stands for a kill between two versions."""


def run(cell: Cell, folder: Path, stop_after: int | None = None) -> CellFolder:
    """Run or resume a cell, in new objects, as a new process would."""
    kept = CellFolder(folder)

    def after_version(version: int) -> None:
        if version == stop_after:
            raise Killed

    CellRun(cell, kept, workplace_in(folder, CPU), lambda doing, step, total: None).run(after_version)
    return kept


def passes_of(folder: CellFolder) -> list[tuple[float, float]]:
    """Samples that passed with and without gradient while each version was made, version 0 first."""
    assert folder.last_version is not None
    numbers = [folder.record(version).numbers for version in range(folder.last_version + 1)]
    return [(found["passes/with_gradient"], found["passes/without_gradient"]) for found in numbers]
