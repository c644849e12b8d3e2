"""A real MLflow store with the runs that a leaderboard must cope with; made once, as its first migration takes time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from clbench.core.registry import METRICS

HOSTILE = '<script>alert("x")</script> | =cmd()\n# [a](javascript:b)'
TASKS = ["aircraft", "textures", "satellite", "flowers"]
Rows = list[list[float | None]]


def rows(learnt: float, kept: float, start: float = 0.4, tasks: int = 4, future: bool = True) -> Rows:
    """R of a strategy that reaches `learnt` on a new task and keeps the share `kept` of the gain a version."""
    result: Rows = []
    for version in range(tasks + 1):
        row: list[float | None] = []
        for task in range(1, tasks + 1):
            gain = (learnt - start) * kept ** (version - task)
            value = start + gain if version >= task else start - 0.01 * version * (1 - kept)
            row.append(round(value + 0.013 * task, 6) if future or version >= task else None)
        result.append(row)
    return result


@dataclass
class Store:
    """A tracking store to write runs into as the benchmarks room does."""

    folder: Path
    experiment: str = "clbench"
    client: Any = field(init=False)

    def __post_init__(self) -> None:
        """Make the database and the experiment."""
        from mlflow import MlflowClient

        self.client = MlflowClient(tracking_uri=self.uri)
        self.id = self.client.create_experiment(
            self.experiment, artifact_location=(self.folder / self.experiment).as_uri()
        )

    @property
    def uri(self) -> str:
        """The tracking URI."""
        return f"sqlite:///{self.folder}/runs.db"

    def add(
        self,
        label: str,
        seed: int = 0,
        protocols: dict[str, Rows] | None = None,
        *,
        status: str = "FINISHED",
        at: int = 1000,
        tasks: Sequence[str] = TASKS,
        stream: str = "clip-mini",
        learner: str = "clip-tiny",
        split: str = "test",
        schema: int = 1,
        **tags: str,
    ) -> str:
        """Add a run, by default that of a finished cell; `at` is when it started."""
        strategy = label.split(" ")[0]
        said = {"kind": "cell", "schema": "1", "suite": "quick", "stream": stream, "learner": learner, "label": label}
        said |= {"strategy": strategy, "seed": str(seed), "split": split, "clbench_version": "0.1.0", "gpu": "none"}
        said |= {"cell": f"{stream}/{learner}/{label}/{seed}/{split}", **tags}
        said = {f"clbench.{name}": value for name, value in said.items() if value}
        run_id: str = self.client.create_run(self.id, start_time=at, tags=said).info.run_id
        if protocols is not None:
            value = {"schema": schema, "tasks": list(tasks), "protocols": protocols}
            self.client.log_dict(run_id, value, "matrix.json")
        if status != "RUNNING":
            self.client.set_terminated(run_id, status)
        return run_id


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """MLflow's own use of SQLAlchemy is deprecated, which is not for us to mend."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning"))


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the one database of the session, as its first migration takes seconds."""
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture(scope="session")
def new_store(database: Path) -> Callable[[], Store]:
    """Makes further experiments in the database."""
    names = iter(f"other-{number}" for number in range(1000))
    return lambda: Store(database, next(names))


@pytest.fixture(scope="session")
def store(database: Path) -> Store:
    """Two streams, several seeds, a failed cell, re-runs, a tuning run, and a label that tries to inject."""
    made = Store(database)
    made.add("", kind="suite", stream="", learner="", cell="")
    for seed in range(3):
        shift = 0.012 * seed
        for label, learnt, kept in (("zero-shot", 0.4, 1.0), ("finetune", 0.88, 0.55), ("codyra rank=16", 0.86, 0.97)):
            task_id, union = rows(learnt + shift, kept), rows(learnt - 0.08 + shift, kept, start=0.31)
            made.add(label, seed, {"task-id": task_id, "union": union})
    made.add("finetune", 0, {"task-id": rows(0.1, 0.1)}, at=10)  # an older run of the same cell
    made.add("finetune", 0, status="FAILED", at=9999, error="the newest run, but it failed")
    made.add("lora rank=4", 0, {"task-id": rows(0.8, 0.8), "union": rows(0.72, 0.8, start=0.31)})
    made.add("lora rank=4", 1, status="FAILED", error="the loss of version 2 is nan\nTraceback ...")
    made.add("ewc_online strength=1e4", 0, status="KILLED")
    made.add("lwf", 0, status="RUNNING")
    made.add(HOSTILE, 0, {"task-id": rows(0.6, 0.9), "union": rows(0.5, 0.9, start=0.31)}, strategy="hostile")
    made.add("lora rank=8", 0, {"task-id": rows(0.9, 0.95)}, split="validation")
    for seed in range(2):
        made.add(
            "olora", seed, {"task-id": rows(0.7, 0.9, 0.2, 3, future=False)}, tasks=["dbpedia", "amazon", "yahoo"],
            stream="text-open", learner="t5-tiny",
        )  # fmt: skip
    return made


@pytest.fixture
def own_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a test register metrics from files and forgets them afterwards."""
    for name in METRICS.names():  # those of the package register once a process, so none may be forgotten
        METRICS.get(name)
    monkeypatch.setattr(METRICS, "_files", dict(METRICS._files))
    monkeypatch.setattr(METRICS, "_components", dict(METRICS._components))
