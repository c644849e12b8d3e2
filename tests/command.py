"""The command line in the tests' own process: its libraries are imported once for all tests."""

import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Done]
"""Called with the arguments after `clbench`, of any type."""


def command(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """A function that runs the command line with arguments and catches what it prints."""
    from clbench.cli.main import main

    def call(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["clbench", *map(str, arguments)])
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        capfd.readouterr()
        status: object = 0
        try:
            main()
        except SystemExit as ended:
            status = ended.code
        return Done(int(str(status or 0)), *capfd.readouterr())

    return call
