"""The evaluator against a plain loop in NumPy."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
import torch

from clbench.benchmarks.engine.learners import build_learner
from clbench.benchmarks.engine.samples import SampleStore
from clbench.benchmarks.evaluation.evaluator import Evaluator
from clbench.contracts import ScoresClasses, require
from clbench.spec.ledger import SCHEMA, task_scores
from clbench.streams.card import load_stream

CPU = torch.device("cpu")


@pytest.mark.parametrize("batch", [4, 256])
def test_every_prediction_is_kept_and_right(tiny: Any, batch: int, tmp_path: Path) -> None:
    stream, learner = load_stream(tiny.stream), build_learner(tiny.learner, 0, CPU)
    learner.test_batch = batch
    samples = SampleStore(CPU, tmp_path).of("tiny", learner, "tiny")
    table = Evaluator(stream, "test", samples).evaluate(learner, 3)
    assert table.schema == SCHEMA
    assert len(table) == 3 * 2 * 15
    start = 0
    for task in stream.tasks:
        encoded = samples(task, "test")
        with torch.no_grad():
            logits = require(learner, ScoresClasses).logits(encoded.batch(slice(None)), stream.tasks).double().numpy()
        labels = encoded.tensors["label"].numpy()
        for protocol, scores, offset in (("task-id", logits[:, start : start + 3], 0), ("union", logits, start)):
            rows = table.filter((pc.field("task") == task.name) & (pc.field("protocol") == protocol)).to_pydict()
            assert rows["sample_id"] == task.load("test")["sample_id"][:]
            assert rows["version"] == [3] * 15
            chosen = scores.argmax(axis=1)
            assert rows["correct"] == (chosen == labels + offset).tolist()
            shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
            np.testing.assert_allclose(
                rows["confidence"], (shifted / shifted.sum(axis=1, keepdims=True)).max(axis=1), rtol=1e-4
            )
            if protocol == "task-id":
                assert rows["prediction"] == [task.classes[index] for index in chosen]
                assert rows["target"] == [task.classes[index] for index in labels]
            assert task_scores(table, protocol)[3, task.name] == np.mean(chosen == labels + offset)
        start += 3


@pytest.mark.gpu
def test_the_gpu_says_what_the_cpu_says(tiny: Any, tmp_path: Path) -> None:
    stream = load_stream(tiny.stream)
    tables = []
    for device in (CPU, torch.device("cuda")):
        learner = build_learner(tiny.learner, 0, device)
        tables.append(
            Evaluator(stream, "test", SampleStore(device, tmp_path).of("tiny", learner, "tiny")).evaluate(learner, 0)
        )
    same = pc.mean(pc.cast(pc.equal(tables[0]["prediction"], tables[1]["prediction"]), "float64")).as_py()
    assert same > 0.95  # bfloat16 turns near-ties
