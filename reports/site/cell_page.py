"""The page of a cell: R, curves, flips with examples, settings, environment, the command that repeats it."""

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from clbench.core import strict_json
from clbench.core.errors import CheckpointError
from clbench.core.storage import read_json
from clbench.reports.headings import CALIBRATION, COSTS, MAIN, STREAM_FLIPS, UPDATE_TITLE, percent, three_digits
from clbench.reports.leaderboard.aggregate import Section, SeedsResult, Standing, aggregate
from clbench.reports.leaderboard.logged_cell import LoggedCell
from clbench.reports.matrix import ScoreMatrix
from clbench.reports.matrix_labels import version_label
from clbench.reports.result import CellResult
from clbench.reports.site.cell_numbers import CellNumbers
from clbench.reports.site.heat_map import matrix_table
from clbench.reports.site.page_frame import address, render
from clbench.reports.site.repeat_command import repeat_command
from clbench.reports.site.section_tables import last_versions, number_column, update_tables
from clbench.reports.site.site_table import EMPTY, Cell, Column, Table
from clbench.reports.site.stream_page import Page, section_address, section_title
from clbench.reports.site.svg_plot import Line, curves

SETTINGS = ("cell.json", "config.json")
"""Names of the file of settings: in a cell's folder, and as an artifact of MLflow."""
STEP = {
    "flips/all/nfr": ("Negative flips", "lower"),
    "flips/all/pfr": ("Positive flips", "higher"),
    "flips/learnt_before/nfr": ("Negative flips, tasks learnt before", "lower"),
    "flips/learnt_before/pfr": ("Positive flips, tasks learnt before", "higher"),
    "flips/was_right_is_wrong": ("Was right, is wrong", "lower"),
    "flips/flip_flops": ("Changed twice or more", "lower"),
}
"""Flips of each update: headings and better directions."""
MOST_LINES = 20
"""Tasks with a curve of their own."""


def cell_address(cell: LoggedCell) -> str:
    """Name of the page of a cell, below the folder of the site."""
    return f"cells/{address(f'{cell.stream}--{cell.label}--seed{cell.seed}', cell.key)}"


def cell_page(found: CellNumbers, folder: Path) -> Page:
    """The page of a cell.

    Args:
        found: The cell.
        folder: Folder on this machine with its settings and environment, as far as they are there.
    """
    cell = found.cell
    settings = next((values for name in SETTINGS if (values := _json(folder / name))), {})
    environment = _json(folder / "environment.json") or dict(cell.environment)
    (section,) = aggregate([cell])
    name, title = cell_address(cell), f"{cell.label}, seed {cell.seed}"
    tables: list[Table] = []
    parts: dict[str, Any] = {"maps": [], "curves": None, "flips": None, "updates": [], "examples": [], "facts": []}
    if cell.result is not None:
        parts = _parts(cell.result, section, found)
        tables = [*parts["maps"], parts["flips"], *parts["updates"]]
    command, also_run = repeat_command(cell, settings)
    html = render(
        "cell.html.j2",
        cell=cell,
        title=title,
        section_title=section_title(section),
        section_link=f"../{section_address(section)}.html",
        page=name.rpartition("/")[2],
        tables=tables,
        problem=found.problem,
        settings=strict_json.dumps(settings, indent=1) if settings else "",
        environment=strict_json.dumps(environment, indent=1) if environment else "",
        command=command,
        also_run=also_run,
        forgotten=any(cell.state == "forgotten" for table in tables for row in table.rows for cell in row),
        update_title=UPDATE_TITLE,
        **parts,
    )
    return Page(name, f"{cell.stream}: {title}", html, tables)


def _parts(result: CellResult, section: Section, found: CellNumbers) -> dict[str, Any]:
    first = next(iter(result.protocols))
    matrix = result.matrix(first)
    (standing,) = section.standings
    maps = [
        matrix_table(of, f"R{number}", f"R, protocol {protocol}")
        for number, (protocol, of) in enumerate(result.matrices.items(), start=1)
    ]
    return {
        "maps": maps,
        "curves": _curves(matrix),
        "flips": _flip_table(result, first, matrix, found),
        "updates": update_tables(section, first, 1),
        "examples": [
            {"label": version_label(matrix, version), "lost": of.lost, "items": of.examples}
            for version, of in found.flips.items()
            if of.lost
        ],
        "facts": [*_facts(standing, standing.results[first]), *_last_version(section, first)],
    }


def _facts(standing: Standing, result: SeedsResult) -> list[tuple[str, str]]:
    """What the cell reached under the first protocol, and what it took."""
    shown = [*(name for name in MAIN if name != "mtil.last"), *STREAM_FLIPS, CALIBRATION]
    facts = [
        (number_column(name).heading, f"{percent(result.metrics[name].mean)} %")
        for name in shown
        if name in result.metrics
    ]
    return facts + [(COSTS[name].long, three_digits(of.mean)) for name, of in standing.cost.items()]


def _last_version(section: Section, protocol: str) -> list[tuple[str, str]]:
    """Which version the scores are of, where versions were compressed."""
    return [("Last version", text) for text in last_versions(section, protocol)]


def _flip_table(result: CellResult, protocol: str, matrix: ScoreMatrix, found: CellNumbers) -> Table:
    """One row an update: rates in %, and the number of answers that were right before it and are wrong after it."""
    versions = result.protocols[protocol].versions
    names = [name for name in STEP if any(name in version.flips for version in versions)]
    columns = [
        Column("version", "Version", is_text=True),
        Column("kind", "Update", is_text=True),
        *(Column(name, *STEP[name]) for name in names),
        Column("lost", "Answers lost", "lower"),
    ]
    rows = []
    for number, version in enumerate(versions[1:], start=1):
        flips = found.flips.get(number)
        rates = [Cell(percent(version.flips[n]), version.flips[n]) if n in version.flips else EMPTY for n in names]
        lost = EMPTY if flips is None else Cell(f"{flips.lost:,}", float(flips.lost))
        rows.append([Cell(version_label(matrix, number)), Cell(result.updates[number - 1].kind), *rates, lost])
    note = "Each version against the one that it was made from, in % of the samples that both were tested on."
    return Table("flips", f"Flips at each update, protocol {protocol}", columns, rows, note, wide=True)


def _curves(matrix: ScoreMatrix) -> object:
    """The mean score over the tasks that count for each version, and the score of each task."""
    scores = matrix.scores
    mean = []
    for version in matrix.path():
        places = [matrix.tasks.index(task) for task in matrix.counted_tasks(version)] if version else []
        known = [float(scores[version, place]) for place in places if scores[version, place] == scores[version, place]]
        if known:
            mean.append((float(version), fmean(known)))
    lines = [
        Line(task, [(float(v), float(scores[v, place])) for v in matrix.path() if scores[v, place] == scores[v, place]])
        for place, task in enumerate(matrix.tasks[:MOST_LINES])
    ]
    lines = [line for line in lines if line.points]
    if mean:
        lines.append(Line("mean of learnt tasks", mean, is_main=True))
    return curves(lines, "Score, %") if lines else None


def _json(path: Path) -> Mapping[str, object]:
    """The object in a file; empty where it is missing or damaged, which does not keep the page from being made."""
    try:
        return read_json(path)
    except CheckpointError:
        return {}
