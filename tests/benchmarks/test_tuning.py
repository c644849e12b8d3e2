"""Tuning: equal numbers of trials, no point twice, the same after a kill, and what a suite makes of the result."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product
from math import inf
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from clbench.benchmarks.engine.cell import Cell
from clbench.benchmarks.engine.runner import RunOptions
from clbench.benchmarks.engine.suite import SuiteChanges, load_suite
from clbench.benchmarks.tuning.assignments import parse_grids
from clbench.benchmarks.tuning.criterion import Criterion, criterion_of
from clbench.benchmarks.tuning.grid import Point, Variant, trials_of, variants_of
from clbench.benchmarks.tuning.plan import Request, plan_search
from clbench.benchmarks.tuning.points import Points
from clbench.benchmarks.tuning.search import Found, best_of, run_search
from clbench.benchmarks.tuning.trials import Trial
from clbench.benchmarks.tuning.tuned_record import TUNED_CARDS, Chosen, Tuned, read_tuned, write_tuned
from clbench.contracts import StrategyConfig
from clbench.core.errors import ClbenchError, ConfigError, RegistryError
from clbench.reports.matrix import ScoreMatrix
from clbench.spec.ledger import read_ledger

WriteSuite = Callable[..., str]


class Killer:
    """A listener that interrupts the search when a cell begins."""

    def __init__(self, at: int = -1) -> None:
        self._at = at
        self.begun = 0

    def on_cell_start(self, index: int, cell: Cell, versions: int) -> None:
        """Count, and interrupt at the given one."""
        if self.begun == self._at:
            raise KeyboardInterrupt
        self.begun += 1

    def on_version_end(self, *arguments: object) -> None:
        """Nothing."""

    on_cell_end = on_step = on_problem = on_version_end


def search(request: Request, out: Path, killer: Killer | None = None) -> Found:
    """Plan and run on the CPU."""
    plan = plan_search(request)
    options = RunOptions(out, torch.device("cpu"), f"sqlite:///{out / 'mlflow.db'}")
    return run_search(plan, plan.cells(out), options, killer or Killer())


def grid_of(*sizes: int, numbers: bool = True) -> Variant:
    """A grid of so many values a setting."""
    grid: dict[str, tuple[object, ...]] = {
        f"s{i}": tuple(range(size)) if numbers else tuple(map(str, range(size))) for i, size in enumerate(sizes)
    }
    return Variant("any", {}, grid, {point: StrategyConfig() for point in product(*map(range, sizes))}, ())


def tried(points: Points, loss: Callable[[Point], float]) -> list[Point]:
    """All points that are asked for, each told its loss."""
    found = []
    for _ in range(points.number):
        found.append(points.ask())
        points.tell(loss(found[-1]))
    return found


@settings(max_examples=25)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.integers(1, 12),
    st.integers(0, 9),
    st.booleans(),
    st.lists(st.floats(-5, 5) | st.just(inf), min_size=12, max_size=12),
)
def test_no_point_is_tried_twice_and_all_where_there_are_few(
    sizes: list[int], trials: int, seed: int, numbers: bool, losses: list[float]
) -> None:
    variant = grid_of(*sizes, numbers=numbers)
    found = tried(Points(variant, trials, seed), lambda point: losses[sum(point)])
    assert len(found) == len(set(found)) == min(trials, len(variant.points))
    assert set(found) <= set(variant.points)
    if len(variant.points) <= trials:
        assert found == list(variant.points)
    assert found == tried(Points(variant, trials, seed), lambda point: losses[sum(point)]), "same seed, same points"


def bowl(best: Point, point: Point) -> float:
    """Steeper to the low side of the scale."""
    return sum((x - b) ** 2 / (1 + b) for x, b in zip(point, best, strict=True))


def test_twenty_of_ninety_points_hold_the_best_more_often_than_draws_at_random() -> None:
    """A bowl whose lowest point is moved about; twenty draws without returning would hold it in 20/90 of all cases."""
    hits = 0
    for seed in range(12):
        best = (seed % 6, seed // 3 % 5, seed % 3)
        hits += best in tried(Points(grid_of(6, 5, 3), 20, seed), partial(bowl, best))
    assert hits >= 7  # at random: 2.7 expected, 7 or more in 1 of 100 cases


def test_grids_are_read_as_yaml_and_numbers_ascend() -> None:
    assert parse_grids(
        ["lr=1e-3, 0.0001", "a.schedule=cosine,constant", "clip_norm=null,1", "betas=[0.9, 0.9],[0, 0]"]
    ) == {
        "lr": (0.0001, 0.001),
        "a.schedule": ("cosine", "constant"),
        "clip_norm": (None, 1),
        "betas": ([0.9, 0.9], [0, 0]),
    }


def test_every_strategy_gets_as_many_trials_as_the_shared_grid_has_points(write_suite: WriteSuite) -> None:
    cells = load_suite(write_suite("finetune", "lora", "zero-shot")).cells
    grids = parse_grids(["lr=0.1,0.2,0.3", "lora.rank=1,2", "strategy.warmup=0,0.1"])
    variants, untuned = variants_of(cells, grids)
    assert {variant.title: len(variant.points) for variant in variants} == {"finetune": 6, "lora": 12}
    assert untuned == ["zero-shot"]
    assert trials_of(grids, variants, None) == 6
    assert trials_of(grids, variants, 4) == 4
    alone = parse_grids(["lora.rank=1,2"])
    assert trials_of(alone, variants_of(cells, alone)[0], None) == 2


def test_a_grid_for_one_strategy_goes_before_the_shared_one(write_suite: WriteSuite) -> None:
    variants, _ = variants_of(load_suite(write_suite("finetune", "lora")).cells, parse_grids(["lr=1,2", "lora.lr=3"]))
    assert [variant.grid for variant in variants] == [{"lr": (1, 2)}, {"lr": (3,)}]


def test_entries_that_differ_in_what_is_searched_are_one_and_others_are_several(write_suite: WriteSuite) -> None:
    entries = [{"name": "lora", "lr": 0.1}, {"name": "lora", "lr": 0.2}, {"name": "lora", "rank": 2, "label": "small"}]
    cells = load_suite(write_suite(*entries), SuiteChanges(seeds=[1, 2])).cells
    variants, _ = variants_of(cells, parse_grids(["lr=0.3,0.4"]))
    assert [(variant.given, len(variant.cells)) for variant in variants] == [({}, 2), ({"rank": 2}, 2)]
    assert [cell.label for cell in variants[1].cells_at((0,))] == ["lora lr=0.3 rank=2"] * 2
    assert variants[1].edges((0,)) == ["lr=0.3 (lowest)"]


def test_lower_is_better_where_the_metric_says_so(write_suite: WriteSuite) -> None:
    stream = load_suite(write_suite("finetune")).cells[0].load_stream()
    forgetting = criterion_of("union.forgetting.chaudhry", stream)
    assert (forgetting.protocol, forgetting.direction) == ("union", "lower")
    last = criterion_of("mtil.last", stream)
    matrix = ScoreMatrix(("a", "b"), np.array([[0.1, 0.2], [0.9, 0.3], [0.6, 0.8]]))
    assert last.value_of(matrix) == pytest.approx(0.7)
    assert forgetting.value_of(matrix) == pytest.approx(0.3)
    variant = grid_of(4)
    trials = [Trial(variant, (i,), (), value) for i, value in enumerate([0.3, 0.7, 0.3, None])]
    best = {c.direction: best_of(trials, c) for c in (last, forgetting)}
    assert {direction: trial.point for direction, trial in best.items() if trial} == {"higher": (1,), "lower": (0,)}
    assert best_of(trials[3:], last) is None


def test_a_metric_that_needs_two_tasks_is_refused_for_a_stream_of_one(write_suite: WriteSuite) -> None:
    stream = load_suite(write_suite("finetune")).cells[0].load_stream()
    with pytest.raises(ConfigError, match=r"--criterion forgetting\.chaudhry: not defined on tiny: needs at least 2"):
        criterion_of("forgetting.chaudhry", replace(stream, tasks=stream.tasks[:1], updates=stream.updates[:1]))


def test_a_search_that_is_cut_off_goes_on_to_the_same_bytes(write_suite: WriteSuite, tmp_path: Path) -> None:
    """A grid of nine for three trials: what is tried depends on the values of those before."""
    request = Request(write_suite("lora"), ["lora.rank=1,2,4", "lr=1e-4,1e-3,1e-2"], trials=3)
    with pytest.raises(KeyboardInterrupt):
        search(request, tmp_path / "cut", Killer(at=2))
    assert not list((tmp_path / "cut").glob("*.yaml"))
    again = Killer()
    cut = search(request, tmp_path / "cut", again)
    straight = search(request, tmp_path / "straight", whole := Killer())
    assert (again.begun, whole.begun) == (1, 3)
    assert cut.tuned is not None
    assert cut.path.read_bytes() == straight.path.read_bytes()
    assert read_tuned(str(cut.path)) == cut.tuned


def test_a_wider_grid_keeps_the_trials_that_are_there(write_suite: WriteSuite, tmp_path: Path) -> None:
    path = write_suite("finetune")
    search(Request(path, ["lr=1e-4,1e-3"]), tmp_path)
    more = search(Request(path, ["lr=1e-4,1e-3,1e-2"]), tmp_path, killer := Killer())
    assert killer.begun == 1
    assert more.tuned is not None
    assert (more.tuned.trials_each, len(more.trials), more.unlogged) == (3, 3, [])


def test_over_several_seeds_a_value_is_their_mean(write_suite: WriteSuite, tmp_path: Path) -> None:
    found = search(Request(write_suite("finetune"), ["lr=0.003"], seeds=(100, 101)), tmp_path)
    (trial,) = found.trials
    folders = [next(tmp_path.glob(f"suite--*/*seed{seed}*")) for seed in (100, 101)]
    assert [cell.key for cell in trial.cells] == [folder.name for folder in folders]
    lasts = []
    for cell in trial.cells:
        scores = plan_folder(tmp_path, cell).result(cell.load_stream()).matrix("task-id").scores
        lasts.append(float(scores[-1].mean()))
    assert trial.value == pytest.approx(fmean(lasts))


def plan_folder(out: Path, cell: Cell) -> Any:
    """Where a trial's cell is."""
    from clbench.benchmarks.engine.cell_folder import CellFolder

    return CellFolder(next(out.glob(f"*/{cell.key}")))


