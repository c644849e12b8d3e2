"""Classification: each sample has one of the task's classes."""

from collections.abc import Set
from typing import TYPE_CHECKING, Any, final

from clbench.kinds._image_kind import Asked, ImageKind, require_names
from clbench.kinds._task_kind import TASK_KINDS

if TYPE_CHECKING:
    from clbench.spec.task import Task


@TASK_KINDS.register("classification")
@final
class Classification(ImageKind):
    """One class for each sample: `image` and `label`; for language models `text`, `answer` (text) and `label`."""

    heading = "Classification: accuracy"
    short_heading = "cls acc"
    place = 1
    measures = ("probability/",)
    scores_tokens = True

    def has_class(self, task: "Task") -> bool:
        """Whether the task has classes: samples with choices of their own have none."""
        return bool(task.classes)

    def fitting(self, asked: Asked) -> Set[str]:
        """The classes.

        Raises:
            ValueError: When there are none.
        """
        require_names(asked, "classification")
        return {"classes"}

    def metric(self, asked: Asked) -> str:
        """`accuracy`."""
        return "accuracy"

    def column(self, asked: Asked) -> str:
        """`label`."""
        return "label"

    def feature(self, asked: Asked) -> Any:
        """The classes by their names."""
        from datasets import ClassLabel

        return ClassLabel(names=list(asked.classes))
