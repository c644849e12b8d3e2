"""The loader of texts in Parquet: what it gives, what it refuses, and its fingerprints."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from datasets import ClassLabel, Dataset, Features, Value
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clbench.core.errors import ClbenchError, ConfigError, DataError
from clbench.streams.card import load_stream

WORDS = ["cat", "dog"]
ROWS: dict[str, list[Any]] = {
    "sample_id": ["a", "b", "c"],
    "text": ["kind: it purrs", "kind: it barks", "kind: it mews"],
    "answer": ["cat", "dog", "cat"],
    "label": [0, 1, 0],
}
CARD = {
    "name": "pets",
    "description": "Two pets.",
    "loader": "text-parquet",
    "data": "data",
    "learner": "mini-t5",
    "protocols": ["open", "task-id"],
    "order_reason": "There is one task.",
    "limits": {"input_tokens": 16, "answer_tokens": 4},
    "tasks": [{"name": "pets", "kind": "classification", "metric": "exact_match"}],
}


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """A stream of one task, three rows a part."""
    for part in ("train", "validation", "test"):
        write(tmp_path / f"data/pets/{part}.parquet", ROWS)
    path = tmp_path / "pets.yaml"
    path.write_text(yaml.safe_dump(CARD), encoding="utf-8")
    return path


def write(path: Path, rows: dict[str, list[Any]]) -> None:
    text = Value("string")
    features = Features({"sample_id": text, "text": text, "answer": text, "label": ClassLabel(names=WORDS)})
    path.parent.mkdir(parents=True, exist_ok=True)
    Dataset.from_dict(rows, features=features).to_parquet(str(path))


def changed(name: str, row: int, value: object) -> dict[str, list[Any]]:
    return {**ROWS, name: [*ROWS[name][:row], value, *ROWS[name][row + 1 :]]}


def test_rows_classes_and_limits_arrive(card: Path) -> None:
    stream = load_stream(str(card))
    (task,) = stream.tasks
    assert stream.protocols == ("open", "task-id")
    assert task.classes == ("cat", "dog")
    assert task.limits is not None
    assert (task.limits.input_tokens, task.limits.answer_tokens) == (16, 4)
    assert task.load("test").to_dict() == ROWS


def test_a_prompt_names_the_classes_and_is_part_of_the_fingerprint(card: Path) -> None:
    plain = load_stream(str(card)).tasks[0]
    card.write_text(yaml.safe_dump({**CARD, "prompt": "Option: {options}\n{text}\nAnswer:"}), encoding="utf-8")
    (task,) = load_stream(str(card)).tasks
    assert task.load("test")["text"][1] == "Option: cat, dog\nkind: it barks\nAnswer:"
    assert {**task.load("test").to_dict(), "text": ROWS["text"]} == ROWS
    assert task.fingerprint("test") != plain.fingerprint("test")


def test_a_prompt_has_the_text_once(card: Path) -> None:
    card.write_text(yaml.safe_dump({**CARD, "prompt": "Option: {options}"}), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"stream pets: prompt: wanted \{text\} once, got 'Option: \{options\}'"):
        load_stream(str(card))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (changed("text", 1, ""), "row 1: the text is empty"),
        (changed("text", 2, " \n\t\u00a0"), "row 2: the text is empty"),
        (changed("text", 0, None), "1 of 3 rows have no text, the first is row 0"),
        (changed("answer", 2, None), "1 of 3 rows have no answer, the first is row 2"),
        (changed("answer", 1, "cat"), "row 1: the answer must be 'dog', got 'cat'"),
        (changed("answer", 0, "Cat"), "row 0: the answer must be 'cat', got 'Cat'"),
        (changed("label", 1, None), "1 of 3 rows have no label, the first is row 1"),
        (changed("sample_id", 2, "a"), "the sample id 'a' is there more than once"),
        ({name: [] for name in ROWS}, "wanted at least one row, got none"),
    ],
)
def test_bad_rows_are_one_clear_line(card: Path, rows: dict[str, list[Any]], message: str) -> None:
    path = card.parent / "data/pets/train.parquet"
    write(path, rows)
    with pytest.raises(DataError) as caught:
        load_stream(str(card)).tasks[0].load("train")
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def relabelled(values: list[int]) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.set_column(3, table.schema.field("label"), pa.array(values, pa.int64()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (relabelled([0, 2, 0]), "labels must be 0 to 1, got 0 to 2"),
        (relabelled([-1, 1, 0]), "labels must be 0 to 1, got -1 to 1"),
        (
            lambda table: table.drop_columns(["text"]),
            "column 'text' is missing (wanted sample_id, text, answer, label)",
        ),
        (lambda table: table.drop_columns(["answer"]), "column 'answer' is missing"),
        (lambda table: table.replace_schema_metadata({}), "the column 'label' has no class names"),
        (
            lambda table: table.replace_schema_metadata(
                {b"huggingface": json.dumps({"info": {"features": {"label": {"names": ["cat", "cow"]}}}}).encode()}
            ),
            "the splits do not have the same class names",
        ),
    ],
)
def test_bad_files_are_one_clear_line(card: Path, change: Callable[[pa.Table], pa.Table], message: str) -> None:
    path = card.parent / "data/pets/train.parquet"
    pq.write_table(change(pq.read_table(path)), path)
    with pytest.raises(DataError) as caught:
        load_stream(str(card)).tasks[0].load("train")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.one_of(st.none(), st.text(max_size=6)), min_size=3, max_size=3))
def test_whatever_the_texts_they_are_given_back_or_refused(card: Path, texts: list[str | None]) -> None:
    write(card.parent / "data/pets/test.parquet", {**ROWS, "text": texts})
    task = load_stream(str(card)).tasks[0]
    if all(text is not None and text.strip() for text in texts):
        assert task.load("test")["text"][:] == texts
        return
    with pytest.raises(ClbenchError):
        task.load("test")


def test_a_card_must_say_its_limits(card: Path) -> None:
    card.write_text(yaml.safe_dump({key: value for key, value in CARD.items() if key != "limits"}), encoding="utf-8")
    with pytest.raises(ConfigError, match="stream pets: limits is missing"):
        load_stream(str(card))


def test_an_unknown_metric_is_told_before_anything_is_read(card: Path) -> None:
    values = yaml.safe_load(card.read_text(encoding="utf-8"))
    values["tasks"][0]["metric"] = "exact_mach"
    card.write_text(yaml.safe_dump(values), encoding="utf-8")
    message = "task 'pets': metric: unknown score 'exact_mach': did you mean 'exact_match'"
    with pytest.raises(ConfigError, match=message):
        load_stream(str(card))


def test_a_missing_part_is_named(card: Path) -> None:
    (card.parent / "data/pets/validation.parquet").unlink()
    with pytest.raises(DataError, match=r"validation\.parquet: no such file"):
        load_stream(str(card))


def test_fingerprints_follow_the_contents(card: Path) -> None:
    before = load_stream(str(card)).tasks[0].fingerprint("train")
    assert before == load_stream(str(card)).tasks[0].fingerprint("test")
    write(card.parent / "data/pets/train.parquet", changed("text", 0, "kind: it sleeps"))
    assert load_stream(str(card)).tasks[0].fingerprint("train") != before
