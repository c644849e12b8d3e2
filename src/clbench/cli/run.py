"""`clbench run`: run the cells of a suite, with progress bars, tables of results and a leaderboard."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional, cast

import typer

from clbench.cli.forecast import dry_run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clbench.benchmarks.engine.cell_log import Outcome
    from clbench.benchmarks.engine.runner import SuiteResult
    from clbench.benchmarks.engine.suite import Suite


def run(
    suite: Annotated[str, typer.Argument(help="Name of a suite, or path of its YAML file.")],
    streams: Annotated[
        Optional[str], typer.Option(help="Streams (separated by commas) instead of the suite's.")
    ] = None,
    learners: Annotated[
        Optional[str], typer.Option(help="Learners (separated by commas) instead of the suite's.")
    ] = None,
    strategies: Annotated[
        Optional[str], typer.Option(help="Strategies (names or .py files, separated by commas) instead of the suite's.")
    ] = None,
    seeds: Annotated[Optional[str], typer.Option(help="Seeds (0,1,2) instead of the suite's.")] = None,
    root: Annotated[
        Optional[str],
        typer.Option(help="Folder of the data sets, or `hub` (Hugging Face), for streams without own data."),
    ] = None,
    overrides: Annotated[
        Optional[list[str]],
        typer.Option(
            "--set",
            help="KEY=VALUE, repeatable: strategy.lr=1e-4 (all strategies), lora.rank=4 (one), budget.steps=20.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for results.")] = Path("clbench-runs"),
    device: Annotated[str, typer.Option(help="Device: auto, cpu or cuda.")] = "auto",
    tracking_uri: Annotated[
        Optional[str], typer.Option(help="MLflow store. Default: $MLFLOW_TRACKING_URI, else SQLite in --out.")
    ] = None,
    probe: Annotated[
        Optional[str],
        typer.Option(help="Also test on other benchmarks before and after training: lm-eval:mmlu,hellaswag."),
    ] = None,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Compute all cells again. Earlier results are kept until new ones replace them."),
    ] = False,
    keep: Annotated[
        str, typer.Option(help="Weights that stay on disk: of the `last` version, of `branches` too, or of `all`.")
    ] = "branches",
    workers: Annotated[
        str,
        typer.Option(help="Cells that run side by side: a number, or `auto` for what the machine or cluster holds."),
    ] = "auto",
    engine: Annotated[
        str, typer.Option(help="Where cells run: on this machine (local), a Ray cluster or a SLURM cluster.")
    ] = "local",
    processes: Annotated[
        Optional[int],
        typer.Option(min=1, help="Processes that run each cell together (a GPU each), instead of the suite's."),
    ] = None,
    shard: Annotated[
        bool, typer.Option("--shard", help="Shard the model over the processes of a cell while it trains (FSDP).")
    ] = False,
    dry: Annotated[
        bool, typer.Option("--dry-run", help="Print cells, steps, sizes, expected time and memory, without training.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Run a suite: train, test and compare its strategies.

    Results are printed, logged to MLflow and shown on a leaderboard. A repeated command continues where the last one
    stopped.
    """
    from clbench.benchmarks.engine.engines.choose import engine_for
    from clbench.benchmarks.engine.retention import KEEP
    from clbench.benchmarks.engine.runner import RunOptions, choose_device, run_suite
    from clbench.benchmarks.engine.suite import SuiteChanges, load_suite
    from clbench.benchmarks.evaluation.harness_probe import parse_probe
    from clbench.benchmarks.tracking.store import default_uri
    from clbench.cli.progress import Bars
    from clbench.core.config import parse_overrides
    from clbench.core.errors import ConfigError

    kept = next((known for known in KEEP if known == keep), None)
    if kept is None:
        raise ConfigError(f"--keep must be {', '.join(KEEP)}, got {keep!r}")
    if probe and (engine, workers) not in (("local", "auto"), ("local", "1")):
        raise ConfigError(f"--probe needs one worker on this machine, got --engine {engine} --workers {workers}")
    changes = SuiteChanges(
        _names(streams),
        _names(learners),
        _names(strategies),
        _numbers(seeds),
        parse_overrides(overrides or [])
        | ({"processes": processes} if processes else {})
        | ({"shard": True} if shard else {}),
        root,
    )
    chosen = load_suite(suite, changes)
    asked = parse_probe(probe) if probe else None
    if dry:
        if not dry_run(chosen, choose_device(device), as_json):
            raise typer.Exit(2)
        return
    for line in dict.fromkeys(line for cell in chosen.cells for line in cell.load_stream().data_deviations):
        print(f"not the published data: {line}", file=sys.stderr)
    uri = tracking_uri or default_uri(out)
    where = choose_device(device, here=engine == "local")
    place = engine_for(engine, "1" if probe else workers, chosen.cells, where, out / chosen.name)
    with Bars(len(chosen.cells)) as bars:
        result = run_suite(chosen, RunOptions(out, where, uri, fresh, asked, kept, place), bars)
    problems = list(result.unlogged)
    page = (None if result.changed else _page_of(out)) or _leaderboard(uri, out, problems)
    _print(chosen, result, uri, page, as_json)
    failed = [outcome for outcome in result.outcomes if outcome.status == "failed"]
    for line in (*map(_failure, failed), *(f"error: {problem}" for problem in problems)):
        print(line, file=sys.stderr)
    if failed or problems:
        raise typer.Exit(1 if any(outcome.defect for outcome in failed) else 2)


