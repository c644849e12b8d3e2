"""Segmentation: class scores at four times the patches' resolution."""

from typing import final

import torch.nn.functional as F
from torch import Tensor, nn

from clbench.contracts import Batch
from clbench.learners._vit.dense_losses import dice_loss
from clbench.learners._vit.heads.head import Head, Upsampler
from clbench.learners._vit.trunk import Features


@final
class MaskHead(Head):
    """An upsampler and a 1 x 1 convolution, bilinearly enlarged to the image; Dice loss plus cross-entropy."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.grow = Upsampler(width, 2)
        self.read = nn.Conv2d(self.grow.channels, classes, 1)

    def forward(self, features: Features) -> Tensor:
        """Scores `(n, classes, 4 rows, 4 columns)`."""
        scores: Tensor = self.read(self.grow(features.patches))
        return scores.float()

    def loss(self, answer: Tensor, batch: Batch) -> Tensor:
        """Dice loss plus cross-entropy, at the size of `mask` `(n, size, size)`."""
        target = batch["mask"].long()
        scores = _enlarged(answer, target.shape[-1])
        return dice_loss(scores.softmax(dim=1), target) + F.cross_entropy(scores, target)

    def predict(self, answer: Tensor, size: int) -> Tensor:
        """Class ids `(n, size, size)` uint8."""
        return _enlarged(answer, size).argmax(dim=1).byte()


def _enlarged(scores: Tensor, size: int) -> Tensor:
    return F.interpolate(scores, size=(size, size), mode="bilinear", align_corners=False)
