"""Membership inference: whether a model's outputs tell samples that it was trained on from others.

Scores are higher for samples that look more like members. All functions take outputs of one version of a model.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import final

import numpy as np
import numpy.typing as npt

from clbench.core.errors import MetricError

Numbers = npt.NDArray[np.float64]

FEW = 50
"""Number of members below which an AUC has an interval."""


@final
@dataclass(frozen=True)
class MembershipAuc:
    """Area under the ROC curve of a membership attack.

    Attributes:
        value: The area, in [0, 1]; 0.5 for an attack that knows nothing.
        interval: Lower and upper bound of its 95 % confidence interval; None from `FEW` members on.
    """

    value: float
    interval: tuple[float, float] | None


def negative_entropy(probabilities: npt.ArrayLike) -> Numbers:
    """Minus the entropy of predicted distributions, a score that needs no label.

    Formula: sum over classes of p ln p, where 0 ln 0 = 0
    Unit: nats
    Direction: higher is more like a member
    Range: [-ln(classes), 0]
    Source: Chundawat et al. 2023 (arXiv 2205.08096), where the attack reads the entropy

    Args:
        probabilities: `(n, classes)`, rows that sum to 1.
    """
    p = np.asarray(probabilities, np.float64)
    found: Numbers = np.sum(p * np.log(np.where(p > 0, p, 1.0)), axis=-1)
    return found


def log_likelihood(probabilities: npt.ArrayLike, labels: npt.ArrayLike) -> Numbers:
    """Minus the cross-entropy of each sample, a score that needs the label.

    Formula: ln p of the true class
    Unit: nats
    Direction: higher is more like a member
    Range: [-inf, 0]
    Source: Yeom et al. 2018, the attack by the loss

    Args:
        probabilities: `(n, classes)`, rows that sum to 1.
        labels: True classes, `(n,)` integers.
    """
    p = np.asarray(probabilities, np.float64)
    with np.errstate(divide="ignore"):
        found: Numbers = np.log(p[np.arange(len(p)), np.asarray(labels)])
    return found


def membership_auc(members: npt.ArrayLike, others: npt.ArrayLike) -> MembershipAuc:
    """Probability that a random member has a higher score than a random other sample; ties count half.

    Members and others must come from the same task and mix of classes, and nothing may have been chosen on the others.

    Formula: (number of pairs with member > other + half the number of equal pairs) / (members * others)
    Unit: a probability
    Direction: 0.5 means that the attack fails; after unlearning, the aim is the value of a retrained model
    Range: [0, 1]
    Source: Mann and Whitney 1947; Hanley and McNeil 1982

    Args:
        members: Scores of samples that were trained on, `(m,)`.
        others: Scores of samples that were not, `(n,)`.

    Raises:
        MetricError: For no member, no other sample, or a score that is not a number.
    """
    member, other = np.asarray(members, np.float64), np.sort(np.asarray(others, np.float64))
    if not len(member) or not len(other) or np.isnan(member).any() or np.isnan(other).any():
        got = f"{len(member)} members and {len(other)} others"
        raise MetricError(f"membership AUC: wanted scores that are numbers, at least one of each kind, got {got}")
    below, up_to = (np.searchsorted(other, member, side) for side in ("left", "right"))
    value = float((below + up_to).sum() / (2 * len(member) * len(other)))
    return MembershipAuc(value, auc_interval(value, len(member), len(other)) if len(member) < FEW else None)


def auc_interval(value: float, members: int, others: int) -> tuple[float, float]:
    """95 % confidence interval of an AUC, by inverting the variance of Hanley and McNeil.

    The plain form, value +- 1.96 standard errors at the value, has width 0 at an AUC of 1, which is what few samples
    often give. Here a bound is the area A at which the value is 1.96 standard errors away.

    Formula: the smallest and largest A with (value - A)^2 <= 1.96^2 V(A); with Q1 = A / (2 - A), Q2 = 2 A^2 / (1 + A):
        V(A) = (A (1 - A) + (m - 1) (Q1 - A^2) + (n - 1) (Q2 - A^2)) / (m n)
    Source: Hanley and McNeil 1982; inverted as in Newcombe 2006

    Args:
        value: The AUC, in [0, 1].
        members: Number of members m.
        others: Number of other samples n.
    """
    z = NormalDist().inv_cdf(0.975)

    def outside(area: float) -> bool:
        first, second = area / (2 - area), 2 * area**2 / (1 + area)
        spread = area * (1 - area) + (members - 1) * (first - area**2) + (others - 1) * (second - area**2)
        return (value - area) ** 2 > z**2 * max(spread, 0.0) / (members * others)

    return _edge(value, 0.0, outside), _edge(value, 1.0, outside)


def _edge(inside: float, end: float, outside: Callable[[float], bool]) -> float:
    """The point between `inside` and `end` from which on `outside` holds, by bisection; `end` if it never does."""
    if not outside(end):
        return end
    for _ in range(60):
        middle = (inside + end) / 2
        inside, end = (inside, middle) if outside(middle) else (middle, end)
    return inside


def logistic_membership(retained: npt.ArrayLike, held_out: npt.ArrayLike, forgotten: npt.ArrayLike) -> float:
    """Share of forgotten samples that a logistic regression on the entropy calls members.

    The regression has one feature and balanced classes; it learns to tell retained training samples from held-out ones.

    Unit: a share of the forgotten samples
    Direction: after unlearning, the aim is the value of a retrained model
    Range: [0, 1]
    Source: Chundawat et al. 2023 and the released code of SSD, without the argument `multi_class`, which scikit-learn
        has dropped

    Args:
        retained: Entropies (or other scores) of retained training samples, `(r,)`.
        held_out: Those of held-out samples, `(h,)`.
        forgotten: Those of forgotten samples, `(f,)`.

    Raises:
        MetricError: When one of the three is empty or not finite.
    """
    from sklearn.linear_model import LogisticRegression

    groups = [np.asarray(values, np.float64).reshape(-1, 1) for values in (retained, held_out, forgotten)]
    if not all(len(values) and np.isfinite(values).all() for values in groups):
        got = ", ".join(str(len(values)) for values in groups)
        raise MetricError(f"membership by regression: wanted finite scores of three kinds of samples, got {got}")
    inside, outside, asked = groups
    is_member = np.repeat([1, 0], [len(inside), len(outside)])
    model = LogisticRegression(class_weight="balanced").fit(np.concatenate([inside, outside]), is_member)
    return float(model.predict(asked).mean())
