"""Flip metrics: by hand, against another implementation on single answers, and the identities between them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix

from clbench.core.errors import DataError
from clbench.reports.flips.contingency import ContingencyTable
from clbench.reports.flips.flip_metrics import FLIP_METRICS, all_metrics

TABLES = st.builds(ContingencyTable, *[st.integers(0, 10**7)] * 5)
BY_HAND = ContingencyTable(
    both_right=50, negative_flips=10, positive_flips=20, both_wrong_same=15, both_wrong_different=5
)


def test_a_table_worked_by_hand() -> None:
    assert all_metrics(BY_HAND) == pytest.approx(
        {
            "old_accuracy": 0.6,
            "new_accuracy": 0.7,
            "accuracy_change": 0.1,
            "nfr": 0.1,
            "pfr": 0.2,
            "nfr_mc": 0.15,
            "inconsistency": 0.35,
            "nfi": 10 / 30,
            "pfi": 20 / 70,
            "relative_nfr": 0.1 / (0.6 * 0.3),
            "btc": 50 / 60,
            "bec": 20 / 30,
            "bec_old_errors": 20 / 40,
        }
    )


def test_a_published_row() -> None:
    """HellaSwag, Llama 1 to 2 (MUSCLE, table 4): 72.74 % to 72.91 % with an NFR of 10.27 %."""
    table = ContingencyTable(6247, 1027, 1044, 1000, 682)
    found = all_metrics(table)
    assert {name: round(100 * (found[name] or 0), 1) for name in ("nfi", "relative_nfr", "btc")} == {
        "nfi": 37.9,
        "relative_nfr": 52.1,
        "btc": 85.9,
    }


@pytest.mark.parametrize(
    ("table", "undefined"),
    [
        (ContingencyTable(), set(FLIP_METRICS)),
        (ContingencyTable(both_right=3), {"nfi", "relative_nfr", "bec", "bec_old_errors"}),
        (ContingencyTable(positive_flips=3), {"nfi", "relative_nfr", "btc", "bec"}),
        (ContingencyTable(both_wrong_same=3), {"pfi", "relative_nfr", "btc"}),
        (ContingencyTable(negative_flips=3), {"pfi", "bec_old_errors"}),
    ],
)
def test_an_empty_denominator_is_not_a_zero(table: ContingencyTable, undefined: set[str]) -> None:
    assert {name for name, value in all_metrics(table).items() if value is None} == undefined


def test_a_count_below_zero_is_refused() -> None:
    with pytest.raises(DataError, match="none below 0"):
        ContingencyTable(negative_flips=-1)


@given(TABLES)
def test_identities(table: ContingencyTable) -> None:
    m = all_metrics(table)
    if table.n == 0:
        return
    assert m["accuracy_change"] == pytest.approx((m["new_accuracy"] or 0) - (m["old_accuracy"] or 0), abs=1e-12)
    assert m["accuracy_change"] == pytest.approx((m["pfr"] or 0) - (m["nfr"] or 0), abs=1e-12)
    assert m["nfr_mc"] == pytest.approx((m["nfr"] or 0) + table.both_wrong_different / table.n)
    assert m["inconsistency"] == pytest.approx((m["nfr_mc"] or 0) + (m["pfr"] or 0))
    if m["btc"] is not None:
        assert m["btc"] == pytest.approx(1 - (m["nfr"] or 0) / (table.old_right / table.n))
    if m["nfi"] is not None:
        assert m["bec"] == pytest.approx(1 - m["nfi"])
    if m["bec_old_errors"] is not None:
        assert m["bec_old_errors"] == pytest.approx(1 - (m["pfr"] or 0) / (table.old_wrong / table.n))
    if m["relative_nfr"] is not None:
        assert m["relative_nfr"] == pytest.approx((m["nfi"] or 0) / (m["old_accuracy"] or 1))
    assert (m["nfr"] or 0) <= min(m["old_accuracy"] or 0, 1 - (m["new_accuracy"] or 0)) + 1e-12
    assert (m["nfr"] or 0) >= max(0.0, -(m["accuracy_change"] or 0))


@given(st.lists(TABLES, max_size=5))
def test_tables_add_up_in_any_order(tables: list[ContingencyTable]) -> None:
    assert ContingencyTable.total(tables) == ContingencyTable.total(reversed(tables))
    assert ContingencyTable.total(tables).n == sum(table.n for table in tables)


@pytest.mark.parametrize("seed", range(5))
def test_single_answers_against_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    target, old, new = rng.integers(0, 3, (3, 200))
    both = confusion_matrix(old == target, new == target)  # rows old, columns new, wrong first
    different = int(((old != target) & (new != target) & (old != new)).sum())
    table = ContingencyTable(int(both[1, 1]), int(both[1, 0]), int(both[0, 1]), int(both[0, 0]) - different, different)
    found = all_metrics(table)
    assert found["new_accuracy"] == pytest.approx(accuracy_score(target, new))
    assert found["old_accuracy"] == pytest.approx(accuracy_score(target, old))
    assert found["inconsistency"] == pytest.approx(1 - accuracy_score(old, new))
    assert found["nfr_mc"] == pytest.approx(np.mean((new != target) & (old != new)))
    assert found["btc"] == pytest.approx(accuracy_score(target[old == target], new[old == target]))
    assert found["bec"] == pytest.approx(np.mean(old[new != target] != target[new != target]))
