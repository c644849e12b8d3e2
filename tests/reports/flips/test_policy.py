"""Policies: what passes and fails, what is refused, and what JUnit XML and Markdown show."""

import json
import re
from functools import partial
from pathlib import Path
from typing import Any, get_args
from xml.etree import ElementTree as ET

import pytest
from markdown_it import MarkdownIt
from scipy import stats
from tests.command import Command
from tests.reports.flips.ledgers import graded, rows, table, write
from typer.main import get_command

from clbench.cli.main import app
from clbench.core.config import validate
from clbench.core.errors import ConfigError
from clbench.core.yaml_text import parse_yaml
from clbench.reports.flips.ci_outputs import to_junit, to_markdown
from clbench.reports.flips.comparison import Comparison, compare
from clbench.reports.flips.policy import POOLED, Policy, PolicyResult, Role, apply_policy
from clbench.reports.flips.predictions import Predictions


@pytest.fixture
def run(clbench: Command) -> Command:
    """The command in this process."""
    return partial(clbench, "compare")


def answers(n: int, wrong: int) -> str:
    """Answers to n questions whose answer is `a`, the first ones wrong."""
    return "b" * wrong + "a" * (n - wrong)


def ledger(**wrong: int) -> list[dict[str, Any]]:
    """100 answers for each task, of which so many are wrong."""
    return [row for task, number in wrong.items() for row in rows(answers(100, number), "a" * 100, task=task)]


def compared(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> Comparison:
    return compare(Predictions("old", table(old)), Predictions("new", table(new)))


def judged(comparison: Comparison, **values: Any) -> PolicyResult:
    return apply_policy(validate(Policy, values, "policy"), comparison)


def results(found: PolicyResult) -> dict[str, bool]:
    return {f"{check.task} {check.what}": check.passed for check in found.checks}


def test_critical_tasks_have_to_be_shown_to_keep_their_limits_and_supporting_ones_to_break_them() -> None:
    found = compared(ledger(t=0), ledger(t=3))  # NFR 3 %, between 0.8 % and 7.6 %
    upper = stats.binomtest(3, 100, alternative="less").proportion_ci(0.95, "exact").high
    lower = stats.binomtest(3, 100, alternative="greater").proportion_ci(0.95, "exact").low

    def passed(role: str, budget: float) -> bool:
        return judged(found, tasks={"t": {"role": role, "max_nfr": budget}}).passed

    assert [passed("critical", upper + step) for step in (-1e-6, 1e-6)] == [False, True]
    assert [passed("supporting", lower + step) for step in (-1e-6, 1e-6)] == [False, True]
    assert passed("advisory", 0.0)
    assert not results(judged(found, tasks={"t": {"role": "advisory", "max_nfr": 0.0}}))["t nfr"]


def test_margins_follow_the_ends_of_the_interval() -> None:
    found = compared(ledger(t=0), ledger(t=3))
    verdict = found.tasks["t"].verdict
    assert verdict is not None
    assert verdict.outcome == "inconclusive"  # so without a margin it passes
    assert judged(found, tasks={"t": {"role": "critical"}}).passed
    for role, end in (("critical", verdict.interval.low), ("supporting", verdict.interval.high)):
        margins = (abs(end) - 1e-6, abs(end) + 1e-6)
        passed = [judged(found, tasks={"t": {"role": role, "margin": margin}}).passed for margin in margins]
        assert passed == ([False, True] if end < 0 else [True, True])
    worse = compared(ledger(t=0), ledger(t=8))
    assert not judged(worse, tasks={"t": {"role": "supporting"}}).passed  # p = 2 / 256


def test_pooled_budgets_count_critical_and_supporting_tasks() -> None:
    found = compared(ledger(a=0, b=0, c=0), ledger(a=1, b=1, c=90))
    upper = stats.binomtest(2, 200, alternative="less").proportion_ci(0.95, "exact").high
    tasks = {"a": {"role": "critical"}, "b": {"role": "supporting"}, "c": {"role": "advisory"}}
    for step, passed in ((-1e-6, False), (1e-6, True)):
        result = judged(found, tasks=tasks, pooled={"max_nfr": upper + step})
        assert results(result)[f"{POOLED} nfr"] == result.passed == passed
    assert judged(found, tasks={"a": {"role": "critical"}}).unnamed == ["b", "c"]


def test_missing_tasks_and_samples_fail() -> None:
    found = compared(ledger(a=0, b=0, c=0), [*ledger(a=0), *ledger(b=0)[50:]])
    for role in ("critical", "supporting"):
        assert not judged(found, tasks={"c": {"role": role}}).passed
    assert not judged(found, tasks={"b": {"role": "critical"}}).passed
    assert judged(found, tasks={"b": {"role": "supporting"}}).passed
    assert not results(judged(found, tasks={"c": {"role": "advisory"}}))["c samples"]


def test_graded_tasks_are_judged_by_their_mean_change() -> None:
    found = compared(graded([0.5] * 12), graded([0.45] * 12))
    assert not judged(found, tasks={"texts": {"role": "critical"}}).passed  # p = 2 / 4096
    assert judged(found, tasks={"texts": {"role": "critical", "margin": 0.06}}).passed
    assert not judged(found, tasks={"texts": {"role": "critical", "margin": 0.04}}).passed
    assert not judged(found, tasks={"texts": {"role": "supporting", "margin": 1.5, "max_nfr": 1.0}}).passed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tasks: {tt: {role: critical}}", "policy: no task 'tt' in "),
        ("tasks: {t: {role: critical, margin: 2}}", "policy: tasks.t.margin must be a share below 1, got 2"),
        ("tasks: {t: {role: vital}}", "tasks.t.role must be 'critical', 'supporting' or 'advisory', got 'vital'"),
        ("tasks: {t: {role: critical, max_nfr: 2}}", "tasks.t.max_nfr must be less than or equal to 1, got 2"),
        ("tasks: {t: {role: critical, budget: 2}}", "unknown setting 'tasks.t.budget'"),
        ("tasks: {}", "tasks must be"),
        ("pooled: {max_nfr: 0.1}", "tasks is missing"),
        ("[1, 2]", "wanted settings such as `tasks: ...`, got list"),
        ("tasks: {t: {role: critical}, t: {role: advisory}}", "key 't' is there twice"),
        ("tasks: [", "not YAML"),
        (None, "policy.yaml: cannot be read: No such file or directory"),
    ],
)
def test_bad_policies_are_one_line_and_status_2(
    run: Command, tmp_path: Path, text: str | None, message: str
) -> None:  # fmt: skip
    path = write(tmp_path / "ledger.parquet", ledger(t=3))
    if text is not None:
        (tmp_path / "policy.yaml").write_text(text)
    done = run(path, path, "--policy", tmp_path / "policy.yaml")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert message in done.stderr


