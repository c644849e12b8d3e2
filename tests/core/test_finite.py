"""NaN and infinity are found where they are, however the rest of the tensors looks."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from clbench.core.finite import finite_rows, not_finite, unsound_weights

VALUES = st.sampled_from([0.0, 1.0, -3e38, 3e38, float("nan"), float("inf"), float("-inf")])
KINDS = st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64])


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    rows, columns = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    values = draw(st.lists(VALUES, min_size=rows * columns, max_size=rows * columns))
    return torch.tensor(values, dtype=draw(KINDS)).reshape(rows, columns)


@settings(max_examples=300)
@given(found=st.lists(tensors(), max_size=4))
def test_the_first_bad_tensor_is_named_and_counted(found: list[Tensor]) -> None:
    named = {**{f"t{number}": tensor for number, tensor in enumerate(found)}, "ids": torch.tensor([1, 2])}
    counts = {name: int((~tensor.isfinite()).sum()) for name, tensor in named.items()}
    bad = [name for name in named if counts[name]]
    told = not_finite(named)
    assert (told is None) == (not bad)
    if told:
        assert told.startswith(f"{counts[bad[0]]} of {named[bad[0]].numel()} values of {bad[0]} are not finite")
        assert ("more tensor" in told) == (len(bad) > 1)


@settings(max_examples=200)
@given(scores=tensors())
def test_rows_are_those_of_isfinite(scores: Tensor) -> None:
    assert finite_rows(scores).tolist() == scores.isfinite().all(dim=1).tolist()
    assert finite_rows(scores.reshape(-1)).tolist() == scores.isfinite().reshape(-1).tolist()


def test_a_mask_of_infinity_is_no_fault_and_one_of_nan_is() -> None:
    module = nn.Linear(2, 2)
    module.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    assert unsound_weights(module) is None
    module.register_buffer("mean", torch.tensor([0.0, torch.nan, -torch.inf]))
    assert unsound_weights(module) == "1 of 3 values of mean are not finite"
    with torch.no_grad():
        module.weight[0, 0] = torch.inf
    assert unsound_weights(module) == "1 of 4 values of weight are not finite (and one more tensor has some)"
