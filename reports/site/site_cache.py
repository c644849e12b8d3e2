"""What an earlier call has made: the pages by what they were made from, and what was computed from each cell."""

import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import final

from clbench import __version__
from clbench.core import strict_json
from clbench.core.config import validate
from clbench.core.errors import CheckpointError, ConfigError
from clbench.core.storage import read_json, written_whole
from clbench.reports.leaderboard.logged_cell import LoggedCell
from clbench.reports.result import FILE, CellResult
from clbench.reports.result_code import code_digest
from clbench.reports.site.cell_page import SETTINGS

FOLDER = ".cache"
READ = (FILE, "matrix.json", *SETTINGS, "environment.json")
"""Files of a cell that decide its page; its result names the hash of its ledger."""


@cache
def site_code() -> str:
    """Hash of the code, templates and texts that make pages: an edited one means that all pages are made again."""
    digest = hashlib.sha256(f"{__version__}\0{code_digest()}".encode())
    root = Path(str(files("clbench.reports")))
    for path in sorted(root.rglob("*")):
        if path.suffix in (".py", ".j2", ".css", ".js", ".yaml"):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def cell_digest(cell: LoggedCell) -> str:
    """Hash of all that a page shows of a cell: of its files, or of its result where it has no files on this machine."""
    told = {name: value for name, value in asdict(replace(cell, place=None, result=None)).items() if name != "digest"}
    digest = hashlib.sha256(f"{site_code()}\0{sorted(told.items())!r}".encode("utf-8", "backslashreplace"))
    if cell.place is not None:
        for name in READ:
            with contextlib.suppress(OSError):
                digest.update(name.encode() + (cell.place / name).read_bytes())
    elif cell.result is not None:
        digest.update(strict_json.dumps(cell.result.as_json()).encode())
    return digest.hexdigest()[:32]


@final
class SiteCache:
    """The folder `.cache` of a site.

    Args:
        site: Folder of the site.
    """

    def __init__(self, site: Path) -> None:
        self._site, self._folder = site, site / FOLDER
        self._pages: dict[str, dict[str, object]] = {}
        with contextlib.suppress(CheckpointError):
            found = read_json(self._folder / "pages.json")
            self._pages = {name: of for name, of in found.items() if isinstance(of, dict) and "files" in of}

    def is_fresh(self, page: str, key: str) -> bool:
        """Whether a page was made from this and all of its files are there.

        Args:
            page: Name of the page.
            key: Hash of what it is made from.
        """
        found = self._pages.get(page)
        return found is not None and found.get("key") == key and all(map(Path.is_file, self._files(page)))

    @property
    def is_whole(self) -> bool:
        """Whether all files of all pages are there."""
        return all(path.is_file() for page in self._pages for path in self._files(page))

    def note(self, page: str, key: str, names: list[str]) -> None:
        """Remember a page that was written.

        Args:
            page: Name of the page.
            key: Hash of what it was made from.
            names: Paths of its files, below the folder of the site.
        """
        for path in self._files(page):
            if path.relative_to(self._site).as_posix() not in names:
                path.unlink(missing_ok=True)
        self._pages[page] = {"key": key, "files": names}

    def close(self, pages: set[str], cells: set[str]) -> None:
        """Remove the files of all other pages and cells, and write down what is there.

        Args:
            pages: Names of the pages of the site.
            cells: Digests of its cells.
        """
        for page in set(self._pages) - pages:
            for path in self._files(page):
                path.unlink(missing_ok=True)
            del self._pages[page]
        for path in (self._folder / "cells").glob("*.json"):
            if path.stem not in cells:
                path.unlink(missing_ok=True)
        _write(self._folder / "pages.json", self._pages)

    def load(self, cell: LoggedCell) -> LoggedCell | None:
        """The cell with result and calibration as they were computed before; None if they were not."""
        try:
            found = json.loads(cell_file(self._site, cell.digest).read_text(encoding="utf-8"))
            if "error" in found:
                return replace(cell, error=str(found["error"]))
            result = validate(CellResult, found["result"], FILE)
            return replace(cell, result=result, calibration=dict(found["calibration"]))
        except (ConfigError, KeyError, OSError, TypeError, ValueError):
            return None

    def _files(self, page: str) -> list[Path]:
        """The files of a page; names that would leave the folder of the site are none."""
        names = self._pages.get(page, {}).get("files", [])
        found = [str(name) for name in names] if isinstance(names, list) else []
        return [self._site / name for name in found if not name.startswith("/") and ".." not in name.split("/")]


def cell_file(site: Path, digest: str) -> Path:
    """The file with what was computed from a cell."""
    return site / FOLDER / "cells" / f"{digest}.json"


def save_cell(site: Path, cell: LoggedCell) -> None:
    """Keep what was computed from a cell.

    Args:
        site: Folder of the site.
        cell: The cell with its result, or with the error why there is none.
    """
    if cell.result is None:
        _write(cell_file(site, cell.digest), {"error": cell.error})
    else:
        found = {"result": cell.result.as_json(), "calibration": dict(cell.calibration)}
        _write(cell_file(site, cell.digest), found)


def _write(path: Path, values: Mapping[str, object]) -> None:
    """Write JSON in one line, which takes a tenth of the time of an indented one."""
    with written_whole(path) as aside:
        aside.write_text(strict_json.dumps(values), encoding="utf-8")
