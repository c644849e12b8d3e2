"""Every tutorial is run as a reader runs it: files are written, Python and commands executed, outputs compared.

Outputs must be those that the page shows, but for the size of numbers and what `...` stands for.
"""

import doctest
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.command import Command

from clbench.benchmarks.tracking.store import _make_whole

ROOT = Path(__file__).parents[1]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
FENCE = re.compile(r"(?ms)^```(\w+)\n(.*?)^```$")
FILE = re.compile(r"# (\S+\.(?:py|yaml))\n")
"""First line of a block that a reader saves."""
LOOSE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
MEASURED = re.compile(r"-?\d[\d.,]*|─+")
"""Numbers, which another processor may round differently, and the rules of tables, which are as wide as these."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new MLflow store; to make one takes seconds, so each tutorial gets a copy."""
    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    _make_whole(file, file.parent.as_uri())
    return file


class Step(NamedTuple):
    """A command of a console block, and the output that the tutorial shows; empty where it shows none."""

    command: str
    shown: str


def steps(block: str) -> Iterator[Step]:
    for part in re.split(r"(?m)^\$ ", block)[1:]:
        command, _, shown = part.replace("\\\n", "").partition("\n")
        yield Step(command, shown)


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=[path.stem for path in TUTORIALS])
def test_the_tutorial_does_what_it_says(
    tutorial: Path, clbench: Command, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clbench-runs").mkdir()
    shutil.copy(store, tmp_path / "clbench-runs")
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    names: dict[str, object] = {}
    blocks = FENCE.findall(tutorial.read_text(encoding="utf-8"))
    assert {language for language, _ in blocks} <= {"python", "yaml", "pycon", "console", "sh"}
    for number, (language, block) in enumerate(blocks):
        if language in ("python", "yaml"):
            saved = FILE.match(block)
            assert saved, f"block {number} does not begin with the name of its file"
            Path(saved[1]).write_text(block, encoding="utf-8")
        elif language == "pycon":
            test = doctest.DocTestParser().get_doctest(block, names, tutorial.name, str(tutorial), 0)
            assert doctest.DocTestRunner(optionflags=LOOSE).run(test, clear_globs=False).failed == 0
            names = test.globs
        elif language == "console":
            for step in steps(block):
                run(step, clbench)


def run(step: Step, clbench: Command) -> None:
    program, *arguments = shlex.split(step.command)
    if program == "cd":
        (folder,) = Path.cwd().glob(arguments[0])
        os.chdir(folder)
        return
    assert program == "clbench"
    one_process = ["--workers", "1"] if arguments[0] == "run" else []  # each worker would import torch for seconds
    done = clbench(*arguments, *one_process)
    got = done.stdout + "".join(line for line in done.stderr.splitlines(True) if line.startswith("error: "))
    wanted, measured = (MEASURED.sub("0", text) for text in (step.shown, got))
    checker = doctest.OutputChecker()
    assert checker.check_output(wanted, measured, LOOSE), f"$ {step.command}\n{got}\n{done.stderr}"
