"""Files that appear whole or not at all, and what is in them."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from clbench.errors import CheckpointError, ClbenchError


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; on success it takes the name `path`, otherwise it is removed.

    Works for a file and for a folder. A folder that was there before is moved away first and removed last, so that a
    reader finds the old one, the new one or, for an instant, none, but never a mixture.

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
    """Write JSON whole or not at all; floats keep every bit, mappings their order."""
    with written_whole(path) as aside:
        aside.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def parse_json(text: str | bytes) -> Any:
    """What `json.loads` makes of a text, except that a key which an object has twice is refused.

    Python lets the later one win without a word.

    Raises:
        ValueError: For a text that is not JSON or has a key twice.
        RecursionError: For one that is nested too deeply.
    """
    return json.loads(text, object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {max(keys, key=keys.count)!r} is there twice in one object")
    return found


def read_json(path: Path) -> dict[str, object]:
    """Read a JSON object.

    Raises:
        CheckpointError: When the file is missing, damaged or not an object.
    """
    try:
        value = parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}") from None
    except (RecursionError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON: {error}") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: wanted a JSON object, got {type(value).__name__}")
    return value


def file_digest(path: Path) -> str:
    """SHA-256 of a file in hexadecimal, read again only when its time or size has changed."""
    stat = path.stat()
    return _sha256(path, (stat.st_mtime_ns, stat.st_size))


@lru_cache(maxsize=1024)
def _sha256(path: Path, _state: tuple[int, int]) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
