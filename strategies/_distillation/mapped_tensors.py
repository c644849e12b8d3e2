"""Tensors that grow part by part in a file and are read back through memory that is mapped to it."""

import tempfile

import torch
from torch import Tensor


class MappedTensorFile:
    """Rows of one shape and type, in a temporary file that is gone with the process.

    Reading costs what memory costs while the system has room to keep the file's pages, and a disk's time otherwise.
    """

    def __init__(self) -> None:
        self._file = tempfile.NamedTemporaryFile(prefix="clbench-")  # noqa: SIM115  # `whole` closes it
        self._rows: Tensor | None = None
        self._n = 0

    def add(self, part: Tensor) -> None:
        """Write rows `(n, ...)` behind the others."""
        part = part.detach().cpu().contiguous()
        self._file.write(part.reshape(-1).view(torch.uint8).numpy().data)
        self._rows, self._n = part[:0], self._n + len(part)

    def whole(self) -> Tensor:
        """All rows, mapped; nothing can be added any more."""
        assert self._rows is not None, "nothing was added"
        self._file.flush()
        shape = (self._n, *self._rows.shape[1:])
        size = self._n * self._rows.shape[1:].numel()
        mapped = torch.from_file(self._file.name, shared=False, size=size, dtype=self._rows.dtype)
        self._file.close()  # the name goes, the mapping stays
        return mapped.reshape(shape)
