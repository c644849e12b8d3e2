"""Files that are written whole or not at all, and their contents."""

import contextlib
import errno
import gzip
import hashlib
import os
import shutil
import uuid
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from clbench.core import strict_json
from clbench.core.errors import CheckpointError, ClbenchError, DataError


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; on success it takes the name `path`, otherwise it is removed.

    Works for a file and for a folder. An existing folder is moved away first and removed last: a reader finds the old
    folder, the new one or, for an instant, none, but never a mixture.

    Raises:
        ClbenchError: When the disk is full or not writable.
    """
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        if aside.is_dir() and path.exists():
            old = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.old")
            os.replace(path, old)
            os.replace(aside, path)
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(aside, path)
    except OSError as error:
        raise ClbenchError(f"{path}: cannot be written: {_reason(error)}") from error
    finally:
        if aside.is_dir():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):  # the error that matters is on its way already
                aside.unlink(missing_ok=True)


def _reason(error: OSError) -> str:
    return "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else (error.strerror or str(error))


def write_json(path: Path, value: object) -> None:
    """Write JSON in the form of `strict_json`, whole or not at all; floats keep every bit, mappings their order."""
    with written_whole(path) as aside:
        aside.write_text(strict_json.dumps(value, indent=1) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, object]:
    """Read a JSON object.

    Raises:
        CheckpointError: When the file is missing, damaged or not an object.
    """
    try:
        value = strict_json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}") from None
    except (RecursionError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON: {error}") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: wanted a JSON object, got {type(value).__name__}")
    return value


def read_unpacked(path: Path, kind: str = "gzip") -> bytes:
    """The content of a file; if its name ends in `.gz`, it is unpacked to its end, which verifies its checksum.

    Args:
        path: The file.
        kind: Name of its format in messages.

    Raises:
        DataError: When it cannot be read or is damaged.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    if path.suffix.lower() != ".gz":
        return data
    if not data:
        raise DataError(f"{path}: damaged or not {kind}: it is empty")
    try:
        return gzip.decompress(data)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path}: damaged or not {kind}: {error}") from None


def file_digest(path: Path) -> str:
    """SHA-256 of a file in hexadecimal; the file is read again only if its time or size has changed."""
    stat = path.stat()
    return _sha256(path, (stat.st_mtime_ns, stat.st_size))


@lru_cache(maxsize=1024)
def _sha256(path: Path, _state: tuple[int, int]) -> str:
    return read_digest(path)


def read_digest(path: Path) -> str:
    """SHA-256 of a file in hexadecimal; the file is read at each call.

    Raises:
        OSError: When it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def has_digest(path: Path, digest: object) -> bool:
    """Whether a file is there and has this SHA-256; the file is read at each call."""
    with contextlib.suppress(OSError):
        return read_digest(path) == digest
    return False
