"""Watches what a GPU would have to be waited for, on the CPU: reads of tensors that would be on it, and copies to it.

What would be on the GPU is followed from what certainly is: weights and batches, and all that is computed from them.
Tensors that a strategy keeps in the computer's memory (positions, lengths, random draws) may be read at any time.
"""

import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from clbench.contracts import Batch, Learner, Samples, Split, Task

READS = {
    "_local_scalar_dense",
    "bincount",
    "equal",
    "is_nonzero",
    "linalg_eigh",
    "_linalg_eigh",
    "_linalg_svd",
    "masked_select",
    "nonzero",
    "_unique2",
    "unique_dim",
}
"""Operations whose result or its size the host needs."""
WITHOUT_ORDER = {
    "adaptive_avg_pool2d_backward",
    "avg_pool3d_backward",
    "bicubic_backward",
    "ctc_loss",
    "grid_sampler_2d_backward",
    "histc",
    "kthvalue",
    "max_unpool2d",
    "median",
    "put_",
    "reflection_pad2d_backward",
    "upsample_bicubic2d_backward",
}
"""Operations that have no deterministic kernel on CUDA (list of `torch.use_deterministic_algorithms`).

For `upsample_bilinear2d_backward` torch takes another way on a GPU."""


class _Functions(TorchFunctionMode):
    """Sees the calls of Python that a copy to the same device hides: `tolist`, `cpu`, `to`, `tensor`."""

    def __init__(self, guard: "DeviceGuard") -> None:
        super().__init__()
        self._guard = guard

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(function, "__name__", "")
        first = args[0] if args else None
        if isinstance(first, Tensor):
            there = self._guard.is_on_device(first)
            if there and name in ("tolist", "cpu", "numpy"):
                self._guard.note(name)
            device = kwargs.get("device", args[1] if name == "to" and len(args) > 1 else None)
            moved = name == "to" and isinstance(device, torch.device)
            if moved and not there:
                self._guard.note("to, from pageable memory")
        watching = self._guard.watching
        if name == "one_hot" and (len(args) > 1 or "num_classes" in kwargs):
            self._guard.watching = False  # that it looks at the values is the CPU's check; CUDA does without
        found = function(*args, **kwargs)
        self._guard.watching = watching
        named = isinstance(kwargs.get("device"), torch.device)  # a text is what names the CPU for bookkeeping
        if not isinstance(first, Tensor) and named and isinstance(found, Tensor):
            if name == "tensor":
                self._guard.note("tensor on the device")
            self._guard.put([found])  # made where it is
        return found


@dataclass
class DeviceGuard(TorchDispatchMode):
    """While `watching`, notes reads and blocking copies; follows always what would be on the GPU.

    Attributes:
        watching: Whether what happens now counts.
        found: What was noted, each with the files of the callers, the innermost first.
        unordered: Operations without a deterministic kernel, whether watching or not.
    """

    watching: bool = False
    found: list[str] = field(default_factory=list)
    unordered: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._there: dict[int, torch.UntypedStorage] = {}  # kept, so that no address is used again
        self._functions = _Functions(self)

    def __enter__(self) -> "DeviceGuard":
        super().__enter__()  # type: ignore[no-untyped-call]
        self._functions.__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._functions.__exit__(kind, error, trace)  # type: ignore[no-untyped-call]
        super().__exit__(kind, error, trace)  # type: ignore[no-untyped-call]

    def put(self, tensors: Iterable[Tensor]) -> None:
        """Tensors are on the GPU from now on."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            if storage.nbytes():
                self._there[storage.data_ptr()] = storage

    def is_on_device(self, tensor: Tensor) -> bool:
        """Whether a tensor would be on the GPU."""
        return tensor.untyped_storage().data_ptr() in self._there

    def note(self, what: str) -> None:
        """Something that the host has to wait for."""
        if self.watching:
            calls = [Path(f.filename) for f in traceback.extract_stack() if "tests" not in Path(f.filename).parts]
            callers = [path.name for path in calls if "torch" not in path.parts]
            if callers[-1] == "devices.py":  # `to_device` does not wait for a GPU: tests/core/test_devices.py
                return
            self.found.append(f"{what}: {' < '.join(callers[:-4:-1])}")

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        there = any(self.is_on_device(tensor) for tensor in given)
        name = function.name().partition("::")[2].partition(".")[0]
        if there and (name in READS or _needs_size(name, args)):
            self.note(name)
        if name in WITHOUT_ORDER or (name == "nll_loss2d_forward" and args[3] != 0):
            self.unordered.add(name)
        if name == "cumsum" and given[0].is_floating_point():
            self.unordered.add(name)
        found = function(*args, **kwargs)
        if there:
            self.put(leaf for leaf in tree_leaves(found) if isinstance(leaf, Tensor))
        return found


def _needs_size(name: str, args: Sequence[Any]) -> bool:
    """Whether an index or a count decides the size of a result, which the host must then know."""
    if name == "repeat_interleave":
        return True
    if name not in ("index", "index_put_", "index_put"):
        return False
    masks = [one for one in args[1] if one is not None and one.dtype in (torch.bool, torch.uint8)]
    return bool(masks) and not (name != "index" and args[2].numel() == 1)


@dataclass(frozen=True)
class Guarded:
    """Samples of tasks whose batches are on the GPU of a guard."""

    guard: DeviceGuard
    learner: Learner

    def __call__(self, task: Task, split: Split) -> Samples:
        found = self.learner.encode(task.load(split), task)
        return _OnDevice(found.ids, found.tensors, truth=found.truth, guard=self.guard)


@dataclass(frozen=True, eq=False)
class _OnDevice(Samples):
    guard: DeviceGuard = field(default_factory=DeviceGuard)

    def batch(self, index: Tensor | slice) -> Batch:
        """A batch; how one is cut without waiting is shown in tests/core/test_devices.py."""
        before, self.guard.watching = self.guard.watching, False
        batch = super().batch(index)
        batch = {name: tensor.clone() for name, tensor in batch.items()}
        self.guard.put(batch.values())
        self.guard.watching = before
        return batch
