"""The HTML page of a comparison: one static file without scripts that loads nothing from the network."""

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
from clbench.reports.flips import comparison_tables
from clbench.reports.flips.comparison import Comparison
from clbench.reports.flips.comparison_json import confidence_weighted
from clbench.reports.flips.content import Contents
from clbench.reports.flips.flip_counts import Flip
from clbench.reports.flips.flip_metrics import FLIP_METRICS, all_metrics
from clbench.reports.flips.gate import Gate
from clbench.reports.flips.policy import PolicyResult
from clbench.reports.leaderboard.columns import read_docstring
from clbench.reports.leaderboard.text import plain

NO_CONTENTS: Contents = MappingProxyType({})
MOST_FILTERS = 100
"""Largest number of tasks with a filter button; flips of the others are shown under `all` only."""
LONGEST_TEXT = 4000
"""Characters of a text that the page shows."""


@final
@dataclass(frozen=True)
class Shown:
    """A flip as the page shows it.

    Args:
        flip: The flip.
        task_number: Number of its filter button; one more than the last if it has none.
        old: Answer of the old model, with score or confidence.
        new: Answer of the new model, with score or confidence.
        text: Text of the sample, cut; None if not known.
        image: Image of the sample as a `data:` URL; None if not known.
    """

    flip: Flip
    task_number: int
    old: str
    new: str
    text: str | None
    image: str | None


def write_page(
    comparison: Comparison,
    path: Path,
    gate: Gate | None = None,
    contents: Contents = NO_CONTENTS,
    policy: PolicyResult | None = None,
) -> None:
    """Write the page; a failure leaves no part of it.

    Args:
        comparison: What to show.
        path: The file to write.
        gate: Result of a gate, to be shown at the top; None without one.
        contents: Texts and images of samples, as far as they are known.
        policy: Result of a policy, to be shown at the top; None without one.

    Raises:
        ClbenchError: If the disk is full or not writable.
    """
    text = to_html(comparison, gate, contents, policy)
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def to_html(
    comparison: Comparison,
    gate: Gate | None = None,
    contents: Contents = NO_CONTENTS,
    policy: PolicyResult | None = None,
) -> str:
    """The page as text; names and texts from data are escaped, and the page's policy forbids all scripts.

    Args:
        comparison: What to show.
        gate: Result of a gate, to be shown at the top; None without one.
        contents: Texts and images of samples, as far as they are known.
        policy: Result of a policy, to be shown at the top; None without one.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(
        plain=plain,
        number=comparison_tables.number,
        interval=comparison_tables.interval,
        p_value=comparison_tables.p_value,
    )
    template = environment.from_string(files(__package__).joinpath("flips_page.html.j2").read_text(encoding="utf-8"))
    tasks = sorted({flip.task for flip in comparison.worst})[:MOST_FILTERS]
    table = comparison.table
    return template.render(
        c=comparison,
        table=table,
        gate=gate,
        policy=policy,
        policy_line=None if policy is None else comparison_tables.policy_line(policy),
        version=__version__,
        metrics=all_metrics(table),
        explained={name: read_docstring(inspect.getdoc(metric) or "") for name, metric in FLIP_METRICS.items()},
        weights=(
            confidence_weighted(comparison.counts.nfr_confidence_sum, table),
            confidence_weighted(comparison.counts.pfr_confidence_sum, table),
        ),
        all_metrics=all_metrics,
        verdict=comparison_tables.verdict_line(comparison.verdict) if comparison.verdict else None,
        notes=comparison_tables.notes(comparison),
        tasks=tasks,
        flips=[_shown(flip, comparison_tables.answers(comparison, flip), tasks, contents) for flip in comparison.worst],
        left_out=comparison.n_worse - len(comparison.worst),
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
