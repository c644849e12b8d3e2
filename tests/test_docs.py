"""Every link, file, module and command that the documents name is there."""

import re
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from clbench.cli.main import app
from clbench.core.cards import STREAM_CARDS

ROOT = Path(__file__).parents[1]
ROOMS = ("src", "strategies", "streams", "benchmarks", "reports", "tools", "tests", "docs")
DOCUMENTS = sorted(
    path
    for pattern in (
        "README.md",
        "CONTRIBUTING.md",
        "docs/*.md",
        "docs/tutorials/*.md",
        "src/clbench/learners/*/README.md",
        "streams/*/data/*/SOURCES.md",
    )
    for path in ROOT.glob(pattern)
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
FENCE = re.compile(r"(?ms)^```\w*\n(.*?)^```")
MODULE = re.compile(r"python3? -m ((?:clbench|clbench_tools)(?:\.\w+)*)(?: ([a-z_]+))?")
SUBCOMMAND = re.compile(r"(?:^|[\s`(])clbench (?!import\b)([a-z][a-z-]*)(?: ([a-z][a-z-]*))?", re.M)
DOTTED = re.compile(r"\bclbench(?:\.\w+)+")
GENERATED = ROOT / "docs" / "reference"
PLACEHOLDER = r"\b(NAME|FAMILY|KIND)\b"
"""Words that stand for any name in a path."""
PREVIOUS = "7b887c4"
"""A line that names this commit tells of paths as they were."""

OTHERS = {"evaluate.py", "evaluate_results.py"}
"""Files of other projects."""

parametrize_documents = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS]
)


def commands() -> dict[str, set[str]]:
    """Subcommands of the command line, with their own."""
    group: Any = get_command(app)
    return {name: set(getattr(command, "commands", ())) for name, command in group.commands.items()}


def code(text: str) -> Iterator[str]:
    """Code of a document: its blocks and its spans."""
    yield from FENCE.findall(text)
    yield from SPAN.findall(FENCE.sub("", text))


def headings(path: Path) -> set[str]:
    """The anchors that a Markdown file has, as GitHub makes them."""
    titles = re.findall(r"(?m)^#+ (.*)$", FENCE.sub("", path.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@parametrize_documents
def test_links_resolve(document: Path) -> None:
    dead = []
    for link in LINK.findall(document.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        if GENERATED in target.parents:
            continue  # Sphinx finds dead links to pages that it makes
        if not target.exists() or (anchor and anchor not in headings(target)):
            dead.append(link)
    assert not dead


@parametrize_documents
def test_files_that_are_named_exist(document: Path) -> None:
    lines = [line for line in document.read_text(encoding="utf-8").splitlines() if PREVIOUS not in line]
    names = {path.name for room in ROOMS for path in (ROOT / room).rglob("*.py")}
    names |= set(re.findall(r"(?m)^# (\w+\.py)$", "\n".join(lines)))  # files that a reader saves
    missing = []
    for word in (word for part in code("\n".join(lines)) for word in re.split(r"[\s=]+", part)):
        path = re.sub(PLACEHOLDER, "*", word.rstrip("/").partition("::")[0])
        if path.partition("/")[0] in ROOMS and re.fullmatch(r"[\w./*-]+", path) and "/" in path:
            missing += [] if list(ROOT.glob(path)) else [word]
        elif re.fullmatch(r"\w+\.py", path) and path not in OTHERS:
            missing += [] if path in names else [word]
    assert not missing


@parametrize_documents
def test_modules_that_are_named_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    missing = []
    for name, script in MODULE.findall(text):
        spec = find_spec(name)
        missing += [] if spec else [name]
        if name == "clbench.benchmarks.performance" and script:
            missing += [] if find_spec(f"{name}.{script}") else [script]
    package = Path(str(files("clbench")))
    for name in (dotted for part in code(text) for dotted in DOTTED.findall(part)):
        first, *rest = name.split(".")[1:]
        if not (package / first).exists() and not (package / f"{first}.py").exists():
            continue  # a tag of MLflow, a variable of the environment
        place = package / first
        for word in rest:  # a module, then what it defines
            if not (place / word).exists() and not (place / f"{word}.py").exists():
                source = place.with_suffix(".py") if place.with_suffix(".py").is_file() else place / "__init__.py"
                missing += [] if word in source.read_text(encoding="utf-8") else [name]
                break
            place /= word
    assert not missing


@parametrize_documents
def test_commands_that_are_named_exist(document: Path) -> None:
    known = commands()
    missing = []
    for part in code(document.read_text(encoding="utf-8")):
        for first, second in SUBCOMMAND.findall(part):
            if first not in known or (known[first] and second and second not in known[first]):
                missing.append(f"{first} {second}".strip())
    assert not missing


@parametrize_documents
def test_suites_and_streams_that_are_run_exist(document: Path) -> None:
    suites = {path.stem.replace("_", "-") for path in (ROOT / "benchmarks" / "suites").glob("*.yaml")}
    missing = []
    for part in code(document.read_text(encoding="utf-8")):
        missing += [
            name for name in re.findall(r"clbench (?:run|tune) ([a-z][\w-]*)(?![\w.-])", part) if name not in suites
        ]
        missing += [
            name
            for name in re.findall(r"(?:clbench data \w+|--streams|--samples) ([a-z][\w-]*)(?![\w.-])", part)
            if name not in STREAM_CARDS.names()
        ]
    assert not missing


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8").lower()
    names = [re.split(r"[<>=]", requirement)[0].lower() for requirement in wanted]
    assert not [name for name in names if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text)]
