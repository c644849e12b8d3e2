"""The script for a GPU: what it checks, on a CPU as far as that goes, and on a GPU where there is one."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from clbench.benchmarks.engine.cell import Cell
from clbench.benchmarks.engine.cell_folder import CellFolder
from clbench.benchmarks.performance import __main__ as entry
from clbench.benchmarks.performance import _gpu_cells as cells
from clbench.benchmarks.performance import gpu
from clbench.core.registry import STRATEGIES

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
PAIRS = {pair.name: pair for pair in [*cells.pairs_of_strategies(), *cells.pairs_of_learners()]}
BLOCKED = """
import runpy, sys
sys.modules |= dict.fromkeys(("mlflow", "avalanche"))  # as if they were not there, also for those who only ask
sys.argv = ["gpu", "gpu", *sys.argv[1:]]
runpy.run_module("clbench.benchmarks.performance", run_name="__main__")
"""


def finder(minutes: float = 1.0) -> gpu.Finder:
    return gpu.Finder(CPU, True, 1, time.monotonic() + 60 * minutes)


def run_without(*options: str) -> subprocess.CompletedProcess[str]:
    """The script in a process that has neither MLflow nor Avalanche."""
    command = [sys.executable, "-c", BLOCKED, "--tiny", "--turns", "1", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_every_strategy_that_ships_is_in_a_cell(tmp_path: Path) -> None:
    shipped = {item.name for item in STRATEGIES.listings() if item.module.startswith("clbench.")}
    assert {str(name) for pair in PAIRS.values() for name in pair.entry.values()} >= shipped
    for pair in PAIRS.values():
        pair.cell(tmp_path, CPU)  # refused where the strategy does not fit


def test_it_begins_without_mlflow_and_avalanche() -> None:
    done = run_without("--minutes", "0")
    assert done.returncode == 0, done.stderr
    assert "the time was up" in done.stdout


@pytest.mark.slow
def test_it_runs_on_a_cpu_without_mlflow_and_avalanche(tmp_path: Path) -> None:
    done = run_without("--json", str(tmp_path / "found.json"))
    assert done.returncode == 0, done.stdout
    found = json.loads((tmp_path / "found.json").read_text())
    assert {check["section"] for check in found["checks"]} == {
        "data",
        "device",
        "resume",
        "same seed",
        "speed",
        "waits",
    }
    assert len(found["comparisons"]) == 7
    assert "ok      resume: mini-clip, finetune: equal" in done.stderr


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert entry.main(["gpu"]) == 2
    assert (
        capsys.readouterr().err == "gpu: wanted a GPU, torch finds none; --tiny shows on a CPU that the script runs\n"
    )


def test_a_section_that_fails_is_told_and_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    found, done = finder(), []

    def fail() -> None:
        raise RuntimeError("no kernel\nand more")

    def miss() -> None:
        raise ModuleNotFoundError("No module named 'avalanche'", name="avalanche.core")

    found.attempt("one", "fails", fail)
    found.attempt("one", "lacks a library", miss)

    def overflow() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    found.attempt("one", "is too large", overflow)
    found.attempt("two", "runs", lambda: done.append(1))
    assert done == [1]
    assert [(check.what, check.holds) for check in found.checks] == [
        ("fails", False),
        ("lacks a library", None),
        ("is too large", None),
    ]
    assert found.checks[0].said == "RuntimeError: no kernel"
    assert capsys.readouterr().err.splitlines()[0] == "FAILED  one: fails: RuntimeError: no kernel"


def test_no_work_begins_after_the_time() -> None:
    found = finder(minutes=-1)
    found.attempt("one", "late", lambda: pytest.fail("it began"))
    assert [check.said for check in found.checks] == ["the time was up"]


def test_a_failed_check_is_the_exit_status(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(self: gpu.Finder) -> None:
        self.check("data", "two and two", "five", False)

    monkeypatch.setattr(gpu.Finder, "data", wrong)
    monkeypatch.setattr(gpu, "TINY", ())
    for name in ("model", "osft", "decomposition"):
        monkeypatch.setattr(gpu.Finder, name, lambda self, *given: None)
    assert entry.main(["gpu", "--tiny"]) == 1


def test_bits_that_differ_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a device whose sums have no order: one run has other random numbers than the other."""
    pair = cells.Pair("mini-clip", {"name": "finetune"})
    plain, runs = cells._run, iter((0, 1, 2))

    def run(cell: Cell, folder: Path, device: torch.device, stop_after: int | None = None) -> CellFolder:
        return plain(replace(cell, seed=min(1, next(runs))), folder, device, stop_after)

    monkeypatch.setattr(cells, "_run", run)
    found = cells.differences(pair, CPU)
    assert set(found) == {"same seed", "resume"}
    assert all("weights apart by" in text and "% of the answers differ" in text for text in found.values())


def test_waits_are_counted_after_the_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    import warnings

    modes: list[str] = []
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)

    def train(on_step: Callable[[], None]) -> None:
        for waits in (5, 1, 0, 2):  # the first step may wait
            for _ in range(waits):
                warnings.warn("called a synchronizing CUDA operation", stacklevel=1)
            warnings.warn("something else", stacklevel=1)
            on_step()
        warnings.warn("called a synchronizing CUDA operation", stacklevel=1)

    waits, where = gpu.count_waits(train, 4)
    assert waits == 1
    assert len(where) == 1
    assert where[0].startswith("test_gpu.py:")
    assert modes == ["warn", "default"]


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.parametrize("name", PAIRS)
def test_same_seed_and_resume_on_a_gpu(name: str) -> None:
    assert set(cells.differences(PAIRS[name], CUDA).values()) == {""}


@pytest.mark.gpu
def test_samples_and_prefixes_on_a_gpu() -> None:
    found = gpu.Finder(CUDA, True, 1, time.monotonic() + 60)
    found.data()
    assert all(check.holds for check in found.checks)
