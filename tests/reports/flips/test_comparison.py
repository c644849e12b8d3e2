"""The comparison of two ledgers: against a loop over samples, whatever the order, the batches and the place of rows."""

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.reports.flips.ledgers import graded, random_rows, rows, table, write

from clbench.core.errors import ClbenchError, DataError, MetricError
from clbench.reports.flips.comparison import Comparison, compare
from clbench.reports.flips.comparison_json import to_dict
from clbench.reports.flips.contingency import ContingencyTable
from clbench.reports.flips.flip_metrics import nfr
from clbench.reports.flips.gate import decide
from clbench.reports.flips.graded import MAX_UNGROUPED, change_histogram, graded_flips, graded_intervals
from clbench.reports.flips.predictions import Predictions
from clbench.reports.flips.statistics import mcnemar_exact
from clbench.spec.ledger import SCHEMA

Made = list[dict[str, Any]]
OLD, NEW = random_rows(1), random_rows(2)


def compared(old: Made, new: Made, **settings: Any) -> Comparison:
    return compare(Predictions("old", table(old)), Predictions("new", table(new)), **settings)


def counted(old: Made, new: Made) -> dict[str, ContingencyTable]:
    """The tables by task, sample by sample."""
    known = {(row["task"], row["sample_id"]): row for row in old}
    cells: dict[str, Counter[int]] = {}
    for row in new:
        before = known.get((row["task"], row["sample_id"]))
        if before is not None:
            same = before["prediction"] == row["prediction"]
            cell = {(1, 1): 0, (1, 0): 1, (0, 1): 2}.get((before["correct"], row["correct"]), 3 if same else 4)
            cells.setdefault(row["task"], Counter())[cell] += 1
    return {task: ContingencyTable(*(found[cell] for cell in range(5))) for task, found in cells.items()}


def test_a_loop_over_samples_finds_the_same() -> None:
    found = compared(OLD, NEW)
    expected = counted(OLD, NEW)
    assert {task: result.counts.table for task, result in found.tasks.items()} == expected
    assert found.table == ContingencyTable.total(expected.values())
    assert found.table.n == 600
    assert found.mcnemar_p == mcnemar_exact(found.table.negative_flips, found.table.positive_flips)
    assert ContingencyTable.total(t for _, _, t in found.classes) == found.table
    for model in ("old", "new"):
        assert ContingencyTable.total(found.confidence[model].values()) == found.table
    assert found.n_worse == found.table.negative_flips == len(found.worst)


def test_classes_and_confidences_worked_by_hand() -> None:
    old = rows(["a", "b", "a", "b"], ["a", "b", "a", "b"], confidence=0.95)
    new = rows(["a", "c", "b", "a"], ["a", "b", "a", "b"], confidence=0.25)
    found = compared(old, new)
    assert [(name, t) for _, name, t in found.classes] == [("b", ContingencyTable(0, 2)), ("a", ContingencyTable(1, 1))]
    assert found.confidence == {"old": {9: ContingencyTable(1, 3)}, "new": {2: ContingencyTable(1, 3)}}
    assert found.counts.nfr_confidence_sum == pytest.approx(3 * 0.25)


