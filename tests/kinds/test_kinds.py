"""Kinds of tasks: what each says of its tasks, and that one more needs no change elsewhere."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from datasets import Dataset, Features, Image, Value
from tests.image_tasks import image_task, png

from clbench.core.errors import BrokenSamplesError, ConfigError, RegistryError
from clbench.kinds import TASK_KINDS, ImageKind, TaskKind, decode_rows, image_kind, kind_of
from clbench.scoring.images.detection import Detection
from clbench.scoring.images.regression import PointAccuracy, ValueAccuracy
from clbench.scoring.images.segmentation import Segmentation
from clbench.spec.task import Task
from clbench.streams.card import TaskCard
from clbench.streams.ultrasound.task_sources import Answers

ON_IMAGES = ("classification", "detection", "regression", "segmentation")
COUNTING = """
from collections.abc import Set

import pyarrow as pa
from clbench.core.errors import DataError
from clbench.kinds import ImageKind
from clbench.kinds import TASK_KINDS


@TASK_KINDS.register("counting")
class Counting(ImageKind):
    '''How many things an image shows: `count`.'''

    heading, short_heading, place, measures = "Counting: share", "cnt", 5, ("count_error",)
    truth_types = {"count": pa.int64()}

    def fitting(self, asked):
        return frozenset()

    def metric(self, asked):
        return "count_accuracy"

    def column(self, asked):
        return "count"

    def feature(self, asked):
        from datasets import Value
        return Value("int64")

    def truth(self, row, size, asked):
        if row["count"] < 0:
            raise DataError(f"wanted a count, got {row['count']}")
        return {"count": row["count"]}
