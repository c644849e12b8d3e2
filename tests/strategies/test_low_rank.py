"""Our low-rank adapters against PEFT's LoRA layers, to the bit: first values, training with dropout, merge."""

import copy
from typing import Any

import pytest
import torch
from peft import LoraConfig as PeftLoraConfig
from peft.tuners.lora import LoraModel
from torch import Tensor, nn

from clbench.strategies._adapters.initial_factors import drawn_factors, peft_factors
from clbench.strategies._adapters.low_rank import Arithmetic, LowRankAdapter

NAMES = ["2", "0"]  # not in the module's order, in which PEFT goes through it
DTYPES = [torch.float32, torch.bfloat16]


def module_of(dtype: torch.dtype) -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(7, 9), nn.GELU(), nn.Linear(9, 5)).to(dtype).requires_grad_(False)


def trained(module: nn.Module, parameters: list[nn.Parameter], dtype: torch.dtype) -> list[Tensor]:
    """Losses and factors of five steps with dropout."""
    torch.manual_seed(2)
    optimizer, losses = torch.optim.AdamW(parameters, lr=0.1), []
    for _ in range(5):
        x, y = torch.randn(6, 7, dtype=dtype), torch.randn(6, 5, dtype=dtype)
        loss = (module(x) - y).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.detach())
    return [*losses, *(p.detach().clone() for p in parameters)]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("alpha", "dropout"), [(3.0, 0.0), (5.0, 0.3)])
def test_in_pefts_order_results_are_pefts_to_the_bit(dtype: torch.dtype, alpha: float, dropout: float) -> None:
    ours, theirs = module_of(dtype), module_of(dtype)
    torch.manual_seed(1)
    adapter = LowRankAdapter(peft_factors(ours, NAMES, 3), Arithmetic(alpha / 3, dropout, peft_order=True))
    adapter.attach(ours)
    after_ours = torch.rand(())
    torch.manual_seed(1)
    config = PeftLoraConfig(r=3, lora_alpha=alpha, lora_dropout=dropout, target_modules=NAMES)  # type: ignore[arg-type]
    model = LoraModel(theirs, config, "default")
    assert torch.equal(after_ours, torch.rand(()))  # as many random numbers were drawn
    factors = [p for name, p in theirs.named_parameters() if "lora_" in name]
    for p in factors:
        p.data = p.data.float()
    assert all(torch.equal(p, q) for (_, p), q in zip(adapter.parameters(), factors, strict=True))
    for found, wanted in zip(
        trained(ours, [p for _, p in adapter.parameters()], dtype), trained(theirs, factors, dtype), strict=True
    ):
        assert torch.equal(found, wanted)
    adapter.merge(ours)
    model.merge_and_unload(progressbar=False)
    for name, tensor in ours.state_dict().items():
        assert torch.equal(tensor, theirs.state_dict()[name]), name


@pytest.mark.parametrize("gated", [False, True])
def test_both_orders_are_one_update_to_round_off(gated: bool) -> None:
    module, x = module_of(torch.float32), torch.randn(4, 7)
    factors = drawn_factors(module, NAMES, 3, torch.Generator().manual_seed(1))
    for found in factors.values():
        nn.init.normal_(found.b)
    if gated:
        factors = {n: type(f)(f.a, f.b, nn.Parameter(torch.tensor([0.0, 1.0, -2.0]))) for n, f in factors.items()}
    merged = []
    for peft_order in (True, False):
        adapter, copied = LowRankAdapter(factors, Arithmetic(0.7, 0.0, peft_order)), copy.deepcopy(module)
        with adapter.on(copied):
            attached = copied(x)
        adapter.merge(copied)
        merged.append(copied(x))
        torch.testing.assert_close(attached, merged[-1])
        assert (attached - module(x)).abs().max() > 0.1
    torch.testing.assert_close(*merged)


def test_a_gate_of_zero_removes_a_rank() -> None:
    module = module_of(torch.float32)
    factors = drawn_factors(module, ["0"], 1, torch.Generator().manual_seed(1))["0"]
    nn.init.normal_(factors.b)
    adapter = LowRankAdapter(
        {"0": type(factors)(factors.a, factors.b, nn.Parameter(torch.zeros(1)))}, Arithmetic(scale=2.0)
    )
    before = module[0].weight.clone()
    adapter.merge(module)
    assert torch.equal(module[0].weight, before)


def test_an_adapter_comes_back_from_its_state() -> None:
    module = module_of(torch.float32)
    factors = drawn_factors(module, NAMES, 2, torch.Generator().manual_seed(1))
    adapter = LowRankAdapter(factors, Arithmetic(0.5, 0.25, peft_order=True))
    again = LowRankAdapter.from_state(adapter.state_dict(), torch.device("cpu"))
    assert again.arithmetic == adapter.arithmetic
    for (name, p), (other, q) in zip(adapter.parameters(), again.parameters(), strict=True):
        assert name == other
        assert torch.equal(p, q)
        assert not q.requires_grad
