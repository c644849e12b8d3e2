"""CSV files, logs of inspect_ai and records of Every Eval Ever: what is read, and what is refused."""

import json
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tests.command import Command
from tests.reports.flips.ledgers import graded, random_rows, table, write

from clbench.reports.flips.comparison import Comparison, compare
from clbench.reports.flips.inputs import InputOptions, load_predictions
from clbench.reports.flips.predictions import Predictions
from clbench.reports.flips.records_writer import write_records

DATA = Path(__file__).parents[1] / "data"
INSPECT, RECORDS = DATA / "inspect_ai", DATA / "every_eval_ever"
FORMATS = [pytest.param(INSPECT, ".json", id="inspect_ai"), pytest.param(RECORDS, ".jsonl", id="every_eval_ever")]


@pytest.fixture
def run(clbench: Command) -> Command:
    """The command in this process."""
    return partial(clbench, "compare")


def read(tmp_path: Path, old: Path, new: Path, metric: str | None = None) -> Comparison:
    options = InputOptions(None, metric, "", "")
    return compare(*(load_predictions(str(path), options, tmp_path) for path in (old, new)))


def pair(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / "old" / name, folder / "new" / name


@pytest.mark.parametrize(("folder", "suffix"), FORMATS)
def test_right_and_wrong_answers_are_flips(tmp_path: Path, folder: Path, suffix: str) -> None:
    found = read(tmp_path, *pair(folder, f"sums{suffix}"))
    assert list(found.tasks) == ["sums"]
    assert (found.table.old_right / 6, found.table.new_right / 6) == pytest.approx((0.8333, 0.6667), abs=1e-4)
    flips = {flip.sample_id: (flip.target, flip.old_prediction, flip.new_prediction, flip.text) for flip in found.worst}
    assert flips == {"q1": ("2", "2", "3", "What is 1 + 1?"), "q5": ("10", "10", "11", "What is 5 + 5?")}
    assert (found.table.positive_flips, found.table.both_wrong) == (1, 0)


@pytest.mark.parametrize(("folder", "suffix"), FORMATS)
def test_epochs_of_a_sample_count_once_with_their_mean(tmp_path: Path, folder: Path, suffix: str) -> None:
    found = read(tmp_path, *pair(folder, f"sums_epochs{suffix}"))
    (flips,) = found.graded_by_task["sums_epochs"]
    assert (flips.n, flips.gains, flips.losses) == (6, 2, 2)
    assert flips.mean_change == pytest.approx(0)
    assert found.table.n == 0
    assert found.graded_verdicts["sums_epochs"].p == 1.0


@pytest.mark.parametrize(
    ("folder", "suffix", "metrics"),
    [(INSPECT, ".json", ("f1", "match")), (RECORDS, ".jsonl", ("f1:mean", "match:accuracy"))],
)
def test_a_metric_is_chosen(tmp_path: Path, folder: Path, suffix: str, metrics: tuple[str, str]) -> None:
    graded = read(tmp_path, *pair(folder, f"words{suffix}"), metrics[0])
    assert graded.graded_by_task["words"][0].mean_change == pytest.approx(-0.67 / 3)
    binary = read(tmp_path, *pair(folder, f"words{suffix}"), metrics[1])
    assert (binary.table.negative_flips, binary.table.n) == (1, 6)


def test_both_formats_of_a_run_and_a_csv_file_of_it_agree(run: Command, tmp_path: Path) -> None:
    old = tmp_path / "old.csv"
    rows = [f"q{i},sums,{2 * i},{7 if i == 3 else 2 * i}" for i in range(1, 7)]
    old.write_text("\n".join(["id,task,target,prediction", *rows]) + "\n")
    found = [
        json.loads(run(first, RECORDS / "new" / "sums.jsonl", "--json").stdout)["counts"]
        for first in (old, INSPECT / "old" / "sums.json", RECORDS / "old" / "sums.jsonl")
    ]
    assert found[0] == found[1] == found[2]
    assert found[0]["negative_flips"] == 2


def test_a_csv_file_has_any_order_of_columns_and_texts_of_any_kind(tmp_path: Path) -> None:
    old, new = tmp_path / "old.csv", tmp_path / "new.csv"
    old.write_text('note,prediction,id,target,task\n,"a, b",1,"a, b",t\nx,"two\nlines",2,other,t\n')
    new.write_text('\ufeffid,task,target,prediction\n1,t,"a, b",\n2,t, other ,other\n', encoding="utf-8")
    found = read(tmp_path, old, new)
    assert found.table.counts == (0, 1, 1, 0, 0)
    assert (found.worst[0].old_prediction, found.worst[0].new_prediction) == ("a, b", "")
    assert found.protocol == "exact match"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no rows: wanted the columns id, task, target, prediction"),
        ("id,task,target\n1,t,a\n", "no column 'prediction'"),
        ("id,task,target,prediction\n", "no answers"),
        ("id,task,target,prediction\n1,t,,a\n", "row 2: target is empty"),
        ("id,task,target,prediction\n1,t,a,a\n1,t,a,b\n", "row 3: sample '1' of task 't' is in row 2, too"),
        ("id,task,target,prediction\n1,t,a\n", "row 2: wanted 4 cells, got 3"),
        ("id;task;target;prediction\n1;t;a;a\n", "wanted commas"),
        (None, "no such file"),
    ],
)
def test_bad_csv_files_are_one_line(run: Command, tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "answers.csv"
    if text is not None:
        path.write_text(text)
    done = run(path, path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert message in done.stderr


def changed_log(change: Callable[[dict[str, Any]], object]) -> str:
    log = json.loads((INSPECT / "old" / "sums.json").read_text())
    change(log)
    return json.dumps(log)  # one line, other than inspect_ai's


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda log: log.update(version=3), "wanted version 2 of inspect_ai's log format, got 3"),
        (lambda log: log.update(status="error"), "wanted a run with the status 'success', got 'error'"),
        (lambda log: log.update(samples=None), "the log has no samples"),
        (lambda log: log["eval"].pop("task"), "the log has no name of the task"),
        (lambda log: log["samples"][1].pop("target"), "sample 2: damaged: wanted an object with id, target and output"),
        (lambda log: log["samples"][1]["scores"].update(match={"value": {"a": 1}}), "sample 2: wanted a score that is"),
        (lambda log: log["samples"][1].update(scores={"f1": {"value": 1}}), "sample 2: no scorer 'match'"),
        (lambda log: [s.update(scores=None) for s in log["samples"]], "no sample has a score"),
        (lambda log: log["samples"].append({**log["samples"][0], "target": "9"}), "has the targets '2' and '9'"),
    ],
)
def test_bad_logs_of_inspect_ai_are_one_line(
    run: Command, tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    path = tmp_path / "log.json"
    path.write_text(changed_log(change))
    done = run(path, INSPECT / "new" / "sums.json")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert message in done.stderr


def test_scores_in_words_and_samples_without_a_score(tmp_path: Path) -> None:
    def words(log: dict[str, Any]) -> None:
        for sample, value in zip(log["samples"], ("yes", "FALSE", "N", float("nan"), True, "0.0"), strict=True):
            sample["scores"]["match"]["value"] = value
        log["samples"][2]["input"] = [{"role": "user", "content": [{"type": "text", "text": "asked"}]}]

    path = tmp_path / "log.json"
    path.write_text(changed_log(words))
    found = read(tmp_path, path, path)
    assert (found.table.both_right, found.table.both_wrong, found.counts.unscored) == (2, 3, 1)
    path.write_text(changed_log(lambda log: log["samples"][0]["scores"]["match"].update(value="P")))
    assert read(tmp_path, path, INSPECT / "new" / "sums.json").graded_by_task["sums"][0].n == 6


def changed_records(name: str, change: Callable[[list[dict[str, Any]]], object]) -> str:
    records = [json.loads(line) for line in (RECORDS / "old" / name).read_text().splitlines()]
    change(records)
    return "".join(f"{json.dumps(record)}\n" for record in records)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda records: records[2].pop("input"), "line 3: damaged: wanted a record with evaluation_name"),
        (lambda records: records[2].update(model_id="other"), "line 3: wanted answers of one model, got"),
        (lambda records: records[0].update(sample_id="q2", evaluation_result_id="f1"), "choose one with --metric"),
        (lambda records: records[0]["evaluation"].update(score=float("inf")), "has a score that is not finite"),
        (lambda records: records[0].update(output=None), "1 of 6 answers are marked right or wrong but have no pred"),
    ],
)
def test_bad_records_are_one_line(
    run: Command, tmp_path: Path, change: Callable[[list[dict[str, Any]]], object], message: str
) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(changed_records("sums.jsonl", change))
    done = run(path, RECORDS / "new" / "sums.jsonl")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert message in done.stderr


