"""Errors that the user can correct: one root class, one clear line each.

The command line prints the message of a `ClbenchError` without a traceback and exits with status 2. Anything else that
is raised is a defect of clbench and keeps its traceback.
"""

from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher, get_close_matches

MOST = 5
"""Largest number of names in a hint."""
TIE = 0.05
"""Names whose similarity is at most this much below that of the nearest name are offered, too."""


class ClbenchError(Exception):
    """An error that the user can correct; the message says where, what was wanted and what was got."""


class ConfigError(ClbenchError):
    """A setting, a suite or a command-line value that is not valid."""


class RegistryError(ClbenchError):
    """A name that is not registered or is registered twice, or a file that does not import."""


class DataError(ClbenchError):
    """Data on disk that is missing, damaged or not in the expected layout."""


class BrokenSamplesError(DataError):
    """Samples that do not decode; `positions` are their rows, so that the caller can leave them out."""

    def __init__(self, message: str, positions: Sequence[int]) -> None:
        super().__init__(message)
        self.positions = tuple(positions)


class CheckpointError(ClbenchError):
    """Weights or saved state that are missing, damaged or made for another model."""


class MetricError(ClbenchError):
    """A metric that is not defined for a matrix."""


class TrackingError(ClbenchError):
    """An MLflow server or store that does not answer or refuses."""


class TrainingError(ClbenchError):
    """Training that cannot go on, such as a loss that is no longer finite."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint with the known names nearest to a name, five at most, out of any number.

    Args:
        name: Name that the user wrote.
        known: All existing names.

    Returns:
        For example `did you mean 'lora'?`, `known: ewc, lora` or `none of 1,300 is near, the nearest: a, b, c, d, e`;
        never empty.
    """
    names = sorted(known)
    by_form = {_form(other): other for other in names}
    wanted = _form(name)
    ratio = {form: SequenceMatcher(None, form, wanted).ratio() for form in get_close_matches(wanted, by_form, MOST)}
    if ratio:
        near = [repr(by_form[form]) for form in ratio if ratio[form] > max(ratio.values()) - TIE]
        return f"did you mean {', '.join(near[:-1])} or {near[-1]}?" if len(near) > 1 else f"did you mean {near[0]}?"
    if len(names) <= MOST:
        return f"known: {', '.join(names)}" if names else "none are registered"
    nearest = get_close_matches(wanted, by_form, MOST, cutoff=0)
    return f"none of {len(names):,} is near, the nearest: {', '.join(by_form[form] for form in nearest)}"


def _form(name: str) -> str:
    """The form in which names are compared: without case, and with underscores as dashes."""
    return name.casefold().replace("_", "-")
