"""The command that repeats a cell."""

import re
import shlex
from collections.abc import Mapping, Sequence

from clbench.core import strict_json
from clbench.reports.leaderboard.logged_cell import LoggedCell
from clbench.reports.leaderboard.text import plain

BUDGET = ("steps", "batch_size", "micro_batch")
ALL_RUN = "Runs all strategies of the suite; this cell is one of them."
ENTRIES_RUN = "Runs every entry of the suite for this strategy, each with these settings."
PART = re.compile(r"([\w-]+)(?:\(([^()]*)\))?")
"""A part in a label: `random`, `random(size=100, share=0.3)`."""
PAIR = re.compile(r"(\w+)=((?:[^\s()]|\([^()]*\))*)")
"""A setting in a label, whose value may be a part: `rank=4`, `memory=random(size=100)`."""


def repeat_command(cell: LoggedCell, settings: Mapping[str, object]) -> tuple[str, str]:
    """The command that runs a cell again with the installed code and data, and what it runs besides.

    A cell whose label is not that of one strategy with its settings, such as one with a strategy for each kind of
    update, is repeated with all strategies of its suite.

    Args:
        cell: The cell.
        settings: Content of its `cell.json`; empty if not known.

    Returns:
        The command, and one sentence: `ALL_RUN` or `ENTRIES_RUN`.
    """
    words = ["clbench", "run", cell.suite or "SUITE", "--streams", cell.stream, "--learners", cell.learner]
    own = _settings(cell, settings)
    if own is not None:
        words += ["--strategies", cell.strategy]
    words += ["--seeds", cell.seed]
    for name, value in (own or {}).items():
        words += ["--set", f"{cell.strategy}.{name}={value}"]
    for name, number in _spent(settings).items():
        words += ["--set", f"budget.{name}={number}"]
    if cell.split != "test":
        words += ["--set", f"split={cell.split}"]
    return " ".join(shlex.quote(plain(word)) for word in words), ALL_RUN if own is None else ENTRIES_RUN


def _settings(cell: LoggedCell, settings: Mapping[str, object]) -> dict[str, str] | None:
    """Settings that the label names, with every digit; None if the label is not of that form."""
    name, _, told = cell.label.partition(" ")
    strategy = settings.get("strategy")
    known = strategy.get("settings") if isinstance(strategy, Mapping) else {}
    pairs = PAIR.findall(told)
    if name != cell.strategy or PAIR.sub("", told).strip() or not isinstance(known, Mapping):
        return None
    found: dict[str, str] = {}
    for key, text in pairs:
        if key not in known:
            return None
        found |= _written(key, text, known[key])
    return found


def _written(key: str, text: str, value: object) -> dict[str, str]:
    """A setting for the command line, and those of a part that the label names.

    Args:
        key: Name of the setting.
        text: Its value in the label.
        value: Its value in the file of settings.
    """
    part = PART.fullmatch(text)
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 1 and part:
        (value,) = value  # the only one of several edits
    if not isinstance(value, Mapping):
        return {key: _yaml(value)}
    if not part or part[1] != value.get("name"):
        return {key: strict_json.dumps(value)}
    changed = [name for name, _ in PAIR.findall(part[2] or "") if name in value]
    return {key: part[1], **{f"{key}.{name}": _yaml(value[name]) for name in changed}}


def _yaml(value: object) -> str:
    return value if isinstance(value, str) else strict_json.dumps(value)


def _spent(settings: Mapping[str, object]) -> dict[str, int]:
    budget = settings.get("budget")
    if not isinstance(budget, Mapping):
        return {}
    return {name: value for name in BUDGET if isinstance(value := budget.get(name), int)}
