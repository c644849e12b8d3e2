"""What a cell leaves on disk: damage is one line that names the file and the way out."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.compute as pc
import pytest
import torch

from clbench.benchmarks.engine.cell import Cell
from clbench.benchmarks.engine.cell_folder import CellFolder, Record
from clbench.benchmarks.engine.execution import CellRun, workplace_in
from clbench.benchmarks.engine.suite import load_suite
from clbench.benchmarks.engine.version_keys import VersionKey
from clbench.benchmarks.engine.version_store import VersionStore
from clbench.core.errors import CheckpointError, DataError
from clbench.spec.ledger import SCHEMA, write_ledger

CPU = torch.device("cpu")
WriteSuite = Callable[..., str]


def compute(cell: Cell, path: Path) -> CellFolder:
    """Run or resume a cell."""
    folder = CellFolder(path / "cell")
    CellRun(cell, folder, workplace_in(path, CPU), lambda doing, step, total: None).run(lambda _: None)
    return folder


def cut(path: Path) -> None:
    """Leave the first half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def other_version(path: Path) -> None:
    """Put version 0 in the place of another."""
    shutil.copy(path.parents[1] / "0000" / path.name, path)


DAMAGES: list[tuple[str, Callable[[Path], object], str]] = [
    ("versions/0001/ledger.parquet", cut, "0001/ledger.parquet: damaged or not Parquet"),
    ("versions/0002/ledger.parquet", Path.unlink, "0002/ledger.parquet: no such ledger"),
    ("versions/0002/ledger.parquet", other_version, "wanted the rows of version 2, got versions 0 to 0"),
    ("versions/0002/record.json", cut, "0002/record.json: cannot be read as JSON"),
    ("versions/0002/record.json", other_version, "wanted the record of version 2, got that of 0"),
    ("versions/0003", shutil.rmtree, "0003/record.json: No such file"),
    ("versions", shutil.rmtree, "0000/record.json: No such file"),
    ("ledger.parquet", cut, "ledger.parquet: damaged or not Parquet"),
    ("result.json", lambda path: path.write_text("{}"), "result.json: versions must be at least 1, got None"),
    ("result.json", lambda path: path.write_text('{"versions": "4"}'), "versions must be at least 1, got '4'"),
]


def test_damage_of_a_finished_cell_is_told(write_suite: WriteSuite, tmp_path: Path) -> None:
    folder = compute(load_suite(write_suite("zero-shot")).cells[0], tmp_path)
    folder.verify()
    for number, (name, damage, message) in enumerate(DAMAGES):
        copy = CellFolder(shutil.copytree(folder.path, tmp_path / str(number)))
        damage(copy.path / name)
        with pytest.raises(CheckpointError) as caught:
            copy.verify()
        assert message in str(caught.value)
        assert str(caught.value).endswith("; --fresh computes the cell again")
        assert "\n" not in str(caught.value)


def test_a_change_that_still_parses_is_told(write_suite: WriteSuite, tmp_path: Path) -> None:
    folder = compute(load_suite(write_suite("zero-shot")).cells[0], tmp_path)
    rows = folder.rows(1)
    write_ledger(rows.slice(1), folder.path / "versions" / "0001" / "ledger.parquet")
    message = r"0001/ledger.parquet: has changed since it was written; --fresh computes the cell again$"
    with pytest.raises(CheckpointError, match=message):
        folder.verify()


def test_a_damaged_version_is_told_before_work_goes_on(write_suite: WriteSuite, tmp_path: Path) -> None:
    cell = load_suite(write_suite("finetune")).cells[0]
    folder = compute(cell, tmp_path)
    (folder.path / "result.json").unlink()
    shutil.rmtree(folder.path / "versions" / "0003")
    cut(folder.path / "versions" / "0001" / "ledger.parquet")
    with pytest.raises(CheckpointError, match=r"0001/ledger.parquet: damaged or not Parquet.*--fresh"):
        compute(cell, tmp_path)
    assert folder.last_version == 2


def test_a_state_that_does_not_fit_its_strategy_is_one_line(write_suite: WriteSuite, tmp_path: Path) -> None:
    cell = load_suite(write_suite("o-lora")).cells[0]
    folder = compute(cell, tmp_path)
    store, key = VersionStore(tmp_path), VersionKey(folder.record(3).key, {})
    version, saved = store.find(key), store.load(key)
    assert version is not None
    assert saved is not None
    store.save(key, version, saved[0], {"learn": {}})
    shutil.rmtree(tmp_path / "tests")
    shutil.rmtree(folder.path)
    message = r"version 3: the state does not fit the strategy: KeyError: 'past'; --fresh computes the cell again$"
    with pytest.raises(CheckpointError, match=message):
        compute(cell, tmp_path)  # the version is there, and must be tested again


def test_a_matrix_with_a_hole_is_not_finished(write_suite: WriteSuite, tmp_path: Path) -> None:
    cell = load_suite(write_suite("zero-shot")).cells[0]
    folder = compute(cell, tmp_path)
    (folder.path / "result.json").unlink()
    path = folder.path / "versions" / "0002" / "ledger.parquet"
    rows = folder.rows(2)
    write_ledger(rows.filter(pc.not_equal(rows["task"], "one")), path)
    with pytest.raises(DataError, match=r"version 2, task 'one', protocol 'task-id': wanted a score, got none"):
        folder.finish(cell.load_stream())
    assert not folder.finished


def test_what_is_not_finite_comes_back_from_files_that_strict_readers_take(tmp_path: Path) -> None:
    numbers = {"loss": math.nan, "best": -math.inf, "lr": 0.1}
    folder = CellFolder(tmp_path)
    folder.save_version(Record(0, "d", numbers, tested=False), SCHEMA.empty_table())
    folder.probes.save(0, "lm-eval 1: a", {"acc": math.nan})
    for path in (tmp_path / "versions" / "0000" / "record.json", tmp_path / "probes.json"):
        json.loads(path.read_text(), parse_constant=pytest.fail)
    assert repr(folder.record(0).numbers) == repr(numbers)
    assert repr(folder.probes.all()) == "{0: {'lm-eval 1: a': {'acc': nan}}}"


@pytest.mark.parametrize("numbers", ['{"a": []}', '{"a": "x"}', "3"])
def test_a_damaged_record_is_one_line(tmp_path: Path, numbers: str) -> None:
    version = tmp_path / "versions" / "0001"
    version.mkdir(parents=True)
    (tmp_path / "versions" / "0003.bak").mkdir()
    (tmp_path / "versions" / "124319549796673407993407").mkdir()  # a key of the store, in the same folder
    (version / "record.json").write_text(f'{{"version": 1, "digest": "d", "numbers": {numbers}}}')
    folder = CellFolder(tmp_path)
    assert folder.last_version == 1
    with pytest.raises(CheckpointError, match=r"record\.json: not the record of a version"):
        folder.record(1)
