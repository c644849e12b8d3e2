"""AdamW with moments in 8 bits: what it takes, what its state weighs, and how near it is to AdamW in float32."""

import importlib.util
from typing import Any

import pytest
import torch
from tests.strategies.conftest import context_of
from torch import Tensor, nn

from clbench.contracts import LinearLayer
from clbench.core.errors import ConfigError
from clbench.strategies._parts.optimizer import OptimizerPart, Plan
from clbench.strategies._parts.part import Trained
from clbench.strategies._training.gradient import GradientConfig
from clbench.strategies.finetune import Finetune

PLAN = Plan(0.01, 0.1, (0.9, 0.999), 3)


def part_of(tiny: Any) -> OptimizerPart[Any]:
    config = GradientConfig.model_validate({"optimizer": "adamw-8bit"})
    return Finetune(config, context_of(tiny)).parts.optimizer


def trained(*shape: int) -> Trained:
    weight = nn.Parameter(torch.randn(*shape, generator=torch.Generator().manual_seed(0)))
    return Trained("w", weight, LinearLayer("w", "up", "vision", 0), own=True)


def test_it_takes_whole_blocks_of_large_parameters(tiny: Any) -> None:
    part = part_of(tiny)
    assert [part.takes(trained(*shape)) for shape in ((64, 64), (63, 64), (64, 65), (128, 34))] == [
        True,
        False,  # 4,032 values
        False,  # 4,160 = 16.25 x 256
        True,  # 4,352 = 17 x 256
    ]


def test_a_byte_for_each_moment_and_a_scale_for_each_block(tiny: Any) -> None:
    assert part_of(tiny).state_bytes == 2 + 2 * 4 / 256


@pytest.mark.skipif(importlib.util.find_spec("torchao") is not None, reason="torchao is installed")
def test_without_torchao_it_says_how_to_get_it(tiny: Any) -> None:
    with pytest.raises(ConfigError, match=r"torchao is missing \(pip install 'clbench\[low-memory\]'\)"):
        part_of(tiny).build([trained(64, 64)], PLAN)


def test_its_steps_are_those_of_adamw_but_for_rounding(tiny: Any) -> None:
    pytest.importorskip("torchao.optim", reason="extra low-memory")
    item, other = trained(64, 64), trained(64, 64)
    start = item.parameter.detach().clone()
    ours = part_of(tiny).build([item], PLAN)
    exact = torch.optim.AdamW([other.parameter], lr=0.01, betas=(0.9, 0.999), weight_decay=0.1)
    generator = torch.Generator().manual_seed(1)
    for _ in range(3):
        gradient = torch.randn(64, 64, generator=generator)
        item.parameter.grad, other.parameter.grad = gradient.clone(), gradient.clone()
        ours.step()
        exact.step()
    moved, wanted = item.parameter.detach() - start, other.parameter.detach() - start
    assert float((moved - wanted).norm() / wanted.norm()) < 0.05
    held = sum(inner.nbytes for state in ours.state.values() for inner in tensors_in(state))
    assert held == pytest.approx(part_of(tiny).state_bytes * 4096, rel=0.3)  # two tables of 256 float32 values besides


def tensors_in(state: dict[str, Any]) -> list[Tensor]:
    """The plain tensors of which the moments consist."""
    moments = [state["exp_avg"], state["exp_avg_sq"]]
    return [getattr(moment, name) for moment in moments for name in moment.__tensor_flatten__()[0]]
