"""The published text streams on made-up roots in the true layouts: orders, sizes, prompts, parts."""

import hashlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.command import Command
from tests.streams.text_roots import GROUPS, LABELS, TRACE, cl_benchmark, sentences, trace, write

from clbench.core.cards import STREAM_CARDS
from clbench.spec.task import SPLITS
from clbench.streams.card import load_stream, read_card
from clbench.streams.text_sequences.text_sets.published_rows import TextRow, validation_texts
from clbench.streams.text_sequences.text_sets.text_set_facts import collection

ORDERS = {
    "standard-cl-order1": "dbpedia amazon yahoo agnews",
    "standard-cl-order2": "dbpedia amazon agnews yahoo",
    "standard-cl-order3": "yahoo amazon agnews dbpedia",
    "long-sequence-order4": "MNLI CB WiC COPA QQP BoolQA RTE IMDB yelp amazon SST-2 dbpedia agnews MultiRC yahoo",
    "long-sequence-order5": "MultiRC BoolQA WiC MNLI CB COPA QQP RTE IMDB SST-2 dbpedia agnews yelp amazon yahoo",
    "long-sequence-order6": "yelp amazon MNLI CB COPA QQP RTE IMDB SST-2 dbpedia agnews yahoo MultiRC BoolQA WiC",
    "trace-order1": "C-STANCE FOMC MeetingBank Py150 ScienceQA NumGLUE-cm NumGLUE-ds 20Minuten",
    "trace-order2": "NumGLUE-cm NumGLUE-ds FOMC 20Minuten C-STANCE Py150 MeetingBank ScienceQA",
}
"""As published, written out by hand."""

TRACE_SCORES = {
    "C-STANCE": "string_equality",
    "FOMC": "string_equality",
    "MeetingBank": "rouge_l",
    "Py150": "edit_similarity",
    "ScienceQA": "first_character",
    "NumGLUE-cm": "string_equality",
    "NumGLUE-ds": "string_equality",
    "20Minuten": "sari",
}

CHOOSE = "Choose one from the option.\nOption: "
PROMPTS = {
    "amazon": "Task:SC\nDataset:amazon\nWhat is the sentiment of the following paragraph? "
    + CHOOSE
    + "very negative, negative, neutral, positive, very positive \nTitle: x\nText: y\n\nAnswer:",
    "SST-2": "Task:SC\nDataset:SST-2\nWhat is the sentiment of the following paragraph? "
    + CHOOSE
    + "Good, Bad \nTitle: x\nText: y\n\nAnswer:",
    "agnews": "Task:TC\nDataset:agnews\nWhat is the topic of the following paragraph? "
    + CHOOSE
    + "World, Sports, Business, Science or Technology \nTitle: x\nText: y\n\nAnswer:",
    "MNLI": 'Task:NLI\nDataset:MNLI\nWhat is the logical relationship between the "sentence 1" and the "sentence 2"? '
    + CHOOSE
    + "neutral, entailment, contradiction \nTitle: x\nText: y\n\nAnswer:",
    "CB": 'Task:NLI\nDataset:CB\nWhat is the logical relationship between the "sentence 1" and the "sentence 2"? '
    + CHOOSE
    + "entailment, contradiction, neutral \nTitle: x\nText: y\n\nAnswer:",
    "QQP": 'Task:QQP\nDataset:QQP\nWhether the "first sentence" and the "second sentence" have the same meaning? '
    + CHOOSE
    + "False, True \nTitle: x\nText: y\n\nAnswer:",
    "BoolQA": "Task:BoolQA\nDataset:BoolQA\nAccording to the following passage, is the question true or false? "
    + CHOOSE
    + "True, False \nTitle: x\nText: y\n\nAnswer:",
    "MultiRC": "Task:MultiRC\nDataset:MultiRC\nAccording to the following passage and question, is the candidate "
    "answer true or false? " + CHOOSE + "False, True \nTitle: x\nText: y\n\nAnswer:",
    "WiC": "Task:WiC\nDataset:WiC\nGiven a word and two sentences, whether the word is used with the same sense in "
    "both sentence? " + CHOOSE + "True, False \nTitle: x\nText: y\n\nAnswer:",
    "COPA": "Task:COPA\nDataset:COPA\nTitle: x\nText: y\n\nAnswer:",
}
"""What O-LoRA's model reads for a sentence, written out by hand."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both collections; not to be changed."""
    folder = tmp_path_factory.mktemp("texts")
    cl_benchmark(folder)
    return trace(folder)


