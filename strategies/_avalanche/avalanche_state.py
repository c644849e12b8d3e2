"""What Avalanche's plugins remember, as tensors and plain values that can be saved, and back.

Avalanche pickles whole strategies, which fails on optimizers of today's torch and ties a checkpoint to its code. Here a
strategy names the attributes that matter, and only what they hold is kept.
"""

from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor

from clbench.strategies._avalanche.avalanche_data import columns_of, dataset_of
from clbench.strategies._avalanche.avalanche_model import AvalancheModel

KIND = "$kind"


def capture(carrier: object, names: tuple[str, ...]) -> dict[str, object]:
    """The attributes `names` (dots lead into attributes) of an Avalanche object, ready to be saved."""
    return {name: freeze(getattr(*_leaf(carrier, name))) for name in names}


def restore(carrier: object, state: Mapping[str, object], model: AvalancheModel) -> None:
    """Put what `capture` gave into a fresh Avalanche object of the same class."""
    for name, frozen in state.items():
        owner, attribute = _leaf(carrier, name)
        value, there = thaw(frozen, model), getattr(owner, attribute)
        if isinstance(there, dict) and isinstance(value, dict):
            there.update(value)  # it may be a defaultdict, which Avalanche relies on
        else:
            setattr(owner, attribute, value)


def freeze(value: object) -> object:
    """A value of an Avalanche object as dictionaries with a kind, tensors and plain values.

    Raises:
        TypeError: For a class that is not known here; an attribute that a strategy names in `carried` must hold none.
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
            kept = {"size": value.max_size, "data": freeze(value.buffer), "ranks": value._buffer_weights}
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
            buffer.buffer, buffer._buffer_weights = thaw(state["data"], model), state["ranks"]
            return buffer
    raise AssertionError(f"unknown kind {state[KIND]!r}")


def _leaf(carrier: object, name: str) -> tuple[object, str]:
    *path, last = name.split(".")
    for part in path:
        carrier = getattr(carrier, part)
    return carrier, last
