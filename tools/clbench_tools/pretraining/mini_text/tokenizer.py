"""Learns the tokenizer of mini-t5 and mini-llama.

`PYTHONPATH=tools python -m clbench_tools.pretraining.mini_text.tokenizer --corpus CACHE --out FILE`.

WordPiece of 8,000 entries in lower case. The trainer breaks ties at random, so it was learnt once and is kept:
`tokenizer.json`.
"""

import argparse
from pathlib import Path

import pyarrow.parquet as pq
from tokenizers import Tokenizer

from clbench.core.storage import written_whole
from clbench_tools.pretraining.mini_text.corpus import SPECIAL

TOKENIZER = Path(__file__).with_name("tokenizer.json")
VOCABULARY = 8000
PROMPTS = (
    "author: ",
    "part of the bible: ",
    "about a country: ",
    "field of an old word: ",
    "topic: ",
    "kind of thing: ",
    "kind of action: ",
    "kind of living thing: ",
    "kind of object: ",
    "kind of person: ",
    "president: ",
    "word for: ",
    "topic word: ",
    "Option: ",
)
"""Prompts of text-open and of the pre-training; their words become whole entries, as labels do."""


def learnt_tokenizer(folder: Path) -> Tokenizer:
    """Learn the tokenizer from the cache of a builder of texts; frequent words, prompts and labels are whole entries.

    Args:
        folder: With `corpus.parquet`, `pairs.parquet` and `labels.txt`.
    """
    from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

    rows = pq.read_table(folder / "corpus.parquet", columns=["text", "word"]).to_pydict()
    answers = set(pq.read_table(folder / "pairs.parquet", columns=["answer"])["answer"].to_pylist())
    labels = (folder / "labels.txt").read_text(encoding="utf-8").splitlines()
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))  # noqa: S106  # no password
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=VOCABULARY, special_tokens=list(SPECIAL), min_frequency=2, show_progress=False
    )
    texts = [*rows["text"], *rows["word"], *([*labels, *PROMPTS] * 200), *(sorted(answers) * 20)]
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def main() -> None:
    """Learn and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True, help="cache folder of a builder of texts")
    parser.add_argument("--out", type=Path, required=True, help="file of the tokenizer")
    options = parser.parse_args()
    with written_whole(options.out) as aside:
        learnt_tokenizer(options.corpus).save(str(aside))


if __name__ == "__main__":
    main()
