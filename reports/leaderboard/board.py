"""All that a leaderboard says, before it takes one of its four forms."""

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
    """The sections with what is needed to read them.

    Args:
        environment: Of each thing that the finished runs say of themselves, the values and how many runs say them.
    """

    experiment: str
    generated: datetime
    sections: tuple[Section, ...]
    columns: tuple[Column, ...]
    environment: dict[str, dict[str, int]]

    units: ClassVar[str] = "Scores in %, mean ± standard error over seeds; ↑ higher is better, ↓ lower is better."

    def published(self, section: Section) -> Published | None:
        """What others have printed for a section's stream; None for tuning."""
        return published_tables().get(section.stream) if section.is_test else None

    @property
    def test_sections(self) -> list[Section]:
        """The results."""
        return [section for section in self.sections if section.is_test]

    @property
    def tuning_sections(self) -> list[Section]:
        """What served to choose settings."""
        return [section for section in self.sections if not section.is_test]


def make_board(cells: Sequence[LoggedCell], experiment: str, generated: datetime) -> Board:
    """Aggregate the cells and gather what explains them."""
    finished = [cell for cell in cells if cell.finished]
    return Board(experiment, generated, tuple(aggregate(cells)), tuple(columns()), _environment(finished))


def _environment(cells: Iterable[LoggedCell]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {}
    for cell in cells:
        for name, value in cell.environment.items():
            counts.setdefault(name, Counter())[value] += 1
    return {name: dict(counts[name].most_common()) for name in sorted(counts)}
