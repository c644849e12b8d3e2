"""The files of a data set, without those that operating systems leave beside them.

Every loader lists folders through this module (a test checks it), so that a system's file is nowhere taken as an image.
"""

import os
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from clbench.core.errors import DataError

COMPANIONS = ("__macosx", "@eadir", "$recycle.bin", "thumbs.db", "ehthumbs.db", "desktop.ini")
"""Names that macOS, Windows and network disks create, in small letters. Names that begin with a dot count too:
`.DS_Store`, and `._NAME`, which macOS writes beside NAME on disks that cannot hold its attributes."""


def is_companion(name: str) -> bool:
    """Whether an operating system creates files or folders of this name beside those of people."""
    return name.startswith(".") or name.lower() in COMPANIONS


def entries(folder: Path, pattern: str = "*") -> Iterator[Path]:
    """Files and folders that fit a pattern, sorted, without companions; none where there is no such folder.

    Args:
        folder: Folder to be listed.
        pattern: Pattern of `Path.glob`, without `**`: `*.png`, `[A-Z]*/*.jpg`.

    Raises:
        DataError: When a folder cannot be read.
    """
    wanted, _, inside = pattern.partition("/")
    plain = not set("*?[") & set(wanted)  # then the disk knows whether capitals matter
    for name in [wanted] if plain and (folder / wanted).exists() else _names(folder):
        if fnmatch(name, wanted) and not is_companion(name):
            if not inside:
                yield folder / name
            else:
                yield from entries(folder / name, inside)


def files_below(folder: Path) -> list[str]:
    """All files of a folder and of those in it, links followed, without companions: their paths from there, sorted.

    A string each: a hundred thousand `Path` objects cost a second.
    """
    found = []
    for path, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not is_companion(name)]
        inside = path[len(str(folder)) :].replace(os.sep, "/").lstrip("/")
        prefix = f"{inside}/" if inside else ""
        found += [prefix + name for name in files if not is_companion(name)]
    return sorted(found)


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208  # names are what is asked for
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror}") from None
