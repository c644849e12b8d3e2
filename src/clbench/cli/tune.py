"""`clbench tune`: the same number of trials for every strategy of a suite, on validation data; a table and a file."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from clbench.benchmarks.tuning.plan import Plan
    from clbench.benchmarks.tuning.search import Found


def tune(
    suite: Annotated[str, typer.Argument(help="Name of a suite, or the path of its YAML file.")],
    grids: Annotated[
        Optional[list[str]],
        typer.Option(
            "--set", help="`lr=1e-4,1e-3` (every strategy that has it), `ewc.strength=1,10`, `budget.steps=20`."
        ),
    ] = None,
    trials: Annotated[
        Optional[int], typer.Option(help="Trials of each strategy; default: one a point of the grid that all share.")
    ] = None,
    criterion: Annotated[
        str, typer.Option(help="A metric, under the stream's first protocol or as `union.mtil.last`.")
    ] = "mtil.last",
    strategies: Annotated[
        Optional[str], typer.Option(help="Strategies (names or .py files) instead of the suite's, separated by commas.")
    ] = None,
    stream: Annotated[Optional[str], typer.Option(help="Stream; default: the suite's, if it has one.")] = None,
    learner: Annotated[
        Optional[str], typer.Option(help="Learner; default: the suite's, if it has one, else the stream's.")
    ] = None,
    seed: Annotated[str, typer.Option(help="Seed of the trials, or several (`100,101`): values are means.")] = "100",
    root: Annotated[
        Optional[str], typer.Option(help="Folder of the data sets, or `hub`, for streams without data of their own.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for trials and result.")] = Path("clbench-runs"),
    name: Annotated[Optional[str], typer.Option(help="Of the result; default: `suite--stream--learner`.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    tracking_uri: Annotated[
        Optional[str], typer.Option(help="MLflow store; default $MLFLOW_TRACKING_URI, else SQLite under --out.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Compute all trials again.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Choose settings on the validation part. The same command again goes on where it stopped."""
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
        lines.append("error: no result: trials failed by no fault of their settings; the same command tries them again")
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
            rows.append((variant.title, "none: every trial diverged", "", *counts))
            continue
        shown = " ".join(f"{key}={value}" for key, value in variant.settings(best.point).items())
        rows.append((variant.title, shown, f"{best.value:.4f}", *counts))
        edges += [f"{variant.title} {edge}" for edge in variant.edges(best.point)]
    arrow = {"higher": "\N{UPWARDS ARROW}", "lower": "\N{DOWNWARDS ARROW}"}[plan.criterion.direction]
    heading = f"{plan.criterion.protocol}/{plan.criterion.metric} {arrow}"
    print_table(plan.name, ("strategy", "best", heading, "trials", "diverged"), rows)
    if plan.untuned:
        print(f"none of the settings: {', '.join(plan.untuned)}")
    print(f"result: {found.path}")
    if edges:
        print(f"warning: best at the edge of the grid, extend it: {'; '.join(edges)}", file=sys.stderr)
