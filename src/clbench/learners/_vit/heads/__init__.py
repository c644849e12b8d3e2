"""Light heads on the tokens of a vision transformer: one for each task, by the task's kind."""

from clbench.contracts import Task
from clbench.core.errors import ConfigError
from clbench.learners._vit.heads.box_head import BoxHead
from clbench.learners._vit.heads.class_head import ClassHead
from clbench.learners._vit.heads.head import Head
from clbench.learners._vit.heads.mask_head import MaskHead
from clbench.learners._vit.heads.point_head import PointHead
from clbench.learners._vit.heads.value_head import ValueHead

__all__ = ["BoxHead", "ClassHead", "Head", "MaskHead", "PointHead", "ValueHead", "head_for"]


def head_for(task: Task, width: int) -> Head:
    """A new head for a task on tokens of a width; its weights are drawn from torch's global state.

    Raises:
        ConfigError: For a kind without a head, or a task without the classes or the range that its head needs.
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
