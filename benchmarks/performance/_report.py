"""What a performance script found: printed as tables, written as JSON."""

import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console

from clbench.core.storage import write_json
from clbench.core.table_layout import lay_out

RULE = "-"


@dataclass(frozen=True)
class Comparison:
    """Several ways to do one piece of work, measured in one run.

    Attributes:
        work: What is done.
        unit: Unit of the measurements: `s`, `MiB`.
        reference: The way that the others are divided by.
        measured: By way, one measurement a turn.
    """

    work: str
    unit: str
    reference: str
    measured: Mapping[str, Sequence[float]]

    def median(self, way: str) -> float:
        """Median over the turns."""
        return statistics.median(self.measured[way])

    def ratio(self, way: str) -> float:
        """Median over the turns of the ratio to the reference in the same turn."""
        pairs = zip(self.measured[way], self.measured[self.reference], strict=True)
        return statistics.median(value / reference for value, reference in pairs)

    def as_json(self) -> dict[str, object]:
        """Everything measured, with medians and ratios."""
        return {
            "work": self.work,
            "unit": self.unit,
            "reference": self.reference,
            "ways": {
                way: {"median": self.median(way), "ratio": self.ratio(way), "turns": list(values)}
                for way, values in self.measured.items()
            },
        }


@dataclass(frozen=True)
class Check:
    """Something that holds or not.

    Attributes:
        section: Part of the script.
        what: What was checked.
        said: What was found, in one line.
        holds: Whether it is as it should be; None if it was not checked.
    """

    section: str
    what: str
    said: str
    holds: bool | None = None

    @property
    def mark(self) -> str:
        """`ok`, `FAILED` or `-`."""
        return {True: "ok", False: "FAILED", None: "-"}[self.holds]


@dataclass(frozen=True)
class Report:
    """All that a script measured.

    Attributes:
        script: Name of the script.
        machine: Result of `describe_machine`.
        settings: What was measured: learner, batch size and the like.
        comparisons: Ratios to a reference of the same run.
        figures: Further numbers by a name that has their unit.
        checks: What holds and what does not.
    """

    script: str
    machine: Mapping[str, object]
    settings: Mapping[str, object]
    comparisons: Sequence[Comparison]
    figures: Mapping[str, float] = field(default_factory=dict)
    checks: Sequence[Check] = ()

    @property
    def failed(self) -> bool:
        """Whether a check found what should not be."""
        return any(check.holds is False for check in self.checks)

    def print(self) -> None:
        """Print tables on standard output, as wide as the terminal."""
        _print_table(("machine and settings", ""), _texts({**self.machine, **self.settings}))
        for item in self.comparisons:
            rows = [(way, f"{item.median(way):.4g}", f"{item.ratio(way):.3f}") for way in item.measured]
            _print_table((item.work, item.unit, f"ratio to {item.reference}"), rows)
        if self.figures:
            _print_table(("figures", ""), _texts(self.figures))
        if self.checks:
            found = [(check.mark, check.section, check.what, check.said) for check in self.checks]
            _print_table(("", "section", "check", "found"), found)

    def write(self, path: Path) -> None:
        """Write the report as JSON."""
        found = {
            "script": self.script,
            "machine": dict(self.machine),
            "settings": dict(self.settings),
            "comparisons": [item.as_json() for item in self.comparisons],
            "figures": dict(self.figures),
            "checks": [asdict(check) for check in self.checks],
        }
        write_json(path, found)


def lines_of_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a table with its headings, for the width of the terminal; unbroken for a file or a pipe."""
    width = Console().width if sys.stdout.isatty() else None
    for headings, lines in lay_out(columns, rows, width):
        yield from headings
        yield " " + RULE * (max(map(len, [*headings, *lines])) - 1)
        yield from lines


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in (*lines_of_table(columns, rows), ""))


def _texts(values: Mapping[str, object]) -> list[tuple[str, str]]:
    return [(name, f"{value:.4g}" if isinstance(value, float) else str(value)) for name, value in values.items()]
