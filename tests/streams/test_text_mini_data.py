"""What only text-mini promises: published splits, clean posts, answers of one task, held-out passages apart."""

import re
from importlib.resources import files
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.streams.embedded_texts import PARTS, all_runs, column, columns, labels, nearest, plain, runs, tasks

NAME = "text_mini"
HELD_OUT = Path(str(files("clbench.learners"))) / "_text" / "held_out.parquet"
MEBIBYTE = 2**20


def test_held_out_passages_are_no_part_of_the_stream_and_no_two_are_the_same() -> None:
    passages = pq.read_table(HELD_OUT)["text"].to_pylist()
    assert len(passages) == 2000
    assert {len(text.split()) for text in passages} == {45}
    assert nearest([*all_runs(NAME), *map(runs, passages)]) < 0.3
    assert HELD_OUT.stat().st_size <= MEBIBYTE


@pytest.mark.parametrize("task", ["comp", "rec", "sci", "reuters"])
def test_published_splits_are_kept(task: str) -> None:
    for part in PARTS:
        source = "test" if part == "test" else "train"
        ids = columns(NAME, task, part)["sample_id"]
        assert {sample.split("/")[1].rsplit("-", 1)[1] for sample in ids} == {source}


def test_no_two_tasks_have_an_answer_in_common() -> None:
    answers = [label for task in tasks(NAME) for label in labels(NAME, task, "train")]
    assert len(set(answers)) == len(answers)


def test_texts_are_clean() -> None:
    texts = [plain(text) for text in column(NAME, "text")]
    assert not [text for text in texts if re.search(r"https?:|@\w|#\w|\bin article\b.*\bwrites\b", text)]
    assert not [text for text in texts if re.search(r"\b(rec (sport|autos)|sci (med|crypt))\b", text)]
    assert not [text for text in texts if re.search(r"\w+ (edu|bitnet|uucp)\b", text)]


def test_no_definition_says_its_answer() -> None:
    for part in PARTS:
        rows = columns(NAME, "nouns", part)
        for text, answer in zip(rows["text"], rows["answer"], strict=True):
            assert answer not in plain(text).split()
