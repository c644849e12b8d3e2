"""Distances of weights against hand arithmetic, NumPy, the laws of a metric, and a learner that is moved by hand."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from clbench.benchmarks.engine import weight_drift as drift
from clbench.benchmarks.engine.learners import build_learner
from clbench.benchmarks.engine.weight_drift import Drift, distance
from clbench.contracts import Learner

CPU = torch.device("cpu")
SHAPES: dict[str, list[tuple[int, ...]]] = {"a": [(3,), (2,), (4,)], "b": [(2, 3), (4, 3), (2, 5)], "c": [()]}


@st.composite
def states(draw: st.DrawFn) -> dict[str, Tensor]:
    """States over the names of `SHAPES`, each missing at times and of one of its shapes."""
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    names = draw(st.sets(st.sampled_from(sorted(SHAPES))))
    return {n: torch.tensor(rng.normal(size=draw(st.sampled_from(SHAPES[n]))), dtype=torch.float32) for n in names}


def twin(state: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    """The distance of two long vectors, in which what is missing is 0."""
    values: list[dict[tuple[Any, ...], float]] = []
    for one in (state, other):
        arrays = {name: tensor.double().numpy() for name, tensor in one.items()}
        values.append({(name, *index): float(x) for name, a in arrays.items() for index, x in np.ndenumerate(a)})
    keys = values[0].keys() | values[1].keys()
    return math.sqrt(sum((values[0].get(key, 0.0) - values[1].get(key, 0.0)) ** 2 for key in keys))


def test_distance_by_hand() -> None:
    state = {"w": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "b": torch.tensor([1.0])}
    other = {"w": torch.tensor([[1.0, 0.0], [3.0, 2.0]]), "b": torch.tensor([2.0])}
    assert distance(state, other) == 3.0  # 4 + 4 + 1
    assert distance(state, {}) == pytest.approx(math.sqrt(31))  # new names count in full
    assert distance({}, {}) == 0.0
    grown = {**other, "w": torch.tensor([[1.0, 0.0], [3.0, 2.0], [0.0, 4.0]])}
    assert distance(state, grown) == 5.0  # the new row adds 16


def test_only_floating_point_counts() -> None:
    state = {"steps": torch.tensor(7), "mask": torch.tensor([True]), "w": torch.tensor([3.0])}
    assert distance(state, {"steps": torch.tensor(1), "w": torch.tensor([1.0])}) == 2.0


def test_narrow_types_are_compared_in_float32() -> None:
    ones = torch.full((300, 300), 1.0, dtype=torch.bfloat16)
    assert distance({"w": ones}, {"w": torch.zeros_like(ones)}) == 300.0  # a bfloat16 sum would stop at 256
    assert distance({"w": ones}, {"w": torch.full((300, 300), 1.001)}) == pytest.approx(0.3, rel=1e-3)


def test_the_states_are_not_changed() -> None:
    state, other = {"w": torch.ones(3), "x": torch.ones(2)}, {"w": torch.zeros(3), "y": torch.ones(1)}
    distance(state, other)
    assert [t.tolist() for t in (*state.values(), *other.values())] == [[1, 1, 1], [1, 1], [0, 0, 0], [1]]


@given(states(), states(), states())
def test_it_is_a_metric(one: dict[str, Tensor], two: dict[str, Tensor], three: dict[str, Tensor]) -> None:
    assert distance(one, two) == pytest.approx(twin(one, two), rel=1e-5)
    assert distance(one, one) == 0.0
    assert distance(one, two) == pytest.approx(distance(two, one))
    assert distance(one, three) <= distance(one, two) + distance(two, three) + 1e-5


@pytest.fixture
def learner(tiny: Any) -> Learner:
    """At version 0."""
    return build_learner(tiny.learner, 0, CPU)


def weights(learner: Learner) -> dict[str, Tensor]:
    """A copy of the parameters."""
    return {name: p.detach().clone() for name, p in learner.module.named_parameters()}


def distances(found: Drift) -> dict[str, float]:
    """What `measure` says of distances."""
    numbers = found.measure()
    return {name: numbers[name] for name in ("update/norm", "update/drift")}


def moved(learner: Learner, name: str, by: float) -> None:
    """Move every entry of one weight."""
    with torch.no_grad():
        learner.module.get_parameter(name).add_(by)


def test_versions_by_hand(learner: Learner) -> None:
    found = Drift(learner)
    assert distances(found) == {"update/norm": 0.0, "update/drift": 0.0}
    one, two = "visual.ln_post.bias", "ln_final.bias"  # 32 entries each
    moved(learner, one, 0.5)
    assert distances(found) == pytest.approx({"update/norm": math.sqrt(8), "update/drift": math.sqrt(8)})
    moved(learner, two, 1.0)
    assert distances(found) == pytest.approx({"update/norm": math.sqrt(32), "update/drift": math.sqrt(40)})
    assert distances(found) == pytest.approx({"update/norm": 0.0, "update/drift": math.sqrt(40)})
    moved(learner, one, -0.5)
    moved(learner, two, -1.0)
    assert distances(found) == pytest.approx({"update/norm": math.sqrt(40), "update/drift": 0.0}, abs=1e-5)


def test_a_resumed_cell_measures_the_same(learner: Learner, tiny: Any) -> None:
    torch.manual_seed(0)
    uncut, states, numbers = Drift(learner), [weights(learner)], {}
    for scale in (0.1, 0.2):
        for p in learner.module.parameters():
            p.data.add_(scale * torch.randn_like(p))
        numbers = uncut.measure()
        states.append(weights(learner))
    assert numbers["update/norm"] == pytest.approx(distance(states[2], states[1]))
    assert numbers["update/drift"] == pytest.approx(distance(states[2], states[0]))
    again = build_learner(tiny.learner, 0, CPU)
    resumed = Drift(again)
    for state in states[1:]:
        again.module.load_state_dict(state, strict=False)
        found = resumed.measure()
    assert found == numbers  # to the last bit


def test_weights_that_never_change_are_kept_once(learner: Learner) -> None:
    found = Drift(learner)
    moved(learner, "ln_final.bias", 1.0)
    found.measure()
    shared = {name for name, tensor in found._previous.items() if tensor is found._first[name]}
    assert found._first.keys() - shared == {"ln_final.bias"}
    assert not any(found._first[n].data_ptr() == p.data_ptr() for n, p in learner.module.named_parameters())


def test_distances_are_read_from_the_device_at_once(learner: Learner, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def read(squares: Any) -> list[float]:
        calls.append(len(squares))
        numbers: list[float] = torch.stack(list(squares)).tolist()
        return numbers

    monkeypatch.setattr(drift, "_read", read)
    n = len(list(learner.module.parameters()))
    found = Drift(learner)
    found.measure()
    assert calls == [2 * n]


def test_tied_weights_count_once_and_a_new_head_with_its_norm(learner: Learner) -> None:
    tied, head = nn.Linear(2, 2, bias=False), nn.Linear(4, 1, bias=False)
    module = learner.module = nn.ModuleDict({"in": tied, "out": tied})
    found = Drift(learner)
    with torch.no_grad():
        tied.weight.add_(1.0)
    assert found.measure()["update/norm"] == pytest.approx(2.0)
    module["head"] = head
    nn.init.constant_(head.weight, 3.0)
    assert distances(found) == pytest.approx({"update/norm": 6.0, "update/drift": math.sqrt(40)})
    del module["head"]
    assert distances(found) == pytest.approx({"update/norm": 6.0, "update/drift": 2.0})
