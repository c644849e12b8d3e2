"""Tensors that are written to a file part by part and read back by memory mapping."""

import tempfile

import torch
from torch import Tensor


class MappedTensorFile:
    """Rows of one shape and type in a temporary file, which `whole` deletes after mapping it.

    numpy's memmap has no bfloat16, so torch maps the file.
    """

    def __init__(self) -> None:
        self._file = tempfile.NamedTemporaryFile(prefix="clbench-")  # noqa: SIM115  # `whole` closes it
        self._rows: Tensor | None = None
        self._n = 0

    def add(self, part: Tensor) -> None:
        """Append rows `(n, ...)`."""
        part = part.detach().cpu().contiguous()
        self._file.write(part.reshape(-1).view(torch.uint8).numpy().data)
        self._rows, self._n = part[:0], self._n + len(part)

    def whole(self) -> Tensor:
        """All rows as one memory-mapped tensor; no rows can be added after this call."""
        assert self._rows is not None, "no rows were added"
        self._file.flush()
        shape = (self._n, *self._rows.shape[1:])
        size = self._n * self._rows.shape[1:].numel()
        mapped = torch.from_file(self._file.name, shared=False, size=size, dtype=self._rows.dtype)
        self._file.close()  # deletes the name; the mapping stays
        return mapped.reshape(shape)
