"""Errors that the user can mend: one root class, one clear line each.

The command line prints the message of a `ClbenchError` without a traceback and exits with status 2. Anything else that
is raised is a defect of clbench and keeps its traceback.
"""

from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher, get_close_matches

MOST = 5
"""Names that a hint offers."""
AS_GOOD = 0.05
"""Names that are so little farther than the nearest one are offered beside it."""


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
    """A sentence that offers the known names that are near, five at most; there may be more than a thousand.

    Args:
        name: What the user wrote.
        known: The names that exist.

    Returns:
        For example `did you mean 'lora'?`, `known: ewc, lora` or `none of 1,300 is near, the nearest: a, b, c, d, e`;
        never empty.
    """
    names = sorted(known)
    by_form = {_form(other): other for other in names}
    wanted = _form(name)
    ratio = {form: SequenceMatcher(None, form, wanted).ratio() for form in get_close_matches(wanted, by_form, MOST)}
    if ratio:
        near = [repr(by_form[form]) for form in ratio if ratio[form] > max(ratio.values()) - AS_GOOD]
        return f"did you mean {', '.join(near[:-1])} or {near[-1]}?" if len(near) > 1 else f"did you mean {near[0]}?"
    if len(names) <= MOST:
        return f"known: {', '.join(names)}" if names else "none are registered"
    nearest = get_close_matches(wanted, by_form, MOST, cutoff=0)
    return f"none of {len(names):,} is near, the nearest: {', '.join(by_form[form] for form in nearest)}"


def _form(name: str) -> str:
    """What names are compared by: case and the kind of dash are where people err first."""
    return name.casefold().replace("_", "-")
