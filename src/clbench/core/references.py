"""What to cite for a component: the entries of `references.bib`, which name the components that they belong to."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files

from clbench.core.errors import ConfigError

ENTRY = re.compile(r"(?ms)^@\w+\{([^,\s]+),\n.*?^\}$")
OWNERS = re.compile(r"(?ms),\n  clbench = \{([^}]*)\}\n")
OURS = "clbench"
"""Key of the entry for clbench itself, which has the components that come from no paper."""


@dataclass(frozen=True)
class Reference:
    """One entry of the bibliography.

    Attributes:
        key: Its BibTeX key.
        text: The entry in BibTeX.
        owners: Kind and name of each component that it belongs to (`strategy ewc`); names may be patterns (`mtil-*`).
    """

    key: str
    text: str
    owners: tuple[str, ...]

    def belongs_to(self, kind: str, name: str) -> bool:
        """Whether a component of that kind and name comes from this work."""
        return any(fnmatchcase(f"{kind} {name}", owner) for owner in self.owners)


@cache
def references() -> tuple[Reference, ...]:
    """All entries, clbench itself first, then by key."""
    text = (files("clbench") / "references.bib").read_text(encoding="utf-8")
    return tuple(_reference(found) for found in ENTRY.finditer(text))


def references_of(kind: str, names: Collection[str]) -> tuple[Reference, ...]:
    """The entries of components of one kind.

    Args:
        kind: Such as `strategy`.
        names: Registered names.

    Raises:
        ConfigError: When there is no entry.
    """
    found = tuple(item for item in references() if any(item.belongs_to(kind, name) for name in names))
    if not found:
        raise ConfigError(f"{kind} {', '.join(names)}: no reference is recorded")
    return found


def _reference(found: "re.Match[str]") -> Reference:
    owners = OWNERS.search(found[0])
    names = (" ".join(name.split()) for name in owners[1].split(";")) if owners else ()
    return Reference(found[1], OWNERS.sub("\n", found[0]), tuple(names))
