"""How a failure of a cell is told."""

from clbench.core.errors import ClbenchError


def told(error: Exception) -> tuple[str, bool]:
    """One line for an error, and whether it is a defect rather than something that the user can mend."""
    message = " ".join(str(error).split()) or type(error).__name__
    defect = not isinstance(error, ClbenchError)
    return (f"{type(error).__name__}: {message}" if defect else message), defect
