"""What devices can do, and copies to them that the host does not wait for."""

import torch
from torch import Tensor

BFLOAT16_FROM = 8
"""First major compute capability of NVIDIA's with arithmetic in bfloat16 (A100); T4 and V100 have 7 and emulate it."""


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device is a GPU that computes in bfloat16 by itself; False for one that emulates it, and for a CPU."""
    if device.type != "cuda":
        return False
    return torch.version.hip is not None or torch.cuda.get_device_capability(device)[0] >= BFLOAT16_FROM


def device_kind(device: torch.device) -> str:
    """The kind of a device as far as it decides bits: `cpu`, `cuda`, `cuda without bfloat16` or another type."""
    return "cuda without bfloat16" if device.type == "cuda" and not has_bfloat16(device) else device.type


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device, of which the host may do other things while it is copied.

    Copies from pageable memory make the host wait, even if they are asked not to. So what goes from the computer's
    memory to a GPU goes through pinned memory, which torch keeps until the copy is done.
    """
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    # In the other direction the host must wait: it would read the result before it is there.
    return tensor.to(device, non_blocking=device.type == "cuda")
