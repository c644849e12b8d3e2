"""Settings of the documentation site: the repository's own Markdown, and pages computed from what is registered."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tools")]

GENERATED = ROOT / "docs" / "reference"

project = "clbench"
author = copyright = "The clbench maintainers"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]

# The source folder is the repository, so that a link between two Markdown files is the same here and on a code host.
root_doc = "docs/index"
include_patterns = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/**.md",
    "src/clbench/learners/*/README.md",
    "streams/*/data/*/SOURCES.md",
]
ROOMS = ("docs", "src", "streams")
exclude_patterns = [
    *(path.name for path in ROOT.iterdir() if path.is_dir() and path.name not in ROOMS),
    *(f"src/clbench/{name}" for name in ("benchmarks", "reports", "strategies", "streams")),  # links to what is above
]

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
default_role = "code"  # docstrings write code in single backticks

html_theme = "furo"
html_title = "clbench"
html_extra_path = ["site_root"]  # the first page, which leads to docs/index.html
html_copy_source = False
html_show_sphinx = False


class Plain:
    """Keeps one-line docstrings of properties, in which napoleon takes what is before a colon for a type."""

    lines: ClassVar[list[str]] = []

    @classmethod
    def keep(cls, *event: Any) -> None:
        """Before napoleon."""
        cls.lines = list(event[-1])

    @classmethod
    def restore(cls, *event: Any) -> None:
        """After napoleon."""
        if event[1] in ("attribute", "property", "data"):
            event[-1][:] = cls.lines


def write_pages(_app: "Sphinx", _config: "Config") -> None:
    """Write the computed pages; those that are as they were keep their time, so that they are not read again."""
    from clbench_tools.site.component_pages import pages

    found = {GENERATED / name: text for name, text in pages().items()}
    for path in GENERATED.rglob("*.md"):
        if path not in found:
            path.unlink()
    for path, text in found.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def setup(app: "Sphinx") -> None:
    """Called by Sphinx."""
    app.connect("config-inited", write_pages)
    app.connect("autodoc-process-docstring", Plain.keep, priority=400)
    app.connect("autodoc-process-docstring", Plain.restore, priority=600)
