"""MLflow's exceptions become one line without a password."""

import contextlib
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import _validate_metric_name
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from clbench.benchmarks.tracking.store import connect
from clbench.core.errors import TrackingError
from clbench.core.mlflow_store import (
    allowed_name,
    fitting,
    one_line,
    one_line_errors,
    shown_uri,
    sqlite_file,
    sqlite_uri,
    ui_command,
)


def test_a_password_in_the_address_is_never_shown() -> None:
    uri = "http://user:secret@127.0.0.1:9"
    with pytest.raises(TrackingError) as caught, one_line_errors(uri):
        raise OSError(f"{uri} refused")
    assert str(caught.value) == "tracking store http://127.0.0.1:9: http://127.0.0.1:9 refused"


def test_an_address_is_shown_without_its_password() -> None:
    assert shown_uri("https://me:secret@host/a@b") == "https://host/a@b"
    assert shown_uri("sqlite:///runs@home.db") == "sqlite:///runs@home.db"


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1))
@example("a b'ü\"$HOME `id` \\%41 100% #h ?x=1&y")
def test_a_file_of_any_name_has_an_address_that_leads_to_it(name: str) -> None:
    file = Path("/runs") / name / "mlflow.db"
    assert sqlite_file(sqlite_uri(file)) == file
    assert make_url(sqlite_uri(file)).database == str(file)
    assert shlex.split(ui_command(sqlite_uri(file))) == ["mlflow", "ui", "--backend-store-uri", sqlite_uri(file)]


def test_plain_files_keep_their_address_and_other_stores_have_no_file() -> None:
    assert sqlite_uri(Path("/my runs/ü/mlflow.db")) == "sqlite:////my runs/ü/mlflow.db"
    assert sqlite_file("postgresql://host/db") is None


@pytest.mark.parametrize(
    "error", [MlflowException("no\nmore"), OperationalError("no", {}, Exception("x")), ImportError("no"), OSError()]
)
def test_what_libraries_raise_is_one_line(error: Exception) -> None:
    wanted = r"^tracking store sqlite:///x does not answer: [^\n]+$"
    with pytest.raises(TrackingError, match=wanted) as caught, one_line_errors("sqlite:///x", "does not answer"):
        raise error
    assert caught.value.__cause__ is error


def wrapped(first: Exception, *others: Exception) -> Exception:
    """Each exception raised while the one before it was handled."""
    for error in others:
        error.__context__, first = first, error
    return first


def reason(error: Exception, uri: str = "sqlite:////x/runs.db") -> str:
    """What is told of an exception, after the store."""
    with pytest.raises(TrackingError) as caught, one_line_errors(uri):
        raise error
    return str(caught.value).removeprefix(f"tracking store {uri}: ")


def database(message: str, kind: type[Exception] = sqlite3.OperationalError) -> Exception:
    """As SQLAlchemy and MLflow wrap what SQLite says."""
    wrapper = OperationalError("UPDATE runs", {}, kind(message))
    wrapper.add_detail("(raised as a result of Query-invoked autoflush; consider using ...)")
    return wrapped(wrapper, MlflowException(str(wrapper)))


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("database is locked", "database is locked: another process is writing to this file; wait for it, or end it"),
        ("attempt to write a readonly database", "attempt to write a readonly database: this file or its folder must"),
        ("database or disk is full", "database or disk is full: make room on its disk"),
        ("file is not a database", "file is not a database: it is damaged; move it away, and the next run makes a new"),
        ("database disk image is malformed", "database disk image is malformed: it is damaged; move it away"),
        ("unable to open database file", "unable to open database file: its folder must be there and writable"),
        ("disk I/O error", "disk I/O error"),
    ],
)
def test_what_sqlite_says_comes_first_with_what_to_do(message: str, told: str) -> None:
    assert reason(database(message)).startswith(told)


def test_what_the_network_or_the_disk_says_comes_first() -> None:
    refused = ConnectionRefusedError(111, "Connection refused")
    layers = (ConnectionError("HTTPConnectionPool(...): Max retries exceeded"), MlflowException("API request to ..."))
    assert reason(wrapped(refused, *layers)) == "Connection refused"
    full = OSError(28, "No space left on device", "/artifacts/x")
    assert reason(wrapped(full, MlflowException("..."))) == "No space left on device: /artifacts/x"
    assert reason(wrapped(ModuleNotFoundError("No module named 'psycopg'"), MlflowException("..."))) == (
        "No module named 'psycopg'"
    )


