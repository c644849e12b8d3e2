"""Sample logs that lm-evaluation-harness wrote itself."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clbench.core.errors import DataError
from clbench.reports.flips.comparison import Comparison, compare
from clbench.reports.flips.flip_metrics import all_metrics
from clbench.reports.flips.lm_eval import convert_sample_log

LOGS = Path(__file__).parents[1] / "data" / "lm_eval"


def log(model: str, task: str) -> Path:
    (found,) = (LOGS / model).glob(f"samples_{task}_*.jsonl")
    return found


def compared(folder: Path, task: str, metric: str | None = None, chosen: str | None = None) -> Comparison:
    models = [convert_sample_log(log(m, task), folder / f"{m}.jsonl", metric, chosen) for m in ("old", "new")]
    return compare(*models)


@pytest.mark.parametrize(
    ("task", "metric", "chosen", "old", "new"),
    [  # the accuracies that the harness itself reported
        ("pick", None, None, 12, 13),
        ("pick", "acc_norm", None, 11, 10),
        ("sums", None, "strict-match", 5, 3),
        ("sums", None, "flexible-extract", 5, 4),
    ],
)
def test_the_accuracies_are_those_of_the_harness(
    tmp_path: Path, task: str, metric: str | None, chosen: str | None, old: int, new: int
) -> None:
    found = compared(tmp_path, task, metric, chosen)
    assert (found.table.n, found.table.old_right, found.table.new_right) == (24, old, new)
    assert (found.counts.old_only, found.counts.new_only) == (0, 0)
    assert list(found.tasks) == [task]
    assert found.graded == []


@pytest.mark.parametrize("metric", ["acc", "acc_norm"])
def test_flips_are_those_of_a_loop_over_lines(tmp_path: Path, metric: str) -> None:
    found = compared(tmp_path, "pick", metric)
    old, new = ({r["doc_id"]: r for r in map(json.loads, log(s, "pick").open())} for s in ("old", "new"))
    lost = [i for i in old if old[i][metric] == 1 and new[i][metric] == 0]
    assert found.table.negative_flips == len(lost)
    assert {int(flip.sample_id.split()[0]) for flip in found.worst} == set(lost)
    for flip in found.worst:
        row = new[int(flip.sample_id.split()[0])]
        assert flip.text == row["arguments"]["gen_args_0"]["arg_0"]
        assert flip.target == f"{row['target']}: {row['doc']['choices'][int(row['target'])]}"
        assert flip.old_prediction == flip.target != flip.new_prediction
        assert 0 < (flip.new_confidence or 0) <= 1


def test_two_filters_are_never_pooled(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"holds 2 filters \(strict-match, flexible-extract\): choose one with --filter"
    ):
        compared(tmp_path, "sums")
    with pytest.raises(DataError, match="no filter 'strict': did you mean 'strict-match'"):
        compared(tmp_path, "sums", chosen="strict")


def edited(folder: Path, change: Callable[[dict[str, Any]], None], model: str = "new") -> Path:
    """The log with every row changed."""
    path = folder / log(model, "pick").name
    made = [json.loads(line) for line in log(model, "pick").open()]
    for row in made:
        change(row)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in made), encoding="utf-8")
    return path


def test_an_older_log_without_hashes_and_with_lists_is_read_the_same(tmp_path: Path) -> None:
    def older(row: dict[str, Any]) -> None:
        row["arguments"] = [list(arguments.values()) for arguments in row["arguments"].values()]
        for name in ("doc_hash", "prompt_hash", "target_hash", "metrics"):
            del row[name]

    models = []
    for model in ("old", "new"):
        (tmp_path / model).mkdir()
        path = edited(tmp_path / model, older, model)
        models.append(convert_sample_log(path, tmp_path / f"{model}.jsonl", None, None))
    (tmp_path / "again").mkdir()
    assert all_metrics(compare(*models).table) == all_metrics(compared(tmp_path / "again", "pick").table)


def test_another_document_under_the_same_number_does_not_match(tmp_path: Path) -> None:
    def other(row: dict[str, Any]) -> None:
        row["doc_hash"] = f"other{row['doc_hash']}" if row["doc_id"] < 4 else row["doc_hash"]

    old = convert_sample_log(log("old", "pick"), tmp_path / "old.jsonl", None, None)
    found = compare(old, convert_sample_log(edited(tmp_path, other), tmp_path / "new.jsonl", None, None))
    assert (found.table.n, found.counts.old_only, found.counts.new_only) == (20, 4, 4)


def test_a_metric_between_0_and_1_is_graded(tmp_path: Path) -> None:
    def rouge(row: dict[str, Any]) -> None:
        row["rouge"] = 0.1 * (row["doc_id"] % 3)
        row["metrics"] = ["rouge"]

    (tmp_path / "old").mkdir()
    zero = edited(tmp_path / "old", lambda row: row.update(rouge=0.0, metrics=["rouge"]), "old")
    old = convert_sample_log(zero, tmp_path / "o.jsonl", None, None)
    new = convert_sample_log(edited(tmp_path, rouge), tmp_path / "n.jsonl", None, None)
    assert (old.graded, new.graded) == (False, True)
    found = compare(old, new)
    assert (found.table.n, found.graded[0].flips.gains, found.graded[0].flips.losses) == (0, 16, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: row.pop("target"), "line 1: not a row of a sample log: target is missing"),
        (lambda row: row.update(acc="x", acc_norm=[]), "line 1: no metric that is a number"),
        (lambda row: row.update(acc=float("nan")), "line 1: wanted a finite number as acc"),
        (lambda row: row.update(acc=1 - row["acc"]), "line 1: acc says wrong, but the likeliest choice is the target"),
    ],
)
def test_rows_that_do_not_fit_say_why(tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str) -> None:
    with pytest.raises(DataError) as caught:
        convert_sample_log(edited(tmp_path, change, "old"), tmp_path / "new.jsonl", None, None)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the sample log has no rows"),
        (b"{'a': 1}\n", "line 1: damaged or not JSON"),
        (b"[1]\n", "line 1: wanted a JSON object, got int"),
        (b"1\n[1]\n", "line 1: wanted a JSON object, got int"),
        (b"[{}\n", r"line 2: damaged or not JSON: Expecting ',' delimiter at column 1"),
        (
            b'{\n "results": {}\n}',
            "line 1: wanted a sample log, one JSON object on each line, got a part of one",
        ),
        (b"\n\xff\xfe\n", "line 2: wanted UTF-8 text, got byte 0xff"),
        (b"\xef\xbb\xbf[\n\n\xff", "line 3: wanted UTF-8 text, got byte 0xff"),
    ],
)
def test_files_that_are_no_logs_say_why(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "samples_x.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        convert_sample_log(path, tmp_path / "out.jsonl", None, None)
    with pytest.raises(DataError, match="no such sample log"):
        convert_sample_log(tmp_path / "absent.jsonl", tmp_path / "out.jsonl", None, None)


def test_a_metric_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no number as metric 'acc_nrm': did you mean 'acc_norm'\?"):
        compared(tmp_path, "pick", "acc_nrm")
