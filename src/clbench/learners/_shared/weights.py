"""Loading weights into a model; what does not fit is reported in one line."""

from pathlib import Path

from torch import Tensor, nn

from clbench.core.checkpoints import load_tensors
from clbench.core.errors import CheckpointError
from clbench.learners._shared.adapter_folders import refuse_adapter


def load_into(model: nn.Module, path: Path) -> None:
    """Load a safetensors file with open_clip's parameter names into a model.

    Raises:
        CheckpointError: When the file is missing, damaged or made for another architecture.
    """
    copy_into(model, load_tensors(path), path)


def copy_into(model: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Copy weights that were read from a file into a model.

    Args:
        model: The model.
        state: Weights by name.
        path: The file, for messages.

    Raises:
        CheckpointError: When the weights belong to another architecture.
    """
    wanted = model.state_dict()
    refuse_adapter(state.keys() - wanted.keys(), str(path))
    for name in sorted(wanted.keys() | state.keys()):
        if name not in state or name not in wanted:
            what = "missing" if name not in state else "not wanted"
            raise CheckpointError(f"{path}: made for another architecture: {name} is {what}")
        if state[name].shape != wanted[name].shape:
            shapes = f"must be {tuple(wanted[name].shape)}, got {tuple(state[name].shape)}"
            raise CheckpointError(f"{path}: made for another architecture: {name} {shapes}")
    model.load_state_dict(state)
