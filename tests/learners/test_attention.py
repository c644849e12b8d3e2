"""Split attention computes what the fused one does."""

import pytest
import torch
from torch import nn

from clbench.learners._clip.split_attention import SplitAttention, fuse_names, split_fused_attention


@pytest.mark.parametrize("masked", [False, True])
def test_outputs_and_gradients_are_those_of_the_fused_module(masked: bool) -> None:
    torch.manual_seed(0)
    fused = nn.MultiheadAttention(24, 3, batch_first=True).double()
    split = SplitAttention.from_fused(fused)
    mask = torch.full((5, 5), float("-inf"), dtype=torch.float64).triu(1) if masked else None
    x = torch.randn(2, 5, 24, dtype=torch.float64)
    one, two = x.clone().requires_grad_(), x.clone().requires_grad_()
    wanted = fused(one, one, one, need_weights=False, attn_mask=mask)[0]
    got = split(two, two, two, need_weights=False, attn_mask=mask)[0]
    torch.testing.assert_close(got, wanted)
    wanted.square().sum().backward()
    got.square().sum().backward()
    torch.testing.assert_close(two.grad, one.grad)


def test_names_go_back_to_those_of_the_fused_module() -> None:
    torch.manual_seed(0)
    model = nn.ModuleDict({"attn": nn.MultiheadAttention(8, 2, batch_first=True), "other": nn.Linear(8, 8)})
    wanted = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    split_fused_attention(model)
    assert isinstance(model["attn"], SplitAttention)
    got = fuse_names(dict(model.state_dict()))
    assert got.keys() == wanted.keys()
    assert all(torch.equal(got[name], wanted[name]) for name in wanted)


def test_a_mask_may_be_wider_than_what_autocast_computes() -> None:
    torch.manual_seed(0)
    split = SplitAttention(16, 2)
    x, mask = torch.randn(2, 5, 16), torch.full((5, 5), float("-inf")).triu(1)
    wanted = split(x, x, x, attn_mask=mask)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = split(x, x, x, attn_mask=mask)[0]
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got.float(), wanted, atol=2e-2, rtol=2e-2)
