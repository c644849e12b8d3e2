"""The number that a search maximises or minimises: a registered metric under one protocol."""

from dataclasses import dataclass
from typing import Literal, cast

import numpy as np

from clbench.contracts import Stream
from clbench.core.errors import ConfigError, MetricError
from clbench.core.registry import METRICS
from clbench.reports.compute_result import result_of_matrices
from clbench.reports.matrix import ScoreMatrix
from clbench.reports.result import CellResult

LAST = "mtil.last"
"""The mean over all tasks of what the last version scores."""


@dataclass(frozen=True)
class Criterion:
    """A metric, its protocol and its direction.

    Attributes:
        metric: Registered name.
        protocol: One of the stream's protocols.
        direction: Whether higher or lower is better, as the metric declares it.
    """

    metric: str
    protocol: str
    direction: Literal["higher", "lower"]

    def value(self, result: CellResult) -> float:
        """The criterion of a cell.

        Raises:
            MetricError: When it is not defined.
        """
        last = result.protocols[self.protocol].last
        value = last.metrics[self.metric]
        if value is None:
            raise MetricError(last.undefined[self.metric])
        return value

    def value_of(self, matrix: ScoreMatrix) -> float:
        """The criterion of a stream of which only R is known.

        Raises:
            MetricError: When it is not defined.
        """
        return self.value(result_of_matrices({self.protocol: matrix}))

    def reads_last_version_only(self, stream: Stream) -> bool:
        """Whether the criterion is defined where only the last version was tested."""
        tasks = tuple(task.name for task in stream.tasks)
        made_up = ScoreMatrix.from_rows(tasks, {stream.last_version: [0.5] * len(tasks)}, stream.updates)
        try:
            self.value_of(made_up)
        except MetricError:
            return False
        return True

    def loss(self, value: float | None) -> float:
        """The value as something to minimise; a trial without one is worse than any."""
        if value is None:
            return float("inf")
        return -value if self.direction == "higher" else value


def criterion_of(name: str, stream: Stream) -> Criterion:
    """The criterion of a name on a stream.

    Args:
        name: A metric under the stream's first protocol (`mtil.last`), or after another (`union.mtil.last`).
        stream: The stream, with its protocols.

    Raises:
        RegistryError: For an unknown metric.
        ConfigError: For a metric that does not say which way is better or is not defined for so many tasks.
    """
    head, _, rest = name.partition(".")
    protocol, metric = (head, rest) if head in stream.protocols else (stream.protocols[0], name)
    entry = METRICS.get(metric)
    direction = entry.details.get("direction")
    if direction not in ("higher", "lower"):
        raise ConfigError(f"--criterion {name}: the metric does not say whether higher or lower is better")
    found = Criterion(entry.name, protocol, cast(Literal["higher", "lower"], direction))
    tasks = tuple(task.name for task in stream.tasks)
    try:  # on made-up scores, so that a stream of one task is refused now and not after hours
        found.value_of(ScoreMatrix(tasks, np.full((stream.last_version + 1, len(tasks)), 0.5), stream.updates))
    except MetricError as error:
        raise ConfigError(f"--criterion {name}: not defined on {stream.name}: {error}") from None
    return found
