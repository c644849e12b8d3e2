"""`clbench doctor`: what is missing or wrong, versions, hardware and paths."""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

TRY = "import fcntl, sys; fcntl.flock(open(sys.argv[1], 'w'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
"""A program that ends with status 0 if it gets the lock of a file."""


def doctor(
    out: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("clbench-runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show what is missing or wrong, versions, hardware and paths."""
    from clbench.cli.output import print_json, print_table

    found = _examine(out)
    if as_json:
        print_json(found)
        return
    rows = [(name, _short(value)) for name, value in _flat(found) if not name.startswith("paths.streams.")]
    print_table("", ("item", "value"), rows)


def _examine(out: Path) -> dict[str, object]:
    from clbench.benchmarks.engine.environment import git_state, hardware, package_versions
    from clbench.benchmarks.tracking.store import default_uri
    from clbench.core.cards import STREAM_CARDS

    packages = package_versions()
    existing = next(folder for folder in (out.resolve(), *out.resolve().parents) if folder.exists())
    return {
        "missing": [name for name, version in packages.items() if version is None],
        "wrong": _wrong(existing, out),
        "python": platform.python_version(),
        "packages": packages,
        "git": git_state(),
        "hardware": hardware(),
        "device": _device(),
        "paths": {
            "runs": str(out.resolve()),
            "tracking": default_uri(out),
            "streams": {name: str(STREAM_CARDS.get(name).path) for name in STREAM_CARDS.names()},
            "hub_cache": os.environ.get("HF_HOME", str(Path.home() / ".cache" / "huggingface")),
        },
        "disk_free_gib": round(shutil.disk_usage(existing).free / 2**30, 1),
    }


def _wrong(existing: Path, out: Path) -> list[str]:
    """What is wrong with the folder of the runs."""
    if not os.access(existing, os.W_OK):
        return [f"{existing} is not writable, so runs cannot go to {out}"]
    problem = _locks(existing)
    return [problem] if problem else []


def _locks(folder: Path) -> str | None:
    """What is wrong with file locks in a folder, as the store of versions uses them between two processes."""
    from clbench.benchmarks.engine.version_keys import VersionKey
    from clbench.benchmarks.engine.version_store import LOCKS, VERSIONS, VersionStore
    from clbench.core.errors import ClbenchError

    key = VersionKey("doctor", {})
    with tempfile.TemporaryDirectory(prefix=".clbench-doctor-", dir=folder) as aside:

        def free() -> bool:
            command = [sys.executable, "-c", TRY, str(Path(aside) / VERSIONS / LOCKS / key.digest)]
            return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0

        try:
            with VersionStore(Path(aside)).computing(key):
                held = not free()
            released = free()
        except (ClbenchError, OSError) as error:
            return f"{folder}: file locks do not work: {error}"
    if held and released:
        return None
    told = "a second process gets a lock that is held" if not held else "a lock stays held when it is released"
    return f"{folder}: file locks do not work ({told}), so runs that share it compute versions twice or damage them"


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _flat(values: dict[str, object], prefix: str = "") -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = []
    for key, value in values.items():
        rows += _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(prefix + key, value)]
    return rows


def _short(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "nothing"
    return "none" if value is None else str(value)
