"""Tensors in a mapped file come back to the bit, for every type, and the file is deleted."""

import tempfile
from pathlib import Path

import pytest
import torch

from clbench.strategies._distillation.mapped_tensors import MappedTensorFile


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int32])
def test_rows_come_back_and_the_file_is_gone(
    dtype: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    file = MappedTensorFile()
    rows = (1000 * torch.randn(7, 3, 2)).to(dtype)
    for part in rows.split([3, 0, 4]):
        file.add(part.transpose(1, 2))  # not contiguous
    assert list(tmp_path.iterdir())
    whole = file.whole()
    assert whole.dtype == dtype
    assert torch.equal(whole, rows.transpose(1, 2))
    assert not list(tmp_path.iterdir())
    assert torch.equal(whole[torch.tensor([6, 0])], rows.transpose(1, 2)[torch.tensor([6, 0])])
