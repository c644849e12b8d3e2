"""What every strategy for streams of releases must do; the tests walk the registry."""

from pathlib import Path
from typing import Any, cast

import pytest
from tests.strategies.cut_runs import Killed, passes_of, run
from tests.strategies.update_streams import CLIP, QUICK, write_card, write_suite

from clbench.benchmarks.engine.cell_folder import CellFolder
from clbench.benchmarks.engine.suite import load_suite
from clbench.contracts import Strategy
from clbench.contracts.updating import handled_kinds
from clbench.core.errors import ConfigError
from clbench.core.registry import STRATEGIES
from clbench.spec.ledger import read_ledger, task_scores

OWN = [item.name for item in STRATEGIES.listings() if item.module.startswith("clbench.")]
UPDATES = [name for name in OWN if handled_kinds(STRATEGIES.get(name).value) == ("adopt",)]
ADAPTED = [name for name in UPDATES if not cast(type[Strategy[Any]], STRATEGIES.get(name).value).predicts_with_weights]
"""Those with an adapter for each task."""
THREE = [f"{CLIP}:{name}" for name in "abc"]


def test_the_seven_are_found() -> None:
    assert set(UPDATES) >= {"naive-update", "continue-update", "muscle", "pct", "bcwi", "ensemble", "retrain"}
    assert set(UPDATES) - set(ADAPTED) == {"retrain"}


def entry_of(name: str, **settings: Any) -> dict[str, Any]:
    """An entry of a suite, quick to train."""
    return {"name": name, **(QUICK if name in ADAPTED else {"lr": 3e-3}), **settings}


@pytest.mark.parametrize("name", UPDATES)
def test_same_seed_same_ledger_and_resume_changes_nothing(name: str, tiny: Any, tmp_path: Path) -> None:
    stream = write_card(tiny, tmp_path, releases=THREE)
    (cell,) = load_suite(write_suite(stream, tmp_path, entry_of(name))).cells
    straight = run(cell, tmp_path / "straight")
    for version in (0, 1, 2):
        with pytest.raises(Killed):
            run(cell, tmp_path / "cut", stop_after=version)
    cut = run(cell, tmp_path / "cut")
    assert read_ledger(cut.path / "ledger.parquet").equals(read_ledger(straight.path / "ledger.parquet"))
    digests = [straight.record(v).digest for v in range(4)]
    assert [cut.record(v).digest for v in range(4)] == digests
    assert passes_of(cut) == passes_of(straight)
    assert len(set(digests)) == 4
    results = [folder.result(cell.load_stream()) for folder in (cut, straight)]
    assert results[0].protocols == results[1].protocols


@pytest.mark.parametrize("name", UPDATES)
def test_every_release_learns_every_task(name: str, tiny: Any, tmp_path: Path) -> None:
    stream = write_card(tiny, tmp_path)
    settings = {"share": 0} if name == "bcwi" else {}  # the mean of unrelated models is none
    budget = {"steps": 40, "batch_size": 12}
    (cell,) = load_suite(write_suite(stream, tmp_path, entry_of(name, **settings), budget=budget)).cells
    scores = task_scores(read_ledger(run(cell, tmp_path / "cell").path / "ledger.parquet"), "task-id")
    assert scores.keys() == {(version, task) for version in (0, 1, 2) for task in ("one", "three")}
    assert min(scores[version, task] for version in (1, 2) for task in ("one", "three")) > 0.9
    assert max(scores[0, task] for task in ("one", "three")) < 0.9


@pytest.mark.parametrize("name", ADAPTED)
def test_all_strategies_with_adapters_share_the_first_version(name: str, tiny: Any, tmp_path: Path) -> None:
    stream = write_card(tiny, tmp_path)
    both = ({"name": "naive-update", **QUICK}, entry_of(name, label="the other"))
    cells = load_suite(write_suite(stream, tmp_path, *both)).cells
    digests = []
    for index, cell in enumerate(cells):
        with pytest.raises(Killed):
            run(cell, tmp_path / str(index), stop_after=1)
        digests.append(CellFolder(tmp_path / str(index)).record(1).digest)
    assert digests[0] == digests[1]


@pytest.mark.parametrize("name", UPDATES)
def test_an_update_strategy_is_refused_on_a_stream_of_tasks(name: str, tiny: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"^strategy {name} handles adopt; stream tiny has 'learn' \(one\)$"):
        load_suite(write_suite(tiny.stream, tmp_path, name))


def test_other_strategies_and_other_learners_are_refused_on_a_stream_of_releases(tiny: Any, tmp_path: Path) -> None:
    stream = write_card(tiny, tmp_path)
    with pytest.raises(
        ConfigError, match=r"^strategy finetune handles learn; stream tiny-updates has 'adopt' \(.*tiny_clip.py:a\)$"
    ):
        load_suite(write_suite(stream, tmp_path, "finetune"))
    with pytest.raises(ConfigError, match=r"stream tiny-updates begins with release '.*tiny_clip.py:a', got learner"):
        load_suite(write_suite(stream, tmp_path, "muscle", learners=[f"{CLIP}:b"]))