def test_the_command_ends_with_1_and_writes_what_ci_reads(run: Command, tmp_path: Path) -> None:
    old = write(tmp_path / "old.parquet", ledger(keep=0, try_=0))
    new = write(tmp_path / "new.parquet", ledger(keep=0, try_=20))
    policy = tmp_path / "policy.yaml"
    policy.write_text("tasks: {keep: {role: critical, max_nfr: 0.05}, try_: {role: advisory}}")
    outputs = ("--junit", tmp_path / "junit.xml", "--markdown", tmp_path / "summary.md", "--html", tmp_path / "p.html")
    done = run(old, new, "--policy", policy, *outputs)
    assert done.returncode == 0
    assert "policy: passed: 1 of 5 checks failed" in done.stdout
    suite = ET.parse(tmp_path / "junit.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("5", "0", "1")
    assert [case.get("name") for case in suite.iter("testcase") if case.find("skipped") is not None] == ["try_: change"]
    assert (tmp_path / "summary.md").read_text().startswith("### clbench compare: passed\n")
    assert "Policy</strong> passed: 1 of 5" in (tmp_path / "p.html").read_text()
    policy.write_text("tasks: {keep: {role: critical, max_nfr: 0.01}, try_: {role: supporting}}")
    failed = run(old, new, "--policy", policy, *outputs, "--json", "--max-nfr", "0.5")
    assert failed.returncode == 1
    found = json.loads(failed.stdout)
    assert found["gate"]["passed"]
    assert not found["policy"]["passed"]
    assert [(check["task"], check["what"]) for check in found["policy"]["checks"] if not check["passed"]] == [
        ("keep", "nfr"),
        ("try_", "change"),
    ]
    suite = ET.parse(tmp_path / "junit.xml").getroot()[0]
    assert [suite.get(name) for name in ("tests", "failures", "skipped")] == ["6", "2", "0"]
    assert (tmp_path / "summary.md").read_text().startswith("### clbench compare: failed\n")


def test_junit_needs_something_to_check(run: Command, tmp_path: Path) -> None:
    path = write(tmp_path / "ledger.parquet", ledger(t=3))
    done = run(path, path, "--junit", tmp_path / "junit.xml")
    assert (done.returncode, "--junit writes the checks of --policy or --max-nfr" in done.stderr) == (2, True)
    several = run(path, path, path, "--markdown", tmp_path / "summary.md")
    assert (several.returncode, "are for a single new model" in several.stderr) == (2, True)


EVIL = (
    "</testcase><script>alert(1)</script> \"'&| [x](http://y) @user #12 www.z.com `c` <!-- "
    "\x00\x1b\ufffe\u202e\n# h1\n| a | b |"
)


def test_names_of_a_run_cannot_act_as_markup() -> None:
    old, new = rows("aaa", "aaa", task=EVIL), rows("bba", "aaa", task=EVIL)
    found = compare(Predictions(EVIL, table(old)), Predictions(f"new {EVIL}", table(new)))
    result = judged(found, tasks={EVIL: {"role": "critical", "max_nfr": 0.1}}, pooled={"max_nfr": 0.1})
    assert not result.passed
    root = ET.fromstring(to_junit(found, None, result))
    assert {element.tag for element in root.iter()} == {
        *("testsuites", "testsuite", "properties", "property", "testcase", "failure")
    }
    assert len(root[0].findall("testcase")) == 4
    assert "<script>alert(1)</script>" in (root[0].findall("testcase")[0].get("name") or "")
    text = to_markdown(found, None, result)
    assert not re.search(r"[\x00\x1b\ufffe\u202e]|@\w|#\d|://|www\.", text)
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    assert [token.tag for token in tokens if token.type == "heading_open"] == ["h3"]
    assert not {token.type for token in tokens} & {"html_block", "fence", "code_block", "hr", "blockquote_open"}
    inline = [child for token in tokens for child in token.children or ()]
    assert {child.type for child in inline} <= {"text", "html_inline", "text_special"}
    assert {child.content for child in inline if child.type == "html_inline"} == {"<!-- -->"}
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in tables} == {6, 13}
    assert not [line for line in text.splitlines() if line.startswith("# ")]


