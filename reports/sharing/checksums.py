"""Checksums of the files of a folder, in the format that `sha256sum -c` reads."""

import re
from pathlib import Path

from clbench.core.errors import DataError
from clbench.core.storage import has_digest, read_digest

SUMS = "SHA256SUMS"
"""Name of the file with the checksums of all others."""
LINE = re.compile(r"(?P<digest>[0-9a-f]{64})  (?P<name>[^/\\\n][^\\\n]*)")


def write_checksums(folder: Path) -> None:
    """Write the checksums of all files in a folder, by name."""
    lines = [f"{read_digest(folder / name)}  {name}\n" for name in file_names(folder) if name != SUMS]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def checksum_problems(folder: Path) -> list[str]:
    """What differs from the checksums of a folder, one line each.

    Raises:
        DataError: If the checksums cannot be read.
    """
    wanted = _read(folder / SUMS)
    there = set(file_names(folder)) - {SUMS}
    problems = [f"{name}: is a link" for name in sorted(there) if (folder / name).is_symlink()]
    problems += [f"{name}: is in {SUMS} and is missing" for name in sorted(set(wanted) - there)]
    problems += [f"{name}: is not in {SUMS}" for name in sorted(there - set(wanted))]
    changed = (name for name in sorted(there & set(wanted)) if not has_digest(folder / name, wanted[name]))
    return problems + [f"{name}: has changed: its checksum differs" for name in changed]


def file_names(folder: Path) -> list[str]:
    """Names of all files in a folder and below it, relative to it, with slashes; sorted."""
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink() or path.is_file()
    )


def _read(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        match = LINE.fullmatch(line)
        if match is None or ".." in match["name"].split("/"):
            raise DataError(f"{path}: line {number}: wanted a SHA-256 and the name of a file below, got {line!r:.80}")
        found[match["name"]] = match["digest"]
    return found
