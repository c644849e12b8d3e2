"""What tables call a number: its headings, the arrow of the better direction, and how its values are written."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, final

from clbench.kinds import TASK_KINDS, kind_of

ARROWS = {"higher": "↑", "lower": "↓"}
NO_NUMBER = "\N{EN DASH}"


@final
@dataclass(frozen=True)
class Heading:
    """The headings of one number.

    Attributes:
        long: For the leaderboard.
        short: For the terminal; `long` if not given.
        brief: For the terminal, after the name of a protocol; `short` if not given.
        direction: `higher` or `lower` is better; empty where a number has none or a metric declares it itself.
    """

    long: str
    short: str = ""
    brief: str = ""
    direction: Literal["higher", "lower", ""] = ""

    @property
    def terminal(self) -> str:
        """Heading of a column of the headline protocol in the terminal."""
        return self.short or self.long

    @property
    def after_protocol(self) -> str:
        """Heading of a column of another protocol in the terminal, to stand after the protocol's name."""
        return self.brief or self.terminal

    @property
    def with_arrow(self) -> str:
        """The long heading and the arrow of its direction."""
        return arrowed(self.long, self.direction, " ")


MAIN = {
    "average_accuracy": Heading("Last"),
    "mtil.last": Heading("Last"),
    "mtil.transfer": Heading("Transfer"),
    "mtil.average": Heading("Average over versions", "Average"),
    "forgetting.chaudhry": Heading("Forgetting (Chaudhry)", "forgetting", "forg."),
    "bwt.gem": Heading("BWT (GEM)", "BWT"),
    "fwt.gem": Heading("FWT (GEM)", "FWT"),
}
"""Metrics of the leaderboard's first table, in its order. A metric's direction is declared where it is registered."""
FLIPS = {
    "flips/all/nfr": Heading("Negative flip rate", "NFR"),
    "flips/all/pfr": Heading("Positive flip rate", "PFR"),
    "flips/all/relative_nfr": Heading("Relative negative flip rate", "rel. NFR"),
}
"""Flips of the last version against its parent, which the terminal shows where updates do more than learn tasks."""
STREAM_FLIPS = {
    "flips/all/nfr": Heading("Negative flips, last update", direction="lower"),
    "flips/first_to_last/nfr": Heading("Negative flips since learnt", direction="lower"),
}
"""Negative flips of the last version that the leaderboard shows: against its parent, and since each task was learnt."""
SIZE = "update/bytes"
"""Name of the size of a compressed version."""
CALIBRATION = "calibration/ece"
"""Name of the expected calibration error of the last version."""
OF_KINDS = {
    f"kind/{name}": Heading(kind_of(name).heading, kind_of(name).short_heading)
    for name in sorted(TASK_KINDS.names(), key=lambda name: kind_of(name).place)
}
"""Mean score of the last version by kind of task: scores of different kinds are not on one scale."""
COSTS = {
    "cost/train_seconds": Heading("Training, s"),
    "cost/test_seconds": Heading("Testing, s"),
    "cost/decode_seconds": Heading("Decoding, s"),
    "cost/taken_over_seconds": Heading("Taken over, s"),
    "cost/peak_mb": Heading("Peak of the device, MiB"),
    "cost/process_peak_mb": Heading("Peak of the process, MiB"),
    "cost/samples": Heading("Samples kept"),
    "cost/passes_with_gradient": Heading("Passes with gradient"),
    "cost/passes_without_gradient": Heading("Passes without gradient"),
    "cost/trained_share": Heading("Trained, % of the weights"),
}
"""What a run took, over all its versions; written with `three_digits`."""
CHALLENGE = {
    "challenge/segmentation/dice": Heading("Segmentation: Dice", direction="higher"),
    "challenge/segmentation/hausdorff": Heading("Hausdorff, pixels", direction="lower"),
    "challenge/segmentation/hd95": Heading("HD95, pixels", direction="lower"),
    "challenge/classification/accuracy": Heading("Classification: accuracy", direction="higher"),
    "challenge/classification/auc": Heading("AUC", direction="higher"),
    "challenge/classification/f1_macro": Heading("F1, macro", direction="higher"),
    "challenge/classification/f1_weighted": Heading("F1, weighted", direction="higher"),
    "challenge/classification/mcc": Heading("MCC", direction="higher"),
    "challenge/detection/iou": Heading("Detection: IoU", direction="higher"),
    "challenge/detection/map": Heading("mAP", direction="higher"),
    "challenge/detection/map50": Heading("mAP at IoU 0.5", direction="higher"),
    "challenge/regression/mre": Heading("Regression: MRE, pixels", direction="lower"),
    "challenge/regression/mae": Heading("MAE, unit of the value", direction="lower"),
}
"""Challenge metrics of the last version by kind of image task; written with `three_digits`."""
UPDATE_COSTS = {
    "update/score_before": Heading("Score before", "before"),
    "update/score_after": Heading("Score after", "after"),
    "update/nfr": Heading("Negative flip rate", "NFR", direction="lower"),
    "update/pfr": Heading("Positive flip rate", "PFR", direction="higher"),
    "update/lost": Heading("Answers lost", "lost", direction="lower"),
    "update/gained": Heading("Answers gained", "gained", direction="higher"),
    "forget/rows": Heading("Test rows forgotten on request", "rows forgotten"),
    "forget/accuracy_test": Heading("Accuracy on them", "accuracy on them"),
    "forget/nfr": Heading("Negative flip rate on them", "NFR on them"),
    "update/bits": Heading("Bits a weight", "bits"),
    "update/bytes": Heading("Bytes", "bytes"),
    "update/sparsity": Heading("Zeros, %", "zeros"),
}
"""What one update cost on the tasks learnt before it, and what it made of the model; see `update_costs`. Test rows that
the model was asked to forget have numbers of their own and count in no other; see `stream_numbers`."""
AUDIT = {
    "accuracy_forgotten": Heading("Forgotten samples", "forgotten"),
    "accuracy_held_out": Heading("Held-out samples like them", "held out"),
    "accuracy_retained": Heading("Retained samples", "retained"),
    "mia_auc": Heading("Membership AUC", "MIA AUC"),
    "mia_logistic": Heading("Called members", "members"),
    "gap": Heading("Gap to the reference", "gap", direction="lower"),
    "js_forgotten": Heading("Divergence on forgotten samples, nats", "JS forg."),
    "js_held_out": Heading("Divergence on held-out samples, nats", "JS held out"),
}
"""What is left of forgotten samples in a version; see `audit_numbers`. The aim is the value of a retrained model."""
AUDIT_TITLE = "What is left of what was forgotten"
UPDATE_TITLE = "What each update cost"
HEADINGS = MAIN | FLIPS | OF_KINDS | COSTS | CHALLENGE | UPDATE_COSTS
"""All of them, by the names that results, MLflow and JSON use."""

