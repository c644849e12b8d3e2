"""Texts on their way from rows to the ledger: stores, batches without padding, order, scores."""

from pathlib import Path

import psutil
import pyarrow.compute as pc
import pytest
import torch
from tests.text_tasks import LABELS, rows_of, text_task

from clbench.benchmarks.engine import samples as module
from clbench.benchmarks.engine.learners import build_learner
from clbench.benchmarks.engine.samples import SampleStore
from clbench.benchmarks.evaluation.evaluator import Evaluator
from clbench.benchmarks.evaluation.evaluator import test_order as order_of_test
from clbench.contracts import Learner, ScoresClasses, Stream, joined, require

CPU = torch.device("cpu")


@pytest.fixture(params=["t5", "llama"])
def learner(request: pytest.FixtureRequest) -> Learner:
    return build_learner(str(Path(__file__).parents[1] / f"tiny_{request.param}.py"), 0, CPU)


@pytest.mark.parametrize("disk", [False, True])
def test_texts_come_through_every_store(
    learner: Learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: bool
) -> None:
    monkeypatch.setattr(module, "CHUNK", 5)
    if disk:
        monkeypatch.setattr(psutil, "virtual_memory", type("Full", (), {"available": 0}))
    task = text_task("two")
    wanted = learner.encode(task.load("test"), task)
    for _ in range(2):
        found = SampleStore(CPU, tmp_path).of("stream", learner, "tiny")(task, "test")
        assert {name: text.to_pylist() for name, text in found.truth.items()} == {
            "source": task.load("test")["text"][:],
            "answer": task.load("test")["answer"][:],
        }
        assert all(torch.equal(tensor, wanted.tensors[name]) for name, tensor in found.tensors.items())


def test_batches_are_as_wide_as_their_longest_sample(learner: Learner) -> None:
    samples = learner.encode(rows_of("two", "train"), text_task("two"))
    lengths = samples.tensors["input.width"]
    assert samples.tensors["input"].shape == (24, 32)
    shortest = samples.batch(lengths.argsort()[:3])
    assert shortest["input"].shape == (3, 16)  # 14 to 16 bytes, rounded up to a multiple of 8
    assert samples.batch(slice(0, 4))["input"].shape[1] == 8 * -(-int(lengths[:4].max()) // 8)
    assert torch.equal(shortest["input"], samples.tensors["input"][lengths.argsort()[:3], :16])


def test_joined_batches_keep_their_samples(learner: Learner) -> None:
    samples = learner.encode(rows_of("two", "train"), text_task("two"))
    by_length = samples.tensors["input.width"].argsort()
    parts = [samples.batch(by_length[:3]), samples.batch(by_length[-2:])]
    task = text_task("two")
    both = joined(parts)
    assert both["input"].shape == (5, parts[1]["input"].shape[1])
    apart = torch.cat([require(learner, ScoresClasses).logits(part, [task]) for part in parts])
    torch.testing.assert_close(require(learner, ScoresClasses).logits(both, [task]), apart, atol=1e-5, rtol=1e-5)


def test_long_samples_are_tested_first_and_in_small_batches(learner: Learner) -> None:
    samples = learner.encode(rows_of("two", "train"), text_task("two"))
    learner.test_batch, learner.test_width = 6, 20
    batches = order_of_test(samples, learner)
    lengths = samples.lengths
    assert lengths is not None
    positions = [index for index in batches if isinstance(index, torch.Tensor)]
    assert sorted(torch.cat(positions).tolist()) == list(range(24))
    widest = [int(lengths[index].max()) for index in positions]
    assert widest == sorted(widest, reverse=True)
    assert all(len(index) == 1 or len(index) * width <= 6 * 20 for index, width in zip(positions, widest, strict=True))
    assert len(positions[-1]) <= 6


def test_every_answer_is_kept_in_the_samples_order(learner: Learner, tmp_path: Path) -> None:
    stream = Stream("texts", tuple(map(text_task, LABELS)), ("open", "task-id", "union"), "none")
    learner.test_batch, learner.test_width = 4, 16
    samples = SampleStore(CPU, tmp_path).of("texts", learner, "tiny")
    table = Evaluator(stream, "test", samples).evaluate(learner, 2)
    assert len(table) == 3 * 3 * 15
    for task in stream.tasks:
        rows = task.load("test")
        for protocol in stream.protocols:
            part = table.filter((pc.field("task") == task.name) & (pc.field("protocol") == protocol)).to_pydict()
            assert part["sample_id"] == rows["sample_id"][:]
            prefix = f"{task.name}: " if protocol == "union" else ""
            assert part["target"] == [prefix + answer for answer in rows["answer"][:]]
            alone = [learner.encode(rows.select([i]), task).batch(slice(None)) for i in range(15)]
            with torch.no_grad():
                found = [learner.predictor(stream.tasks, [protocol])(batch, task)[protocol] for batch in alone]
            if protocol == "open":
                assert part["prediction"] == [item.prediction[0] for item in found]
                assert part["correct"] == [p == t for p, t in zip(part["prediction"], part["target"], strict=True)]
            else:
                assert part["prediction"] == [item.names[int(item.prediction[0])] for item in found]
