"""The command that repeats a cell."""

import shlex
from collections.abc import Mapping

from clbench.reports.leaderboard.logged_cell import LoggedCell
from clbench.reports.leaderboard.text import plain

BUDGET = ("steps", "batch_size", "micro_batch")


def repeat_command(cell: LoggedCell, settings: Mapping[str, object]) -> str:
    """The command that runs a cell again with the installed code and data.

    A cell whose label is not that of one strategy with plain settings, such as one with a strategy for each kind of
    update, is repeated with all strategies of its suite.

    Args:
        cell: The cell.
        settings: Content of its `cell.json`; empty if not known.
    """
    words = ["clbench", "run", cell.suite or "SUITE", "--streams", cell.stream, "--learners", cell.learner]
    own = _settings(cell, settings)
    if own is not None:
        words += ["--strategies", cell.strategy]
    words += ["--seeds", cell.seed]
    for name, value in (own or {}).items():
        words += ["--set", f"{cell.strategy}.{name}={value}"]
    for name, value in _spent(settings).items():
        words += ["--set", f"budget.{name}={value}"]
    if cell.split != "test":
        words += ["--set", f"split={cell.split}"]
    return " ".join(shlex.quote(plain(word)) for word in words)


def _settings(cell: LoggedCell, settings: Mapping[str, object]) -> dict[str, object] | None:
    """Settings that the label names, with every digit; None if the label is not of that form."""
    name, *pairs = cell.label.split(" ")
    strategy = settings.get("strategy")
    known = strategy.get("settings") if isinstance(strategy, Mapping) else {}
    found: dict[str, object] = {}
    for pair in pairs:
        key, mark, _ = pair.partition("=")
        value = known.get(key) if isinstance(known, Mapping) else None
        if not mark or not isinstance(value, int | float | str):
            return None
        found[key] = str(value).lower() if isinstance(value, bool) else value
    return found if name == cell.strategy else None


def _spent(settings: Mapping[str, object]) -> dict[str, int]:
    budget = settings.get("budget")
    if not isinstance(budget, Mapping):
        return {}
    return {name: value for name in BUDGET if isinstance(value := budget.get(name), int)}
