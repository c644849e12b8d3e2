"""Calibration samples: which are drawn, and what is summed over the inputs of layers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies.compressed import LLAMA, T5, TEXTS, VIT, mini, strategy_of
from tests.tiny_images import write_stream
from torch import Tensor, nn

from clbench.contracts import LinearLayer, Samples, Split, Task
from clbench.core.errors import ConfigError, TrainingError
from clbench.core.seeding import generator_for
from clbench.strategies._compression.calibration import Calibration, equal_shares
from clbench.streams.card import load_stream


def drawn(strategy: Any) -> Calibration:
    return Calibration.draw(strategy.context, strategy.seen, strategy.config)


@pytest.mark.parametrize(
    ("sizes", "total", "wanted"),
    [
        ([100, 100], 128, [64, 64]),
        ([100, 100, 100], 128, [42, 43, 43]),
        ([10, 100, 100], 128, [10, 59, 59]),
        ([100, 3, 5], 128, [100, 3, 5]),
        ([50], 8, [8]),
        ([], 8, []),
    ],
)
def test_shares_by_hand(sizes: list[int], total: int, wanted: list[int]) -> None:
    assert equal_shares(sizes, total) == wanted


@given(sizes=st.lists(st.integers(0, 40), max_size=9), total=st.integers(0, 200))
def test_shares_are_as_equal_as_sizes_allow(sizes: list[int], total: int) -> None:
    shares = equal_shares(sizes, total)
    assert sum(shares) == min(total, sum(sizes))
    assert all(share <= size for share, size in zip(shares, sizes, strict=True))
    unfilled = [share for share, size in zip(shares, sizes, strict=True) if share < size]
    assert not unfilled or min(unfilled) >= max(shares) - 1


def test_samples_depend_on_the_seed_alone() -> None:
    def inputs(**settings: Any) -> Tensor:
        strategy, _ = strategy_of("prune", LLAMA, calibration_samples=6, **settings)
        strategy.reseed("anything", 7)  # nor on the version, nor on the global state
        return next(iter(drawn(strategy).inputs(strategy.learner.linear_layers()).values())).squares

    assert torch.equal(inputs(), inputs())
    assert not torch.equal(inputs(), inputs(seed=1))


def test_samples_are_drawn_from_training_splits_of_the_chosen_tasks() -> None:
    asked: set[str] = set()
    for name, wanted in (("seen", [3, 4]), ("last", [7]), ("none", [])):
        strategy, _ = strategy_of("prune", LLAMA, calibration=name, calibration_samples=7)
        samples_of = strategy.context.samples

        def samples(task: Task, split: Split, of: Any = samples_of) -> Samples:
            asked.add(split)
            found: Samples = of(task, split)
            return found

        calibration = Calibration.draw(replace(strategy.context, samples=samples), strategy.seen, strategy.config)
        assert len(calibration) == sum(wanted)
        assert [len(part) for _, (_, part) in calibration._batches()] == wanted
    assert asked == {"train"}
    generator = generator_for(0, "calibration")
    strategy, _ = strategy_of("prune", LLAMA, calibration_samples=7)
    for _, (of_task, part) in drawn(strategy)._batches():
        expected = torch.randperm(len(of_task), generator=generator)[: len(part)].sort().values
        assert torch.equal(part, expected)


def test_a_task_that_was_learnt_twice_counts_once() -> None:
    strategy, _ = strategy_of("prune", LLAMA, [TEXTS[0], TEXTS[1], TEXTS[0]], calibration_samples=7)
    assert [len(part) for _, (_, part) in drawn(strategy)._batches()] == [3, 4]


@pytest.mark.parametrize("learner", [T5, LLAMA])
def test_sums_leave_padding_out(learner: str) -> None:
    """Against a loop over samples and their lengths."""
    strategy, _ = strategy_of("prune", learner, calibration_samples=10, batch_size=4)
    model = strategy.learner
    layers = model.linear_layers()
    kept: dict[str, list[Tensor]] = {layer.name: [] for layer in layers}
    padded: dict[str, list[Tensor]] = {layer.name: [] for layer in layers}
    batch: dict[str, Tensor] = {}

    def width(layer: LinearLayer, row: int) -> int:
        """Length of a sample in the input of a layer."""
        read, written = int(batch["input.width"][row]), int(batch["answer.width"][row])
        if learner == LLAMA:
            return read + written
        return read if layer.tower == "encoder" or layer.role in ("cross_k", "cross_v") else written

    def hook(layer: LinearLayer) -> Any:
        def look(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            for row, x in enumerate(inputs[0]):
                kept[layer.name].append(x[: width(layer, row)].double())
                padded[layer.name].append(x.double())

        return look

    calibration = drawn(strategy)
    handles = [model.module.get_submodule(layer.name).register_forward_pre_hook(hook(layer)) for layer in layers]
    model.module.eval()
    with torch.no_grad():
        for task, (samples, part) in calibration._batches():
            batch = dict(samples.batch(part))
            model.loss(batch, task)
    for handle in handles:
        handle.remove()
    found = calibration.inputs(layers)
    assert set(found) == set(kept)
    different = 0
    for name, moments in found.items():
        rows = torch.cat(kept[name])
        assert int(moments.count) == len(rows)
        assert moments.squares.dtype == torch.float64
        torch.testing.assert_close(moments.norms, rows.norm(dim=0))
        torch.testing.assert_close(moments.mean, rows.mean(dim=0))
        different += not torch.allclose(torch.cat(padded[name]).norm(dim=0), moments.norms, rtol=1e-3)
    assert different == len(found)  # padding would count, if it were not left out


@pytest.mark.parametrize("learner", ["mini-clip", "mini-vit", "mini-llama"])
def test_every_compressed_layer_of_a_model_has_inputs(learner: str) -> None:
    strategy, _ = mini("prune", learner, calibration_samples=8)
    layers = strategy.learner.linear_layers()
    calibration = drawn(strategy)
    found = calibration.inputs(layers)
    assert list(found) == [layer.name for layer in layers]
    assert all(float(moments.squares.sum()) > 0 for moments in found.values())
    assert calibration.evaluations == 1


def test_sums_do_not_depend_on_the_size_of_batches() -> None:
    one, other = (
        drawn(strategy).inputs(strategy.learner.linear_layers())
        for strategy, _ in (strategy_of("prune", LLAMA, batch_size=size) for size in (5, 64))
    )
    for name, moments in one.items():
        torch.testing.assert_close(moments.squares, other[name].squares, rtol=1e-5, atol=0)
        assert torch.equal(moments.count, other[name].count)


def test_the_model_is_in_evaluation_mode_meanwhile_and_nothing_stays_attached() -> None:
    strategy, _ = strategy_of("prune", LLAMA)
    module = strategy.learner.module
    module.train()
    before = [dict(m._forward_pre_hooks) for m in module.modules()]  # that of the count of passes
    modes: list[tuple[bool, bool]] = []
    first = module.get_submodule(strategy.learner.linear_layers()[0].name)
    handle = first.register_forward_pre_hook(lambda m, x: modes.append((m.training, torch.is_grad_enabled())))
    drawn(strategy).inputs(strategy.learner.linear_layers())
    handle.remove()
    assert set(modes) == {(False, False)}
    assert module.training
    assert [dict(m._forward_pre_hooks) for m in module.modules()] == before


def test_a_layer_without_inputs_and_inputs_that_are_not_finite_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    strategy, _ = strategy_of("prune", LLAMA)
    learner = strategy.learner
    layers = learner.linear_layers()
    learner.module.unused = nn.Linear(2, 2)
    with pytest.raises(ConfigError, match="layer unused: the calibration samples do not use it: no inputs"):
        drawn(strategy).inputs([*layers, LinearLayer("unused", "other", "decoder", -1)])
    with torch.no_grad():
        learner.module.get_submodule(layers[-1].name).weight.fill_(torch.inf)
        learner.module.get_submodule(layers[0].name).weight.fill_(torch.nan)
    with pytest.raises(TrainingError, match=f"layer {layers[3].name}: its inputs on calibration samples are not"):
        drawn(strategy).inputs(layers[3:])


def test_the_error_of_outputs_is_the_mean_over_tasks(tiny: Any) -> None:
    """Scores of CLIP are proportional to exp(logit_scale), so a factor of 3 adds twice the scores."""
    strategy, _ = strategy_of("prune", tiny.learner, load_stream(tiny.stream).tasks, batch_size=4)
    calibration, learner = drawn(strategy), strategy.learner
    before = calibration.scores()
    assert calibration.output_error(before) == 0
    with torch.no_grad():
        learner.module.logit_scale.add_(torch.tensor(3.0).log())
        learner.module.eval()
        by_task = []
        for task in strategy.seen:
            samples = strategy.context.samples(task, "train")
            by_task.append((2 / 3 * learner.logits(samples.batch(slice(None)), [task])).square().mean())
    assert len(calibration) == sum(len(strategy.context.samples(task, "train")) for task in strategy.seen)
    assert calibration.output_error(before) == pytest.approx(float(torch.stack(by_task).mean()), rel=1e-5)


def test_tasks_without_scores_of_classes_are_left_out_of_the_error(tmp_path: Path) -> None:
    tasks = load_stream(write_stream(tmp_path, VIT, ("disc", "tone"))).tasks
    for names, wanted, passes in ((("disc",), None, 0), (("disc", "tone"), 0.0, 2)):
        strategy, _ = strategy_of("prune", VIT, [task for task in tasks if task.name in names])
        calibration = drawn(strategy)
        assert calibration.output_error(calibration.scores()) == wanted
        assert calibration.evaluations == passes
