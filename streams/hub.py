"""Data sets of the Hugging Face hub, or folders in its layout: their commits and rows, with errors in one line."""

import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from clbench.core.errors import DataError


def builder_of(repo: str, config: str | None, revision: str | None) -> Any:
    """What the hub says of a repository without its data: its commit is `hash`, its columns are in `info`.

    For a folder on this machine, which has no commits, `hash` is that of the state of its files.

    Args:
        repo: Name, or a folder.
        config: Configuration; None where there is only one.
        revision: Commit; of no meaning for a folder.

    Raises:
        DataError: When it is not there or cannot be read.
    """
    return _builder(repo, config, _asked(repo, revision))


def rows_of(repo: str, config: str | None, revision: str | None, split: str) -> Any:
    """A split at a commit, memory-mapped.

    Raises:
        DataError: When it is not there or cannot be read.
    """
    return _rows(repo, config, _asked(repo, revision), split)


def _asked(repo: str, revision: str | None) -> str | None:
    """The commit to ask for; a folder on this machine has only the state that it is in."""
    return None if Path(repo).is_dir() else revision


@cache
def _builder(repo: str, config: str | None, revision: str | None) -> Any:
    from datasets import load_dataset_builder

    return _tried(repo, lambda: load_dataset_builder(repo, config, revision=revision))


@cache
def _rows(repo: str, config: str | None, revision: str | None, split: str) -> Any:
    from datasets import load_dataset

    return _tried(repo, lambda: load_dataset(repo, config, revision=revision, split=split))


def _tried(repo: str, read: Callable[[], Any]) -> Any:
    """What a call of the hub's library answers; whatever goes wrong there becomes one line."""
    from datasets.exceptions import DatasetGenerationError, DatasetsError

    try:
        return read()
    except (DatasetsError, EOFError, OSError, ValueError, RuntimeError, KeyError, TypeError, zlib.error) as error:
        cause = error.__cause__ if isinstance(error, DatasetGenerationError) and error.__cause__ else error
        reason = str(cause).strip().partition("\n")[0] or type(cause).__name__
        raise DataError(f"hub data set {repo}: cannot be read: {reason[:200]}") from None
