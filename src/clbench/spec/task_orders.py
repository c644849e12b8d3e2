"""Orders in which the tasks of a stream are learnt: its own, and drawn ones."""

import hashlib
import math
from collections.abc import Sequence
from itertools import count

from clbench.core.errors import ConfigError
from clbench.spec.update import Learn, Update, parents_of


def drawn_order(names: Sequence[str], number: int) -> tuple[str, ...]:
    """Names in the order of that number; the same for all time and on all machines.

    Args:
        names: Names of the tasks in the stream's own order, which is order 0.
        number: Number of the order, below the number of orders that there are. Draw i sorts the names by the SHA-256 of
            `i name`; a draw that came before is left out.

    Raises:
        ConfigError: When there are not so many orders.
    """
    if number >= math.factorial(len(names)):
        raise ConfigError(f"{len(names)} tasks have {math.factorial(len(names))} orders, wanted {number + 1}")
    found = {tuple(names): None}
    for draw in count(1):
        if len(found) > number:
            break
        found.setdefault(tuple(sorted(names, key=lambda name: hashlib.sha256(f"{draw} {name}".encode()).digest())))
    return list(found)[number]


def in_order(updates: Sequence[Update], number: int, where: str) -> tuple[Learn, ...]:
    """Updates that learn the same tasks one after another in the order of that number.

    Args:
        updates: One `Learn` for each task, each from the version before it.
        number: Number of the order; 0 is that of `updates`.
        where: Owner of the updates, put before messages.

    Raises:
        ConfigError: For other updates, and when there are not so many orders.
    """
    learn = {update.task: update for update in updates if isinstance(update, Learn)}
    chain = parents_of(updates, where) == tuple(range(len(updates)))
    if not chain or len(learn) < len(updates) or any(u.parent is not None or u.without for u in learn.values()):
        raise ConfigError(f"{where}: other orders are for streams that learn each task once, one after another")
    return tuple(learn[name] for name in drawn_order(list(learn), number))