def test_a_newer_and_an_older_schema_are_told_apart() -> None:
    said = (
        "Detected out-of-date database schema (found version {}, but expected dc11669786a5). Take a backup of your ..."
    )
    newer = reason(MlflowException(said.format("ffff00001111")))
    assert newer.startswith("it was made by a newer MLflow than ")
    assert newer.endswith(" (schema ffff00001111); update MLflow, or use another store")
    older = reason(MlflowException(said.format("451aebb31d03")))
    assert older.startswith(
        "it was made by an older MLflow; `mlflow db upgrade sqlite:////x/runs.db` brings it up to date"
    )


def test_what_else_went_wrong_is_not_the_store_s_reason() -> None:
    """As where a run is closed because the user's own code failed."""
    found = ""
    try:
        raise OSError("the user's file is missing")
    except OSError:
        with contextlib.suppress(ZeroDivisionError):
            found = reason(MlflowException("the run is deleted"))
    assert found == "the run is deleted"


@pytest.mark.parametrize("damage", [lambda whole: b"\xff" * 5000, lambda whole: whole[: len(whole) // 3]])
def test_damaged_databases_are_told_by_their_reason(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "runs.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE experiments (x); CREATE TABLE t (x);" + "INSERT INTO t VALUES (1);" * 9)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(TrackingError, match=r"runs.db: (file is not a database|database disk image is malformed): it"):
        connect(f"sqlite:///{path}", tmp_path)


@pytest.mark.parametrize(
    ("uri", "told"), [("http://[::1", "no address: Invalid IPv6 URL"), ("sqlite:", "Could not parse")]
)
def test_an_address_that_is_none_is_one_line(uri: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match=told):
        connect(uri, tmp_path)


def test_a_defect_is_left_alone() -> None:
    with pytest.raises(ZeroDivisionError), one_line_errors("sqlite:///x"):
        raise ZeroDivisionError


def test_long_messages_are_cut() -> None:
    assert one_line("a  b\nc") == "a b"
    assert len(one_line("x" * 1000)) == 300


def test_it_is_light_to_import() -> None:
    code = "import sys, clbench.core.mlflow_store; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"mlflow", "requests", "sqlalchemy"} & set(loaded)


NAMES = st.one_of(st.text(st.sampled_from("ab./_- :%\n\\\0\u00e9\u4e00\ud800"), max_size=12), st.text(max_size=300))


@given(NAMES)
@example("x" * 251)
@example("/")
def test_every_name_becomes_one_that_mlflow_takes(name: str) -> None:
    found = allowed_name(name)
    _validate_metric_name(found)  # type: ignore[no-untyped-call]
    assert 1 <= len(found) <= 250
    assert found.isascii()
    assert allowed_name(found) == found  # what is sound stays as it is


@given(NAMES, NAMES)
@example("a//b", "a/b")
@example("a%", "a_")
@example("x" * 251, "x" * 252)
def test_different_names_stay_different(one: str, other: str) -> None:
    assert (allowed_name(one) == allowed_name(other)) == (one == other)


@pytest.mark.parametrize("name", ["union/R/food 101", "cost/test_seconds", "a.b-c", ".hidden", "a/...", "x" * 250])
def test_sound_names_stay(name: str) -> None:
    assert allowed_name(name) == name


@pytest.mark.parametrize(("name", "start"), [("a//b", "a/b."), ("", "_."), ("a/../b", "a/__/b."), ("a\u00dfe", "a_e.")])
def test_mended_names_are_still_read(name: str, start: str) -> None:
    assert allowed_name(name).startswith(start)


@given(st.text(st.sampled_from("a\0\ud800\u4e00"), max_size=40))
def test_texts_fit(text: str) -> None:
    found = fitting(text, 20)
    assert len(found) <= 20
    found.encode("utf-8")
    assert "\0" not in found


def test_sound_texts_stay_and_long_ones_differ() -> None:
    assert fitting("as it\nis", 9) == "as it\nis"
    assert fitting("x" * 21, 20) != fitting("x" * 22, 20)
