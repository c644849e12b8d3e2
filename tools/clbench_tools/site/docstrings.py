"""Docstrings as Markdown: they are plain text, in which only code spans, lists and sections have a meaning."""

import re
from collections.abc import Iterator, Sequence

SECTION = re.compile(r"(Args|Attributes|Raises|Returns|Yields):")
FIELD = re.compile(r"(Formula|Unit|Direction|Source): (.*)")
"""Lines of a metric's docstring."""
KEPT = re.compile(r"(`[^`]+`|\bdocs/\w+\.md\b)")
"""Code spans stay, and names of documents become links."""


def as_markdown(docstring: str) -> str:
    """A docstring, without its indentation (`inspect.cleandoc`), as Markdown that shows the same text.

    Formulas keep their stars and underscores.
    """
    return "\n\n".join(_block(lines) for lines in _blocks(docstring)) + "\n"


def plain(text: str) -> str:
    """Text in which only code spans and names of documents have a meaning."""
    parts = enumerate(KEPT.split(text))  # at odd positions what is kept
    return "".join(_link_or_code(part) if number % 2 else _escaped(part) for number, part in parts)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table of plain texts."""
    lines = [[_cell(text) for text in row] for row in (headings, *rows)]
    lines.insert(1, ["---"] * len(headings))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\|", plain(" ".join(text.split())))


def _link_or_code(text: str) -> str:
    return text if text.startswith("`") else f"[{text}](/{text})"


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|~^$#{}&])", r"\\\1", text)


def _blocks(docstring: str) -> Iterator[list[str]]:
    """Paragraphs, lists, code and sections: what blank lines separate; a section goes on while it is indented."""
    block: list[str] = []
    for line in [*docstring.splitlines(), ""]:
        in_section = bool(block) and SECTION.fullmatch(block[0]) is not None
        if not line.strip() or (in_section and not line.startswith(" ")):
            if block:
                yield block
            block = [line] if line.strip() else []
        else:
            block.append(line)


def _block(lines: list[str]) -> str:
    if SECTION.fullmatch(lines[0]):
        return f"**{lines[0][:-1]}**\n\n" + _section(lines[0][:-1], lines[1:])
    if lines[0].startswith("    "):
        return "\n".join(["```text", *(line[4:] for line in lines), "```"])
    if lines[0].startswith("- "):
        items = (f"- {plain(line[2:])}" if line.startswith("- ") else f"  {plain(line.strip())}" for line in lines)
        return "\n".join(items)
    if FIELD.match(lines[0]):
        fields = re.split(r"\n(?! )", "\n".join(lines))
        return "\n".join(_field(" ".join(field.split())) for field in fields)
    text = re.sub(r"(?m)^(\d+)([.)])", r"\1\\\2", plain("\n".join(lines)))  # no numbered list
    return re.sub(r"(?m)^([-+=])", r"\\\1", text)


def _field(text: str) -> str:
    """A line of a metric's docstring; formulas as code."""
    name, _, value = text.partition(": ")
    return f"- **{name}:** " + (f"`{value}`" if name == "Formula" else plain(value))


def _section(title: str, lines: list[str]) -> str:
    """Names with their descriptions as a list; what is returned as a paragraph."""
    if title in ("Returns", "Yields"):
        return "\n".join(plain(line.strip()) for line in lines)
    shown = []
    for line in lines:
        name, colon, text = line[4:].partition(": ")
        new = colon and not name.startswith(" ")
        shown.append(f"- `{name}`: {plain(text)}" if new else f"  {plain(line.strip())}")
    return "\n".join(shown)