def test_several_models_are_corrected_for_and_judged(run: Command, tmp_path: Path) -> None:
    old, good, bad = (
        write(tmp_path / f"{name}.parquet", ledger(t=wrong)) for name, wrong in (("old", 6), ("good", 0), ("bad", 30))
    )
    text = run(old, good, bad).stdout
    assert [line.split()[0] for line in text.splitlines() if line.strip().startswith(str(tmp_path))] == [
        str(good),
        str(bad),
    ]
    done = run(old, good, bad, "--json", "--max-nfr", "0.1")
    assert done.returncode == 1
    models = json.loads(done.stdout)["models"]
    assert [each["gate"]["passed"] for each in models] == [True, False]
    first = models[0]
    assert first["mcnemar_p"] == pytest.approx(2 / 64)
    assert [each["verdict_among_models"]["p"] for each in models] == pytest.approx([2 / 64, 2 * 2 * 0.5**24])
    assert first["verdict_among_models"]["outcome"] == "better"
    twice = run(old, good, good)
    assert (twice.returncode, "a new model is named twice" in twice.stderr) == (2, True)


def test_a_policy_needs_tasks() -> None:
    with pytest.raises(ConfigError, match="policy: tasks is missing"):
        validate(Policy, {}, "policy")


DOCS = Path(__file__).parents[3] / "docs" / "flips.md"


def test_the_examples_in_the_documentation_are_valid() -> None:
    blocks = [parse_yaml(text) for text in re.findall(r"(?ms)^```yaml\n(.*?)^```", DOCS.read_text("utf-8"))]
    (policy,) = [block for block in blocks if "tasks" in block]
    assert {rule.role for rule in validate(Policy, policy, "docs").tasks.values()} == set(get_args(Role))
    (workflow,) = [block for block in blocks if "jobs" in block]
    (command,) = [s["run"] for s in workflow["jobs"]["compare"]["steps"] if "clbench compare" in s.get("run", "")]
    group: Any = get_command(app)
    known = {name for parameter in group.commands["compare"].params for name in parameter.opts}
    assert known >= set(re.findall(r"--[\w-]+", command))
