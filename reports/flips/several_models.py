"""Several new models against one old model."""

from collections.abc import Sequence

from clbench.core.errors import ConfigError
from clbench.reports.flips.comparison import Comparison
from clbench.reports.flips.comparison_tables import TableRows, interval, number, p_value
from clbench.reports.flips.flip_metrics import accuracy_change, nfr, pfr
from clbench.reports.flips.verdict import Verdict, verdicts
from clbench.reports.leaderboard.text import plain

MODEL_COLUMNS = (
    *("new model", "n", "NFR", "PFR", "accuracy change", "90 % interval"),
    *("p (McNemar, Holm)", "verdict", "detectable change", "more samples"),
)


def model_verdicts(comparisons: Sequence[Comparison], margin: float | None) -> list[Verdict | None]:
    """The verdict on the accuracy of each new model, with Holm's correction for the number of models.

    Args:
        comparisons: Comparisons of each new model with the same old one.
        margin: Largest size of a change that does not matter; None for no verdict of equivalence.

    Returns:
        The verdicts in order; None for a model without right or wrong answers.

    Raises:
        ConfigError: If a model is named twice.
    """
    tables = {each.new: each.table for each in comparisons}
    if len(tables) < len(comparisons):
        raise ConfigError("a new model is named twice")
    found = verdicts(tables, margin)
    return [found.get(name) for name in tables]


def model_rows(comparisons: Sequence[Comparison], found: Sequence[Verdict | None]) -> TableRows:
    """A row for each new model that has right or wrong answers."""
    rows: TableRows = []
    for each, verdict in zip(comparisons, found, strict=True):
        if verdict is not None:
            shares = (number(nfr(each.table)), number(pfr(each.table)), number(accuracy_change(each.table)))
            decided = (interval(verdict.interval), p_value(verdict.p), verdict.outcome, number(verdict.detectable))
            more = "" if verdict.more is None else str(verdict.more)
            rows.append((plain(each.new), str(each.table.n), *shares, *decided, more))
    return rows
