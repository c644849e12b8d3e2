"""Strategies over several streams: interquartile mean, probability of improvement, critical difference."""

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup

from clbench.core.errors import MetricError
from clbench.reports.headings import percent
from clbench.reports.leaderboard.aggregate import ORDERED_BY, Section
from clbench.reports.site.rank_plot import rank_diagram
from clbench.reports.site.site_table import EMPTY, Cell, Column, Table
from clbench.reports.statistics.critical_difference import critical_difference, smallest_possible_p
from clbench.reports.statistics.many_tasks import Bootstrapped, interquartile_mean, probability_of_improvement
from clbench.reports.statistics.sample_draws import Numbers

NOTE = (
    "Strategies with a result on every stream, by Last under its first protocol. The unit of analysis "
    "is the run, drawn within each stream: intervals say what other seeds on the same streams would give. IQM is the "
    "mean of the middle half of all runs; the probability of improvement is that of a run being better than one of the "
    "first row (Agarwal et al. 2021)."
)


def over_streams(sections: Sequence[Section]) -> tuple[Table, Markup | None, str] | None:
    """Strategies compared over all streams.

    Args:
        sections: The streams.

    Returns:
        The table, the diagram of critical differences where so many streams allow one, and a sentence on what they
        allow; None for fewer than two streams, or fewer than two strategies with a result on all of them.
    """
    scores = _scores(sections)
    if len(sections) < 2 or len(scores) < 2:
        return None
    found = {label: interquartile_mean(of) for label, of in scores.items()}
    order = sorted(scores, key=lambda label: -found[label].value)
    first = scores[order[0]]
    means = {label: of.mean(axis=0).tolist() for label, of in scores.items()}
    rows = []
    for label in order:
        better = None if label == order[0] else probability_of_improvement(scores[label], first)
        average = float(np.mean([_rank(means, label, place) for place in range(len(sections))]))
        rows.append([Cell(label), _told(found[label]), _told(better), Cell(f"{average:.2f}", average)])
    columns = [
        Column("strategy", "Strategy", is_text=True),
        Column("iqm", "IQM of Last, %", "higher"),
        Column("improvement", "Probability of improvement over the first, %", "higher"),
        Column("mean_rank", "Mean rank", "lower"),
    ]
    table = Table("over-streams", "Over all streams", columns, rows, NOTE, wide=True)
    return (table, *_diagram(means, len(sections)))


def _diagram(means: Mapping[str, Sequence[float]], streams: int) -> tuple[Markup | None, str]:
    smallest = smallest_possible_p(streams, len(means))
    told = (
        f"{streams} streams and {len(means)} strategies: the smallest p that Wilcoxon's signed rank tests can give, "
        f"corrected for all pairs (Holm), is {smallest:.2g}"
    )
    try:
        found = critical_difference(means)
    except MetricError:
        return None, f"{told}, so no diagram of critical differences is shown."
    friedman = "" if found.friedman_p is None else f"; Friedman's test: p = {found.friedman_p:.2g}"
    return rank_diagram(found.average_ranks, found.groups), f"{told}{friedman}. A bar joins what is not told apart."


def _scores(sections: Sequence[Section]) -> dict[str, Numbers]:
    """Numbers of `ORDERED_BY`, shape `(runs, streams)`, with as many runs as every stream has of each strategy."""
    by_label: dict[str, list[list[float]]] = {}
    for section in sections:
        for standing in section.standings if section.protocols else ():
            result = standing.results.get(section.protocols[0])
            if result and ORDERED_BY in result.by_seed:
                by_label.setdefault(standing.label, []).append(list(result.by_seed[ORDERED_BY].values()))
    whole = {label: runs for label, runs in by_label.items() if len(runs) == len(sections)}
    fewest = min((len(of) for runs in whole.values() for of in runs), default=0)
    return {label: np.array([of[:fewest] for of in runs]).T for label, runs in whole.items()}


def _rank(means: Mapping[str, Sequence[float]], label: str, place: int) -> float:
    """Rank of a strategy on one stream, from 1; equal means share their ranks."""
    own = means[label][place]
    others = [of[place] for of in means.values()]
    return 1 + sum(x > own for x in others) + (sum(x == own for x in others) - 1) / 2


def _told(found: Bootstrapped | None) -> Cell:
    if found is None:
        return EMPTY
    interval = f" ({percent(found.interval.low)} to {percent(found.interval.high)})" if found.interval else ""
    return Cell(f"{percent(found.value)}{interval}", found.value)
