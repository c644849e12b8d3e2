"""The site in headless Chromium, from the file system: what works, what never runs, and what everybody can read."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.reports.flips.ledgers import rows as answers
from tests.reports.flips.ledgers import table

from clbench.benchmarks.performance.report import MadeUpCells
from clbench.core.storage import write_json
from clbench.reports.compute_result import StreamOutline, compute_result
from clbench.reports.leaderboard.run_folders import RunFolders
from clbench.reports.site.site_writer import write_site
from clbench.spec.ledger import SCHEMA, write_ledger
from clbench.spec.update import Compress, Learn

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra `test`)")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

WIDTHS = (400, 768, 1200, 1600)
INJECTIONS = (
    "<script>pwned=1</script>",
    '"><img src=x onerror=pwned=1>',
    "'--><svg/onload=pwned=1>",
    "</title><script>pwned=1</script>",
    "</style><script>pwned=1</script>",
    "</code></pre><iframe srcdoc='<script>parent.pwned=1</script>'>",
    "javascript:pwned=1",
    "{{ 7*7 }}${pwned=1}",
    "\u202egnp.exe\u2066 right to left",
    "=cmd|' /C calc'!A0",
    "../../../etc/passwd",
    "x" * 300,
)


def _folder(out: Path, name: str, settings: dict[str, Any], result: dict[str, Any] | None) -> Path:
    folder = out / "suite" / name
    folder.mkdir(parents=True)
    write_json(folder / "cell.json", settings)
    if result is not None:
        write_json(folder / "result.json", result)
    return folder


def _settings(stream: str, learner: str, label: str, seed: object = 0) -> dict[str, Any]:
    return {
        "title": f"{stream} / {learner} / {label} / seed {seed}",
        "clbench": label,
        "stream": {"name": stream},
        "learner": {"name": learner},
        "strategy": {"name": label.split(" ")[0] or "s", "settings": {"lr": label}},
        "budget": {"steps": label, "batch_size": 1},
        "seed": seed,
        "split": "test",
    }


def _hostile(out: Path) -> None:
    """Cells whose names, tasks, samples, answers and errors try to inject."""
    for number, text in enumerate(INJECTIONS):
        tasks = {f"{text.strip()} one": "classification", f"{text.strip()} two": "classification"}
        rows = [
            (version, "task-id", task, f"{text}{sample}", f"{text}{(sample + version) % 2}", f"{text}0", sample == 0)
            for version in range(3)
            for task in tasks
            for sample in range(2)
        ]
        columns = dict(zip(SCHEMA.names, zip(*rows, strict=True), strict=False))
        columns["correct"] = [(row[0] + int(row[6])) % 2 == 1 for row in rows]
        table = pa.table(
            {field.name: pa.array(columns.get(field.name, [None] * len(rows)), field.type) for field in SCHEMA},
            schema=SCHEMA,
        )
        result = compute_result(StreamOutline(tasks, ("task-id",)), table, [{}] * 3)
        done = {"status": "finished", "versions": 3, "result": result.as_json()}
        stream = text if number % 2 else "hostile"
        write_ledger(table, _folder(out, f"h{number}", _settings(stream, text, text, text), done) / "ledger.parquet")
    failed = {"status": "failed", "error": INJECTIONS[1]}
    _folder(out, "failed", _settings("hostile", INJECTIONS[0], INJECTIONS[0], 9), failed)


def _lifecycle(out: Path) -> None:
    """A stream that learns a task and compresses the version twice, to 8 and to 4 bits."""
    signs = ("---", "+++", "++-", "+--")
    made = [
        row
        for version, text in enumerate(signs)
        for row in answers(["a" if sign == "+" else "b" for sign in text], ["a"] * 3, version=version, task="one")
    ]
    updates = (Learn(task="one"), Compress(bits=8), Compress(bits=4, parent="one"))
    recorded = [
        {},
        {},
        {"compress/bytes": 2.0e6, "compress/bits": 8.0},
        {"compress/bytes": 1.0e6, "compress/bits": 4.0},
    ]
    found = compute_result(StreamOutline({"one": "classification"}, ("task-id",), updates), table(made), recorded)
    done = {"status": "finished", "versions": 4, "result": found.as_json()}
    write_ledger(table(made), _folder(out, "bits", _settings("lifecycle", "model", "rtn"), done) / "ledger.parquet")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    MadeUpCells(streams=2, strategies=5, seeds=3, rows=3300).write(out)
    shutil.rmtree(next((out / "made-up").glob("stream-0--*strategy-3--seed2")))
    damaged = next((out / "made-up").glob("stream-0--*strategy-2--seed1"))
    (damaged / "ledger.parquet").write_bytes(b"PAR1")
    (next((out / "made-up").glob("stream-0--*strategy-4--seed0")) / "result.json").write_text('{"status": "fini')
    _lifecycle(out)
    _hostile(out)
    return write_site(RunFolders([out]), out / "site").parent


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


class Watched:
    """A page, and all that must not happen on it."""

    def __init__(self, browser: Any, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.problems: list[str] = []
        self.page.on("console", lambda told: self.problems.append(told.text) if told.type == "error" else None)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("dialog", lambda dialog: self.problems.append(f"dialog {dialog.message}"))
        self.page.on("request", self._requested)
        self.opened = ""

    def _requested(self, request: Any) -> None:
        if request.url.partition("#")[0] != self.opened:
            self.problems.append(f"request {request.url}")

    def open(self, path: Path, fragment: str = "") -> Any:
        self.opened = path.as_uri()
        self.page.goto("about:blank") if fragment else None
        self.page.goto(self.opened + fragment)
        return self.page


@pytest.fixture
def watched(browser: Any) -> Iterator[Watched]:
    made = Watched(browser, viewport={"width": 1280, "height": 900})
    yield made
    assert made.problems == []
    made.context.close()


def stream_of(site: Path, name: str) -> Path:
    return next(path for path in (site / "streams").glob("*.html") if f"<h1>{name}</h1>" in path.read_text())


def cell_of(site: Path, name: str) -> Path:
    return next((site / "cells").glob(f"{name}*.html"))


def column(page: Any, table: str, key: str) -> list[str]:
    find = "([t, k]) => [...document.querySelectorAll(`#${t} thead th`)].findIndex(h => h.dataset.key === k)"
    at = page.evaluate(find, [table, key])
    rows = page.locator(f"#{table} tbody tr:visible")
    return [rows.nth(i).locator("th, td").nth(at).inner_text() for i in range(rows.count())]


def numbers(texts: list[str]) -> list[float]:
    return [float(text.split()[0]) for text in texts if text[0].isdigit()]


def test_every_page_opens_without_a_request_or_an_error(site: Path, watched: Watched) -> None:
    for path in sorted(site.rglob("*.html")):
        watched.open(path)
    assert not watched.problems


def test_a_table_is_sorted_by_a_click_and_the_address_keeps_it(site: Path, watched: Watched) -> None:
    page = watched.open(stream_of(site, "stream-1"))
    page.get_by_role("button", name="Forgetting (Chaudhry)").first.click()
    rising = numbers(column(page, "p1", "forgetting.chaudhry"))
    assert rising == sorted(rising)
    assert page.locator("#p1 th[aria-sort=ascending]").count() == 1
    page.get_by_role("button", name="Forgetting (Chaudhry)").first.click()
    falling = numbers(column(page, "p1", "forgetting.chaudhry"))
    assert falling == sorted(falling, reverse=True) == rising[::-1]
    fragment = page.evaluate("location.hash")
    assert fragment == "#p1.sort=-forgetting.chaudhry"
    again = watched.open(stream_of(site, "stream-1"), fragment)
    assert numbers(column(again, "p1", "forgetting.chaudhry")) == falling


def test_sorting_puts_what_has_no_number_last(site: Path, watched: Watched) -> None:
    page = watched.open(stream_of(site, "stream-0"), "#p1.sort=-calibration/ece")
    found = column(page, "p1", "calibration/ece")
    values = numbers(found)
    assert values == sorted(values, reverse=True)


def test_rows_are_filtered_and_the_address_keeps_it(site: Path, watched: Watched) -> None:
    page = watched.open(stream_of(site, "stream-1"))
    page.get_by_label("Filter rows").first.fill("strategy-3")
    assert column(page, "p1", "strategy") == ["strategy-3"]
    assert page.locator("#p1-count").inner_text() == "1 of 5 rows"
    assert page.evaluate("location.hash") == "#p1.q=strategy-3"
    again = watched.open(stream_of(site, "stream-1"), "#p1.q=strategy-3&p1.sort=seeds")
    assert column(again, "p1", "strategy") == ["strategy-3"]


def test_the_overview_shows_the_chosen_number(site: Path, watched: Watched) -> None:
    page = watched.open(site / "index.html")
    assert page.locator("#overview-0").is_visible()
    page.get_by_label("Number").select_option(label="Negative flips since learnt")
    assert not page.locator("#overview-0").is_visible()
    assert page.locator("#overview-2, #overview-3").locator("visible=true").count() == 1
    chosen = page.evaluate("location.hash")
    again = watched.open(site / "index.html", chosen)
    assert not again.locator("#overview-0").is_visible()


def test_a_heat_map_is_shaded_by_its_numbers(site: Path, watched: Watched) -> None:
    page = watched.open(cell_of(site, "stream-1--strategy-0--seed0"))
    shown = page.evaluate(
        """() => [...document.querySelectorAll('#R1 td.h4, #R1 td.h16, #R1 td.h17, #R1 td.h6')].map(
            td => [Number(td.textContent), getComputedStyle(td).backgroundColor])"""
    )
    assert len(shown) > 5
    assert len({colour for _, colour in shown}) > 1
    assert page.locator("#R1 td.learnt").count() == 10
    assert page.locator("#R1 tbody tr").count() == 11


def test_examples_of_flips_are_clicked_through(site: Path, watched: Watched) -> None:
    page = watched.open(cell_of(site, "stream-1--strategy-0--seed0"))
    box = page.locator(".examples").last
    assert box.locator(".example:visible").count() == 1
    first = box.locator(".example:visible").inner_text()
    box.get_by_role("button", name="Next").click()
    assert box.locator(".example:visible").inner_text() != first
    lost = box.get_attribute("data-lost")
    assert box.locator("output").inner_text() == f"2 of the 6 surest, of {lost}"
    box.get_by_role("button", name="Previous").click()
    box.get_by_role("button", name="Previous").click()
    assert box.locator("output").inner_text() == f"6 of the 6 surest, of {lost}"
    assert "target class" in first


def test_points_of_plots_lead_to_their_rows(site: Path, watched: Watched) -> None:
    page = watched.open(stream_of(site, "stream-1"))
    assert page.locator("svg:has(a.dot)").count() == 3
    assert page.locator("svg:has(circle.point)").count() == 1
    page.locator("svg a.dot").first.focus()
    assert page.locator("#p1 tr.lit").count() == 1


def test_failed_missing_and_damaged_cells_are_shown(site: Path, watched: Watched) -> None:
    page = watched.open(stream_of(site, "stream-0"))
    failures = page.locator("#failures").inner_text()
    assert "NOT RUN" in failures
    assert "cannot be read as JSON" in failures
    assert sorted(column(page, "p1", "seeds")) == ["2 of 3", "2 of 3", "3", "3", "3"]
    damaged = watched.open(cell_of(site, "stream-0--strategy-2--seed1"))
    assert "ledger.parquet: damaged or not Parquet" in damaged.locator(".warning").inner_text()


def test_compressed_versions_are_plotted_by_size(site: Path, watched: Watched) -> None:
    page = watched.open(stream_of(site, "lifecycle"))
    assert page.get_by_text("Size against score").is_visible()
    assert page.locator("#updates1-1 tbody tr").count() == 3
    assert page.locator("svg a.dot").count() == 2
    assert column(page, "p1", "update/bytes") == ["1,000,000"]
    assert page.locator("#updates1-1").get_by_text("2,000,000").count() == 1


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_is_wider_than_the_window(site: Path, browser: Any, width: int) -> None:
    for scheme in ("light", "dark"):
        made = Watched(browser, viewport={"width": width, "height": 800}, color_scheme=scheme)
        for path in _sample(site):
            page = made.open(path)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (path.name, scheme)
        assert made.problems == []
        made.context.close()


def test_light_and_dark_differ(site: Path, browser: Any) -> None:
    colours = set()
    for scheme in ("light", "dark"):
        made = Watched(browser, color_scheme=scheme)
        page = made.open(site / "index.html")
        colours.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        made.context.close()
    assert len(colours) == 2


def test_the_keyboard_reaches_everything(site: Path, watched: Watched) -> None:
    page = watched.open(stream_of(site, "stream-1"))
    reached = []
    focus = "document.activeElement.tagName + ' ' + document.activeElement.textContent.trim().slice(0, 40)"
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(focus))
    assert reached[0].startswith("A To the content")
    assert any(entry.startswith("INPUT") for entry in reached)
    at = next(index for index, entry in enumerate(reached) if entry.startswith("BUTTON Forgetting"))
    page.reload()
    for _ in range(at + 1):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.locator("#p1 th[aria-sort=ascending]").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(site: Path, browser: Any, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    made = Watched(browser, viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    for path in _sample(site):
        response = axe.Axe().run(made.open(path)).response
        assert len(response["passes"]) > 10
        found = response["violations"]
        serious = [fault for fault in found if fault["impact"] in ("serious", "critical")]
        assert not serious, (path.name, [(f["id"], f["nodes"][0]["html"][:200]) for f in serious])
    made.context.close()


def test_nothing_from_a_run_can_run(site: Path, watched: Watched) -> None:
    hostile = [path for path in site.rglob("*.html") if "pwned" in path.read_text("utf-8")]
    assert len(hostile) > len(INJECTIONS)
    for path in hostile:
        page = watched.open(path)
        assert page.evaluate("typeof pwned") == "undefined"
        assert page.locator("script").count() == 1
        assert page.locator("img, iframe, object, embed, svg [onload]").count() == 0
        page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
        for link in page.evaluate("[...document.querySelectorAll('a')].map(a => a.getAttribute('href'))"):
            assert not link.lower().startswith("javascript")
    assert "\u202e" not in "".join(path.read_text("utf-8") for path in hostile)


def test_without_scripts_all_tables_are_there(site: Path, browser: Any) -> None:
    made = Watched(browser, java_script_enabled=False)
    page = made.open(site / "index.html")
    assert page.locator("#overview-0").is_visible()
    assert page.locator("#overview-1").is_visible()
    assert page.locator("select:visible, input:visible").count() == 0
    cell = made.open(cell_of(site, "stream-1--strategy-0--seed0"))
    assert cell.locator("details[open] .example:visible").count() == 6
    made.context.close()


def test_a_thousand_rows_are_sorted_in_a_tenth_of_a_second(site: Path, watched: Watched) -> None:
    page = watched.open(stream_of(site, "stream-1"))
    seconds = page.evaluate(
        """() => {
            const body = document.querySelector('#p1').tBodies[0];
            const rows = [...body.rows];
            for (let i = 0; i < 199; i++) for (const row of rows) {
                const copy = row.cloneNode(true);
                for (const cell of copy.cells) if (cell.dataset.v) cell.dataset.v = Math.random();
                body.append(copy);
            }
            const button = document.querySelector('#p1 th[data-key="bwt.gem"] button');
            const times = [1, 2, 3, 4, 5].map(() => {
                const start = performance.now();
                button.click();
                return performance.now() - start;
            });
            return [body.rows.length, Math.min(...times)];
        }"""
    )
    assert seconds[0] == 1000
    assert seconds[1] < 100


def test_the_json_of_a_hostile_stream_is_strict(site: Path) -> None:
    for path in site.rglob("*.json"):
        json.loads(path.read_text("utf-8"), parse_constant=pytest.fail)


def _sample(site: Path) -> list[Path]:
    """A page of each kind, and hostile ones."""
    named = [stream_of(site, name) for name in ("stream-0", "stream-1", "lifecycle", "hostile")]
    cells = [cell_of(site, "stream-0--strategy-2--seed1"), cell_of(site, "stream-1--strategy-0--seed0")]
    return [site / "index.html", site / "metrics.html", *named, *cells, cell_of(site, "x"), cell_of(site, "hostile--")]
