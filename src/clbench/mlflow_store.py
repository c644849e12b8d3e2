"""MLflow's many exceptions as one line, without the password; for those who write to a store and those who read it."""

import contextlib
import hashlib
import logging
import re
from collections.abc import Iterator

from clbench.errors import TrackingError

LONGEST = 300
NAME = 250
"""Most characters that MLflow takes in the name of a metric, a parameter or a run."""
SOUND = re.compile(r"(?!\.\.)[\w\-. ]+(/[\w\-. ]+)*", re.ASCII)


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


def allowed_name(name: str) -> str:
    """A name that every MLflow takes for a metric, a parameter or an artifact: a sound one as it is, else a mended one.

    MLflow takes letters, digits and `_-. /`, at most 250, and no path that means another one (`a//b`, `/a`, `a/..`). A
    mended name ends with a hash of what it stands for, so different names stay different.
    """
    parts = name.split("/")
    if len(name) <= NAME and SOUND.fullmatch(name) and not {".", ".."} & set(parts):
        return name
    clean = (re.sub(r"[^\w\-. ]", "_", part, flags=re.ASCII) for part in parts if part)
    return _marked("/".join(re.sub(r"^\.+", lambda dots: "_" * len(dots[0]), part) for part in clean), name, NAME)


def fitting(text: str, limit: int) -> str:
    """Text that MLflow's databases take: without surrogates and zero bytes; a cut one ends with a hash of the whole."""
    clean = text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\0")
    return clean if len(clean) <= limit else _marked(clean, clean, limit)


def _marked(text: str, meant: str, limit: int) -> str:
    digest = hashlib.sha256(meant.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{text[: limit - 9] or '_'}.{digest}"
