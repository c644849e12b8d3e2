"""`clbench compare` of models that were asked to forget: the same rows are left out on both sides."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.command import Command
from tests.reports.conftest import Store
from tests.reports.flips.ledgers import rows, write

from clbench.core.errors import CheckpointError, DataError
from clbench.reports.flips.candidates import compare_candidates
from clbench.reports.flips.inputs import InputOptions, load_predictions
from clbench.reports.forgotten import Forgotten, largest, read_forgotten

TARGETS = ["x", "y", "y", "y", "y", "x"]
BIRDS = {"task": "birds", "category": None}
X, Y = ({"task": "birds", "category": name} for name in "xy")


@pytest.fixture
def compare(clbench: Command) -> Command:
    """The command in this process."""
    return partial(clbench, "compare")


def answers(version: int, right: str) -> list[dict[str, Any]]:
    said = [target if sign == "1" else "z" for target, sign in zip(TARGETS, right, strict=True)]
    return [
        *rows(said, TARGETS, version=version, task="birds"),
        *rows(["x"], ["x"], version=version, task="cars"),
    ]


def ledger(folder: Path, forgotten: dict[str, object] | None = None) -> Path:
    """Versions 1 and 2 with the answers 1 1 1 0 1 0 and 0 0 1 1 1 0, and one right answer to another task."""
    folder.mkdir(exist_ok=True)
    if forgotten is not None:
        (folder / "forget.json").write_text(json.dumps({"versions": forgotten}))
    return write(folder / "ledger.parquet", [*answers(1, "111010"), *answers(2, "001110")])


def test_six_rows_by_hand(compare: Command, tmp_path: Path) -> None:
    path, plain = ledger(tmp_path / "a", {"2": [X]}), ledger(tmp_path / "b")
    for old, new in ((f"{path}@1", f"{path}@2"), (f"{path}@1", str(path)), (f"{plain}@1", f"{path}@2")):
        found = json.loads(compare(old, new, "--json").stdout)
        assert (found["tasks"]["birds"]["nfr"], found["tasks"]["birds"]["n"], found["forgotten"]) == (0.25, 4, 2)
        assert found["nfr"] == 1 / 5
        assert found["unmatched"] == {"old": 0, "new": 0, "unscored": 0}
    text = compare(f"{path}@1", f"{path}@2").stdout
    assert "left out: 2 samples of what a model was asked to forget" in text
    every = json.loads(compare(f"{plain}@1", f"{plain}@2", "--json").stdout)
    assert (every["tasks"]["birds"]["nfr"], every["forgotten"]) == (pytest.approx(0.3333, abs=1e-4), 0)
    assert json.loads(compare(f"{path}@1", f"{path}@1", "--json").stdout)["forgotten"] == 0


def test_a_whole_task_is_left_out_and_other_requests_are_refused(compare: Command, tmp_path: Path) -> None:
    path = ledger(tmp_path / "a", {"1": [X], "2": [BIRDS, X]})
    found = json.loads(compare(f"{path}@1", f"{path}@2", "--json").stdout)
    assert (list(found["tasks"]), found["forgotten"], found["n"]) == (["cars"], 6, 1)
    other = ledger(tmp_path / "b", {"2": [Y]})
    done = compare(f"{path}@1", other)
    assert done.returncode == 2
    assert "models that were asked to forget different things cannot be compared" in done.stderr
    assert "birds/x" in done.stderr
    assert "birds/y" in done.stderr
    everything = ledger(tmp_path / "c", {"2": [BIRDS, {"task": "cars", "category": None}]})
    assert "all samples are of what a model was asked to forget" in compare(everything, path).stderr


def test_the_file_of_the_cell_counts_for_the_ledger_of_a_version(tmp_path: Path) -> None:
    cell = ledger(tmp_path / "cell", {"2": [X]}).parent
    (cell / "versions").mkdir()
    version = ledger(cell / "versions" / "0002")
    options = InputOptions(None, None, "", "")
    assert load_predictions(str(version), options, tmp_path).forgotten == {2: {Forgotten("birds", "x")}}


def test_the_file_of_a_run_is_fetched_with_its_ledger(
    compare: Command, new_store: Callable[[], Store], tmp_path: Path
) -> None:
    store = new_store()
    run, plain = store.add("a"), store.add("b")
    path = ledger(tmp_path / "cell", {"2": [X]})
    for each in (run, plain):
        store.client.log_artifact(each, str(path))
    store.client.log_artifact(run, str(path.with_name("forget.json")))
    options = InputOptions(None, None, store.uri, store.experiment)
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    found = [load_predictions(each, options, folder) for each, folder in zip((run, plain), folders, strict=True)]
    assert [predictions.forgotten for predictions in found] == [{2: {Forgotten("birds", "x")}}, {}]


def test_candidates_are_compared_on_what_all_retain(tmp_path: Path) -> None:
    path, plain = ledger(tmp_path / "a", {"2": [X]}), ledger(tmp_path / "b")
    options = InputOptions(None, None, "", "")

    def flips(first: Path) -> tuple[int, int]:
        old, one, two = (
            load_predictions(text, options, tmp_path) for text in (f"{plain}@1", f"{first}@2", f"{plain}@2")
        )
        found = compare_candidates(old, one, two)
        return found.old_right, found.both

    assert flips(plain) == (5, 2)
    assert flips(path) == (4, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"versions": []}', "forget.json: versions must be an object, got"),
        ('{"versions": {"last": []}}', "versions: wanted numbers of versions, got 'last'"),
        ('{"versions": {"1": {}}}', "version 1: wanted a list"),
        ('{"versions": {"1": [{"task": "a"}]}}', "version 1: wanted a task and a category or null, got"),
        ('{"versions": {"1": [{"task": "a", "category": 3}]}}', "version 1: wanted a task and a category or null"),
    ],
)
def test_another_layout_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "forget.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read_forgotten(tmp_path)
    (tmp_path / "forget.json").write_text("{")
    with pytest.raises(CheckpointError):
        read_forgotten(tmp_path)


def test_the_largest_request_contains_the_others() -> None:
    task, other, x, y = (Forgotten(*words) for words in (("a", None), ("b", None), ("a", "x"), ("b", "y")))

    def of(*requests: set[Forgotten]) -> frozenset[Forgotten]:
        return largest((str(number), frozenset(request)) for number, request in enumerate(requests))

    assert of(set(), set()) == frozenset()
    assert of({x}, set(), {x, y}) == {x, y}
    assert of({task, x}, {task, y}) == {task, y}  # class x is a part of the task
    assert of({task}, {task, other}, {y}) == {task, other}
    for different in (({x}, {y}), ({task}, {other}), ({task}, {x, y})):
        with pytest.raises(DataError, match="asked to forget different things"):
            of(*different)
