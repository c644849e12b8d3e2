"""`clbench compare`: which answers got worse from one model to another."""

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from clbench.reports.flips.comparison import Comparison
    from clbench.reports.flips.content import Contents
    from clbench.reports.flips.gate import Gate

SIDE = "A ledger (.parquet), the id of an MLflow run, either with @VERSION, or a sample log of lm-evaluation-harness."
SHOWN = 10


def compare(
    old: Annotated[str, typer.Argument(help=f"What users have. {SIDE}")],
    new: Annotated[str, typer.Argument(help="What they would get. The same.")],
    protocol: Annotated[
        Optional[str],
        typer.Option("--protocol", "--filter", help="Protocol of ledgers (default: the first), filter of sample logs."),
    ] = None,
    metric: Annotated[Optional[str], typer.Option(help="Metric of sample logs; default: the first.")] = None,
    dead_band: Annotated[float, typer.Option(help="Also count changes of graded scores up to here as none.")] = 0.0,
    lower_is_better: Annotated[bool, typer.Option("--lower-is-better", help="Graded scores are errors.")] = False,
    max_nfr: Annotated[
        Optional[float], typer.Option(help="Exit with 1 unless the upper bound of NFR (95 %) is at most this share.")
    ] = None,
    html: Annotated[Optional[Path], typer.Option(help="Also write a page with the worst flips.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    out: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("clbench-runs"),
    tracking_uri: Annotated[
        Optional[str], typer.Option(help="MLflow store that has the runs; default as in `clbench run`.")
    ] = None,
    samples: Annotated[
        Optional[str],
        typer.Option(
            help="Stream that the samples are from, to show them; known for ledgers in a cell's folder, runs."
        ),
    ] = None,
    root: Annotated[
        Optional[str], typer.Option(help="That stream's data, where `clbench run` needs them named.")
    ] = None,
) -> None:
    """Count, test and show what changes for each sample from OLD to NEW: negative flips first."""
    from clbench.benchmarks.tracking.store import EXPERIMENT, default_uri
    from clbench.cli.output import print_json
    from clbench.cli.samples import samples_of
    from clbench.reports.flips.comparison import compare as compare_rows
    from clbench.reports.flips.comparison_json import to_dict
    from clbench.reports.flips.content import with_texts
    from clbench.reports.flips.gate import check_budget, decide
    from clbench.reports.flips.inputs import InputOptions, load_predictions

    if max_nfr is not None:
        check_budget(max_nfr)
    options = InputOptions(protocol, metric, tracking_uri or default_uri(out), EXPERIMENT)
    with contextlib.ExitStack() as stack:
        named = ((old, new), (new, old))
        sides = [load_predictions(side, options, Path(stack.enter_context(_folder())), other) for side, other in named]
        found = compare_rows(*sides, dead_band=dead_band, lower_is_better=lower_is_better)
    gate = None if max_nfr is None else decide(found, max_nfr)
    if not as_json:
        _print_numbers(found)
    contents: Contents = {}
    if samples is not None or html is not None or not as_json:
        shown = found.worst[:SHOWN] if html is None and not as_json else found.worst
        contents = samples_of(shown, sides, samples, root, images=html is not None)
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


def _folder() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="clbench-compare-")


def _print_numbers(found: "Comparison") -> None:
    from clbench.cli.output import print_table
    from clbench.reports.flips import comparison_tables

    print(f"old: {found.old}\nnew: {found.new}")
    print_table(
        f"protocol: {found.protocol}", comparison_tables.COUNT_COLUMNS, comparison_tables.contingency_rows(found)
    )
    for note in comparison_tables.notes(found):
        print(note)
    if found.table.n:
        print_table("metrics", comparison_tables.METRIC_COLUMNS, comparison_tables.metric_rows(found))
    if found.graded:
        print_table("graded scores", comparison_tables.GRADED_COLUMNS, comparison_tables.graded_rows(found))
        print_table(
            "graded scores by task", comparison_tables.GRADED_TASK_COLUMNS, comparison_tables.graded_task_rows(found)
        )
    if found.table.n:
        print_table("by task", comparison_tables.TASK_COLUMNS, comparison_tables.task_rows(found))


def _print_flips(found: "Comparison", gate: "Gate | None", html: Path | None) -> None:
    from clbench.reports.flips import comparison_tables

    if found.worst:
        print(f"the worst {min(SHOWN, len(found.worst))} of {found.n_worse}:")
        print(*comparison_tables.worst_lines(found, SHOWN), sep="\n")
    if html is not None:
        print(f"page: {html}")
    if gate is not None:
        print(f"gate: {'passed' if gate.passed else 'failed'}: {gate.reason}")
