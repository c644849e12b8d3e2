"""Numbers of cells on draws of their samples: those of the result, and those of a ledger that is drawn row by row."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from tests.reports.graphs import MIXED, TASKS
from tests.reports.run_folders import PROTOCOL, ledger, random_answers, write_cell

from clbench.core.errors import DataError
from clbench.reports.compute_result import StreamOutline, compute_result
from clbench.reports.finished_cells import read_cell
from clbench.reports.result import CellResult
from clbench.reports.statistics.cell_draws import DrawnSamples, drawn_numbers
from clbench.spec.ledger import read_ledger
from clbench.spec.update import Adopt, Forget, Learn, Update

UPDATES: dict[str, tuple[Update, ...]] = {
    "tasks in order": (),
    "another order": tuple(Learn(task=f"task{task}") for task in (2, 0, 1)),
    "a task is forgotten": (*(Learn(task=f"task{task}") for task in range(3)), Forget(task="task1")),
    "a class is forgotten": (*(Learn(task=f"task{task}") for task in range(3)), Forget(task="task1", category="yes")),
    "releases": (Adopt(release="one"), Adopt(release="two")),
}


def wanted(result: CellResult) -> dict[str, float]:
    last = result.protocols[PROTOCOL].last
    flips = last.flips.get("flips/first_to_last/nfr", last.flips.get("flips/all/nfr"))
    found = {"last": last.metrics["average_accuracy"], "forgetting": last.metrics["forgetting.chaudhry"], "nfr": flips}
    return {name: value for name, value in found.items() if value is not None}


@pytest.mark.parametrize("name", UPDATES)
def test_the_values_are_those_of_the_result_and_every_draw_is_a_ledger(name: str) -> None:
    """With weights 2 and 0 a draw is the ledger with some samples twice and others not at all."""
    updates = UPDATES[name]
    right = np.concatenate([random_answers(1), random_answers(2)[-1:]])[: (len(updates) or 3) + 1]
    rows = ledger(right)
    outline = StreamOutline({f"task{task}": "classification" for task in range(3)}, (PROTOCOL,), updates)
    result = compute_result(outline, rows, [{}] * len(right))
    samples = DrawnSamples.of_ledger(rows, PROTOCOL, resamples=3)
    found = drawn_numbers(result, rows, PROTOCOL, samples)
    assert {key: value for key, (value, _) in found.items()} == pytest.approx(wanted(result))
    rng = np.random.default_rng(0)
    samples.draws.weights[:] = 2.0 * rng.permuted(np.tile([0, 1], (3, 30)), axis=1)
    drawn = drawn_numbers(result, rows, PROTOCOL, samples)
    places = samples.places(rows)
    for draw, weights in enumerate(samples.draws.weights):
        kept = rows.filter(weights[samples.draws.cluster[places]] > 0)
        again = wanted(compute_result(outline, kept, [{}] * len(right)))
        assert {key: values[draw] for key, (_, values) in drawn.items()} == pytest.approx(again)


def test_the_last_version_of_a_graph_is_that_of_its_path() -> None:
    right = np.random.default_rng(3).random((len(MIXED) + 1, 3, 12)) < 0.6
    rows = ledger(right)
    names = rows["task"].to_pylist()
    rows = rows.set_column(2, rows.schema.field(2), pa.array([TASKS[int(name[-1])] for name in names]))
    outline = StreamOutline(dict.fromkeys(TASKS, "classification"), (PROTOCOL,), MIXED)
    result = compute_result(outline, rows, [{}] * len(right))
    found = drawn_numbers(result, rows, PROTOCOL, DrawnSamples.of_ledger(rows, PROTOCOL))
    assert {key: value for key, (value, _) in found.items()} == pytest.approx(wanted(result))


def test_patients_are_drawn_whole(tmp_path: Path) -> None:
    cell = read_cell(write_cell(tmp_path, random_answers(2)))
    rows = read_ledger(cell.ledger)
    patients = {name: f"p{number // 4}" for number, name in enumerate(sorted(pc.unique(rows["sample_id"]).to_pylist()))}
    samples = DrawnSamples.of_ledger(rows, PROTOCOL, patients)
    assert samples.draws.weights.shape[1] == 15
    assert samples.draws.degrees_of_freedom == 12
    alone = DrawnSamples.of_ledger(rows, PROTOCOL, {"task0/s0": "p", "task0/s1": ""})
    assert alone.draws.weights.shape[1] == 60


def test_other_samples_are_refused(tmp_path: Path) -> None:
    one, other = (ledger(random_answers(2), samples=[f"{kind}{n}" for n in range(20)]) for kind in "xy")
    result = read_cell(write_cell(tmp_path, random_answers(2))).result
    with pytest.raises(DataError, match="60 rows of samples that the other cells were not tested on"):
        drawn_numbers(
            result, other.filter(pc.equal(other["version"], 3)), PROTOCOL, DrawnSamples.of_ledger(one, PROTOCOL)
        )
