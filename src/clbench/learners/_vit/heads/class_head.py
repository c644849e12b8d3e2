"""Classification of whole images: a linear layer on the class token and the mean patch token."""

from typing import final

import torch.nn.functional as F
from torch import Tensor, nn

from clbench.contracts import Batch
from clbench.learners._vit.heads.head import Head
from clbench.learners._vit.trunk import Features


@final
class ClassHead(Head):
    """LayerNorm, dropout 0.2, linear; cross-entropy."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.read = nn.Sequential(nn.LayerNorm(2 * width), nn.Dropout(0.2), nn.Linear(2 * width, classes))

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
