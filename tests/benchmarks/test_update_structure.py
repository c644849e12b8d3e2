"""What an update looks like: shares and ranks against hand arithmetic, NumPy, and runs whose weights are stored."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies.cut_runs import CPU
from torch import nn

from clbench.benchmarks.engine.cell_folder import CellFolder
from clbench.benchmarks.engine.execution import CellRun, workplace_in
from clbench.benchmarks.engine.learners import build_learner
from clbench.benchmarks.engine.stored_updates import StoredCell, lines_of, overlap_lines
from clbench.benchmarks.engine.suite import load_suite
from clbench.benchmarks.engine.update_structure import cosine, mean_ranks, overlap, rank_shares, unchanged_counts
from clbench.benchmarks.engine.weight_drift import Drift
from clbench.core.errors import ConfigError


def test_unchanged_counts_by_hand() -> None:
    before = torch.tensor([0.03, -0.03, 0.03, 0.03])  # root mean square 0.03: relative tolerance 3e-5
    change = torch.tensor([0.0, 9e-6, -2e-5, 1e-3])
    assert unchanged_counts(change, before).tolist() == [2, 3, 1]
    assert unchanged_counts(change, None).tolist() == [2, 1, 1]  # of a new tensor only zeros are unchanged


def test_a_small_dense_step_is_lost_in_bfloat16_and_not_in_float32() -> None:
    """Why shares of unchanged bfloat16 weights cannot be compared with ours."""
    weight = 0.02 * torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    step = 1e-5 * torch.randn(100_000, generator=torch.Generator().manual_seed(1)).sign()
    wide = (weight + step) - weight
    narrow = (weight + step).bfloat16().float() - weight.bfloat16().float()
    assert unchanged_counts(wide, weight)[2] / 1e5 < 0.001
    assert unchanged_counts(narrow, weight)[2] / 1e5 > 0.7


def test_rank_shares_by_hand() -> None:
    change = torch.zeros(4, 6)
    change[0, 0], change[1, 1] = 2.0, 1.0
    assert rank_shares(change).tolist() == pytest.approx([2 / 4, (4 + 1) / 4 / 4])
    assert rank_shares(torch.eye(5)).tolist() == pytest.approx([1, 1])
    assert rank_shares(torch.zeros(3, 2)).isnan().all()
    assert mean_ranks([rank_shares(change), rank_shares(torch.zeros(3, 2)), rank_shares(torch.eye(4))]) == (
        pytest.approx((0.75, (5 / 16 + 1) / 2))
    )
    assert mean_ranks([rank_shares(torch.zeros(3, 2))]) is None


@given(st.integers(0, 1000), st.integers(1, 5), st.integers(5, 9), st.integers(5, 9))
def test_ranks_are_numpys(seed: int, rank: int, rows: int, columns: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = (rng.normal(size=(rows, rank)) @ rng.normal(size=(rank, columns))).astype(np.float32)
    share, stable = rank_shares(torch.from_numpy(matrix)).tolist()
    side = min(rows, columns)
    assert share == np.linalg.matrix_rank(matrix) / side
    norms = np.linalg.norm(matrix, "fro"), np.linalg.norm(matrix, 2)
    assert stable == pytest.approx(norms[0] ** 2 / norms[1] ** 2 / side, rel=1e-4)
    assert 1 / side <= stable * (1 + 1e-6) <= share * (1 + 2e-6)


@given(st.integers(0, 1000))
def test_the_cosine_is_that_of_vectors(seed: int) -> None:
    one, other = np.random.default_rng(seed).normal(size=(2, 7))
    norms = [float(np.linalg.norm(x)) for x in (one, other, one + other)]
    assert cosine(*norms) == pytest.approx(one @ other / norms[0] / norms[1])
    assert cosine(0.0, norms[1], norms[1]) is None


def test_overlap_by_hand() -> None:
    one = {"a": torch.tensor([1.0, 1.0, 0.0, 0.0]), "b": torch.tensor([[1.0, 0.0]])}
    other = {"a": torch.tensor([-1.0, 1e-6, 1.0, 0.0]), "b": torch.tensor([[5.0, 0.0]])}
    assert overlap(one, other) == pytest.approx((2 / 3, 3 / 6))
    assert overlap(one, other, tolerance=1e-7) == pytest.approx((3 / 3, 4 / 6))
    assert math.isnan(overlap({"a": torch.zeros(4)}, other)[0])


def test_independent_masks_overlap_as_chance_says() -> None:
    generator = torch.Generator().manual_seed(0)
    one, other = ({"w": (torch.rand(300, 300, generator=generator) < share).float()} for share in (0.5, 0.2))
    common, chance = overlap(one, other)
    assert common == pytest.approx(chance, abs=0.01)


def test_a_learner_that_is_moved_by_hand(tiny: Any) -> None:
    learner = build_learner(tiny.learner, 0, CPU)
    name = next(layer.name for layer in learner.linear_layers() if layer.role == "q")
    weight = learner.module.get_parameter(f"{name}.weight")
    total = sum(p.numel() for p in learner.module.parameters())
    drift = Drift(learner)
    with torch.no_grad():
        weight[0, :2] += 1.0
    found = drift.measure()
    assert found["update/zeros"] == found["update/sparsity"] == pytest.approx(1 - 2 / total)
    assert found["update/rank"] == found["update/stable_rank"] == pytest.approx(1 / min(weight.shape))
    assert "update/cosine_drift" not in found  # nothing came before
    with torch.no_grad():
        weight[0, :2] -= 0.5
    assert drift.measure()["update/cosine_drift"] == pytest.approx(-1.0)
    still = drift.measure()
    assert still["update/zeros"] == 1.0
    assert not still.keys() & {"update/cosine_drift", "update/rank"}


def test_ranks_of_large_matrices_are_left_to_the_stored_versions(tiny: Any) -> None:
    learner = build_learner(tiny.learner, 0, CPU)
    name = learner.linear_layers()[0].name
    layer = learner.module.get_submodule(name)
    layer.weight = nn.Parameter(torch.zeros(257, 300))
    drift = Drift(learner)
    with torch.no_grad():
        learner.module.get_parameter(f"{name}.weight").add_(1.0)
    found = drift.measure()
    assert found["update/norm"] > 0
    assert "update/rank" not in found


def stored(write_suite: Callable[..., str], folder: Path, seed: int) -> Path:
    """A cell of `lora` on queries, of rank 2, whose weights are all kept."""
    cell = load_suite(write_suite({"name": "lora", "rank": 2, "roles": ["q"]}, seeds=[seed])).cells[0]
    kept = CellFolder(folder / "suite" / cell.key)
    running = CellRun(cell, kept, workplace_in(folder, CPU, keep="all"), lambda doing, step, total: None)
    running.run(lambda version: None)
    return kept.path


def test_stored_versions_say_what_was_recorded(write_suite: Callable[..., str], tmp_path: Path) -> None:
    path = stored(write_suite, tmp_path, 0)
    lines = list(lines_of(StoredCell.read(path)))[2:]
    rows = {(cells[0], cells[2]): cells[3:] for cells in ([c.strip() for c in line.split("|")[1:-1]] for line in lines)}
    assert {role for _, role in rows if role != "all"} > {"q", "k", "v"}
    for version in (1, 2, 3):
        numbers = CellFolder(path).record(version).numbers
        assert float(rows[str(version), "all"][0]) == pytest.approx(numbers["update/sparsity"], abs=6e-4)
        for column, name in ((1, "update/rank"), (2, "update/stable_rank")):
            assert float(rows[str(version), "q"][column]) == pytest.approx(numbers[name], abs=6e-4)
            assert rows[str(version), "k"] == ["1.000", "n/a", "n/a", "n/a"]
    assert rows["1", "all"][3] == "n/a"
    second = CellFolder(path).record(2).numbers["update/cosine_drift"]
    assert float(rows["2", "all"][3]) == pytest.approx(second, abs=6e-4)  # before it there is one update only


def test_two_seeds_are_compared_with_chance(write_suite: Callable[..., str], tmp_path: Path) -> None:
    one, two = (StoredCell.read(stored(write_suite, tmp_path, seed)) for seed in (0, 1))
    lines = list(overlap_lines(one, two))
    assert len(lines) == 2 + 3
    shared, chance = (float(cell) for cell in lines[2].split("|")[3:5])
    assert shared > 0.9  # both change the queries, and of these nearly every weight
    assert chance < 0.2


def test_without_weights_it_says_how_to_keep_them(write_suite: Callable[..., str], tmp_path: Path) -> None:
    path = stored(write_suite, tmp_path, 0)
    for file in tmp_path.glob("versions/*/weights.safetensors"):
        file.unlink()
    with pytest.raises(ConfigError, match="run with --keep all"):
        list(lines_of(StoredCell.read(path)))
