"""Generation: texts answered with texts, or by one of each sample's own choices."""

from typing import TYPE_CHECKING, final

from clbench.kinds._task_kind import TASK_KINDS, TaskKind

if TYPE_CHECKING:
    from clbench.spec.task import Task


@TASK_KINDS.register("generation")
@final
class Generation(TaskKind):
    """Written answers: `text` (the whole input, prompt included) and `answer`; with multiple choice also `choices`.

    With multiple choice every row has the same number of `choices`, `answer` is the right one and `label` its position;
    the task has no classes.
    """

    heading = "Text: score"
    short_heading = "text score"
    place = 4
    scores_tokens = True

    def has_class(self, task: "Task") -> bool:
        """Whether the task has classes, one of which is written."""
        return bool(task.classes)
