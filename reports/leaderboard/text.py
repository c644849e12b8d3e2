"""Numbers and names as text; no name that a run brings can act as markup or as a formula."""

import re

from clbench.reports.estimates import Estimate
from clbench.reports.headings import NO_NUMBER, percent, three_digits

FORMULA_STARTS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""The last four are the full-width forms, which some spreadsheets evaluate too."""


def with_error(estimate: Estimate | None, seeds: int) -> str:
    """Mean ± standard error in percent; says so where fewer seeds have the metric than finished.

    Args:
        estimate: The metric over seeds, None where it is undefined.
        seeds: How many seeds finished.
    """
    if estimate is None:
        return NO_NUMBER
    error = "" if estimate.standard_error is None else f" ± {percent(estimate.standard_error)}"
    return f"{percent(estimate.mean)}{error}" + (f" ({estimate.n} of {seeds} seeds)" if estimate.n < seeds else "")


def amount(estimate: Estimate | None, seeds: int) -> str:
    """A mean with three digits, for costs; a dash where there is none, and how many seeds tell it if not all do.

    Args:
        estimate: The amount over seeds, None where no run tells it.
        seeds: How many seeds finished.
    """
    if estimate is None:
        return NO_NUMBER
    return three_digits(estimate.mean) + (f" ({estimate.n} of {seeds} seeds)" if estimate.n < seeds else "")


def plain(text: str) -> str:
    """One line of printable characters: line ends, control and bidirectional characters become spaces."""
    if text.isprintable() and "  " not in text and text.strip() == text:
        return text
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
