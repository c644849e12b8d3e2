"""`clbench versions`: what the store of versions has, who uses it, and its cleaning."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.command import Command

from clbench.core.storage import read_json


@pytest.fixture
def out(clbench: Command, write_suite: Callable[..., str], tmp_path: Path) -> Path:
    """The folder of a run of two cells; both have version 0, and each has three versions of its own."""
    done = clbench("run", write_suite("finetune", {"name": "finetune", "lr": 0.1}), "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    return tmp_path / "out"


def listed(clbench: Command, out: Path, *arguments: str) -> dict[str, Any]:
    """What `--json` prints."""
    done = clbench("versions", "--out", out, "--json", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def bytes_in(*folders: Path) -> int:
    return sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())


def test_versions_and_tests_are_listed_with_their_users_and_sizes(clbench: Command, out: Path) -> None:
    found = listed(clbench, out)
    assert found["freed_bytes"] == 0
    cells = sorted(f"suite/{path.parent.name}" for path in out.glob("suite/*/cell.json"))
    versions = [item for item in found["items"] if item["kind"] == "version"]
    tests = [item for item in found["items"] if item["kind"] == "test"]
    assert found["items"] == versions + tests
    assert sorted((item["made_by"], item["cells"]) for item in versions) == sorted(
        (f"learn {task}: finetune", [cell]) for task in ("one", "two", "three") for cell in cells
    )
    assert sorted(item["cells"] for item in tests) == sorted([cells, *([cell] for cell in cells for _ in range(3))])
    for item in found["items"]:
        folder = out / f"{item['kind']}s" / item["key"]
        assert item["weight_bytes"] + item["other_bytes"] == bytes_in(folder)
        assert (item["weight_bytes"] > 0) == (folder / "weights.safetensors").is_file()
    assert sum(item["weight_bytes"] > 0 for item in found["items"]) == 2  # the last version of each cell
    record = read_json(next(out.glob("suite/*/versions/0002/record.json")))
    assert {record["key"], record["test"]} <= {item["key"] for item in found["items"]}


def test_the_table_has_a_line_for_each_version(clbench: Command, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    done = clbench("versions", "--out", out)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    keys = [path.name for path in (out / "versions").iterdir() if path.name != ".locks"]
    rows = [line.split() for line in lines if any(key in line for key in keys)]
    assert sorted(row[0] for row in rows) == sorted(keys)
    assert all(row[1] == "learn" and row[3:5] == ["finetune", "1"] for row in rows)
    megabytes = bytes_in(*(out / "versions" / key for key in keys), out / "tests") / 1e6
    assert lines[-1] == f"6 versions, 7 tests, {megabytes:,.1f} MB in {out}"


def test_only_what_no_cell_has_is_unused(clbench: Command, out: Path) -> None:
    assert listed(clbench, out, "--clean", "unused")["freed_bytes"] == 0
    first, second = (path.parent for path in sorted(out.glob("suite/*/cell.json")))
    gone = {read_json(first / f"versions/{number:04d}/record.json")["key"] for number in (1, 2, 3)}
    shutil.rmtree(first)
    before = bytes_in(out / "versions", out / "tests")
    found = listed(clbench, out, "--clean", "unused")
    assert found["freed_bytes"] == before - bytes_in(out / "versions", out / "tests") > 0
    assert not gone & {item["key"] for item in found["items"]}
    assert all(item["cells"] == [f"suite/{second.name}"] for item in found["items"])
    assert [item["kind"] for item in found["items"]] == ["version"] * 3 + ["test"] * 4


def test_weights_go_and_results_stay(clbench: Command, out: Path, write_suite: Callable[..., str]) -> None:
    done = clbench("versions", "--out", out, "--clean", "weights")
    assert done.returncode == 0
    assert not list(out.rglob("weights.safetensors"))
    assert done.stdout.splitlines()[-1].startswith("freed ")
    found = listed(clbench, out)["items"]
    assert len(found) == 13
    assert {item["weight_bytes"] for item in found} == {0}
    suite = write_suite("finetune", {"name": "finetune", "lr": 0.1})
    again = json.loads(clbench("run", suite, "--out", out, "--json").stdout)
    assert [cell["status"] for cell in again["cells"]] == ["kept", "kept"]


def test_an_empty_folder_has_no_versions(clbench: Command, tmp_path: Path) -> None:
    assert clbench("versions", "--out", tmp_path).stdout == f"0 versions, 0 tests, 0.0 MB in {tmp_path}\n"
    assert listed(clbench, tmp_path) == {"freed_bytes": 0, "items": []}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "nowhere"], "--out nowhere: no such folder"),
        (["--out", ".", "--clean", "unsed"], "--clean must be unused or weights, got 'unsed': did you mean 'unused'?"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], message: str, clbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = clbench("versions", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {message}\n")


def test_a_damaged_record_is_one_line(clbench: Command, out: Path) -> None:
    path = next((out / "versions").glob("*/version.json"))
    path.write_text("{}")
    done = clbench("versions", "--out", out)
    assert (done.returncode, done.stderr) == (2, f"error: {path}: not the record of a version\n")
