"""The numbers that a run shows as metrics: few enough for a page of charts. All are in its table `numbers.csv`."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from clbench.core.registry import METRICS

PRIMARY = (
    "average_accuracy",
    "forgetting.chaudhry",
    "bwt.gem",
    "fwt.gem",
    "mtil.average",
    "mtil.transfer",
    "flips/all/nfr",
    "flips/all/pfr",
    "flips/learnt_before/nfr",
)
"""Numbers of the stream's first protocol."""
FURTHER = ("average_accuracy", "forgetting.chaudhry", "flips/all/nfr")
"""Numbers of its other protocols."""
CHALLENGE = (
    "classification/auc",
    "classification/f1_macro",
    "detection/iou",
    "regression/mre",
    "segmentation/dice",
    "segmentation/hausdorff",
)
"""Official metrics of a kind of task."""
OTHERS = (
    *(f"challenge/{name}" for name in CHALLENGE),
    "cost/*",
    "probe/*",
    "train/loss_last",
    "update/drift",
    "update/norm",
)
DETAILED = ("challenge", "cost", "memory", "passes", "probe", "seconds", "train", "update")
"""First parts of names of which `OTHERS` says all; any other is of a strategy, a part, or the audit of forgetting."""


def is_headline(name: str, protocols: Sequence[str]) -> bool:
    """Whether a number is a metric of the run.

    Of what a strategy records that is what has two parts in its name (`codyra/mean_rank`), not the single layers. A
    metric of the matrix that somebody else has registered is always one.

    Args:
        name: Such as `task-id/bwt.gem`.
        protocols: Protocols of the stream, the first one first.
    """
    first, _, rest = name.partition("/")
    if first in protocols:
        wanted = PRIMARY if first == protocols[0] else FURTHER
        return rest in wanted or ("/" not in rest and rest not in _our_metrics())
    if first in DETAILED:
        return any(fnmatchcase(name, pattern) for pattern in OTHERS)
    return name.count("/") == 1


def _our_metrics() -> set[str]:
    return {item.name for item in METRICS.listings() if item.module.startswith("clbench.")}
