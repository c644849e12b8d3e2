"""A policy for updates: what each task may lose, and how sure that has to be."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

from pydantic import Field

from clbench.core.config import Config, validate
from clbench.core.errors import ConfigError, did_you_mean
from clbench.core.yaml_text import parse_yaml
from clbench.reports.flips.comparison import Comparison, TaskResult
from clbench.reports.flips.contingency import ContingencyTable
from clbench.reports.flips.gate import decide_counts
from clbench.reports.flips.statistics import upper_bound
from clbench.reports.flips.verdict import Verdict
from clbench.reports.leaderboard.text import plain

Role = Literal["critical", "supporting", "advisory"]
POOLED = "(pooled)"
"""Task of the check over all critical and supporting tasks together."""


class Rule(Config):
    """What one task may lose.

    A critical task has to be shown to keep its limits (with 95 % confidence), on all samples of the old model. A
    supporting task fails if it is shown to break a limit. An advisory task is judged as a critical one, but does not
    fail the policy.

    Args:
        role: How sure it has to be.
        max_nfr: Largest allowed NFR, a share in [0, 1]; None for no limit. Graded scores have no NFR.
        margin: Largest allowed loss of accuracy, or of the mean graded score in its unit, above 0; None: the loss must
            not be significant (p at most 0.05 after Holm's correction).
    """

    role: Role
    max_nfr: float | None = Field(None, ge=0, le=1)
    margin: float | None = Field(None, gt=0)


class Pooled(Config):
    """What critical and supporting tasks may lose together.

    Args:
        max_nfr: Largest allowed NFR over all their samples, a share in [0, 1].
    """

    max_nfr: float = Field(ge=0, le=1)


class Policy(Config):
    """A policy.

    Args:
        tasks: The rule of each task, by its name.
        pooled: The limit for tasks together; None without one.
    """

    tasks: dict[str, Rule] = Field(min_length=1)
    pooled: Pooled | None = None


@final
@dataclass(frozen=True)
class Check:
    """One statement of a policy about a comparison.

    Args:
        task: The task, or `(pooled)`.
        role: Role of the task; `critical` for the check over tasks.
        what: What is checked: `samples`, `nfr` or `change`.
        passed: Whether it is kept.
        reason: Why, in one line.
    """

    task: str
    role: Role
    what: str
    passed: bool
    reason: str


@final
@dataclass(frozen=True)
class PolicyResult:
    """A policy applied to a comparison.

    Args:
        checks: All checks, in the order of the policy.
        unnamed: Tasks of the comparison that the policy does not name; they are not judged.
    """

    checks: Sequence[Check]
    unnamed: Sequence[str]

    @property
    def passed(self) -> bool:
        """Whether all checks of critical and supporting tasks are kept."""
        return all(check.passed for check in self.checks if check.role != "advisory")


def read_policy(path: Path) -> Policy:
    """Read a policy file (YAML).

    Raises:
        ConfigError: If it is missing, not YAML, or not a policy.
    """
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"policy {path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    except ConfigError as error:
        raise ConfigError(f"policy {path}: not YAML: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"policy {path}: wanted settings such as `tasks: ...`, got {type(values).__name__}")
    return validate(Policy, values, f"policy {path}")


def apply_policy(policy: Policy, comparison: Comparison) -> PolicyResult:
    """Judge a comparison.

    Raises:
        ConfigError: For a task of the policy that neither model has, or a margin of accuracy that is no share.
    """
    for task, rule in policy.tasks.items():
        if task not in comparison.tasks:
            hint = did_you_mean(task, map(plain, comparison.tasks))
            raise ConfigError(f"policy: no task {task!r} in {comparison.old} or {comparison.new}: {hint}")
        if rule.margin is not None and rule.margin >= 1 and comparison.tasks[task].verdict is not None:
            raise ConfigError(f"policy: tasks.{task}.margin must be a share below 1, got {rule.margin:g}")
    checks = [check for task, rule in policy.tasks.items() for check in _checks(task, rule, comparison)]
    if policy.pooled is not None:
        judged = [comparison.tasks[task] for task, rule in policy.tasks.items() if rule.role != "advisory"]
        checks.append(_pooled(judged, policy.pooled.max_nfr, comparison.new))
    return PolicyResult(checks, [task for task in comparison.tasks if task not in policy.tasks])


def _checks(task: str, rule: Rule, comparison: Comparison) -> Iterator[Check]:
    result = comparison.tasks[task]
    verdict = result.verdict or comparison.graded_verdicts.get(task)
    yield Check(task, rule.role, "samples", *_samples(rule.role, verdict is not None, result, comparison))
    if verdict is None:
        return
    yield Check(task, rule.role, "change", *_change(rule, verdict))
    if rule.max_nfr is not None:
        yield Check(task, rule.role, "nfr", *_nfr(rule.role, rule.max_nfr, result, comparison.new))


def _samples(role: Role, scored: bool, result: TaskResult, comparison: Comparison) -> tuple[bool, str]:
    missing = f"{result.counts.old_only} samples of {comparison.old} are missing in {comparison.new}"
    if not scored:
        return False, f"no sample has a score of both models; {missing}"
    return role == "supporting" or result.counts.old_only == 0, missing


def _change(rule: Rule, verdict: Verdict) -> tuple[bool, str]:
    found = f"changed by {verdict.change:+.4f} ({verdict.interval.low:+.4f} to {verdict.interval.high:+.4f}, 90 %)"
    if rule.margin is None:
        return verdict.outcome != "worse", f"{found}, p {verdict.p:.4f}"
    if rule.role == "supporting":
        return verdict.interval.high >= -rule.margin, f"{found}, a loss above {rule.margin:g} must not be sure"
    return verdict.interval.low >= -rule.margin, f"{found}, a loss above {rule.margin:g} must be ruled out"


def _nfr(role: Role, max_nfr: float, result: TaskResult, new: str) -> tuple[bool, str]:
    if role != "supporting":
        gate = decide_counts(result.counts.table, result.counts.old_right_new_unknown, max_nfr, new)
        return gate.passed, gate.reason
    table = result.counts.table
    if not table.n:
        return False, "graded scores have no NFR"
    least = _lower_bound(table)
    return least <= max_nfr, f"NFR is at least {least:.4f} (95 %), allowed {max_nfr:g}"


def _lower_bound(table: ContingencyTable) -> float:
    """One-sided lower 95 % bound of NFR: 1 - the upper bound of the share of pairs that are no negative flip."""
    other = upper_bound(table.n - table.negative_flips, table.n)
    return 0.0 if other is None else 1.0 - other


def _pooled(judged: Sequence[TaskResult], max_nfr: float, new: str) -> Check:
    table = ContingencyTable.total(result.counts.table for result in judged)
    unknown = sum(result.counts.old_right_new_unknown for result in judged)
    gate = decide_counts(table, unknown, max_nfr, new)
    return Check(POOLED, "critical", "nfr", gate.passed, gate.reason)
