"""The noise of a stream's numbers: by simulation of known noise, on folders of cells, and by the command line."""

import json
import shutil
from collections.abc import Hashable
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from scipy import stats
from tests.command import Command
from tests.reports.run_folders import random_answers, write_cell

from clbench.core.errors import DataError
from clbench.reports.finished_cells import finished_cells
from clbench.reports.statistics.measured import Measured
from clbench.reports.statistics.paired_difference import paired_difference
from clbench.reports.statistics.sample_draws import SampleDraws
from clbench.reports.statistics.stream_power import method_pairs, number_power, stream_powers
from clbench.reports.statistics.visible_difference import visible_difference
from clbench.spec.update import Learn


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


@pytest.mark.parametrize("seeds", [3, 5])
def test_whole_experiments_show_the_visible_difference_in_80_percent(seeds: int) -> None:
    """Methods of which each is better on samples of its own; the noise is measured first, then the test is tried."""
    rng, draws = np.random.default_rng(0), SampleDraws.draw([0] * 300, resamples=150)

    def experiment(shift: float) -> dict[str, Measured]:
        difficulty, found = rng.normal(0, 1, 300), {}
        for method, gain in (("a", shift), ("b", 0.0)):
            own, training = rng.normal(0, 0.5, 300), rng.normal(0, 0.08, (seeds, 1))
            answers = (gain + difficulty + own + training + rng.normal(0, 0.5, (seeds, 300)) > 0).astype(float)
            drawn = draws.task_means(answers)[:, :, 0]
            values: dict[Hashable, float] = dict(enumerate(answers.mean(axis=1).tolist()))
            found[method] = Measured(values, {seed: drawn[:, seed] for seed in range(seeds)}, draws.degrees_of_freedom)
        return found

    noise = [number_power(experiment(0.0), seeds, draws.degrees_of_freedom, 0.02) for _ in range(150)]
    training = fmean((each.paired_training or 0) ** 2 for each in noise) ** 0.5
    sampling = fmean((each.paired_sampling or 0) ** 2 for each in noise) ** 0.5
    visible = visible_difference(training, sampling, seeds, draws.degrees_of_freedom)
    assert visible is not None
    shift = stats.norm.ppf(0.5 + visible) * (1 + 0.5**2 + 0.08**2 + 0.5**2) ** 0.5
    signs = [[_sign(experiment(gain)) for _ in range(500)] for gain in (shift, 0.0)]
    seen, false = (fmean(sign != 0 for sign in each) for each in signs)
    assert 0.75 < seen < 0.87
    assert false < 0.08


def _sign(methods: dict[str, Measured]) -> int:
    return paired_difference(methods["a"], methods["b"]).sign


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


def test_the_noise_floor_of_flips_is_that_of_all_ordered_pairs_of_seeds(suite: Path) -> None:
    cells, _ = finished_cells([suite])
    (found,), _ = stream_powers(cells, lambda cell: {}, 0.02)
    floors = []
    for first in (0, 3):  # cells of methods a and b were made of these seeds of answers
        last = [random_answers(first + seed)[-1] for seed in range(3)]
        floors += [(one & ~other).mean() for one in last for other in last if one is not other]
    assert found.nfr_floor == pytest.approx(np.mean(floors))


def test_the_seed_may_draw_the_order_of_tasks(tmp_path: Path) -> None:
    orders = [tuple(Learn(task=f"task{task}") for task in order) for order in ((0, 1, 2), (2, 0, 1))]
    for number, (method, seed) in enumerate([("a", 0), ("a", 1), ("b", 0), ("b", 1)]):
        write_cell(tmp_path, random_answers(number), method, seed, updates=orders[seed])
    cells, _ = finished_cells([tmp_path])
    (found,), problems = stream_powers(cells, lambda cell: {}, 0.02)
    assert not problems
    assert (found.methods, found.runs, found.orders) == (2, 2, 2)


def test_a_single_seed_has_sampling_noise_only(suite: Path) -> None:
    cells, _ = finished_cells([next(suite.glob("*--c--*"))])
    (found,), _ = stream_powers(cells, lambda cell: {}, 0.02)
    assert found.runs == 1
    assert found.numbers["last"].training is None
    assert found.numbers["last"].visible is None
    assert found.nfr_floor is None
    assert found.numbers["last"].sampling > 0


def test_pairs_are_named_by_their_means_and_sorted_by_their_errors() -> None:
    """Three runs: of differences 1, 2, 3 the mean is 2 and the error 1 / sqrt 3; scipy has the interval."""
    values: dict[str, dict[Hashable, float]] = {
        "a": {0: 1.0, 1: 1.0, 2: 1.0, 3: 9.0},
        "b": {0: 2.0, 1: 3.0, 2: 4.0},
        "c": {0: 11.0, 1: 11.0, 2: 11.1},
        "d": {7: 1.0},
    }
    pairs = method_pairs({name: Measured(of) for name, of in values.items()})
    assert [(pair.one, pair.other) for pair in pairs] == [("c", "a"), ("c", "b"), ("b", "a")]
    last = pairs[-1]
    assert [last.mean, last.error] == pytest.approx([2, 3**-0.5])
    assert last.in_errors == pytest.approx(2 * 3**0.5)
    assert [last.low, last.high] == pytest.approx(stats.t.interval(0.95, 2, 2, 3**-0.5))


def test_the_command_prints_pairs(suite: Path, clbench: Command) -> None:
    """A table of all pairs below that of the noise, and how many are told apart."""
    done = clbench("power", suite, "--pairs", "last")
    assert done.returncode == 0
    assert "Last, pairs of methods" in done.stdout
    assert " pairs 0 differ by more than three errors; of " in done.stdout


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
        (["power", suite, "--pairs", "bwt"], "--pairs must be one of last, forgetting, nfr, got 'bwt'"),
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
