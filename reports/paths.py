"""Paths through the versions of a stream: which updates lead to a version, and which tasks they learnt or forgot."""

from collections.abc import Sequence

from clbench.reports.forgotten import Forgotten
from clbench.spec.update import Adopt, Forget, Learn, Update


def learn_chain(tasks: Sequence[str]) -> tuple[Update, ...]:
    """The updates of a stream that learns tasks one after another."""
    return tuple(Learn(task=task) for task in tasks)


def adopt_chain(releases: Sequence[str]) -> tuple[Update, ...]:
    """The updates of a stream of releases, as results and runs of earlier code name them."""
    return tuple(Adopt(release=release) for release in releases)


def learnt_at(updates: Sequence[Update], path: Sequence[int]) -> dict[str, int]:
    """The number of the version that learnt each task first.

    Args:
        updates: All updates of the stream; update t makes version t.
        path: Versions from 0 to the one in question, as `path_to` gives them.

    Returns:
        A version by task, in the order of learning; empty if no update on the path is a `Learn`.
    """
    found: dict[str, int] = {}
    for version in path[1:]:
        update = updates[version - 1]
        if isinstance(update, Learn):
            found.setdefault(update.task, version)
    return found


def forgotten_on(updates: Sequence[Update], path: Sequence[int]) -> frozenset[Forgotten]:
    """What a version was asked to forget.

    Args:
        updates: All updates of the stream; update t makes version t.
        path: Versions from 0 to the one in question, as `path_to` gives them.
    """
    found = [updates[version - 1] for version in path[1:]]
    return frozenset(
        Forgotten(update.task, update.category)
        for update in found
        if isinstance(update, Forget) and update.task is not None and update.share is None
    )
