"""The flip metrics: pure functions of the five counts; None, never 0, where the denominator is empty.

Unit of all: fractions. Names in the literature differ and contradict each other, so every variant has its own.
"""

from collections.abc import Callable

from clbench.reports.flips.contingency import ContingencyTable

FlipMetric = Callable[[ContingencyTable], float | None]


def old_accuracy(table: ContingencyTable) -> float | None:
    """Share of right answers of the old model, on the paired samples.

    Formula: old right / n
    Direction: higher is better
    Source: the usual accuracy
    """
    return _share(table.old_right, table.n)


def new_accuracy(table: ContingencyTable) -> float | None:
    """Share of right answers of the new model, on the paired samples.

    Formula: new right / n
    Direction: higher is better
    Source: the usual accuracy
    """
    return _share(table.new_right, table.n)


def accuracy_change(table: ContingencyTable) -> float | None:
    """New minus old accuracy, which is what flips in the two directions leave over.

    Formula: (positive flips - negative flips) / n = PFR - NFR
    Direction: higher is better
    Source: identity
    """
    return _share(table.positive_flips - table.negative_flips, table.n)


def nfr(table: ContingencyTable) -> float | None:
    """Negative flip rate: share of all samples that were right and are wrong now.

    Formula: negative flips / n
    Direction: lower is better
    Source: Yan et al. 2021 (Positive-Congruent Training), Eq. 2; Echterhoff et al. 2024 (MUSCLE)
    """
    return _share(table.negative_flips, table.n)


def pfr(table: ContingencyTable) -> float | None:
    """Positive flip rate: share of all samples that were wrong and are right now.

    Formula: positive flips / n
    Direction: higher is better
    Source: Yan et al. 2021, their code
    """
    return _share(table.positive_flips, table.n)


def nfr_mc(table: ContingencyTable) -> float | None:
    """NFR that counts a change from one wrong answer to another too, as users of a multiple-choice model see both.

    Formula: (negative flips + wrong to another wrong) / n
    Direction: lower is better
    Source: Echterhoff et al. 2024 (MUSCLE), section 3.2; equals NFR where there are two choices
    """
    return _share(table.negative_flips + table.both_wrong_different, table.n)


def inconsistency(table: ContingencyTable) -> float | None:
    """Share of all samples whose answer changed, for better, for worse or from wrong to wrong.

    Formula: (negative flips + positive flips + wrong to another wrong) / n
    Direction: lower is better
    Source: Dutta et al. 2024 ("all flips"); churn, where every sample has one right answer
    """
    return _share(table.negative_flips + table.positive_flips + table.both_wrong_different, table.n)


def nfi(table: ContingencyTable) -> float | None:
    """Negative flip impact: the share of the new model's errors that the old one did not make.

    Formula: negative flips / new wrong = NFR / (1 - new accuracy)
    Direction: lower is better
    Source: Cai et al. 2022; None where the new model makes no error (some code says 0)
    """
    return _share(table.negative_flips, table.new_wrong)


def pfi(table: ContingencyTable) -> float | None:
    """Positive flip impact: the share of the new model's right answers that the old one did not have.

    Formula: positive flips / new right
    Direction: higher is better
    Source: the code of Yan et al. 2021
    """
    return _share(table.positive_flips, table.new_right)


def relative_nfr(table: ContingencyTable) -> float | None:
    """NFR over what two models would have whose errors fall independently: 1 means no better than chance.

    Formula: NFR / (old accuracy * (1 - new accuracy))
    Direction: lower is better
    Source: Yan et al. 2021, Eq. 11
    """
    return _share(table.negative_flips * table.n, table.old_right * table.new_wrong)


def btc(table: ContingencyTable) -> float | None:
    """Backward trust compatibility: the share of the old model's right answers that are still right.

    Formula: both right / old right = 1 - NFR / old accuracy
    Direction: higher is better
    Source: Bansal et al. 2019; Srivastava et al. 2020
    """
    return _share(table.both_right, table.old_right)


def bec(table: ContingencyTable) -> float | None:
    """Backward error compatibility as the papers mean it: the share of the new model's errors that are not new.

    Formula: both wrong / new wrong = 1 - NFI
    Direction: higher is better
    Source: Srivastava et al. 2020; Träuble et al. 2021
    """
    return _share(table.both_wrong, table.new_wrong)


def bec_old_errors(table: ContingencyTable) -> float | None:
    """Backward error compatibility as BackwardCompatibilityML computes it: over the old model's errors.

    Formula: both wrong / old wrong = 1 - PFR / (1 - old accuracy)
    Direction: none: an update that mends errors lowers it
    Source: BackwardCompatibilityML, scores.py, against its own documentation
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
"""By the names that tables and JSON use, in the order in which they are shown."""


def all_metrics(table: ContingencyTable) -> dict[str, float | None]:
    """Every metric of a table, None where it is not defined."""
    return {name: metric(table) for name, metric in FLIP_METRICS.items()}


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
