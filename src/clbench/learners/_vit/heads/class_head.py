"""Classification of whole images: a linear layer on the class token and the mean patch token."""

from typing import TYPE_CHECKING, Self, final

import torch.nn.functional as F
from torch import Tensor, nn

from clbench.contracts import Batch, Task
from clbench.learners._shared.classes import labels_of
from clbench.learners._vit.heads.head import Head, lacks
from clbench.learners._vit.trunk import Features

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa
    from datasets import Dataset


@final
class ClassHead(Head):
    """LayerNorm, dropout 0.2, linear; cross-entropy."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.read = nn.Sequential(nn.LayerNorm(2 * width), nn.Dropout(0.2), nn.Linear(2 * width, classes))

    @classmethod
    def of(cls, task: Task, width: int) -> Self:
        """A head for a task.

        Raises:
            ConfigError: For a task without classes.
        """
        if not task.classes:
            raise lacks(task, "classes")
        return cls(width, len(task.classes))

    @classmethod
    def targets(cls, rows: "Dataset", truth: "Mapping[str, pa.Array]", task: Task, size: int) -> dict[str, Tensor]:
        """`label` `(n,)` int64.

        Args:
            rows: The rows.
            truth: Their truth.
            task: The task.
            size: Side of the learner's images in pixels.

        Raises:
            DataError: For a label outside the task's classes.
        """
        return {"label": labels_of(rows, task)}

    def forward(self, features: Features) -> Tensor:
        """Scores `(n, classes)`."""
        scores: Tensor = self.read(features.whole)
        return scores.float()

    def loss(self, answer: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy with `label` `(n,)`."""
        return F.cross_entropy(answer, batch["label"])

    def predict(self, answer: Tensor, size: int) -> Tensor:
        """The scores, unchanged."""
        return answer
