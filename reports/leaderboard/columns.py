"""The columns of the leaderboard: every registered metric, explained by its docstring."""

import inspect
import re
from dataclasses import dataclass
from typing import final

from clbench.core.registry import METRICS
from clbench.reports.headings import ARROWS, MAIN, arrowed, metric_title


@final
@dataclass(frozen=True)
class Column:
    """A metric with its explanation.

    Args:
        name: Registered name.
        title: Heading without arrow.
        direction: `higher`, `lower` or empty.
        summary: First line of the docstring.
        facts: Formula, unit, direction and source, from the docstring.
        remarks: The other paragraphs of the docstring.
    """

    name: str
    title: str
    direction: str
    summary: str
    facts: dict[str, str]
    remarks: tuple[str, ...]

    @property
    def arrow(self) -> str:
        """Arrow of the better direction; empty where the metric declares none."""
        return ARROWS.get(self.direction, "")

    @property
    def heading(self) -> str:
        """Title and arrow, which are not separated by a line break."""
        return arrowed(self.title, self.direction)

    @property
    def is_main(self) -> bool:
        """Whether the metric belongs in the first table."""
        return self.name in MAIN and self.name != "mtil.last"  # equals average_accuracy


def columns() -> list[Column]:
    """All registered metrics, those of the first table first."""
    names = METRICS.names()
    ordered = [name for name in MAIN if name in names] + [name for name in names if name not in MAIN]
    return [_column(name) for name in ordered]


def _column(name: str) -> Column:
    entry = METRICS.get(name)
    summary, facts, remarks = read_docstring(inspect.getdoc(entry.value) or "")
    return Column(name, metric_title(name), entry.details.get("direction", ""), summary, facts, remarks)


def read_docstring(text: str) -> tuple[str, dict[str, str], tuple[str, ...]]:
    """First line, facts (`Formula: ...`, indented lines go on), and the paragraphs before the Google sections."""
    body = re.split(r"(?m)^(?:Args|Returns|Raises|Examples?):\s*$", text)[0]
    facts: dict[str, str] = {}
    paragraphs: list[str] = []
    for block in re.split(r"\n\s*\n", body.strip()):
        joined = re.sub(r"\n\s+", " ", block)
        found = re.findall(r"(?m)^(Formula|Unit|Direction|Source): (.+)$", joined)
        facts.update(found)
        if not found:
            paragraphs.append(" ".join(joined.split()))
    return (paragraphs[0] if paragraphs else ""), facts, tuple(paragraphs[1:])