TASKS_SHOWN = ("mtil.last", "mtil.average", "mtil.transfer", "forgetting.chaudhry", "bwt.gem")
"""Columns of the terminal's table for streams that learn their tasks in order."""
OTHER_PROTOCOLS_SHOWN = ("mtil.last", "forgetting.chaudhry")
"""Columns of the terminal's table for all protocols of a stream but the first."""
UPDATES_SHOWN = ("mtil.last", *FLIPS)
"""Columns of the terminal's table for all other streams, for every protocol."""


def terminal_columns(rows: Iterable[Iterable[str]]) -> dict[str, str]:
    """Names and headings of the columns in the terminal: the first protocol's, then kinds, then other protocols'.

    Args:
        rows: The names of the numbers that each row of the table has.
    """
    names = dict.fromkeys(name for row in rows for name in row)
    updates = next(iter(FLIPS)) in names
    first = UPDATES_SHOWN if updates else TASKS_SHOWN
    others = UPDATES_SHOWN if updates else OTHER_PROTOCOLS_SHOWN
    columns = {name: HEADINGS[name].terminal for name in first}
    columns |= {name: heading.terminal for name, heading in OF_KINDS.items() if name in names}
    for protocol in [name.removesuffix(".mtil.last") for name in names if name.endswith(".mtil.last")]:
        columns |= {f"{protocol}.{name}": f"{protocol} {HEADINGS[name].after_protocol}" for name in others}
    return columns


def metric_title(name: str) -> str:
    """Long heading of a registered metric: the one above, or one made from its name (`forgetting (mammoth)`)."""
    if name in MAIN:
        return MAIN[name].long
    family, _, variant = name.partition(".")
    return f"{family} ({variant})" if variant else family


def arrowed(title: str, direction: str, space: str = "\N{NO-BREAK SPACE}") -> str:
    """A title and the arrow of the better direction; the title alone where there is none.

    Args:
        title: The heading.
        direction: `higher`, `lower` or something else.
        space: Between title and arrow.
    """
    return f"{title}{space}{ARROWS[direction]}" if direction in ARROWS else title


def percent(value: float) -> str:
    """A fraction in percent with one digit; a dash where there is no number, and no minus before a zero."""
    if math.isnan(value):
        return NO_NUMBER
    text = f"{100 * value:.1f}"
    return "0.0" if text == "-0.0" else text


def update_number(name: str, value: float) -> str:
    """A number of `UPDATE_COSTS` as text: counts with at most one decimal, bits with three digits, shares in percent.

    Args:
        name: Its name.
        value: Its value, or the standard error of its mean.
    """
    if name in ("update/lost", "update/gained", "update/bytes", "forget/rows"):
        return f"{value:,.1f}".removesuffix(".0")
    return three_digits(value) if name == "update/bits" else percent(value)


def three_digits(value: float) -> str:
    """A number in its own unit with three digits and separators of thousands."""
    return f"{float(f'{value:.3g}'):,g}"


def audit_number(name: str, value: float) -> str:
    """A number of `AUDIT` as text: divergences in nats with three digits, AUC with three decimals, shares in percent.

    Args:
        name: Its name.
        value: Its value, or the standard error of its mean.
    """
    if name.startswith("js_"):
        return f"{value:.3g}"
    return f"{value:.3f}" if name == "mia_auc" else percent(value)
