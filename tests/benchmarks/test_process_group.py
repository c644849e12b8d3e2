"""A cell that several processes run together: the same ledger as one process with batches in as many parts."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.strategies.cut_runs import CPU, Killed, passes_of
from tests.strategies.part_cells import cell_with

from clbench.benchmarks.engine.cell import Cell
from clbench.benchmarks.engine.cell_folder import CellFolder
from clbench.benchmarks.engine.execution import CellRun, workplace_in
from clbench.benchmarks.engine.process_group import together
from clbench.benchmarks.evaluation.split_predictions import Part, packed, unpacked
from clbench.contracts import Predictions
from clbench.core.errors import ClbenchError


def run(cell: Cell, folder: Path, stop_after: int | None = None) -> CellFolder:
    """Run or resume a cell with its processes."""
    kept = CellFolder(folder / "cell")

    def after_version(version: int) -> None:
        if version == stop_after:
            raise Killed

    with together(cell, kept, workplace_in(folder, CPU)) as workplace:
        CellRun(cell, kept, workplace, lambda doing, step, total: None).run(after_version)
    return kept


def pair(entry: dict[str, object], tiny: Any, folder: Path) -> tuple[CellFolder, CellFolder, int]:
    """A cell of one process, whose batches have two parts, and of two; with the number of the last version."""
    parts = cell_with(tiny.stream, folder, entry, micro_batch=2)
    cell = dataclasses.replace(parts, processes=2)
    assert cell.digest != parts.digest
    return run(parts, folder / "alone"), run(cell, folder / "both"), cell.load_stream().last_version


@pytest.mark.parametrize(
    "entry", [{"name": "finetune", "penalty": "l2"}, {"name": "lora", "optimizer": "muon"}], ids=str
)
def test_two_processes_are_one_with_batches_in_two_parts(entry: dict[str, object], tiny: Any, tmp_path: Path) -> None:
    alone, both, last = pair(entry, tiny, tmp_path)
    assert both.all_rows() == alone.all_rows()
    assert both.record(last).digest == alone.record(last).digest
    assert both.record(last).numbers["train/loss_last"] == alone.record(last).numbers["train/loss_last"]
    assert passes_of(both) == passes_of(alone) != []


def test_osft_adds_up_whole_gradients(tiny: Any, tmp_path: Path) -> None:
    """Where one process computes the coordinates alone, so the two are equal to round-off."""
    alone, both, last = pair({"name": "osft", "rank_rule": "fixed", "fraction": 0.7}, tiny, tmp_path)
    for name in ("train/loss_last", "update/norm", "osft/mean_rank"):
        assert both.record(last).numbers[name] == pytest.approx(alone.record(last).numbers[name], rel=1e-3)
    assert both.record(last).numbers["osft/leak"] < 1e-4


def test_a_run_that_was_cut_goes_on(tiny: Any, tmp_path: Path) -> None:
    cell = dataclasses.replace(cell_with(tiny.stream, tmp_path, {"name": "finetune"}), processes=2)
    whole = run(cell, tmp_path / "whole")
    with pytest.raises(Killed):
        run(cell, tmp_path / "cut", stop_after=1)
    assert run(cell, tmp_path / "cut").all_rows() == whole.all_rows()


def test_a_cell_in_shards_that_was_cut_goes_on(tiny: Any, tmp_path: Path) -> None:
    """Its ledger is that of processes with whole models: `test_weight_layout.py` has where it differs to round-off."""
    entry: dict[str, object] = {"name": "finetune", "clip_norm": None}
    whole = dataclasses.replace(cell_with(tiny.stream, tmp_path, entry), processes=2)
    cell = dataclasses.replace(whole, shard=True)
    assert cell.digest != whole.digest
    with pytest.raises(Killed):
        run(cell, tmp_path / "shards", stop_after=1)
    found, last = run(cell, tmp_path / "shards"), cell.load_stream().last_version
    plain = run(whole, tmp_path / "whole")
    assert found.all_rows() == plain.all_rows()
    assert found.record(last).digest == plain.record(last).digest


def test_a_process_that_dies_is_one_line(tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = dataclasses.replace(cell_with(tiny.stream, tmp_path, {"name": "finetune"}), processes=2)
    command = ("python3", "-c", "import sys; sys.stdin.readline(); print('no room'); sys.exit(3)")
    monkeypatch.setattr("clbench.benchmarks.engine.process_group.COMMAND", command)
    with pytest.raises(ClbenchError, match="process 1 of the cell ended with status 3: no room"):
        run(cell, tmp_path)


def test_predictions_keep_their_values_on_the_way() -> None:
    """Every kind of value: tensors of several types, texts, names; nothing where nothing was."""
    given: dict[int, Part] = {
        3: {
            "open": Predictions(["a", 'b "ü"'], finite=torch.tensor([True, False])),
            "task-id": Predictions(
                torch.tensor([1, 0]), torch.tensor([1, 1]), ("no", "yes"), torch.tensor([True, False])
            ),
        },
        0: {"open": Predictions([])},
    }
    found = unpacked(packed(given))
    assert found[0]["open"].prediction == []
    assert found[3]["open"].prediction == ["a", 'b "ü"']
    assert found[3]["open"].finite is not None
    assert found[3]["open"].finite.tolist() == [True, False]
    classes = found[3]["task-id"]
    assert classes.correct is not None
    assert (list(classes.names), classes.correct.tolist(), classes.score) == (["no", "yes"], [True, False], None)
