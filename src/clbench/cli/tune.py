"""`clbench tune`: the same number of trials for every strategy of a suite, on validation data; a table and a file."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from clbench.benchmarks.tuning.search import Found, Plan


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
    from clbench.benchmarks.runner import RunOptions, choose_device
    from clbench.benchmarks.tracking.store import default_uri
    from clbench.benchmarks.tuning.search import Request, plan_search, run_search
    from clbench.cli.progress import Bars

    options = RunOptions(out, choose_device(device), tracking_uri or default_uri(out), fresh)
    wanted = [item.strip() for item in strategies.split(",") if item.strip()] if strategies else None
    request = Request(suite, grids or [], wanted, stream, learner, _seeds(seed), trials, criterion, name, root)
    plan = plan_search(request)
    cells = plan.cells(out, fresh)
    with Bars(len(cells)) as bars:
        found = run_search(plan, cells, options, bars)
    _print(plan, found, as_json)
    problems = [*found.unlogged]
    if found.tuned is None:
        problems.append("no result: trials failed for other reasons than divergence; the same command tries them again")
        for outcome in found.to_mend:
            print(f"failed: {outcome.cell.title}: {outcome.error}; see {outcome.folder.path}", file=sys.stderr)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    if problems:
        raise typer.Exit(1 if any(outcome.defect for outcome in found.to_mend) else 2)


def _seeds(text: str) -> list[int]:
    from clbench.errors import ConfigError

    try:
        return [int(item) for item in text.split(",")]
    except ValueError:
        raise ConfigError(f"--seed must be integers separated by commas, got {text!r}") from None


def _print(plan: "Plan", found: "Found", as_json: bool) -> None:
    from clbench.benchmarks.tuning.search import best_of
    from clbench.cli.output import print_json, print_table

    if as_json:
        print_json(
            {"file": str(found.path), **found.tuned.model_dump(mode="json", by_alias=True)} if found.tuned else {}
        )
        return
    rows, edges = [], []
    for variant in plan.variants:
        trials = [trial for trial in found.trials if trial.variant is variant]
        best = best_of(trials, plan.criterion)
        diverged = sum(trial.diverged for trial in trials)
        settings = variant.settings(best.point) if best else {}
        shown = " ".join(f"{key}={value}" for key, value in settings.items()) or "none: every trial diverged"
        value = f"{best.value:.4f}" if best else ""
        rows.append((variant.title, shown, value, str(len(trials)), str(diverged or "")))
        edges += [f"{variant.title} {edge}" for edge in variant.edges(best.point)] if best else []
    title = f"{plan.name}: {plan.criterion.protocol} {plan.criterion.metric}, {plan.criterion.direction} is better"
    print_table(title, ("strategy", "best", "value", "trials", "diverged"), rows)
    if plan.untuned:
        print(f"none of the settings: {', '.join(plan.untuned)}")
    if found.tuned:
        print(f"result: {found.path}")
    if edges:
        print(f"warning: best at the edge of the grid, extend it: {'; '.join(edges)}", file=sys.stderr)