@pytest.mark.parametrize("name", ORDERS)
def test_the_streams_are_those_that_were_published(name: str, root: Path) -> None:
    stream = load_stream(name, str(root))
    assert [task.name for task in stream.tasks] == ORDERS[name].split()
    assert stream.name == name
    assert stream.protocols == ("open",)
    published = name.startswith("trace")
    learner, limits = (
        ("llama:meta-llama/Llama-2-7b-chat-hf", (1024, 512)) if published else ("t5:google-t5/t5-large", (512, 50))
    )
    assert stream.learner == learner
    for task in stream.tasks:
        assert task.limits is not None
        assert (task.limits.input_tokens, task.limits.answer_tokens) == limits
        assert task.metric == (TRACE_SCORES[task.name] if published else "exact_match")
        assert list(task.classes) == (list(TRACE[task.name][1]) if published else LABELS[task.name])
        assert task.kind == ("classification" if task.classes else "generation")


@pytest.mark.parametrize("name", ORDERS)
def test_every_row_of_the_files_is_in_one_part(name: str, root: Path) -> None:
    stream = load_stream(name, str(root))
    parts = {(task.name, split): task.load(split) for task in stream.tasks for split in SPLITS}
    ids = [sample for rows in parts.values() for sample in rows["sample_id"][:]]
    assert len(set(ids)) == len(ids)
    for task in stream.tasks:
        sizes = [len(parts[task.name, split]) for split in SPLITS]
        labels = len(task.classes)
        assert sizes == ([6, 3, 4] if name.startswith("trace") else [8 * labels, 4 * labels, 3 * labels])
        for split in SPLITS:
            rows = parts[task.name, split]
            assert ("label" in rows.column_names) == bool(task.classes)
            if task.classes:
                assert rows.features["label"].names == list(task.classes)
                assert [task.classes[label] for label in rows["label"][:]] == rows["answer"][:]


def test_rows_of_trace_are_as_they_are_in_the_files(root: Path) -> None:
    for task in load_stream("trace-order1", str(root)).tasks:
        for split, file in (("train", "train"), ("validation", "eval"), ("test", "test")):
            path = root / "LLM-CL-Benchmark_5000" / task.name / f"{file}.json"
            rows = task.load(split)  # type: ignore[arg-type]
            wanted = json.loads(path.read_text(encoding="utf-8"))
            assert [{"prompt": row["text"], "answer": row["answer"]} for row in rows] == wanted


@pytest.mark.parametrize("dataset", PROMPTS)
def test_prompts_are_o_loras_character_for_character(dataset: str, root: Path, tmp_path: Path) -> None:
    group = next(group for group, names in GROUPS.items() if dataset in names.split())
    cl_benchmark(tmp_path)
    rows = [{"sentence": "Title: x\nText: y\n", "label": LABELS[dataset][-1], "id": 7}]  # other keys are ignored
    write(tmp_path / "CL_Benchmark" / group / dataset / "test.json", rows)
    (task,) = [task for task in load_stream("long-sequence-order4", str(tmp_path)).tasks if task.name == dataset]
    (row,) = task.load("test")
    assert row["text"] == PROMPTS[dataset]
    assert row["answer"] == LABELS[dataset][-1]


def test_braces_and_blanks_in_a_sentence_stay(tmp_path: Path) -> None:
    cl_benchmark(tmp_path)
    write(tmp_path / "CL_Benchmark/COPA/COPA/test.json", [{"sentence": " {0} {x}\t", "label": "A"}])
    (task,) = [task for task in load_stream("long-sequence-order6", str(tmp_path)).tasks if task.name == "COPA"]
    assert task.load("test")["text"][0] == "Task:COPA\nDataset:COPA\n {0} {x}\t\nAnswer:"


