"""A gate for updates: passed only if NFR keeps to a budget with 95 % confidence."""

from dataclasses import dataclass
from typing import final

from clbench.core.errors import ConfigError
from clbench.reports.flips.comparison import Comparison
from clbench.reports.flips.contingency import ContingencyTable
from clbench.reports.flips.statistics import upper_bound


@final
@dataclass(frozen=True)
class Gate:
    """Whether NFR keeps to a budget.

    Args:
        max_nfr: The budget: largest allowed NFR, a share in [0, 1].
        upper: One-sided upper 95 % bound of NFR, in (0, 1]; None without right or wrong answers.
        passed: Whether the budget is kept.
        reason: Why it is or is not, in one line.
    """

    max_nfr: float
    upper: float | None
    passed: bool
    reason: str


def check_budget(max_nfr: float) -> None:
    """Refuse a budget that is not a share.

    Raises:
        ConfigError: For a budget outside 0 to 1.
    """
    if not 0 <= max_nfr <= 1:
        raise ConfigError(f"--max-nfr must be a share from 0 to 1, got {max_nfr}")


def decide(comparison: Comparison, max_nfr: float) -> Gate:
    """Compare the one-sided upper 95 % bound of NFR with a budget.

    A sample that the old model has right and for which the new model has no answer may be a negative flip. The gate
    passes only if the budget is kept even if all such samples are negative flips.

    Raises:
        ConfigError: For a budget outside 0 to 1.
    """
    check_budget(max_nfr)
    return decide_counts(comparison.table, comparison.counts.old_right_new_unknown, max_nfr, comparison.new)


def decide_counts(table: ContingencyTable, unknown: int, max_nfr: float, new: str) -> Gate:
    """Compare the bound of NFR of some samples with a budget, as `decide` does for all.

    Args:
        table: The five counts.
        unknown: Number of samples that the old model has right and for which the new model has no answer.
        max_nfr: The budget, a share in [0, 1].
        new: Name of the new model.
    """
    upper = upper_bound(table.negative_flips, table.n)
    if upper is None:
        return Gate(
            max_nfr, None, False, "cannot be decided: for no sample do both models have a right or wrong answer"
        )
    if upper > max_nfr:
        return Gate(max_nfr, upper, False, f"NFR may be as high as {upper:.4f} (95 %), above {max_nfr:g}")
    worst = upper_bound(table.negative_flips + unknown, table.n + unknown)
    if worst is None or worst > max_nfr:
        missing = f"{unknown} samples that the old model has right have no right or wrong answer in {new}"
        return Gate(
            max_nfr, upper, False, f"cannot be decided: {missing}, and as negative flips they would exceed {max_nfr:g}"
        )
    return Gate(max_nfr, upper, True, f"NFR is at most {upper:.4f} (95 %), within {max_nfr:g}")
