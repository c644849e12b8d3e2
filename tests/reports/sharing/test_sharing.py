"""Exports stand alone, tell nothing of the machine, and every number in them is recomputed."""

import getpass
import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.command import Command
from tests.reports.conftest import Store
from tests.reports.run_folders import random_answers, write_cell

from clbench.core.errors import ConfigError, DataError
from clbench.core.storage import read_digest, read_json, write_json
from clbench.reports.sharing.checksums import write_checksums
from clbench.reports.sharing.export_suite import export_suite
from clbench.reports.sharing.private_texts import without_private_texts
from clbench.reports.sharing.recompute import cell_problems
from clbench.reports.sharing.run_environment import RunEnvironments
from clbench.reports.sharing.verify_folder import verify_folder
from clbench.spec.ledger import read_ledger, write_ledger
from clbench.spec.update import Compress, Forget, Learn, Update

HOSTILE = "<script>alert(1)</script> | [a](javascript:b)"


def nowhere(place: Path) -> None:
    """No environment was recorded."""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    for seed in range(2):
        write_cell(tmp_path / "made-suite", random_answers(seed), "finetune", seed)
    return tmp_path / "made-suite"


@pytest.fixture
def cell(tmp_path: Path) -> Path:
    return write_cell(tmp_path / "single", random_answers(3))


def test_an_export_holds_and_has_the_checksums_that_sha256sum_reads(suite: Path, tmp_path: Path) -> None:
    (suite / "unfinished").mkdir()
    (suite / "unfinished" / "cell.json").write_text("{}")
    found = export_suite(suite, tmp_path / "to", nowhere)
    assert (found.cells, found.without_environment) == (2, 2)
    assert found.left_out == ("unfinished/result.json: No such file or directory",)
    verified = verify_folder(tmp_path / "to")
    assert not verified.problems
    assert len(verified.cells) == 2
    subprocess.run(["sha256sum", "-c", "--strict", "--quiet", "SHA256SUMS"], cwd=tmp_path / "to", check=True)
    card = (tmp_path / "to" / "README.md").read_text()
    assert "| finetune | 0, 1 |" in card
    assert "- unfinished/result.json: No such file or directory" in card


def test_graphs_and_forgotten_tasks_hold_too(tmp_path: Path) -> None:
    learn = tuple(Learn(task=f"task{task}") for task in range(3))
    others: tuple[Update, ...] = (Compress(bits=4), Forget(task="task1"), Forget(task="task0", category="yes"))
    for number, more in enumerate(others):
        right = random_answers(number)[[0, 1, 2, 3, 3]]
        place = write_cell(tmp_path, right, f"method{number}", updates=(*learn, more))
        assert cell_problems(place) == []