def test_the_instructions_have_the_published_files_checksum() -> None:
    # O-LoRA's configs/instruction_config.json, 1,230 bytes, put together again from our instructions.
    instructions = collection("cl-benchmark").instructions
    entries = []
    for group in ("NLI", "QQP", "SC", "TC", "BoolQA", "MultiRC", "WiC"):
        colon = ": [" if group in ("NLI", "QQP", "SC", "TC") else ":["
        row = f'    {{"instruction_type": "zero-shot", "instruction": {json.dumps(instructions[group])}}}'
        entries.append(f'  "{group}"{colon}\n{row}\n  ]')
    text = "{\n" + ",\n".join(entries) + "\n}"
    wanted = "045a216e065357c42a6970cf5a969df8a4eb641dc9c12f01dc67ea76e7c4edd0"
    assert hashlib.sha256(text.encode()).hexdigest() == wanted


def test_the_published_sizes_fit_what_is_known_of_them() -> None:
    sets = collection("cl-benchmark").sets
    assert {name: facts.group for name, facts in sets.items()} == {
        n: g for g, names in GROUPS.items() for n in names.split()
    }
    assert {name: list(facts.labels) for name, facts in sets.items()} == LABELS
    per_label = {name: facts.train / len(facts.labels) for name, facts in sets.items() if name not in ("CB", "COPA")}
    assert set(per_label.values()) == {1000}  # O-LoRA drew a thousand rows a label
    assert sum(sets[name].test for name in ORDERS["standard-cl-order1"].split()) == 30_400  # as users' logs count them
    assert {facts.train for facts in collection("trace").sets.values()} == {5000}
    assert sets["MultiRC"].test == 66_953 - 62_105  # the pooled test rows of O-LoRA's logs with and without it


def test_cards_tell_the_licences_of_their_data() -> None:
    for name in ORDERS:
        file = STREAM_CARDS.get(name)
        card = read_card(file.values, file.path)
        known = collection("trace" if name.startswith("trace") else "cl-benchmark").sets
        facts = [known[task.name] for task in card.tasks]
        assert [(item.source, item.licence) for item in card.licences] == [
            (f"{item.title}, {item.source}", item.licence) for item in facts
        ]
        for task, item in zip(card.tasks, facts, strict=True):
            assert f"{item.train:,} rows to train" in task.description
            assert f"{item.test:,} to test" in task.description


ANSWERS = st.sampled_from(["True", "False", "neutral"])
ROWS = st.lists(st.tuples(st.text(min_size=1, max_size=3), ANSWERS), max_size=120).map(
    lambda pairs: [TextRow(number, *pair) for number, pair in enumerate(pairs)]
)


@given(ROWS, st.randoms())
def test_validation_texts_are_the_same_in_any_order_of_different_texts(
    rows: list[TextRow], random: "Callable[..., object]"
) -> None:
    first: dict[str, TextRow] = {}
    for row in rows:
        first.setdefault(row.text, row)
    mixed = list(first.values())
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert validation_texts(rows) == validation_texts(mixed)


@given(ROWS)
def test_a_tenth_but_at_least_four_and_at_most_half_of_the_texts_of_an_answer_validate(rows: list[TextRow]) -> None:
    chosen = validation_texts(rows)
    first: dict[str, str] = {}
    for row in rows:
        first.setdefault(row.text, row.answer)
    for answer in {row.answer for row in rows}:
        texts = [text for text, other in first.items() if other == answer]
        validate = len(chosen.intersection(texts))
        assert validate == min(max(4, round(len(texts) / 10)), len(texts) // 2)
    assert chosen <= first.keys()


@settings(max_examples=25)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=60))
def test_training_and_validation_are_disjoint_and_together_the_published_rows(numbers: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            {"sentence": f"text {number}", "label": "TrueFalse"[4 * (number % 2) :][: 4 + number % 2]}
            for number in numbers
        ]
        for name in ("train", "test"):
            write(Path(folder) / "WiC" / "WiC" / f"{name}.json", rows)
        card = Path(folder) / "wic.yaml"
        card.write_text(WIC, encoding="utf-8")
        (task,) = load_stream(str(card), folder).tasks
        train, validation = task.load("train"), task.load("validation")
        assert not set(train["text"][:]) & set(validation["text"][:])  # equal rows stay together
        assert sorted([*train["sample_id"][:], *validation["sample_id"][:]]) == [
            f"WiC/train/{number:05d}" for number in range(len(rows))
        ]


