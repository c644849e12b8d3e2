"""Files appear whole or not at all; states come back as they went."""

import errno
import math
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clbench.core.checkpoints import load_tensors, load_tree, save_tensors, save_tree
from clbench.core.errors import CheckpointError, ClbenchError
from clbench.core.storage import read_json, write_json, written_whole

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(st.text(max_size=5).filter(lambda key: key != "$tensor"), children, max_size=3)
    ),
    max_leaves=10,
)


def test_a_failure_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), written_whole(path) as aside:
        aside.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ClbenchError, match="the disk is full"), written_whole(tmp_path / "a.txt"):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_really_full_disk_is_one_line() -> None:
    with pytest.raises(ClbenchError, match="cannot be written"):
        write_json(Path("/dev/full/x.json"), {})


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with written_whole(tmp_path / "folder") as aside:
            aside.mkdir()
            (aside / text).write_text(text)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["second"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@given(tree=st.dictionaries(st.text(max_size=5).filter(lambda key: key != "$tensor"), PLAIN, max_size=4))
def test_plain_trees_come_back(tree: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("tree")
    save_tree(folder, tree)
    assert repr(load_tree(folder)) == repr(tree)


def test_tensors_in_trees_come_back_bit_for_bit(tmp_path: Path) -> None:
    tree = {
        "a": torch.randn(3, 4, dtype=torch.float64),
        "b": [{"c": torch.arange(5)}, 1.5, None],
        "d": {"e/f": torch.tensor(True)},
    }
    save_tree(tmp_path / "t", tree)
    back = load_tree(tmp_path / "t")
    assert torch.equal(back["a"], tree["a"])  # type: ignore[arg-type]
    assert torch.equal(back["b"][0]["c"], torch.arange(5))  # type: ignore[index]
    assert back["b"][1:] == [1.5, None]  # type: ignore[index]
    assert back["d"]["e/f"].item() is True  # type: ignore[index]


def test_what_cannot_be_saved_is_named(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="state /a/0: set cannot be saved"):
        save_tree(tmp_path / "t", {"a": [{1, 2}]})


def test_numbers_keep_every_bit(tmp_path: Path) -> None:
    values = [0.1 + 0.2, math.pi, 5e-324, math.inf]
    write_json(tmp_path / "n.json", {"x": values})
    assert read_json(tmp_path / "n.json") == {"x": values}


def test_files_with_nan_of_older_releases_are_read(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text('{"numbers": {"loss": NaN, "best": -Infinity}}')
    found = read_json(tmp_path / "old.json")
    assert repr(found) == "{'numbers': {'loss': nan, 'best': -inf}}"
    write_json(tmp_path / "new.json", found)
    assert "NaN," not in (tmp_path / "new.json").read_text()
    assert repr(read_json(tmp_path / "new.json")) == repr(found)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ('{"a": {"$tensor": ["x"]}}', "wanted {'$tensor': name}, got"),
        ('{"a": [{"$tensor": "/a", "more": 1}]}', "wanted {'$tensor': name}, got"),
        ('{"a": {"$tensor": "/b"}}', "tensor '/b' is missing from tensors.safetensors"),
        ('{"a": {"$tensor": {}}}', "wanted {'$tensor': name}, got"),
        ("[]", "wanted a JSON object, got list"),
    ],
)
def test_a_damaged_tree_is_one_line(tmp_path: Path, tree: str, message: str) -> None:
    save_tree(tmp_path / "t", {"a": torch.zeros(1)})
    (tmp_path / "t" / "tree.json").write_text(tree)
    with pytest.raises(CheckpointError, match=rf"tree\.json: {re.escape(message)}"):
        load_tree(tmp_path / "t")


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe"])
def test_damaged_json_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"a\.json"):
        read_json(tmp_path / "a.json")


def test_damaged_tensors_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"x": torch.zeros(100)})
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="cannot be read as safetensors"):
        load_tensors(path)
    with pytest.raises(CheckpointError, match="cannot be read as safetensors"):
        load_tensors(tmp_path / "absent.safetensors")
