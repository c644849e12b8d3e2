"""What both builders of text streams do: their arguments, writing the parts, saying what is in them."""

import argparse
import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from clbench_tools.text_rows.corpus_files import Corpus, save_corpus
from clbench_tools.text_rows.rows import Row, Task, write_rows

LOG = logging.getLogger("build")
SEED = 0


def build_options(description: str) -> argparse.Namespace:
    """Read the arguments `--out`, `--cache` and `--held-out`; make the cache, and log to standard error.

    Args:
        description: What the builder does.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, required=True, help="folder of the stream's data")
    parser.add_argument("--cache", type=Path, required=True, help="folder that keeps fetched packages and the corpus")
    parser.add_argument("--held-out", type=Path, required=True, help="file of the held-out passages")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options.cache.mkdir(parents=True, exist_ok=True)
    return options


def write_parts(tasks: Mapping[str, Task], chosen: Mapping[str, Mapping[str, list[Row]]], out: Path) -> None:
    """Write a file for each part of each task, and log its rows by answer.

    Args:
        tasks: By name.
        chosen: Rows by name of the task and of the part.
        out: Folder of the stream's data.
    """
    for name, parts in chosen.items():
        for part, rows in parts.items():
            write_rows(name, tasks[name], rows, out / name / f"{part}.parquet")
            counts = sorted(Counter(tasks[name].answers[row.label] for row in rows).items())
            LOG.info("%s %s: %d rows: %s", name, part, len(rows), ", ".join(f"{word} {n}" for word, n in counts))


def write_corpus(corpus: Corpus, tasks: Mapping[str, Task], options: argparse.Namespace) -> None:
    """Write the corpus into the cache and the held-out passages, and log their sources.

    Args:
        corpus: What is left besides the rows.
        tasks: By name.
        options: Of `build_options`.
    """
    save_corpus(corpus, tasks.values(), options.cache, options.held_out)
    LOG.info("corpus: %s", dict(Counter(source for _, _, source in corpus.texts)))
    LOG.info("pairs: %d; held out: %d", len(corpus.pairs["text"]), len(corpus.held_out))
