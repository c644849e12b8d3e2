"""`clbench`: the command line. Here only, errors become one line and an exit status."""

import sys

import typer

from clbench.cli import (
    budget,
    compare,
    data,
    doctor,
    export,
    listing,
    metrics,
    power,
    report,
    run,
    tune,
    verify,
    versions,
)
from clbench.core.errors import ClbenchError

INTERRUPTED = 130
app = typer.Typer(
    name="clbench",
    help="Benchmark continual learning: measure what a model keeps and what it loses.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("run")(run.run)
app.command("tune")(tune.tune)
app.command("list")(listing.list_components)
app.command("show")(listing.show)
app.command("compare")(compare.compare)
app.command("metrics")(metrics.metrics)
app.command("report")(report.report)
app.command("power")(power.power)
app.command("budget")(budget.budget)
app.command("export")(export.export)
app.command("verify")(verify.verify)
app.command("versions")(versions.versions)
app.command("doctor")(doctor.doctor)
app.add_typer(data.app, name="data")


def main() -> None:
    """Run the command line.

    Exit status: 0 success; 1 a defect of clbench (a cell failed), or a gate that is not passed; 2 an error that the
    user can correct, printed in one line; 130 interrupted.
    """
    try:
        app(prog_name="clbench")
    except ClbenchError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, SystemExit) as ended:
        if isinstance(ended, SystemExit) and ended.code != INTERRUPTED:  # which typer makes of Ctrl-C
            raise
        print("interrupted: finished results are kept; repeat the command to continue", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # the reader of our output has ended, as in `clbench list | head`
        sys.stderr.close()
        sys.exit(0)
