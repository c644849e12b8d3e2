"""`clbench`: the application, and the one place where errors become a line and an exit status."""

import sys

import typer

from clbench.cli import compare, data, doctor, listing, metrics, report, run, tune
from clbench.core.errors import ClbenchError

app = typer.Typer(
    name="clbench",
    help="Measure what a model keeps while it goes on learning.",
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
app.command("doctor")(doctor.doctor)
app.add_typer(data.app, name="data")


def main() -> None:
    """Run the command line.

    Exit status: 0 done; 1 a defect (a cell failed by no fault of the user), or a gate that is not passed; 2 something
    that the user can mend, told in one line; 130 interrupted.
    """
    try:
        app()
    except ClbenchError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted: nothing finished is lost, the same command goes on from there", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output has gone, as in `clbench list | head`
        sys.stderr.close()
        sys.exit(0)
