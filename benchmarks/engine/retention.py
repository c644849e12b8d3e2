"""Which versions of a cell keep their weights."""

from collections.abc import Sequence
from typing import Literal, get_args

Keep = Literal["last", "branches", "all"]
KEEP: tuple[Keep, ...] = get_args(Keep)


def droppable(parents: Sequence[int], newest: int, keep: Keep = "branches") -> list[int]:
    """The versions whose weights nobody needs once a version is there.

    Always kept are the weights of the newest version, from which a killed cell goes on; of every version that a later
    one starts from; and of the last version of the stream. Version 0 is built and not stored.

    Args:
        parents: Parent of versions 1, 2, ... in order.
        newest: Number of the newest version.
        keep: `last` keeps no others; `branches` also branch points, where further updates are likely to start; `all`
            everything.
    """
    if keep == "all":
        return []
    last = len(parents)
    children = [parents.count(version) for version in range(last + 1)]
    waiting = {parents[version - 1] for version in range(newest + 1, last + 1)}
    return [
        version
        for version in range(1, newest)
        if version != last and version not in waiting and (keep == "last" or children[version] < 2)
    ]
