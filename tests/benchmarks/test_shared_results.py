"""What cells of a run have in common is computed once, and changes nothing."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests.strategies.update_streams import QUICK, write_card, write_suite

from clbench.benchmarks import clock
from clbench.benchmarks.engine.cell_folder import CellFolder
from clbench.benchmarks.engine.execution import CellRun, Workplace
from clbench.benchmarks.engine.samples import SampleStore
from clbench.benchmarks.engine.shared_results import SharedResults
from clbench.benchmarks.engine.suite import load_suite
from clbench.benchmarks.engine.version_store import VersionStore
from clbench.benchmarks.evaluation.evaluator import Evaluator
from clbench.contracts import Task
from clbench.spec.ledger import read_ledger
from clbench.strategies._training.gradient import GradientTraining

CPU = torch.device("cpu")
COSTS = ("train", "eval", "decode", "taken_over")
STEPS = {"steps": 6, "batch_size": 8}


def run_all(path: str, out: Path, shared: Callable[[], SharedResults]) -> list[CellFolder]:
    """The cells of a suite, each with what `shared` gives."""
    folders = []
    for cell in load_suite(path).cells:
        folder = CellFolder(out / cell.key)
        apart = VersionStore(out / "versions of" / cell.key)  # so that cells share only what `shared` has
        workplace = Workplace(SampleStore(CPU, out / "cache"), apart, CPU, shared())
        CellRun(cell, folder, workplace, lambda doing, step, total: None).run(lambda version: None)
        folders.append(folder)
    return folders


def test_results_are_kept_by_key_and_the_oldest_go() -> None:
    shared = SharedResults(limit=20)
    made: list[str] = []

    def make(name: str) -> Callable[[], str]:
        def made_now() -> str:
            made.append(name)
            return name

        return made_now

    for name in ("a", "b", "a", "c", "a", "b"):  # a was asked for after b, so b makes room for c
        assert shared.once(name, make(name), lambda text: 10) == name
    assert made == ["a", "b", "c", "b"]
    shared.once("large", make("large"), lambda text: 21)
    shared.once("large", make("large"), lambda text: 21)
    assert made[-2:] == ["large", "large"]


def test_update_strategies_share_their_first_stage_to_the_bit(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("naive-update", "continue-update", "muscle", "bcwi", "ensemble")
    suite = write_suite(write_card(tiny, tmp_path), tmp_path, *({"name": n, **QUICK} for n in names), budget=STEPS)
    alone = run_all(suite, tmp_path / "alone", SharedResults)
    stages: list[int] = []
    train = GradientTraining._train

    def counted(self: GradientTraining[Any], task: Task, total: int) -> torch.Tensor:
        stages.append(total)
        return train(self, task, total)

    monkeypatch.setattr(GradientTraining, "_train", counted)
    together = SharedResults()
    shared = run_all(suite, tmp_path / "shared", lambda: together)
    assert len(stages) == 2 * 2 + 2 * 2  # two releases with two tasks each, and two strategies with a second stage
    for one, two in zip(alone, shared, strict=True):
        assert read_ledger(one.path / "ledger.parquet").equals(read_ledger(two.path / "ledger.parquet"))
        for version in range(3):
            before, after = one.record(version), two.record(version)
            assert before.digest == after.digest
            costs = ("seconds/", "memory/")
            assert {k: v for k, v in before.numbers.items() if not k.startswith(costs)} == {
                k: v for k, v in after.numbers.items() if not k.startswith(costs)
            }


def test_what_others_computed_counts_among_the_costs(tiny: Any, tmp_path: Path) -> None:
    pair = ({"name": "naive-update", **QUICK}, {"name": "bcwi", **QUICK})
    suite = write_suite(write_card(tiny, tmp_path), tmp_path, *pair, budget=STEPS)
    together = SharedResults()
    first, second = run_all(suite, tmp_path / "out", lambda: together)
    assert second.record(1).numbers["seconds/train"] > 0.5 * first.record(1).numbers["seconds/train"]


def test_equal_tests_cost_alike_in_every_cell_and_decoding_is_apart(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time goes on only where a test (10 s) or the decoding of a split (100 s) happens."""
    time = [0.0]
    monkeypatch.setattr(clock, "time", SimpleNamespace(perf_counter=lambda: time[0]))

    def slow(seconds: float, owner: Any, name: str) -> None:
        usual = getattr(owner, name)

        def slowly(*arguments: Any, **named: Any) -> Any:
            time[0] += seconds
            return usual(*arguments, **named)

        monkeypatch.setattr(owner, name, slowly)

    slow(10.0, Evaluator, "evaluate")
    slow(100.0, SampleStore, "_encode")
    path = tmp_path / "two.yaml"
    path.write_text(f"streams: ['{tiny.stream}']\nlearners: ['{tiny.learner}']\nstrategies: [zero-shot, finetune]\n")
    store, together = SampleStore(CPU, tmp_path / "cache"), SharedResults()
    told = []
    for cell in load_suite(str(path)).cells:
        folder = CellFolder(tmp_path / cell.key)
        workplace = Workplace(store, VersionStore(tmp_path / "versions of" / cell.key), CPU, together)
        CellRun(cell, folder, workplace, lambda doing, step, total: None).run(lambda version: None)
        numbers = [folder.record(version).numbers for version in range(4)]
        told.append([[found[f"seconds/{name}"] for found in numbers] for name in COSTS])
    zero_shot, finetune = told
    assert zero_shot == [[0.0] * 4, [10.0] * 4, [300.0, 0.0, 0.0, 0.0], [0.0, 10.0, 10.0, 10.0]]
    assert finetune == [[0.0] * 4, [10.0] * 4, [300.0, 100.0, 100.0, 100.0], [310.0, 0.0, 0.0, 0.0]]


def test_equal_weights_are_tested_once(tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tested: list[int] = []
    evaluate = Evaluator.evaluate

    def counted(self: Evaluator, learner: Any, version: int, predictor_of: Any = None) -> Any:
        tested.append(version)
        return evaluate(self, learner, version, predictor_of)

    monkeypatch.setattr(Evaluator, "evaluate", counted)
    path = tmp_path / "two.yaml"
    path.write_text(f"streams: ['{tiny.stream}']\nlearners: ['{tiny.learner}']\nstrategies: [zero-shot, finetune]\n")
    together = SharedResults()
    zero_shot, _ = run_all(str(path), tmp_path / "out", lambda: together)
    last = zero_shot.last_version
    assert last is not None
    assert tested == list(range(last + 1))  # version 0 for both, then finetune's
    rows = read_ledger(zero_shot.path / "ledger.parquet")
    assert sorted(set(rows["version"].to_pylist())) == list(range(last + 1))


def test_an_ensemble_is_not_taken_for_the_model_in_it(tiny: Any, tmp_path: Path) -> None:
    pair = ({"name": "naive-update", **QUICK}, {"name": "ensemble", **QUICK})
    suite = write_suite(write_card(tiny, tmp_path), tmp_path, *pair, budget=STEPS)
    naive, ensemble = run_all(suite, tmp_path / "out", SharedResults)
    assert naive.record(1).digest == ensemble.record(1).digest
    assert naive.record(2).digest != ensemble.record(2).digest
