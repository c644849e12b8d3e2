"""Compressed files are read to their end: a checksum that fails is one line, never other data."""

import gzip
import io
import json
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.streams.ultrasound_roots import breast_mnist

from clbench.core.errors import DataError
from clbench.core.storage import read_unpacked
from clbench.streams.clip_domains.image_sets.image_set_facts import Archive
from clbench.streams.clip_domains.image_sets.unpack import unpack
from clbench.streams.hub import builder_of, rows_of
from clbench.streams.ultrasound.sets.known_ultrasound_sets import open_task

NOISE = np.random.default_rng(0).integers(0, 256, 1500, dtype=np.uint8).tobytes()
CONTENTS = {"set/a.bin": NOISE, "set/b.txt": b"some text, many times " * 60, "set/c.bin": NOISE[::-1]}
PLACE = st.floats(0, 1, exclude_max=True)
Read = Callable[[Path], object]


def damaged(data: bytes, place: float, bit: int, cut: bool) -> bytes:
    at = int(place * len(data))
    return data[:at] if cut else data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def read_or_none(read: Read, path: Path) -> object:
    """What a reader gives; None where it refuses the file in one line that names it."""
    try:
        return read(path)
    except DataError as error:
        line = str(error)
    assert str(path) in line
    assert "\n" not in line
    return None


def tar(mode: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in CONTENTS.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def zipped(kind: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", kind) as archive:
        for name, data in CONTENTS.items():
            archive.writestr(name, data)
    return buffer.getvalue()


ARCHIVES = {
    "a.tar.gz": tar("w:gz"),
    "a.tgz": tar("w:gz"),
    "a.zip": zipped(zipfile.ZIP_DEFLATED),
    "stored.zip": zipped(zipfile.ZIP_STORED),
}


def unpacked(path: Path) -> dict[str, bytes]:
    place = path.parent / "place"
    unpack(path, Archive(file=path.name, into=".", makes=("set",)), place)
    return {file.relative_to(place).as_posix(): file.read_bytes() for file in place.rglob("*") if file.is_file()}


@pytest.mark.parametrize("name", ARCHIVES)
@settings(max_examples=200, deadline=None)
@given(place=PLACE, bit=st.integers(0, 7), cut=st.booleans())
def test_an_archive_is_unpacked_as_it_was_packed_or_not_at_all(name: str, place: float, bit: int, cut: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(damaged(ARCHIVES[name], place, bit, cut))
        found = read_or_none(unpacked, path)
        if found is None:
            assert not list((Path(folder) / "place").iterdir())
        elif isinstance(found, dict):  # names have no checksum in a zip file, nor the time in one of gzip
            assert sorted(found.values()) == sorted(CONTENTS.values()) or name.endswith(".zip")
            assert set(found.values()) <= set(CONTENTS.values())


def test_what_is_said_of_an_archive_whose_checksum_fails(tmp_path: Path) -> None:
    data = bytearray(ARCHIVES["a.tar.gz"])
    data[-6] ^= 1
    (tmp_path / "a.tar.gz").write_bytes(data)
    with pytest.raises(DataError, match=r"a\.tar\.gz: cannot be unpacked: CRC check failed"):
        unpacked(tmp_path / "a.tar.gz")


@settings(max_examples=200, deadline=None)
@given(place=PLACE, bit=st.integers(0, 7), cut=st.booleans())
def test_gzip_is_read_to_its_end(place: float, bit: int, cut: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.gz"
        path.write_bytes(damaged(gzip.compress(NOISE, mtime=0), place, bit, cut))
        assert read_or_none(read_unpacked, path) in (None, NOISE)
        path.with_suffix("").write_bytes(NOISE)
        assert read_unpacked(path.with_suffix("")) == NOISE
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_unpacked(path)


def npz(compressed: bool) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        breast_mnist(Path(folder))
        with np.load(Path(folder) / "BreastMNIST/breastmnist.npz") as archive:
            arrays = {name: archive[name] for name in archive.files}
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
    return buffer.getvalue()


NPZ = {True: npz(True), False: npz(False)}


def images(path: Path) -> list[tuple[str, object, object]]:
    rows = open_task(path.parent.parent, "b", "breast-mnist", "classification").rows
    return [(row.name, row.truth, row.image.cell()["bytes"]) for row in rows]


@pytest.mark.parametrize("compressed", [True, False])
@settings(max_examples=120, deadline=None)
@given(place=PLACE, bit=st.integers(0, 7), cut=st.booleans())
def test_a_numpy_archive_is_its_arrays_or_refused(compressed: bool, place: float, bit: int, cut: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "BreastMNIST/breastmnist.npz"
        path.parent.mkdir()
        path.write_bytes(NPZ[compressed])
        sound = images(path)
        path.write_bytes(damaged(NPZ[compressed], place, bit, cut))
        assert read_or_none(images, path) in (None, sound)


@pytest.mark.parametrize("change", [lambda images: images / 255, lambda images: images.astype(np.uint16) * 257])
def test_arrays_that_are_no_bytes(tmp_path: Path, change: Callable[[Any], Any]) -> None:
    breast_mnist(tmp_path)
    path = tmp_path / "BreastMNIST/breastmnist_64.npz"
    with np.load(path) as archive:
        arrays: dict[str, Any] = {name: archive[name] for name in archive.files}
    np.savez(path, **{name: change(array) if "images" in name else array for name, array in arrays.items()})
    with pytest.raises(
        DataError, match=r"train_images must be .* bytes with n labels, got .* of (uint16|float64) with"
    ):
        images(path)


LINES = gzip.compress(b"".join(json.dumps({"text": f"row {n}", "n": n}).encode() + b"\n" for n in range(50)), mtime=0)


def parquet() -> bytes:
    buffer = io.BytesIO()
    table = pa.table({"text": [f"row {n}" for n in range(50)], "n": list(range(50))})
    pq.write_table(table, buffer, write_page_checksum=True)
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["train.jsonl.gz", "train.json.gz", "train.parquet"])
@pytest.mark.parametrize("where", ["head", "middle", "end", "cut"])
def test_files_of_a_copy_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, where: str) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    data = bytearray(parquet() if name.endswith("parquet") else LINES)
    if where == "cut":
        del data[-20:]
    else:
        data[{"head": 9 if name.endswith("parquet") else 1, "middle": 60, "end": -6}[where]] ^= 0x55
    folder = tmp_path / "copy"
    folder.mkdir()
    (folder / name).write_bytes(data)
    with pytest.raises(DataError, match=f"hub data set {folder}: cannot be read: ") as caught:
        builder_of(str(folder), None, None)
        rows_of(str(folder), None, None, "train")
    assert "\n" not in str(caught.value)
    assert "An error occurred" not in str(caught.value)
