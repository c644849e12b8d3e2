"""Texts to token ids and back, with the marks (begin, end) that language models expect."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from clbench.contracts import Batch
from clbench.core.errors import CheckpointError


class TextTokens:
    """A tokenizer of transformers, in the form that learners need.

    Padding is marked by widths and never by a token, so the tokenizer needs no padding token: zeros fill the rest.

    Args:
        tokenizer: Any tokenizer of transformers.
        name: Name of the learner, for messages.
        ends_inputs: Whether inputs end with the end mark: yes for encoders, no for inputs that a decoder continues.

    Raises:
        CheckpointError: For a tokenizer without an end mark, without which answers could not end.
    """

    def __init__(self, tokenizer: Any, name: str, ends_inputs: bool) -> None:
        if tokenizer.eos_token_id is None:
            raise CheckpointError(f"learner {name}: its tokenizer has no end mark (eos_token): answers would not end")
        self.tokenizer = tokenizer
        self._ends_inputs = ends_inputs
        self.end: int = tokenizer.eos_token_id

    def inputs(self, texts: Sequence[str], limit: int, cut: str = "end") -> list[list[int]]:
        """Token ids with the marks that the model expects.

        Args:
            texts: Texts.
            limit: Largest number of tokens, marks included; longer texts are cut.
            cut: Side that is cut, `end` or `front`; marks stay.
        """
        rows: list[list[int]] = self.tokenizer(list(texts))["input_ids"]
        return [self._fitted(row, limit, cut) for row in rows]

    def _fitted(self, row: list[int], limit: int, cut: str) -> list[int]:
        begin = row[:1] if row[:1] == [self.tokenizer.bos_token_id] else []
        marked = row[-1:] == [self.end]
        end = [self.end] if marked and self._ends_inputs else []
        text = row[len(begin) : len(row) - marked]
        room = limit - len(begin) - len(end)
        return [*begin, *(text[-room:] if cut == "front" else text[:room]), *end]

    def answers(self, texts: Sequence[str], limit: int) -> list[list[int]]:
        """Token ids and the end mark, at most `limit`; longer texts are cut before the mark."""
        rows: list[list[int]] = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return [[*row[: limit - 1], self.end] for row in rows]

    def digest(self) -> str:
        """Hash of what decides the meaning of token ids: vocabulary, merges of pieces, end mark."""
        fast = getattr(self.tokenizer, "backend_tokenizer", None)
        merges = json.loads(fast.to_str())["model"].get("merges", []) if fast is not None else []
        content = json.dumps([sorted(self.tokenizer.get_vocab().items()), merges, self.end])
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def texts(self, ids: Tensor) -> list[str]:
        """Texts of token ids `(n, length)` up to the end mark, without surrounding spaces."""
        rows = [row[: row.index(self.end)] if self.end in row else row for row in ids.tolist()]
        decoded: list[str] = self.tokenizer.batch_decode(rows, skip_special_tokens=True)
        return [text.strip() for text in decoded]


def padded(name: str, rows: Sequence[Sequence[int]], width: int) -> dict[str, Tensor]:
    """Rows as a padded tensor and its widths, as `Samples.tensors` has them.

    Args:
        name: Name of the tensor; its widths are `<name>.width`.
        rows: Token ids, at most `width` in a row.
        width: Width of the tensor.

    Returns:
        `(n, width)` int32, padded with zeros, and `(n,)` int32.
    """
    lengths = torch.tensor([len(row) for row in rows], dtype=torch.int32)
    full = torch.zeros((len(rows), width), dtype=torch.int32)
    full[torch.arange(width) < lengths.unsqueeze(1)] = torch.tensor(
        [token for row in rows for token in row], dtype=torch.int32
    )
    return {name: full, f"{name}.width": lengths}


def mask_of(batch: Batch, name: str) -> Tensor:
    """Mask of the entries of a padded tensor that are not padding, bool `(n, width)`."""
    tensor = batch[name]
    return torch.arange(tensor.shape[1], device=tensor.device) < batch[f"{name}.width"].unsqueeze(1)
