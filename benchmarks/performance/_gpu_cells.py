"""Cells of two updates, run whole and cut off after the first: same seed, same bits; a resumed cell ends with them."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import torch
import yaml

from clbench.benchmarks.engine.cell import Cell
from clbench.benchmarks.engine.cell_folder import CellFolder
from clbench.benchmarks.engine.execution import CellRun, workplace_in
from clbench.benchmarks.engine.suite import load_suite
from clbench.benchmarks.performance._suite_files import SuiteFiles
from clbench.contracts import Budget, Precision, Stacked, TakesPrompts
from clbench.contracts.updating import handled_kinds
from clbench.core.checkpoints import load_tensors
from clbench.core.registry import STRATEGIES

BUDGET = Budget(steps=2, batch_size=8)
LEARNERS: Mapping[str, tuple[str, tuple[str, str]]] = {
    "mini-clip": ("clip-mini", ("digits", "flags")),
    "mini-vit": ("ultrasound-mini", ("breast_lesion", "breast_2cls")),
    "mini-t5": ("text-open", ("topic", "factbook")),
    "mini-llama": ("text-open", ("topic", "factbook")),
}
"""Learners that ship, each with a stream that ships and two of its tasks."""
ON_ALL = ("finetune", "lora", "osft", "codyra")
"""Strategies that every learner is checked with."""
SETTINGS: Mapping[str, Mapping[str, object]] = {"telly": {"augment": False}, "head-only": {"augment": False}}
"""Settings under which what frozen blocks give is computed once and kept."""


class _CutOffError(Exception):
    """Stands for a kill between two versions."""


@dataclass(frozen=True)
class Pair:
    """A cell of two updates.

    Attributes:
        learner: One of `LEARNERS`.
        entry: Entry of a suite.
        second: The second update, as a card names it; None for learning another task, `adopt` for a stream of releases.
    """

    learner: str
    entry: Mapping[str, object]
    second: Mapping[str, object] | str | None = None

    @property
    def name(self) -> str:
        """Learner and strategies."""
        return f"{self.learner}, {self.entry.get('name') or ', '.join(map(str, self.entry.values()))}"

    def cell(self, folder: Path, device: torch.device) -> Cell:
        """The cell; on a CPU in bfloat16, which a GPU would choose.

        Args:
            folder: Folder for card and suite.
            device: Device of the cell.
        """
        precision: Precision = "bfloat16" if device.type == "cpu" else "auto"
        if self.second == "adopt":
            values = {"streams": ["update-mini"], "strategies": [dict(self.entry)], "budget": BUDGET.model_dump()}
            suite = folder / "updates.yaml"
            suite.write_text(yaml.safe_dump({**values, "precision": precision}), encoding="utf-8")
            return load_suite(str(suite)).cells[0]
        stream, names = LEARNERS[self.learner]
        files = SuiteFiles(folder, stream, self.learner, BUDGET, precision)
        tasks = [task for task in files.tasks() if task["name"] in names]
        assert not isinstance(self.second, str)
        updates = [{"learn": names[0]}, self.second or {"learn": names[1]}]
        return files.suite("pair", tasks, updates, self.entry).cells[0]


def pairs_of_learners() -> list[Pair]:
    """Every learner with some strategies."""
    return [Pair(learner, {"name": name}) for learner in LEARNERS for name in ON_ALL]


def pairs_of_strategies() -> Iterator[Pair]:
    """Every registered strategy that ships, with a learner that has what it requires."""
    for listing in STRATEGIES.listings():
        if not listing.module.startswith("clbench."):
            continue
        name, built = listing.name, STRATEGIES.get(listing.name).value
        kinds = handled_kinds(built)
        needs: Sequence[type] = getattr(built, "requires", ())
        learner = "mini-vit" if Stacked in needs or TakesPrompts in needs else "mini-clip"
        if "learn" in kinds:
            yield Pair(learner, {"name": name, **SETTINGS.get(name, {})})
        elif "adopt" in kinds:
            yield Pair("mini-llama", {"name": name}, "adopt")
        elif "compress" in kinds:
            budget = {"sparsity": 0.5} if name == "prune" else {"bits": 4}
            yield Pair(learner, {"learn": "finetune", "compress": name}, {"compress": budget})
        else:
            forget = {"forget": {"task": LEARNERS[learner][1][0], "category": "3"}}
            yield Pair(learner, {"learn": "finetune", "forget": name}, forget)


def differences(pair: Pair, device: torch.device) -> dict[str, str]:
    """Run a cell whole and another time cut off and resumed.

    Args:
        pair: What is run.
        device: Where.

    Returns:
        By `same seed` and `resume`, an empty text for equal bits, else how far apart they are.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cell = pair.cell(folder, device)
        whole = _run(cell, folder / "whole", device)
        with contextlib.suppress(_CutOffError):
            _run(cell, folder / "cut", device, stop_after=1)
        found = {"same seed": _apart(whole, CellFolder(folder / "cut"), 1)}
        cut = _run(cell, folder / "cut", device)
        last = whole.last_version
        assert last is not None
        return {**found, "resume": _apart(whole, cut, last)}


def _run(cell: Cell, folder: Path, device: torch.device, stop_after: int | None = None) -> CellFolder:
    def after_version(version: int) -> None:
        if version == stop_after:
            raise _CutOffError

    place = workplace_in(folder, device, keep="all")
    CellRun(cell, CellFolder(folder), place, lambda doing, step, total: None).run(after_version)
    return CellFolder(folder)


def _apart(one: CellFolder, other: CellFolder, version: int) -> str:
    rows, others = one.rows(version), other.rows(version)
    if one.record(version).digest == other.record(version).digest and rows.equals(others):
        return ""
    answers = pc.mean(pc.cast(pc.not_equal(rows["prediction"], others["prediction"]), "float64")).as_py() or 0.0
    weights = [_weights(folder, version) for folder in (one, other)]
    if None in weights:
        return f"{100 * answers:.2g} % of the answers differ"
    first, second = (found or {} for found in weights)
    gap = sum(float((first[key].double() - second[key].double()).square().sum()) for key in first) ** 0.5
    size = sum(float(tensor.double().square().sum()) for tensor in first.values()) ** 0.5
    return f"weights apart by {gap / size:.1e} of their norm, {100 * answers:.2g} % of the answers differ"


def _weights(folder: CellFolder, version: int) -> dict[str, Any] | None:
    paths = list((folder.path / "versions" / folder.record(version).key).rglob("weights.safetensors"))
    return load_tensors(paths[0]) if paths else None
