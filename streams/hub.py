"""Commits and rows of data sets of the Hugging Face hub, or of folders in its layout; each error is one line."""

import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from clbench.core.errors import DataError


def builder_of(repo: str, config: str | None, revision: str | None) -> Any:
    """The description of a repository without its data: its commit is `hash`, its columns are in `info`.

    A folder on this machine has no commits: its `hash` is a hash of its files.

    Args:
        repo: Name of the repository, or a folder.
        config: Configuration; None where there is only one.
        revision: Commit; ignored for a folder.

    Raises:
        DataError: When it is not there or cannot be read.
    """
    return _builder(repo, config, _asked(repo, revision))


def rows_of(repo: str, config: str | None, revision: str | None, split: str) -> Any:
    """A split at a commit, memory-mapped.

    Args:
        repo: Name of the repository, or a folder.
        config: Configuration; None where there is only one.
        revision: Commit; ignored for a folder.
        split: Name of the split.

    Raises:
        DataError: When it is not there or cannot be read.
    """
    return _rows(repo, config, _asked(repo, revision), split)


def _asked(repo: str, revision: str | None) -> str | None:
    """The commit to ask for; None for a folder on this machine, which has no commits."""
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
    """The result of a call of the hub's library; its errors become one line."""
    from datasets.exceptions import DatasetGenerationError, DatasetsError

    try:
        return read()
    except (DatasetsError, EOFError, OSError, ValueError, RuntimeError, KeyError, TypeError, zlib.error) as error:
        cause = error.__cause__ if isinstance(error, DatasetGenerationError) and error.__cause__ else error
        reason = str(cause).strip().partition("\n")[0] or type(cause).__name__
        raise DataError(f"hub data set {repo}: cannot be read: {reason[:200]}") from None
