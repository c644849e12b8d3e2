"""The loader of Parquet files: what it refuses, and its fingerprints."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clbench.core.errors import DataError
from clbench.streams.card import load_stream


@pytest.fixture
def copy(tiny: Any, tmp_path: Path) -> Path:
    """A copy of the tiny stream, to be damaged."""
    return Path(shutil.copytree(tiny.folder, tmp_path / "copy"))


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(path)), path)


def column(name: str, change: Callable[[list[Any]], list[Any]]) -> Callable[[pa.Table], pa.Table]:
    """Replaces the values of a column."""

    def changed(table: pa.Table) -> pa.Table:
        index = table.schema.get_field_index(name)
        values = pa.array(change(table[name].to_pylist()), table.schema.field(name).type)
        return table.set_column(index, table.schema.field(name), values)

    return changed


def metadata(text: bytes) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.replace_schema_metadata({b"huggingface": text})


def with_names(names: object) -> bytes:
    return json.dumps({"info": {"features": {"label": {"names": names}}}}).encode()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            metadata(b"{"),
            "the column 'label' has no class names (wanted a ClassLabel feature in the schema, got metadata",
        ),
        (metadata(b"\xff"), "got metadata that are no JSON"),
        (metadata(b"[]"), "the column 'label' has no class names"),
        (metadata(b"null"), "the column 'label' has no class names"),
        (metadata(b'{"info": []}'), "the column 'label' has no class names"),
        (metadata(b'{"info": {"features": {"label": "text"}}}'), "the column 'label' has no class names"),
        (metadata(with_names([])), "the column 'label' has no class names"),
        (metadata(with_names("abc")), "the column 'label' has no class names"),
        (metadata(with_names([1, 2, 3])), "with a different text for each class"),
        (metadata(with_names(["a", "a", "b"])), "with a different text for each class"),
        (metadata(with_names(["a", "b", "c"])), "the splits do not have the same class names"),
        (lambda table: table.drop_columns(["label"]), "column 'label' is missing (wanted sample_id, image, label)"),
        (lambda table: table.slice(0, 0), "wanted at least one row, got none"),
        (column("label", lambda v: [None, *v[1:]]), "1 of 24 rows have no label, the first is row 0"),
        (column("label", lambda v: [*v[:-1], 3]), "labels must be 0 to 2, got 0 to 3"),
        (column("label", lambda v: [-1, *v[1:]]), "labels must be 0 to 2, got -1 to 2"),
        (column("image", lambda v: [*v[:3], None, *v[4:]]), "1 of 24 rows have no image, the first is row 3"),
        (column("sample_id", lambda v: [v[1], *v[1:]]), "the sample id 'one/train/1' is there more than once"),
        (column("sample_id", lambda v: [None, *v[1:]]), "1 of 24 rows have no sample_id"),
    ],
)
def test_bad_files_are_one_clear_line(copy: Path, change: Callable[[pa.Table], pa.Table], message: str) -> None:
    path = copy / "data/one/train.parquet"
    rewrite(path, change)
    with pytest.raises(DataError) as caught:
        load_stream(str(copy / "tiny.yaml")).tasks[0].load("train")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(path.parent) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "damaged or not Parquet"), (b"PAR1" * 20, "damaged or not Parquet")]
)
def test_what_is_no_parquet(copy: Path, content: bytes, message: str) -> None:
    (copy / "data/two/test.parquet").write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_stream(str(copy / "tiny.yaml"))


def test_labels_must_be_integers(copy: Path) -> None:
    path = copy / "data/one/train.parquet"
    table = pq.read_table(path)
    index = table.schema.get_field_index("label")
    pq.write_table(table.set_column(index, pa.field("label", pa.string()), table["label"].cast(pa.string())), path)
    with pytest.raises(DataError, match="column 'label' must hold integers, got string"):
        load_stream(str(copy / "tiny.yaml"))


def test_fingerprints_follow_the_contents_alone(tiny: Any, copy: Path) -> None:
    here, there = load_stream(tiny.stream).tasks, load_stream(str(copy / "tiny.yaml")).tasks
    assert [task.fingerprint("train") for task in here] == [task.fingerprint("train") for task in there]
    assert len({task.fingerprint(split) for task in here for split in ("train", "validation", "test")}) == 9
    rewrite(copy / "data/one/train.parquet", lambda table: table.slice(1))
    assert there[0].fingerprint("train") != here[0].fingerprint("train")
    assert there[0].fingerprint("test") == here[0].fingerprint("test")


def test_a_card_without_data_needs_a_root(copy: Path) -> None:
    import yaml

    values = yaml.safe_load((copy / "tiny.yaml").read_text(encoding="utf-8"))
    del values["data"]
    (copy / "rootless.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    with pytest.raises(DataError, match="it needs --root DIR"):
        load_stream(str(copy / "rootless.yaml"))
    assert len(load_stream(str(copy / "rootless.yaml"), str(copy / "data")).tasks) == 3
