"""Which versions of a cell keep their weights: the newest, the last, and those from which several versions start."""

from collections.abc import Sequence


def droppable(parents: Sequence[int], newest: int) -> list[int]:
    """The versions whose weights nobody needs once a version is there.

    Kept are the weights of the newest version, from which a killed cell goes on; of every version that a later one
    starts from; of branch points, where further updates are likely to start; and of the last version of the stream.
    Version 0 is built and not stored.

    Args:
        parents: Parent of versions 1, 2, ... in order.
        newest: Number of the newest version.
    """
    last = len(parents)
    children = [parents.count(version) for version in range(last + 1)]
    waiting = {parents[version - 1] for version in range(newest + 1, last + 1)}
    return [
        version for version in range(1, newest) if version != last and children[version] < 2 and version not in waiting
    ]
