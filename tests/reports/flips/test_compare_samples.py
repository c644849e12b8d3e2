"""`clbench compare`: the samples behind flips, looked up in the data of their stream."""

import base64
import json
import re
import subprocess
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.command import Command
from tests.reports.flips.cells import made_cell
from tests.reports.flips.ledgers import write

from clbench.cli import samples
from clbench.core.storage import write_json
from clbench.reports.flips.comparison import compare
from clbench.reports.flips.content import Content
from clbench.reports.flips.flip_counts import Flip
from clbench.reports.flips.predictions import Origin, Predictions
from clbench.spec.ledger import write_ledger
from clbench.streams.card import load_stream


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_cell(tmp_path_factory.mktemp("texts") / "cell", "text-open")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_cell(tmp_path_factory.mktemp("images") / "cell", "clip-mini", "union")


def versions_of(ledger: Path) -> tuple[str, str]:
    return f"{ledger}@0", f"{ledger}@1"


def texts_in(printed: str) -> int:
    """How many of the flips at the end have a line with their text."""
    return printed.partition("the worst 10 of")[2].count("\n      ")


def asked(stream: str, task: str) -> dict[str, str]:
    rows = next(found for found in load_stream(stream).tasks if found.name == task).load("test")
    return dict(zip(rows["sample_id"][:], rows["text"][:], strict=True))


def test_the_terminal_shows_the_texts(clbench: Command, texts: Path) -> None:
    done = clbench("compare", *versions_of(texts))
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("the worst 10")) + 1
    task, sample = re.fullmatch(r"  (.+?), (.+?): target .*", lines[first]).groups()  # type: ignore[union-attr]
    shown = lines[first + 1].strip()
    assert shown.removesuffix("...")
    in_one_line = " ".join(asked("text-open", task)[sample].split())
    assert in_one_line.startswith(shown.removesuffix("..."))


def test_the_page_shows_the_texts_of_all_flips(clbench: Command, texts: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert clbench("compare", *versions_of(texts), "--html", page, "--json").returncode == 0
    found = compare(Predictions("old", texts, 0), Predictions("new", texts, 1))
    written = page.read_text("utf-8")
    assert written.count("<dt>text</dt>") == found.n_worse > 10


def test_the_page_shows_images(clbench: Command, images: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert clbench("compare", *versions_of(images), "--html", page).returncode == 0
    found = re.findall(r'src="data:image/png;base64,([^"]+)" alt="sample ([^"]+)"', page.read_text("utf-8"))
    assert len(found) == compare(Predictions("old", images, 0), Predictions("new", images, 1)).n_worse
    data = {row["sample_id"]: row["image"] for task in load_stream("clip-mini").tasks[:2] for row in task.load("test")}
    for png, name in found[:5]:
        shown = Image.open(BytesIO(base64.b64decode(png)))
        assert shown.tobytes() == data[name].convert("RGB").tobytes()


def test_large_images_are_made_smaller_and_bounded_together(monkeypatch: pytest.MonkeyPatch, images: Path) -> None:
    flips = compare(Predictions("old", images, 0), Predictions("new", images, 1)).worst[:6]
    origin = Origin("clip-mini", "test")
    monkeypatch.setattr(samples, "LONGEST_EDGE", 10)
    small = samples.look_up(flips, origin, None, images=True)
    sizes = {Image.open(BytesIO(content.png or b"")).size for content in small.values()}
    assert {max(size) for size in sizes} == {10}
    monkeypatch.setattr(samples, "MOST_BYTES", len(small[flips[0].task, flips[0].sample_id].png or b"") + 1)
    few = samples.look_up(flips, origin, None, images=True)
    assert [few[flip.task, flip.sample_id].png is not None for flip in flips] == [True, True, *[False] * 4]
    assert all(content.png is None for content in samples.look_up(flips, origin, None, images=False).values())


def test_a_version_of_a_cell_knows_its_stream(clbench: Command, texts: Path, tmp_path: Path) -> None:
    cell = tmp_path / "cell"
    for version in (0, 1):
        folder = cell / "versions" / f"000{version}"
        folder.mkdir(parents=True)
        table = pq.read_table(texts)
        write_ledger(table.filter(pq.filters_to_expression([("version", "=", version)])), folder / "ledger.parquet")
    write_json(cell / "cell.json", {"stream": {"name": "text-open"}, "split": "test"})
    done = clbench("compare", *(cell / "versions" / f"000{version}" / "ledger.parquet" for version in (0, 1)))
    assert texts_in(done.stdout) == 10


def test_a_ledger_that_lies_alone_shows_ids_until_a_stream_is_named(
    clbench: Command, texts: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "alone.parquet"
    alone.write_bytes(texts.read_bytes())
    without = clbench("compare", *versions_of(alone))
    assert (without.returncode, without.stderr, texts_in(without.stdout)) == (0, "", 0)
    assert texts_in(clbench("compare", *versions_of(alone), "--samples", "text-open").stdout) == 10
    worst = json.loads(clbench("compare", *versions_of(alone), "--samples", "text-open", "--json").stdout)["worst"]
    assert all(flip["text"] for flip in worst)
    assert not any(
        flip["text"] for flip in json.loads(clbench("compare", *versions_of(texts), "--json").stdout)["worst"]
    )


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ({"stream": {"name": "no-such"}, "split": "test"}, "unknown stream 'no-such'"),
        ({"stream": {"name": "trace-order1"}, "split": "test"}, "it needs --root DIR"),
        ({"stream": {"name": "text-open"}, "split": "tset"}, "no part 'tset': did you mean 'test'?"),
    ],
)
def test_samples_that_cannot_be_shown_are_a_message_and_the_rest_goes_on(
    clbench: Command, texts: Path, tmp_path: Path, cell: dict[str, object], reason: str
) -> None:
    ledger = tmp_path / "ledger.parquet"
    ledger.write_bytes(texts.read_bytes())
    write_json(tmp_path / "cell.json", cell)
    done = clbench("compare", *versions_of(ledger))
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert done.stderr.startswith("samples are not shown: ")
    assert reason in done.stderr
    assert "the worst 10 of" in done.stdout


def test_other_data_under_the_same_ids_are_not_shown(clbench: Command, texts: Path, tmp_path: Path) -> None:
    table = pq.read_table(texts).to_pylist()
    for row in table:  # as if the labels had been mended since
        for name in ("target", "prediction"):
            row[name] = f"new {row[name]}"
    ledger = write(tmp_path / "ledger.parquet", table)
    named = clbench("compare", *versions_of(ledger), "--samples", "text-open", "--json")
    assert (named.returncode, named.stderr.count("\n")) == (2, 1)
    assert "these are other data" in named.stderr


def test_samples_that_the_stream_does_not_have_are_left_out() -> None:
    flip = Flip("comp", "comp/no-such", None, None, None, None, None, None, None, None)
    other = replace(flip, task="no-such-task")
    found: dict[tuple[str, str], Content] = samples.look_up([flip, other], Origin("text-open", "test"), None, True)
    assert found == {}


def test_json_of_a_cell_imports_no_torch(texts: Path) -> None:
    code = f"""
import sys
sys.argv = ["clbench", "compare", *{versions_of(texts)!r}, "--json"]
from clbench.cli.main import app
try:
    app()
except SystemExit:
    pass
print([name for name in ("torch", "datasets", "pandas", "PIL") if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
