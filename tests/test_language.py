"""Docstrings say what parameters mean, in the field's words: what of CONTRIBUTING.md's checklist can be tested."""

import ast
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

PACKAGE = Path(str(files("clbench")))
ROOMS = sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file())
FROM = 3
"""Parameters from which on a public function has an `Args:` section."""
IDIOMS = {
    r"\bpictures?\b": "image",
    r"optimis(e|er|ers|ed|ation)\b": "optimizer",
    r"\bthe same for (what|those)\b": "say what it is",
    r"\bwhere the \w+ has such\b": "say when",
    r"\bwaits? for no\b": "avoids a transfer or synchronisation",
    r"\bnot taken for\b": "say what it is a bound of",
    r"\bwhatever (holds|it is|that is)\b": "if it fits, else ...",
    r"\bone behind the other\b": "concatenated",
    r"\bat arm's length\b": "say what is isolated from what",
    r"\bas (it|they) comes?\b": "unchanged",
    r"\bwhen nobody says\b": "by default",
    r"\bnothing else counts\b": "only ... counts",
    r"\bin the places? of\b": "instead of, replaces",
    r"\bbeginn?ing anew\b|\btrained anew\b|\bstarts? anew\b": "retrained, from scratch",
    r"\bhow far off\b": "distance",
    r"\bone hand\b": "say which",
}
"""Idioms that readers stumble over, and what to write instead."""


def modules(room: str) -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted((PACKAGE / room).rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def public_functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    classes = (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and not node.name.startswith("_"))
    owners: list[ast.Module | ast.ClassDef] = [tree, *classes]
    for node in owners:
        yield from (item for item in node.body if isinstance(item, ast.FunctionDef) and not item.name.startswith("_"))


def parameters(function: ast.FunctionDef) -> list[str]:
    """Names of parameters, without those that the command line describes by itself."""
    arguments = function.args
    every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    described = [a for a in every if a.annotation is not None and "typer." in ast.unparse(a.annotation)]
    return [a.arg for a in every if a.arg not in ("self", "cls") and a not in described]


@pytest.mark.parametrize("room", ROOMS)
def test_from_three_parameters_on_each_is_described(room: str) -> None:
    missing = []
    for path, tree in modules(room):
        for function in public_functions(tree):
            names = parameters(function)
            text = ast.get_docstring(function) or ""
            section = re.search(r"(?ms)^Args:\n(.*?)(?:^\S|\Z)", text)
            described = set(re.findall(r"(?m)^ {4}(\w+)(?: \(.*?\))?:", section.group(1))) if section else set()
            if len(names) >= FROM and not set(names) <= described:
                missing.append(f"{path}:{function.lineno}: {function.name}: {sorted(set(names) - described)}")
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize("room", ROOMS)
def test_docstrings_use_the_words_of_the_field(room: str) -> None:
    found = []
    for path, tree in modules(room):
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
                plain = " ".join(text.split())
                found += [f"{path}: {m.group(0)!r}: {IDIOMS[i]}" for i in IDIOMS for m in re.finditer(i, plain, re.I)]
    assert not found, "\n".join(found)
