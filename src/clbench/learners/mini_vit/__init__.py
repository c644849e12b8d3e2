"""mini-vit: a vision transformer of 1.4 million weights that ships with the package, pre-trained by `pretrain.py`."""

import json
from importlib.resources import files
from pathlib import Path

from timm.models import VisionTransformer

from clbench.core.errors import ConfigError
from clbench.core.registry import LEARNERS
from clbench.learners._shared.weights import load_into
from clbench.learners._vit.vit_learner import ImageFormat, VitLearner


@LEARNERS.register("mini-vit")
def mini_vit(argument: str, seed: int) -> VitLearner:
    """A small vision transformer that has seen phantoms of other probes and organs than any stream's, without labels.

    Args:
        argument: Must be empty.
        seed: For the heads of tasks; the backbone is the one that ships with the package.

    Raises:
        ConfigError: For an argument.
        CheckpointError: When the installed weights are damaged.
    """
    if argument:
        raise ConfigError(f"learner mini-vit takes no argument, got {argument!r}")
    folder = Path(str(files(__package__)))
    model = VisionTransformer(**json.loads((folder / "config.json").read_text(encoding="utf-8")))
    load_into(model, folder / "model.safetensors")
    shape = json.loads((folder / "preprocess.json").read_text(encoding="utf-8"))
    images = ImageFormat(shape["size"], tuple(shape["mean"]), tuple(shape["std"]))
    return VitLearner("mini-vit", model, images, seed)
