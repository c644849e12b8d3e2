"""PEFT's tuners as strategies: merged rather than thrown away, and what does not fit is refused."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from clbench.contracts import Context
from clbench.errors import ConfigError
from clbench.registry import STRATEGIES
from clbench.strategies.peft import UNFIT
from clbench.streams.card import load_stream


def strategy_of(context: Context, **settings: Any) -> Any:
    entry = STRATEGIES.get("peft")
    assert entry.config is not None
    return entry.value(entry.config(**settings), context)


@pytest.mark.parametrize("method", ["osf", "lora", "loha", "oft", "vera"])
def test_the_merged_model_says_what_the_wrapped_one_said(
    method: str, tiny: Any, new_context: Callable[..., Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = load_stream(tiny.stream).tasks[0]
    context = new_context()
    settings = {"oft_block_size": 4, "r": 0} if method == "oft" else {}
    strategy = strategy_of(context, method=method, settings=settings, lr=0.01)
    batch = context.samples(task, "test").batch(slice(None))
    seen = []
    merge = type(strategy).end_task

    def end_task(self: Any, task: Any) -> None:
        context.learner.module.eval()
        seen.append(context.learner.logits(batch, [task]).detach())
        merge(self, task)

    monkeypatch.setattr(type(strategy), "end_task", end_task)
    names = list(context.learner.state_dict())
    with torch.no_grad():
        before = context.learner.logits(batch, [task])
    strategy.update(task)
    with torch.no_grad():
        after = context.learner.logits(batch, [task])
    torch.testing.assert_close(after, seen[0], atol=1e-3, rtol=1e-3)
    assert (after - before).abs().max() > 1e-2
    assert list(context.learner.state_dict()) == names


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "lorra"}, "unknown method 'lorra': did you mean 'lora'"),
        ({"method": "prompt_tuning"}, "adapts no linear layers"),
        *(({"method": name}, f"method '{name}' {reason}") for name, reason in UNFIT.items()),
        ({"method": "osf", "settings": {"effectiv_rank": 3}}, "osf has no setting 'effectiv_rank'"),
    ],
)
def test_what_does_not_fit_is_refused(
    settings: dict[str, Any], message: str, new_context: Callable[..., Context]
) -> None:
    with pytest.raises(ConfigError, match=message):
        strategy_of(new_context(), **settings)


def test_what_the_tuner_itself_refuses_is_told_in_one_line(tiny: Any, new_context: Callable[..., Context]) -> None:
    strategy = strategy_of(new_context(), method="ia3")
    with pytest.raises(ConfigError, match="strategy peft: ia3: Please specify `feedforward_modules`"):
        strategy.update(load_stream(tiny.stream).tasks[0])


def test_what_the_tuner_cannot_merge_is_told_in_one_line(tiny: Any, new_context: Callable[..., Context]) -> None:
    strategy = strategy_of(new_context(), method="beft")
    for module in strategy.learner.module.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_parameter("bias", None)
    with pytest.raises(ConfigError, match="strategy peft: beft: Base layer has no bias, cannot merge"):
        strategy.update(load_stream(tiny.stream).tasks[0])
