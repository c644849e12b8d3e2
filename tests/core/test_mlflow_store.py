"""MLflow's exceptions become one line without a password."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from clbench.errors import TrackingError
from clbench.mlflow_store import one_line, one_line_errors, shown_uri, sqlite_file, sqlite_uri, ui_command


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


def test_a_defect_is_left_alone() -> None:
    with pytest.raises(ZeroDivisionError), one_line_errors("sqlite:///x"):
        raise ZeroDivisionError


def test_long_messages_are_cut() -> None:
    assert one_line("a  b\nc") == "a b"
    assert len(one_line("x" * 1000)) == 300


def test_it_is_light_to_import() -> None:
    code = "import sys, clbench.mlflow_store; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"mlflow", "requests", "sqlalchemy"} & set(loaded)
