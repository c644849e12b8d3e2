"""PEFT's adapters as a learner's weights: merged into their base model, or refused, but never mistaken for a model."""

import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from torch import nn

from clbench.core.checkpoints import load_tensors
from clbench.core.errors import CheckpointError
from clbench.core.storage import read_json

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
NAMES = re.compile(r"^base_model\.|\.base_layer\.|\.lora_[A-Za-z]")
"""Names of tensors of an adapter, or of a model with an adapter in it, as PEFT and others give them."""
KEEPS_BASE = (True, False, None, "gaussian", "eva", "orthogonal", "mica")
"""Values of `init_lora_weights` that leave the base model unchanged, unlike PiSSA, LoRA-GA and others."""
UNMERGEABLE = (
    *("alora_invocation_tokens", "arrow_config", "kasa_config", "layer_replication", "megatron_config"),
    *("monteclora_config", "use_bdlora", "use_qalora", "velora_config"),
)
"""Settings with which LoRA is more than a product that is added to a weight."""
WAY_OUT = "merge it into its base (PEFT's merge_and_unload) and save that model"


@dataclass(frozen=True)
class LoraFolder:
    """A LoRA adapter in a folder, and the folder of the model that it was trained on."""

    path: Path
    base: Path

    @property
    def tokenizer(self) -> Path:
        """Folder of the tokenizer: the adapter's own if it has one, else the base model's."""
        own = any((self.path / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json"))
        return self.path if own else self.base

    def merge_into(self, model: nn.Module) -> nn.Module:
        """Merge the adapter into the weights of its base model; names of parameters stay the same.

        Raises:
            CheckpointError: When the adapter was made for another model or cannot be merged.
        """
        from peft import PeftConfig, PeftModel, set_peft_model_state_dict

        state = load_tensors(self.path / WEIGHTS)
        names = [name for name, _ in model.named_parameters()]
        try:
            with warnings.catch_warnings(action="ignore"):
                wrapped: Any = PeftModel(model, PeftConfig.from_pretrained(str(self.path)))
                found: Any = set_peft_model_state_dict(wrapped, state)
                merged: nn.Module = wrapped.merge_and_unload()
        except (AttributeError, ImportError, LookupError, RuntimeError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(f"{self.path}: cannot be merged into {self.base}: {reason}") from None
        strays = sorted([*found.unexpected_keys, *(name for name in found.missing_keys if ".default" in name)])
        if strays:
            raise CheckpointError(f"{self.path}: was made for another model than {self.base}: {strays[0]}")
        if [name for name, _ in merged.named_parameters()] != names:  # a head that no longer shares the embedding
            raise CheckpointError(f"{self.path}: cannot be merged: it changes which weights are shared")
        return merged.requires_grad_(True)


def lora_in(source: Path) -> LoraFolder | None:
    """The adapter in a folder; None if `source` is not a folder with an adapter.

    Raises:
        CheckpointError: For an adapter that cannot be merged into a base in another folder.
    """
    if not (source / CONFIG).is_file():
        return None
    values = read_json(source / CONFIG)
    if any(source.glob("model*.safetensors")):
        raise CheckpointError(f"{source}: holds a model and an adapter ({CONFIG}); wanted one of them")
    if values.get("peft_type") != "LORA":
        raise CheckpointError(f"{source}: wanted a LoRA adapter, got {values.get('peft_type')!r}: {WAY_OUT}")
    _require_plain(source, values)
    if not (source / WEIGHTS).is_file():
        raise CheckpointError(f"{source}: wanted {WEIGHTS} (other formats can run code), found none")
    base = base_of(source)
    if base is None:
        got = f"base_model_name_or_path {values.get('base_model_name_or_path')!r} in {CONFIG}"
        raise CheckpointError(f"{source}: an adapter whose base is no folder here: correct {got}, or {WAY_OUT}")
    if (base / CONFIG).is_file():
        raise CheckpointError(f"{source}: its base {base} is an adapter itself: {WAY_OUT}")
    return LoraFolder(source, base)


def base_of(source: Path) -> Path | None:
    """Folder of the base model of the adapter in a folder; None without an adapter, or if that folder does not exist.

    Raises:
        CheckpointError: When the adapter's settings are damaged.
    """
    if not (source / CONFIG).is_file():
        return None
    base = read_json(source / CONFIG).get("base_model_name_or_path")
    return Path(base) if isinstance(base, str) and base and Path(base).is_dir() else None


def refuse_adapter(names: Iterable[str], where: str) -> None:
    """Refuse tensors of an adapter that are given as those of a model.

    Raises:
        CheckpointError: When one of the names belongs to an adapter.
    """
    found = min(filter(NAMES.search, names), default=None)
    if found is not None:
        raise CheckpointError(f"{where}: holds an adapter ({found}), wanted a model: {WAY_OUT}")


def _require_plain(source: Path, values: Mapping[str, object]) -> None:
    """Refuse settings that change the base, or that the installed PEFT would drop with a warning."""
    from peft import LoraConfig

    known = {field.name for field in fields(LoraConfig)} | {"peft_version"}
    for name, value in values.items():
        if name in UNMERGEABLE and value:
            raise CheckpointError(f"{source}: an adapter with {name} cannot be merged")
        if name not in known and value:
            raise CheckpointError(f"{source}: has the setting {name}, which the installed PEFT does not know")
    began = values.get("init_lora_weights", True)
    if began not in KEEPS_BASE:
        raise CheckpointError(f"{source}: with init_lora_weights {began!r} the base was changed, too: {WAY_OUT}")
