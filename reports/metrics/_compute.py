"""All registered metrics of one matrix at once; those that are undefined say why."""

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from clbench.core.errors import MetricError, RegistryError
from clbench.core.registry import METRICS
from clbench.reports.matrix import ScoreMatrix

Nested = dict[str, float | dict[str, float | None] | dict[str, str] | None]


@final
@dataclass(frozen=True)
class MetricReport:
    """Every metric by its flat name (`bwt.gem`), None where it is undefined, and the reasons for those."""

    values: dict[str, float | None]
    undefined: dict[str, str]

    def nested(self) -> Nested:
        """The values with one level a family, and the reasons under `undefined`; ready for JSON.

        Raises:
            RegistryError: When a name is that of a family, or of `undefined` or `notes`, so that both cannot be shown.
        """
        families: dict[str, dict[str, float | None]] = {}
        result: Nested = {}
        for name, value in self.values.items():
            family, dot, variant = name.partition(".")
            if family in ("undefined", "notes") or (dot and family in self.values):
                raise RegistryError(f"metric {name!r}: wanted a name that differs from the families of the others")
            if dot:
                families.setdefault(family, {})[variant] = value
            else:
                result[name] = value
        return {**result, **families, "undefined": dict(self.undefined)}


def compute_all(matrix: ScoreMatrix, version: int | None = None) -> MetricReport:
    """Evaluate every registered metric, third-party ones included, on the path to a version of a matrix.

    Args:
        matrix: R, versions x tasks.
        version: Number of the version, from 1; the last one if none is given.

    Returns:
        All values, None and a reason where a metric is not defined for this path.

    Raises:
        RegistryError: When the file of a metric does not import.
    """
    values: dict[str, float | None] = {}
    undefined: dict[str, str] = {}
    try:
        path = matrix.along(matrix.last if version is None else version)
    except MetricError as error:
        return MetricReport(dict.fromkeys(METRICS.names()), dict.fromkeys(METRICS.names(), str(error)))
    for name in METRICS.names():
        try:
            values[name] = _finite(METRICS.get(name).value(path))
        except MetricError as error:
            values[name] = None
            undefined[name] = str(error)
    return MetricReport(values, undefined)


def notes_on(scores: ScoreMatrix) -> list[str]:
    """What looks like a mistake in a matrix, though every metric can be computed from it.

    Args:
        scores: R, versions x tasks, of versions that learn the tasks.

    Returns:
        A sentence each; nothing for a matrix in which something to come has a score.
    """
    above = scores.scores[1:][np.triu_indices(scores.number_of_tasks, 1)]
    parts = {"above the diagonal (tasks still to come)": above, "of version 0": scores.scores[0]}
    return [
        f"all scores {name} are 0, which looks like not measured: leave a cell empty where nothing was measured"
        for name, part in parts.items()
        if (measured := part[~np.isnan(part)]).size and not measured.any()
    ]


def _finite(value: float) -> float:
    """A float that JSON can hold; NaN would read as a number that was measured."""
    if not math.isfinite(value):
        raise MetricError(f"the formula gave {value}, wanted a finite number")
    return float(value)
