"""From the cells of MLflow or of run folders to a folder with the site; only what has changed is made again."""

import hashlib
import multiprocessing
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, final

from clbench.core.storage import written_whole
from clbench.reports.leaderboard.aggregate import Section
from clbench.reports.leaderboard.board import Board, make_board
from clbench.reports.leaderboard.collect import MlflowRuns
from clbench.reports.leaderboard.logged_cell import LoggedCell
from clbench.reports.leaderboard.tables import to_csv, to_json, to_markdown
from clbench.reports.site.cell_numbers import numbers_of
from clbench.reports.site.cell_page import cell_address, cell_page
from clbench.reports.site.overview_page import metrics_page, overview_page
from clbench.reports.site.site_cache import SiteCache, cell_digest, save_cell, site_code
from clbench.reports.site.stream_page import Page, section_address, stream_page
from clbench.reports.site.table_formats import to_csv as table_csv
from clbench.reports.site.table_formats import to_json as tables_json
from clbench.reports.site.table_formats import to_latex
from clbench.reports.site.table_formats import to_markdown as tables_markdown

ALONE = 24
"""Most cells that are made without further processes, whose start takes longer."""


class Source(Protocol):
    """Where cells come from: `MlflowRuns`, `RunFolders`."""

    @property
    def name(self) -> str:
        """Name of what was read."""

    @property
    def cells(self) -> Sequence[LoggedCell]:
        """One a cell, without results."""

    @property
    def problems(self) -> Sequence[str]:
        """What could not be read, one line each."""

    def read(self, cell: LoggedCell) -> LoggedCell:
        """The cell with its result as it is stored, or with the error why there is none."""

    def fetch(self, cell: LoggedCell, into: Path) -> Path:
        """A folder with the cell's files.

        Args:
            cell: The cell.
            into: Empty folder that files of a server are downloaded to.
        """


@final
@dataclass(frozen=True)
class _Job:
    """A cell whose page is to be made.

    Attributes:
        cell: The cell, with its result.
        folder: Its files.
        site: Folder of the site.
    """

    cell: LoggedCell
    folder: Path
    site: Path


def write_leaderboard(tracking_uri: str, experiment: str, out: Path) -> Path:
    """Write the site of the runs in MLflow.

    Args:
        tracking_uri: As MLflow takes it: `sqlite:///runs.db`, `https://...`.
        experiment: Name of the experiment.
        out: Folder of the site.

    Returns:
        The path of `index.html`.

    Raises:
        TrackingError: When the store does not answer, or holds no clbench runs.
        ClbenchError: When the disk is full or not writable.
    """
    return write_site(MlflowRuns(tracking_uri, experiment), out)


def write_site(source: Source, out: Path) -> Path:
    """Write `index.html` and all other pages, with their tables in other formats, into a folder.

    Pages that would not change are left alone, and those of cells that are gone are removed.

    Args:
        source: The cells.
        out: The folder, made where it is missing. Each file appears whole or not at all.

    Returns:
        The path of `index.html`.

    Raises:
        ClbenchError: When the disk is full or not writable.
    """
    kept = SiteCache(out)
    bare = [_with_digest(source, cell) for cell in source.cells]
    everything = _key([*(cell.digest for cell in bare), source.name, *source.problems])
    if kept.is_fresh("index", everything) and kept.is_whole:
        return out / "index.html"
    cells, stale = _known(source, bare, kept)
    with tempfile.TemporaryDirectory() as folder:
        jobs = (_Job(cell, source.fetch(cell, _made(Path(folder) / cell.digest)), out) for cell in stale)
        for cell, names in _made_cells(jobs, len(stale)):
            kept.note(cell_address(cell), cell.digest, names)
            cells.append(cell)
    board = make_board(sorted(cells, key=lambda cell: (cell.started, cell.run_id)), source.name, datetime.now(UTC))
    pages = {cell_address(cell) for cell in cells}
    for section in board.sections:
        key = _key([cell.digest for cell in _cells(section)])
        pages.add(name := section_address(section))
        if not kept.is_fresh(name, key):
            kept.note(name, key, _write(stream_page(section, _links(section)), out))
    pages |= {"metrics", "index"}
    if not kept.is_fresh("metrics", site_code()):
        kept.note("metrics", site_code(), _write(metrics_page(board), out))
    if not kept.is_fresh("index", everything):
        kept.note("index", everything, _write_first(board, source.problems, out))
    kept.close(pages, {cell.digest for cell in cells})
    return out / "index.html"


