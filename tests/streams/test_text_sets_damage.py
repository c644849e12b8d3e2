"""Text data that are missing or damaged, cards that do not fit: one clear line each."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.streams.text_roots import cl_benchmark, sentences, trace, write
from typer.testing import CliRunner

from clbench.cli.data import app
from clbench.core.cards import STREAM_CARDS
from clbench.core.errors import ConfigError, DataError
from clbench.streams.card import load_stream
from clbench.streams.text_sequences.text_sets import text_set_facts as module

FOLDER = "CL_Benchmark/TC/agnews"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return cl_benchmark(tmp_path)


def one_row(**values: Any) -> str:
    """A file whose row 1 has other values than it should have; None takes a key out."""
    rows: list[dict[str, Any]] = [*sentences("agnews", "train", 2)]
    rows[1] = {key: value for key, value in {**rows[1], **values}.items() if value is not None}
    return json.dumps(rows)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "train.json: damaged or not JSON: Expecting value"),
        ('[{"label": "World", "sentence": "x"}', "train.json: damaged or not JSON: Expecting ',' delimiter"),
        ("[" * 100_000, "train.json: damaged or not JSON: "),
        ('{"label": "World", "sentence": "x"}', "train.json: wanted a JSON list, got an object"),
        ("null", "train.json: wanted a JSON list, got nothing"),
        ("[]", "train.json: wanted at least one row, got none"),
        ("[1]", "train.json: row 0: wanted an object with 'sentence', got a number"),
        ('[{"label": "World", "sentence": "x"}, "y"]', "row 1: wanted an object with 'sentence', got a text"),
        (one_row(sentence=None), "train.json: row 1: 'sentence' is missing"),
        (one_row(label=None), "train.json: row 1: 'label' is missing"),
        (one_row(label=2), "train.json: row 1: 'label' must be a text, got a number"),
        (one_row(sentence=True), "train.json: row 1: 'sentence' must be a text, got a truth value"),
        (one_row(sentence=[]), "train.json: row 1: 'sentence' must be a text, got a list"),
        (one_row(sentence=" \n"), "train.json: row 1: 'sentence' is empty"),
        (one_row(sentence="\ud83d"), "train.json: row 1: 'sentence' is not Unicode text"),
        (
            one_row(label="world"),
            "row 1: 'label' is no label (wanted one of World, Sports, Business, Science or Technology, got 'world')",
        ),
        (
            "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            "train.json: only a pointer to a Git LFS file (`git lfs pull`",
        ),
    ],
)
def test_damaged_files(root: Path, text: str, message: str) -> None:
    (root / FOLDER / "train.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        load_stream("standard-cl-order2", str(root))
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text(root: Path) -> None:
    (root / FOLDER / "train.json").write_bytes(b'[{"label": "\xff"}]')
    with pytest.raises(DataError, match=r"agnews/train.json: damaged or not JSON"):
        load_stream("standard-cl-order2", str(root))


def test_files_that_are_missing(root: Path, tmp_path: Path) -> None:
    (root / FOLDER / "test.json").unlink()
    with pytest.raises(DataError, match=r"agnews/test.json: no such file$"):
        load_stream("standard-cl-order2", str(root))
    (root / FOLDER / "dev.json").unlink()  # never read
    write(root / FOLDER / "test.json", sentences("agnews", "test", 1))
    assert load_stream("standard-cl-order2", str(root)).tasks[2].name == "agnews"


def test_a_file_that_changes_is_read_again(root: Path) -> None:
    load_stream("standard-cl-order2", str(root))
    (root / FOLDER / "train.json").write_text("[1, 2]", encoding="utf-8")
    with pytest.raises(DataError, match="row 0: wanted an object"):
        load_stream("standard-cl-order2", str(root))


def test_sets_that_are_missing(root: Path, tmp_path: Path) -> None:
    (root / FOLDER).rename(root / "elsewhere")
    with pytest.raises(DataError, match=r"data set agnews is missing \(wanted a folder CL_Benchmark/TC/agnews\)$"):
        load_stream("standard-cl-order2", str(root))
    with pytest.raises(
        DataError, match=r"8 of 8 data sets of 'trace-order1' are missing: C-STANCE, FOMC, .*clbench data check"
    ):
        load_stream("trace-order1", str(root))
    empty = tmp_path / "my 'data'"
    empty.mkdir()
    with pytest.raises(DataError) as caught:
        load_stream("trace-order1", str(empty))
    command = ["clbench", "data", "check", "trace-order1", "--root", str(empty)]
    assert shlex.split(str(caught.value).split("`")[1]) == command
    with pytest.raises(DataError, match=r"/nowhere: no such folder"):
        load_stream("trace-order1", str(root / "nowhere"))


def test_no_root_and_the_hub() -> None:
    with pytest.raises(DataError, match="stream 'trace-order1' has no data of its own: it needs --root DIR"):
        load_stream("trace-order1")
    with pytest.raises(
        DataError, match="--root hub: no copy of the data of 'long-sequence-order4' on the hub is known"
    ):
        load_stream("long-sequence-order4", "hub")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda card: card["tasks"][0]["source"].update(dataset="agnew"),
            "unknown dataset 'agnew': did you mean 'agnews'?",
        ),
        (
            lambda card: card["tasks"][0]["source"].update(collection="glue"),
            "source: collection must be 'cl-benchmark' or 'trace'",
        ),
        (lambda card: card["tasks"][0]["source"].pop("dataset"), "task dbpedia: source: dataset is missing"),
        (
            lambda card: card["tasks"][0].update(metric="exactmatch"),
            "unknown score 'exactmatch': did you mean 'exact_match'?",
        ),
        (lambda card: card.pop("limits"), "stream standard-cl-order1: limits is missing"),
    ],
)
def test_cards_that_do_not_fit(root: Path, tmp_path: Path, change: Callable[[Any], None], message: str) -> None:
    card = yaml.safe_load(STREAM_CARDS.get("standard-cl-order1").path.read_text(encoding="utf-8"))
    change(card)
    path = tmp_path / "card.yaml"
    path.write_text(yaml.safe_dump(card), encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_stream(str(path), str(root))


def check(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["check", *arguments], catch_exceptions=False)
    return done.exit_code, done.stdout


def test_the_check_says_what_is_not_as_published(root: Path) -> None:
    status, out = check("standard-cl-order1", "--root", str(root))
    assert status == 2
    assert "agnews: train: wanted the published 4,000 rows, got 48" in out
    assert "agnews: get the folder CL_Benchmark of https://github.com/cmnfriend/O-LoRA (with Git LFS)" in out
    (root / FOLDER / "train.json").write_text("[]", encoding="utf-8")
    status, out = check("standard-cl-order1", "--root", str(root), "--json")
    sets = {item["dataset"]: item for item in json.loads(out)["sets"]}
    assert status == 2
    assert sets["agnews"]["numbers"]["train"] == {"found": None, "published": 4000}
    assert sets["dbpedia"]["numbers"] == {
        "train": {"found": 168, "published": 14_000},
        "test": {"found": 42, "published": 7600},
    }


def test_the_check_of_complete_data(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = module.collection("cl-benchmark")
    sizes = {
        name: {"train": 12 * len(facts.labels), "test": 3 * len(facts.labels) + (name == "MNLI")}
        for name, facts in known.sets.items()
    }
    small = known.model_copy(
        update={"sets": {name: facts.model_copy(update=sizes[name]) for name, facts in known.sets.items()}}
    )
    monkeypatch.setattr("clbench.streams.text_sequences.text_sets.check_text_sets.collection", lambda _: small)
    status, out = check("long-sequence-order6", "--root", str(root))
    assert status == 0
    assert "MNLI: test: 1 of 10 rows have no label and are left out" in out
    assert "wanted" not in out


def test_what_the_check_refuses(root: Path) -> None:
    with pytest.raises(ConfigError, match="--images: stream 'trace-order1' has texts and no images"):
        check("trace-order1", "--root", str(root), "--images")
    with pytest.raises(DataError, match="/nowhere: no such folder"):
        check("trace-order1", "--root", str(root / "nowhere"))
    assert check("trace-order1", "--root", str(trace(root)))[0] == 2
