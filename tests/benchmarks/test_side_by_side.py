"""Cells in worker processes: the same bits, failures and deaths of one cell, what a worker is asked."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from tests.benchmarks.test_runner import Quiet

from clbench.benchmarks.engine.cell_request import cell_from_json, cell_to_json
from clbench.benchmarks.engine.engines.local_processes import LocalProcesses, gpus_for
from clbench.benchmarks.engine.runner import RunOptions, run_suite
from clbench.benchmarks.engine.suite import load_suite
from clbench.spec.ledger import read_ledger

CPU = torch.device("cpu")
DIES = '''"""A strategy whose process is killed."""
import os, signal
from clbench import Strategy, StrategyConfig, register

@register("dies", config=StrategyConfig)
class Dies(Strategy[StrategyConfig]):
    """Kills its process at the second task."""
    def learn(self, task):
        if len(self.seen) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
'''


def test_a_cell_survives_its_way_through_json(write_suite: Callable[..., str]) -> None:
    entries = ("zero-shot", {"name": "ewc", "lr": 1e-4}, {"name": "joint", "weights": {"one": 2.0}, "last_only": True})
    for cell in load_suite(write_suite(*entries, seeds=[0, 3], threads=1)).cells:
        other = cell_from_json(json.loads(json.dumps(cell_to_json(cell))))
        assert replace(other, streams={}) == replace(cell, streams={})
        assert (other.key, other.choices) == (cell.key, cell.choices)


def test_two_workers_give_the_bits_of_one_process(write_suite: Callable[..., str], tmp_path: Path) -> None:
    suite = load_suite(write_suite("zero-shot", "finetune", "replay", threads=1))
    threads = torch.get_num_threads()
    results = []
    two = LocalProcesses([None, None])
    for workers, engine in ((1, None), (2, two)):
        out, quiet = tmp_path / str(workers), Quiet()
        options = RunOptions(out, CPU, f"sqlite:///{tmp_path}/{workers}.db", engine=engine)
        result = run_suite(suite, options, quiet)
        assert not quiet.problems
        assert [outcome.status for outcome in result.outcomes] == ["finished"] * 3
        assert not result.unlogged
        results.append([read_ledger(outcome.folder.path / "ledger.parquet") for outcome in result.outcomes])
    torch.set_num_threads(threads)
    assert all(one.equals(other) for one, other in zip(*results, strict=True))
    again = run_suite(suite, RunOptions(tmp_path / "2", CPU, f"sqlite:///{tmp_path}/2.db", engine=two), Quiet())
    assert [outcome.status for outcome in again.outcomes] == ["kept"] * 3


def test_a_worker_that_is_killed_fails_its_cell_and_no_other(write_suite: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "dies.py").write_text(DIES)
    suite = load_suite(write_suite(str(tmp_path / "dies.py"), {"name": "finetune", "lr": 1e20}, "zero-shot"))
    quiet = Quiet()
    result = run_suite(
        suite, RunOptions(tmp_path, CPU, f"sqlite:///{tmp_path}/mlflow.db", engine=LocalProcesses([None, None])), quiet
    )
    assert [outcome.status for outcome in result.outcomes] == ["failed", "failed", "finished"]
    assert "ended by signal 9 (perhaps for memory)" in result.outcomes[0].error
    assert "the loss is not finite" in result.outcomes[1].error
    assert [outcome.defect for outcome in result.outcomes] == [False, False, False]
    assert result.outcomes[0].folder.last_version == 1
    assert len(quiet.problems) == 2


def test_workers_on_a_cpu_see_no_gpu_of_their_own() -> None:
    assert gpus_for(3, CPU) == [None, None, None]
