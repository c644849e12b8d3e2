"""The argument of a learner, `NAME:ARGUMENT` in a suite."""

from clbench.core.errors import ConfigError


def refuse_argument(learner: str, argument: str) -> None:
    """Refuse an argument of a learner that takes none.

    Raises:
        ConfigError: When it is not empty.
    """
    if argument:
        raise ConfigError(f"learner {learner} takes no argument, got {argument!r}")


def require_argument(learner: str, argument: str, wanted: str) -> str:
    """The argument of a learner that needs one.

    Args:
        learner: Name of the learner.
        argument: What follows the colon.
        wanted: What the argument may be, for the message.

    Raises:
        ConfigError: When it is empty.
    """
    if not argument:
        raise ConfigError(f"learner {learner}: wanted {wanted} behind a colon, got nothing")
    return argument
