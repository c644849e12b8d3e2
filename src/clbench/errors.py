"""Errors that the user can mend: one root class, one clear line each.

The command line prints the message of a `ClbenchError` without a traceback and exits with status 2. Anything else that
is raised is a defect of clbench and keeps its traceback.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class ClbenchError(Exception):
    """Something that the user can mend; the message says where, what was wanted and what was got."""


class ConfigError(ClbenchError):
    """A setting, a suite or a command-line value that does not fit."""


class RegistryError(ClbenchError):
    """A name that nobody registered, or that two files claim, or a file that does not import."""


class DataError(ClbenchError):
    """Data on disk that is missing, damaged or not in the expected layout."""


class BrokenSamplesError(DataError):
    """Samples that do not decode; `positions` are their rows, so that whoever asked may go on without them."""

    def __init__(self, message: str, positions: Sequence[int]) -> None:
        super().__init__(message)
        self.positions = tuple(positions)


class CheckpointError(ClbenchError):
    """Weights or saved state that are missing, damaged or made for another model."""


class MetricError(ClbenchError):
    """A metric that is not defined for the matrix it was given."""


class TrackingError(ClbenchError):
    """An MLflow server or store that does not answer or refuses."""


class TrainingError(ClbenchError):
    """Training that cannot go on, such as a loss that is no longer finite."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence that offers the nearest known name, or lists the known ones.

    Args:
        name: What the user wrote.
        known: The names that exist.

    Returns:
        For example `did you mean 'lora'?` or `known: ewc, lora`; never empty.
    """
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known: {', '.join(names)}" if names else "none are registered"
