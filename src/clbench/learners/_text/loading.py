"""Models of transformers from a folder, the hub, or with random weights in a known shape."""

import contextlib
import io
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from clbench.core.errors import CheckpointError, ConfigError, did_you_mean
from clbench.core.seeding import derive, seeded_apart
from clbench.learners._shared.adapter_folders import WAY_OUT, lora_in, refuse_adapter

RANDOM = "random:"
"""First part of an argument that asks for random weights of a known shape."""
SOURCES = f"a hub name, a folder or {RANDOM}SHAPE"
"""What the argument of such a learner may be, for messages."""


def load_pretrained(learner: str, source: str, model_class: Any, **settings: Any) -> tuple[nn.Module, Any]:
    """Load model and tokenizer from a folder or the hub; only safetensors are read, and no code in them can run.

    A folder with a LoRA adapter of PEFT gives the adapter's base model with the adapter merged into it.

    Args:
        learner: Name of the learner, for messages.
        source: Folder or hub name.
        model_class: Class of transformers.
        **settings: Further arguments of `from_pretrained`.

    Raises:
        CheckpointError: When they are missing, damaged, of another architecture or cannot be fetched.
    """
    from transformers import AutoTokenizer
    from transformers.utils.peft_utils import find_adapter_config_file

    try:
        adapter = lora_in(Path(source))
    except CheckpointError as error:
        raise CheckpointError(f"learner {learner}: {error}") from None
    settings = {"trust_remote_code": False, **settings}
    try:
        with quiet():
            # transformers would wrap the model's layers in the adapter's, and strategies would train those.
            if not Path(source).is_dir() and find_adapter_config_file(source):
                raise ValueError(f"it is an adapter: download it and its base, or {WAY_OUT}")
            tokenizer = AutoTokenizer.from_pretrained(adapter.tokenizer if adapter else source, **settings)
            model, info = model_class.from_pretrained(
                adapter.base if adapter else source,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
                **settings,
            )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(f"learner {learner}: {source}: cannot be loaded: {reason}") from None
    where = f"learner {learner}: {adapter.base if adapter else source}"
    refuse_adapter(info["unexpected_keys"], where)
    missing = sorted(info["missing_keys"])
    if missing:
        raise CheckpointError(f"{where}: made for another architecture: {missing[0]} is missing")
    if adapter is None:
        return model, tokenizer
    try:
        return adapter.merge_into(model), tokenizer
    except CheckpointError as error:
        raise CheckpointError(f"learner {learner}: {error}") from None


def random_weights(learner: str, shapes: Mapping[str, Any], shape: str, model_class: Any, seed: int) -> nn.Module:
    """Build a model of a known shape with random weights, for counting, timing and training from scratch.

    Args:
        learner: Name of the learner, for messages.
        shapes: Configurations of transformers, by name.
        shape: Name of the shape.
        model_class: Class of transformers.
        seed: Seed of the weights.

    Raises:
        ConfigError: For an unknown shape.
    """
    if shape not in shapes:
        raise ConfigError(f"learner {learner}: unknown shape {shape!r}: {did_you_mean(shape, shapes)}")
    with seeded_apart(derive(seed, "learner")), quiet():
        model: nn.Module = model_class(shapes[shape])
    return model


class ByteTokens:
    """Bytes as tokens, for models with random weights, which have no tokenizer; 1 is the end mark.

    Args:
        offset: Id of byte 0.
    """

    eos_token_id = 1
    bos_token_id = None

    def __init__(self, offset: int = 3) -> None:
        self._offset = offset

    def __call__(self, texts: list[str], add_special_tokens: bool = True) -> dict[str, list[list[int]]]:
        """Token ids, as transformers' tokenizers give them."""
        end = [self.eos_token_id] if add_special_tokens else []
        return {"input_ids": [[*(byte + self._offset for byte in text.encode()), *end] for text in texts]}

    def get_vocab(self) -> dict[str, int]:
        """Ids by token, as transformers' tokenizers give them."""
        return {f"byte {byte}": byte + self._offset for byte in range(256)}

    def batch_decode(self, rows: list[list[int]], skip_special_tokens: bool = True) -> list[str]:
        """Texts of token ids; ids that are not bytes are left out."""
        own = range(self._offset, self._offset + 256)
        return [bytes(i - self._offset for i in row if i in own).decode(errors="replace") for row in rows]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress transformers' progress bars and log messages; errors are raised as exceptions."""
    from transformers.utils import logging as messages

    level, bars = messages.get_verbosity(), messages.is_progress_bar_enabled()
    messages.set_verbosity(logging.CRITICAL)
    messages.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # the reader of GGUF has its own progress bar
            yield
    finally:
        messages.set_verbosity(level)
        if bars:
            messages.enable_progress_bar()  # type: ignore[no-untyped-call]
