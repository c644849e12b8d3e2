"""`clbench compare`: which answers got worse from one model to another."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from clbench.reports.flips.comparison import Comparison
    from clbench.reports.flips.content import Contents
    from clbench.reports.flips.gate import Gate

SHOWN = 10
"""Number of flips that the terminal shows."""


def compare(
    old: Annotated[
        str,
        typer.Argument(
            help="Model that users have: a ledger (.parquet) or the id of an MLflow run, optionally with @VERSION, "
            "or a sample log of lm-evaluation-harness."
        ),
    ],
    new: Annotated[str, typer.Argument(help="Model that would replace it, named in the same way.")],
    protocol: Annotated[
        Optional[str],
        typer.Option(
            "--protocol",
            "--filter",
            help="Protocol of ledgers (default: the first) or filter of sample logs (default: the only one).",
        ),
    ] = None,
    metric: Annotated[
        Optional[str], typer.Option(help="Metric of sample logs. Default: the first that is a number.")
    ] = None,
    dead_band: Annotated[
        float, typer.Option(help="Graded scores: also report with changes up to this size counted as no change.")
    ] = 0.0,
    lower_is_better: Annotated[
        bool, typer.Option("--lower-is-better", help="Graded scores are errors: lower is better.")
    ] = False,
    margin: Annotated[
        Optional[float],
        typer.Option(help="Largest change of accuracy that does not matter. Without it no verdict is `equivalent`."),
    ] = None,
    max_nfr: Annotated[
        Optional[float],
        typer.Option(help="Budget for the negative flip rate: exit status 1 if its upper 95 % bound is above it."),
    ] = None,
    html: Annotated[Optional[Path], typer.Option(help="Also write an HTML page with the worst flips.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    out: Annotated[Path, typer.Option(help="Folder of the runs that ids name.")] = Path("clbench-runs"),
    tracking_uri: Annotated[
        Optional[str],
        typer.Option(help="MLflow store of the runs. Default: $MLFLOW_TRACKING_URI, else SQLite in --out."),
    ] = None,
    samples: Annotated[
        Optional[str],
        typer.Option(help="Stream that the samples are from, to show them. Default: that of the cell, if known."),
    ] = None,
    root: Annotated[
        Optional[str], typer.Option(help="Folder of that stream's data sets, or `hub` (Hugging Face).")
    ] = None,
) -> None:
    """Compare the answers of two models, sample by sample.

    Prints how many answers got worse (negative flips) and better, with metrics, tests and intervals, by task; then the
    worst flips. Exit status 1 if --max-nfr is exceeded.
    """
    from tempfile import TemporaryDirectory

    from clbench.benchmarks.tracking.store import EXPERIMENT, default_uri
    from clbench.cli.output import print_json
    from clbench.cli.samples import samples_of
    from clbench.reports.flips.comparison import compare as compare_predictions
    from clbench.reports.flips.comparison_json import to_dict
    from clbench.reports.flips.content import with_texts
    from clbench.reports.flips.gate import check_budget, decide
    from clbench.reports.flips.inputs import InputOptions, load_predictions

    if max_nfr is not None:
        check_budget(max_nfr)
    options = InputOptions(protocol, metric, tracking_uri or default_uri(out), EXPERIMENT)
    with contextlib.ExitStack() as stack:
        folders = [Path(stack.enter_context(TemporaryDirectory(prefix="clbench-compare-"))) for _ in range(2)]
        models = [load_predictions(old, options, folders[0], new), load_predictions(new, options, folders[1], old)]
        found = compare_predictions(*models, dead_band=dead_band, lower_is_better=lower_is_better, margin=margin)
    gate = None if max_nfr is None else decide(found, max_nfr)
    if not as_json:
        _print_numbers(found)
    contents: Contents = {}
    if samples is not None or html is not None or not as_json:
        shown = found.worst[:SHOWN] if html is None and not as_json else found.worst
        contents = samples_of(shown, models, samples, root, images=html is not None)
        found = with_texts(found, contents)
    if html is not None:
        from clbench.reports.flips.flips_page import write_page

        write_page(found, html, gate, contents)
    if as_json:
        print_json(to_dict(found, gate))
    else:
        _print_flips(found, gate, html)
    if gate is not None and not gate.passed:
        raise typer.Exit(1)


def _print_numbers(found: "Comparison") -> None:
    from clbench.cli.output import print_table
    from clbench.reports.flips import comparison_tables as tables

    print(f"old: {found.old}\nnew: {found.new}")
    print_table(f"protocol: {found.protocol}", tables.COUNT_COLUMNS, tables.contingency_rows(found))
    if found.verdict is not None:
        print(f"verdict: {tables.verdict_line(found.verdict)}")
    for note in tables.notes(found):
        print(note)
    if found.table.n:
        print_table("metrics", tables.METRIC_COLUMNS, tables.metric_rows(found))
    if found.graded:
        print_table("graded scores", tables.GRADED_COLUMNS, tables.graded_rows(found))
        print_table("graded scores by task", tables.GRADED_TASK_COLUMNS, tables.graded_task_rows(found))
    if found.table.n:
        print_table("by task", tables.TASK_COLUMNS, tables.task_rows(found))


def _print_flips(found: "Comparison", gate: "Gate | None", html: Path | None) -> None:
    from clbench.reports.flips.comparison_tables import worst_lines

    if found.worst:
        kind = "negative flips" if found.table.n else "losses"
        print(f"the worst {min(SHOWN, len(found.worst))} of {found.n_worse} {kind}:")
        print(*worst_lines(found, SHOWN), sep="\n")
    if html is not None:
        print(f"page: {html}")
    if gate is not None:
        print(f"gate: {'passed' if gate.passed else 'failed'}: {gate.reason}")