def test_what_was_extracted_is_the_prediction(tmp_path: Path) -> None:
    taken = {"turn_idx": 0, "source": "output.raw", "extraction_method": "regex", "extracted_value": "3"}
    path = tmp_path / "records.jsonl"
    path.write_text(
        changed_records(
            "sums.jsonl", lambda records: records[2].update(answer_attribution=[{**taken, "is_terminal": True}])
        )
    )
    found = read(tmp_path, RECORDS / "new" / "sums.jsonl", path)
    assert {flip.sample_id: flip.new_prediction for flip in found.worst} == {"q3": "3"}


def test_is_correct_that_is_not_the_score_makes_scores_graded(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(changed_records("sums.jsonl", lambda records: records[0]["evaluation"].update(is_correct=False)))
    assert read(tmp_path, path, RECORDS / "new" / "sums.jsonl").table.n == 0


@pytest.mark.parametrize(
    ("name", "flags", "message"),
    [
        ("a.eval", [], "wanted inspect_ai's log as JSON: write it with `inspect log dump a.eval`"),
        ("results.json", [], "wanted Every Eval Ever's records of single samples (.jsonl), got the results"),
        ("damaged.json", [], "damaged.json, line 2: damaged or not JSON"),
        (str(INSPECT / "old" / "sums.json"), ["--filter", "x"], "has no protocols or filters, got 'x'"),
        (str(INSPECT / "old" / "sums.json"), ["--metric", "mtch"], "no scorer 'mtch': did you mean 'match'?"),
        (str(RECORDS / "old" / "sums.jsonl"), ["--metric", "match"], "no evaluation_result_id 'match': known: match"),
        (str(RECORDS / "old" / "words.jsonl"), [], "has the results 'f1:mean' and 'match:accuracy': choose one with"),
        ("answers.csv@1", [], "a CSV file has no versions"),
    ],
)
def test_other_input_is_one_line(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, flags: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("results.json").write_text(json.dumps({"schema_version": "0.3.0", "evaluation_results": []}, indent=1))
    Path("damaged.json").write_text('{\n"version": 2')
    done = run(name, name, *flags)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert message in done.stderr


def kinds(value: object) -> object:
    """The types of a record, key by key."""
    return {key: kinds(item) for key, item in value.items()} if isinstance(value, dict) else type(value)


def test_written_records_are_read_as_the_same_answers(run: Command, tmp_path: Path) -> None:
    old, new = (write(tmp_path / f"{name}.parquet", random_rows(seed, 20)) for seed, name in enumerate(("old", "new")))
    direct = json.loads(run(old, new, "--json", "--records", tmp_path / "out").stdout)
    paths = {path.parent.name[-11:]: path for path in (tmp_path / "out").rglob("*_samples.jsonl")}
    again = json.loads(run(paths["old.parquet"], paths["new.parquet"], "--json").stdout)
    assert again["counts"] == direct["counts"]
    assert again["tasks"].keys() == direct["tasks"].keys() == {"task 0", "task 1", "task 2"}
    (results,) = (path for path in paths["old.parquet"].parent.glob("*.json"))
    written = json.loads(results.read_text())
    assert written["detailed_evaluation_results"]["checksum"] == sha256(paths["old.parquet"].read_bytes()).hexdigest()
    assert (results.parents[4] / written["detailed_evaluation_results"]["file_path"]) == paths["old.parquet"]
    scores = {each["evaluation_name"]: each["score_details"]["score"] for each in written["evaluation_results"]}
    counts = direct["tasks"]["task 1"]["counts"]
    assert scores["task 1"] == pytest.approx((counts["both_right"] + counts["negative_flips"]) / 20)


@pytest.mark.parametrize("name", ["sums", "sums_epochs"])
def test_written_records_have_the_keys_and_types_of_those_of_the_converter(tmp_path: Path, name: str) -> None:
    predictions = load_predictions(str(INSPECT / "old" / f"{name}.json"), InputOptions(None, None, "", ""), tmp_path)
    results = write_records(predictions, tmp_path)
    lines = results.with_name(f"{results.stem}_samples.jsonl").read_text().splitlines()
    ours, theirs = kinds(json.loads(lines[0])), kinds(json.loads((RECORDS / "old" / f"{name}.jsonl").open().readline()))
    assert isinstance(ours, dict)
    assert isinstance(theirs, dict)
    for key in ("input", "output", "evaluation"):
        assert ours[key].items() <= theirs.pop(key).items()
        del ours[key]
    assert ours.items() <= theirs.items()
    scores = [json.loads(line)["evaluation"] for line in lines]
    assert all(each["is_correct"] == (each["score"] == 1) for each in scores)


def test_what_records_cannot_know_is_not_made_up(tmp_path: Path) -> None:
    made = [*graded([0.5, 1.0]), {**graded([0.0])[0], "sample_id": "none", "score": None}]
    results = write_records(Predictions("a/b \u202e<c>", table(made)), tmp_path, lower_is_better=True)
    written = json.loads(results.read_text())
    assert results.parent.name == "a_b_c"
    assert written["source_metadata"]["source_organization_name"] == "unknown"
    assert written["evaluation_results"][0]["metric_config"]["lower_is_better"]
    assert written["detailed_evaluation_results"]["total_rows"] == 2
