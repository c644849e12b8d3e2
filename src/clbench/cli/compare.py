"""`clbench compare`: which answers got worse from one model to another."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional, final

import typer

if TYPE_CHECKING:
    from clbench.reports.flips.comparison import Comparison
    from clbench.reports.flips.content import Contents
    from clbench.reports.flips.gate import Gate
    from clbench.reports.flips.policy import PolicyResult
    from clbench.reports.flips.predictions import Predictions

SHOWN = 10
"""Number of flips that the terminal shows."""


@final
@dataclass(frozen=True)
class Judged:
    """A comparison, and what a gate and a policy say of it; None without them."""

    comparison: "Comparison"
    gate: "Gate | None"
    policy: "PolicyResult | None"

    @property
    def passed(self) -> bool:
        """Whether neither fails."""
        return (self.gate is None or self.gate.passed) and (self.policy is None or self.policy.passed)


@final
@dataclass(frozen=True)
class Outputs:
    """The files to write, None for those that are not wanted, and whether JSON is printed."""

    html: Path | None
    junit: Path | None
    markdown: Path | None
    as_json: bool


def compare(
    old: Annotated[
        str,
        typer.Argument(
            help="Model that users have: a ledger (.parquet) or the id of an MLflow run, optionally with @VERSION; "
            "a sample log of lm-evaluation-harness, a log of inspect_ai (.json), records of Every Eval Ever (.jsonl), "
            "or a CSV file with id, task, target, prediction."
        ),
    ],
    new: Annotated[
        list[str],
        typer.Argument(help="Model that would replace it, named in the same way; several are compared with OLD each."),
    ],
    protocol: Annotated[
        Optional[str],
        typer.Option(
            "--protocol",
            "--filter",
            help="Protocol of ledgers (default: the first) or filter of sample logs (default: the only one).",
        ),
    ] = None,
    metric: Annotated[
        Optional[str],
        typer.Option(help="Metric or scorer of logs. Default: the first metric that is a number, the first scorer."),
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
    policy: Annotated[
        Optional[Path],
        typer.Option(help="Policy (YAML) of what each task may lose: exit status 1 if it is not kept."),
    ] = None,
    junit: Annotated[
        Optional[Path], typer.Option(help="Also write the checks of --policy and --max-nfr as JUnit XML.")
    ] = None,
    markdown: Annotated[Optional[Path], typer.Option(help="Also write a summary in Markdown.")] = None,
    html: Annotated[Optional[Path], typer.Option(help="Also write an HTML page with the worst flips.")] = None,
    records: Annotated[
        Optional[Path],
        typer.Option(help="Also write the answers of all models to this folder, as records of Every Eval Ever."),
    ] = None,
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

    Prints how many answers got worse (negative flips) and better, with a verdict, metrics, tests and intervals, by
    task; then the worst flips. Several new models get a table with a row each. Exit status 1 if --max-nfr is exceeded
    or --policy is not kept.
    """
    from tempfile import TemporaryDirectory

    from clbench.benchmarks.tracking.store import EXPERIMENT, default_uri
    from clbench.core.errors import ConfigError
    from clbench.reports.flips.comparison import compare as compare_predictions
    from clbench.reports.flips.gate import check_budget, decide
    from clbench.reports.flips.inputs import InputOptions, load_predictions

    if max_nfr is not None:
        check_budget(max_nfr)
    if junit is not None and policy is None and max_nfr is None:
        raise ConfigError("--junit writes the checks of --policy or --max-nfr: give one of them")
    if len(new) > 1 and (html or junit or markdown or samples):
        raise ConfigError("--html, --junit, --markdown and --samples are for a single new model")
    apply = None if policy is None else _read_policy(policy)
    options = InputOptions(protocol, metric, tracking_uri or default_uri(out), EXPERIMENT)
    judged: list[Judged] = []
    with contextlib.ExitStack() as stack:
        texts = [old, *new]
        folders = [Path(stack.enter_context(TemporaryDirectory(prefix="clbench-compare-"))) for _ in texts]
        others = [new[0], *[old] * len(new)]
        models = [load_predictions(*each) for each in zip(texts, [options] * len(texts), folders, others, strict=True)]
        if records is not None:
            from clbench.reports.flips.records_writer import write_records

            for model in models:
                write_records(model, records, lower_is_better=lower_is_better)
        for model in models[1:]:
            found = compare_predictions(
                models[0], model, dead_band=dead_band, lower_is_better=lower_is_better, margin=margin
            )
            gate = None if max_nfr is None else decide(found, max_nfr)
            judged.append(Judged(found, gate, None if apply is None else apply(found)))
    if len(judged) > 1:
        _show_several(judged, margin, as_json)
    else:
        _show_one(judged[0], models, Outputs(html, junit, markdown, as_json), samples, root)
    if not all(each.passed for each in judged):
        raise typer.Exit(1)


