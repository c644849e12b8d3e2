"""Reading cells from a real MLflow store: which run counts, and what a broken one becomes."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.reports.conftest import TASKS, Store, rows

from clbench.core.errors import DataError, TrackingError
from clbench.reports.leaderboard.collect import collect
from clbench.reports.leaderboard.logged_cell import LoggedCell
from clbench.reports.leaderboard.runs_of_0_1 import read_matrices


def by_label(cells: list[LoggedCell]) -> dict[tuple[str, str, str], LoggedCell]:
    return {(cell.label, cell.seed, cell.split): cell for cell in cells}


def test_every_cell_comes_once_and_suites_do_not(store: Store) -> None:
    cells = collect(store.uri, "clbench")
    assert len(cells) == len(by_label(cells)) == 9 + 5 + 1 + 2
    codyra = by_label(cells)["codyra rank=16", "2", "test"]
    assert codyra.result is not None
    assert list(codyra.result.protocols) == ["task-id", "union"]
    assert codyra.result.matrix("task-id").tasks == tuple(TASKS)
    assert codyra.environment == {"clbench_version": "0.1.0", "gpu": "none"}


def test_pages_are_followed_to_the_end(store: Store) -> None:
    assert collect(store.uri, "clbench", page_size=2) == collect(store.uri, "clbench")


def test_the_newest_finished_run_of_a_cell_wins(store: Store) -> None:
    finetune = by_label(collect(store.uri, "clbench"))["finetune", "0", "test"]
    assert finetune.started == 1000  # an older one is finished, a newer one failed
    assert finetune.result is not None
    assert finetune.result.matrix("task-id").at(1, 1) == pytest.approx(0.893)


def test_the_newest_run_is_shown_where_none_finished(new_store: Callable[[], Store]) -> None:
    store = new_store()
    for at, status in ((2, "FAILED"), (3, "KILLED"), (1, "FAILED")):
        store.add("lora", status=status, at=at, error=f"run {at}\nwith more lines")
    assert [(cell.status, cell.error) for cell in collect(store.uri, store.experiment)] == [("KILLED", "run 3")]


def test_a_run_without_a_readable_result_is_a_row_that_says_so(new_store: Callable[[], Store]) -> None:
    store = new_store()
    store.add("absent", at=1)
    store.add("other-layout", protocols={"task-id": rows(0.5, 1.0)}, at=2, schema=2)
    store.client.log_text(store.add("damaged", at=4), "{", "matrix.json")
    run = store.add("later", at=5, protocols={"task-id": rows(0.5, 1.0)})
    store.client.set_tag(run, "clbench.schema", "3")
    errors = {cell.label: cell.error or "" for cell in collect(store.uri, store.experiment) if not cell.finished}
    assert "matrix.json of run" in errors["absent"]
    assert "cannot be read" in errors["absent"]
    assert errors["other-layout"] == "matrix.json: wanted schema 1, got 2"
    assert "cannot be read" in errors["damaged"]
    assert errors["later"] == "clbench.schema of the run: wanted 1 or 2, got 3"
    assert not any("\n" in error for error in errors.values())


def test_missing_tags_make_a_row_that_is_never_taken_for_test(new_store: Callable[[], Store]) -> None:
    store = new_store()
    store.add("bare", stream="", split="", protocols={"task-id": rows(0.5, 1.0)})
    (cell,) = collect(store.uri, store.experiment)
    assert (cell.stream, cell.split, cell.finished) == ("(not said)", "(not said)", True)


def test_a_deleted_run_is_gone(new_store: Callable[[], Store]) -> None:
    store = new_store()
    store.client.delete_run(store.add("lora"))
    with pytest.raises(TrackingError, match="has no clbench runs"):
        collect(store.uri, store.experiment)


def test_a_store_without_the_experiment_is_refused(store: Store) -> None:
    with pytest.raises(TrackingError, match="no experiment named 'elsewhere'"):
        collect(store.uri, "elsewhere")


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:1", "http://me:secret@127.0.0.1:1/path", "nonsense://x", "http://[bad"]
)
def test_a_store_that_does_not_answer_is_one_clear_line(uri: str) -> None:
    with pytest.raises(TrackingError, match=r"does not answer: |no address: ") as caught:
        collect(uri, "clbench")
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_reading_makes_no_database(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match="no such file"):
        collect(f"sqlite:///{tmp_path}/absent.db", "clbench")
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_database_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "bad.db").write_text("hello" * 1000)
    with pytest.raises(TrackingError, match="file is not a database"):
        collect(f"sqlite:///{tmp_path}/bad.db", "clbench")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": None}, "wanted schema 1, got None"),
        ({"tasks": "ab"}, "tasks must be a list of names, got 'ab'"),
        ({"tasks": []}, "wanted at least one task"),
        ({"protocols": {}}, "protocols must be an object with at least one matrix"),
        ({"protocols": {"p": [[0.5]]}}, "protocol 'p': wanted 2 rows"),
        ({"protocols": {"p": [[0.5], 3]}}, "protocol 'p': wanted 2 rows"),
        ({"protocols": {"p": [[0.5], [0.5, 0.6]]}}, "version 1: wanted 1 scores, got 2"),
        ({"protocols": {"p": [[0.5], ["high"]]}}, "protocol 'p': wanted numbers and nulls, got 'high'"),
        ({"protocols": {"p": [[0.5], [True]]}}, "protocol 'p': wanted numbers and nulls, got True"),
    ],
)
def test_a_matrix_file_of_another_layout_is_refused(change: dict[str, object], message: str) -> None:
    good: dict[str, object] = {"schema": 1, "tasks": ["a"], "protocols": {"p": [[None], [0.5]]}}
    assert read_matrices(good)["p"].at(1, 1) == 0.5
    if change.get("tasks") == []:
        change = {**change, "protocols": {"p": [[]]}}
    with pytest.raises(DataError, match=message):
        read_matrices({**good, **change})
