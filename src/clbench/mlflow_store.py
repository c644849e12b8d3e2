"""MLflow's many exceptions as one line, without the password; for those who write to a store and those who read it."""

import contextlib
import logging
from collections.abc import Iterator

from clbench.errors import TrackingError

LONGEST = 300


@contextlib.contextmanager
def one_line_errors(uri: str, what: str = "") -> Iterator[None]:
    """Raise what MLflow, its HTTP client and its database raise as a `TrackingError` in one line.

    Args:
        uri: The tracking store.
        what: What can be said of every error beforehand (`does not answer`).

    Raises:
        TrackingError: `tracking store <uri> <what>: <reason>`.
    """
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it prints tracebacks of what is raised too
    try:
        yield
    except (MlflowException, RequestException, SQLAlchemyError, OSError, ImportError) as error:  # or no driver
        shown = shown_uri(uri)
        reason = one_line(str(error).replace(uri, shown) or type(error).__name__)
        raise TrackingError(f"tracking store {f'{shown} {what}'.strip()}: {reason}") from error


def shown_uri(uri: str) -> str:
    """The address without the name and password that it may hold."""
    scheme, mark, rest = uri.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"


def one_line(error: BaseException | str) -> str:
    """The first line of a message, cut where it becomes too long to read."""
    text = " ".join((str(error).strip() or type(error).__name__).splitlines()[0].split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
