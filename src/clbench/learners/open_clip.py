"""Any model of open_clip: random weights, pre-trained weights by tag, or a local checkpoint."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import open_clip

from clbench.core.errors import CheckpointError, ConfigError, did_you_mean
from clbench.core.registry import LEARNERS
from clbench.core.seeding import derive, seeded_apart
from clbench.learners._clip.clip_learner import ClipLearner
from clbench.learners._shared.image_format import ImageFormat
from clbench.learners._shared.weights import load_into


@LEARNERS.register("open_clip", argument="wanted")
def open_clip_learner(argument: str, seed: int) -> ClipLearner:
    """An open_clip model: `open_clip:ARCH` (random weights), `open_clip:ARCH/TAG` (hub, cache), `open_clip:ARCH/FILE`.

    A tag determines the activation function, a file does not: weights that were trained with QuickGELU (OpenAI's and
    others) need an architecture of that name (`open_clip:ViT-B-16-quickgelu/weights.safetensors`).

    Args:
        argument: `ViT-B-16`, `ViT-B-16/openai` or `ViT-B-16/weights.safetensors`.
        seed: Seed of random weights.

    Raises:
        ConfigError: For an unknown architecture or tag.
        CheckpointError: For weights that are missing, cannot be fetched or belong to another architecture.
    """
    architecture, _, weights = argument.partition("/")
    if architecture not in open_clip.list_models():
        hint = did_you_mean(architecture, open_clip.list_models())
        raise ConfigError(f"learner open_clip:{argument}: unknown architecture {architecture!r}: {hint}")
    model = _with_weights(architecture, weights, seed)
    shape = open_clip.get_model_preprocess_cfg(model)
    size = shape["size"] if isinstance(shape["size"], int) else shape["size"][0]
    return ClipLearner(
        f"open_clip:{argument}",
        model,
        open_clip.get_tokenizer(architecture),
        ImageFormat(size, tuple(shape["mean"]), tuple(shape["std"])),
    )


def _with_weights(architecture: str, weights: str, seed: int) -> Any:
    name = f"learner open_clip:{architecture}/{weights}"
    if not weights:
        with seeded_apart(derive(seed, "learner")), _without_noise():
            return open_clip.create_model(architecture)
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if weights in tags:
        # open_clip 3 builds plain GELU for `ViT-B-16/openai` and only warns, which costs points in silence.
        quick = bool(open_clip.get_pretrained_cfg(architecture, weights).get("quick_gelu"))
        try:
            with _without_noise():
                return open_clip.create_model(architecture, pretrained=weights, force_quick_gelu=quick)
        except (OSError, RuntimeError, ValueError) as error:  # the hub's client raises these when there is no network
            reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise CheckpointError(f"{name}: the weights are not in the cache and cannot be fetched: {reason}") from None
    if not weights.endswith(".safetensors"):
        raise ConfigError(f"{name}: wanted a .safetensors file or a tag: {did_you_mean(weights, tags)}")
    if not Path(weights).is_file():  # before the model is built, which takes seconds
        raise CheckpointError(f"{name}: {weights}: no such file")
    with _without_noise():
        model = open_clip.create_model(architecture)
    load_into(model, Path(weights))
    return model


@contextlib.contextmanager
def _without_noise() -> Iterator[None]:
    """Suppress open_clip's records in the root logger: random weights are intended, and errors are raised as well."""
    logger = logging.getLogger()

    def other_than_open_clip(record: logging.LogRecord) -> bool:
        return not (record.levelno <= logging.ERROR and "open_clip" in Path(record.pathname).parts)

    logger.addFilter(other_than_open_clip)
    try:
        yield
    finally:
        logger.removeFilter(other_than_open_clip)
