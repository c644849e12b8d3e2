"""State of Avalanche's plugins, converted to tensors and plain values that can be saved, and back.

Avalanche pickles whole strategies, which fails for optimizers of current torch and ties a checkpoint to its code. Here
a strategy names the attributes to keep.
"""

from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor

from clbench.strategies._avalanche.avalanche_data import columns_of, dataset_of
from clbench.strategies._avalanche.avalanche_model import AvalancheModel

KIND = "$kind"
"""Key of the kind of a converted value."""
RANKS = "_buffer_weights"
"""Attribute of a reservoir with the random ranks of its samples; Avalanche has no public name for it."""


def capture(carrier: object, names: tuple[str, ...]) -> dict[str, object]:
    """Values of the attributes `names` of an Avalanche object, ready to be saved; dots lead into attributes."""
    return {name: freeze(getattr(*_leaf(carrier, name))) for name in names}


def restore(carrier: object, state: Mapping[str, object], model: AvalancheModel) -> None:
    """Set the attributes that `capture` returned on a new Avalanche object of the same class.

    Args:
        carrier: The new object.
        state: Result of `capture`.
        model: Model of the strategy; parameters move to its device.
    """
    for name, frozen in state.items():
        owner, attribute = _leaf(carrier, name)
        value, there = thaw(frozen, model), getattr(owner, attribute)
        if isinstance(there, dict) and isinstance(value, dict):
            there.update(value)  # it may be a defaultdict, which Avalanche relies on
        else:
            setattr(owner, attribute, value)


def freeze(value: object) -> object:
    """Convert a value of an Avalanche object to dictionaries with a kind, tensors and plain values.

    Raises:
        TypeError: When the value, or a part of it, is of a class that cannot be saved.
    """
    from avalanche.benchmarks.utils import AvalancheDataset
    from avalanche.training.storage_policy import ReservoirSamplingBuffer
    from avalanche.training.utils import ParamData

    match value:
        case None | bool() | int() | float() | str():
            return value
        case Tensor():
            return value.cpu()
        case dict():
            return {KIND: "dict", "keys": list(value), "values": [freeze(item) for item in value.values()]}
        case set():
            return {KIND: "set", "items": sorted(value)}
        case list() | tuple():
            return {KIND: type(value).__name__, "items": [freeze(item) for item in value]}
        case ParamData():
            return {KIND: "parameter", "name": value.name, "data": value.data}
        case AvalancheDataset():
            return {KIND: "dataset", "columns": list(columns_of(value))}
        case ReservoirSamplingBuffer():
            kept = {"size": value.max_size, "data": freeze(value.buffer), "ranks": getattr(value, RANKS)}
            return {KIND: "reservoir", **kept}
        case AvalancheModel():
            return {KIND: "model", "weights": value.weights(), "tasks": len(value.tasks)}
    raise TypeError(f"{type(value).__name__} of Avalanche cannot be saved")


def thaw(frozen: object, model: AvalancheModel) -> object:
    """The inverse of `freeze`; parameters come back on the model's device, other tensors on the CPU."""
    if not isinstance(frozen, dict):
        return frozen
    state = cast(dict[str, Any], frozen)
    match state[KIND]:
        case "dict":
            return dict(zip(state["keys"], (thaw(item, model) for item in state["values"]), strict=True))
        case "set":
            return set(state["items"])
        case "list":
            return [thaw(item, model) for item in state["items"]]
        case "tuple":
            return tuple(thaw(item, model) for item in state["items"])
        case "model":
            return model.copy_with(state["weights"], model.tasks[: state["tasks"]])
    return _thaw_avalanche(state, model)


def _thaw_avalanche(state: dict[str, Any], model: AvalancheModel) -> object:
    from avalanche.benchmarks.utils import AvalancheDataset
    from avalanche.training.storage_policy import ReservoirSamplingBuffer
    from avalanche.training.utils import ParamData

    match state[KIND]:
        case "parameter":
            return ParamData(state["name"], init_tensor=state["data"].to(model.device), device=model.device)
        case "dataset":
            return dataset_of(*state["columns"]) if len(state["columns"][0]) else AvalancheDataset([])
        case "reservoir":
            buffer = ReservoirSamplingBuffer(state["size"])
            buffer.buffer = thaw(state["data"], model)
            setattr(buffer, RANKS, state["ranks"])
            return buffer
    raise AssertionError(f"unknown kind {state[KIND]!r}")


def _leaf(carrier: object, name: str) -> tuple[object, str]:
    *path, last = name.split(".")
    for part in path:
        carrier = getattr(carrier, part)
    return carrier, last
