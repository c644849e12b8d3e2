"""Published numbers and costs: beside the measured ones, marked, never among them."""

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from statistics import fmean

import pytest
from tests.reports.conftest import Store, rows

from clbench.reports.headings import NO_NUMBER
from clbench.reports.leaderboard.board import Board, make_board
from clbench.reports.leaderboard.collect import collect
from clbench.reports.leaderboard.published import WARNING, published_tables
from clbench.reports.leaderboard.tables import to_csv, to_json, to_markdown
from clbench.reports.site.overview_page import overview_page
from clbench.reports.site.stream_page import stream_page


@pytest.fixture(scope="module")
def board(new_store: Callable[[], Store]) -> Board:
    """X-TAIL with one strategy of two seeds that tell their cost, and a tuning run."""
    store = new_store()
    for seed in (0, 1):
        run = store.add("codyra", seed, {"union": rows(0.8, 0.9)}, stream="xtail")
        store.client.log_metric(run, "cost/train_seconds", 100.0 + 21 * seed)
        store.client.log_metric(run, "seconds/train", 7.0)
    store.client.log_metric(run, "cost/decode_seconds", 3.0)  # the run of seed 0 is of earlier code
    store.add("codyra", 0, {"union": rows(0.8, 0.9)}, stream="xtail", split="validation")
    store.add("codyra", 0, {"task-id": rows(0.8, 0.9)}, stream="clip-mini")
    return make_board(collect(store.uri, store.experiment), store.experiment, datetime(2026, 1, 1, tzinfo=UTC))


def _stream_page(board: Board, name: str) -> str:
    (section,) = (s for s in board.sections if name == s.stream + (f" ({s.split})" * (not s.is_test)))
    return stream_page(section, {}).html


def test_they_are_shown_once_and_marked(board: Board) -> None:
    page, text = _stream_page(board, "xtail"), to_markdown(board)
    assert page.count(WARNING) == text.count(WARNING) == 1
    assert page.count("MoRAM</th>") == 1
    assert not any(WARNING in _stream_page(board, other) for other in ("clip-mini", "xtail (validation)"))
    assert "MoRAM" not in overview_page(board, ()).html
    assert f'<th scope="row">LwF</th><td>47.7</td><td>53.2</td><td>{NO_NUMBER}</td>' in page
    assert f"| LwF | 47.7 | 53.2 | {NO_NUMBER} |" in text


def test_they_never_mix_with_what_was_measured(board: Board) -> None:
    sections = json.loads(to_json(board))["sections"]
    found = {(section["stream"], section["split"]): section for section in sections}
    assert found["xtail", "test"]["published"]["warning"] == WARNING
    assert found["xtail", "validation"]["published"] is None
    assert found["clip-mini", "test"]["published"] is None
    assert [standing["label"] for standing in found["xtail", "test"]["standings"]] == ["codyra"]
    assert {row["strategy"] for row in csv.DictReader(io.StringIO(to_csv(board)))} == {"codyra"}


def test_costs_are_means_over_seeds_and_absent_where_nobody_told(board: Board) -> None:
    by_stream = {section.stream: section for section in board.test_sections}
    assert by_stream["xtail"].standings[0].cost["cost/train_seconds"].mean == fmean([100.0, 121.0])
    assert not by_stream["clip-mini"].standings[0].cost
    assert "| Strategy | Training, s | Decoding, s |" in to_markdown(board)
    assert "| codyra | 110 | 3 (1 of 2 seeds) |" in to_markdown(board)
    page = _stream_page(board, "xtail")
    assert '<td data-v="3.0">3 (1 of 2 seeds)</td>' in page
    assert "Cost of a run" in page
    assert "Cost of a run" not in _stream_page(board, "clip-mini")


def test_the_tables_agree_with_their_per_domain_rows() -> None:
    """The rows of CoDyRA on X-TAIL, as the source prints them: means of the domains, Transfer without the first."""
    printed = {
        "transfer": [74.3, 36.8, 44.2, 69.9, 83.5, 42.8, 88.9, 64.6, 63.4],
        "average": [41.4, 81.0, 58.7, 77.8, 83.4, 84.6, 64.5, 90.4, 67.2, 64.4],
        "last": [37.7, 81.5, 65.1, 89.9, 91.4, 85.5, 96.8, 93.3, 77.3, 73.5],
    }
    (row,) = (row for row in published_tables()["xtail"].rows if row.name == "CoDyRA")
    for name, cells in printed.items():
        assert getattr(row, name) == pytest.approx(fmean(cells), abs=0.06)


def test_every_table_is_of_a_stream_that_exists() -> None:
    from clbench.core.cards import STREAM_CARDS

    assert set(published_tables()) <= set(STREAM_CARDS.names())
    for table in published_tables().values():
        assert all(any(cell is not None for cell in row.cells) for row in table.rows)
