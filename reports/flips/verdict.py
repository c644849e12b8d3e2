"""The verdict of a comparison: better, worse, equivalent within a margin, or inconclusive."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, final

from clbench.core.errors import ConfigError
from clbench.reports.flips.contingency import ContingencyTable
from clbench.reports.flips.paired_interval import paired_interval
from clbench.reports.flips.power import LEVEL, detectable_change, samples_to_detect, samples_to_equate
from clbench.reports.flips.statistics import mcnemar_exact
from clbench.reports.statistics.intervals import Interval, holm

Outcome = Literal["better", "worse", "equivalent", "inconclusive"]


@final
@dataclass(frozen=True)
class Verdict:
    """What paired right and wrong answers say about the accuracy; the unit of analysis is the sample.

    Args:
        outcome: `equivalent` if the 90 % interval lies within the margin, else `better` or `worse` if p is at most
            0.05, else `inconclusive`. So a change that is sure but within the margin is `equivalent`.
        change: New accuracy - old accuracy, in [-1, 1].
        interval: 90 % score interval of the change: each end is a one-sided 95 % bound.
        p: p-value of McNemar's exact test that the change is 0, corrected where several tasks or models are tested.
        margin: Largest size of a change that does not matter, in (0, 1); None without one.
        detectable: Size of the smallest change that these samples show with a power of 80 %; None if they show none.
        more: If inconclusive, number of further samples with which a verdict is reached with a power of 80 %, if the
            true change and share of discordant pairs are those observed; None if there is no such number.
    """

    outcome: Outcome
    change: float
    interval: Interval
    p: float
    margin: float | None
    detectable: float | None
    more: int | None


def check_margin(margin: float | None) -> None:
    """Refuse a margin that is not a share.

    Raises:
        ConfigError: For a margin that is not between 0 and 1.
    """
    if margin is not None and not 0 < margin < 1:
        raise ConfigError(f"--margin must be a share above 0 and below 1, got {margin}")


def verdict(table: ContingencyTable, margin: float | None = None, p: float | None = None, tests: int = 1) -> Verdict:
    """The verdict on a table of at least one pair.

    If no pair is discordant, the power is computed as if one were.

    Args:
        table: The five counts.
        margin: Largest size of a change that does not matter, in (0, 1); None for no verdict of equivalence.
        p: p-value after a correction for several tests; None for that of McNemar's exact test.
        tests: Number of these tests.
    """
    gained, lost, n = table.positive_flips, table.negative_flips, table.n
    change = (gained - lost) / n
    interval = paired_interval(gained, lost, n, 1 - 2 * LEVEL)
    if p is None:
        p = mcnemar_exact(lost, gained)
    outcome: Outcome = "inconclusive"
    if margin is not None and -margin < interval.low and interval.high < margin:
        outcome = "equivalent"
    elif p <= LEVEL:
        outcome = "better" if change > 0 else "worse"
    discordance = max(gained + lost, 1) / n
    needed = [samples_to_detect(change, discordance, tests)]
    if margin is not None:
        needed.append(samples_to_equate(change, discordance, margin))
    enough = min((number for number in needed if number is not None), default=None)
    more = None if outcome != "inconclusive" or enough is None else max(1, enough - n)
    return Verdict(outcome, change, interval, p, margin, detectable_change(discordance, n, tests), more)


def verdicts(tables: Mapping[str, ContingencyTable], margin: float | None = None) -> dict[str, Verdict]:
    """The verdicts on several tasks or models, with Holm's correction of the p-values; tables without pairs have none.

    Args:
        tables: The five counts of each.
        margin: Largest size of a change that does not matter, in (0, 1); None for no verdict of equivalence.
    """
    tested = {name: table for name, table in tables.items() if table.n}
    corrected = holm([mcnemar_exact(table.negative_flips, table.positive_flips) for table in tested.values()])
    pairs = zip(tested.items(), corrected, strict=True)
    return {name: verdict(table, margin, p, len(tested)) for (name, table), p in pairs}
