"""Streams as Avalanche benchmarks."""

from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset, Features, Image, Value
from PIL import Image as Images
from torch import nn

from clbench.contracts import Split, Stream, Task
from clbench.core.errors import ConfigError

SIZES = {"train": 12, "test": 5, "validation": 0}


def colour(number: int, index: int) -> tuple[int, int, int]:
    """What fills the image of one sample."""
    return 40 * number, 10 * index, 255


def task(number: int, classes: int) -> Task:
    """Images of one colour each."""

    def load(split: Split) -> Dataset:
        rows = range(SIZES[split])
        values: dict[str, list[Any]] = {
            "image": [Images.new("RGB", (9, 7), colour(number, index)) for index in rows],
            "label": [index % classes for index in rows],
            "sample_id": [f"{number}/{split}/{index}" for index in rows],
        }
        features = Features({"image": Image(), "label": Value("int64"), "sample_id": Value("string")})
        return Dataset.from_dict(values, features=features)

    names = tuple(f"c{index}" for index in range(classes))
    return Task(f"task{number}", "classification", "accuracy", load, str, names)


STREAM = Stream("colours", (task(0, 2), task(1, 3)), ("task-id",), "mini-clip")


def test_the_tasks_are_all_there_with_labels_counted_through() -> None:
    scenario = STREAM.to_avalanche(size=4)
    assert {name: len(list(stream)) for name, stream in scenario.streams.items()} == {"train": 2, "test": 2}
    for split in ("train", "test"):
        for number, experience in enumerate(scenario.streams[split]):
            assert experience.task_labels == [number]
            assert set(experience.classes_in_this_experience) == {0: {0, 1}, 1: {2, 3, 4}}[number]
            assert len(experience.dataset) == SIZES[split]
            for index, (image, label, task_label) in enumerate(experience.dataset):
                assert image.shape == (3, 4, 4)
                np.testing.assert_allclose(image.mean(dim=(1, 2)) * 255, colour(number, index), atol=1e-3)
                assert (label, task_label) == (2 * number + index % (2 + number), number)


def test_avalanches_own_strategies_train_on_it() -> None:
    from avalanche.evaluation.metrics import accuracy_metrics
    from avalanche.logging import BaseLogger
    from avalanche.training.plugins import EvaluationPlugin
    from avalanche.training.supervised import Naive

    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 5))
    evaluator = EvaluationPlugin(accuracy_metrics(stream=True), loggers=[BaseLogger()])
    strategy = Naive(
        model=model, optimizer=torch.optim.SGD(model.parameters(), 0.1), train_mb_size=4, evaluator=evaluator
    )
    scenario = STREAM.to_avalanche(size=4)
    for experience in scenario.train_stream:
        strategy.train(experience, eval_streams=[])
    results = strategy.eval(scenario.test_stream)
    assert any(name.startswith("Top1_Acc_Stream") for name in results)


def test_what_avalanche_cannot_take_is_refused() -> None:
    other = Task("words", "generation", "accuracy", STREAM.tasks[0].load, str)
    with pytest.raises(ConfigError, match="classification only, task 'words' is generation"):
        Stream("s", (other,), ("task-id",), "t5").to_avalanche()
    with pytest.raises(ConfigError, match="size must be at least 1, got 0"):
        STREAM.to_avalanche(size=0)
