"""Addresses of MLflow stores, and MLflow's exceptions as one line; for code that writes to a store or reads from it."""

import contextlib
import hashlib
import logging
import re
import shlex
import sys
import urllib.parse
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from clbench.core.errors import TrackingError

LONGEST = 300
REMEDIES = {
    "database is locked": "another process is writing to this file; wait for it, or end it",
    "database table is locked": "another process is writing to this file; wait for it, or end it",
    "readonly database": "this file or its folder must be writable",
    "database or disk is full": "make room on its disk",
    "file is not a database": "it is damaged; move it away, and the next run makes a new one",
    "database disk image is malformed": "it is damaged; move it away, and the next run makes a new one",
    "unable to open database file": "its folder must be there and writable, and no folder in its place",
}
"""Remedies, by error messages of SQLite."""
OTHER_SCHEMA = re.compile(r"out-of-date database schema \(found version (\w+)")
NAME = 250
"""Most characters that MLflow takes in the name of a metric, a parameter or a run."""
VALID = re.compile(r"(?!\.\.)[\w\-. ]+(/[\w\-. ]+)*", re.ASCII)


@contextlib.contextmanager
def one_line_errors(uri: str, what: str = "") -> Iterator[None]:
    """Raise what MLflow, its HTTP client and its database raise as a `TrackingError` in one line.

    Args:
        uri: The tracking store.
        what: Words that fit every error, put before the reason (`does not answer`).

    Raises:
        TrackingError: `tracking store <uri> <what>: <reason>`.
    """
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    outside = sys.exception()  # an exception that is being handled is never the cause of the store's
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it prints tracebacks of what is raised too
    try:
        urllib.parse.urlsplit(uri)
    except ValueError as error:
        raise TrackingError(f"tracking store {shown_uri(uri)}: no address: {error}") from error
    try:
        yield
    except (MlflowException, RequestException, SQLAlchemyError, OSError, ImportError) as error:  # or no driver
        shown = shown_uri(uri)
        reason = one_line(_reason(error, outside, shown).replace(uri, shown))
        raise TrackingError(f"tracking store {f'{shown} {what}'.strip()}: {reason}") from error


def shown_uri(uri: str) -> str:
    """The address without user name and password."""
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
    """The shell command (POSIX) that shows a store, without user name and password."""
    return f"mlflow ui --backend-store-uri {shlex.quote(shown_uri(uri))}"


def _reason(error: BaseException, outside: BaseException | None, store: str) -> str:
    """The first message of a database, the network or the disk, with its remedy; else MLflow's message."""
    found = _innermost(error, outside)
    if isinstance(found, OSError) and found.strerror:
        return f"{found.strerror}: {found.filename}" if found.filename else found.strerror
    message = str(found).strip() or type(found).__name__
    if schema := OTHER_SCHEMA.search(message):
        return _schema(schema[1], store)
    return next((f"{message}: {remedy}" for complaint, remedy in REMEDIES.items() if complaint in message), message)


def _innermost(error: BaseException, outside: BaseException | None) -> BaseException:
    """The innermost cause that a database driver, the system or an import raised; else the exception itself."""
    found, seen = error, [outside]
    inner: BaseException | None = error
    while inner is not None and inner not in seen:
        seen.append(inner)
        driver = getattr(inner, "orig", None)
        if isinstance(driver, BaseException):
            return driver
        found = inner if isinstance(inner, OSError | ImportError) else found
        inner = inner.__cause__ or (None if inner.__suppress_context__ else inner.__context__)
    return found


def _schema(revision: str, store: str) -> str:
    import mlflow

    known = (Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions").glob(f"{revision}*.py")
    if any(known):
        return f"it was made by an older MLflow; `mlflow db upgrade {store}` brings it up to date (make a copy first)"
    newer = f"a newer MLflow than {version('mlflow')} (schema {revision})"
    return f"it was made by {newer}; update MLflow, or use another store"


def one_line(error: BaseException | str) -> str:
    """The first line of a message, cut to a readable length."""
    text = " ".join((str(error).strip() or type(error).__name__).splitlines()[0].split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def allowed_name(name: str) -> str:
    """A name that every MLflow accepts for a metric, a parameter or an artifact; a valid name stays unchanged.

    MLflow accepts letters, digits and `_-. /`, at most 250 characters, and no path that means another one (`a//b`,
    `/a`, `a/..`). A changed name ends with a hash of the original, so different names stay different.
    """
    parts = name.split("/")
    if len(name) <= NAME and VALID.fullmatch(name) and not {".", ".."} & set(parts):
        return name
    clean = (re.sub(r"[^\w\-. ]", "_", part, flags=re.ASCII) for part in parts if part)
    return _marked("/".join(re.sub(r"^\.+", lambda dots: "_" * len(dots[0]), part) for part in clean), name, NAME)


def fitting(text: str, limit: int) -> str:
    """Text that MLflow's databases accept: no surrogates, no zero bytes; a text that is cut ends with a hash of it."""
    clean = text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\0")
    return clean if len(clean) <= limit else _marked(clean, clean, limit)


def _marked(text: str, meant: str, limit: int) -> str:
    digest = hashlib.sha256(meant.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{text[: limit - 9] or '_'}.{digest}"
