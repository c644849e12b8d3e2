"""The pages of the site and their other formats, as text; `test_site_in_a_browser.py` opens them."""

import csv
import hashlib
import json
import re
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.reports.conftest import HOSTILE, Store
from tests.reports.flips.ledgers import rows as answers
from tests.reports.flips.ledgers import table
from tests.reports.page_tags import Tags

from clbench.reports.site.site_writer import write_leaderboard
from clbench.spec.ledger import write_ledger


@pytest.fixture(scope="module")
def folder(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("board") / "deep" / "site"
    assert write_leaderboard(store.uri, "clbench", out) == out / "index.html"
    return out


@pytest.fixture(scope="module")
def pages(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in folder.rglob("*.html")}


@pytest.fixture(scope="module")
def stream(pages: dict[str, str]) -> str:
    return next(text for text in pages.values() if "<h1>clip-mini</h1>" in text)


def test_there_are_a_page_for_each_stream_and_each_cell(pages: dict[str, str]) -> None:
    assert {"index.html", "metrics.html"} <= pages.keys()
    assert sum(name.startswith("streams/") for name in pages) == 3  # clip-mini, its tuning, text-open
    assert sum(name.startswith("cells/") for name in pages) == 17


def test_pages_are_well_formed_and_load_nothing(pages: dict[str, str]) -> None:
    for name, page in pages.items():
        found = Tags(page)
        assert found.open == [], name
        assert not {"link", "img", "iframe", "object", "form"} & set(found.tags)
        names = {attribute for attribute, _ in found.attributes}
        assert not {attribute for attribute in names if attribute.startswith("on")} | (
            names & {"src", "style", "action"}
        )
        links = [value or "" for attribute, value in found.attributes if attribute == "href"]
        assert not [link for link in links if re.match(r"[a-z]+:|//|/", link)]
        assert "url(" not in page


def test_only_the_own_style_and_script_are_allowed(pages: dict[str, str]) -> None:
    for page in pages.values():
        policy = next(v for n, v in Tags(page).attributes if n == "content" and v and v.startswith("default-src"))
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        for tag, kind in (("style", "style-src"), ("script", "script-src")):
            (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.S)
            (allowed,) = re.findall(rf"{kind} 'sha256-(.*?)'", policy)
            assert hashlib.sha256(text.encode()).digest() == b64decode(allowed)


def test_every_link_leads_to_a_file(folder: Path, pages: dict[str, str]) -> None:
    for name, page in pages.items():
        ids = set(re.findall(r' id="([^"]+)"', page))
        for attribute, link in Tags(page).attributes:
            if attribute == "href" and link:
                target, _, part = link.partition("#")
                assert not target or (folder / name).parent.joinpath(target).is_file(), (name, link)
                assert not part or part in ids, (name, link)


def test_a_hostile_label_is_shown_and_does_nothing(pages: dict[str, str], stream: str) -> None:
    for page in pages.values():
        assert page.count("<script") == 1
    assert "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt; | =cmd() # [a](javascript:b)" in stream


def test_a_stream_has_every_part(stream: str) -> None:
    for part in ("Protocol task-id (primary)", "Protocol union", "0 pre-trained", "Without a result", "± ", "<svg "):
        assert part in stream
    assert "the loss of version 2 is nan" in stream
    assert "other strategies have this seed" in stream
    assert "NOT RUN" in stream
    assert "Without a result: " in stream


def test_metrics_and_environment_are_explained(pages: dict[str, str]) -> None:
    assert "Chaudhry et al. 2018" in pages["metrics.html"]
    assert "clbench_version" in pages["index.html"]
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", pages["index.html"])


def test_tuning_is_apart_and_marked(pages: dict[str, str], stream: str) -> None:
    tuning = next(page for page in pages.values() if "Split: validation." in page)
    assert "lora rank=8" in tuning
    assert "never comparable with the results on test data" in tuning
    assert "lora rank=8" not in stream
    overview = pages["index.html"].split(">Tuning</h2>")
    assert "lora rank=8" not in overview[0]
    assert "clip-mini (validation)" in overview[1]


def test_neither_the_address_of_the_store_nor_a_path_is_published(folder: Path, store: Store) -> None:
    for path in folder.rglob("*.*"):
        if path.is_file() and ".cache" not in path.parts:
            text = path.read_text("utf-8")
            assert store.uri not in text
            assert str(store.folder) not in text


def test_nothing_is_marked_best_beside_strategies_of_one_seed(stream: str) -> None:
    assert not [v for n, v in Tags(stream).attributes if n == "class" and v and "best" in v.split()]


def test_every_table_comes_in_four_formats(folder: Path) -> None:
    page = next(path for path in (folder / "streams").glob("*.html") if "<h1>clip-mini</h1>" in path.read_text())
    tables = json.loads(page.with_suffix(".json").read_text(), parse_constant=pytest.fail)["tables"]
    assert {"p1", "p2", "other1", "R1-1", "failures"} <= {table["name"] for table in tables}
    markdown, latex = page.with_suffix(".md").read_text(), page.with_suffix(".tex").read_text()
    assert latex.count(r"\begin{tabular}") == latex.count(r"\toprule") == latex.count(r"\bottomrule") == len(tables)
    assert markdown.count("\n## ") == len(tables)
    assert "<script" not in markdown
    assert r"\_online strength=1e4" in latex
    for one in tables:
        path = page.with_name(f"{page.stem}.{one['name']}.csv")
        rows = list(csv.reader(path.read_text().splitlines()))
        assert len(rows) == 1 + len(one["rows"])
        assert len({len(row) for row in rows}) == 1
        assert all(len(row) == len(one["columns"]) for row in one["rows"])
        for row in rows[1:]:
            assert not any(cell.startswith(("=", "@")) for cell in row)


def test_files_on_a_server_are_fetched(
    new_store: Callable[[], Store], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As for artifacts on this machine: flips and calibration from the ledger, settings, and nothing made twice."""
    store = new_store()
    run = store.add("lora", 0, {"task-id": [[0.0], [1.0]]}, tasks=["t"])
    made = [row for v, said in enumerate("ba") for row in answers([said], ["a"], version=v, task="t")]
    write_ledger(table([{**row, "confidence": 0.75} for row in made]), tmp_path / "ledger.parquet")
    store.client.log_artifact(run, str(tmp_path / "ledger.parquet"))
    store.client.log_dict(run, {"strategy": {"name": "lora"}, "budget": {"steps": 3}}, "config.json")
    found = {}
    for name in ("here", "elsewhere"):
        write_leaderboard(store.uri, store.experiment, tmp_path / name)
        (page,) = (tmp_path / name / "cells").glob("*.html")
        (data,) = (tmp_path / name / "cells").glob("*.json")
        found[name] = (page.name, page.read_text(), json.loads(data.read_text()))
        monkeypatch.setattr("clbench.reports.leaderboard.collect.artifact_folder", lambda run: None)
    assert found["here"] == found["elsewhere"]
    assert "Calibration error <b>25.0 %</b>" in found["here"][1]
    assert "--set budget.steps=3" in found["here"][1]
    (flips,) = (t for t in found["here"][2]["tables"] if t["name"] == "flips")
    assert flips["rows"][0][2:4] == [{"value": 0.0}, {"value": 1.0}]
    written = (tmp_path / "elsewhere" / "index.html").stat().st_mtime_ns
    write_leaderboard(store.uri, store.experiment, tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / "index.html").stat().st_mtime_ns == written


def test_numbers_in_files_have_every_digit(folder: Path) -> None:
    page = next(path for path in (folder / "streams").glob("*.html") if "<h1>text-open</h1>" in path.read_text())
    (table,) = (t for t in json.loads(page.with_suffix(".json").read_text())["tables"] if t["name"] == "p1")
    column = [c["key"] for c in table["columns"]].index("average_accuracy")
    whole = json.loads((folder / "leaderboard.json").read_text())
    (section,) = (s for s in whole["sections"] if s["stream"] == "text-open")
    expected = section["standings"][0]["results"]["task-id"]["metrics"]["average_accuracy"]["mean"]
    assert table["rows"][0][column]["value"] == expected
    (row,) = csv.DictReader(page.with_name(f"{page.stem}.p1.csv").read_text().splitlines())
    assert float(row["average_accuracy"]) == expected
    assert (row["average_accuracy n"], row["strategy"]) == ("2", "olora")


def test_a_hostile_label_has_a_harmless_file_name(folder: Path) -> None:
    assert all(re.fullmatch(r"[A-Za-z0-9._=-]+", path.name) for path in folder.rglob("*"))
    assert HOSTILE.split(" ", 1)[0] not in {path.name for path in folder.rglob("*")}
