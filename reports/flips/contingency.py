"""The five counts from which every flip metric follows; they add up over tasks, classes, batches and steps."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self, final

from clbench.core.errors import DataError


@final
@dataclass(frozen=True)
class ContingencyTable:
    """What became of the answers: old right or wrong times new right or wrong, wrong to another wrong answer apart.

    Args:
        both_right: Right before and after.
        negative_flips: Right before, wrong now.
        positive_flips: Wrong before, right now.
        both_wrong_same: The same wrong answer twice.
        both_wrong_different: Another wrong answer than before.

    Raises:
        DataError: For a negative count.
    """

    both_right: int = 0
    negative_flips: int = 0
    positive_flips: int = 0
    both_wrong_same: int = 0
    both_wrong_different: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot have been counted."""
        if min(self.counts) < 0:
            raise DataError(f"counts of flips: wanted none below 0, got {self}")

    def __add__(self, other: Self) -> "ContingencyTable":
        """The table of two disjoint sets of samples."""
        return ContingencyTable(*(mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)))

    @classmethod
    def total(cls, tables: Iterable["ContingencyTable"]) -> "ContingencyTable":
        """The table of many disjoint sets of samples; that of none is empty."""
        return sum(tables, cls())

    @property
    def counts(self) -> tuple[int, int, int, int, int]:
        """The five counts in the order of the arguments; a bootstrap asks for them ten thousand times."""
        return (
            self.both_right,
            self.negative_flips,
            self.positive_flips,
            self.both_wrong_same,
            self.both_wrong_different,
        )

    @property
    def n(self) -> int:
        """All pairs."""
        return sum(self.counts)

    @property
    def both_wrong(self) -> int:
        """Wrong before and after."""
        return self.both_wrong_same + self.both_wrong_different

    @property
    def old_right(self) -> int:
        """Right before."""
        return self.both_right + self.negative_flips

    @property
    def old_wrong(self) -> int:
        """Wrong before."""
        return self.positive_flips + self.both_wrong

    @property
    def new_right(self) -> int:
        """Right now."""
        return self.both_right + self.positive_flips

    @property
    def new_wrong(self) -> int:
        """Wrong now."""
        return self.negative_flips + self.both_wrong
