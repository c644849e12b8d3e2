"""A budget for negative flips: passed only where it is sure to be kept."""

from dataclasses import dataclass
from typing import final

from clbench.core.errors import ConfigError
from clbench.reports.flips.comparison import Comparison
from clbench.reports.flips.statistics import upper_bound


@final
@dataclass(frozen=True)
class Gate:
    """Whether the upper bound of NFR keeps to a budget, and why (not)."""

    max_nfr: float
    upper: float | None
    passed: bool
    reason: str


def check_budget(max_nfr: float) -> None:
    """Refuse what is no share.

    Raises:
        ConfigError: For a budget outside 0 to 1.
    """
    if not 0 <= max_nfr <= 1:
        raise ConfigError(f"--max-nfr must be a share from 0 to 1, got {max_nfr}")


def decide(comparison: Comparison, max_nfr: float) -> Gate:
    """Compare the one-sided 95 % bound of NFR with a budget.

    A sample that was right and of which the new side says nothing may be a flip. If the budget is kept even when all of
    them are, it passes; if it depends on them, it cannot be decided, which is no pass.

    Raises:
        ConfigError: For a budget outside 0 to 1.
    """
    check_budget(max_nfr)
    table, exposed = comparison.table, comparison.tally.exposed
    upper = comparison.nfr_upper
    if upper is None:
        return Gate(max_nfr, None, False, "cannot be decided: no pair has a right or wrong answer on both sides")
    if upper > max_nfr:
        return Gate(max_nfr, upper, False, f"NFR may be as high as {upper:.4f}, above {max_nfr:g}")
    worst = upper_bound(table.negative_flips + exposed, table.n + exposed)
    if worst is None or worst > max_nfr:
        missing = f"{exposed} answers that were right have no counterpart in {comparison.new}"
        return Gate(max_nfr, upper, False, f"cannot be decided: {missing}; as flips they would be too many")
    return Gate(max_nfr, upper, True, f"NFR is at most {upper:.4f} (95 %), within {max_nfr:g}")
