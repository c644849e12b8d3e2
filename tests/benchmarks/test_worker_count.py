"""The number of workers, by cores, memory and what the suite says."""

from collections.abc import Callable

import pytest
import torch

from clbench.benchmarks.engine import worker_count as module
from clbench.benchmarks.engine.suite import load_suite
from clbench.benchmarks.engine.worker_count import GIB, fitting, largest, worker_count
from clbench.core.errors import ConfigError

CPU = torch.device("cpu")


def test_auto_is_what_cores_hold(write_suite: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cores", lambda: 4)
    one = load_suite(write_suite("zero-shot", "finetune", seeds=[0, 1, 2], threads=1)).cells
    assert worker_count("auto", one, CPU) == 4
    assert worker_count("auto", one[:3], CPU) == 3
    two = load_suite(write_suite("zero-shot", "finetune", seeds=[0, 1, 2], threads=2)).cells
    assert worker_count("auto", two, CPU) == 2
    assert worker_count("auto", load_suite(write_suite("zero-shot", "finetune")).cells, CPU) == 1
    assert worker_count("auto", load_suite(write_suite("zero-shot", threads=8)).cells, CPU) == 1
    assert worker_count("7", one, CPU) == 6


def test_auto_is_no_more_than_memory_holds(write_suite: Callable[..., str]) -> None:
    assert fitting(8 * GIB, lambda: GIB // 12) == 4
    assert fitting(8 * GIB, lambda: 4 * GIB) == 1
    cells = load_suite(write_suite("zero-shot", "finetune")).cells
    assert 10_000 < largest(cells) < 10_000_000


@pytest.mark.parametrize("asked", ["0", "-1", "two", "1.5", "", "²"])
def test_other_numbers_are_refused(asked: str) -> None:
    with pytest.raises(ConfigError, match="--workers must be auto or a number from 1 on, got"):
        worker_count(asked, [], CPU)
