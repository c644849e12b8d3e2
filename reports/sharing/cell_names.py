"""The name of a cell's folder ends with the hash of its settings."""

import hashlib
import json
import re
from collections.abc import Mapping

DIGITS = 12


def settings_digest(settings: Mapping[str, object]) -> str:
    """Hash of the settings in `cell.json`, without the title, as the name of the folder has it."""
    decides = {key: value for key, value in settings.items() if key != "title"}
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:DIGITS]


def digest_in_name(name: str) -> str | None:
    """The hash at the end of a folder's name; None for a folder of another name."""
    match = re.search(rf"--([0-9a-f]{{{DIGITS}}})$", name)
    return match[1] if match else None


def with_digest(name: str, digest: str) -> str:
    """The name of a folder with another hash at its end, if it has one."""
    return name if digest_in_name(name) is None else name[:-DIGITS] + digest
