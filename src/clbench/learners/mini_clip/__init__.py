"""mini-clip: a CLIP of 1.9 million weights that ships with the package, pre-trained by `clbench_tools.pretraining`."""

import json
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path

import open_clip
import torch
from torch import Tensor

from clbench.core.registry import LEARNERS
from clbench.learners._clip.clip_learner import ClipLearner
from clbench.learners._shared.arguments import refuse_argument
from clbench.learners._shared.image_format import read_image_format
from clbench.learners._shared.weights import load_into


@LEARNERS.register("mini-clip")
def mini_clip(argument: str, seed: int) -> ClipLearner:  # noqa: ARG001  # the signature of every learner
    """A small CLIP, pre-trained on drawings of animals, food and objects; it knows some domains of clip-mini only.

    Args:
        argument: Must be empty.
        seed: Not used: the weights are those that ship with the package.

    Raises:
        ConfigError: For an argument.
        CheckpointError: When the installed weights are damaged.
    """
    refuse_argument("mini-clip", argument)
    folder = Path(str(files(__package__)))
    model = open_clip.CLIP(**json.loads((folder / "config.json").read_text(encoding="utf-8")))
    load_into(model, folder / "model.safetensors")
    image_format = read_image_format(folder / "preprocess.json")
    return ClipLearner("mini-clip", model, small_tokenizer(folder / "tokenizer.json"), image_format)


def small_tokenizer(path: Path) -> Callable[[Sequence[str]], Tensor]:
    """A function from n texts to `(n, context)` int64 tokens, by a file of the `tokenizers` library."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))

    def tokenise(texts: Sequence[str]) -> Tensor:
        return torch.tensor([item.ids for item in tokenizer.encode_batch(list(texts))], dtype=torch.int64)

    return tokenise
