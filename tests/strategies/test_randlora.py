"""RandLoRA through `peft`: its counts, and that full rank is what training gives and not the construction."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import RandLoraConfig
from peft.tuners.randlora import RandLoraModel
from torch import nn

from clbench.benchmarks.engine.update_structure import rank_shares
from clbench.contracts import Context
from clbench.contracts.updating import learn_task
from clbench.strategies.peft import Peft, PeftStrategyConfig
from clbench.streams.card import load_stream

NewContext = Callable[..., Context]


def wrapped(width: int, rank: int) -> Any:
    """PEFT's layer around a square linear layer, by itself."""
    torch.manual_seed(0)
    config = RandLoraConfig(r=rank, target_modules=["0"])
    module = nn.Sequential(nn.Linear(width, width))
    return RandLoraModel(module, config, "default").model[0]


@pytest.mark.parametrize(("rank", "wanted"), [(8, 74_496), (32, 19_200), (64, 9_984), (128, 5_376)])
def test_a_smaller_rank_is_more_parameters(rank: int, wanted: int) -> None:
    layer = wrapped(768, rank)
    assert sum(p.numel() for p in layer.parameters() if p.requires_grad) == wanted
    assert wanted == math.ceil(768 / rank) * (rank + 768)


def test_the_strategy_counts_them(new_context: NewContext) -> None:
    """24 layers of the tiny model, each with a smaller side of 32."""
    found = Peft(PeftStrategyConfig(method="randlora", settings={"r": 8}), new_context()).footprint()
    assert found == {"trainable_parameters": 24 * 4 * (8 + 32), "adapters": 24}


def test_full_rank_must_be_earned() -> None:
    """All gammas are equal at first; then sum_n B_n diag(lambda_n) A diag(gamma_n) has the rank of A, which is r."""
    layer = wrapped(9, 4)
    gammas = layer.randlora_gamma["default"]
    assert gammas.unique().numel() == 1
    with torch.no_grad():
        layer.randlora_lambda["default"].normal_()
        assert rank_shares(layer.get_delta_weight("default"))[0] == pytest.approx(4 / 9)
        gammas.normal_()
        rank, stable = rank_shares(layer.get_delta_weight("default")).tolist()
    assert rank == 1
    assert stable < rank


def test_an_update_is_of_higher_rank_than_loras_and_of_lower_stable_rank_than_its_rank(
    tiny: Any, new_context: NewContext
) -> None:
    ranks = {}
    for method, settings in (("randlora", {"r": 8}), ("lora", {"r": 8})):
        context = new_context(20)
        weights = {n: p.detach().clone() for n, p in context.learner.module.named_parameters() if "q_proj.weight" in n}
        task = load_stream(tiny.stream).tasks[0]
        learn_task(Peft(PeftStrategyConfig(method=method, settings=dict(settings)), context), task)
        changes = [context.learner.module.get_parameter(name).detach() - old for name, old in weights.items()]
        assert len(changes) == 4
        ranks[method] = torch.stack([rank_shares(change) for change in changes]).mean(dim=0).tolist()
    assert ranks["lora"][0] == pytest.approx(8 / 32, abs=0.05)
    assert ranks["randlora"][0] > 2 * ranks["lora"][0]
    for rank, stable in ranks.values():
        assert stable < rank / 2
