"""Entry of the performance scripts: lists them, or runs one and prints what it measured."""

import argparse
import ast
import importlib
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Protocol, cast

from clbench.core.errors import ClbenchError, did_you_mean
from clbench.core.table_layout import printable


class Script(Protocol):
    """What the module of a script has."""

    TURNS: int

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this script; `--turns` and `--json` are there already."""

    def measure(self, options: argparse.Namespace) -> object:
        """Measure and return a `Report`."""


def descriptions() -> dict[str, str]:
    """First line of the docstring of every script by name, read without importing it."""
    paths = sorted(Path(str(files(__package__))).glob("[!_]*.py"))
    docstrings = {path.stem: ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "" for path in paths}
    return {name: text.partition("\n")[0] for name, text in docstrings.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """List the scripts, or run the one that the first argument names.

    Args:
        arguments: Name and options of a script; None for those of the process.

    Returns:
        The exit status: 1 if a check of the script failed, 2 for an unknown name and for what the user can mend.
    """
    from clbench.benchmarks.performance._report import Report, lines_of_table  # imports torch

    name, *rest = (sys.argv[1:] if arguments is None else arguments) or [""]
    scripts = descriptions()
    if name in ("", "-h", "--help"):
        sys.stdout.write("usage: python -m clbench.benchmarks.performance NAME [OPTIONS]\n\n")
        sys.stdout.writelines(f"{line}\n" for line in lines_of_table(("name", "measures"), list(scripts.items())))
        return 0
    if name not in scripts:
        sys.stderr.write(f"unknown script {printable(name)!r}: {did_you_mean(name, scripts)}\n")
        return 2
    script = cast(Script, importlib.import_module(f"{__package__}.{name}"))
    options = _parser(name, script).parse_args(rest)
    try:
        report = cast(Report, script.measure(options))
        report.print()
        if options.json is not None:
            report.write(options.json)
    except ClbenchError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return int(report.failed)


def _parser(name: str, script: Script) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m {__package__} {name}",
        description=importlib.import_module(f"{__package__}.{name}").__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--turns", type=_positive, default=script.TURNS, help="turns that count (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the report as JSON")
    script.add_arguments(parser)
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


if __name__ == "__main__":
    sys.exit(main())
