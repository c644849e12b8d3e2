"""Flip metrics: pure functions of the five counts; None, never 0, where the denominator is 0.

Names in the literature differ and contradict each other, so each variant has its own name.
"""

from collections.abc import Callable

from clbench.reports.flips.contingency import ContingencyTable

FlipMetric = Callable[[ContingencyTable], float | None]
"""A function of the five counts; None where its denominator is 0."""


def old_accuracy(table: ContingencyTable) -> float | None:
    """Accuracy of the old model on the paired samples.

    Formula: old right / n
    Unit: share of all pairs, in [0, 1]
    Direction: higher is better
    Source: the usual accuracy
    """
    return _share(table.old_right, table.n)


def new_accuracy(table: ContingencyTable) -> float | None:
    """Accuracy of the new model on the paired samples.

    Formula: new right / n
    Unit: share of all pairs, in [0, 1]
    Direction: higher is better
    Source: the usual accuracy
    """
    return _share(table.new_right, table.n)


def accuracy_change(table: ContingencyTable) -> float | None:
    """New accuracy minus old accuracy: positive and negative flips cancel in it.

    Formula: (positive flips - negative flips) / n = PFR - NFR
    Unit: difference of shares of all pairs, in [-1, 1]
    Direction: higher is better
    Source: follows from the definitions
    """
    return _share(table.positive_flips - table.negative_flips, table.n)


def nfr(table: ContingencyTable) -> float | None:
    """Negative flip rate: share of samples that the old model has right and the new one wrong.

    Formula: negative flips / n
    Unit: share of all pairs, in [0, 1]
    Direction: lower is better
    Source: Yan et al. 2021 (Positive-Congruent Training), Eq. 2; Echterhoff et al. 2024 (MUSCLE)
    """
    return _share(table.negative_flips, table.n)


def pfr(table: ContingencyTable) -> float | None:
    """Positive flip rate: share of samples that the old model has wrong and the new one right.

    Formula: positive flips / n
    Unit: share of all pairs, in [0, 1]
    Direction: higher is better
    Source: Yan et al. 2021, their code
    """
    return _share(table.positive_flips, table.n)


def nfr_mc(table: ContingencyTable) -> float | None:
    """NFR for multiple choice, which also counts changes from one wrong answer to another.

    Formula: (negative flips + wrong to another wrong) / n
    Unit: share of all pairs, in [0, 1]
    Direction: lower is better
    Source: Echterhoff et al. 2024 (MUSCLE), section 3.2; equals NFR with two choices
    """
    return _share(table.negative_flips + table.both_wrong_different, table.n)


def inconsistency(table: ContingencyTable) -> float | None:
    """Share of samples whose answer changed, in any direction.

    Formula: (negative flips + positive flips + wrong to another wrong) / n
    Unit: share of all pairs, in [0, 1]
    Direction: lower is better
    Source: Dutta et al. 2024 ("all flips"); equals churn if each sample has one right answer
    """
    return _share(table.negative_flips + table.positive_flips + table.both_wrong_different, table.n)


def nfi(table: ContingencyTable) -> float | None:
    """Negative flip impact: share of the new model's errors that are negative flips.

    Formula: negative flips / new wrong = NFR / (1 - new accuracy)
    Unit: share of the new model's errors, in [0, 1]
    Direction: lower is better
    Source: Cai et al. 2022; undefined if the new model has no errors (some code returns 0)
    """
    return _share(table.negative_flips, table.new_wrong)


def pfi(table: ContingencyTable) -> float | None:
    """Positive flip impact: share of the new model's right answers that are positive flips.

    Formula: positive flips / new right = PFR / new accuracy
    Unit: share of the new model's right answers, in [0, 1]
    Direction: higher is better
    Source: Yan et al. 2021, their code
    """
    return _share(table.positive_flips, table.new_right)


def relative_nfr(table: ContingencyTable) -> float | None:
    """NFR divided by the NFR of two models whose errors are independent.

    Formula: NFR / (old accuracy * (1 - new accuracy))
    Unit: ratio, at least 0; 1 for independent errors
    Direction: lower is better
    Source: Yan et al. 2021, Eq. 11
    """
    return _share(table.negative_flips * table.n, table.old_right * table.new_wrong)


def btc(table: ContingencyTable) -> float | None:
    """Backward trust compatibility: share of the old model's right answers that the new model has right, too.

    Formula: both right / old right = 1 - NFR / old accuracy
    Unit: share of the old model's right answers, in [0, 1]
    Direction: higher is better
    Source: Bansal et al. 2019; Srivastava et al. 2020
    """
    return _share(table.both_right, table.old_right)


def bec(table: ContingencyTable) -> float | None:
    """Backward error compatibility as in the papers: share of the new model's errors that the old model made, too.

    Formula: both wrong / new wrong = 1 - NFI
    Unit: share of the new model's errors, in [0, 1]
    Direction: higher is better
    Source: Srivastava et al. 2020; Träuble et al. 2021
    """
    return _share(table.both_wrong, table.new_wrong)


def bec_old_errors(table: ContingencyTable) -> float | None:
    """Backward error compatibility as BackwardCompatibilityML computes it: over the old model's errors.

    Formula: both wrong / old wrong = 1 - PFR / (1 - old accuracy)
    Unit: share of the old model's errors, in [0, 1]
    Direction: none (an update that corrects errors lowers it)
    Source: BackwardCompatibilityML, scores.py, which differs from its own documentation
    """
    return _share(table.both_wrong, table.old_wrong)


FLIP_METRICS: dict[str, FlipMetric] = {
    "old_accuracy": old_accuracy,
    "new_accuracy": new_accuracy,
    "accuracy_change": accuracy_change,
    "nfr": nfr,
    "pfr": pfr,
    "nfr_mc": nfr_mc,
    "inconsistency": inconsistency,
    "nfi": nfi,
    "pfi": pfi,
    "relative_nfr": relative_nfr,
    "btc": btc,
    "bec": bec,
    "bec_old_errors": bec_old_errors,
}
"""All flip metrics by their names in tables and JSON, in the order in which they are shown."""


def all_metrics(table: ContingencyTable) -> dict[str, float | None]:
    """All metrics of a table by name; None where undefined."""
    return {name: metric(table) for name, metric in FLIP_METRICS.items()}


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