@pytest.mark.parametrize("seed", range(3))
def test_order_batches_and_place_change_nothing(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    shuffled = [[made[i] for i in rng.permutation(len(made))] for made in (OLD, NEW)]
    paths = [tmp_path / "old [1]*.parquet", tmp_path / "new.parquet"]
    for path, made in zip(paths, shuffled, strict=True):
        with pq.ParquetWriter(path, SCHEMA) as writer:
            for start in range(0, len(made), 37):
                writer.write_table(table(made[start : start + 37]))
    found, expected = (
        to_dict(compare(Predictions("old", paths[0]), Predictions("new", paths[1]))),
        to_dict(compared(OLD, NEW)),
    )
    for name in ("nfr_confidence_weighted", "pfr_confidence_weighted"):  # sums of confidences: the last bit may differ
        assert found.pop(name) == pytest.approx(expected.pop(name))
    assert (found == expected) is True  # without pytest's account of the difference, which takes a minute


def test_batches_add_up() -> None:
    parts = [compared(OLD[i : i + 100], NEW[i : i + 100]) for i in range(0, 600, 100)]
    assert ContingencyTable.total(part.table for part in parts) == compared(OLD, NEW).table


def test_what_does_not_match_is_counted_by_task() -> None:
    found = compared(OLD[:150], [row for row in NEW if row["task"] != "task 2"][20:])
    assert (found.table.n, found.counts.old_only, found.counts.new_only) == (130, 20, 250)
    assert {task: r.counts.new_only for task, r in found.tasks.items()} == {"task 0": 50, "task 1": 200}
    assert found.tasks["task 1"].counts.table.n == 0
    assert to_dict(found)["unmatched"] == {"old": 20, "new": 250, "unscored": 0}


def test_the_worst_flips_are_those_with_the_highest_new_confidence() -> None:
    target = ["a"] * 4
    old = [
        {**r, "confidence": c} for r, c in zip(rows(["a", "a", "a", "a"], target), [0.9, 0.8, 0.7, 0.6], strict=True)
    ]
    new = [
        {**r, "confidence": c} for r, c in zip(rows(["b", "c", "a", "b"], target), [0.5, 0.9, 0.9, 0.9], strict=True)
    ]
    found = compared(old, new)
    assert [flip.sample_id for flip in found.worst] == ["s1", "s3", "s0"]
    first = found.worst[0]
    assert (first.target, first.old_prediction, first.new_prediction) == ("a", "a", "c")
    assert (first.old_confidence, first.new_confidence) == pytest.approx((0.8, 0.9))


def test_a_version_and_a_protocol_are_chosen() -> None:
    made = [
        {**row, "version": version, "protocol": protocol}
        for version, protocol in itertools.product((0, 1, 2), ("union", "task-id"))
        for row in random_rows(10 * version + len(protocol), 20, 1)
    ]
    both = table(made)
    found = compare(Predictions("old", both, 0), Predictions("new", both))
    assert found.protocol == "union"
    assert found.table == ContingencyTable.total(counted(random_rows(5, 20, 1), random_rows(25, 20, 1)).values())
    other = compare(Predictions("old", both, 1, "task-id"), Predictions("new", both, 2, "task-id"))
    assert other.table == ContingencyTable.total(counted(random_rows(17, 20, 1), random_rows(27, 20, 1)).values())


@pytest.mark.parametrize("n", [50, MAX_UNGROUPED + 1000])  # every change by itself, and changes in groups
def test_graded_scores(n: int) -> None:
    rng = np.random.default_rng(0)
    old, new = rng.random(n), np.clip(rng.random(n) * 0.3 + 0.4, 0, 1)
    new[:5] = old[:5]
    found = compared(graded(old.tolist()), graded(new.tolist()), dead_band=0.05)
    changes = change_histogram(old, new)
    for result, band in zip(found.graded, (0.0, 0.05), strict=True):
        expected = graded_flips(changes, band)
        assert (result.flips.losses, result.flips.gains) == (expected.losses, expected.gains)
        assert result.flips.mean_loss == pytest.approx(expected.mean_loss)
        assert result.flips.mean_change == pytest.approx(expected.mean_change)
        for name, interval in graded_intervals(changes, band).items():
            got = result.intervals[name]
            assert got is not None
            assert interval is not None
            width = interval.high - interval.low
            assert (got.low, got.high) == pytest.approx((interval.low, interval.high), abs=0.12 * width)
    for flips, all_of_them in zip(found.graded_by_task["texts"], found.graded, strict=True):
        assert (flips.losses, flips.gains) == (all_of_them.flips.losses, all_of_them.flips.gains)
        assert flips.mean_loss == pytest.approx(all_of_them.flips.mean_loss)
        assert flips.mean_change == pytest.approx(all_of_them.flips.mean_change)
    assert found.n_worse == found.graded[1].flips.losses
    assert found.worst[0].sample_id == f"s{np.argmin(new - old)}"
    assert to_dict(found)["nfr"] is None
    better = compared(graded(old.tolist()), graded(new.tolist()), lower_is_better=True)
    assert better.graded[0].flips.gains == found.graded[0].flips.losses


def test_scores_that_repeat_right_and_wrong_are_not_graded_scores() -> None:
    same = [{**row, "score": float(row["correct"])} for row in OLD]
    assert compared(same, [{**row, "score": float(row["correct"])} for row in NEW]).graded == []
    assert compared(same, [{**row, "score": 0.3} for row in NEW]).graded[0].flips.n == 600


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            OLD,
            [{**r, "task": "x"} for r in NEW[:9]],
            "no task in common: old has 'task 0', 'task 1', 'task 2'; new has 'x'",
        ),
        (OLD, [{**r, "sample_id": f"x{r['sample_id']}"} for r in NEW], "old and new: no sample in common"),
        (OLD, NEW + NEW[3:4], "new: task 'task 0': sample 's3' is there 2 times"),
        (
            OLD,
            [{**r, "target": "other"} for r in NEW],
            "600 samples have different targets, sample 's0' of task 'task 0'",
        ),
        (
            OLD,
            [{**r, "prediction": None} for r in NEW],
            "600 of 600 answers are marked right or wrong but have no pred",
        ),
        (OLD, [], "new: the ledger has no rows"),
        (graded([0.5]), graded([float("nan")]), "new: 1 of 1 scores are not finite"),
        (OLD, [{**r, "protocol": "x"} for r in NEW], "new, version 1: no protocol 'task-id': known: x"),
    ],
)
def test_ledgers_that_cannot_be_compared_say_why(old: Made, new: Made, message: str) -> None:
    with pytest.raises(DataError) as caught:
        compared(old, new)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_files_say_so(tmp_path: Path) -> None:
    whole, cut = write(tmp_path / "whole.parquet", OLD), tmp_path / "cut.parquet"
    cut.write_bytes(whole.read_bytes()[:500])
    broken = tmp_path / "broken.parquet"
    content = bytearray(whole.read_bytes())
    content[100:400] = b"\xff" * 300
    broken.write_bytes(content)
    other = tmp_path / "other.parquet"
    pq.write_table(table(OLD).drop_columns(["target"]), other)
    for path, message in (
        (cut, "damaged or not Parquet"),
        (broken, "cannot be compared"),
        (other, "column 'target' is missing"),
        (tmp_path / "absent.parquet", "no such ledger"),
    ):
        with pytest.raises(ClbenchError, match=message) as caught:
            compare(Predictions("old", whole), Predictions("new", path))
        assert "\n" not in str(caught.value)


