"""The tasks of published updates on made-up copies of their repositories: prompts, parts, sizes, damage."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from tests.command import Command
from tests.streams.task_roots import task_root

from clbench.contracts import Stream, Task
from clbench.core.cards import STREAM_CARDS
from clbench.core.errors import ClbenchError, ConfigError, DataError
from clbench.streams.card import load_stream
from clbench.streams.updates.muscle_sets.found_muscle_set import open_set
from clbench.streams.updates.muscle_sets.muscle_set_facts import facts_of

SIZES = {"piqa": (16113, 1838), "hellaswag": (39905, 10042), "gsm8k": (7473, 1319), "samsum": (14732, 819)}
RELEASES = {
    "update-llama": ("huggyllama/llama-7b", "meta-llama/Llama-2-7b-hf"),
    "update-vicuna": ("lmsys/vicuna-7b-v1.3", "lmsys/vicuna-7b-v1.5"),
    "update-phi": ("microsoft/phi-1", "microsoft/phi-1_5", "microsoft/phi-2"),
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def own_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", cache)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return task_root(tmp_path_factory.mktemp("root"))


@pytest.fixture
def stream(root: Path) -> Stream:
    return load_stream("muscle-tasks", str(root))


def task_of(stream: Stream, name: str) -> Task:
    return next(task for task in stream.tasks if task.name == name)


def test_the_rows_are_asked_as_in_the_harness(stream: Stream) -> None:
    rows = {task.name: task.load("test") for task in stream.tasks}
    assert rows["piqa"][1] == {
        "sample_id": "piqa/validation/00001",
        "text": "Question: open a validation jar 1\nAnswer:",
        "answer": "eat the lid 1",
        "choices": ["twist the lid", "eat the lid 1"],
        "label": 1,
    }
    first, second = rows["hellaswag"][0], rows["hellaswag"][1]
    assert first["text"] == " How to dance: A man in validation 0. stands up. Then he"
    assert first["choices"] == ["runs. He stops.", "sings", " Sleep well", "flies off"]  # as the harness cleans it
    assert (second["text"], second["answer"]) == ("Dancing: A man in validation 1. stands up. Then he", "sings")
    assert rows["gsm8k"][3] == {
        "sample_id": "gsm8k/test/00003",
        "text": "Question: What is 3 plus 3 in main test?\nAnswer:",
        "answer": "3+3=<<3+3=6>>6\n#### 6",
    }
    assert rows["samsum"][0]["text"] == "Dialogue:\nAnn: test 0?\nBob: yes\nSummary:"
    assert rows["samsum"]["sample_id"][:] == [f"samsum/test/0000{i}" for i in (0, 1, 3, 4)]


def test_a_fifth_of_the_training_rows_validates(stream: Stream) -> None:
    for task in stream.tasks:
        train, validation = task.load("train"), task.load("validation")
        rows = 19 if task.name == "samsum" else 20
        assert (len(train), len(validation)) == (rows - 4, 4)
        assert not set(train["text"]) & set(validation["text"])
        digests = [[hashlib.sha256(t.encode()).hexdigest() for t in part["text"]] for part in (train, validation)]
        assert max(digests[1]) < min(digests[0])


def test_what_is_not_as_published_is_told(stream: Stream) -> None:
    expected = [f"{name}: train: wanted the published {sizes[0]:,} rows, got 20" for name, sizes in SIZES.items()]
    expected += [f"{name}: test: wanted the published {sizes[1]:,} rows, got 5" for name, sizes in SIZES.items()]
    left_out = [f"samsum: {part}: 1 of {n} rows have no text or no answer and are left out" for part, n in
                (("train", 20), ("test", 5))]  # fmt: skip
    assert sorted(stream.data_deviations) == sorted(expected + left_out)


@pytest.mark.parametrize("name", RELEASES)
def test_the_published_updates(name: str, root: Path) -> None:
    stream = load_stream(name, str(root))
    assert stream.releases == tuple(f"llama:{release}" for release in RELEASES[name])
    assert [task.name for task in stream.tasks] == ["piqa", "hellaswag", "gsm8k", "samsum"]
    assert [task.metric for task in stream.tasks] == ["acc", "acc", "final_number", "rouge_1"]
    assert stream.protocols == ("task-id",)
    assert len(stream.data_deviations) == 10


def test_fingerprints_follow_the_rows_and_not_the_place(root: Path, tmp_path: Path) -> None:
    other = shutil.copytree(root, tmp_path / "elsewhere")
    prints = [open_set("piqa", folder).fingerprint("test") for folder in (root, other)]
    assert prints[0] == prints[1] != open_set("piqa", root).fingerprint("train")
    path = other / "hellaswag" / "data" / "validation-00000-of-00001.parquet"
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    assert open_set("hellaswag", other).fingerprint("test") != open_set("hellaswag", root).fingerprint("test")


def test_the_hub_is_asked_for_known_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    def refuse(*words: Any, **named: Any) -> None:
        asked.append((*words, named.get("revision")))
        raise OSError("no network")

    monkeypatch.setattr("datasets.load_dataset", refuse)
    monkeypatch.setattr("datasets.load_dataset_builder", refuse)
    with pytest.raises(DataError, match="hub data set knkarthick/samsum: cannot be read: no network"):
        load_stream("muscle-tasks", "hub")
    with pytest.raises(DataError, match="hub data set openai/gsm8k: cannot be read: no network"):
        open_set("gsm8k", None).part("test")
    assert asked == [("knkarthick/samsum", None, None), ("openai/gsm8k", "main", facts_of("gsm8k").revision)]


def without_two(root: Path) -> None:
    for name in ("gsm8k", "piqa"):
        shutil.rmtree(root / name)


def without_labels(root: Path) -> None:
    for path in (root / "piqa" / "data").iterdir():
        pq.write_table(pq.read_table(path).drop_columns(["label"]), path)


def with_a_strange_label(root: Path) -> None:
    path = root / "hellaswag" / "data" / "train-00000-of-00001.parquet"
    rows = pq.read_table(path).to_pylist()
    rows[7]["label"] = ""
    pq.write_table(pq.read_table(path).from_pylist(rows), path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: shutil.rmtree(root / "gsm8k"), "data set gsm8k is missing (wanted a folder gsm8k, a copy of"),
        (without_two, "2 of 4 data sets of 'muscle-tasks' are missing: piqa, gsm8k"),
        (without_labels, "piqa: train: column 'label' is missing"),
        (with_a_strange_label, "train, row 7: invalid literal for int() with base 10: ''"),
        (lambda root: (root / "gsm8k" / "README.md").unlink(), "gsm8k: cannot be read"),
    ],
)
def test_damage_is_one_line(root: Path, tmp_path: Path, damage: Callable[[Path], Any], message: str) -> None:
    other = shutil.copytree(root, tmp_path / "damaged")
    damage(other)
    with pytest.raises(DataError) as caught:
        load_stream("muscle-tasks", str(other))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocols": ["open"]}, "protocols must be [task-id]"),
        ({"limits": None}, "limits is missing"),
        ({"tasks": [{"name": "a", "kind": "classification", "metric": "rouge_1", "source": {"dataset": "piqa"}}]},
         "unknown score 'rouge_1'"),
        ({"tasks": [{"name": "a", "kind": "generation", "metric": "acc", "source": {"dataset": "gsm8k"}}]},
         "unknown score 'acc'"),
    ],
)  # fmt: skip
def test_cards_that_do_not_fit(root: Path, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    values = {**STREAM_CARDS.get("muscle-tasks").values, **change}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(values), "utf-8")
    with pytest.raises(ConfigError) as caught:
        load_stream(str(path), str(root))
    assert message in str(caught.value)


def test_without_a_root_it_says_what_it_needs() -> None:
    with pytest.raises(ClbenchError, match="it needs --root DIR with its data sets, or hub"):
        load_stream("update-phi")


@pytest.mark.parametrize("name", ["muscle-tasks", "update-phi"])
def test_the_check_says_what_is_there(clbench: Command, root: Path, name: str) -> None:
    done = clbench("data", "check", name, "--root", root)
    assert done.returncode == 2
    assert "20 of 16,113" in done.stdout
    assert "get the repository baber/piqa of the Hugging Face hub, whole, as the folder piqa" in done.stdout
