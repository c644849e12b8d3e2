"""The page of flips: well formed, without scripts, and nothing that data bring acts as markup."""

from pathlib import Path

import pytest
from tests.reports.conftest import HOSTILE
from tests.reports.flips.ledgers import graded, random_rows, rows, table
from tests.reports.page_tags import Tags

from clbench.core.errors import ClbenchError
from clbench.reports.flips.comparison import Comparison, compare
from clbench.reports.flips.content import Content
from clbench.reports.flips.flips_page import to_html, write_page
from clbench.reports.flips.gate import decide
from clbench.reports.flips.predictions import Predictions

IMAGE = b"\x89PNG"


@pytest.fixture(scope="module")
def hostile() -> Comparison:
    old, new = random_rows(1), random_rows(2)
    for made in (old, new):
        for row in made:
            row["task"] = row["task"].replace("task 2", HOSTILE)
            for name in ("prediction", "target"):
                row[name] = row[name].replace("class 1", HOSTILE)
        made[7]["sample_id"] = HOSTILE
    return compare(Predictions(f"old {HOSTILE}", table(old)), Predictions(f"new {HOSTILE}", table(new)))


def test_the_page_is_well_formed_and_loads_nothing(hostile: Comparison) -> None:
    page = to_html(
        hostile, decide(hostile, 0.02), {(f.task, f.sample_id): Content(HOSTILE, IMAGE) for f in hostile.worst}
    )
    found = Tags(page)
    assert found.open == []
    assert not {"script", "link", "iframe", "object", "form"} & set(found.tags)
    assert not [name for name, _ in found.attributes if name.startswith("on") or name in ("srcset", "action", "href")]
    assert {value for name, value in found.attributes if name == "src"} == {"data:image/png;base64,iVBORw=="}
    assert "default-src 'none'" in page
    assert "<script" not in page
    assert "url(" not in page


def test_the_page_has_every_part(hostile: Comparison) -> None:
    page = to_html(hostile, decide(hostile, 0.02))
    for part in (
        "negative flips",
        "relative_nfr",
        "By task",
        "By class and by confidence",
        "Gate failed.",
        "Yan et al.",
    ):
        assert part in page
    assert page.count('class="flip task-') == hostile.n_worse
    assert page.count('type="radio"') == 1 + 3
    assert page.count("main:has(#task-") == 3
    assert "<dt>target</dt>" in page


def test_a_long_list_is_cut_and_says_so() -> None:
    n = 700
    found = compare(
        Predictions("o", table(rows(["a"] * n, ["a"] * n))), Predictions("n", table(rows(["b" * 9000] * n, ["a"] * n)))
    )
    page = to_html(found)
    assert page.count('class="flip task-') == 500
    assert "200 more are not shown." in page
    assert len(page) < 500 * 6000


def test_what_is_graded_has_losses_and_what_is_the_same_has_no_flips() -> None:
    page = to_html(compare(Predictions("o", table(graded([0.5, 0.4]))), Predictions("n", table(graded([0.2, 0.6])))))
    assert "Losses, the worst first" in page
    assert "0.5000 to 0.2000" in page
    same = table(rows(["a"], ["a"]))
    assert "<p>None.</p>" in to_html(compare(Predictions("o", same), Predictions("n", same)))


def test_a_disk_that_refuses_says_so(hostile: Comparison, tmp_path: Path) -> None:
    (tmp_path / "page.html").mkdir()
    with pytest.raises(ClbenchError, match=r"page\.html: cannot be written"):
        write_page(hostile, tmp_path / "page.html")
