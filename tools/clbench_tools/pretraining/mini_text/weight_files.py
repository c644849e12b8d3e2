"""Files of weights in the form in which they ship."""

from pathlib import Path

from safetensors.torch import save_file
from torch import nn

from clbench.core.storage import written_whole


def save_weights(path: Path, model: nn.Module) -> None:
    """Write parameters in float16, each shared tensor once."""
    state = {name: p.detach().half().contiguous() for name, p in model.named_parameters()}
    with written_whole(path) as aside:
        save_file(state, aside, metadata={"format": "pt"})
        aside.chmod(0o644)  # safetensors writes files that only their owner reads
