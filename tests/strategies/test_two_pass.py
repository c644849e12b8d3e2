"""`two-pass`: what moved in a first training is all that moves in a second one."""

from typing import Any

import pytest
import torch
from tests.strategies.conftest import context_of
from torch import Tensor

from clbench.contracts.updating import learn_task
from clbench.core.errors import ConfigError
from clbench.strategies._training.gradient import GradientConfig
from clbench.strategies.finetune import Finetune
from clbench.strategies.two_pass import TwoPass, TwoPassConfig
from clbench.streams.card import load_stream


def learnt(tiny: Any, numbers: dict[str, float] | None = None, **settings: Any) -> dict[str, Tensor]:
    """Weights after one task."""
    context = context_of(tiny, numbers=numbers)
    strategy = TwoPass(TwoPassConfig.model_validate(settings), context)
    assert strategy.number_of_steps(load_stream(tiny.stream).tasks[0]) == 10
    learn_task(strategy, load_stream(tiny.stream).tasks[0])
    return dict(context.learner.state_dict())


def test_with_a_tolerance_of_0_the_second_pass_is_the_first(tiny: Any) -> None:
    """Entries that did not move had no gradient, so the mask takes nothing away: full fine-tuning, to the bit."""
    context = context_of(tiny)
    learn_task(Finetune(GradientConfig(), context), load_stream(tiny.stream).tasks[0])
    found = learnt(tiny, tolerance=0.0)
    assert all(torch.equal(tensor, found[name]) for name, tensor in context.learner.state_dict().items())


@pytest.mark.parametrize("mask", ["moved", "random"])
def test_only_as_many_entries_move_as_moved_by_more_than_the_tolerance(mask: str, tiny: Any) -> None:
    before = dict(context_of(tiny).learner.state_dict())
    first = context_of(tiny)
    learn_task(Finetune(GradientConfig(), first), load_stream(tiny.stream).tasks[0])
    after = first.learner.state_dict()
    tolerance = 6e-4
    expected = {name: (after[name] - before[name]).abs() > tolerance for name in before}
    numbers: dict[str, float] = {}
    found = learnt(tiny, numbers, tolerance=tolerance, mask=mask)
    total = sum(p.numel() for p in first.learner.trainable().values())
    count = sum(int(chosen.sum()) for chosen in expected.values())
    assert 0 < count < total / 2
    assert numbers["two-pass/moved"] == pytest.approx(count / total)
    for name, chosen in expected.items():
        moved = found[name] != before[name]
        if mask == "moved":
            assert not bool((moved & ~chosen).any())
        assert int(moved.sum()) <= int(chosen.sum())


def test_a_tolerance_that_nothing_exceeds_is_refused(tiny: Any) -> None:
    with pytest.raises(ConfigError, match="strategy two-pass: no entry moved by more than the tolerance 10"):
        learnt(tiny, tolerance=10.0)
