"""A CLIP small enough for tests: random weights, bytes as tokens, 16 x 16 images."""

from collections.abc import Sequence

import open_clip
import torch
from torch import Tensor

from clbench.core.registry import LEARNERS
from clbench.core.seeding import derive
from clbench.learners._clip.clip_learner import ClipLearner
from clbench.learners._shared.image_format import ImageFormat

CONTEXT = 24
END = 258


@LEARNERS.register("tiny-clip")
def tiny_clip(argument: str, seed: int) -> ClipLearner:
    """A tiny CLIP with random weights, others for each argument."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "learner", *argument.split()))
        model = open_clip.CLIP(
            embed_dim=16,
            vision_cfg={"image_size": 16, "patch_size": 8, "width": 32, "layers": 2, "head_width": 16},
            text_cfg={"context_length": CONTEXT, "vocab_size": 259, "width": 32, "heads": 2, "layers": 2},
        )
    return ClipLearner(
        f"tiny-clip:{argument}" if argument else "tiny-clip",
        model,
        tokenise,
        ImageFormat(16, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
    )


def tokenise(texts: Sequence[str]) -> Tensor:
    """Bytes plus 1, an end token, zeros."""
    rows = [[byte + 1 for byte in text.encode()[: CONTEXT - 1]] + [END] for text in texts]
    return torch.tensor([row + [0] * (CONTEXT - len(row)) for row in rows])
