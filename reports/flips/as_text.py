"""A comparison as the rows of tables in a terminal."""

from collections.abc import Iterator

from clbench.reports.flips.as_json import weighted
from clbench.reports.flips.comparison import Comparison
from clbench.reports.flips.flip_counts import Flip
from clbench.reports.flips.flip_metrics import all_metrics
from clbench.reports.flips.statistics import Interval
from clbench.reports.leaderboard.text import plain

NOTHING = "n/a"
EMPTY = "(empty)"
LONGEST = 100
Rows = list[tuple[str, ...]]


def counts(comparison: Comparison) -> Rows:
    """The 2 x 2 table, and how many of the wrong answers were another wrong one before."""
    t = comparison.table
    return [
        ("old right", str(t.both_right), str(t.negative_flips), str(t.old_right), ""),
        ("old wrong", str(t.positive_flips), str(t.both_wrong), str(t.old_wrong), str(t.both_wrong_different)),
        ("all", str(t.new_right), str(t.new_wrong), str(t.n), ""),
    ]


COUNT_COLUMNS = ("", "new right", "new wrong", "all", "wrong to another wrong")
METRIC_COLUMNS = ("metric", "value", "95 % interval")
GRADED_COLUMNS = ("dead-band", "losses", "mean loss", "gains", "mean gain", "mean change", "95 % interval")
GRADED_TASK_COLUMNS = ("task", "dead-band", "n", *GRADED_COLUMNS[1:-1], "only old", "only new")
TASK_COLUMNS = ("task", "n", "NFR", "95 % interval", "PFR", "accuracy change", "p (Holm)", "only old", "only new")


def metrics(comparison: Comparison) -> Rows:
    """Every metric with its interval, the bound for budgets and the test."""
    rows = [
        (name, number(value), interval(comparison.intervals[name]))
        for name, value in all_metrics(comparison.table).items()
    ]
    tally = comparison.tally
    return [
        *rows,
        ("nfr_upper (95 %, one-sided)", number(comparison.nfr_upper), ""),
        ("nfr_confidence_weighted", number(weighted(tally.nfr_weight, tally.table)), ""),
        ("pfr_confidence_weighted", number(weighted(tally.pfr_weight, tally.table)), ""),
        ("mcnemar_p (exact)", p_value(comparison.mcnemar_p), ""),
    ]


def tasks(comparison: Comparison) -> Rows:
    """A row a task."""
    rows: Rows = []
    for task, result in comparison.tasks.items():
        found = all_metrics(result.tally.table)
        shown = (number(found["nfr"]), interval(result.intervals["nfr"]), number(found["pfr"]))
        change = (number(found["accuracy_change"]), p_value(result.holm_p if result.tally.table.n else None))
        alone = (str(result.tally.old_only), str(result.tally.new_only))
        rows.append((plain(task), str(result.tally.table.n), *shown, *change, *alone))
    return rows


def graded(comparison: Comparison) -> Rows:
    """Gains and losses of graded scores, a row a dead-band."""
    rows: Rows = []
    for result in comparison.graded:
        f = result.flips
        sizes = (f"{f.losses} ({number(f.loss_rate)})", number(f.mean_loss))
        gains = (f"{f.gains} ({number(f.gain_rate)})", number(f.mean_gain))
        change = (number(f.mean_change), interval(result.intervals["mean_change"]))
        rows.append((f"{f.dead_band:g}", *sizes, *gains, *change))
    return rows


def graded_tasks(comparison: Comparison) -> Rows:
    """The same, a row a task and dead-band; here too what did not match is shown."""
    rows: Rows = []
    for task, found in comparison.graded_by_task.items():
        tally = comparison.tasks[task].tally
        for f in found:
            losses = (f"{f.losses} ({number(f.loss_rate)})", number(f.mean_loss))
            gains = (f"{f.gains} ({number(f.gain_rate)})", number(f.mean_gain), number(f.mean_change))
            alone = (str(tally.old_only), str(tally.new_only))
            rows.append((plain(task), f"{f.dead_band:g}", str(f.n), *losses, *gains, *alone))
    return rows


def worst(comparison: Comparison, most: int) -> Iterator[str]:
    """The worst flips: a line each, and one more for the text of the sample where there is one."""
    for flip in comparison.worst[:most]:
        old, new = answers(comparison, flip)
        target = "" if flip.target is None else f"target {short(flip.target)}, "
        yield f"  {short(flip.task)}, {short(flip.sample_id)}: {target}was {old}, is {new}"
        if flip.text:
            yield f"      {short(flip.text)}"


def answer(prediction: str | None, confidence: float | None, score: float | None) -> str:
    """A prediction with its score where it has one, else with its confidence."""
    said = "" if prediction is None else f"{short(prediction) or EMPTY} "
    if score is not None:
        return f"{said}(score {score:.3g})"
    return said.strip() if confidence is None else f"{said}({confidence:.2f})"


def answers(comparison: Comparison, flip: Flip) -> tuple[str, str]:
    """The old and the new answer of a flip; scores are told where losses of score are what is listed."""
    graded = comparison.table.n == 0
    scores = (flip.old_score, flip.new_score) if graded else (None, None)
    return (
        answer(flip.old_prediction, flip.old_confidence, scores[0]),
        answer(flip.new_prediction, flip.new_confidence, scores[1]),
    )


def notes(comparison: Comparison) -> list[str]:
    """What must not be dropped in silence."""
    tally = comparison.tally
    found = [
        f"unmatched: {_times(count, 'sample')} in {side} alone"
        for side, count in ((comparison.old, tally.old_only), (comparison.new, tally.new_only))
        if count
    ]
    if tally.unscored:
        found.append(f"not counted: {_times(tally.unscored, 'pair')} without `correct` or `score` on one side")
    return found


def _times(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def number(value: float | None) -> str:
    """Four digits, or n/a."""
    return NOTHING if value is None else f"{value:.4f}"


def p_value(value: float | None) -> str:
    """A p-value, with an exponent where it is small."""
    return NOTHING if value is None else (f"{value:.4f}" if value >= 0.001 else f"{value:.1e}")


def interval(found: Interval | None) -> str:
    """Both ends, or n/a."""
    return NOTHING if found is None else f"{found.low:.4f} to {found.high:.4f}"


def short(text: str) -> str:
    """One printable line."""
    line = plain(text)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."
