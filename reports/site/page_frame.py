"""What all pages share: template, style, script, and the policy that lets nothing else run."""

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from clbench import __version__
from clbench.reports.leaderboard.text import encodable, plain
from clbench.reports.site.table_html import head_html, map_html, table_html

if TYPE_CHECKING:
    from jinja2 import Environment

ASSETS = ("site.css", "site.js")


def render(template: str, **content: object) -> str:
    """A page as HTML; texts of runs are escaped, and only the style and the script that ship with clbench work.

    Args:
        template: Name of the template's file.
        content: What the template shows.
    """
    from markupsafe import Markup

    css, script = (Markup(asset(name)) for name in ASSETS)  # noqa: S704 (our own files)
    policy = (
        f"default-src 'none'; style-src {_hash(css)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    )
    made = (
        _environment()
        .get_template(template)
        .render(css=css, script=script, policy=policy, version=__version__, **content)
    )
    return encodable(re.sub(r"\n\s*\n+", "\n", made)) + "\n"


@cache
def asset(name: str) -> str:
    """Text of a file that ships beside this module; style and script without indentation and lines of comments."""
    text = files(__package__).joinpath(name).read_text(encoding="utf-8")
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))


def address(text: str, *identity: str) -> str:
    """A name for files and addresses: readable letters of a text, and a hash of what it stands for.

    Args:
        text: What to show of it.
        identity: What makes it unique; the text itself if not given.
    """
    shown = re.sub(r"[^A-Za-z0-9.=-]+", "_", text).strip("._-")[:80]
    digest = hashlib.sha256("\0".join(identity or (text,)).encode("utf-8", "backslashreplace")).hexdigest()[:8]
    return f"{shown}-{digest}"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader(str(__package__), "")
    made = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, loader=loader)
    made.filters.update(plain=plain, table=table_html, heat_map=map_html, head=head_html)
    return made