"""


def test_there_are_five_kinds() -> None:
    assert TASK_KINDS.names() == ["classification", "detection", "generation", "regression", "segmentation"]
    assert {name for name in TASK_KINDS.names() if isinstance(kind_of(name), ImageKind)} == set(ON_IMAGES)


def test_no_two_kinds_share_a_heading_a_place_or_a_measure() -> None:
    kinds = [kind_of(name) for name in TASK_KINDS.names()]
    for values in (
        [kind.heading for kind in kinds],
        [kind.short_heading for kind in kinds],
        [kind.place for kind in kinds],
        [mark for kind in kinds for mark in kind.measures],
    ):
        assert len(set(values)) == len(values)


@pytest.mark.parametrize(
    ("metric", "facts", "scorer"),
    [
        ("dice", {}, Segmentation),
        ("iou", {}, Detection),
        ("point_accuracy", {"points": 2}, PointAccuracy),
        ("value_accuracy", {"value_range": (0.0, 1.0)}, ValueAccuracy),
        ("accuracy", {"classes": ("a", "b")}, None),
    ],
)
def test_the_metric_decides_the_scorer(metric: str, facts: dict[str, Any], scorer: type | None) -> None:
    task = image_task(metric, **facts)
    kind = image_kind(task.kind)
    assert kind.metric(task) == metric
    found = kind.scorer(task)
    assert (None if found is None else type(found)) is scorer
    assert kind.has_class(task) == (metric == "accuracy")


def test_a_metric_of_another_kind_is_refused() -> None:
    task = Task("x", "detection", "dice", lambda split: Dataset.from_dict({}), str)
    with pytest.raises(ConfigError, match="task 'x': unknown metric 'dice': known: iou"):
        kind_of("detection").scorer(task)


def test_texts_have_classes_where_their_task_names_some() -> None:
    def task(kind: str, *classes: str) -> Task:
        return Task("x", kind, "exact_match", lambda split: Dataset.from_dict({}), str, classes=classes)

    for kind in ("classification", "generation"):
        assert kind_of(kind).has_class(task(kind, "yes", "no"))
        assert not kind_of(kind).has_class(task(kind))
        assert kind_of(kind).scores_tokens
    assert not kind_of("segmentation").has_class(task("segmentation", "background", "cyst"))
    assert not any(kind_of(kind).scores_tokens for kind in ("detection", "regression", "segmentation"))


@pytest.mark.parametrize(
    ("answers", "column"),
    [
        ({"kind": "classification", "classes": ("a", "b")}, "label"),
        ({"kind": "segmentation", "classes": ("background", "a"), "empty_masks": True}, "mask"),
        ({"kind": "detection", "boxes": 3}, "boxes"),
        ({"kind": "regression", "points": 3}, "points"),
        ({"kind": "regression", "value_range": (0, 1), "unit": "mm"}, "value"),
    ],
)
def test_cards_say_what_fits_a_kind_and_rows_have_its_column(answers: dict[str, Any], column: str) -> None:
    found = Answers(**answers)
    assert found.column == column
    assert list(found.features) == ["sample_id", "image", "patient", "where", column]


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"kind": "detection", "classes": ("a", "b")}, "classes does not fit detection"),
        ({"kind": "segmentation", "classes": ("a", "a")}, "segmentation needs at least two classes"),
        ({"kind": "regression"}, "regression needs either points or a value_range"),
        ({"kind": "regression", "value_range": (1, 0)}, "value_range must rise"),
        ({"kind": "generation"}, "task kind 'generation' is not one on images"),
    ],
)
def test_answers_that_do_not_fit_are_refused(answers: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Answers(**answers)


def test_an_unknown_kind_in_a_card_is_named() -> None:
    with pytest.raises(ValueError, match=r"a kind of task \(did you mean 'detection'\?\)"):
        TaskCard(name="x", kind="detectoin", metric="iou")


@pytest.fixture
def counting(tmp_path: Path) -> Iterator[TaskKind]:
    path = tmp_path / "counting.py"
    path.write_text(COUNTING, encoding="utf-8")
    TASK_KINDS.add_file(path)
    yield kind_of("counting")
    TASK_KINDS.forget_files()
    kind_of.cache_clear()


def test_one_more_kind_is_one_file(counting: TaskKind) -> None:
    """Its cards are read, its rows checked; before, this took changes of `Kind`, `task_sources` and `truth`."""
    assert TaskCard(name="x", kind="counting", metric="count_accuracy").kind == "counting"
    answers = Answers(kind="counting")
    answers.check_metric("count_accuracy", "here")
    assert answers.features["count"] == Value("int64")
    task = Task("x", "counting", "count_accuracy", lambda split: Dataset.from_dict({}), str)
    image = {"bytes": png(np.zeros((4, 6))), "path": None}
    features = Features({"sample_id": Value("string"), "image": Image(), "count": Value("int64")})

    def rows(count: int) -> Dataset:
        return Dataset.from_dict({"sample_id": ["a"], "image": [image], "count": [count]}, features=features)

    seen: list[tuple[int, int]] = []
    truth = decode_rows(rows(3), task, lambda index, image: seen.append(image.size))
    assert truth["count"].equals(pa.array([3], pa.int64()))
    assert truth["size"].to_pylist() == [[4, 6]]
    assert seen == [(6, 4)]
    with pytest.raises(BrokenSamplesError, match="wanted a count, got -1"):
        decode_rows(rows(-1), task, lambda index, image: None)


def test_the_learner_says_which_kind_it_has_no_head_for(counting: TaskKind) -> None:
    from clbench.learners._vit.heads import head_class

    task = Task("x", "counting", "count_accuracy", lambda split: Dataset.from_dict({}), str)
    with pytest.raises(ConfigError, match="task 'x': a vision transformer has no head for counting"):
        head_class(task)


def test_a_class_that_is_no_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "odd.py"
    path.write_text("from clbench.kinds import TASK_KINDS\n\n\n@TASK_KINDS.register('odd')\nclass Odd: ...\n")
    try:
        TASK_KINDS.add_file(path)
        with pytest.raises(RegistryError, match="task kind 'odd': wanted a subclass of TaskKind, got Odd"):
            kind_of("odd")
    finally:
        TASK_KINDS.forget_files()
