"""Rows of image tasks for tests."""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from clbench.reports.image_metrics._measured_rows import MeasuredRows
from clbench.spec.ledger import SCHEMA


def rows_of(
    measures: Sequence[Mapping[str, float]], prediction: Sequence[str] = (), target: Sequence[str] = ()
) -> MeasuredRows:
    """Rows of a task; texts are empty where a metric does not read them."""
    empty = ("",) * len(measures)
    return MeasuredRows("task", tuple(prediction) or empty, tuple(target) or empty, tuple(map(dict, measures)))


def ledger_of(tasks: Mapping[str, MeasuredRows | None], version: int = 1) -> pa.Table:
    """A ledger of one version; a task without rows is one of texts, which has no measures."""
    rows = []
    for task, found in tasks.items():
        for index in range(len(found.measures) if found else 2):
            answer = (found.prediction[index], found.target[index]) if found else ("x", "x")
            rows.append(
                {
                    "version": version,
                    "protocol": "task-id",
                    "task": task,
                    "sample_id": f"{task}/{index}",
                    "prediction": answer[0],
                    "target": answer[1],
                    "score": 0.5,
                    "measures": list(found.measures[index].items()) if found else None,
                }
            )
    return pa.Table.from_pylist(rows, SCHEMA)
