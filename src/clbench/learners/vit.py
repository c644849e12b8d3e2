"""Any vision transformer of timm: random weights, or a local file of weights under timm's names."""

from pathlib import Path
from typing import Any

import timm
from timm.data.config import resolve_model_data_config
from torch import nn

from clbench.core.checkpoints import load_tensors
from clbench.core.errors import CheckpointError, ConfigError, did_you_mean
from clbench.core.registry import LEARNERS
from clbench.core.seeding import derive, seeded_apart
from clbench.learners._shared.image_format import ImageFormat
from clbench.learners._shared.weights import copy_into
from clbench.learners._vit.vit_learner import VitLearner


@LEARNERS.register("vit", argument="wanted")
def vit(argument: str, seed: int) -> VitLearner:
    """A vision transformer of timm: `vit:NAME` (random weights), `vit:NAME/FILE.safetensors`.

    Names are timm's, such as `vit_small_patch14_dinov2`, `vit_base_patch16_dinov3` or `vit_base_patch16_224`. Images
    have timm's default size for the model; `NAME@SIZE` builds it for another size, a multiple of the patch size.

    Args:
        argument: Name, size and file, as above. Weights of a classifier in the file are ignored.
        seed: Seed of random weights and of the heads of tasks.

    Raises:
        ConfigError: For an unknown name, or a model that is not a plain vision transformer.
        CheckpointError: For weights that are missing or belong to another model.
    """
    architecture, _, file = argument.partition("/")
    name, _, size = architecture.partition("@")
    if name not in timm.list_models():
        raise ConfigError(f"learner vit:{argument}: unknown model {name!r}: {did_you_mean(name, timm.list_models())}")
    if size and not size.isdecimal():
        raise ConfigError(f"learner vit:{argument}: the size must be a whole number of pixels, got {size!r}")
    if file and not Path(file).is_file():  # before the model is built, which takes seconds
        raise CheckpointError(f"learner vit:{argument}: {file}: no such file")
    with seeded_apart(derive(seed, "learner")):
        model = _built(name, int(size) if size else None, argument)
    if file:
        load_backbone(model, Path(file))
    built: Any = model
    shape: dict[str, Any] = resolve_model_data_config(model)  # type: ignore[no-untyped-call]
    images = ImageFormat(built.patch_embed.img_size[0], tuple(shape["mean"]), tuple(shape["std"]))
    return VitLearner(f"vit:{argument}", model, images, seed)


def load_backbone(model: nn.Module, path: Path) -> None:
    """Load weights under timm's names; a classifier's weights are ignored, its norm becomes the final norm.

    Raises:
        CheckpointError: When the file is missing, damaged or made for another architecture.
    """
    state = load_tensors(path)
    state = {name: tensor for name, tensor in state.items() if not name.startswith(("head.", "attn_pool."))}
    if "norm.weight" in model.state_dict() and "norm.weight" not in state:
        state = {name.replace("fc_norm.", "norm.", 1): tensor for name, tensor in state.items()}
    copy_into(model, state, path)


def _built(name: str, size: int | None, argument: str) -> nn.Module:
    """Build a model without classifier and pooling, for images of a fixed size."""
    settings: dict[str, Any] = {"num_classes": 0, "global_pool": "", "dynamic_img_size": False}
    if size:
        settings["img_size"] = size
    try:
        model: nn.Module = timm.create_model(name, **settings)
    except (TypeError, RuntimeError, AssertionError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"learner vit:{argument}: timm cannot build it as a plain transformer: {reason}") from None
    return model
