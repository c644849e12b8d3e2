"""`clbench run`: the cells of a suite, with progress, a table and a leaderboard at the end."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from clbench.benchmarks.runner import Outcome
    from clbench.benchmarks.suite import Suite


def run(
    suite: Annotated[str, typer.Argument(help="Name of a suite, or the path of its YAML file.")],
    streams: Annotated[Optional[str], typer.Option(help="Streams instead of the suite's, separated by commas.")] = None,
    learners: Annotated[
        Optional[str], typer.Option(help="Learners instead of the suite's, separated by commas.")
    ] = None,
    strategies: Annotated[
        Optional[str], typer.Option(help="Strategies (names or .py files) instead of the suite's, separated by commas.")
    ] = None,
    seeds: Annotated[Optional[str], typer.Option(help="Seeds instead of the suite's: `0,1,2`.")] = None,
    root: Annotated[
        Optional[str], typer.Option(help="Folder of the data sets, or `hub`, for streams without data of their own.")
    ] = None,
    overrides: Annotated[
        Optional[list[str]],
        typer.Option("--set", help="key=value: `strategy.lr=1e-4` (all strategies), `lora.rank=4`, `budget.steps=20`."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for results.")] = Path("clbench-runs"),
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    tracking_uri: Annotated[
        Optional[str], typer.Option(help="MLflow store; default $MLFLOW_TRACKING_URI, else SQLite under --out.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget earlier results of these cells.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Run a suite. The same command again goes on where it stopped and does nothing twice."""
    from clbench.benchmarks.runner import RunOptions, choose_device, run_suite
    from clbench.benchmarks.suite import Choice, load_suite
    from clbench.benchmarks.tracking.store import default_uri
    from clbench.cli.progress import Bars
    from clbench.config import parse_overrides

    choice = Choice(
        _names(streams), _names(learners), _names(strategies), _numbers(seeds), parse_overrides(overrides or []), root
    )
    chosen = load_suite(suite, choice)
    uri = tracking_uri or default_uri(out)
    with Bars(len(chosen.cells)) as bars:
        outcomes = run_suite(chosen, RunOptions(out, choose_device(device), uri, fresh), bars)
    page = _leaderboard(uri, out)
    _print(chosen, outcomes, uri, page, as_json)
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    if failed:
        raise typer.Exit(1 if any(outcome.defect for outcome in failed) else 2)


def _names(text: str | None) -> list[str] | None:
    return [item.strip() for item in text.split(",") if item.strip()] if text else None


def _numbers(text: str | None) -> list[int] | None:
    from clbench.errors import ConfigError

    try:
        return [int(item) for item in _names(text) or []] or None
    except ValueError:
        raise ConfigError(f"--seeds must be integers separated by commas, got {text!r}") from None


def _leaderboard(uri: str, out: Path) -> Path:
    from clbench.benchmarks.tracking.store import EXPERIMENT
    from clbench.reports.leaderboard.render import write_leaderboard

    return write_leaderboard(uri, EXPERIMENT, out / "leaderboard")


def _print(suite: "Suite", outcomes: "list[Outcome]", uri: str, page: Path, as_json: bool) -> None:
    from clbench.benchmarks.summary import COLUMNS, summarise
    from clbench.cli.output import print_json, print_table
    from clbench.reports.leaderboard.store import shown_uri

    rows = summarise(outcomes)
    if as_json:
        print_json({"suite": suite.name, "tracking_uri": shown_uri(uri), "leaderboard": str(page), "cells": rows})
        return
    for stream, learner in dict.fromkeys((str(row["stream"]), str(row["learner"])) for row in rows):
        table = [
            [
                f"{row['strategy']} ({row['seed']})",
                *(_percent(row.get(column)) for column in COLUMNS),
                str(row["status"]),
            ]
            for row in rows
            if (row["stream"], row["learner"]) == (stream, learner)
        ]
        print_table(f"{stream}, {learner}, in %", ("strategy (seed)", *COLUMNS.values(), ""), table)
    for row in rows:
        if row.get("error"):
            print(f"failed: {row['strategy']} ({row['seed']}): see {row['folder']}/result.json", file=sys.stderr)
    print(f"leaderboard: {page}")
    shown = shown_uri(uri)
    print(f"MLflow:      {shown if shown.startswith('http') else f'mlflow ui --backend-store-uri {shown}'}")


def _percent(value: object) -> str:
    return f"{100 * value:.1f}" if isinstance(value, float) else ""
