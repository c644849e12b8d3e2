"""The store of versions, seen by the processes of one cell: process 0 decides and writes, the others read."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from torch import Tensor

from clbench.benchmarks.engine.version_keys import VersionKey
from clbench.benchmarks.engine.version_store import (
    State,
    StoredIntermediate,
    StoredTest,
    StoredVersion,
    VersionStore,
)
from clbench.core import processes
from clbench.core.errors import TrainingError


class LeadingStore(VersionStore):
    """That of process 0, which tells the others what is there."""

    def save(
        self, key: VersionKey, version: StoredVersion, weights: Mapping[str, Tensor], states: Mapping[str, State]
    ) -> None:
        """Save a version that all processes have made alike.

        Args:
            key: Its key.
            version: What is known of it.
            weights: The learner's weights.
            states: State of each strategy, by the first kind of update that it is for.

        Raises:
            TrainingError: When they have not.
        """
        _require_equal(version)
        super().save(key, version, weights, states)

    def _is_there(self, path: Path) -> bool:
        return processes.told_by_first(super()._is_there(path))


class FollowingStore(VersionStore):
    """That of the other processes: what process 0 has found is read, nothing is written or locked."""

    def save(
        self, key: VersionKey, version: StoredVersion, weights: Mapping[str, Tensor], states: Mapping[str, State]
    ) -> None:
        """Compare the version with that of the other processes.

        Args:
            key: Its key.
            version: What is known of it.
            weights: The learner's weights.
            states: State of each strategy, by the first kind of update that it is for.

        Raises:
            TrainingError: When they differ.
        """
        _require_equal(version)

    def save_test(self, key: str, test: StoredTest) -> None:
        """Nothing: process 0 saves it."""

    def save_intermediate(self, key: VersionKey, intermediate: StoredIntermediate) -> None:
        """Nothing: process 0 saves it."""

    def save_outputs(self, test: str, name: str, outputs: Mapping[str, Tensor]) -> None:
        """Nothing: process 0 saves them.

        Args:
            test: Key of the test.
            name: What they are outputs for.
            outputs: Tensors by name.
        """

    def drop_weights(self, digest: str) -> bool:
        """Nothing: process 0 drops them."""
        return False

    def _is_there(self, path: Path) -> bool:
        return processes.told_by_first(False)

    @contextlib.contextmanager
    def _lock(self, name: str, how: int) -> Iterator[None]:
        yield


def _require_equal(version: StoredVersion) -> None:
    found = [digest.decode() for digest in processes.all_bytes(version.weights.encode())]
    if len(set(found)) > 1:
        raise TrainingError(f"the {len(found)} processes of the cell ended with different weights: {', '.join(found)}")
