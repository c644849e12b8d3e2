"""The tasks of published updates under an update of tiny models: each is asked in its own way, in one ledger."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import yaml
from tests.strategies.update_streams import CPU, LLAMA, updated
from tests.streams.task_roots import task_root

from clbench.benchmarks.engine.learners import build_learner
from clbench.benchmarks.evaluation.evaluator import Evaluator
from clbench.cli.samples import look_up
from clbench.contracts import Stream
from clbench.core.cards import STREAM_CARDS
from clbench.reports.flips.comparison import compare
from clbench.reports.flips.predictions import Origin, Predictions
from clbench.streams.card import load_stream

CHOOSING, WRITING = ("piqa", "hellaswag"), ("gsm8k", "samsum")


def card(folder: Path, name: str, **changes: Any) -> str:
    values = {**STREAM_CARDS.get(name).values, **changes}
    path = folder / f"{name.replace('-', '_')}.yaml"
    path.write_text(yaml.safe_dump(values), "utf-8")
    return str(path)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return task_root(tmp_path_factory.mktemp("root"), train=10, test=6)


@pytest.fixture(scope="module")
def stream(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Stream:
    """The card of an update of Llama, with tiny models in the place of the published ones, and short answers."""
    folder = tmp_path_factory.mktemp("cards")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.config.HF_DATASETS_CACHE", folder / "cache")
        base = card(folder, "muscle-tasks", limits={"input_tokens": 96, "answer_tokens": 24, "cut": "front"})
        releases = [f"{LLAMA}:a", f"{LLAMA}:b"]
        path = card(folder, "update-llama", based_on=base, learner=releases[0], releases=releases)
        return load_stream(path, str(root))


def ledger_of(stream: Stream, name: str, **settings: Any) -> pa.Table:
    """The ledger of one version."""
    strategy = updated(name, stream.tasks, stream.releases, steps=2, **settings)
    encoder = build_learner(stream.releases[0], 0, CPU)
    evaluator = Evaluator(stream, "test", lambda task, split: encoder.encode(task.load(split), task))
    return evaluator.evaluate(strategy.learner, 2, strategy.predictor)


@pytest.mark.parametrize("name", ["muscle", "ensemble"])
def test_each_task_is_asked_in_its_own_way(stream: Stream, name: str) -> None:
    ledger = ledger_of(stream, name)
    assert pc.unique(ledger["protocol"]).to_pylist() == ["task-id"]
    assert pc.unique(ledger["task"]).to_pylist() == [*CHOOSING, *WRITING]
    for row in ledger.to_pylist():
        if row["task"] in CHOOSING:
            assert row["prediction"].startswith("choice ")
            assert row["correct"] == (row["prediction"] == row["target"])
            assert 0 < row["confidence"] <= 1
        elif row["task"] == "gsm8k":
            assert (row["correct"], row["score"]) == (False, None)
            assert "#### " in row["target"]
        else:
            assert row["correct"] is None
            assert 0 <= row["score"] <= 1


def test_flips_of_choices_are_shown_with_all_choices(stream: Stream, root: Path, tmp_path: Path) -> None:
    ledger = ledger_of(stream, "naive-update")
    right = pc.equal(ledger["task"], "piqa")
    old = ledger.set_column(6, "correct", pc.if_else(right, True, ledger["correct"]))
    old = old.set_column(4, "prediction", pc.if_else(right, ledger["target"], ledger["prediction"]))
    new = ledger.set_column(6, "correct", pc.if_else(right, False, ledger["correct"]))
    flips = [flip for flip in compare(Predictions("old", old), Predictions("new", new)).worst if flip.task == "piqa"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path)
        found = look_up(flips, Origin("muscle-tasks", "test"), str(root), images=True)
    text = found["piqa", "piqa/validation/00001"].text or ""
    assert text.splitlines() == [
        "Question: open a validation jar 1",
        "Answer:",
        "choice 1: twist the lid",
        "choice 2: eat the lid 1",
    ]
