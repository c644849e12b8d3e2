"""The forecast of a suite: sizes and steps by hand, seconds of a strategy whose steps take a known time."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from clbench.benchmarks.engine.learners import build_learner
from clbench.benchmarks.engine.suite import load_suite
from clbench.benchmarks.forecast import forecast
from clbench.benchmarks.forecast.forecast import StepCost, TaskSize, forecast_suite, total_seconds
from clbench.cli.main import main

CPU = torch.device("cpu")
SLOW = '''"""Steps and ends of tasks that take their time, on a clock of their own; notes the first weights."""
import virtual_clock
from clbench.contracts import Strategy, StrategyConfig
from clbench.core.registry import STRATEGIES

@STRATEGIES.register("paced", config=StrategyConfig)
class Paced(Strategy[StrategyConfig]):
    """10 ms a step, 2 ms for each sample of its batch, 0.1 s at the end of a task."""
    def number_of_steps(self, task):
        return self.context.budget.steps

    def learn(self, task):
        virtual_clock.digests.add(self.learner.digest())
        for step in range(self.context.budget.steps):
            virtual_clock.now += 0.01 + 0.002 * self.context.budget.batch_size
            self.context.progress(step + 1, self.context.budget.steps)
        virtual_clock.now += 0.1
'''


def test_sizes_and_steps_are_counted(write_suite: Callable[..., str]) -> None:
    suite = load_suite(write_suite("zero-shot", "finetune", "joint", "replay", seeds=[0, 1]))
    found = forecast_suite(suite.cells, CPU)
    assert found.tasks == {"tiny": tuple(TaskSize(name, 3, 3, 24, 15) for name in ("one", "two", "three"))}
    assert [(each.cell.label, each.steps) for each in found.cells[::2]] == [
        ("zero-shot", 0),
        ("finetune", 3 * 4),
        ("joint", 4 * (1 + 2 + 3)),
        ("replay", 3 * 4),
    ]
    assert [each.cell.seed for each in found.cells] == [0, 1] * 4
    assert not found.problems
    zero_shot, finetune = found.cells[0], found.cells[2]
    assert zero_shot.train_seconds == 0 < finetune.train_seconds
    assert zero_shot.test_seconds > 0
    assert zero_shot.samples_mib == pytest.approx(3 * (24 + 15) * (3 * 16 * 16 + 8) / 2**20)
    assert min(each.peak_mib for each in found.cells) > 50


def test_a_memory_is_measured_with_batches_that_hold_new_and_kept_samples(write_suite: Callable[..., str]) -> None:
    entry = {"name": "finetune", "memory": {"name": "random", "size": 6}}
    suite = load_suite(write_suite(entry, budget={"steps": 4, "batch_size": 4}))
    assert forecast_suite(suite.cells, CPU).cells[0].train_seconds > 0


def test_versions_that_are_not_made_or_tested_cost_nothing(write_suite: Callable[..., str]) -> None:
    entries = [{"name": name, "last_only": True, "label": f"{name}, end"} for name in ("finetune", "joint")]
    suite = load_suite(write_suite("joint", *entries))
    found = {each.cell.label: each for each in forecast_suite(suite.cells, CPU).cells}
    assert found["finetune, end"].steps == 3 * 4
    assert found["joint, end"].steps == 4 * 3
    for end in ("finetune, end", "joint, end"):
        assert 4 * found[end].test_seconds == pytest.approx(found["joint"].test_seconds)


def test_seconds_are_those_of_the_steps(
    write_suite: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=0.0, digests=set())
    monkeypatch.setitem(sys.modules, "virtual_clock", clock)
    monkeypatch.setattr(forecast.Bench, "_clock", lambda self: clock.now)
    (tmp_path / "paced.py").write_text(SLOW)
    suite = load_suite(write_suite(str(tmp_path / "paced.py"), budget={"steps": 100, "batch_size": 32}, seeds=[0, 1]))
    found = forecast_suite(suite.cells, CPU)
    expected = 300 * (0.01 + 0.002 * 32) + 3 * 0.1
    assert found.cells[0].train_seconds == pytest.approx(expected)
    one = found.cells[0]
    assert total_seconds(found.cells) == pytest.approx(2 * (one.train_seconds + one.test_seconds) + one.decode_seconds)


def test_every_strategy_is_measured_on_an_untouched_learner(
    write_suite: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=0.0, digests=set())
    monkeypatch.setitem(sys.modules, "virtual_clock", clock)
    (tmp_path / "paced.py").write_text(SLOW)
    suite = load_suite(write_suite({"name": "finetune", "lr": 0.1}, str(tmp_path / "paced.py")))
    forecast_suite(suite.cells, CPU)
    cell = suite.cells[0]
    assert clock.digests == {build_learner(cell.learner, cell.seed, CPU, cell.precision).digest()}


def test_a_step_is_linear_in_samples_and_classes() -> None:
    assert StepCost(1.0, 0.5, 0.25, 9.0, 0.0).seconds(4, 8) == 1 + 2 + 2


def test_the_command_prints_and_writes_nothing(
    write_suite: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = write_suite("zero-shot", "finetune"), tmp_path / "out"
    monkeypatch.setattr("sys.argv", ["clbench", "run", path, "--dry-run", "--json", "--out", str(out)])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 0
    printed: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert [cell["steps"] for cell in printed["cells"]] == [0, 12]
    assert not out.exists()


def test_random_weights_in_place_of_ones_that_cannot_be_had() -> None:
    assert forecast.with_random_weights("t5:google-t5/t5-large")[0] == "t5:random:t5-large"
    assert forecast.with_random_weights("open_clip:ViT-B-16/openai")[1] == "open_clip:ViT-B-16"


def test_weights_that_cannot_be_had_are_a_problem(
    write_suite: Callable[..., str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    path = write_suite("zero-shot", learners=["open_clip:RN50-quickgelu/no_such_file.safetensors"])
    monkeypatch.setattr("sys.argv", ["clbench", "run", path, "--dry-run"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    told = capsys.readouterr()
    assert "no_such_file.safetensors" in told.err
    assert "all cells" in told.out
