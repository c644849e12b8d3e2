"""The content of a leaderboard, from which its four files are written."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, final

from clbench.reports.leaderboard.aggregate import Section, aggregate
from clbench.reports.leaderboard.columns import Column, columns
from clbench.reports.leaderboard.logged_cell import LoggedCell
from clbench.reports.leaderboard.published import Published, published_tables


@final
@dataclass(frozen=True)
class Board:
    """The sections of a leaderboard and what explains them.

    Args:
        experiment: Name of the experiment.
        generated: Time of the page.
        sections: One for each stream, learner, budget and split.
        columns: All metrics.
        environment: Values of each tag of the finished runs (versions, hardware), and the number of runs with each.
    """

    experiment: str
    generated: datetime
    sections: tuple[Section, ...]
    columns: tuple[Column, ...]
    environment: dict[str, dict[str, int]]

    units: ClassVar[str] = "Scores in %, mean ± standard error over seeds; ↑ higher is better, ↓ lower is better."

    def published(self, section: Section) -> Published | None:
        """The published table of a section's stream; None for tuning."""
        return published_tables().get(section.stream) if section.is_test else None

    @property
    def test_sections(self) -> list[Section]:
        """Sections with results on test data."""
        return [section for section in self.sections if section.is_test]

    @property
    def tuning_sections(self) -> list[Section]:
        """Sections of runs that served to choose settings."""
        return [section for section in self.sections if not section.is_test]


def make_board(cells: Sequence[LoggedCell], experiment: str, generated: datetime) -> Board:
    """Aggregate the cells.

    Args:
        cells: Cells of an experiment.
        experiment: Its name.
        generated: Time of the page.
    """
    finished = [cell for cell in cells if cell.finished]
    return Board(experiment, generated, tuple(aggregate(cells)), tuple(columns()), _environment(finished))


def _environment(cells: Iterable[LoggedCell]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {}
    for cell in cells:
        for name, value in cell.environment.items():
            counts.setdefault(name, Counter())[value] += 1
    return {name: dict(counts[name].most_common()) for name in sorted(counts)}