def test_a_dead_band_below_zero_is_refused() -> None:
    with pytest.raises(MetricError, match="dead-band must be at least 0, got -1"):
        compared(OLD, NEW, dead_band=-1)


def test_pairs_without_a_common_measure_are_counted() -> None:
    found = compared(OLD, [{**r, "correct": None} for r in NEW[:10]] + NEW[10:])
    assert (found.table.n, found.counts.unscored) == (590, 10)


def budget(right: int, flips: int, missing: int = 0) -> Comparison:
    old = rows(["a"] * (right + flips + missing), ["a"] * (right + flips + missing))
    return compared(old, rows(["a"] * right + ["b"] * flips, ["a"] * (right + flips)))


def test_a_gate_passes_only_what_is_sure() -> None:
    assert decide(budget(400, 1), 0.02).passed
    assert not decide(budget(99, 1), 0.02).passed  # an NFR of 1 %, but it may be 4.7 %
    assert decide(budget(99, 1), 0.02).upper == pytest.approx(0.0466, abs=1e-4)
    missing = decide(budget(400, 1, 40), 0.02)
    assert (missing.passed, missing.reason.partition(":")[0]) == (False, "cannot be decided")
    assert decide(budget(400, 1, 40), 0.2).passed
    graded_only = decide(compared(graded([0.5]), graded([0.6])), 1.0)
    assert (graded_only.passed, graded_only.upper) == (False, None)


def test_nfr_is_never_above_its_bound() -> None:
    found = compared(OLD, NEW)
    assert found.nfr_upper is not None
    assert (nfr(found.table) or 0) < found.nfr_upper
