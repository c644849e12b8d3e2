"""What must not be passed on: absolute paths, and the names of the machine and its user."""

import getpass
import re
import socket
from contextlib import suppress
from pathlib import Path

PART = r"[^/\\\s'\",;:()]"
ABSOLUTE = re.compile(
    rf"(?:\b(?:file|sqlite):/{{2,3}}|(?<![\w./~:\\-]))(?:~|\b[A-Za-z]:)?[/\\](?:{PART}+[/\\])+({PART}*)"
)
"""An absolute path of POSIX or Windows, or below a home folder, also as the URI of a file; its last part is kept."""
COMMON = {"root", "user", "users", "home", "localhost", "admin", "ubuntu", "runner", "docker", "nobody"}
"""Names of users and hosts that tell nothing, and that texts may have for other reasons."""
REMOVED = "(removed)"


def private_names() -> set[str]:
    """Names of this machine and its user, without those that tell nothing."""
    found = {socket.gethostname(), Path.home().name}
    with suppress(OSError, KeyError):
        found.add(getpass.getuser())
    return {name for name in found if len(name) > 2 and name.lower() not in COMMON}


def without_private_texts(value: object, names: set[str]) -> object:
    """A JSON value whose texts have no absolute path and none of some names.

    Of an absolute path its last part stays: it is what tells one file from another.

    Args:
        value: Plain values: mappings, lists, texts, numbers.
        names: Names of machine and user, as `private_names` gives them.
    """
    if isinstance(value, str):
        text = ABSOLUTE.sub(lambda match: match[1] or REMOVED, value)
        for name in names:
            text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", REMOVED, text)
        return text
    if isinstance(value, dict):
        return {str(without_private_texts(key, names)): without_private_texts(x, names) for key, x in value.items()}
    if isinstance(value, list):
        return [without_private_texts(item, names) for item in value]
    return value
