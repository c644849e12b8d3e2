"""The ledger: columns, damage, scores."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clbench.core.errors import DataError
from clbench.spec.ledger import SCHEMA, read_ledger, task_scores, write_ledger

ROWS = [
    {
        "version": 0,
        "protocol": "task-id",
        "task": "a",
        "sample_id": "1",
        "prediction": "x",
        "target": "x",
        "correct": True,
    },
    {
        "version": 0,
        "protocol": "task-id",
        "task": "a",
        "sample_id": "2",
        "prediction": "x",
        "target": "y",
        "correct": False,
    },
    {"version": 0, "protocol": "task-id", "task": "b", "sample_id": "3", "score": 0.25},
    {"version": 1, "protocol": "task-id", "task": "a", "sample_id": "1", "correct": True},
    {"version": 0, "protocol": "union", "task": "a", "sample_id": "1", "correct": False},
]
TABLE = pa.Table.from_pylist([{name: row.get(name) for name in SCHEMA.names} for row in ROWS], schema=SCHEMA)


def test_a_ledger_comes_back(tmp_path: Path) -> None:
    write_ledger(TABLE, tmp_path / "l.parquet")
    assert read_ledger(tmp_path / "l.parquet") == TABLE
    assert read_ledger(tmp_path / "l.parquet", ["task"]).column_names == ["task"]


def test_scores_are_means_of_scores_or_of_correctness() -> None:
    assert task_scores(TABLE, "task-id") == {(0, "a"): 0.5, (0, "b"): 0.25, (1, "a"): 1.0}
    assert task_scores(TABLE, "union") == {(0, "a"): 0.0}


def test_damage_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "l.parquet"
    write_ledger(TABLE, path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="damaged or not Parquet"):
        read_ledger(path)
    pq.write_table(pa.table({"version": pa.array([1], pa.int32())}), path)
    with pytest.raises(DataError, match="column 'protocol' is missing"):
        read_ledger(path)
    wrong = TABLE.set_column(0, "version", TABLE["version"].cast("string"))
    pq.write_table(wrong, path)
    with pytest.raises(DataError, match=r"l\.parquet: not a ledger: column 'version' must be int32, got string"):
        read_ledger(path)
    empty = pa.array([None] * len(TABLE), pa.string())
    pq.write_table(TABLE.set_column(2, pa.field("task", pa.string()), empty), path)
    with pytest.raises(DataError, match="column 'task' must not have empty cells"):
        read_ledger(path)
    pq.write_table(pa.Table.from_arrays([*TABLE.columns, TABLE["task"]], names=[*SCHEMA.names, "task"]), path)
    with pytest.raises(DataError, match="column 'task' is missing or there twice"):
        read_ledger(path)
    with pytest.raises(DataError, match="no such ledger"):
        read_ledger(tmp_path / "absent.parquet")


def test_measures_come_back_and_are_empty_in_ledgers_of_earlier_releases(tmp_path: Path) -> None:
    measured = [
        {**row, "measures": [("dice/cyst", 0.5), ("iou", 0.25)] if index else None} for index, row in enumerate(ROWS)
    ]
    table = pa.Table.from_pylist(measured, schema=SCHEMA)
    write_ledger(table, tmp_path / "new.parquet")
    assert read_ledger(tmp_path / "new.parquet").equals(table)
    pq.write_table(table.drop_columns("measures"), tmp_path / "old.parquet")
    old = read_ledger(tmp_path / "old.parquet")
    assert old.schema == SCHEMA
    assert old["measures"].null_count == len(old)
    assert old.drop_columns("measures").equals(table.drop_columns("measures"))
    assert read_ledger(tmp_path / "old.parquet", ["measures", "task"]).column_names == ["measures", "task"]
    assert task_scores(pa.concat_tables([old, table]), "task-id") == task_scores(table, "task-id")
    pq.write_table(table.set_column(9, "measures", table["task"]), tmp_path / "wrong.parquet")
    with pytest.raises(DataError, match=r"column 'measures' must be map<string, double>, got string"):
        read_ledger(tmp_path / "wrong.parquet")
