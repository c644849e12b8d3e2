"""What every part must do in every strategy that takes it; the tests walk the registries."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.strategies.conftest import context_of
from tests.strategies.cut_runs import Killed, passes_of, run
from tests.strategies.part_cells import PARTS, cell_with, entry
from torch import Tensor

from clbench.benchmarks.engine.suite import SuiteChanges, load_suite
from clbench.contracts import Batch, Task
from clbench.contracts.updating import learn_task
from clbench.core.errors import ConfigError
from clbench.spec.ledger import read_ledger
from clbench.strategies._training.gradient import GradientConfig, GradientStrategy
from clbench.strategies.codyra import Codyra, CodyraConfig
from clbench.strategies.finetune import Finetune
from clbench.strategies.lora import Lora, LoraConfig
from clbench.strategies.osft import Osft, OsftConfig
from clbench.streams.card import load_stream

STRATEGIES = ("finetune", "lora", "osft")


def fits(cell: Callable[[], Any]) -> bool:
    """Whether a suite takes a part in a strategy."""
    try:
        cell()
    except ConfigError:
        return False
    return True


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(("slot", "part"), PARTS)
def test_same_seed_same_bits_and_resume_changes_nothing(
    slot: str, part: str, strategy: str, tiny: Any, tmp_path: Path
) -> None:
    def cell() -> Any:
        return cell_with(tiny.stream, tmp_path, entry(strategy, slot, part))

    if not fits(cell):
        return
    straight = run(cell(), tmp_path / "straight")
    for version in (1, 2):
        with pytest.raises(Killed):
            run(cell(), tmp_path / "cut", stop_after=version)
    cut = run(cell(), tmp_path / "cut")
    assert read_ledger(cut.path / "ledger.parquet").equals(read_ledger(straight.path / "ledger.parquet"))
    assert [cut.record(v).digest for v in range(4)] == [straight.record(v).digest for v in range(4)]
    assert passes_of(cut) == passes_of(straight)


@pytest.mark.parametrize(("slot", "part"), PARTS)
def test_unknown_settings_of_parts_are_refused(slot: str, part: str, tiny: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"strategy finetune: {slot}.* unknown setting 'no_such_setting'") as found:
        cell_with(tiny.stream, tmp_path, {"name": "finetune", slot: {"name": part, "no_such_setting": 1}})
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("strategy", "wanted"),
    [
        ({"name": "finetune", "select": "randon"}, "unknown selector 'randon'.*random"),
        ({"name": "finetune", "select": 3}, "select must be a name, or a mapping with a name and settings, got 3"),
        ({"name": "osft", "select": "random"}, "strategy osft: select random: this strategy has parts for"),
        ({"name": "replay", "memory": "random"}, "strategy replay: memory random: this strategy has parts for"),
        ({"name": "lora", "penalty": "l2"}, "penalty l2 works on weights of the model, but this strategy does not"),
    ],
)
def test_what_does_not_fit_is_refused_when_the_suite_is_loaded(
    strategy: dict[str, object], wanted: str, tiny: Any, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=wanted):
        cell_with(tiny.stream, tmp_path, strategy)


def test_labels_name_edits_in_their_order(tiny: Any, tmp_path: Path) -> None:
    edits = [{"name": "lines", "order": "uniform"}, "wise-ft"]
    assert cell_with(tiny.stream, tmp_path, {"name": "finetune", "edit": edits}).label == (
        "finetune edit=lines(order=uniform)+wise-ft"
    )


def test_settings_of_parts_are_given_on_the_command_line(tiny: Any, tmp_path: Path) -> None:
    cell_with(tiny.stream, tmp_path, {"name": "finetune", "select": "random"})
    path = str(tmp_path / "suite.yaml")
    changed = load_suite(path, SuiteChanges(overrides={"finetune.select.share": 0.5})).cells[0]
    assert changed.label == "finetune select=random(share=0.5)"
    other = load_suite(path, SuiteChanges(overrides={"finetune.memory": "random", "strategy.select": "random"})).cells
    assert other[0].label.startswith("finetune select=random memory=random")
    with pytest.raises(ConfigError, match=r"--set finetune.edit.alpha: finetune.edit names no part"):
        load_suite(path, SuiteChanges(overrides={"finetune.edit.alpha": 0.5}))


def weights_of(context: Any) -> dict[str, Tensor]:
    """A copy of all weights."""
    return {name: tensor.clone() for name, tensor in context.learner.state_dict().items()}


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("optimizer", [part for slot, part in PARTS if slot == "optimizer"])
def test_what_is_not_selected_keeps_its_bits(optimizer: str, decay: float, tiny: Any) -> None:
    """With and without decay, with momentum, over two tasks, for every optimizer."""
    context = context_of(tiny)
    settings = {"lr": 1e-2, "weight_decay": decay, "optimizer": optimizer, "select": {"name": "random", "share": 0.3}}
    strategy = Finetune(GradientConfig.model_validate(settings), context)
    moved: dict[str, Tensor] = {}
    before = weights_of(context)
    chosen: dict[str, Tensor] = {}
    for task in load_stream(tiny.stream).tasks[:2]:
        start = weights_of(context)
        learn_task(strategy, task)
        assert strategy.parts.select is not None
        names = strategy.parts.select.chosen(strategy_trained(strategy), task)
        for name, tensor in context.learner.state_dict().items():
            mask = names.get(name)
            assert mask is not None or name not in dict(strategy.trainable_parameters())
            if mask is not None:
                assert torch.equal(tensor[~mask], start[name][~mask])
                moved[name] = moved.get(name, torch.zeros_like(mask)) | (tensor != start[name])
                chosen[name] = chosen.get(name, torch.zeros_like(mask)) | mask
    for name, was in moved.items():
        assert not bool((was & ~chosen[name]).any())
    assert any(bool((before[name] != tensor).any()) for name, tensor in context.learner.state_dict().items())


def strategy_trained(strategy: GradientStrategy[Any]) -> Any:
    """What the strategy trains, described."""
    from clbench.strategies._parts.part import described

    return described(strategy.learner, strategy.trainable_parameters())


class Halved(GradientStrategy[GradientConfig]):
    """Learns with half of the loss."""

    def loss(self, batch: Batch, task: Task) -> Tensor:
        """Half of the task loss."""
        return 0.5 * self.learner.loss(batch, task)


def test_choosing_everything_is_choosing_nothing(tiny: Any) -> None:
    task = load_stream(tiny.stream).tasks[0]
    plain, whole = context_of(tiny), context_of(tiny)
    learn_task(Finetune(GradientConfig(), plain), task)
    settings = {"select": {"name": "random", "share": 1.0}}
    learn_task(Finetune(GradientConfig.model_validate(settings), whole), task)
    assert all(torch.equal(a, b) for a, b in zip(weights_of(plain).values(), weights_of(whole).values(), strict=True))


@pytest.mark.parametrize(
    ("strategy", "config"), [(Finetune, GradientConfig), (Lora, LoraConfig), (Osft, OsftConfig), (Codyra, CodyraConfig)]
)
def test_the_wise_ft_edit_with_alpha_0_is_the_version_before(strategy: Any, config: Any, tiny: Any) -> None:
    context = context_of(tiny)
    before = weights_of(context)
    edits = [{"name": "wise-ft", "alpha": 1.0}, {"name": "wise-ft", "alpha": 0.0}]
    learn_task(strategy(config.model_validate({"edit": edits}), context), load_stream(tiny.stream).tasks[0])
    assert all(torch.equal(tensor, before[name]) for name, tensor in context.learner.state_dict().items())


def test_the_l2_penalty_by_hand(tiny: Any) -> None:
    """After one step at a constant rate the penalty's gradient is 2 * strength * (theta - theta_t)."""
    context = context_of(tiny)
    settings = {"penalty": {"name": "l2", "strength": 0.5}}
    strategy = Finetune(GradientConfig.model_validate(settings), context)
    tasks = load_stream(tiny.stream).tasks
    penalty = strategy.parts.penalty
    assert penalty is not None
    strategy.seen = list(tasks[:1])
    penalty.begin_task(tasks[0])
    assert penalty.term({}, tasks[0]) is None
    strategy.seen = list(tasks[:2])
    penalty.begin_task(tasks[1])
    name, p = next(iter(strategy.learner.trainable().items()))
    with torch.no_grad():
        p.add_(0.25)
    for other in strategy.learner.trainable().values():
        other.requires_grad_(True)
    term = penalty.term({}, tasks[1])
    assert term is not None
    assert float(term) == pytest.approx(0.0625 * p.numel(), rel=1e-5), name
    term.backward()
    torch.testing.assert_close(p.grad, torch.full_like(p, 0.5))
