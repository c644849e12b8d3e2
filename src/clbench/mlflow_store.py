"""Addresses of MLflow stores and its many exceptions as one line; for those who write to a store and those who read."""

import contextlib
import logging
import shlex
from collections.abc import Iterator
from pathlib import Path

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


def sqlite_uri(file: Path) -> str:
    """The address of a store in an SQLite file, whatever characters its path has."""
    if not {"%", "?"} & set(str(file)):
        return f"sqlite:///{file}"
    from sqlalchemy.engine import URL  # its releases differ in how they quote what else begins an escape or a query

    return URL.create("sqlite", database=str(file)).render_as_string()


def sqlite_file(uri: str) -> Path | None:
    """The file of a store in SQLite, as MLflow will open it; None for other stores."""
    if not uri.startswith("sqlite:///"):
        return None
    from sqlalchemy.engine import make_url

    return Path(make_url(uri).database or "")


def ui_command(uri: str) -> str:
    """What to type in a POSIX shell to look at a store, without the name and password that its address may hold."""
    return f"mlflow ui --backend-store-uri {shlex.quote(shown_uri(uri))}"


def one_line(error: BaseException | str) -> str:
    """The first line of a message, cut where it becomes too long to read."""
    text = " ".join((str(error).strip() or type(error).__name__).splitlines()[0].split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
