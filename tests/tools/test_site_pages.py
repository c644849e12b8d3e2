"""Computed pages of the documentation show what docstrings, settings and cards say."""

import inspect
import re
from typing import Any

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from pydantic import BaseModel, Field

from clbench.core import registry
from clbench_tools.site.docstrings import as_markdown, plain, table
from clbench_tools.site.pieces import values_of

REGISTRIES: tuple[Any, ...] = (
    registry.STRATEGIES,
    registry.OPTIMIZERS,
    registry.SELECTORS,
    registry.MEMORIES,
    registry.PENALTIES,
    registry.EDITS,
    registry.METRICS,
    registry.IMAGE_METRICS,
    registry.LEARNERS,
)
DOCSTRINGS = [
    pytest.param(inspect.cleandoc(components.get(name).value.__doc__ or ""), id=f"{components.kind} {name}")
    for components in REGISTRIES
    for name in components.names()
]


def shown(markdown: str) -> str:
    """The text of a page as a reader sees it, without blanks, by an independent parser."""
    tokens = MarkdownIt().enable("table").parse(markdown)
    texts = [token.content if token.type == "fence" else text_of(token) for token in tokens]
    return "".join("".join(texts).split())


def text_of(token: Token) -> str:
    return "".join(child.content for child in token.children or ())


@pytest.mark.parametrize("docstring", DOCSTRINGS)
def test_a_docstring_is_shown_as_it_is_written(docstring: str) -> None:
    text = re.sub(r"(?m)^(Args|Returns|Raises|Attributes):$", r"\1", docstring)
    written = re.sub(r"(?m)^- ", "", text).replace("`", "")
    assert shown(as_markdown(docstring)) == "".join(written.split())


@pytest.mark.parametrize("text", ["2 * a * b * c", "theta_t_i", "|a| < b", "[x](y)", "<b>", "a ~b~ ^c^ $d$ {e}"])
def test_text_is_not_read_as_markdown(text: str) -> None:
    html = MarkdownIt().enable("table").renderInline(plain(text))
    assert "<" not in html
    assert shown(plain(text)) == "".join(text.split())


def test_a_cell_may_hold_a_bar() -> None:
    html = MarkdownIt().enable("table").render(table(("a", "b"), [("`x | y`", "|z|")]))
    assert re.findall(r"<td>(.*?)</td>", html) == ["<code>x | y</code>", "|z|"]


def test_values_of_settings_have_their_ranges() -> None:
    class Settings(BaseModel):
        share: float = Field(0.5, gt=0, lt=1)
        rank: int | None = Field(None, ge=1)
        roles: tuple[str, ...] = ()

    items = Settings.model_json_schema()["properties"]
    assert [values_of(item) for item in items.values()] == ["number > 0, < 1", "integer >= 1 or null", "list of string"]
