"""Batches of examples with the teacher's view of them, and the loss that follows it."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn

from clbench.models.mini_text.corpus import Corpus, Ids, encode
from clbench.models.mini_text.examples import corrupted, prefixed, telling, with_end, without_a_word
from clbench.models.mini_text.teacher import Floats, embed

WIDTH = 64
"""Tokens of a passage."""
GLOSS = 32
"""Tokens of a definition."""
PREFIX = "word for"
HIDDEN = 0.15
"""Share of a passage's tokens that span corruption hides."""
HELD_BACK = 512
Example = tuple[Ids, Ids, Floats]
"""Inputs and targets `(n, width)`, padded with 0 and ended, and the teacher's embeddings `(n, 384)`."""


def embedded(folder: Path, teacher: Path, corpus: Corpus) -> tuple[Floats, Floats]:
    """The teacher's embeddings of passages and of words with their definitions; kept beside the corpus."""
    path = folder / "teacher.npz"
    if not path.exists():
        defined = [f"{word}: {gloss}" for word, gloss in zip(corpus.words, corpus.glosses, strict=True)]
        np.savez(path, passages=embed(teacher, corpus.passages), glosses=embed(teacher, defined))
    kept = np.load(path, allow_pickle=False)
    return kept["passages"], kept["glosses"]


class Data:
    """Passages with hidden spans; passages without one telling word, which is asked for; definitions likewise.

    One passage in fifty is held back.

    Args:
        corpus: Texts.
        tokenizer: Of the model.
        names: Its vocabulary.
        taught: The teacher's embeddings of passages and definitions.
        seed: Draws batches.
        stride: Every so-manieth text is used.
    """

    def __init__(
        self,
        corpus: Corpus,
        tokenizer: Tokenizer,
        names: list[str],
        taught: tuple[Floats, Floats],
        seed: int,
        stride: int = 1,
    ) -> None:
        self._rng = np.random.default_rng(seed)
        self._passages = encode(tokenizer, corpus.passages, WIDTH - 4)[0]
        self._glosses = encode(tokenizer, corpus.glosses, GLOSS - 4)[0]
        self._words = with_end(encode(tokenizer, corpus.words, 8)[0])
        self.taught = taught
        self._prefix = tokenizer.encode(PREFIX, add_special_tokens=False).ids
        self._weights = telling(self._passages, names)
        held = np.arange(len(self._passages)) % 50 == 0
        self._train = np.flatnonzero(~held)[::stride]
        self._defined = np.arange(len(self._glosses))[::stride]
        self._held = np.flatnonzero(held)[:HELD_BACK]

    def passages_of(self, n: int) -> Example:
        """Passages, half with hidden spans, half without a word."""
        return self._both(self._rng.choice(self._train, n), self._rng)

    def wordless(self, n: int) -> Example:
        """Passages without a word."""
        return self._wordless(self._rng.choice(self._train, n), self._rng)

    def defined(self, n: int) -> Example:
        """Definitions, and their words."""
        rows = self._rng.choice(self._defined, n)
        return prefixed(self._glosses[rows], self._prefix), self._words[rows], self.taught[1][rows]

    def held_back(self) -> Example:
        """Passages that are never trained on, the same each time, as `passages_of` has them."""
        return self._both(self._held, np.random.default_rng(0))

    def held_back_wordless(self) -> Example:
        """The same as `wordless` has them."""
        return self._wordless(self._held, np.random.default_rng(0))

    def _both(self, rows: NDArray[np.int64], rng: np.random.Generator) -> Example:
        half = len(rows) // 2
        spans, hidden = corrupted(self._passages[rows[:half]], HIDDEN, rng)
        texts, words, taught = self._wordless(rows[half:], rng)
        targets = np.zeros((len(rows), hidden.shape[1]), np.int32)
        targets[:half], targets[half:, : words.shape[1]] = hidden, words
        return np.concatenate([spans, texts]), targets, np.concatenate([self.taught[0][rows[:half]], taught])

    def _wordless(self, rows: NDArray[np.int64], rng: np.random.Generator) -> Example:
        texts, words = without_a_word(self._passages[rows], self._weights, self._prefix, rng)
        return texts, words, self.taught[0][rows]


def taught_loss(found: Tensor, taught: Floats) -> Tensor:
    """1 - cosine, plus how far the table of similarities within the batch is from the teacher's: a scalar.

    Args:
        found: `(n, 384)`.
        taught: Unit embeddings `(n, 384)`.
    """
    wanted, found = torch.from_numpy(taught.astype(np.float32)), F.normalize(found, dim=-1)
    own = torch.eye(len(found), dtype=torch.bool)
    tables = [(x @ x.T / 0.05).masked_fill(own, -1e4).log_softmax(-1) for x in (found, wanted)]
    relations = F.kl_div(tables[0], tables[1], reduction="batchmean", log_target=True)
    return (1 - (found * wanted).sum(-1)).mean() + relations


def save_weights(folder: Path, model: nn.Module) -> None:
    """In float16, each shared tensor once."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    state = {name: p.detach().half().contiguous() for name, p in model.named_parameters()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