def numbers_in(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from numbers_in(item, (*path, key))
    elif isinstance(value, int | float) and path != ("schema",):
        yield path


@pytest.fixture(scope="module")
def shared_cell(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cell(tmp_path_factory.mktemp("shared"), random_answers(3))


@settings(max_examples=40)
@given(st.data())
def test_every_number_of_a_result_is_recomputed(shared_cell: Path, data: st.DataObject) -> None:
    before = (shared_cell / "result.json").read_text()
    values = json.loads(before)
    path = data.draw(st.sampled_from(list(numbers_in(values["result"]))))
    place = values["result"]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] += data.draw(st.sampled_from([1e-6, -0.01]))
    try:
        (shared_cell / "result.json").write_text(json.dumps(values))
        (problem,) = cell_problems(shared_cell)
        assert problem.startswith(f"result.json: {'/'.join(map(str, path))}: is ")
    finally:
        (shared_cell / "result.json").write_text(before)
    assert cell_problems(shared_cell) == []


JUNK: tuple[object, ...] = (None, True, -1, 0.5, 1e308, 10**30, "", "NaN", "task1", [], [[]], [1], {}, {"a": 1})


def places_in(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places_in(item, (*path, key))


@settings(max_examples=60)
@given(st.data())
def test_whatever_a_file_has_there_is_no_traceback(shared_cell: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["result.json", "cell.json", "versions/0001/record.json"]))
    before = (shared_cell / name).read_text()
    values = json.loads(before)
    path = data.draw(st.sampled_from(list(places_in(values))))
    place = values
    for key in path[:-1]:
        place = place[key]
    if data.draw(st.booleans()):
        del place[path[-1]]
    else:
        place[path[-1]] = data.draw(st.sampled_from(JUNK))
    try:
        (shared_cell / name).write_text(json.dumps(values))
        assert not [line for line in cell_problems(shared_cell) if "\n" in line]
    finally:
        (shared_cell / name).write_text(before)


def edited_result(place: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    values: dict[str, Any] = read_json(place / "result.json")
    edit(values)
    write_json(place / "result.json", values)


def edited_rows(place: Path, edit: Callable[[list[dict[str, Any]]], object]) -> None:
    """Edit the ledger and give the result its checksum, as somebody would who wants not to be noticed."""
    table = read_ledger(place / "ledger.parquet")
    rows = table.to_pylist()
    edit(rows)
    write_ledger(pa.Table.from_pylist(rows, table.schema), place / "ledger.parquet")
    edited_result(place, lambda values: values.update(ledger=read_digest(place / "ledger.parquet")))


def test_edited_predictions_are_found(cell: Path) -> None:
    row = next(row for row in read_ledger(cell / "ledger.parquet").to_pylist() if not row["correct"])
    edited_rows(cell, lambda rows: next(r for r in rows if r == row).update(correct=True))
    problems = cell_problems(cell)
    where = f"version {row['version']}, task-id, sample '{row['sample_id']}'"
    wanted = f"'{row['prediction']}' is called right, the target is '{row['target']}'"
    assert problems[0] == f"ledger.parquet: {where}: {wanted}"
    assert "the predictions give" in problems[1]  # the result is still that of the true predictions


def test_a_ledger_of_another_run_is_found(cell: Path, tmp_path: Path) -> None:
    other = write_cell(tmp_path / "other", random_answers(4))
    (other / "ledger.parquet").replace(cell / "ledger.parquet")
    problems = cell_problems(cell)
    assert problems[0] == "ledger.parquet: is not the ledger that result.json was computed from"
    assert problems[-1].endswith("further numbers differ")
    assert len(problems) == 7


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (lambda rows: rows.append(dict(rows[0])), "a version has the same sample of a task twice"),
        (lambda rows: rows.__delitem__(slice(0, 20)), "result.json: "),
        (lambda rows: rows[0].update(task="task9"), "tasks are task0, task1, task2, task9, those of result.json are"),
        (lambda rows: rows[0].update(protocol="open"), "protocols are open, task-id, those of result.json are task-id"),
        (lambda rows: [row.update(version=9) for row in rows if row["version"] == 3], "9"),
    ],
)
def test_other_rows_are_found(cell: Path, edit: Callable[[list[dict[str, Any]]], object], problem: str) -> None:
    edited_rows(cell, edit)
    problems = cell_problems(cell)
    assert problems
    assert problem in problems[0]


def test_other_files_are_found(cell: Path) -> None:
    before = (cell / "cell.json").read_text()
    (cell / "cell.json").write_text(before.replace('"steps": 5', '"steps": 6'))
    assert cell_problems(cell) == ["cell.json: the settings are not those that the folder's name was made of"]
    (cell / "cell.json").write_text(before)
    (cell / "cell.json").write_text(before.replace("seed 0", "seed 1"))
    assert "cell.json: title must be 'made / tiny / " in cell_problems(cell)[0]
    (cell / "cell.json").write_text(before)
    edited_result(cell, lambda values: values.update(versions=3))
    assert cell_problems(cell) == ["result.json: versions must be 4, got 3"]
    edited_result(cell, lambda values: values.update(versions=4))
    write_json(cell / "versions" / "0001" / "record.json", {"numbers": {"seconds/train": 99}})
    assert "costs/cost/train_seconds: is 3, the predictions give" in cell_problems(cell)[0]
    (cell / "versions" / "0001" / "record.json").write_text('{"numbers": {"seconds/train": "slow"}}')
    assert "numbers must be an object of numbers" in cell_problems(cell)[0]
    for name, text in (("ledger.parquet", "no Parquet"), ("result.json", "{"), ("cell.json", "[]")):
        (cell / name).write_text(text)
        problems = cell_problems(cell)
        assert problems
        assert all(line.startswith(f"{name}: ") and "\n" not in line for line in problems)


