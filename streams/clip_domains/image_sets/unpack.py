"""Archives, unpacked safely: nothing is written outside their folder, and each result appears whole or not at all."""

import hashlib
import lzma
import os
import shutil
import stat
import tarfile
import uuid
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path, PurePosixPath

from clbench.core.errors import DataError
from clbench.streams.clip_domains.image_sets.image_set_facts import Archive

CHUNK = 2**20
"""Bytes read at a time."""
UNREADABLE = (
    OSError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,  # zipfile's, for a password
    ValueError,
)
"""Errors of damaged or encrypted archives."""


def unpack(file: Path, archive: Archive, place: Path) -> None:
    """Unpack an archive into `place`; existing files are not changed.

    A file that is no archive (MATLAB, idx) is copied.

    Args:
        file: The archive.
        archive: Facts of the archive: its contents and its checksum.
        place: Folder that it is unpacked into.

    Raises:
        DataError: When it is damaged, unsafe, or lacks what it should make.
    """
    check_sum(file, archive)
    place.mkdir(parents=True, exist_ok=True)
    with _aside(place) as aside:
        try:
            _extract(file, aside)
        except UNREADABLE as error:
            raise DataError(f"{file}: cannot be unpacked: {' '.join(str(error).split())}") from None
        for made in archive.makes:
            if not (aside / made).exists():
                raise DataError(f"{file}: holds no {made}")
        for made in archive.makes:
            if not (place / made).exists():
                (place / made).parent.mkdir(parents=True, exist_ok=True)
                os.replace(aside / made, place / made)


def fetch(url: str, archive: Archive, place: Path) -> None:
    """Download a file to `place`, whole and with the right checksum or not at all.

    Args:
        url: Address of the file.
        archive: Facts of the file: its name and its checksum.
        place: Folder that it is written to.

    Raises:
        DataError: When the network or the server does not give it.
    """
    from torchvision.datasets.utils import download_url

    place.mkdir(parents=True, exist_ok=True)
    with _aside(place) as aside:
        try:
            download_url(url, str(aside), archive.file, archive.md5)
            os.replace(aside / archive.file, place / archive.file)
        except (HTTPException, OSError, RuntimeError, ValueError) as error:
            raise DataError(f"{url}: cannot be downloaded: {str(error).splitlines()[0]}") from None


def check_sum(file: Path, archive: Archive) -> None:
    """Compare a file with the checksum that is known of it.

    Raises:
        DataError: When they differ.
    """
    if archive.md5 is None:
        return
    with file.open("rb") as opened:
        got = hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if got != archive.md5:
        raise DataError(f"{file}: damaged or another file: wanted the MD5 {archive.md5}, got {got}")


def _extract(file: Path, folder: Path) -> None:
    name = file.name.lower()
    if name.endswith((".tar.gz", ".tgz", ".tar")):
        with tarfile.open(file) as opened:
            opened.extractall(folder, filter="data")
            assert opened.fileobj is not None  # it is open
            while opened.fileobj.read(CHUNK):  # to the end, where the checksum of what was packed is compared
                pass
    elif name.endswith(".zip"):
        with zipfile.ZipFile(file) as zipped:
            for item in zipped.infolist():
                _refuse_unsafe(file, item)
            zipped.extractall(folder)  # noqa: S202  # each name was looked at
    else:
        shutil.copy2(file, folder / file.name)


def _refuse_unsafe(file: Path, item: zipfile.ZipInfo) -> None:
    path = PurePosixPath(item.filename.replace("\\", "/"))
    link = stat.S_ISLNK(item.external_attr >> 16)
    if path.is_absolute() or ".." in path.parts or any(":" in part for part in path.parts) or link:
        raise DataError(f"{file}: holds {item.filename!r}, which would land outside the folder: not unpacked")


@contextmanager
def _aside(place: Path) -> Iterator[Path]:
    """A temporary folder in `place`, so that moving a file out of it is one step."""
    folder = place / f".clbench-{uuid.uuid4().hex[:8]}.part"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
