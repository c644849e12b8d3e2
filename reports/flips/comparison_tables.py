"""A comparison as rows of tables and lines of text, for the terminal."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from clbench.reports.flips.comparison import Comparison
from clbench.reports.flips.comparison_json import confidence_weighted
from clbench.reports.flips.flip_counts import Flip
from clbench.reports.flips.flip_metrics import all_metrics
from clbench.reports.flips.verdict import Verdict
from clbench.reports.leaderboard.text import plain
from clbench.reports.statistics.intervals import Interval

if TYPE_CHECKING:
    from clbench.reports.flips.policy import PolicyResult  # it imports pydantic, which only a policy needs

UNDEFINED = "n/a"
EMPTY = "(empty)"
LONGEST = 100
"""Characters of a name, an answer or a text in one line."""
TableRows = list[tuple[str, ...]]


def contingency_rows(comparison: Comparison) -> TableRows:
    """The 2 x 2 contingency table, with the number of changes from one wrong answer to another."""
    t = comparison.table
    return [
        ("old right", str(t.both_right), str(t.negative_flips), str(t.old_right), ""),
        ("old wrong", str(t.positive_flips), str(t.both_wrong), str(t.old_wrong), str(t.both_wrong_different)),
        ("all", str(t.new_right), str(t.new_wrong), str(t.n), ""),
    ]


COUNT_COLUMNS = ("", "new right", "new wrong", "all", "wrong to another wrong")
METRIC_COLUMNS = ("metric", "value", "95 % interval")
GRADED_COLUMNS = ("dead-band", "losses", "mean loss", "gains", "mean gain", "mean change", "95 % interval")
GRADED_TASK_COLUMNS = (
    "task",
    "dead-band",
    "n",
    *GRADED_COLUMNS[1:-1],
    "p (permutation, Holm)",
    "verdict",
    "old only",
    "new only",
)
TASK_COLUMNS = (
    *("task", "n", "NFR", "95 % interval", "PFR", "accuracy change", "p (McNemar, Holm)"),
    *("verdict", "detectable change", "more samples", "old only", "new only"),
)


def metric_rows(comparison: Comparison) -> TableRows:
    """A row for each metric with its interval, then the bound of NFR and McNemar's test."""
    rows = [
        (name, number(value), interval(comparison.intervals[name]))
        for name, value in all_metrics(comparison.table).items()
    ]
    counts = comparison.counts
    return [
        *rows,
        ("nfr_upper (95 %, one-sided)", number(comparison.nfr_upper), ""),
        ("nfr_confidence_weighted", number(confidence_weighted(counts.nfr_confidence_sum, counts.table)), ""),
        ("pfr_confidence_weighted", number(confidence_weighted(counts.pfr_confidence_sum, counts.table)), ""),
        ("mcnemar_p (exact)", p_value(comparison.mcnemar_p), ""),
    ]


def task_rows(comparison: Comparison) -> TableRows:
    """A row for each task."""
    rows: TableRows = []
    for task, result in comparison.tasks.items():
        found = all_metrics(result.counts.table)
        shown = (number(found["nfr"]), interval(result.intervals["nfr"]), number(found["pfr"]))
        change = (number(found["accuracy_change"]), p_value(result.holm_p if result.counts.table.n else None))
        unpaired = (str(result.counts.old_only), str(result.counts.new_only))
        rows.append((plain(task), str(result.counts.table.n), *shown, *change, *_decided(result.verdict), *unpaired))
    return rows


def verdict_line(found: Verdict) -> str:
    """A verdict with its reasons, in one line."""
    change = f"accuracy changed by {found.change:+.4f}, 90 % interval {interval(found.interval)}"
    limits = f"p {p_value(found.p)}" + ("" if found.margin is None else f", margin {found.margin:g}")
    seen = "no change" if found.detectable is None else f"changes from {found.detectable:.4f} on"
    more = "" if found.more is None else f"; {_times(found.more, 'more sample')} would decide at this change"
    return f"{found.outcome}: {change}, {limits}; these samples show {seen} with a power of 80 %{more}"


def _decided(found: Verdict | None) -> tuple[str, str, str]:
    if found is None:
        return UNDEFINED, UNDEFINED, ""
    return found.outcome, number(found.detectable), "" if found.more is None else str(found.more)


CHECK_COLUMNS = ("task", "role", "check", "result", "reason")


def check_rows(policy: "PolicyResult") -> TableRows:
    """A row for each check of a policy."""
    return [
        (plain(check.task), check.role, check.what, "passed" if check.passed else "failed", plain(check.reason))
        for check in policy.checks
    ]


