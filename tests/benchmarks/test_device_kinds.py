"""A cell goes on only on a device of the kind that it was begun on, and shares no versions with another kind."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.strategies.cut_runs import Killed, run

from clbench.benchmarks.engine import execution
from clbench.benchmarks.engine.suite import load_suite
from clbench.core.errors import CheckpointError


def test_a_gpu_without_bfloat16_is_a_kind_of_its_own(
    write_suite: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = load_suite(write_suite("finetune")).cells[0]
    here = run(cell, tmp_path / "cell")
    with pytest.raises(Killed):
        run(cell, tmp_path / "cut", stop_after=1)
    monkeypatch.setattr(execution, "device_kind", lambda device: "cuda without bfloat16")
    with pytest.raises(CheckpointError, match="was begun on cpu, this is cuda without bfloat16; go on there, or use"):
        run(cell, tmp_path / "cut")
    there = run(cell, tmp_path / "other")
    assert here.record(1).device == "cpu"
    assert there.record(1).device == "cuda without bfloat16"
    assert {here.record(v).key for v in range(4)}.isdisjoint(there.record(v).key for v in range(4))
