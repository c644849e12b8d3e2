"""Which samples an update forgets, what later updates do without, and what is refused before anything runs."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
import yaml

from clbench.benchmarks.engine.cell import Cell
from clbench.benchmarks.engine.cell_folder import CellFolder
from clbench.benchmarks.engine.execution import CellRun, workplace_in
from clbench.benchmarks.engine.forgotten import ForgottenSamples, without
from clbench.benchmarks.engine.suite import load_suite
from clbench.benchmarks.engine.version_keys import Keys
from clbench.contracts import Samples
from clbench.core.errors import CheckpointError, DataError
from clbench.spec.update import Forget

CPU = torch.device("cpu")
SPY = '''"""Fine-tuning that writes down which samples it can read, and what it is asked to forget."""
import json
from clbench import GradientConfig, GradientStrategy, register

@register("spy", config=GradientConfig)
class Spy(GradientStrategy[GradientConfig]):
    """Writes a line for each update: the tasks learnt, the positions to forget, the samples of each task."""
    def begin_task(self, task):
        self.note({})

    def forget(self, request):
        self.note({name: positions.tolist() for name, positions in request.forgotten.items()})

    def note(self, forgotten):
        read = {task.name: self.context.samples(task, "train").ids.to_pylist() for task in self.seen}
        others = {task.name: len(self.context.samples(task, "validation")) for task in self.seen}
        with open(LOG, "a") as file:
            file.write(json.dumps([forgotten, read, others]) + chr(10))
'''


def train_ids(task: str, *labels: int) -> list[str]:
    """Ids of the training samples of some classes of a task of the tiny stream, in the order of its rows."""
    return [f"{task}/train/{index}" for index in range(24) if index % 3 in labels]


@pytest.fixture
def cell_of(tiny: Any, tmp_path: Path) -> Callable[..., Cell]:
    """The cell of a stream with some updates, on the tasks of the tiny stream."""

    def build(updates: Sequence[Mapping[str, Any]], entry: Any = "zero-shot", seed: int = 0) -> Cell:
        card = {
            "name": "tiny-forget",
            "description": "Learns and forgets.",
            "loader": "based-on",
            "based_on": tiny.stream,
            "learner": tiny.learner,
            "protocols": ["task-id"],
            "order_reason": "none",
            "tasks": [
                {"name": name, "kind": "classification", "metric": "accuracy"} for name in ("one", "two", "three")
            ],
            "updates": list(updates),
        }
        (tmp_path / "tiny-forget.yaml").write_text(yaml.safe_dump(card), "utf-8")
        budget = {"steps": 2, "batch_size": 4}
        suite = {"streams": [str(tmp_path / "tiny-forget.yaml")], "strategies": [entry], "seeds": [seed]}
        (tmp_path / "suite.yaml").write_text(yaml.safe_dump({**suite, "budget": budget}), "utf-8")
        (cell,) = load_suite(str(tmp_path / "suite.yaml")).cells
        return cell

    return build


def forgotten_by(cell: Cell) -> dict[str, list[str]]:
    """What the last update of a cell forgets, by task, sorted."""
    update = cell.load_stream().updates[-1]
    assert isinstance(update, Forget)
    samples = ForgottenSamples(cell)
    samples.check()
    return {task: sorted(ids) for task, ids in samples.of(update).items()}


LEARNT: list[dict[str, Any]] = [{"learn": "one"}, {"learn": "two"}]


def test_a_task_a_class_or_listed_samples_are_forgotten(cell_of: Callable[..., Cell], tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text("task,sample_id\ntwo,two/train/5\none,one/train/0\ntwo,two/train/2\n")
    for content, wanted in (
        ({"task": "two"}, {"two": train_ids("two", 0, 1, 2)}),
        ({"task": "one", "category": "one 2"}, {"one": train_ids("one", 2)}),
        ({"samples": "ids.csv"}, {"one": ["one/train/0"], "two": ["two/train/2", "two/train/5"]}),
    ):
        found = forgotten_by(cell_of([*LEARNT, {"forget": content}]))
        assert found == {task: sorted(ids) for task, ids in wanted.items()}


def test_a_share_is_drawn_from_each_class_alike_by_the_seed(cell_of: Callable[..., Cell]) -> None:
    """24 samples in 3 classes: a quarter is 2 of each class; a share of less than half a sample is 1 sample."""
    updates = [*LEARNT, {"forget": {"task": "one", "share": 0.25}}]
    drawn = [forgotten_by(cell_of(updates, seed=seed)) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    for found in drawn:
        (ids,) = found.values()
        labels = [int(name.rpartition("/")[2]) % 3 for name in ids]
        assert sorted(labels) == [0, 0, 1, 1, 2, 2]
        assert len(set(ids)) == 6
    (few,) = forgotten_by(cell_of([*LEARNT, {"forget": {"task": "one", "share": 0.01}}])).values()
    assert len(few) == 1
    assert set(few) <= set(train_ids("one", 0, 1, 2))


@pytest.mark.parametrize(
    ("content", "file", "message"),
    [
        ({"task": "one", "category": "one 3"}, "", "update 'forget one/one 3': task 'one' has no class 'one 3': did"),
        ({"samples": "ids.csv"}, None, r"stream tiny-forget: .*ids\.csv: no such file"),
        ({"samples": "ids.csv"}, "", r"ids\.csv: wanted the columns task, sample_id, got none"),
        ({"samples": "ids.csv"}, "task,id\n", r"ids\.csv: wanted the columns task, sample_id, got task, id"),
        ({"samples": "ids.csv"}, "task;sample_id\n", "wanted commas"),
        ({"samples": "ids.csv"}, "task,sample_id\n", r"update 'forget ids\.csv': .*ids\.csv lists no sample"),
        ({"samples": "ids.csv"}, "task,sample_id\noen,x\n", r"ids\.csv: row 2: no task 'oen': did you mean 'one'"),
        (
            {"samples": "ids.csv"},
            "task,sample_id\none,one/test/0\none,one/train/0\n",
            r"ids\.csv: task 'one' has no training sample 'one/test/0'",
        ),
        (
            {"samples": "ids.csv"},
            "task,sample_id\nthree,three/train/0\n",
            "update 'forget ids.csv': task 'three' was not learnt before on its path",
        ),
        (
            {"samples": "ids.csv"},
            "task,sample_id\n"
            + "".join(f"{name[:3]},{name}\n" for t in ("one", "two") for name in train_ids(t, 0, 1, 2)),
            "update 'forget ids.csv': wanted a part of the training samples, got all of them",
        ),
    ],
)
def test_what_cannot_be_forgotten_is_one_line_before_anything_runs(
    content: dict[str, Any], file: str | None, message: str, cell_of: Callable[..., Cell], tmp_path: Path
) -> None:
    if file is not None:
        (tmp_path / "ids.csv").write_text(file)
    cell = cell_of([*LEARNT, {"forget": content}])
    with pytest.raises(DataError, match=message) as caught:
        CellRun(cell, CellFolder(tmp_path / "cell"), workplace_in(tmp_path, CPU), lambda doing, step, total: None)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("versions/[0-9a-f]*"))


def test_the_only_task_cannot_be_forgotten_whole(cell_of: Callable[..., Cell]) -> None:
    with pytest.raises(DataError, match="wanted a part of the training samples, got all of them"):
        forgotten_by(cell_of([{"learn": "one"}, {"forget": "one"}]))


def test_later_updates_on_the_path_do_without_the_samples(cell_of: Callable[..., Cell], tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text("task,sample_id\none,one/train/1\none,one/train/2\n")
    (tmp_path / "spy.py").write_text(SPY.replace("LOG", repr(str(tmp_path / "log"))))
    updates = [
        *LEARNT,
        {"forget": {"task": "one", "category": "one 0"}, "name": "class"},
        {"forget": {"samples": "ids.csv"}},
        {"learn": "three"},
        {"learn": "three", "name": "without", "parent": "two"},
        {"learn": {"task": "two", "without": "class"}, "name": "retrained", "parent": "one"},
    ]
    run(cell_of(updates, str(tmp_path / "spy.py")), tmp_path)
    one, two, three = (train_ids(task, 0, 1, 2) for task in ("one", "two", "three"))
    no_class = train_ids("one", 1, 2)
    neither = [name for name in no_class if name not in ("one/train/1", "one/train/2")]
    wanted = [
        ({}, {"one": one}),
        ({}, {"one": one, "two": two}),
        ({"one": [index for index in range(24) if index % 3 == 0]}, {"one": one, "two": two}),
        ({"one": [0, 1]}, {"one": no_class, "two": two}),  # the positions are among those that are left
        ({}, {"one": neither, "two": two, "three": three}),
        ({}, {"one": one, "two": two, "three": three}),
        ({}, {"one": no_class, "two": two}),
    ]
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [(forgotten, read) for forgotten, read, _ in lines] == wanted
    assert all(set(others.values()) == {9} for _, _, others in lines)  # nothing is left out of validation


def run(cell: Cell, out: Path) -> CellFolder:
    """Run a cell."""
    folder = CellFolder(out / "suite" / "cell")
    CellRun(cell, folder, workplace_in(out, CPU), lambda doing, step, total: None).run(lambda version: None)
    return folder


def test_a_model_retrained_without_samples_is_another_one(cell_of: Callable[..., Cell], tmp_path: Path) -> None:
    updates = [
        {"learn": "one"},
        {"forget": {"task": "one", "category": "one 1"}, "name": "gone"},
        {"learn": {"task": "one", "without": "gone"}, "name": "clean", "parent": "pre-trained"},
    ]
    folder = run(cell_of(updates, {"learn": "finetune", "forget": "zero-shot"}), tmp_path)
    digests = [folder.record(version).digest for version in range(4)]
    assert digests[1] == digests[2]
    assert len(set(digests)) == 3
    result = json.loads((folder.path / "forget.json").read_text())
    assert result == {"versions": {"2": [{"task": "one", "category": "one 1"}]}}


def test_the_key_of_a_version_has_the_samples_and_not_their_names(cell_of: Callable[..., Cell], tmp_path: Path) -> None:
    nothing = {"learn": "finetune", "forget": "zero-shot"}

    def keys(content: Mapping[str, Any], rows: str = "", **changes: Any) -> list[str]:
        (tmp_path / "ids.csv").write_text("task,sample_id\n" + rows)
        gone = {"forget": content, "name": changes.pop("name", "gone")}
        again = {"learn": {"task": "one", "without": gone["name"]}, "name": "clean", "parent": "pre-trained"}
        cell = cell_of([*LEARNT, gone, again], nothing, **changes)
        return [key.digest for key in Keys(cell, "cpu", "weights").versions[3:]]

    listed = {"samples": "ids.csv"}
    usual = keys(listed, "one,one/train/0\none,one/train/1\n")
    assert keys(listed, "one,one/train/1\none,one/train/0\n") == usual
    assert keys(listed, "one,one/train/0\none,one/train/1\n", name="other") == usual
    other = keys(listed, "one,one/train/0\n")
    assert not set(other) & set(usual)
    drawn = [keys({"task": "one", "share": 0.25}, seed=seed) for seed in (0, 1)]
    assert not set(drawn[0]) & set(drawn[1])


def test_samples_without_some_keep_their_order_and_all_columns() -> None:
    ids = pa.array(["a", "b", "c", "d"])
    tensors = {"x": torch.arange(12).reshape(4, 3), "x.width": torch.tensor([1, 2, 3, 3])}
    found = without(Samples(ids, tensors, CPU, {"answer": pa.array(list("ABCD"))}), frozenset({"b", "d", "z"}))
    assert found.ids.to_pylist() == ["a", "c"]
    assert found.tensors["x"].tolist() == [[0, 1, 2], [6, 7, 8]]
    assert found.tensors["x.width"].tolist() == [1, 3]
    assert found.truth["answer"].to_pylist() == ["A", "C"]
    assert found.device == CPU


def test_what_is_left_is_looked_at_where_all_versions_are_tested(cell_of: Callable[..., Cell], tmp_path: Path) -> None:
    updates = [*LEARNT, {"forget": {"task": "one", "category": "one 1"}, "name": "gone"}]
    entry = {"learn": "finetune", "forget": "zero-shot"}
    for last_only in (False, True):
        folder = run(cell_of(updates, {**entry, "last_only": last_only}), tmp_path / str(last_only))
        assert (folder.path / "audit.json").is_file() != last_only
        assert folder.finished
    found = json.loads((tmp_path / "False" / "suite" / "cell" / "audit.json").read_text())
    assert set(found) == {"gone"}
    assert set(found["gone"]) == {"2", "3"}
    assert found["gone"]["2"] == found["gone"]["3"]  # `zero-shot` forgets nothing


def test_what_is_left_is_compared_with_the_retrained_model(cell_of: Callable[..., Cell], tmp_path: Path) -> None:
    """The parent, the end of the branch that learns without the samples, and the version that has forgotten them."""
    updates = [
        *LEARNT,
        {"forget": {"task": "one", "category": "one 1"}, "name": "gone"},
        {"learn": {"task": "one", "without": "gone"}, "name": "clean one", "parent": "pre-trained"},
        {"learn": {"task": "two", "without": "gone"}, "name": "clean two"},
    ]
    cell = cell_of(updates, {"learn": "finetune", "forget": "zero-shot"})
    assert ForgottenSamples(cell).audited() == {"gone": (2, 5, 3)}
    folder = run(cell, tmp_path)
    found = json.loads((folder.path / "audit.json").read_text())["gone"]
    assert set(found) == {"2", "3", "5"}
    assert found["2"] == found["3"]
    assert (found["5"]["gap"], found["5"]["js_forgotten"], found["5"]["mia_auc_difference"]) == (0, 0, 0)
    assert found["2"]["js_forgotten"] > 0
    audits = folder.result(cell.load_stream()).audits
    assert audits == {"gone": {int(version): numbers for version, numbers in found.items()}}
    (folder.path / "audit.json").write_text('{"gone": {"9": {}}}')
    with pytest.raises(CheckpointError, match=r"audit\.json: not an audit of versions"):
        folder.finish(cell.load_stream())
