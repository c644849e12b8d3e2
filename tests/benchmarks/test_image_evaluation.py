"""Images on their way from predictions to the ledger, and learners that cannot be tested on every task."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.image_tasks import image_task, scorer_of
from tests.scripted_images import MASKS, SAMPLES, TASKS, ScriptedImages, ids

from clbench.benchmarks.evaluation.evaluator import Evaluator
from clbench.benchmarks.evaluation.truth_cache import TruthCache
from clbench.contracts import Samples, Stream, Task
from clbench.core.errors import ConfigError
from clbench.scoring.images.run_length import labels_of
from clbench.spec.ledger import SCHEMA, read_ledger, task_scores, write_ledger


def evaluated(learner: ScriptedImages, tasks: Sequence[Task] = TASKS, version: int = 1) -> pa.Table:
    stream = Stream("mixed", tuple(tasks), ("task-id",), "scripted")
    return Evaluator(stream, "test", lambda task, split: SAMPLES[task.name]).evaluate(learner, version)


@pytest.fixture(scope="module")
def ledger() -> pa.Table:
    return evaluated(ScriptedImages([task.name for task in TASKS]))


def rows(ledger: pa.Table, task: str) -> list[dict[str, Any]]:
    return [{**row, "measures": dict(row["measures"])} for row in ledger.to_pylist() if row["task"] == task]


def test_r_has_every_kind_on_the_common_scale(ledger: pa.Table, tmp_path: Path) -> None:
    assert ledger.schema == SCHEMA
    assert ledger["sample_id"].to_pylist() == [name for task in TASKS for name in ids(task.name)]
    scores = task_scores(ledger, "task-id")
    assert scores[1, "cyst"] == pytest.approx((1 + 1 + 0) / 3)
    assert scores[1, "organ"] == pytest.approx(1 / 3)
    assert scores[1, "nodule"] == pytest.approx((20 / 40 + 1200 / 4800 + 75 / 1200) / 3)
    assert scores[1, "femur"] == pytest.approx((1 + (1 - 3 / 10) + 0) / 3)
    assert scores[1, "length"] == pytest.approx((1 + 0.9 + 0) / 3)
    write_ledger(ledger, tmp_path / "ledger.parquet")
    assert read_ledger(tmp_path / "ledger.parquet").equals(ledger)


def test_measures_and_texts_are_in_the_ledger(ledger: pa.Table) -> None:
    cyst = rows(ledger, "cyst")
    assert [row["measures"]["hausdorff/cyst"] for row in cyst] == [0.0, 0.0, 50.0]
    assert [labels_of(row["target"]).tolist() for row in cyst] == [mask.tolist() for mask in MASKS]
    assert labels_of(cyst[1]["prediction"]).shape == (6, 8)
    assert [row["correct"] for row in cyst] == [None] * 3
    organ = rows(ledger, "organ")
    assert organ[0]["measures"] == {"probability/liver": 0.75, "probability/kidney": 0.25}
    assert list(organ[1]["measures"]) == ["probability/liver", "probability/kidney"]
    assert organ[2]["measures"] == organ[0]["measures"]
    assert [row["correct"] for row in organ] == [True, False, False]
    assert json.loads(rows(ledger, "nodule")[1]["prediction"]) == [[0.0, 0.0, 80.0, 60.0, 0.1]]
    assert [row["measures"] for row in rows(ledger, "femur")] == [{"mre": 0.0}, {"mre": 3.0}, {"mre": 50.0}]
    assert rows(ledger, "length")[2]["measures"] == {"mae": 25.0}


def test_tasks_that_the_learner_cannot_be_tested_on_are_left_out() -> None:
    learner = ScriptedImages(["organ", "femur"])
    found = evaluated(learner)
    assert found["task"].unique().to_pylist() == ["organ", "femur"]
    nothing = evaluated(ScriptedImages(), version=0)
    assert (nothing.schema, len(nothing)) == (SCHEMA, 0)


def test_an_unknown_metric_is_one_line() -> None:
    task = image_task("dice", "cyst")
    wrong = Task(task.name, task.kind, "dise", task.load, task.fingerprint, task.classes)
    with pytest.raises(ConfigError, match=r"^task 'cyst': unknown metric 'dise': did you mean 'dice'\?$"):
        evaluated(ScriptedImages(["cyst"]), [wrong])


@pytest.mark.parametrize("bound", [0, 6000, 2**20])
def test_truth_is_decoded_once_within_bounds(bound: int, monkeypatch: pytest.MonkeyPatch) -> None:
    task = TASKS[0]
    scorer = scorer_of(task)
    cache = TruthCache(bound)
    whole = [truth.nbytes for truth in TruthCache().of(task, SAMPLES["cyst"], scorer)]
    fitting = sum(total <= bound for total in np.cumsum(whole))
    decoded = count_calls(scorer, monkeypatch)
    for times in range(3):
        found = [truth.labels.tolist() for truth in cache.of(task, SAMPLES["cyst"], scorer)]
        assert found == [mask.tolist() for mask in MASKS]
        assert len(decoded) == 3 + times * (3 - fitting)
    other = image_task("dice", "other")
    samples: Samples = SAMPLES["cyst"]
    first: Iterator[Any] = cache.of(other, samples, scorer)
    assert np.array_equal(next(first).labels, MASKS[0])


def count_calls(scorer: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The rows that a scorer decodes from now on."""
    calls: list[Any] = []
    decode = scorer.truth

    def counted(row: Any) -> Any:
        calls.append(row)
        return decode(row)

    monkeypatch.setattr(scorer, "truth", counted)
    return calls
