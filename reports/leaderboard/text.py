"""Numbers and names as text; no name that a run brings can act as markup or as a formula."""

import math
import re

from clbench.reports.leaderboard.aggregate import Estimate

NOTHING = "\N{EN DASH}"
FORMULA_STARTS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""The last four are the full-width forms, which some spreadsheets evaluate too."""


def percent(value: float) -> str:
    """A fraction in percent with one digit; a dash where there is no number, and no minus before a zero."""
    if math.isnan(value):
        return NOTHING
    text = f"{100 * value:.1f}"
    return "0.0" if text == "-0.0" else text


def with_error(estimate: Estimate | None, seeds: int) -> str:
    """Mean ± standard error in percent; says so where fewer seeds have the metric than finished.

    Args:
        estimate: The metric over seeds, None where it is undefined.
        seeds: How many seeds finished.
    """
    if estimate is None:
        return NOTHING
    error = "" if estimate.standard_error is None else f" ± {percent(estimate.standard_error)}"
    return f"{percent(estimate.mean)}{error}" + (f" ({estimate.n} of {seeds} seeds)" if estimate.n < seeds else "")


def amount(estimate: Estimate | None, seeds: int) -> str:
    """A mean with three digits, for costs; a dash where there is none, and how many seeds tell it if not all do.

    Args:
        estimate: The amount over seeds, None where no run tells it.
        seeds: How many seeds finished.
    """
    if estimate is None:
        return NOTHING
    return f"{float(f'{estimate.mean:.3g}'):,g}" + (f" ({estimate.n} of {seeds} seeds)" if estimate.n < seeds else "")


def plain(text: str) -> str:
    """One line of printable characters: line ends, control and bidirectional characters become spaces."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def encodable(text: str) -> str:
    r"""Text that UTF-8 can hold: half a surrogate pair, which JSON may bring, becomes its escape (`\ud83d`)."""
    return text.encode("utf-8", "backslashreplace").decode()


def markdown(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no HTML, no new cell or line of a table."""
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(character, entity)
    return re.sub(r"([\\`*_\[\]()#!|~$])", r"\\\1", plain(text))


def csv_text(text: str) -> str:
    """Text that a spreadsheet shows and does not evaluate: an apostrophe before what would start a formula."""
    clean = plain(text)
    return f"'{clean}" if clean.startswith(FORMULA_STARTS) else clean