def result(suite: str, *chosen: Chosen, seeds: tuple[int, ...] = (100,)) -> Tuned:
    """A made-up result for the tiny stream and learner."""
    stream, learner, _ = load_suite(suite, SuiteChanges(overrides={"tuned": []})).cells[0].names
    values: dict[str, Any] = {
        "schema": 1,
        "suite": "suite",
        "stream": stream,
        "learner": learner,
        "split": "validation",
        "seeds": seeds,
        "budget": {"steps": 4, "batch_size": 8},
        "criterion": "mtil.last",
        "protocol": "task-id",
        "direction": "higher",
        "trials_each": 2,
        "packages": {},
        "chosen": [choice.model_dump() for choice in chosen],
        "trials": [],
    }
    return Tuned.model_validate(values)


def test_chosen_settings_fill_in_below_explicit_ones(write_suite: WriteSuite, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    plain = Chosen(strategy="lora", settings={"lr": 0.5}, value=0.1)
    special = Chosen(strategy="lora", given={"rank": 2}, settings={"lr": 0.25, "weight_decay": 0.125}, value=0.1)
    write_tuned(result(write_suite("lora"), plain, special), path)
    entries: list[Any] = [
        "lora",
        {"name": "lora", "rank": 2},
        {"name": "lora", "rank": 3},
        {"name": "lora", "rank": 2, "lr": 0.75},
        "finetune",
    ]
    suite = write_suite(*entries, tuned=[str(path)])
    found = [(cell.label, cell.config.model_dump()) for cell in load_suite(suite).cells]
    assert [(label, values["lr"], values["weight_decay"]) for label, values in found] == [
        ("lora", 0.5, 0.0),
        ("lora rank=2", 0.25, 0.125),
        ("lora rank=3", 0.5, 0.0),
        ("lora lr=0.75 rank=2", 0.75, 0.125),
        ("finetune", 0.0003, 0.0),
    ]
    (cell,) = load_suite(suite, SuiteChanges(strategies=["finetune"], overrides={"finetune.lr": 0.1})).cells
    assert cell.config.model_dump()["lr"] == 0.1
    untuned = load_suite(suite, SuiteChanges(strategies=["lora"], overrides={"tuned": []})).cells[0]
    assert untuned.config.model_dump()["lr"] == 0.002


def test_an_optimizer_does_not_get_a_rate_that_was_searched_for_another(
    write_suite: WriteSuite, tmp_path: Path
) -> None:
    path = tmp_path / "r.yaml"
    plain = Chosen(strategy="lora", settings={"lr": 0.5}, value=0.1)
    slow = Chosen(strategy="lora", given={"optimizer": {"name": "sgd"}}, settings={"lr": 0.25}, value=0.1)
    write_tuned(result(write_suite("lora"), plain, slow), path)
    entries: list[Any] = [
        {"name": "lora", "memory": "random"},
        {"name": "lora", "optimizer": {"name": "sgd"}},
        {"name": "lora", "optimizer": {"name": "sgd", "momentum": 0.5}},
        {"name": "lora", "optimizer": "muon"},
    ]
    found = [cell.config.model_dump()["lr"] for cell in load_suite(write_suite(*entries, tuned=[str(path)])).cells]
    assert found == [0.5, 0.25, 0.002, 0.002]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stream": "other"}, r"tuned: nothing for tiny / .* \(`--set tuned=\[\]` runs without tuned settings\)"),
        ({"seeds": [0]}, r"tuned: .* was chosen with seed 0, which must not be reported on test data"),
        ({"split": "test"}, r"tuned result r\.yaml: split must be 'validation', got 'test'"),
        ({"schema": 2}, r"tuned result r\.yaml: schema must be 1, got 2"),
        ({"chosen": [{"strategy": "lora", "settings": {"lrr": 1}, "value": 1}]}, "unknown setting 'lrr': did you mean"),
        ({"chosen": [{"strategy": "lora", "settings": {"lr": -1}, "value": 1}]}, "lr must be greater than 0, got -1"),
        ({"extra": 1}, "unknown setting 'extra'"),
    ],
)
def test_results_that_do_not_fit_are_one_line(
    write_suite: WriteSuite, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "r.yaml"
    write_tuned(result(write_suite("lora")), path)
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | change))
    with pytest.raises(ClbenchError, match=message) as caught:
        load_suite(write_suite("lora", tuned=str(path)))
    assert "\n" not in str(caught.value)


