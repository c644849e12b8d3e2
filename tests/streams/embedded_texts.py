"""The embedded text streams as they are shipped, and their overlap in code of the tests' own."""

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

STREAM = Path(str(files("clbench.streams"))) / "text_sequences"
PARTS = ("train", "validation", "test")

Runs = frozenset[str]


@cache
def card(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((STREAM / f"{name}.yaml").read_text(encoding="utf-8"))
    return found


@cache
def tasks(name: str) -> list[str]:
    return [task["name"] for task in card(name)["tasks"]]


def folder(name: str) -> Path:
    return STREAM / str(card(name)["data"])


@cache
def columns(name: str, task: str, part: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = pq.read_table(folder(name) / task / f"{part}.parquet").to_pydict()
    return found


@cache
def labels(name: str, task: str, part: str) -> list[str]:
    metadata = pq.read_schema(folder(name) / task / f"{part}.parquet").metadata[b"huggingface"]
    found: list[str] = json.loads(metadata)["info"]["features"]["label"]["names"]
    return found


def column(name: str, key: str) -> list[str]:
    """One column of all parts of all tasks."""
    return [value for task in tasks(name) for part in PARTS for value in columns(name, task, part)[key]]


def plain(text: str) -> str:
    """The text without its prompt."""
    return text.split(": ", 1)[1]


def runs(text: str) -> Runs:
    """Its runs of five words, or the whole text where it is shorter."""
    words = "".join(c if c.isascii() and c.isalnum() else " " for c in text.lower()).split()
    return frozenset(" ".join(words[i : i + 5]) for i in range(max(1, len(words) - 4)))


def all_runs(name: str) -> list[Runs]:
    return [runs(plain(text)) for text in column(name, "text")]


def nearest(found: list[Runs]) -> float:
    """The highest Jaccard index of two that have a run in common."""
    holders: dict[str, list[int]] = {}
    for number, own in enumerate(found):
        for run in own:
            holders.setdefault(run, []).append(number)
    pairs = {(a, b) for held in holders.values() for a in held for b in held if a < b}
    return max(len(found[a] & found[b]) / len(found[a] | found[b]) for a, b in pairs)
