"""What is asked of an image, as a card's `source` says it, and the column that it becomes."""

from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from clbench.core.config import Config
from clbench.core.errors import ConfigError
from clbench.spec.task import Kind

if TYPE_CHECKING:
    from datasets import Features


METRICS = {
    "classification": "accuracy",
    "segmentation": "dice",
    "detection": "iou",
    "points": "point_accuracy",
    "value": "value_accuracy",
}
"""Score by kind, of regression by what is asked for."""


class Answers(Config):
    """What a task asks of an image."""

    kind: Kind
    classes: tuple[str, ...] = Field((), description="Names by label; of masks the background first.")
    empty_masks: bool = Field(False, description="Whether a mask may be all background (no lesion).")
    boxes: int = Field(1, ge=1, description="Boxes of an image at most.")
    points: int = Field(0, ge=0, description="Keypoints of an image; 0 where one value is asked for.")
    value_range: tuple[float, float] | None = Field(None, description="Least and largest value that there can be.")
    unit: str = Field("", description="Of that value.")

    @model_validator(mode="after")
    def _fits_the_kind(self) -> Self:
        named = self.kind in ("classification", "segmentation")
        if named and len(set(self.classes)) < max(2, len(self.classes)):
            raise ValueError(f"{self.kind} needs at least two classes with different names")
        if self.kind == "regression" and (self.points == 0) == (self.value_range is None):
            raise ValueError("regression needs either points or a value_range")
        if self.value_range is not None and self.value_range[0] >= self.value_range[1]:
            raise ValueError(f"value_range must rise, got {list(self.value_range)}")
        fits = {
            "classes": named,
            "empty_masks": self.kind == "segmentation",
            "boxes": self.kind == "detection",
            "points": self.kind == "regression",
            "value_range": self.kind == "regression",
            "unit": self.value_range is not None,
        }
        odd = next((name for name in fits if name in self.model_fields_set and not fits[name]), None)
        if odd is not None:
            raise ValueError(f"{odd} does not fit {self.kind}")
        return self

    def check_metric(self, metric: str, where: str) -> None:
        """Compare a card's metric with the one that scores such answers.

        Raises:
            ConfigError: When it is another one.
        """
        fitting = METRICS[self.kind] if self.kind != "regression" else METRICS["points" if self.points else "value"]
        if metric != fitting:
            raise ConfigError(f"{where}: metric must be {fitting} for {self.kind}, got {metric!r}")

    @property
    def feature(self) -> "Features":
        """The one column of the truth: `label`, `mask`, `boxes`, `points` or `value`."""
        from datasets import ClassLabel, Features, Image, List, Value

        numbers = List(List(Value("float64")))
        columns: dict[str, Any] = {
            "classification": {"label": ClassLabel(names=list(self.classes))} if self.classes else {},
            "segmentation": {"mask": Image()},
            "detection": {"boxes": numbers},
            "regression": {"points": numbers} if self.points else {"value": Value("float64")},
        }
        return Features(columns[self.kind])
