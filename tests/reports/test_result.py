"""The result of a cell: what its file may hold, and results made from R alone."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from tests.reports.graphs import GRAPH
from tests.reports.matrices import matrix

from clbench.core.errors import DataError
from clbench.core.sources import source_files
from clbench.core.storage import read_json, write_json
from clbench.reports import result_code
from clbench.reports.compute_result import (
    StreamOutline,
    compute_result,
    compute_versions,
    result_of_matrices,
    with_current_metrics,
)
from clbench.reports.leaderboard.runs_of_0_1 import result_of_0_1
from clbench.reports.matrix import ScoreMatrix
from clbench.reports.result import ChallengeReport, parse_result
from clbench.spec.ledger import SCHEMA
from clbench.spec.update import Adopt, Learn

R = matrix([0, None], [0.2, 0], [0.1, 0.5])


def ledger(scores: list[list[float]]) -> pa.Table:
    """A ledger of graded scores, versions x tasks, one sample a task."""
    rows = [
        {"version": version, "protocol": "open", "task": f"task{task}", "sample_id": "0", "score": score}
        for version, row in enumerate(scores)
        for task, score in enumerate(row)
    ]
    return pa.Table.from_pylist(rows, SCHEMA)


def test_a_result_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    challenge = ChallengeReport(kinds={"detection": {"iou": 1 / 3, "map": None}}, undefined={"detection/map": "why"})
    found = result_of_matrices({"union": R}, challenge, {"cost/train_seconds": 0.1})
    write_json(tmp_path / "result.json", {"status": "finished", "result": found.as_json()})
    assert parse_result(read_json(tmp_path / "result.json")) == found
    assert found.matrix("union") == R
    assert found.challenge_numbers(2) == {"challenge/detection/iou": 1 / 3}
    assert found.challenge_numbers(1) == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 3}, "result.json: result: schema must be 2, got 3"),
        ({"protocols": {}}, "protocols must"),
        ({"tasks": {"a": ""}}, "wanted 1 scores, got 2"),
        ({"code": None}, "code must be"),
    ],
)
def test_another_layout_is_refused(change: dict[str, object], message: str) -> None:
    good = result_of_matrices({"union": R}).as_json()
    with pytest.raises(DataError, match=message):
        parse_result({"result": {**good, **change}})
    with pytest.raises(DataError, match="result must be an object, got None"):
        parse_result({"status": "failed"})


def layout_1(result: dict[str, object], releases: list[str]) -> dict[str, object]:
    """A result as it was stored before streams were graphs of updates."""
    old = {key: value for key, value in result.items() if key != "updates"}
    return {**old, "schema": 1, "releases": releases}


def test_results_of_layout_1_are_read_as_chains() -> None:
    found = result_of_matrices({"union": R})
    assert parse_result({"result": layout_1(found.as_json(), [])}) == found
    assert found.updates == (Learn(task="a"), Learn(task="b"))
    updates = (Adopt(release="v1"), Adopt(release="v2", name=""))
    releases = result_of_matrices({"union": ScoreMatrix(R.tasks, R.scores, updates)})
    assert parse_result({"result": layout_1(releases.as_json(), ["v1", "v2"])}) == releases
    with pytest.raises(DataError, match="schema must be 2, got 1"):
        parse_result({"result": layout_1(found.as_json(), [""])})


def test_a_graph_of_updates_is_stored_and_read() -> None:
    found = result_of_matrices({"union": GRAPH})
    assert found.last_version == 6
    stored = found.as_json()
    assert stored["updates"][4] == {"compress": {"bits": 2.0}, "parent": "a"}  # type: ignore[index]
    assert parse_result({"result": stored}) == found
    assert found.matrix("union") == GRAPH
    branch = found.protocols["union"].versions[5]
    assert branch.metrics["bwt.gem"] == pytest.approx(((0.2 - 0.9) + (0.3 - 0.8)) / 2)
    with pytest.raises(DataError, match="updates: adopt: release must be"):
        parse_result({"result": {**stored, "updates": [{"adopt": ""}]}})


def test_each_version_has_the_metrics_of_the_stream_so_far() -> None:
    versions = result_of_matrices({"union": R}).protocols["union"].versions
    assert versions[0].metrics == {}
    assert versions[1].metrics["average_accuracy"] == 0.2
    assert versions[1].undefined["bwt.gem"].startswith("needs at least 2 tasks")
    assert versions[2].metrics["bwt.gem"] == pytest.approx(-0.1)
    assert versions[2].undefined["fwt.gem"].startswith("version 0, task")


def test_metrics_of_other_code_are_computed_again() -> None:
    found = result_of_matrices({"union": R})
    old = found.model_copy(update={"code": "other"})
    (protocol,) = old.protocols.values()
    wrong = protocol.last.model_copy(update={"metrics": {"mtil.last": 0.9}, "flips": {"flips/all/nfr": 0.25}})
    old.protocols["union"] = protocol.model_copy(update={"versions": (*protocol.versions[:-1], wrong)})
    last = with_current_metrics(old).protocols["union"].last
    assert last.metrics["mtil.last"] == pytest.approx(0.3)
    assert last.flips == {"flips/all/nfr": 0.25}


def test_passes_are_a_cost_where_every_version_has_them() -> None:
    rows, outline = ledger([[0], [1]]), StreamOutline({"task0": "text"}, ["open"])
    told = [{"passes/with_gradient": n, "passes/without_gradient": 0.5 * n} for n in (0.0, 32.0)]
    costs = {"cost/passes_with_gradient": 32.0, "cost/passes_without_gradient": 16.0}
    assert compute_result(outline, rows, told).costs == costs
    assert compute_result(outline, rows, [{}, told[1]]).costs == {}  # begun by earlier code


def test_means_by_kind_are_those_of_the_last_version() -> None:
    rows = ledger([[0, 0, 0], [0.5, 0, 0], [0.5, 1, 0], [0.25, 1, 0.5]])
    outline = StreamOutline({"task0": "text", "task1": "image", "task2": "image"}, ["open"])
    found = compute_result(outline, rows, [{"seconds/train": 1.0, "memory/peak_mb": v} for v in (3, 5, 1, 2)])
    assert found.protocols["open"].kinds == {"text": 0.25, "image": 0.75}
    assert found.costs == {"cost/train_seconds": 4.0, "cost/peak_mb": 5.0}
    assert found.protocols["open"].versions[3].flips
    early = compute_versions(outline, rows, [1, 2])["open"]
    assert early == {v: found.protocols["open"].versions[v].model_copy(update={"flips": {}}) for v in (1, 2)}
    one_kind = replace(outline, tasks=dict.fromkeys(outline.tasks, "text"))
    assert compute_result(one_kind, rows, [{}] * 4).protocols["open"].kinds == {}


def test_a_run_of_0_1_is_read_with_the_old_names_of_its_metrics() -> None:
    text = {"schema": 1, "tasks": ["a", "b"], "protocols": {"task-id": [[None, None], [0.5, None], [0.25, 1.0]]}}
    metrics = {"official/detection/iou": 0.5, "official/nodule/iou": 0.5, "cost/train_seconds": 2.0, "task-id/R/a": 1}
    found = result_of_0_1(text, metrics)
    assert found.challenge_numbers(2) == {"challenge/detection/iou": 0.5}
    assert found.costs == {"cost/train_seconds": 2.0}
    assert found.protocols["task-id"].last.metrics["mtil.last"] == 0.625


def test_a_run_of_0_1_with_releases_is_read_as_a_chain_of_them() -> None:
    text = {"schema": 1, "tasks": ["a"], "releases": ["v1", "v2"], "protocols": {"open": [[0.1], [0.2], [0.3]]}}
    found = result_of_0_1(text, {})
    assert found.updates == (Adopt(release="v1"), Adopt(release="v2"))
    assert found.protocols["open"].last.undefined["bwt.gem"].startswith("versions are releases")
    with pytest.raises(DataError, match="releases must be a list of names"):
        result_of_0_1({**text, "releases": [""]}, {})


def test_the_hash_covers_the_code_that_makes_a_result() -> None:
    covered = {path.name for path in source_files(Path(result_code.__file__).with_name("compute_result.py"), "clbench")}
    assert covered >= {"compute_result.py", "_compute.py", "stream_flips.py", "chain.py", "matrix.py", "ledger.py"}
    assert covered >= {"_compute_images.py", "_measured_rows.py"}
