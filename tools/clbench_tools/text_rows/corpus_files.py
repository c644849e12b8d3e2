"""The files that the pre-training of the mini language models reads."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from clbench.core.storage import written_whole
from clbench_tools.text_rows.rows import Task


@dataclass(frozen=True)
class Corpus:
    """Rows of the three files.

    Attributes:
        texts: `(text, word, source)`: definitions with the word that they define, passages with an empty word.
        pairs: Prompted texts of classes that no task has: columns `text`, `answer`, `source` and maybe more.
        held_out: Passages that nothing is trained on.
    """

    texts: list[tuple[str, str, str]]
    pairs: dict[str, Sequence[Any]]
    held_out: list[str]


def save_corpus(corpus: Corpus, tasks: Iterable[Task], cache: Path, held_out: Path) -> None:
    """Write `corpus.parquet`, `pairs.parquet` and `labels.txt` into the cache, and the held-out text.

    Args:
        corpus: What is written.
        tasks: `labels.txt` has all of their answers.
        cache: Folder.
        held_out: File of the held-out passages.
    """
    _write(cache / "corpus.parquet", columns(corpus.texts, "text", "word", "source"))
    _write(cache / "pairs.parquet", corpus.pairs)
    _write(held_out, {"text": corpus.held_out})
    answers = dict.fromkeys(answer for task in tasks for answer in task.answers)
    with written_whole(cache / "labels.txt") as aside:
        aside.write_text("\n".join(answers) + "\n", encoding="utf-8")


def columns(rows: Iterable[tuple[Any, ...]], *names: str) -> dict[str, Sequence[Any]]:
    """Rows as named columns."""
    return {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def _write(path: Path, table: Mapping[str, Sequence[Any]]) -> None:
    with written_whole(path) as aside:
        pq.write_table(pa.table(dict(table)), aside, compression="zstd")