def _names(text: str | None) -> list[str] | None:
    return [item.strip() for item in text.split(",") if item.strip()] if text else None


def _numbers(text: str | None) -> list[int] | None:
    from clbench.core.errors import ConfigError

    try:
        return [int(item) for item in _names(text) or []] or None
    except ValueError:
        raise ConfigError(f"--seeds must be integers separated by commas, got {text!r}") from None


def _leaderboard(uri: str, out: Path, problems: list[str]) -> Path | None:
    """Path of the leaderboard; None, and one more problem, if it cannot be written: results are shown in any case."""
    from clbench.benchmarks.tracking.store import EXPERIMENT
    from clbench.core.errors import ClbenchError
    from clbench.reports.site.site_writer import write_leaderboard

    try:
        return write_leaderboard(uri, EXPERIMENT, out / "leaderboard")
    except ClbenchError as error:
        problems.append(f"no leaderboard: {error}")
        return None


def _page_of(out: Path) -> Path | None:
    """The leaderboard that an earlier call has written, if it is there."""
    page = out / "leaderboard" / "index.html"
    return page if page.is_file() else None


def _failure(outcome: "Outcome") -> str:
    line = f"failed: {outcome.cell.title}: {outcome.error}"
    return f"{line}; see {outcome.folder.failure}" if outcome.defect else line


def _print(suite: "Suite", result: "SuiteResult", uri: str, page: Path | None, as_json: bool) -> None:
    from clbench.benchmarks.engine.summary import summarise, update_tables
    from clbench.benchmarks.tracking.store import runs_page
    from clbench.cli.output import print_json, print_table
    from clbench.core.mlflow_store import shown_uri, ui_command
    from clbench.reports.headings import terminal_columns

    rows = summarise(result.outcomes)
    where = {"tracking_uri": shown_uri(uri), "leaderboard": str(page) if page else None}
    if as_json:
        print_json({"suite": suite.name, **where, "cells": rows})
        return
    for stream, learner in dict.fromkeys((row["stream"], row["learner"]) for row in rows):
        own = [row for row in rows if (row["stream"], row["learner"]) == (stream, learner)]
        columns = terminal_columns(own)
        table = [
            [f"{row['strategy']} ({row['seed']})", *(_percent(row, key) for key in columns), str(row["status"])]
            for row in own
        ]
        print_table(f"{stream}, {learner}, in %", ("strategy (seed)", *columns.values(), ""), table)
        probes = [
            [f"{row['strategy']} ({row['seed']}): {name}", *(f"{value:.4g}" for value in versions.values())]
            for row in own
            for name, versions in cast(dict[str, dict[int, float]], row.get("probes", {})).items()
        ]
        for row in own:
            if "taken" in row:
                there = f"{row['taken']} of {row['versions']} versions were there"
                print(f"{row['strategy']} ({row['seed']}): {there}, from other cells or runs")
        if probes:
            print_table(f"{stream}, {learner}, probes", ("strategy (seed): probe", "before", "after"), probes)
    for title, headings, cells in update_tables(result.outcomes):
        print_table(title, headings, cells)
    if page:
        print(f"leaderboard: {page}")
    if not uri.startswith("http"):
        print(f"MLflow:      {ui_command(uri)}")
    print(f"runs:        {runs_page(uri, result.experiment)}")


def _percent(row: "Mapping[str, object]", key: str) -> str:
    """A number of a row in percent; `n/a` if undefined, as for metrics of tasks that cannot be tested yet."""
    from clbench.reports.headings import percent

    value = row.get(key)
    if isinstance(value, float):
        return percent(value)
    return "" if row["status"] == "failed" else "n/a"