def _with_digest(source: Source, cell: LoggedCell) -> LoggedCell:
    """The cell with its digest, and with its result where this had to be read for it."""
    found = source.read(cell) if cell.place is None else cell
    return replace(found, digest=cell_digest(found))


def _known(source: Source, cells: Sequence[LoggedCell], kept: SiteCache) -> tuple[list[LoggedCell], list[LoggedCell]]:
    """The cells whose pages are there, and the others, all with their results."""
    known, stale = [], []
    for cell in cells:
        loaded = kept.load(cell) if kept.is_fresh(cell_address(cell), cell.digest) else None
        if loaded is not None:
            known.append(loaded)
        else:
            stale.append(cell if cell.result else source.read(cell))
    return known, stale


def _made_cells(jobs: Iterator[_Job], number: int) -> Iterator[tuple[LoggedCell, list[str]]]:
    """Make the pages of cells, side by side if there are many: the cells with all numbers, and names of their files."""
    workers = min(os.cpu_count() or 1, 8)
    if number <= ALONE or workers < 2:
        yield from map(_make_cell, jobs)
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(workers, context) as pool:
        yield from pool.map(_make_cell, jobs, chunksize=8)


def _make_cell(job: _Job) -> tuple[LoggedCell, list[str]]:
    found = numbers_of(job.cell, job.folder)
    names = _write(cell_page(found, job.folder), job.site)
    save_cell(job.site, found.cell)
    return found.cell, names


def _write(page: Page, out: Path) -> list[str]:
    """Write a page and its tables in all formats; returns the names of the files, the page last."""
    texts = {f"{page.name}.{table.name}.csv": table_csv(table) for table in page.tables}
    if page.tables:
        texts[f"{page.name}.md"] = tables_markdown(page.title, page.tables)
        texts[f"{page.name}.json"] = tables_json(page.title, page.tables)
        texts[f"{page.name}.tex"] = to_latex(page.title, page.tables)
    texts[f"{page.name}.html"] = page.html
    return _write_texts(texts, out)


def _write_first(board: Board, problems: Sequence[str], out: Path) -> list[str]:
    """Write the files of the whole board, then the first page: while they are made, the old page is there."""
    whole = {
        "leaderboard.json": to_json(board),
        "leaderboard.csv": to_csv(board),
        "leaderboard.md": to_markdown(board),
    }
    page = overview_page(board, problems)
    return [*_write_texts(whole, out), *_write(page, out)]


def _write_texts(texts: Mapping[str, str], out: Path) -> list[str]:
    for name, text in texts.items():
        with written_whole(out / name) as aside:
            aside.write_text(text, encoding="utf-8", newline="")
    return list(texts)


def _cells(section: Section) -> list[LoggedCell]:
    return [cell for standing in section.standings for cell in (*standing.finished, *standing.failed)]


def _links(section: Section) -> dict[str, list[tuple[str, str]]]:
    """Seeds and addresses of the pages of each strategy's cells, seen from the page of the stream."""
    return {
        standing.label: [
            (cell.seed, f"../{cell_address(cell)}.html") for cell in (*standing.finished, *standing.failed)
        ]
        for standing in section.standings
    }


def _key(parts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join([site_code(), *sorted(parts)]).encode("utf-8", "backslashreplace")).hexdigest()[:32]


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