def test_two_results_for_one_strategy_and_unknown_names_are_refused(write_suite: WriteSuite, tmp_path: Path) -> None:
    paths = [str(tmp_path / "r.yaml"), str(tmp_path / "s.yaml")]
    for path in paths:
        write_tuned(result(write_suite("lora"), Chosen(strategy="lora", settings={"lr": 0.5}, value=0.1)), Path(path))
    with pytest.raises(ConfigError, match="are both for lora on tiny / "):
        load_suite(write_suite("lora", tuned=paths))
    with pytest.raises(RegistryError, match="unknown tuned result 'nowhere'"):
        load_suite(write_suite("lora", tuned="nowhere"))


def test_results_of_one_pair_add_up_where_their_strategies_differ(write_suite: WriteSuite, tmp_path: Path) -> None:
    paths = [str(tmp_path / "r.yaml"), str(tmp_path / "s.yaml")]
    for path, strategy in zip(paths, ("lora", "finetune"), strict=True):
        chosen = Chosen(strategy=strategy, settings={"lr": 0.5}, value=0.1)
        write_tuned(result(write_suite("lora"), chosen), Path(path))
    cells = load_suite(write_suite("lora", "finetune", "ewc", tuned=paths)).cells
    assert [cell.config.model_dump()["lr"] for cell in cells] == [0.5, 0.5, 0.0003]


