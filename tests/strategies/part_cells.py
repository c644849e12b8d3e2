"""Cells with one part in its slot, for the contract tests of parts."""

from pathlib import Path

import yaml

from clbench.benchmarks.engine.cell import Cell
from clbench.benchmarks.engine.suite import load_suite
from clbench.strategies._parts.slots import REGISTRIES, SLOTS

NEEDED: dict[str, dict[str, object]] = {"memory": {"size": 6}}
"""Settings that make a part of a slot do something on a tiny stream."""
LARGE_ONLY = {"adamw-8bit"}
"""Takes tensors of at least 4,096 values, which tiny models do not have; `test_adamw_8bit.py` is for it."""
PARTS = [
    (slot, listing.name)
    for slot in SLOTS
    for listing in REGISTRIES[slot].listings()
    if listing.module.startswith("clbench.") and listing.name not in LARGE_ONLY
]
"""Our parts, each with its slot."""


def cell_with(stream: str, folder: Path, strategy: dict[str, object], **budget: int) -> Cell:
    """The only cell of a suite over a stream.

    Args:
        stream: The stream's card.
        folder: Folder for the suite's file.
        strategy: Entry of the suite.
        **budget: Steps and batch size.
    """
    values = {"streams": [stream], "strategies": [strategy], "budget": {"steps": 3, "batch_size": 4, **budget}}
    path = folder / "suite.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return load_suite(str(path)).cells[0]


def entry(strategy: str, slot: str, part: str) -> dict[str, object]:
    """A suite's entry of a strategy with one part."""
    return {"name": strategy, slot: {"name": part, **NEEDED.get(slot, {})}}
