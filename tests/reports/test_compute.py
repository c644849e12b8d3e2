"""All metrics at once: the nested report, its reasons, and metrics of third parties."""

import json
import math
from pathlib import Path

import pytest
from tests.reports.matrices import THREE, matrix

from clbench.core.errors import RegistryError
from clbench.core.registry import METRICS
from clbench.reports.metrics._compute import MetricReport, compute_all, notes_on

SHAPE = {
    "forgetting": {"chaudhry", "avalanche", "mammoth"},
    "bwt": {"gem", "continuum", "fusion_bench"},
    "fwt": {"gem", "continuum"},
    "mtil": {"transfer", "average", "last"},
    "trace": {"op", "bwt"},
}


def test_the_nested_report_has_exactly_these_keys() -> None:
    nested = compute_all(THREE).nested()
    assert {name: set(value) for name, value in nested.items() if isinstance(value, dict)} == {
        **SHAPE,
        "undefined": set(),
    }
    alone = {"average_accuracy", "average_incremental_accuracy", "learning_accuracy"}
    assert set(nested) == {*alone, "undefined", *SHAPE}
    assert nested["average_accuracy"] == pytest.approx(2 / 3)


def test_what_is_undefined_is_null_with_a_reason() -> None:
    report = compute_all(matrix([0.1], [0.6]))
    nested = json.loads(json.dumps(report.nested(), allow_nan=False))
    assert nested["bwt"] == {"gem": None, "continuum": None, "fusion_bench": None}
    assert nested["mtil"] == {"transfer": None, "average": 0.6, "last": 0.6}
    assert nested["undefined"]["fwt.gem"] == "needs at least 2 tasks, got 1: there is no later task to transfer to"
    assert set(nested["undefined"]) == {name for name, value in report.values.items() if value is None}


ZEROS = "all scores above the diagonal"
FIRST = "all scores of version 0"


@pytest.mark.parametrize(
    ("rows", "noted"),
    [
        ([[None, None], [0.9, 0.0], [0.6, 0.8]], [ZEROS]),
        ([[0.0, 0.0], [0.9, 0.0], [0.6, 0.8]], [ZEROS, FIRST]),
        ([[0.0, 0.0], [0.9, 0.1], [0.6, 0.8]], [FIRST]),
        ([[0.1, 0.0], [0.9, 0.1], [0.0, 0.8]], []),
        ([[None, None], [0.9, None], [0.0, 0.0]], []),
        ([[None, None, None], [0.9, 0.0, None], [0.6, 0.8, 0.0], [0.1, 0.2, 0.3]], [ZEROS]),
        ([[None, None, None], [0.9, 0.0, 0.2], [0.6, 0.8, 0.0], [0.1, 0.2, 0.3]], []),
        ([[0.1], [0.0]], []),
    ],
)
def test_zeros_that_look_like_not_measured_are_noted(rows: list[list[float | None]], noted: list[str]) -> None:
    found = notes_on(matrix(*rows))
    assert [note.partition(" are 0,")[0].partition(" (")[0] for note in found] == noted


THIRD_PARTY = '''
from clbench.core.registry import METRICS

@METRICS.register("ours.worst", direction="higher")
def worst(scores):
    """The worst task of the last version."""
    return min(scores.at(scores.number_of_tasks, task) for task in range(1, scores.number_of_tasks + 1))

@METRICS.register("ours.broken")
def broken(scores):
    """Gives no number."""
    return float("nan")
'''


@pytest.mark.usefixtures("own_metrics")
def test_a_metric_of_a_third_party_appears_nested(tmp_path: Path) -> None:
    (tmp_path / "ours.py").write_text(THIRD_PARTY)
    METRICS.add_file(tmp_path / "ours.py")
    nested = compute_all(THREE).nested()
    assert nested["ours"] == {"worst": 0.5, "broken": None}
    assert nested["undefined"] == {"ours.broken": "the formula gave nan, wanted a finite number"}
    assert not any(isinstance(value, float) and math.isnan(value) for value in nested.values())


@pytest.mark.parametrize("names", [("f1", "f1.macro"), ("undefined",), ("undefined.x",)])
def test_names_that_cannot_both_be_shown_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(RegistryError, match="wanted a name that differs"):
        MetricReport(dict.fromkeys(names, 0.5), {}).nested()
