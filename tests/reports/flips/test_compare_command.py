"""`clbench compare`: what it prints, how it ends, what it imports."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from tests.command import Command
from tests.reports.conftest import Store
from tests.reports.flips.cells import made_cell
from tests.reports.flips.ledgers import graded, random_rows, rows, write

LOGS = Path(__file__).parents[1] / "data" / "lm_eval"
KEYS = {"n", "nfr", "pfr", "nfr_mc", "nfi", "pfi", "relative_nfr", "btc", "bec", "mcnemar_p", "counts", "intervals"}
COUNTS = ["both_right", "negative_flips", "positive_flips", "both_wrong_same", "both_wrong_different"]


@pytest.fixture
def compare(clbench: Command) -> Command:
    """The command in this process."""
    return partial(clbench, "compare")


@pytest.fixture
def ledgers(tmp_path: Path) -> tuple[Path, Path]:
    """An old one with two versions, and a new one."""
    old = [row for version in (0, 1) for row in random_rows(version, version=version)]
    return write(tmp_path / "old.parquet", old), write(tmp_path / "new.parquet", random_rows(2))


def test_json_has_every_key(compare: Command, ledgers: tuple[Path, Path]) -> None:
    done = compare(*ledgers, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout, parse_constant=pytest.fail)
    assert found.keys() >= KEYS
    assert list(found["counts"]) == COUNTS
    assert found["n"] == sum(found["counts"].values()) == 600
    assert found["nfr"] == found["counts"]["negative_flips"] / 600
    assert found["intervals"]["nfr"][0] < found["nfr"] < found["intervals"]["nfr"][1] <= 1
    assert found["unmatched"] == {"old": 0, "new": 0, "unscored": 0}
    assert list(found["tasks"]) == ["task 0", "task 1", "task 2"]


def test_json_is_strict_where_confidences_are_not_finite(compare: Command, tmp_path: Path) -> None:
    old = write(tmp_path / "old.parquet", rows("aba", "abb", confidence=math.nan))
    new = write(tmp_path / "new.parquet", rows("bba", "abb", confidence=math.inf))
    found = json.loads(compare(old, new, "--json").stdout, parse_constant=pytest.fail)
    assert found["nfr_confidence_weighted"] is None
    assert found["undefined"]["nfr_confidence_weighted"] == "Infinity"
    (flip,) = found["worst"]
    assert (flip["old_confidence"], flip["new_confidence"]) == (None, None)
    assert flip["undefined"] == {"old_confidence": "NaN", "new_confidence": "Infinity"}


def test_a_metric_that_is_not_defined_says_why_in_json(compare: Command, tmp_path: Path) -> None:
    path = write(tmp_path / "all_right.parquet", rows("ab", "ab"))
    found = json.loads(compare(path, path, "--json").stdout)
    assert found["nfi"] is None
    assert found["undefined"]["nfi"] == "the denominator is 0"
    assert "nfr" not in found["undefined"]


def test_the_table_comes_first_then_the_metrics_then_flips(compare: Command, ledgers: tuple[Path, Path]) -> None:
    text = compare(*ledgers).stdout
    places = [text.index(part) for part in ("old: ", "old right", "relative_nfr", "by task", "the worst 10 of ")]
    assert places == sorted(places)
    assert "task-id" in text


def test_the_verdict_is_in_the_terminal_in_json_and_on_the_page(
    compare: Command, ledgers: tuple[Path, Path], tmp_path: Path
) -> None:
    text = compare(*ledgers, "--html", tmp_path / "page.html").stdout
    (line,) = [line for line in text.splitlines() if line.startswith("verdict: ")]
    assert line.removeprefix("verdict: ") in (tmp_path / "page.html").read_text("utf-8")
    found = json.loads(compare(*ledgers, "--margin", "0.2", "--json").stdout)
    assert found["verdict"]["outcome"] == "equivalent"
    assert found["verdict"]["change"] == found["accuracy_change"]
    assert -0.2 < found["verdict"]["interval"][0] < found["verdict"]["interval"][1] < 0.2
    assert found["method"]["unit"] == "sample"
    assert {found["tasks"][task]["verdict"]["margin"] for task in found["tasks"]} == {0.2}
    few = json.loads(compare(*ledgers, "--margin", "0.001", "--json").stdout)["verdict"]
    assert (few["outcome"], few["more"] > 0) == ("inconclusive", True)


def test_a_version_can_be_named(compare: Command, ledgers: tuple[Path, Path]) -> None:
    old, _ = ledgers
    found = json.loads(compare(f"{old}@0", f"{old}@1", "--json").stdout)
    assert (found["old"], found["n"]) == (f"{old}@0", 600)
    same = json.loads(compare(f"{old}@1", old, "--json").stdout)
    assert (same["nfr"], same["pfr"], same["inconsistency"]) == (0, 0, 0)


def test_the_gate_ends_with_1(compare: Command, ledgers: tuple[Path, Path], tmp_path: Path) -> None:
    failed = compare(*ledgers, "--max-nfr", "0.02")
    assert (failed.returncode, failed.stdout.splitlines()[-1].partition(": ")[0]) == (1, "gate")
    passed = compare(*ledgers, "--max-nfr", "0.5", "--json")
    assert (passed.returncode, json.loads(passed.stdout)["gate"]["passed"]) == (0, True)
    few = write(tmp_path / "few.parquet", random_rows(2)[:100])
    undecided = compare(ledgers[0], few, "--max-nfr", "0.5", "--json")
    assert (undecided.returncode, json.loads(undecided.stdout)["unmatched"]["old"]) == (1, 500)
    assert json.loads(undecided.stdout)["gate"]["reason"].startswith("cannot be decided")


def test_a_page_is_written(compare: Command, ledgers: tuple[Path, Path], tmp_path: Path) -> None:
    page = tmp_path / "deep" / "page.html"
    assert f"page: {page}" in compare(*ledgers, "--html", page).stdout
    assert page.read_text("utf-8").count('class="flip task-') > 50


def test_graded_scores_have_a_table_of_their_own(compare: Command, tmp_path: Path) -> None:
    old = write(tmp_path / "old.parquet", graded([0.5, 0.4, 0.3]))
    new = write(tmp_path / "new.parquet", graded([0.2, 0.41, 0.3]))
    done = compare(old, new, "--dead-band", "0.05")
    assert "relative_nfr" not in done.stdout
    rows = [line.split() for line in done.stdout.splitlines() if line.strip().startswith("texts ")]
    assert [row[1:6] for row in rows] == [
        ["0", "3", "1", "(0.3333)", "0.3000"],
        ["0.05", "3", "1", "(0.3333)", "0.3000"],
    ]
    assert "was (score 0.5), is (score 0.2)" in done.stdout
    turned = json.loads(compare(old, new, "--lower-is-better", "--json").stdout)
    assert turned["graded"]["all"][0]["gains"] == 1
    assert compare(old, new, "--max-nfr", "1").returncode == 1


def test_sample_logs_go_through(compare: Command) -> None:
    old, new = (next((LOGS / model).glob("samples_sums_*.jsonl")) for model in ("old", "new"))
    refused = compare(old, new)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "holds 2 filters (strict-match, flexible-extract): choose one with --filter" in refused.stderr
    found = json.loads(compare(old, new, "--filter", "flexible-extract", "--json").stdout)
    assert (found["n"], found["protocol"]) == (24, "flexible-extract")
    assert found["worst"][0]["text"].startswith("Q: What is")


def test_a_run_is_compared_by_its_id(
    compare: Command, store: Store, new_store: Callable[[], Store], tmp_path: Path
) -> None:
    other = new_store()  # in the same database, as others count the runs of `store`
    made = [row for version in (0, 1, 2) for row in random_rows(version, version=version)]
    ledger = write(tmp_path / "ledger.parquet", made)
    run = other.add("finetune")
    other.client.log_artifact(run, str(ledger))
    failed = other.add("finetune", 1, status="FAILED", error="the loss is nan")
    where = ("--tracking-uri", store.uri, "--json")
    found = json.loads(compare(f"{run}@1", run, *where).stdout)
    assert found["counts"] == json.loads(compare(f"{ledger}@1", f"{ledger}@2", "--json").stdout)["counts"]
    assert found["old"].endswith(f"({run[:8]})@1")
    cell = other.add("finetune", 2, stream="text-open")
    other.client.log_artifact(cell, str(made_cell(tmp_path / "cell", "text-open")))
    shown = compare(f"{cell}@0", f"{cell}@1", "--tracking-uri", store.uri)  # the run says what was tested
    assert (shown.stderr, shown.stdout.partition("the worst 10 of")[2].count("\n      ")) == ("", 10)
    for new, message in (
        (failed, "wanted a finished run, its status is FAILED: the loss is nan"),
        ("0" * 32, "tracking store"),
        (f"{run}@9", "no version 9: the ledger has 0, 1, 2"),
    ):
        done = compare(run, new, *where)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert message in done.stderr


@pytest.mark.parametrize(
    ("new", "flags", "message"),
    [
        ("absent.parquet", [], "absent.parquet: no such ledger"),
        ("absent.jsonl", [], "absent.jsonl: no such sample log"),
        ("absent.jsonl@3", [], "a sample log has no versions"),
        (
            "finetune",
            [],
            "wanted a ledger (.parquet), a log (.jsonl, .json), a CSV file (.csv) or the id of an MLflow run, got none",
        ),
        (".", [], "got a folder"),
        ("0" * 32, [], "tracking store sqlite:///"),
        ("old.parquet", ["--protocol", "tsk-id"], "no protocol 'tsk-id': did you mean 'task-id'?"),
        ("old.parquet", ["--max-nfr", "2"], "--max-nfr must be a share from 0 to 1, got 2"),
        ("old.parquet", ["--margin", "2"], "--margin must be a share above 0 and below 1, got 2"),
        ("old.parquet", ["--dead-band", "-1"], "the dead-band must be at least 0, got -1"),
        ("old.parquet@5", [], "no version 5: the ledger has 0, 1"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    compare: Command, ledgers: tuple[Path, Path], new: str, flags: list[str], message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(ledgers[0].parent)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    done = compare("old.parquet", new, *flags)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert message in done.stderr


def test_neither_torch_nor_pandas_nor_mlflow_is_imported(ledgers: tuple[Path, Path]) -> None:
    code = f"""
import sys
sys.argv = ["clbench", "compare", {str(ledgers[0])!r}, {str(ledgers[1])!r}, "--json"]
from clbench.cli.main import app
try:
    app()
except SystemExit:
    pass
print([name for name in ("torch", "mlflow", "pandas", "jinja2", "statsmodels") if name in sys.modules],
      file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert json.loads(done.stdout)["n"] == 600