WIC = """
name: wic
description: One set.
loader: text-sets
learner: mini-t5
protocols: [open, task-id]
order_reason: none
limits: {input_tokens: 64, answer_tokens: 4}
tasks:
  - {name: WiC, kind: classification, metric: exact_match, source: {collection: cl-benchmark, dataset: WiC}}
"""


def test_ids_say_where_a_row_is_in_its_file(root: Path) -> None:
    (task,) = [task for task in load_stream("long-sequence-order5", str(root)).tasks if task.name == "MNLI"]
    assert task.load("test")["sample_id"][:2] == ["MNLI/test/00000", "MNLI/test/00002"]  # row 1 has no label
    train, validation = task.load("train")["sample_id"][:], task.load("validation")["sample_id"][:]
    assert sorted([*train, *validation]) == [f"MNLI/train/{number:05d}" for number in range(36)]


def test_a_root_may_be_the_collections_own_folder(root: Path, tmp_path: Path) -> None:
    for stream, folder in (("standard-cl-order1", "CL_Benchmark"), ("trace-order1", "LLM-CL-Benchmark_5000")):
        outer, inner = load_stream(stream, str(root)).tasks, load_stream(stream, str(root / folder)).tasks
        assert [a.fingerprint("train") for a in outer] == [b.fingerprint("train") for b in inner]
    trace(tmp_path, "TRACE-Benchmark/LLM-CL-Benchmark_5000")
    assert len(load_stream("trace-order2", str(tmp_path)).tasks) == 8


@pytest.mark.parametrize("dry", [True, False])
def test_what_needs_classes_refuses_free_answers_before_anything_is_trained(
    dry: bool, root: Path, tmp_path: Path, clbench: Command
) -> None:
    learner = Path(__file__).parents[1] / "tiny_llama.py"
    values = {"streams": ["trace-order1"], "learners": [str(learner)], "strategies": ["replay"]}
    (tmp_path / "suite.yaml").write_text(json.dumps(values))
    out = tmp_path / "runs"
    done = clbench("run", tmp_path / "suite.yaml", "--root", root, "--out", out, *(["--dry-run"] * dry))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith(
        "task 'MeetingBank': Replay runs in Avalanche's loop, which knows classes, not free answers"
    )
    assert not list(out.rglob("version*"))


def test_fingerprints_tell_rows_and_parts_apart(tmp_path: Path) -> None:
    cl_benchmark(tmp_path)
    before = load_stream("standard-cl-order3", str(tmp_path)).tasks[0]
    prints = [before.fingerprint(split) for split in SPLITS]
    assert len(set(prints)) == 3
    assert prints == [load_stream("standard-cl-order3", str(tmp_path)).tasks[0].fingerprint(split) for split in SPLITS]
    changed = sentences("yahoo", "train", 12)
    changed[5]["sentence"] += "!"
    write(tmp_path / "CL_Benchmark" / "TC" / "yahoo" / "train.json", changed)
    after = load_stream("standard-cl-order3", str(tmp_path)).tasks[0]
    assert [after.fingerprint(split) == old for split, old in zip(SPLITS, prints, strict=True)] == [False, False, True]


def test_what_is_not_as_published_is_told(root: Path, tmp_path: Path) -> None:
    deviations = load_stream("long-sequence-order4", str(root)).data_deviations
    assert deviations[:3] == (
        "MNLI: train: wanted the published 3,000 rows, got 36",
        "MNLI: test: wanted the published 7,600 rows, got 10",
        "MNLI: test: 1 of 10 rows have no label and are left out",
    )
    assert (
        "NumGLUE-cm: validation: wanted the published 41 rows, got 3"
        in load_stream("trace-order2", str(root)).data_deviations
    )
    cl_benchmark(tmp_path)
    write(tmp_path / "CL_Benchmark/TC/agnews/labels.json", ["World", "Sports", "Sci/Tech"])
    (line,) = [
        line for line in load_stream("standard-cl-order1", str(tmp_path)).data_deviations if "labels.json" in line
    ]
    assert line == (
        "agnews: labels.json: wanted World, Sports, Business, Science or Technology, got World, Sports, Sci/Tech"
    )
    for file in (tmp_path / "CL_Benchmark").rglob("labels.json"):
        file.unlink()  # names come from what is known of the set
    assert load_stream("standard-cl-order1", str(tmp_path)).tasks[3].classes[3] == "Science or Technology"
