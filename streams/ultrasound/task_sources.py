"""What is asked of an image: a card's `source`, the columns of its rows, and the task made from both."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Self, TypeVar

from pydantic import Field, model_validator

from clbench.core.config import Config, validate
from clbench.core.errors import ConfigError, RegistryError
from clbench.kinds import image_kind
from clbench.spec.task import Split, Task
from clbench.streams.card import StreamCard, TaskCard

if TYPE_CHECKING:
    from datasets import Dataset, Features


class Answers(Config):
    """The kind of answer that a task asks for, and its details."""

    kind: str
    classes: tuple[str, ...] = Field((), description="Names by label; of masks the background first.")
    empty_masks: bool = Field(False, description="Whether a mask may be all background (no lesion).")
    boxes: int = Field(1, ge=1, description="Boxes of an image at most.")
    points: int = Field(0, ge=0, description="Keypoints of an image; 0 where one value is asked for.")
    value_range: tuple[float, float] | None = Field(None, description="Least and largest possible value.")
    unit: str = Field("", description="Unit of that value.")

    @model_validator(mode="after")
    def _fits_the_kind(self) -> Self:
        try:
            fitting = image_kind(self.kind).fitting(self)
        except RegistryError as error:
            raise ValueError(str(error)) from error
        facts = [name for name in Answers.model_fields if name != "kind"]
        odd = next((name for name in facts if name in self.model_fields_set and name not in fitting), None)
        if odd is not None:
            raise ValueError(f"{odd} does not fit {self.kind}")
        return self

    def check_metric(self, metric: str, where: str) -> None:
        """Compare a card's metric with the score of these answers.

        Raises:
            ConfigError: When it is another one.
        """
        fitting = image_kind(self.kind).metric(self)
        if metric != fitting:
            raise ConfigError(f"{where}: metric must be {fitting} for {self.kind}, got {metric!r}")

    @property
    def column(self) -> str:
        """The one column of the truth: `label`, `mask`, `boxes`, `points` or `value`."""
        return image_kind(self.kind).column(self)

    @property
    def features(self) -> "Features":
        """The columns of a task's rows: `sample_id`, `image`, `patient`, `where` and the truth."""
        from datasets import Features, Image, Value

        text = Value("string")
        fields = {"sample_id": text, "image": Image(), "patient": text, "where": text}
        return Features({**fields, self.column: image_kind(self.kind).feature(self)})


A = TypeVar("A", bound=Answers)


def answers_of(card: StreamCard, task: TaskCard, model: type[A]) -> A:
    """The answers of a task, validated.

    Args:
        card: Card of the stream, for messages.
        task: Card of the task.
        model: `Answers`, or a subclass with what else a loader reads from `source`.

    Raises:
        ConfigError: For a `source` or a metric that does not fit.
    """
    where = f"stream {card.name}: task {task.name}"
    answers = validate(model, {**task.source, "kind": task.kind}, f"{where}: source")
    answers.check_metric(task.metric, where)
    return answers


def task_of(
    card: TaskCard, answers: Answers, load: Callable[[Split], "Dataset"], fingerprint: Callable[[Split], str]
) -> Task:
    """The task of a card.

    Args:
        card: Name, kind and metric of the task.
        answers: Kind of the answers: classes, boxes, points or a value.
        load: Reads the rows of a part.
        fingerprint: Hash of the contents of a part.
    """
    return Task(
        card.name,
        card.kind,
        card.metric,
        load,
        fingerprint,
        answers.classes,
        points=answers.points,
        boxes=answers.boxes,
        value_range=answers.value_range,
        unit=answers.unit,
        empty_masks=answers.empty_masks,
    )
