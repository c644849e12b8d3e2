"""The page of flips: one static file that works from disk, without scripts, and loads nothing from elsewhere."""

import base64
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import final

from clbench import __version__
from clbench.core.storage import written_whole
from clbench.reports.flips import as_text
from clbench.reports.flips.as_json import weighted
from clbench.reports.flips.comparison import Comparison
from clbench.reports.flips.content import Contents
from clbench.reports.flips.flip_counts import Flip
from clbench.reports.flips.flip_metrics import FLIP_METRICS, all_metrics
from clbench.reports.flips.gate import Gate
from clbench.reports.leaderboard.columns import read_docstring
from clbench.reports.leaderboard.text import plain

NOTHING_KNOWN: Contents = MappingProxyType({})
MOST_FILTERS = 100
"""Tasks that get a button; the others are shown under `all`."""
LONGEST_TEXT = 4000


@final
@dataclass(frozen=True)
class Shown:
    """A flip as the page shows it."""

    flip: Flip
    task_number: int
    old: str
    new: str
    text: str | None
    image: str | None


def write_page(
    comparison: Comparison, path: Path, gate: Gate | None = None, contents: Contents = NOTHING_KNOWN
) -> None:
    """Write the page, whole or not at all.

    Raises:
        ClbenchError: When the disk is full or not writable.
    """
    text = to_html(comparison, gate, contents)
    with written_whole(path) as aside:
        aside.write_text(text, encoding="utf-8")


def to_html(comparison: Comparison, gate: Gate | None = None, contents: Contents = NOTHING_KNOWN) -> str:
    """Fill the template; autoescape keeps what data bring from becoming markup, a policy in the page any script."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(plain=plain, number=as_text.number, interval=as_text.interval, p_value=as_text.p_value)
    template = environment.from_string(files(__package__).joinpath("page.html.j2").read_text(encoding="utf-8"))
    tasks = sorted({flip.task for flip in comparison.worst})[:MOST_FILTERS]
    table = comparison.table
    return template.render(
        c=comparison,
        table=table,
        gate=gate,
        version=__version__,
        metrics=all_metrics(table),
        explained={name: read_docstring(inspect.getdoc(metric) or "") for name, metric in FLIP_METRICS.items()},
        weights=(weighted(comparison.tally.nfr_weight, table), weighted(comparison.tally.pfr_weight, table)),
        all_metrics=all_metrics,
        notes=as_text.notes(comparison),
        tasks=tasks,
        flips=[_shown(flip, as_text.answers(comparison, flip), tasks, contents) for flip in comparison.worst],
        left_out=comparison.worse - len(comparison.worst),
    )


def _shown(flip: Flip, answers: tuple[str, str], tasks: Sequence[str], contents: Contents) -> Shown:
    found = contents.get((flip.task, flip.sample_id))
    text = flip.text if found is None or found.text is None else found.text
    image = None
    if found is not None and found.png is not None:
        image = f"data:image/png;base64,{base64.b64encode(found.png).decode()}"
    return Shown(
        flip,
        tasks.index(flip.task) if flip.task in tasks else len(tasks),
        *answers,
        text[:LONGEST_TEXT] if text else None,
        image,
    )