def policy_line(policy: "PolicyResult") -> str:
    """Whether a policy is kept, and which tasks it does not name, in one line."""
    failed = sum(not check.passed for check in policy.checks)
    unnamed = f"; not judged: {', '.join(map(short, policy.unnamed))}" if policy.unnamed else ""
    return (
        f"{'passed' if policy.passed else 'failed'}: {failed} of {_times(len(policy.checks), 'check')} failed{unnamed}"
    )


def graded_rows(comparison: Comparison) -> TableRows:
    """Gains and losses of graded scores, a row for each dead-band."""
    rows: TableRows = []
    for result in comparison.graded:
        f = result.flips
        sizes = (f"{f.losses} ({number(f.loss_rate)})", number(f.mean_loss))
        gains = (f"{f.gains} ({number(f.gain_rate)})", number(f.mean_gain))
        change = (number(f.mean_change), interval(result.intervals["mean_change"]))
        rows.append((f"{f.dead_band:g}", *sizes, *gains, *change))
    return rows


def graded_task_rows(comparison: Comparison) -> TableRows:
    """Gains and losses of graded scores and unpaired samples, a row for each task and dead-band."""
    rows: TableRows = []
    for task, found in comparison.graded_by_task.items():
        counts, verdict = comparison.tasks[task].counts, comparison.graded_verdicts[task]
        for f in found:
            losses = (f"{f.losses} ({number(f.loss_rate)})", number(f.mean_loss))
            gains = (f"{f.gains} ({number(f.gain_rate)})", number(f.mean_gain), number(f.mean_change))
            decided = (p_value(verdict.p), verdict.outcome)
            unpaired = (str(counts.old_only), str(counts.new_only))
            rows.append((plain(task), f"{f.dead_band:g}", str(f.n), *losses, *gains, *decided, *unpaired))
    return rows


def worst_lines(comparison: Comparison, most: int) -> Iterator[str]:
    """The worst flips, at most `most`: a line for each, and one more for the text of the sample if known."""
    for flip in comparison.worst[:most]:
        old, new = answers(comparison, flip)
        target = "" if flip.target is None else f"target {short(flip.target)}, "
        yield f"  {short(flip.task)}, {short(flip.sample_id)}: {target}was {old}, is {new}"
        if flip.text:
            yield f"      {short(flip.text)}"


def answer(prediction: str | None, confidence: float | None, score: float | None) -> str:
    """A prediction with its score, or with its confidence if it has no score.

    Args:
        prediction: The answer; None if not known.
        confidence: Probability of the answer, in [0, 1]; None if not known.
        score: Graded score; None for right or wrong answers.
    """
    text = "" if prediction is None else f"{short(prediction) or EMPTY} "
    if score is not None:
        return f"{text}(score {score:.3g})"
    return text.strip() if confidence is None else f"{text}({confidence:.2f})"


def answers(comparison: Comparison, flip: Flip) -> tuple[str, str]:
    """The old and the new answer of a flip, with scores if the comparison lists losses of scores."""
    graded = comparison.table.n == 0
    scores = (flip.old_score, flip.new_score) if graded else (None, None)
    return (
        answer(flip.old_prediction, flip.old_confidence, scores[0]),
        answer(flip.new_prediction, flip.new_confidence, scores[1]),
    )


def notes(comparison: Comparison) -> list[str]:
    """Sentences on samples that do not count: unpaired and forgotten ones, and pairs without a common measure."""
    counts = comparison.counts
    found = [
        f"unmatched: {_times(count, 'sample')} in {name} only"
        for name, count in ((comparison.old, counts.old_only), (comparison.new, counts.new_only))
        if count
    ]
    if counts.unscored:
        found.append(f"not counted: {_times(counts.unscored, 'pair')} without `correct` or `score` for both models")
    if comparison.forgotten:
        found.append(f"left out: {_times(comparison.forgotten, 'sample')} of what a model was asked to forget")
    return found


def _times(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def number(value: float | None) -> str:
    """A number with four decimals; `n/a` for None."""
    return UNDEFINED if value is None else f"{value:.4f}"


def p_value(value: float | None) -> str:
    """A p-value with four decimals, with an exponent below 0.001; `n/a` for None."""
    return UNDEFINED if value is None else (f"{value:.4f}" if value >= 0.001 else f"{value:.1e}")


def interval(found: Interval | None) -> str:
    """Both ends of an interval; `n/a` for None."""
    return UNDEFINED if found is None else f"{found.low:.4f} to {found.high:.4f}"


def short(text: str) -> str:
    """A text as one printable line of at most `LONGEST` characters."""
    line = plain(text)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."