def test_every_result_that_ships_is_sound() -> None:
    for name in TUNED_CARDS.names():
        assert read_tuned(name).trials, name


def test_a_criterion_without_a_finite_value_has_none() -> None:
    never = Criterion("mtil.last", "task-id", "higher")
    with pytest.raises(ClbenchError, match="was not measured"):
        never.value_of(ScoreMatrix(("a",), np.array([[0.5], [np.nan]])))
    assert never.loss(None) == inf


def test_a_search_by_the_end_tests_the_last_version_only(write_suite: WriteSuite, tmp_path: Path) -> None:
    suite = write_suite("finetune")
    by_end = plan_search(Request(suite, ["lr=0.001"]))
    by_all = plan_search(Request(suite, ["lr=0.001"], criterion="mtil.average"))
    (end,), (all_of_it,) = ([v.cells[0] for v in plan.variants] for plan in (by_end, by_all))
    assert end.last_only
    assert not all_of_it.last_only
    assert end.digest != all_of_it.digest
    found = search(Request(suite, ["lr=0.001"]), tmp_path)
    thorough = search(Request(suite, ["lr=0.001"], criterion="mtil.average"), tmp_path / "all")
    folder = next(path for path in tmp_path.rglob("result.json") if "all" not in path.parts).parent
    other = next((tmp_path / "all").rglob("result.json")).parent
    rows = read_ledger(folder / "ledger.parquet")
    last = max(rows["version"].to_pylist())
    assert set(rows["version"].to_pylist()) == {last}
    theirs = read_ledger(other / "ledger.parquet")
    assert rows.equals(theirs.filter(pc.equal(theirs["version"], last)))
    assert found.trials[0].value is not None
    assert thorough.trials[0].value is not None
