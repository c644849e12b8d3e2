"""mini-vit: a vision transformer of 1.4 million weights that ships with the package, pre-trained on phantoms."""

import json
from importlib.resources import files
from pathlib import Path

from timm.models import VisionTransformer

from clbench.core.registry import LEARNERS
from clbench.learners._shared.arguments import refuse_argument
from clbench.learners._shared.image_format import read_image_format
from clbench.learners._shared.weights import load_into
from clbench.learners._vit.vit_learner import VitLearner


@LEARNERS.register("mini-vit")
def mini_vit(argument: str, seed: int) -> VitLearner:
    """A small vision transformer, pre-trained without labels on phantoms of transducers and organs of no stream.

    Args:
        argument: Must be empty.
        seed: Seed of the heads of tasks; the backbone is the one that ships with the package.

    Raises:
        ConfigError: For an argument.
        CheckpointError: When the installed weights are damaged.
    """
    refuse_argument("mini-vit", argument)
    folder = Path(str(files(__package__)))
    model = VisionTransformer(**json.loads((folder / "config.json").read_text(encoding="utf-8")))
    load_into(model, folder / "model.safetensors")
    return VitLearner("mini-vit", model, read_image_format(folder / "preprocess.json"), seed)