def _read_policy(path: Path) -> Callable[["Comparison"], "PolicyResult"]:
    """What applies a policy file to a comparison."""
    from clbench.reports.flips.policy import apply_policy, read_policy

    return partial(apply_policy, read_policy(path))


def _show_one(
    judged: Judged, models: "Sequence[Predictions]", outputs: Outputs, samples: str | None, root: str | None
) -> None:
    from clbench.cli.output import print_json
    from clbench.cli.samples import samples_of
    from clbench.reports.flips.comparison_json import to_dict
    from clbench.reports.flips.content import with_texts

    found, gate, policy, html = judged.comparison, judged.gate, judged.policy, outputs.html
    if not outputs.as_json:
        _print_numbers(found)
    contents: Contents = {}
    if samples is not None or html is not None or not outputs.as_json:
        shown = found.worst[:SHOWN] if html is None and not outputs.as_json else found.worst
        contents = samples_of(shown, models, samples, root, images=html is not None)
        found = with_texts(found, contents)
    if html is not None:
        from clbench.reports.flips.flips_page import write_page

        write_page(found, html, gate, contents, policy)
    if outputs.junit is not None or outputs.markdown is not None:
        from clbench.reports.flips.ci_outputs import write_junit, write_markdown

        if outputs.junit is not None:
            write_junit(outputs.junit, found, gate, policy)
        if outputs.markdown is not None:
            write_markdown(outputs.markdown, found, gate, policy)
    if outputs.as_json:
        print_json(to_dict(found, gate, policy))
    else:
        _print_flips(found)
        if html is not None:
            print(f"page: {html}")
        _print_judgement(judged)


def _show_several(judged: Sequence[Judged], margin: float | None, as_json: bool) -> None:
    from clbench.cli.output import print_json, print_table
    from clbench.reports.flips.comparison_json import several_to_dict
    from clbench.reports.flips.several_models import MODEL_COLUMNS, model_rows, model_verdicts

    found = [each.comparison for each in judged]
    verdicts = model_verdicts(found, margin)
    if as_json:
        print_json(several_to_dict([(each.comparison, each.gate, each.policy) for each in judged], verdicts))
        return
    print(f"old: {found[0].old}")
    print_table(f"protocol: {found[0].protocol}", MODEL_COLUMNS, model_rows(found, verdicts))
    for each in judged:
        print(f"new: {each.comparison.new}")
        _print_notes(each.comparison)
        _print_judgement(each)


def _print_numbers(found: "Comparison") -> None:
    from clbench.cli.output import print_table
    from clbench.reports.flips import comparison_tables as tables

    print(f"old: {found.old}\nnew: {found.new}")
    print_table(f"protocol: {found.protocol}", tables.COUNT_COLUMNS, tables.contingency_rows(found))
    if found.verdict is not None:
        print(f"verdict: {tables.verdict_line(found.verdict)}")
    _print_notes(found)
    if found.table.n:
        print_table("metrics", tables.METRIC_COLUMNS, tables.metric_rows(found))
    if found.graded:
        print_table("graded scores", tables.GRADED_COLUMNS, tables.graded_rows(found))
        print_table("graded scores by task", tables.GRADED_TASK_COLUMNS, tables.graded_task_rows(found))
    if found.table.n:
        print_table("by task", tables.TASK_COLUMNS, tables.task_rows(found))


def _print_notes(found: "Comparison") -> None:
    from clbench.reports.flips.comparison_tables import notes

    for note in notes(found):
        print(note)


def _print_flips(found: "Comparison") -> None:
    from clbench.reports.flips.comparison_tables import worst_lines

    if found.worst:
        kind = "negative flips" if found.table.n else "losses"
        print(f"the worst {min(SHOWN, len(found.worst))} of {found.n_worse} {kind}:")
        print(*worst_lines(found, SHOWN), sep="\n")


def _print_judgement(judged: Judged) -> None:
    from clbench.cli.output import print_table
    from clbench.reports.flips import comparison_tables as tables

    if judged.policy is not None:
        print_table("policy", tables.CHECK_COLUMNS, tables.check_rows(judged.policy))
        print(f"policy: {tables.policy_line(judged.policy)}")
    if judged.gate is not None:
        print(f"gate: {'passed' if judged.gate.passed else 'failed'}: {judged.gate.reason}")
