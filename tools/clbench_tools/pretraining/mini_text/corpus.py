"""Special tokens of the vocabulary, and texts as token ids."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

Ids = NDArray[np.int32]

SENTINELS = 32
SPECIAL = ("<pad>", "</s>", "<unk>", "<s>", *(f"<extra_id_{number}>" for number in range(SENTINELS)))
"""First entries of the vocabulary, in this order."""
PAD, END, UNKNOWN, BEGIN, SENTINEL = 0, 1, 2, 3, 4


def save_tokenizer(tokenizer: Tokenizer, folder: Path, begin: bool) -> None:
    """Write the files that transformers reads.

    Args:
        tokenizer: Its post-processor is replaced.
        folder: Where to write.
        begin: Whether inputs begin with the begin token (LLaMA) instead of ending with the end token (T5).
    """
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    single, token = ("<s> $A", ("<s>", BEGIN)) if begin else ("$A </s>", ("</s>", END))
    tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=[token])
    wrapper: Any = PreTrainedTokenizerFast  # has no types in some releases
    wrapper(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        model_max_length=512,
        clean_up_tokenization_spaces=False,
    ).save_pretrained(folder)


def encode(tokenizer: Tokenizer, texts: list[str], width: int) -> tuple[Ids, Ids]:
    """Texts as token ids without special tokens.

    Args:
        tokenizer: Of the student.
        texts: Any texts.
        width: Tokens to which texts are cut and padded.

    Returns:
        Token ids `(n, width)`, padded with 0, and their lengths `(n,)`.
    """
    ids = np.zeros((len(texts), width), np.int32)
    lengths = np.zeros(len(texts), np.int32)
    for row, item in enumerate(tokenizer.encode_batch(texts, add_special_tokens=False)):
        lengths[row] = min(len(item.ids), width)
        ids[row, : lengths[row]] = item.ids[:width]
    return ids, lengths
