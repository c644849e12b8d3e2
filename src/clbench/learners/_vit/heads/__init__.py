"""Light heads on the tokens of a vision transformer, one a task, made by the task's kind."""

from clbench.contracts import Task
from clbench.core.errors import ConfigError
from clbench.learners._vit.heads.boxes import BoxHead
from clbench.learners._vit.heads.classes import ClassHead
from clbench.learners._vit.heads.head import Head
from clbench.learners._vit.heads.masks import MaskHead
from clbench.learners._vit.heads.points import PointHead
from clbench.learners._vit.heads.value import ValueHead

__all__ = ["BoxHead", "ClassHead", "Head", "MaskHead", "PointHead", "ValueHead", "head_for"]


def head_for(task: Task, width: int) -> Head:
    """A fresh head for a task on tokens of some width, drawn from torch's global state.

    Raises:
        ConfigError: For a kind that has none, or a task that does not say enough.
    """
    if task.kind == "classification" and task.classes:
        return ClassHead(width, len(task.classes))
    if task.kind == "segmentation" and len(task.classes) > 1:
        return MaskHead(width, len(task.classes))
    if task.kind == "detection":
        return BoxHead(width, task.boxes)
    if task.kind == "regression" and task.points:
        return PointHead(width, task.points)
    if task.kind == "regression" and task.value_range:
        return ValueHead(width, task.value_range)
    lacks = {"classification": "classes", "segmentation": "classes, the background first", "regression": "value_range"}
    wanted = f"its {lacks[task.kind]}" if task.kind in lacks else "a task on images"
    raise ConfigError(f"task {task.name!r}: a vision transformer's head for {task.kind} needs {wanted}, got none")
