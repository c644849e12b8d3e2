"""Intermediate results: taken from the store, or made and stored, with costs as if each cell were alone."""

from collections.abc import Callable, Mapping

from clbench.benchmarks.clock import Clock
from clbench.benchmarks.engine.version_keys import VersionKey
from clbench.benchmarks.engine.version_store import StoredIntermediate, VersionStore


def found_or_made(
    store: VersionStore, clock: Clock, key: VersionKey, make: Callable[[], Mapping[str, object]]
) -> Mapping[str, object]:
    """An intermediate result, from the store or made now and saved there; other processes that want it wait.

    Args:
        store: The store of versions.
        clock: Counts the time that making it took, now or before.
        key: Key of the part.
        make: Makes it.

    Returns:
        Nested dictionaries and lists of tensors and plain values.

    Raises:
        CheckpointError: When the intermediate in the store is damaged.
        ClbenchError: When the disk is full or not writable.
    """
    with store.computing_intermediate(key):
        found = store.find_intermediate(key)
        if found is not None:
            clock.take_over(found.price)
            return found.tree
        with clock.pricing() as price:
            tree = make()
        with clock.uncounted():
            store.save_intermediate(key, StoredIntermediate(tree, price.of_all_processes()))
        return tree
