"""Files that appear whole or not at all, and trees of tensors saved as safetensors and JSON."""

import contextlib
import errno
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from clbench.errors import CheckpointError, ClbenchError

if TYPE_CHECKING:
    from torch import Tensor


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; on success it takes the name `path`, otherwise it is removed.

    Works for a file and for a folder. A folder that was there before is moved away first and removed last, so that a
    reader finds the old one, the new one or, for an instant, none, but never a mixture.

    Raises:
        ClbenchError: When the disk is full or not writable.
    """
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        if aside.is_dir() and path.exists():
            old = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.old")
            os.replace(path, old)
            os.replace(aside, path)
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(aside, path)
    except OSError as error:
        raise ClbenchError(f"{path}: cannot be written: {_reason(error)}") from error
    finally:
        if aside.is_dir():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.unlink(missing_ok=True)


def _reason(error: OSError) -> str:
    return "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else (error.strerror or str(error))


def write_json(path: Path, value: object) -> None:
    """Write JSON whole or not at all; floats keep every bit."""
    with written_whole(path) as aside:
        aside.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, object]:
    """Read a JSON object.

    Raises:
        CheckpointError: When the file is missing, damaged or not an object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON: {error}") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: wanted a JSON object, got {type(value).__name__}")
    return value


def save_tensors(path: Path, tensors: Mapping[str, "Tensor"]) -> None:
    """Write named tensors as safetensors, whole or not at all."""
    from safetensors.torch import save_file

    with written_whole(path) as aside:
        aside.parent.mkdir(parents=True, exist_ok=True)
        try:
            save_file({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}, aside)
        except Exception as error:  # safetensors raises its own class for a full disk
            raise OSError(errno.ENOSPC if "No space" in str(error) else errno.EIO, str(error)) from error


def load_tensors(path: Path) -> dict[str, "Tensor"]:
    """Read a safetensors file.

    Raises:
        CheckpointError: When it is missing, truncated or not safetensors.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be read as safetensors: {error}") from None


def save_tree(folder: Path, tree: Mapping[str, object]) -> None:
    """Write nested dictionaries and lists of tensors, numbers, strings and None as `tree.json` and `tensors.safetensors`.

    Raises:
        TypeError: For anything else, which is a defect of the strategy whose state it is.
    """
    tensors: dict[str, Tensor] = {}
    plain = _strip(tree, tensors, "")
    save_tensors(folder / "tensors.safetensors", tensors)
    write_json(folder / "tree.json", plain)


def load_tree(folder: Path) -> dict[str, object]:
    """Read what `save_tree` wrote.

    Raises:
        CheckpointError: When a file is missing or damaged.
    """
    tensors = load_tensors(folder / "tensors.safetensors")
    plain = read_json(folder / "tree.json")
    try:
        result = _fill(plain, tensors)
    except KeyError as error:
        raise CheckpointError(f"{folder}: tensor {error} is missing from tensors.safetensors") from None
    assert isinstance(result, dict)
    return result


def _strip(value: object, tensors: "dict[str, Tensor]", path: str) -> object:
    import torch

    if isinstance(value, torch.Tensor):
        tensors[path] = value
        return {"$tensor": path}
    if isinstance(value, Mapping):
        bad = [key for key in value if not isinstance(key, str) or key == "$tensor"]
        if bad:
            raise TypeError(f"state {path or '.'}: keys must be strings, got {bad[0]!r}")
        return {key: _strip(item, tensors, f"{path}/{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strip(item, tensors, f"{path}/{index}") for index, item in enumerate(value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(
        f"state {path}: {type(value).__name__} cannot be saved; use tensors, numbers, strings, lists, dicts"
    )


def _fill(value: object, tensors: "dict[str, Tensor]") -> object:
    if isinstance(value, dict):
        if set(value) == {"$tensor"}:
            return tensors[value["$tensor"]]
        return {key: _fill(item, tensors) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, tensors) for item in value]
    return value
