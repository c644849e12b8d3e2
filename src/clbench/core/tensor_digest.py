"""One hash for all weights: equal digests mean equal tensors under equal names."""

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor


def tensor_digest(named: Iterable[tuple[str, Tensor]], begin: str = "") -> str:
    """BLAKE2b hash of named tensors in the given order, 32 hexadecimal digits.

    Shapes and types are not hashed: names stand for them.

    Args:
        named: Names and tensors, of any type and on any device.
        begin: Text that is hashed first, such as the digest of what the tensors belong to.
    """
    digest = hashlib.blake2b(begin.encode(), digest_size=16)
    for name, tensor in named:
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
