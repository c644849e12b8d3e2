"""Light heads on the tokens of a vision transformer: one for each task, registered by the task's kind."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from clbench.contracts import Task
from clbench.core.errors import ConfigError
from clbench.learners._vit.heads.box_head import BoxHead
from clbench.learners._vit.heads.class_head import ClassHead
from clbench.learners._vit.heads.head import Head
from clbench.learners._vit.heads.mask_head import MaskHead
from clbench.learners._vit.heads.point_head import PointHead
from clbench.learners._vit.heads.value_head import ValueHead

__all__ = ["HEADS", "BoxHead", "ClassHead", "Head", "MaskHead", "PointHead", "ValueHead", "head_class", "head_for"]

HEADS: Mapping[str, Callable[[Task], type[Head]]] = MappingProxyType(
    {
        "classification": lambda task: ClassHead,
        "segmentation": lambda task: MaskHead,
        "detection": lambda task: BoxHead,
        "regression": lambda task: PointHead if task.points else ValueHead,
    }
)
"""The class of a task's head, by the task's kind."""


def head_class(task: Task) -> type[Head]:
    """The class of a task's head.

    Raises:
        ConfigError: For a kind without a head.
    """
    if task.kind not in HEADS:
        known = ", ".join(HEADS)
        raise ConfigError(f"task {task.name!r}: a vision transformer has no head for {task.kind} (known: {known})")
    return HEADS[task.kind](task)


def head_for(task: Task, width: int) -> Head:
    """A new head for a task on tokens of a width; its weights are drawn from torch's global state.

    Raises:
        ConfigError: For a kind without a head, or a task without the classes or the range that its head needs.
    """
    return head_class(task).of(task, width)
