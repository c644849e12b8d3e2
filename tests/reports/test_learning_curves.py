"""Curves of learning by steps: on made cells whose scores are known, and by the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.command import Command
from tests.reports.run_folders import Answers, write_cell

from clbench.reports.finished_cells import finished_cells
from clbench.reports.learning_curves import LearningCurve, learning_curves


def _answers(right: list[int]) -> Answers:
    """Of 20 samples of each task, so many are right from when it was learnt; none before."""
    tasks = len(right)
    found = np.zeros((tasks + 1, tasks, 20), dtype=bool)
    for task, number in enumerate(right):
        found[task + 1 :, task, :number] = True
    return found


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two tasks; `a` learns both at 10 steps, `b` the second one at 20 only."""
    for steps, method, right in (
        (5, "a", [4, 6]),
        (10, "a", [14, 16]),
        (20, "a", [15, 16]),
        (5, "b", [16, 2]),
        (10, "b", [2, 16]),
        (20, "b", [16, 15]),
        (50, "per-task", [14, 16]),
        (5, "per-task", [20, 20]),
    ):
        write_cell(tmp_path, _answers(right), method, steps=steps)
    write_cell(tmp_path, _answers([16, 16]), "a", 1, steps=10)
    return tmp_path


def test_scores_right_after_learning_are_put_together_by_steps(runs: Path) -> None:
    """The reference is the method at its most steps, not at its best; seeds are averaged."""
    cells, _ = finished_cells([runs])
    (found,), left_out = learning_curves(cells, "per-task")
    assert not left_out
    assert (found.reference_steps, found.seeds, found.reference) == (50, 2, {"task0": 0.7, "task1": 0.8})
    assert found.curves["a"].learnt == {
        5: {"task0": 0.2, "task1": 0.3},
        10: {"task0": pytest.approx(0.75), "task1": 0.8},
        20: {"task0": 0.75, "task1": 0.8},
    }


def test_enough_steps_are_those_from_which_on_every_task_is_learnt() -> None:
    """A gap that opens again later does not count as closed."""
    reference = {"x": 0.8, "y": 0.6}
    curve = LearningCurve({5: {"x": 0.8, "y": 0.6}, 10: {"x": 0.7, "y": 0.6}, 20: {"x": 0.79, "y": 0.7}})
    gap, task = curve.gap(10, reference)
    assert gap == pytest.approx(0.1)
    assert task == "x"
    assert curve.gap(5, reference)[0] == 0
    assert curve.enough(reference, 0.03) == 20
    assert curve.enough(reference, 0.11) == 5
    assert curve.enough(reference, 0.001) is None


def test_the_command_prints_and_draws(clbench: Command, runs: Path, tmp_path: Path) -> None:
    """Mean and largest gap of each budget, and where there is enough."""
    picture = tmp_path / "curves.png"
    done = clbench("budget", runs, "--plot", picture)
    assert done.returncode == 0, done.stderr
    assert "1 seed" not in done.stdout
    assert "reference per-task at 50 steps" in done.stdout
    (row,) = (line.split() for line in done.stdout.splitlines() if line.split()[:1] == ["b"])
    assert " ".join(row) == "b 45.0 / 70.0 45.0 / 60.0 77.5 / 5.0 no"
    assert picture.read_bytes().startswith(b"\x89PNG")
    answer = json.loads(clbench("budget", runs, "--json").stdout)
    assert answer["streams"][0]["curves"]["b"]["learnt"]["5"] == {"task0": 0.8, "task1": 0.1}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--reference", "joint"], "no cell of joint, whose scores are the reference"),
        (["--points", "100"], "--points must be at least 0 and below 100"),
        (["--plot", "curves.svg"], "--plot must be a .png file, got curves.svg"),
        (["--protocol", "open"], "no scores of protocol 'open'"),
    ],
)
def test_bad_input_is_one_line(clbench: Command, runs: Path, arguments: list[str], message: str) -> None:
    """Exit status 2."""
    done = clbench("budget", runs, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
