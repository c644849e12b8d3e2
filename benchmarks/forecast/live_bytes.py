"""Bytes of all tensors that are alive while a piece of work runs, and their peak; of fake tensors, too."""

import weakref
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Counts storages from the operation that makes them until they are freed.

    A storage counts once, however many views it has. What lives inside of one operation (workspaces of kernels) is not
    seen, nor is what an allocator rounds up or keeps.

    Args:
        known: Tensors that are there from the beginning.

    Attributes:
        now: Bytes that are alive.
        peak: Most bytes that were alive at the end of an operation since the last `restart`.
    """

    def __init__(self, known: Iterable[torch.Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now: int = 0
        self._alive: set[int] = set()
        for tensor in known:
            self._see(tensor)
        self.peak = self.now

    def restart(self) -> None:
        """Forget the peak."""
        self.peak = self.now

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation and look at its outputs."""
        found = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(found):
            if isinstance(leaf, torch.Tensor):
                self._see(leaf)
        self.peak = max(self.peak, self.now)
        return found

    def _see(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()  # noqa: SLF001 (the storage itself; Python's wrapper changes)
        if key not in self._alive:
            self._alive.add(key)
            self.now += size
            weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self._alive.discard(key)
        self.now -= size
