"""Damage of the store of versions, and disks that are full: one clear line, and nothing that is finished is lost."""

import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from tests.benchmarks.stored_versions import stored
from tests.command import Command

from clbench.benchmarks.engine.cell import Cell
from clbench.benchmarks.engine.cell_folder import CellFolder
from clbench.benchmarks.engine.execution import CellRun, workplace_in
from clbench.benchmarks.engine.store_contents import clean, contents
from clbench.benchmarks.engine.suite import load_suite
from clbench.core.errors import CheckpointError, ClbenchError

CPU = torch.device("cpu")
LAST = 3


def run(
    cell: Cell, out: Path, after_version: Callable[[int], None] = lambda version: None, fresh: bool = False
) -> pa.Table:
    """Run or resume a cell; the rows of all its versions."""
    folder = CellFolder(out / "suite" / "cell")
    CellRun(cell, folder, workplace_in(out, CPU, fresh), lambda doing, step, total: None).run(after_version)
    return folder.all_rows()


def cut(path: Path) -> None:
    """Leave the first half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    """Change one byte, three quarters on: of weights it is one number, and all can still be read."""
    content = bytearray(path.read_bytes())
    content[len(content) * 3 // 4] ^= 1
    path.write_bytes(bytes(content))


def empty(path: Path) -> None:
    """Leave a JSON object without anything."""
    path.write_text("{}")


class Killed(Exception):
    """Stands for a kill."""


def kill_after_2(version: int) -> None:
    """Stop when version 2 is there."""
    if version == 2:
        raise Killed


# What is damaged of version 2, from which version 3 has to be made, or of its test.
DAMAGES: list[tuple[str, Callable[[Path], object], str]] = [
    ("weights.safetensors", cut, "weights.safetensors: cannot be read as safetensors"),
    ("weights.safetensors", flip, "weights.safetensors: missing, or changed since it was saved"),
    ("strategy", shutil.rmtree, "strategy/learn/tensors.safetensors: missing, or changed since it was saved"),
    ("strategy/learn/tensors.safetensors", Path.unlink, "tensors.safetensors: cannot be read as safetensors"),
    ("strategy/learn/tree.json", cut, "strategy/learn/tree.json: cannot be read as JSON"),
    ("version.json", cut, "version.json: cannot be read as JSON"),
    ("version.json", empty, "version.json: not the record of a version"),
    ("ledger.parquet", cut, "ledger.parquet: damaged or not Parquet"),
    ("ledger.parquet", Path.unlink, "ledger.parquet: no such ledger"),
    ("test.json", cut, "test.json: cannot be read as JSON"),
    ("test.json", empty, "test.json: not the record of a test"),
]


def test_damage_is_told_with_the_way_out(write_suite: Callable[..., str], tmp_path: Path) -> None:
    cell = load_suite(write_suite("ewc")).cells[0]
    whole = run(cell, tmp_path / "whole")
    with pytest.raises(Killed):
        run(cell, tmp_path / "cut", kill_after_2)  # which keeps its weights
    for number, (name, damage, message) in enumerate(DAMAGES):
        out = shutil.copytree(tmp_path / "cut", tmp_path / str(number))
        record = CellFolder(out / "suite" / "cell").record(2)
        of_test = name in ("ledger.parquet", "test.json")
        folder = out / "tests" / record.test if of_test else out / "versions" / record.key
        shutil.rmtree(out / "suite")
        damage(folder / name)
        with pytest.raises(CheckpointError) as caught:
            run(cell, out)
        assert message in str(caught.value)
        assert str(caught.value).endswith(f"; remove the folder {folder.name}, and it is computed again")
        assert "\n" not in str(caught.value)
        shutil.rmtree(folder)
        assert run(cell, out).equals(whole)


def test_a_damaged_record_is_one_line_of_the_command(
    clbench: Command, write_suite: Callable[..., str], tmp_path: Path
) -> None:
    cell = load_suite(write_suite("zero-shot")).cells[0]
    run(cell, tmp_path)
    folder = stored(tmp_path, tmp_path / "suite" / "cell", 2)
    cut(folder / "version.json")
    done = clbench("versions", "--out", tmp_path, "--clean", "weights")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {folder / 'version.json'}: cannot be read as JSON")
    assert len(done.stderr.splitlines()) == 1


def test_a_version_that_is_being_saved_does_not_disturb_the_list(
    write_suite: Callable[..., str], tmp_path: Path
) -> None:
    run(load_suite(write_suite("zero-shot")).cells[0], tmp_path)
    before = contents(tmp_path)
    (tmp_path / "suite" / "cell" / "versions" / ".0004.abc.part").mkdir()  # its record is about to appear
    assert contents(tmp_path) == before


@pytest.mark.parametrize("what", ["weights", "unused"])
def test_the_store_may_be_cleaned_while_a_run_goes_on(
    write_suite: Callable[..., str], tmp_path: Path, what: str
) -> None:
    cell = load_suite(write_suite("replay")).cells[0]
    whole = run(cell, tmp_path / "whole")
    freed: list[int] = []
    assert run(cell, tmp_path / "out", lambda version: freed.append(clean(tmp_path / "out", what))).equals(whole)
    assert len(freed) == LAST + 1
    assert any(freed) == (what == "weights")


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """No file can grow beyond a number of bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_store_that_cannot_grow_loses_nothing(write_suite: Callable[..., str], tmp_path: Path) -> None:
    cell = load_suite(write_suite("ewc")).cells[0]
    whole = run(cell, tmp_path / "whole")
    size = (stored(tmp_path / "whole", tmp_path / "whole" / "suite" / "cell", LAST) / "weights.safetensors").stat()
    with files_up_to(size.st_size - 1), pytest.raises(ClbenchError, match=r"weights\.safetensors: cannot be written"):
        run(cell, tmp_path / "out")
    assert CellFolder(tmp_path / "out" / "suite" / "cell").last_version == 0
    assert not list(tmp_path.glob("out/versions/.*.part"))
    assert run(cell, tmp_path / "out").equals(whole)
