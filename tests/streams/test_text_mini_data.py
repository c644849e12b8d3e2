"""text-mini as it is shipped: parts apart, sizes, labels, lengths."""

import json
import re
from collections import Counter
from functools import cache
from importlib.resources import files
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

STREAM = Path(str(files("clbench.streams"))) / "text_sequences"
HELD_OUT = Path(str(files("clbench.learners"))) / "_text" / "held_out.parquet"
CARD = yaml.safe_load((STREAM / "text_mini.yaml").read_text(encoding="utf-8"))
TASKS: list[str] = [task["name"] for task in CARD["tasks"]]
PARTS = ("train", "validation", "test")
MEBIBYTE = 2**20

Runs = frozenset[str]


@cache
def columns(task: str, part: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = pq.read_table(STREAM / CARD["data"] / task / f"{part}.parquet").to_pydict()
    return found


@cache
def names(task: str, part: str) -> list[str]:
    metadata = pq.read_schema(STREAM / CARD["data"] / task / f"{part}.parquet").metadata[b"huggingface"]
    found: list[str] = json.loads(metadata)["info"]["features"]["label"]["names"]
    return found


def plain(text: str) -> str:
    """The text without its prompt."""
    return text.split(": ", 1)[1]


def runs(text: str) -> Runs:
    """Its runs of five words, or the whole text where it is shorter."""
    words = "".join(c if c.isascii() and c.isalnum() else " " for c in text.lower()).split()
    return frozenset(" ".join(words[i : i + 5]) for i in range(max(1, len(words) - 4)))


def jaccard(a: Runs, b: Runs) -> float:
    return len(a & b) / len(a | b)


def all_runs() -> list[Runs]:
    return [runs(plain(text)) for task in TASKS for part in PARTS for text in columns(task, part)["text"]]


def test_no_text_is_in_two_places() -> None:
    found = [plain(text).lower() for task in TASKS for part in PARTS for text in columns(task, part)["text"]]
    assert len(set(found)) == len(found)


def nearest(found: list[Runs]) -> float:
    """The highest Jaccard index of two that have a run in common."""
    holders: dict[str, list[int]] = {}
    for number, own in enumerate(found):
        for run in own:
            holders.setdefault(run, []).append(number)
    pairs = {(a, b) for held in holders.values() for a in held for b in held if a < b}
    return max(jaccard(found[a], found[b]) for a, b in pairs)


def test_no_two_texts_say_nearly_the_same() -> None:
    found = all_runs()
    assert len(found) == 6 * 1250
    assert 0.1 < nearest(found) < 0.3  # some have runs in common, so something is compared


def test_held_out_passages_are_no_part_of_the_stream_and_no_two_are_the_same() -> None:
    passages = pq.read_table(HELD_OUT)["text"].to_pylist()
    assert len(passages) == 2000
    assert {len(text.split()) for text in passages} == {45}
    assert nearest([*all_runs(), *map(runs, passages)]) < 0.3


def test_sample_ids_are_unique_in_the_stream() -> None:
    ids = [sample for task in TASKS for part in PARTS for sample in columns(task, part)["sample_id"]]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("task", ["comp", "rec", "sci", "reuters"])
def test_published_splits_are_kept(task: str) -> None:
    for part in PARTS:
        source = "test" if part == "test" else "train"
        assert {sample.split("/")[1].rsplit("-", 1)[1] for sample in columns(task, part)["sample_id"]} == {source}


@pytest.mark.parametrize("task", TASKS)
def test_parts_have_the_size_they_should(task: str) -> None:
    assert [len(columns(task, part)["text"]) for part in PARTS] == [800, 200, 250]


@pytest.mark.parametrize("task", TASKS)
def test_classes_are_as_even_as_the_source_allows(task: str) -> None:
    for part in PARTS:
        counts = Counter(columns(task, part)["answer"])
        assert set(counts) == set(names(task, part)) == set(names(task, "train"))
        rare = 0.02 if task == "reuters" else 0.5 / len(counts)  # Reuters has 9 test reports on grain
        assert min(counts.values()) >= rare * counts.total()
        assert max(counts.values()) <= 1.3 * counts.total() / len(counts)


@pytest.mark.parametrize("task", TASKS)
def test_answers_are_the_names_of_the_labels_in_plain_words(task: str) -> None:
    assert all(re.fullmatch(r"[a-z]+( [a-z]+)?", name) for name in names(task, "train"))
    for part in PARTS:
        rows = columns(task, part)
        assert rows["answer"] == [names(task, part)[int(label)] for label in rows["label"]]


def test_each_task_has_a_prompt_and_answers_of_its_own() -> None:
    prompts = {text.split(": ", 1)[0] for task in TASKS for part in PARTS for text in columns(task, part)["text"]}
    assert len(prompts) == len(TASKS)
    answers = [name for task in TASKS for name in names(task, "train")]
    assert len(set(answers)) == len(answers)


@pytest.mark.parametrize("task", TASKS)
def test_texts_are_short_and_clean(task: str) -> None:
    texts = [plain(text) for part in PARTS for text in columns(task, part)["text"]]
    assert all(3 <= len(text.split()) <= 40 for text in texts)
    assert not [text for text in texts if re.search(r"https?:|@\w|#\w|\bin article\b.*\bwrites\b", text)]
    assert not [text for text in texts if re.search(r"\b(rec (sport|autos)|sci (med|crypt))\b", text)]
    assert not [text for text in texts if re.search(r"\w+ (edu|bitnet|uucp)\b", text)]


def test_no_definition_says_its_answer() -> None:
    for part in PARTS:
        rows = columns("nouns", part)
        for text, answer in zip(rows["text"], rows["answer"], strict=True):
            assert answer not in plain(text).split()


def test_data_are_small() -> None:
    assert sum(path.stat().st_size for path in (STREAM / CARD["data"]).rglob("*.parquet")) <= 2 * MEBIBYTE
    assert HELD_OUT.stat().st_size <= MEBIBYTE
