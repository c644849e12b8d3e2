"""`clbench tune`: search of settings on validation data, with the same number of trials for each strategy."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from clbench.benchmarks.tuning.plan import Plan
    from clbench.benchmarks.tuning.search import Found


def tune(
    suite: Annotated[str, typer.Argument(help="Name of a suite, or path of its YAML file.")],
    grids: Annotated[
        Optional[list[str]],
        typer.Option(
            "--set",
            help="Values to try, repeatable: lr=1e-4,1e-3 (all strategies that have it), ewc.strength=1,10 (one); "
            "or one value for all trials: budget.steps=20.",
        ),
    ] = None,
    trials: Annotated[
        Optional[int],
        typer.Option(help="Trials of each strategy. Default: number of points of the grid that all share."),
    ] = None,
    criterion: Annotated[
        str, typer.Option(help="Metric to select by: METRIC (stream's first protocol) or PROTOCOL.METRIC.")
    ] = "mtil.last",
    strategies: Annotated[
        Optional[str], typer.Option(help="Strategies (names or .py files, separated by commas) instead of the suite's.")
    ] = None,
    stream: Annotated[Optional[str], typer.Option(help="Stream. Default: the suite's, if it has only one.")] = None,
    learner: Annotated[
        Optional[str], typer.Option(help="Learner. Default: the suite's, if it has only one, else the stream's.")
    ] = None,
    seed: Annotated[str, typer.Option(help="Seed of the trials; of several (100,101) the mean counts.")] = "100",
    root: Annotated[
        Optional[str],
        typer.Option(help="Folder of the data sets, or `hub` (Hugging Face), for streams without own data."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for trials and results.")] = Path("clbench-runs"),
    name: Annotated[Optional[str], typer.Option(help="Name of the result. Default: SUITE--STREAM--LEARNER.")] = None,
    device: Annotated[str, typer.Option(help="Device: auto, cpu or cuda.")] = "auto",
    tracking_uri: Annotated[
        Optional[str], typer.Option(help="MLflow store. Default: $MLFLOW_TRACKING_URI, else SQLite in --out.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Compute all trials again.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Search settings of a suite's strategies on validation data.

    All strategies have the same number of trials. A repeated command continues where the last one stopped.
    """
    from clbench.benchmarks.engine.runner import RunOptions, choose_device
    from clbench.benchmarks.tracking.store import default_uri
    from clbench.benchmarks.tuning.plan import Request, plan_search
    from clbench.benchmarks.tuning.search import run_search
    from clbench.cli.progress import Bars

    options = RunOptions(out, choose_device(device), tracking_uri or default_uri(out), fresh)
    wanted = [item.strip() for item in strategies.split(",") if item.strip()] if strategies else None
    plan = plan_search(
        Request(suite, grids or [], wanted, stream, learner, _seeds(seed), trials, criterion, name, root)
    )
    cells = plan.cells(out, fresh)
    with Bars(len(cells)) as bars:
        found = run_search(plan, cells, options, bars)
    if as_json:
        _print_json(found)
    elif found.tuned:
        _print(plan, found)
    if problems := _problems(found):
        print("\n".join(problems), file=sys.stderr)
        raise typer.Exit(1 if any(outcome.defect for outcome in found.to_mend) else 2)


def _problems(found: "Found") -> list[str]:
    lines = [f"failed: {o.cell.title}: {o.error}; see {o.folder.path}" for o in found.to_mend]
    if found.tuned is None:
        lines.append(
            "error: no result: trials failed, but not for their settings; repeat the command to try them again"
        )
    return lines + [f"error: {problem}" for problem in found.unlogged]


def _seeds(text: str) -> list[int]:
    from clbench.core.errors import ConfigError

    try:
        return [int(item) for item in text.split(",")]
    except ValueError:
        raise ConfigError(f"--seed must be integers separated by commas, got {text!r}") from None


def _print_json(found: "Found") -> None:
    from clbench.cli.output import print_json

    record = found.tuned.model_dump(mode="json", by_alias=True) if found.tuned else None
    print_json({"file": str(found.path), **record} if record else {})


def _print(plan: "Plan", found: "Found") -> None:
    from clbench.benchmarks.tuning.search import best_of
    from clbench.cli.output import print_table

    rows, edges = [], []
    for variant in plan.variants:
        trials = [trial for trial in found.trials if trial.variant is variant]
        best = best_of(trials, plan.criterion)
        counts = (str(len(trials)), str(sum(trial.diverged for trial in trials) or ""))
        if best is None:
            rows.append((variant.title, "none: all trials diverged", "", *counts))
            continue
        shown = " ".join(f"{key}={value}" for key, value in variant.settings(best.point).items())
        rows.append((variant.title, shown, f"{best.value:.4f}", *counts))
        edges += [f"{variant.title} {edge}" for edge in variant.edges(best.point)]
    arrow = {"higher": "\N{UPWARDS ARROW}", "lower": "\N{DOWNWARDS ARROW}"}[plan.criterion.direction]
    heading = f"{plan.criterion.protocol}/{plan.criterion.metric} {arrow}"
    print_table(plan.name, ("strategy", "best settings", heading, "trials", "diverged"), rows)
    if plan.untuned:
        print(f"without these settings, not tuned: {', '.join(plan.untuned)}")
    print(f"result: {found.path}")
    if edges:
        print(f"warning: best value at the edge of the grid, extend the grid: {'; '.join(edges)}", file=sys.stderr)
