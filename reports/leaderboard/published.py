"""Numbers that others have printed: shown beside ours, marked, never mixed with what was measured."""

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import final

from pydantic import Field

from clbench.core.cards import read_yaml
from clbench.core.config import Config, validate
from clbench.reports.headings import MAIN

HEADINGS = {name: MAIN[f"mtil.{name}"].long for name in ("transfer", "average", "last")}
WARNING = "Published by others, not measured by clbench; prompts, shots, splits and code may differ."


@final
class PublishedRow(Config):
    """One method's numbers in percent as printed; None where the source has none."""

    name: str
    transfer: float | None = Field(None, ge=0, le=100)
    average: float | None = Field(None, ge=0, le=100)
    last: float | None = Field(None, ge=0, le=100)

    @property
    def cells(self) -> list[float | None]:
        """In the order of `HEADINGS`."""
        return [self.transfer, self.average, self.last]


@final
class Published(Config):
    """A published table: where it was printed, under which protocol and setting, and what to know of it."""

    stream: str
    protocol: str
    source: str
    setting: str
    notes: tuple[str, ...] = ()
    rows: tuple[PublishedRow, ...] = Field(min_length=1)


@cache
def published_tables() -> dict[str, Published]:
    """All tables that ship with the package, by stream.

    Raises:
        RegistryError: For a file that is not sound YAML.
        ConfigError: For one that does not fit.
    """
    folder = Path(str(files(__package__))) / "published"
    found = [
        validate(Published, read_yaml(path, "published table"), f"published table {path.name}")
        for path in sorted(folder.glob("*.yaml"))
    ]
    return {table.stream: table for table in found}
