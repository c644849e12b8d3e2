"""PEFT's tuners as strategies: merged rather than thrown away, and what does not fit is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from clbench.contracts import Context, ScoresClasses, require
from clbench.contracts.updating import learn_task
from clbench.core.errors import ConfigError
from clbench.core.registry import STRATEGIES
from clbench.strategies._adapters.peft_tuners import FIT, UNFIT, UNFIT_FOR_ALL, UNFIT_SETTINGS
from clbench.streams.card import load_stream


def strategy_of(context: Context, **settings: Any) -> Any:
    entry = STRATEGIES.get("peft")
    assert entry.config is not None
    return entry.value(entry.config(**settings), context)


def registered() -> list[str]:
    """All tuners of the installed PEFT, by the names that `method` takes."""
    from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING

    return sorted(kind.value.lower() for kind in PEFT_TYPE_TO_TUNER_MAPPING)


SMALL: dict[str, dict[str, Any]] = {
    "boft": {"boft_block_size": 4},
    "c3a": {"block_size": 8},
    "fourierft": {"n_frequency": 20, "scaling": 1.0},
    "ia3": {"feedforward_modules": ".*fc2"},
    "miss": {"r": 8},
    "oft": {"oft_block_size": 4, "r": 0},
    "pvera": {"generator_seed": 0},
    "road": {"group_size": 8},
    "shira": {"r": 4},
    "supertuning": {"sparsity": 0.5},
    "vblora": {"vector_length": 4, "num_vectors": 8},
    "waveft": {"n_frequency": 20},
}
"""Settings that suit the layers of the tiny model; PEFT's defaults are for large ones."""


@pytest.mark.parametrize("method", registered())
def test_every_tuner_was_looked_at(method: str, tiny: Any, new_context: Callable[..., Context]) -> None:
    """A tuner that a later PEFT brings fails here until its needs are reviewed.

    Those that fit learn two tasks, one on top of the other, and leave a model of the same shape.
    """
    assert (method in FIT) != (method in UNFIT), (
        f"look at PEFT's {method}, then add it to strategies/_adapters/peft_tuners.py"
    )
    if method in UNFIT:
        with pytest.raises(ConfigError, match=f"method '{method}' "):
            strategy_of(new_context(), method=method)
        return
    context = new_context()
    strategy = strategy_of(context, method=method, settings=SMALL.get(method, {}))
    shapes = {name: tensor.shape for name, tensor in context.learner.state_dict().items()}
    for task in load_stream(tiny.stream).tasks[:2]:
        digest = context.learner.digest()
        learn_task(strategy, task)
        assert context.learner.digest() != digest
        assert {name: tensor.shape for name, tensor in context.learner.state_dict().items()} == shapes


def test_a_tuner_without_review_is_refused(
    new_context: Callable[..., Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clbench.strategies._adapters.peft_tuners.FIT", FIT - {"loha"})
    with pytest.raises(ConfigError, match="method 'loha' is not known to clbench: it may need data, calls in the loop"):
        strategy_of(new_context(), method="loha")


def test_the_documents_list_every_tuner() -> None:
    text = (Path(__file__).parents[2] / "docs" / "dependencies.md").read_text(encoding="utf-8")
    table = text.partition("## PEFT's tuners")[2]
    assert {name for name in FIT | UNFIT.keys() if f"`{name}`" not in table} == set()


@pytest.mark.parametrize("method", ["osf", "lora", "loha", "oft", "vera"])
def test_the_merged_model_says_what_the_wrapped_one_said(
    method: str, tiny: Any, new_context: Callable[..., Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = load_stream(tiny.stream).tasks[0]
    context = new_context()
    strategy = strategy_of(context, method=method, settings=SMALL.get(method, {}), lr=0.01)
    batch = context.samples(task, "test").batch(slice(None))
    seen = []
    merge = type(strategy).end_task

    def end_task(self: Any, task: Any) -> None:
        context.learner.module.eval()
        seen.append(require(context.learner, ScoresClasses).logits(batch, [task]).detach())
        merge(self, task)

    monkeypatch.setattr(type(strategy), "end_task", end_task)
    names = list(context.learner.state_dict())
    with torch.no_grad():
        before = require(context.learner, ScoresClasses).logits(batch, [task])
    learn_task(strategy, task)
    with torch.no_grad():
        after = require(context.learner, ScoresClasses).logits(batch, [task])
    torch.testing.assert_close(after, seen[0], atol=1e-3, rtol=1e-3)
    assert (after - before).abs().max() > 1e-2
    assert list(context.learner.state_dict()) == names


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "lorra"}, "unknown method 'lorra': did you mean 'lora'"),
        *(({"method": name}, f"method '{name}' {reason}") for name, reason in UNFIT.items() if name in registered()),
        *(
            ({"method": method, "settings": {name: value}}, f"{method}: {name}={value} {reason}")
            for (method, name, value), reason in UNFIT_SETTINGS.items()
        ),
        *(({"method": "lora", "settings": {name: 1}}, f"lora: {name}=1 {why}") for name, why in UNFIT_FOR_ALL.items()),
        ({"method": "lora", "settings": {"init_lora_weights": "EVA"}}, "init_lora_weights=EVA needs data"),
        ({"method": "lora", "settings": {"use_bdlora": True}}, "settings of lora: `BdLoraConfig` must be"),
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
        learn_task(strategy, load_stream(tiny.stream).tasks[0])


def test_what_the_tuner_cannot_merge_is_told_in_one_line(tiny: Any, new_context: Callable[..., Context]) -> None:
    strategy = strategy_of(new_context(), method="beft")
    for module in strategy.learner.module.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_parameter("bias", None)
    with pytest.raises(ConfigError, match="strategy peft: beft: Base layer has no bias, cannot merge"):
        learn_task(strategy, load_stream(tiny.stream).tasks[0])
