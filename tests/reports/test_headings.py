"""One module keeps the headings of numbers, for the terminal and for the leaderboard."""

import math

from clbench.core.registry import METRICS
from clbench.reports.headings import (
    CHALLENGE,
    MAIN,
    NO_NUMBER,
    OF_KINDS,
    arrowed,
    metric_title,
    percent,
    terminal_columns,
    three_digits,
)


def test_the_terminal_shows_fewer_columns_of_further_protocols() -> None:
    rows = [["mtil.last", "union.mtil.last", "kind/detection"], ["mtil.last", "flips"]]
    assert list(terminal_columns(rows).values()) == [
        *("Last", "Average", "Transfer", "forgetting", "BWT", "det IoU"),
        *("union Last", "union forg."),
    ]


def test_streams_of_other_updates_have_flips_instead() -> None:
    rows = [["mtil.last", "flips/all/nfr", "union.mtil.last"]]
    assert list(terminal_columns(rows).values()) == [
        *("Last", "NFR", "PFR", "rel. NFR"),
        *("union Last", "union NFR", "union PFR", "union rel. NFR"),
    ]


def test_a_failed_suite_still_has_columns() -> None:
    assert list(terminal_columns([])) == list(terminal_columns([["status"]]))


def test_headings_name_registered_metrics() -> None:
    assert set(METRICS.names()) >= set(MAIN)
    assert all(name.startswith("kind/") for name in OF_KINDS)


def test_arrows_say_where_better_is() -> None:
    assert CHALLENGE["challenge/regression/mre"].with_arrow == "Regression: MRE, pixels ↓"
    assert arrowed("Last", "higher") == "Last\N{NO-BREAK SPACE}↑"
    assert arrowed("Last", "") == "Last"
    assert metric_title("forgetting.mammoth") == "forgetting (mammoth)"
    assert metric_title("forgetting.chaudhry") == "Forgetting (Chaudhry)"


def test_values_are_written_in_percent_or_with_three_digits() -> None:
    assert (percent(0.12345), percent(-0.0001), percent(math.nan)) == ("12.3", "0.0", NO_NUMBER)
    assert (three_digits(1234.5), three_digits(0.66666)) == ("1,230", "0.667")
