"""Builds text-mini, with the arguments `--out DATA --cache DIR --held-out FILE`.

The command is `PYTHONPATH=tools python -m clbench_tools.text_mini.build_text_mini`. It also writes `corpus.parquet`,
`pairs.parquet` and `labels.txt` into the cache, for the pre-training of the mini language models.
"""

import argparse
import logging
from collections import Counter
from pathlib import Path

import numpy as np
from datasets import ClassLabel, Dataset, Features, Value

from clbench.core.storage import written_whole
from clbench_tools.text_mini.text_corpus import build_corpus, save_corpus
from clbench_tools.text_mini.text_tasks import PROMPTS, Row, all_candidates, choose, rows_of

LOG = logging.getLogger("build")
SEED = 0


def main() -> None:
    """Fetch, choose and write the rows; what is left is the corpus."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the stream's data")
    parser.add_argument("--cache", type=Path, required=True, help="folder that keeps fetched packages and the corpus")
    parser.add_argument("--held-out", type=Path, required=True, help="file of the held-out passages")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options.cache.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    chosen = choose(all_candidates(options.cache, rng), rng)
    for task, parts in chosen.items():
        for part, rows in parts.items():
            write(task, rows, options.out / task / f"{part}.parquet")
            counts = sorted(Counter(rows_of(task)[row.label] for row in rows).items())
            LOG.info("%s %s: %d rows: %s", task, part, len(rows), ", ".join(f"{word} {n}" for word, n in counts))
    corpus = build_corpus(options.cache, chosen, rng)
    save_corpus(corpus, options.cache, options.held_out)
    LOG.info("corpus: %s", dict(Counter(source for _, _, source in corpus.texts)))
    LOG.info("pairs: %d; held out: %d", len(corpus.pairs), len(corpus.held_out))


def write(task: str, rows: list[Row], path: Path) -> None:
    """Write one part; the Hugging Face features travel in the file's metadata."""
    words = rows_of(task)
    label = ClassLabel(names=words)
    features = Features(
        {"sample_id": Value("string"), "text": Value("string"), "answer": Value("string"), "label": label}
    )
    columns = {
        "sample_id": [f"{task}/{row.document}" for row in rows],
        "text": [PROMPTS[task] + row.text for row in rows],
        "answer": [words[row.label] for row in rows],
        "label": [row.label for row in rows],
    }
    with written_whole(path) as aside:
        Dataset.from_dict(columns, features=features).to_parquet(str(aside))


if __name__ == "__main__":
    main()
