"""The noise of a stream's numbers: by simulation of known noise, on folders of cells, and by the command line."""

import json
import shutil
from collections.abc import Hashable
from pathlib import Path

import numpy as np
import pytest
from tests.command import Command
from tests.reports.run_folders import random_answers, write_cell

from clbench.core.errors import DataError
from clbench.reports.finished_cells import finished_cells
from clbench.reports.statistics.measured import Measured
from clbench.reports.statistics.stream_power import number_power, stream_powers
from clbench.reports.statistics.visible_difference import visible_difference


def test_known_noise_is_found() -> None:
    """Runs differ by 0.02; draws of the samples move all runs of a method by 0.01, and all methods by 0.05."""
    rng = np.random.default_rng(0)
    common, methods = rng.normal(0, 0.05, 2000), {}
    for name in "abcdefgh":
        own, runs = rng.normal(0, 0.01, 2000), rng.normal(0.5, 0.02, 5).tolist()
        values: dict[Hashable, float] = dict(enumerate(runs))
        methods[name] = Measured(values, {run: value + common + own for run, value in values.items()}, 500)
    found = number_power(methods, 5, 500, 0.05)
    assert found.sampling == pytest.approx((0.05**2 + 0.01**2) ** 0.5, rel=0.05)
    assert found.training == pytest.approx(0.02, rel=0.2)
    assert found.paired_sampling == pytest.approx(0.01 * 2**0.5, rel=0.05)
    assert found.paired_training == pytest.approx(0.02 * 2**0.5, rel=0.2)
    assert found.paired_training is not None
    assert found.paired_sampling is not None
    assert found.visible == visible_difference(found.paired_training, found.paired_sampling, 5, 500)
    assert found.runs_to_see is not None


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two methods with three seeds, a third one with a single seed, and a cell that is not finished."""
    place = tmp_path_factory.mktemp("suite")
    for number, (method, seed) in enumerate([("a", 0), ("a", 1), ("a", 2), ("b x=1", 0), ("b x=1", 1), ("b x=1", 2)]):
        write_cell(place, random_answers(number), method, seed)
    write_cell(place, random_answers(9), "c", 0)
    shutil.copytree(next(place.glob("*--c--*")), place / "unfinished")
    (place / "unfinished" / "result.json").unlink()
    return place


def test_the_noise_of_a_suite(suite: Path) -> None:
    cells, left_out = finished_cells([suite])
    assert [line.rpartition("/")[2] for line in left_out] == ["result.json: No such file or directory"]
    (found,), problems = stream_powers(cells, lambda cell: {}, 0.02)
    assert not problems
    assert (found.stream, found.methods, found.runs, found.orders) == ("made", 3, 3, 1)
    assert (found.samples, found.clusters) == (60, 60)
    last = {cell.seed: cell.result.matrix("task-id").scores[3].mean() for cell in cells[:3]}
    other = {cell.seed: cell.result.matrix("task-id").scores[3].mean() for cell in cells[3:6]}
    spread = np.var(list(last.values()), ddof=1), np.var(list(other.values()), ddof=1)
    assert found.numbers["last"].training == pytest.approx(np.mean(spread) ** 0.5)
    differences = [last[seed] - other[seed] for seed in last]
    assert found.numbers["last"].paired_training == pytest.approx(np.std(differences, ddof=1))
    accuracy = np.mean([cell.result.matrix("task-id").scores[3].mean() for cell in cells])
    assert found.numbers["last"].sampling == pytest.approx((accuracy * (1 - accuracy) / 60) ** 0.5, rel=0.15)


def test_a_single_seed_has_sampling_noise_only(suite: Path) -> None:
    cells, _ = finished_cells([next(suite.glob("*--c--*"))])
    (found,), _ = stream_powers(cells, lambda cell: {}, 0.02)
    assert found.runs == 1
    assert found.numbers["last"].training is None
    assert found.numbers["last"].visible is None
    assert found.numbers["last"].sampling > 0


def test_the_command_prints_a_table_and_json(suite: Path, clbench: Command) -> None:
    done = clbench("power", suite)
    assert done.returncode == 0
    assert "made / tiny / test / task-id: 3 methods, 3 seeds in common, 1 order, 60 test samples" in done.stdout
    assert "left out: " in done.stderr
    assert "each test sample counts as independent" in done.stderr  # the stream is not registered
    answer = json.loads(clbench("power", suite, "--json", "--points", "5").stdout)
    assert answer["points"] == 5
    assert set(answer["streams"][0]["numbers"]) == {"last", "forgetting", "nfr"}


def test_bad_input_is_one_line(suite: Path, tmp_path: Path, clbench: Command) -> None:
    for arguments, message in (
        (["power", tmp_path / "none"], "no such folder"),
        (["power", tmp_path], "no folder of a cell (cell.json) is in there"),
        (["power", suite, "--points", "0"], "--points must be above 0"),
        (["power", suite, "--protocol", "open"], "no rows of protocol 'open'"),
        (["power", suite / "unfinished"], "result.json: No such file or directory"),
    ):
        done = clbench(*arguments)
        assert done.returncode == 2
        assert message in done.stderr.splitlines()[-1]
        assert len(done.stderr.splitlines()) == 1
    with pytest.raises(DataError, match="no such folder"):
        finished_cells([tmp_path / "none"])
