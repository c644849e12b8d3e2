"""Classification: scikit-learn's metrics of predictions and probabilities."""

import numpy as np

from clbench.core.errors import MetricError
from clbench.core.registry import IMAGE_METRICS
from clbench.reports.image_metrics._measured_rows import MeasuredRows

PROBABILITY = "probability/"


@IMAGE_METRICS.register("classification.accuracy", direction="higher")
def accuracy(rows: MeasuredRows) -> float:
    """Share of images whose class is right.

    Formula: right predictions / images
    Unit: a share
    Direction: higher is better
    Source: official evaluator of FMC_UIA 2026, Accuracy
    """
    return float(np.mean(np.array(rows.prediction) == np.array(rows.target)))


@IMAGE_METRICS.register("classification.auc", direction="higher")
def auc(rows: MeasuredRows) -> float:
    """Area under the ROC curve, of class 1 where there are two, else the mean of each class against the rest.

    Formula: two classes: P(probability of class 1 is higher for an image of class 1 than for one of class 0), ties
        count half; more: mean over classes of the same for the class and all others
    Unit: a share
    Direction: higher is better, 0.5 is chance
    Source: official evaluator of FMC_UIA 2026, AUC (scikit-learn's roc_auc_score, macro, one versus rest)

    Where a class has no image it is not defined; the official evaluator says 0 then.

    Raises:
        MetricError: When a class has no image, or a sample lacks its probabilities.
    """
    from sklearn.metrics import roc_auc_score

    target, names = np.array(rows.target), rows.classes(PROBABILITY)
    _require_all(names, rows)
    asked = names[1:] if len(names) == 2 else names
    return float(np.mean([roc_auc_score(target == name, rows.values(PROBABILITY + name)) for name in asked]))


@IMAGE_METRICS.register("classification.f1_macro", direction="higher")
def f1_macro(rows: MeasuredRows) -> float:
    """F1 of every class, unweighted mean over the classes that are true or predicted of some image.

    Formula: mean over classes of 2 TP / (2 TP + FP + FN)
    Unit: a share
    Direction: higher is better
    Source: official evaluator of FMC_UIA 2026, F1_macro (scikit-learn's f1_score)
    """
    return _f1(rows, "macro")


@IMAGE_METRICS.register("classification.f1_weighted", direction="higher")
def f1_weighted(rows: MeasuredRows) -> float:
    """F1 of every class, mean weighted by how many images are of the class.

    Formula: mean over images of 2 TP / (2 TP + FP + FN) of their class
    Unit: a share
    Direction: higher is better
    Source: official evaluator of FMC_UIA 2026, F1_weighted (scikit-learn's f1_score)
    """
    return _f1(rows, "weighted")


@IMAGE_METRICS.register("classification.mcc", direction="higher")
def mcc(rows: MeasuredRows) -> float:
    """Matthews correlation coefficient of true and predicted classes; 0 for a model that always says the same.

    Formula: covariance of the one-hot matrices of both / root of the product of their variances
    Unit: a correlation
    Direction: higher is better, from -1 to 1
    Source: official evaluator of FMC_UIA 2026, MCC (scikit-learn's matthews_corrcoef)

    Raises:
        MetricError: When all images are of one class.
    """
    from sklearn.metrics import matthews_corrcoef

    if len(set(rows.target)) < 2:
        raise MetricError(f"all images are of class {rows.target[0]!r}")
    return float(matthews_corrcoef(rows.target, rows.prediction))


def _f1(rows: MeasuredRows, average: str) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(rows.target, rows.prediction, average=average, zero_division=0))


def _require_all(names: tuple[str, ...], rows: MeasuredRows) -> None:
    if not names:
        raise MetricError("no sample has probabilities that are numbers")
    missing = [name for name in names if name not in set(rows.target)]
    if missing:
        more = f" (and {len(missing) - 1} more classes)" if len(missing) > 1 else ""
        raise MetricError(f"no image is of class {missing[0]!r}{more}")