def test_numbers_of_other_code_need_not_be_the_same_ones(cell: Path) -> None:
    def edit(values: dict[str, Any]) -> None:
        values["result"]["code"] = "of another release"
        last = values["result"]["protocols"]["task-id"]["versions"][-1]["metrics"]
        last["own.metric"] = last.pop("bwt.gem")

    edited_result(cell, edit)
    assert cell_problems(cell) == []
    edited_result(cell, lambda values: values["result"]["protocols"]["task-id"]["versions"][3]["scores"].reverse())
    assert "result.json: protocols/task-id/versions/3/scores/0: is" in cell_problems(cell)[0]


def test_files_that_do_not_have_their_checksums_are_named(suite: Path, tmp_path: Path) -> None:
    export_suite(suite, to := tmp_path / "to", nowhere)
    one, other = sorted(to.glob("*/cell.json"))
    (to / "README.md").write_text("all of it is mine")
    (to / "more.txt").write_text("")
    (other.parent / "versions" / "0000" / "record.json").unlink()
    (one.parent / "link").symlink_to("/etc/hostname")
    found = verify_folder(to)
    assert "README.md: has changed: its checksum differs" in found.problems
    assert "more.txt: is not in SHA256SUMS" in found.problems
    assert f"{other.parent.name}/versions/0000/record.json: is in SHA256SUMS and is missing" in found.problems
    assert f"{one.parent.name}/link: is a link" in found.problems
    assert found.cells == ()  # each cell has a file that is not what it was


@pytest.mark.parametrize("line", ["no checksum", f"{'0' * 64}  ../outside", f"{'0' * 64}  /etc/passwd"])
def test_checksums_of_files_elsewhere_are_refused(suite: Path, line: str) -> None:
    write_checksums(suite)
    with (suite / "SHA256SUMS").open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(DataError, match=r"SHA256SUMS: line \d+: wanted a SHA-256 and the name of a file below"):
        verify_folder(suite)


def test_nothing_tells_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "workbench7")
    monkeypatch.setattr(getpass, "getuser", lambda: "annaliese")
    place = write_cell(tmp_path / "s", random_answers(0), weights=str(tmp_path / "own.safetensors"))
    write_json(place / "tracking.json", {"runs": {f"sqlite:///{tmp_path}/mlflow.db": "1"}})
    environment = {"python": "3.11", "node": "workbench7.lab", "user": "annaliese", "root": "/home/annaliese/clbench"}
    export_suite(tmp_path / "s", to := tmp_path / "to", lambda place: environment)
    texts = {path.name: path.read_bytes() for path in to.rglob("*") if path.is_file()}
    for word in (str(tmp_path), "workbench7", "annaliese", "/home"):
        assert not [name for name, text in texts.items() if word.encode() in text]
    assert b'"weights": "own.safetensors"' in texts["cell.json"]
    assert b'"root": "clbench"' in texts["environment.json"]
    assert "tracking.json" not in texts
    assert not verify_folder(to).problems  # the folder has the hash of the settings that it has now


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("/home/anna/data/birds.csv", "birds.csv"),
        ("read from /srv/a/b.txt, then C:\\Users\\anna\\b.txt", "read from b.txt, then b.txt"),
        ("~/runs/x", "x"),
        ("file:///srv/a/b", "b"),
        ("sqlite:////srv/a/mlflow.db", "mlflow.db"),
        ("clip-mini / mini-clip / lora rank=4 / seed 0", "clip-mini / mini-clip / lora rank=4 / seed 0"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("flips/all/nfr", "flips/all/nfr"),
        ("org/model-1", "org/model-1"),
        ("1 / 2, and/or, km/h", "1 / 2, and/or, km/h"),
        ("trained by anna on annas-box", "trained by (removed) on annas-box"),
    ],
)
def test_paths_lose_what_comes_before_their_last_part(text: str, wanted: str) -> None:
    assert without_private_texts({"a": [text, 1, None]}, {"anna"}) == {"a": [wanted, 1, None]}


