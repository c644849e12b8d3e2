"""MLflow's exceptions become one line without a password."""

import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import _validate_metric_name
from sqlalchemy.exc import OperationalError

from clbench.errors import TrackingError
from clbench.mlflow_store import allowed_name, fitting, one_line, one_line_errors, shown_uri


def test_a_password_in_the_address_is_never_shown() -> None:
    uri = "http://user:secret@127.0.0.1:9"
    with pytest.raises(TrackingError) as caught, one_line_errors(uri):
        raise OSError(f"{uri} refused")
    assert str(caught.value) == "tracking store http://127.0.0.1:9: http://127.0.0.1:9 refused"


def test_an_address_is_shown_without_its_password() -> None:
    assert shown_uri("https://me:secret@host/a@b") == "https://host/a@b"
    assert shown_uri("sqlite:///runs@home.db") == "sqlite:///runs@home.db"


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


NAMES = st.one_of(st.text(st.sampled_from("ab./_- :%\n\\\0\u00e9\u4e00\ud800"), max_size=12), st.text(max_size=300))


@given(NAMES)
@example("x" * 251)
@example("/")
def test_every_name_becomes_one_that_mlflow_takes(name: str) -> None:
    found = allowed_name(name)
    _validate_metric_name(found)
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
