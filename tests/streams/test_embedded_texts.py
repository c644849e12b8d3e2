"""The embedded text streams as they are shipped: parts apart, sizes, labels, lengths."""

import re
from collections import Counter

import pytest
from tests.streams.embedded_texts import PARTS, all_runs, column, columns, folder, labels, nearest, plain, tasks

SIZES = {"text_open": (800, 200, 400)}
STREAMS = list(SIZES)
EACH = [(name, task) for name in STREAMS for task in tasks(name)]
MEBIBYTE = 2**20


@pytest.mark.parametrize("name", STREAMS)
def test_no_text_is_in_two_places(name: str) -> None:
    found = [plain(text).lower() for text in column(name, "text")]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("name", STREAMS)
def test_no_two_texts_say_nearly_the_same(name: str) -> None:
    found = all_runs(name)
    assert len(found) == 6 * sum(SIZES[name])
    assert 0.1 < nearest(found) < 0.3  # some have runs in common, so something is compared


@pytest.mark.parametrize("name", STREAMS)
def test_sample_ids_are_unique_in_the_stream(name: str) -> None:
    ids = column(name, "sample_id")
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(("name", "task"), EACH)
def test_parts_have_the_size_they_should(name: str, task: str) -> None:
    assert tuple(len(columns(name, task, part)["text"]) for part in PARTS) == SIZES[name]


@pytest.mark.parametrize(("name", "task"), EACH)
def test_classes_are_even(name: str, task: str) -> None:
    for part in PARTS:
        counts = Counter(columns(name, task, part)["answer"])
        assert set(counts) == set(labels(name, task, part)) == set(labels(name, task, "train"))
        assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize(("name", "task"), EACH)
def test_answers_are_the_names_of_the_labels_in_plain_words(name: str, task: str) -> None:
    assert all(re.fullmatch(r"[a-z]+( [a-z]+)?", label) for label in labels(name, task, "train"))
    assert len(set(labels(name, task, "train"))) == len(labels(name, task, "train"))
    for part in PARTS:
        rows = columns(name, task, part)
        assert rows["answer"] == [labels(name, task, part)[int(label)] for label in rows["label"]]


@pytest.mark.parametrize("name", STREAMS)
def test_each_task_has_a_prompt_of_its_own(name: str) -> None:
    assert len({text.split(": ", 1)[0] for text in column(name, "text")}) == len(tasks(name))


@pytest.mark.parametrize("name", STREAMS)
def test_texts_are_short(name: str) -> None:
    assert all(3 <= len(plain(text).split()) <= 40 for text in column(name, "text"))


@pytest.mark.parametrize("name", STREAMS)
def test_data_are_small(name: str) -> None:
    assert sum(path.stat().st_size for path in folder(name).rglob("*.parquet")) <= 2 * MEBIBYTE
