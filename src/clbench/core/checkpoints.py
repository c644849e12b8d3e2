"""Trees of tensors and plain values, saved as safetensors and JSON, so that loading cannot run code."""

import errno
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from clbench.core.errors import CheckpointError
from clbench.core.storage import read_json, write_json, written_whole


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write named tensors as safetensors, whole or not at all."""
    with written_whole(path) as aside:
        try:
            save_file({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}, aside)
        except SafetensorError as error:  # its own class, for a full disk too
            raise OSError(errno.ENOSPC if "No space" in str(error) else errno.EIO, str(error)) from error


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        CheckpointError: When it is missing, truncated or not safetensors.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be read as safetensors: {error}") from None


def save_tree(folder: Path, tree: Mapping[str, object]) -> None:
    """Write nested dictionaries and lists of tensors and plain values as `tree.json` and `tensors.safetensors`.

    Raises:
        TypeError: For a value of another type, which is a defect of the strategy whose state it is.
    """
    tensors: dict[str, Tensor] = {}
    plain = _strip(tree, tensors, "")
    save_tensors(folder / "tensors.safetensors", tensors)
    write_json(folder / "tree.json", plain)


def tensors_of(tree: Mapping[str, object]) -> dict[str, Tensor]:
    """The tensors of a tree by their paths in it (`/adapters/two/a`), as `save_tree` names them."""
    tensors: dict[str, Tensor] = {}
    _strip(tree, tensors, "")
    return tensors


def load_tree(folder: Path) -> dict[str, object]:
    """Read what `save_tree` wrote.

    Raises:
        CheckpointError: When a file is missing or damaged.
    """
    tensors = load_tensors(folder / "tensors.safetensors")
    path = folder / "tree.json"
    return {key: _fill(item, tensors, path) for key, item in read_json(path).items()}


def _strip(value: object, tensors: dict[str, Tensor], path: str) -> object:
    if isinstance(value, Tensor):
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


def _fill(value: object, tensors: Mapping[str, Tensor], path: Path) -> object:
    if isinstance(value, dict):
        if "$tensor" in value:
            return _tensor(value, tensors, path)
        return {key: _fill(item, tensors, path) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, tensors, path) for item in value]
    return value


def _tensor(value: Mapping[str, object], tensors: Mapping[str, Tensor], path: Path) -> Tensor:
    name = value["$tensor"]
    if not isinstance(name, str) or len(value) > 1:
        raise CheckpointError(f"{path}: wanted {{'$tensor': name}}, got {dict(value)!r:.80}")
    if name not in tensors:
        raise CheckpointError(f"{path}: tensor {name!r} is missing from tensors.safetensors")
    return tensors[name]
