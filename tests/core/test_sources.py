"""The hash of a component's source follows what it imports from its room, and nothing else."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clbench.core.sources import source_digest, source_files


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of four modules: `one` needs `two`, which needs `three` (and `one`: a circle); `four` stands alone."""
    folder = tmp_path / "sourceroom"
    (folder / "sub").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "one.py").write_text("import json\nfrom sourceroom.two import thing\n")
    (folder / "two.py").write_text("from sourceroom import one\nimport sourceroom.sub\nthing = 2\n")
    (folder / "sub" / "__init__.py").write_text("value = 3\n")
    (folder / "four.py").write_text("four = 4\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [name for name in sys.modules if name.startswith("sourceroom")]:
        del sys.modules[name]


@pytest.mark.parametrize("changed", ["one.py", "two.py", "sub/__init__.py"])
def test_a_change_of_what_is_imported_changes_the_hash(room: Path, changed: str) -> None:
    before = source_digest(room / "one.py", "sourceroom")
    with (room / changed).open("a") as file:
        file.write("changed = True\n")
    assert source_digest(room / "one.py", "sourceroom") != before


def test_words_do_not_count(room: Path) -> None:
    """A comment, a docstring or an empty line decides no result."""
    before = source_digest(room / "one.py", "sourceroom")
    old = (room / "two.py").read_text()
    (room / "two.py").write_text(f'"""What it is."""\n\n{old}"""What `thing` is."""\n# nothing more\n')
    assert source_digest(room / "one.py", "sourceroom") == before


def test_what_is_left_out_is_not_followed(room: Path) -> None:
    before = source_digest(room / "one.py", "sourceroom", without=("sourceroom.two",))
    (room / "two.py").write_text("thing = 3\n")
    (room / "sub" / "__init__.py").write_text("value = 4\n")
    assert source_digest(room / "one.py", "sourceroom", without=("sourceroom.two",)) == before
    assert source_digest(room / "one.py", "sourceroom", without=("sourceroom.tw",)) != before


def test_a_change_elsewhere_or_another_place_does_not(room: Path, tmp_path: Path) -> None:
    before = source_digest(room / "one.py", "sourceroom")
    (room / "four.py").write_text("four = 5\n")
    assert source_digest(room / "one.py", "sourceroom") == before
    outside = tmp_path / "elsewhere.py"
    outside.write_bytes((room / "two.py").read_bytes())
    same_again = tmp_path / "copy.py"
    same_again.write_bytes(outside.read_bytes())
    assert source_digest(outside, "sourceroom") == source_digest(same_again, "sourceroom")


EXPORTS = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from sourceroom.two import thing\n"


@pytest.mark.parametrize(
    "source",
    [
        "from sourceroom import thing\n",
        "from sourceroom import *\n",
        "import sourceroom\nx = sourceroom.thing\n",
        "import sourceroom as room\nx = room.thing\n",
    ],
)
def test_a_name_that_the_package_exports_leads_to_its_module(room: Path, tmp_path: Path, source: str) -> None:
    (room / "__init__.py").write_text(EXPORTS)
    (tmp_path / "outside.py").write_text(source)
    covered = source_files(tmp_path / "outside.py", "sourceroom")
    assert {path.name for path in covered} == {"outside.py", "one.py", "two.py", "__init__.py"}
    assert source_files(tmp_path / "outside.py", "sourceroom", ("sourceroom.two",)) == {tmp_path / "outside.py"}


def test_a_name_that_is_not_used_leads_nowhere(room: Path, tmp_path: Path) -> None:
    (room / "__init__.py").write_text(EXPORTS)
    (tmp_path / "outside.py").write_text("import sourceroom\nfrom sourceroom import four\nx = sourceroom.version\n")
    assert {path.name for path in source_files(tmp_path / "outside.py", "sourceroom")} == {"outside.py", "four.py"}
