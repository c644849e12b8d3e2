"""The corpus as token ids: passages to read and dictionary entries, as `build_text_mini` writes them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from tokenizers import Tokenizer

Ids = NDArray[np.int32]

SENTINELS = 32
SPECIAL = ("<pad>", "</s>", "<unk>", "<s>", *(f"<extra_id_{number}>" for number in range(SENTINELS)))
"""First entries of the vocabulary, in this order."""
PAD, END, UNKNOWN, BEGIN, SENTINEL = 0, 1, 2, 3, 4


@dataclass(frozen=True)
class Corpus:
    """Texts that no task of text-mini uses.

    Attributes:
        passages: Plain text.
        glosses: Definitions of words.
        words: The word that each definition defines.
        labels: Words that the vocabulary must have whole (the class names of text-mini; nothing else of it).
    """

    passages: list[str]
    glosses: list[str]
    words: list[str]
    labels: list[str]


def read_corpus(folder: Path) -> Corpus:
    """What `build_text_mini` has left in its cache."""
    table = pq.read_table(folder / "corpus.parquet").to_pydict()
    rows = list(zip(table["text"], table["word"], strict=True))
    labels = (folder / "labels.txt").read_text(encoding="utf-8").split("\n")
    return Corpus(
        [text for text, word in rows if not word],
        [text for text, word in rows if word],
        [word for _, word in rows if word],
        [label for label in labels if label],
    )


def train_tokenizer(corpus: Corpus, size: int) -> Tokenizer:
    """WordPiece without capitals; frequent words are whole."""
    from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=list(SPECIAL), min_frequency=2)
    texts = [*corpus.passages, *corpus.glosses, *corpus.words, *(corpus.labels * 200)]
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path, begin: bool) -> None:
    """Write it as transformers reads it; inputs end with the end mark (T5) or begin with the begin mark (LLaMA)."""
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
    """Token ids `(n, width)` without any marks, cut and padded, and their lengths `(n,)`."""
    ids = np.zeros((len(texts), width), np.int32)
    lengths = np.zeros(len(texts), np.int32)
    for row, item in enumerate(tokenizer.encode_batch(texts, add_special_tokens=False)):
        lengths[row] = min(len(item.ids), width)
        ids[row, : lengths[row]] = item.ids[:width]
    return ids, lengths
