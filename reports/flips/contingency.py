"""The contingency table of old and new answers: five counts from which every flip metric follows."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self, final

from clbench.core.errors import DataError


@final
@dataclass(frozen=True)
class ContingencyTable:
    """Numbers of paired samples by old answer (right or wrong) and new answer (right or wrong).

    Pairs of two wrong answers are counted apart by whether the answers are equal. Tables of disjoint sets of samples
    (tasks, classes, batches, steps) can be added.

    Args:
        both_right: Old and new answers are right.
        negative_flips: The old answer is right, the new one wrong.
        positive_flips: The old answer is wrong, the new one right.
        both_wrong_same: Both answers are wrong and equal.
        both_wrong_different: Both answers are wrong and differ.

    Raises:
        DataError: For a negative count.
    """

    both_right: int = 0
    negative_flips: int = 0
    positive_flips: int = 0
    both_wrong_same: int = 0
    both_wrong_different: int = 0

    def __post_init__(self) -> None:
        """Refuse negative counts."""
        if min(self.counts) < 0:
            raise DataError(f"counts of flips: wanted none below 0, got {self}")

    def __add__(self, other: Self) -> "ContingencyTable":
        """The table of two disjoint sets of samples together."""
        return ContingencyTable(*(mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)))

    @classmethod
    def total(cls, tables: Iterable["ContingencyTable"]) -> "ContingencyTable":
        """The table of disjoint sets of samples together; all 0 without tables."""
        return sum(tables, cls())

    @property
    def counts(self) -> tuple[int, int, int, int, int]:
        """The five counts in the order of the fields (written out, as a bootstrap reads them thousands of times)."""
        return (
            self.both_right,
            self.negative_flips,
            self.positive_flips,
            self.both_wrong_same,
            self.both_wrong_different,
        )

    @property
    def n(self) -> int:
        """Number of pairs."""
        return sum(self.counts)

    @property
    def both_wrong(self) -> int:
        """Old and new answers are wrong."""
        return self.both_wrong_same + self.both_wrong_different

    @property
    def old_right(self) -> int:
        """The old answer is right."""
        return self.both_right + self.negative_flips

    @property
    def old_wrong(self) -> int:
        """The old answer is wrong."""
        return self.positive_flips + self.both_wrong

    @property
    def new_right(self) -> int:
        """The new answer is right."""
        return self.both_right + self.positive_flips

    @property
    def new_wrong(self) -> int:
        """The new answer is wrong."""
        return self.negative_flips + self.both_wrong
