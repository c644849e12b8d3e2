"""`clbench doctor`: what is missing or wrong, versions, hardware and paths."""

import os
import platform
import shutil
from pathlib import Path
from typing import Annotated

import typer


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
        "wrong": [] if os.access(existing, os.W_OK) else [f"{existing} is not writable, so runs cannot go to {out}"],
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