def test_environments_are_found_beside_the_cell_or_in_the_tracking_store(
    suite: Path, new_store: Callable[[], Store]
) -> None:
    store = new_store()
    run = store.add("finetune")
    store.client.log_dict(run, {"python": "3.12"}, "environment.json")
    places = sorted(path.parent for path in suite.glob("*/cell.json"))
    environments = RunEnvironments(store.experiment)
    assert environments.of(places[0]) is None
    write_json(places[0] / "tracking.json", {"runs": {"sqlite:////no/such.db": "1", store.uri: run}})
    assert environments.of(places[0]) == {"python": "3.12"}
    write_json(places[1] / "tracking.json", {"runs": {store.uri: "0" * 32}})
    assert environments.of(places[1]) is None
    write_json(places[1] / "environment.json", {"python": "3.13"})
    assert environments.of(places[1]) == {"python": "3.13"}


def test_names_in_the_card_are_no_markup(tmp_path: Path) -> None:
    write_cell(tmp_path / "s", random_answers(0), HOSTILE)
    export_suite(tmp_path / "s", tmp_path / "to", nowhere)
    card = (tmp_path / "to" / "README.md").read_text()
    assert "<script>" not in card
    assert "](javascript" not in card.replace("\\", "")[: card.find("| Method")]
    assert "&lt;script&gt;" in card


def test_what_cannot_be_exported_leaves_nothing(suite: Path, tmp_path: Path) -> None:
    to = tmp_path / "to"
    place = next(suite.glob("*/cell.json")).parent
    edited_result(place, lambda values: values["result"]["costs"].update({"cost/train_seconds": 0.0}))
    with pytest.raises(DataError, match=r"does not hold: .*cost/train_seconds: is 0, the predictions give 3"):
        export_suite(suite, to, nowhere)
    ids = write_cell(tmp_path / "ids", random_answers(0))
    edited_rows(ids, lambda rows: [row.update(sample_id=f"/data/private/{n}") for n, row in enumerate(rows)])
    with pytest.raises(DataError, match="the id of a sample names this machine or a path on it: '/data/private/0'"):
        export_suite(tmp_path / "ids", to, nowhere)
    (tmp_path / "empty" / "x").mkdir(parents=True)
    (tmp_path / "empty" / "x" / "cell.json").write_text("{}")
    with pytest.raises(DataError, match="no finished cell"):
        export_suite(tmp_path / "empty", to, nowhere)
    assert [path.name for path in tmp_path.iterdir() if "to" in path.name] == []
    to.mkdir()
    with pytest.raises(ConfigError, match="is there already"):
        export_suite(suite, to, nowhere)


def test_the_commands(suite: Path, tmp_path: Path, clbench: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = clbench("export", "made-suite", "--out", tmp_path)
    assert (done.returncode, done.stdout) == (0, "export: made-suite-export: 2 cells, verified\n")
    assert "2 of 2 cells have no recorded environment" in done.stderr
    done = clbench("verify", "made-suite-export")
    assert (done.returncode, done.stdout) == (0, "2 cells verified, 0 problems\n")
    place = next((tmp_path / "made-suite-export").glob("*/result.json"))
    place.write_text(place.read_text().replace('"average_accuracy": 0', '"average_accuracy": 1', 1))
    done = clbench("verify", "made-suite-export")
    assert done.returncode == 2
    *lines, last = done.stdout.splitlines()
    assert lines[0] == f"{place.parent.name}/result.json: has changed: its checksum differs"
    assert lines[1].startswith(
        f"{place.parent.name}/result.json: protocols/task-id/versions/1/metrics/average_accuracy"
    )
    assert last == "1 cell verified, 2 problems"
    answer = json.loads(clbench("verify", "made-suite-export", "--json").stdout)
    assert len(answer["verified"]) == 1
    assert answer["problems"] == lines
    done = clbench("verify", tmp_path / "none")
    assert (done.returncode, done.stderr) == (2, f"error: {tmp_path / 'none'}: no such folder\n")
    assert "no SHA256SUMS, so only the numbers were compared" in clbench("verify", suite).stdout
