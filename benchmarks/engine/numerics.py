"""Settings of torch that make results equal to the bit on one machine."""

import os

import torch


def make_deterministic() -> None:
    """Same seed, same bits, on the same machine; for the whole process.

    On a GPU an operation without a deterministic kernel is an error, and on a CPU, which has none, a warning. A warning
    is not enough on a GPU: fused attention then takes backward passes whose sums have no fixed order.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=not torch.cuda.is_available())
    # A debugging aid that costs time; torch makes it a property of the module, which types cannot see.
    setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)  # noqa: B010
    torch.backends.cudnn.benchmark = False
