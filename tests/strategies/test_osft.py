"""OSFT on small models of all three families, against NumPy, arithmetic by hand and plain fine-tuning."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Value
from tests.tiny_images import write_stream
from torch import Tensor, nn

from clbench.benchmarks.engine.learners import build_learner
from clbench.contracts import (
    Batch,
    Budget,
    Context,
    EvalProtocol,
    Learner,
    LinearLayer,
    Predictor,
    Samples,
    Split,
    Task,
    TextLimits,
)
from clbench.contracts.updating import learn_task
from clbench.core.config import validate
from clbench.core.errors import ConfigError, TrainingError
from clbench.strategies._linalg.rank_rules import RankConfig, kept_rank, mean_cosines, planned_share, shares
from clbench.strategies._linalg.retained_layers import in_groups
from clbench.strategies._training.gradient import GradientConfig
from clbench.strategies.finetune import Finetune
from clbench.strategies.osft import Osft, OsftConfig
from clbench.streams.card import load_stream

NewContext = Callable[..., Context]
CPU = torch.device("cpu")
HERE = Path(__file__).parents[1]
LEARNERS = {"t5": str(HERE / "tiny_t5.py"), "llama": str(HERE / "tiny_llama.py"), "vit": str(HERE / "tiny_vit.py")}
Array: TypeAlias = np.ndarray[Any, Any]
MORE_ROLES = {"t5": ("cross_q", "cross_k", "cross_v", "cross_out"), "llama": ("gate",), "clip": (), "vit": ()}
LABELS = ("wet", "dry", "icy")


def texts(split: Split) -> Dataset:
    rows = [
        {"sample_id": f"{split}/{i}", "text": f"{'so ' * (i % 4)}{LABELS[i % 3]} it is", "answer": LABELS[i % 3]}
        | {"label": i % 3}
        for i in range(24)
    ]
    features = {name: Value("string") for name in ("sample_id", "text", "answer")}
    return Dataset.from_list(rows, features=Features({**features, "label": ClassLabel(names=list(LABELS))}))


def text_task(name: str = "weather") -> Task:
    limits = TextLimits(input_tokens=32, answer_tokens=8)
    return Task(name, "classification", "exact_match", texts, lambda split: name, LABELS, limits=limits)


def context_of(family: str, steps: int, numbers: dict[str, float] | None = None, batch_size: int = 8) -> Context:
    learner = build_learner(LEARNERS[family], 0, CPU)
    return Context(
        learner=learner,
        budget=Budget(steps=steps, batch_size=batch_size),
        seed=0,
        samples=lambda task, split: learner.encode(task.load(split), task),
        new_learner=lambda: build_learner(LEARNERS[family], 0, CPU),
        progress=lambda step, total: None,
        record=({} if numbers is None else numbers).__setitem__,
    )


def weights_of(learner: Learner, layers: Sequence[LinearLayer]) -> dict[str, Array]:
    state = learner.state_dict()
    return {layer.name: state[f"{layer.name}.weight"].double().numpy().copy() for layer in layers}


def retained(w: Array, rank: int) -> tuple[Array, Array]:
    """U_h and V_h."""
    u, _, vt = np.linalg.svd(w, full_matrices=False)
    return u[:, :rank], vt[:rank].T


@pytest.fixture(params=["t5", "llama", "clip", "vit"])
def trained(
    request: pytest.FixtureRequest, tiny: Any, new_context: NewContext, tmp_path: Path
) -> Callable[..., tuple[Any, ...]]:
    """Trains on one task with half of every rank retained; returns the context, and the weights before and after."""

    def train(**settings: object) -> tuple[Any, ...]:
        given_context = new_context(200) if request.param == "clip" else context_of(request.param, 200)
        task = text_task()
        if request.param == "clip":
            task = load_stream(tiny.stream).tasks[0]
        elif request.param == "vit":
            task = load_stream(write_stream(tmp_path, LEARNERS["vit"], ("tone",))).tasks[0]
        roles = ("q", "k", "v", "out", "up", "down", *MORE_ROLES[request.param])
        values = {"rank_rule": "fixed", "protect_pretrained": True, "lr": 2e-3, "roles": roles, **settings}
        strategy = Osft(OsftConfig.model_validate(values), given_context)
        layers = [layer for layer in given_context.learner.linear_layers() if layer.role in roles]
        assert {layer.role for layer in layers} == set(roles)
        before = weights_of(given_context.learner, layers)
        learn_task(strategy, task)
        return layers, before, weights_of(given_context.learner, layers)

    return train


def test_after_200_steps_of_adamw_no_layer_has_moved_in_retained_directions(trained: Any) -> None:
    layers, before, after = trained()
    for layer in layers:
        change = after[layer.name] - before[layer.name]
        u, v = retained(before[layer.name], min(change.shape) // 2)
        size = np.linalg.norm(change)
        assert size > 0.02 * np.linalg.norm(before[layer.name]), layer
        assert np.linalg.norm(u.T @ change) < 1e-5 * size, layer
        assert np.linalg.norm(change @ v) < 1e-5 * size, layer


def test_the_block_form_leaves_the_rest_of_retained_rows_and_columns(trained: Any) -> None:
    layers, before, after = trained(projection="block")
    for layer in layers:
        change = after[layer.name] - before[layer.name]
        u, v = retained(before[layer.name], min(change.shape) // 2)
        size = np.linalg.norm(change)
        assert np.linalg.norm(u.T @ change @ v) < 1e-5 * size, layer
        assert np.linalg.norm(u.T @ change) > 0.1 * size, layer
        assert np.linalg.norm(change @ v) > 0.1 * size, layer


@pytest.mark.parametrize("every", [1, 4])
def test_weights_are_exact_every_so_many_steps_and_after_the_last(every: int) -> None:
    leaks = []

    class Watched(Osft):  # type: ignore[misc]
        """Looks after each step."""

        def after_step(self, task: Task, step: int) -> None:
            """Look."""
            super().after_step(task, step)
            leaks.append(max(float(group.leak().max()) for group in self._groups))

    settings = {"rank_rule": "fixed", "protect_pretrained": True, "weights_every": every, "lr": 2e-3}
    learn_task(Watched(OsftConfig.model_validate(settings), context_of("llama", 10)), text_task())
    for step, leak in enumerate(leaks, 1):
        assert (leak < 1e-6) == (step % every == 0 or step == 10), (step, leak)


def test_with_everything_retained_no_target_moves_and_the_others_do() -> None:
    numbers: dict[str, float] = {}
    given_context = context_of("llama", 5, numbers)
    before = {name: tensor.clone() for name, tensor in given_context.learner.state_dict().items()}
    settings = {"rank_rule": "fixed", "fraction": 1.0, "protect_pretrained": True}
    learn_task(Osft(OsftConfig.model_validate(settings), given_context), text_task())
    for name, tensor in given_context.learner.state_dict().items():
        assert torch.equal(tensor, before[name]) == ("_proj" in name), name
    assert numbers["osft/frozen_layers"] == 14
    assert "osft/leak" not in numbers


def test_with_nothing_left_to_train_one_line_says_so() -> None:
    settings = {"rank_rule": "fixed", "fraction": 1.0, "protect_pretrained": True, "others": "freeze"}
    with pytest.raises(ConfigError, match="strategy osft: nothing is left to train in task 1: every layer retains"):
        learn_task(Osft(OsftConfig.model_validate(settings), context_of("llama", 5)), text_task())


@pytest.mark.parametrize("settings", [{}, {"rank_rule": "fixed", "fraction": 0.0, "protect_pretrained": True}])
def test_with_nothing_retained_it_is_finetune_to_the_bit(
    settings: Mapping[str, object], tiny: Any, new_context: NewContext
) -> None:
    """The first task under the published rule, and a share of 0."""
    task = load_stream(tiny.stream).tasks[0]
    ours, theirs = new_context(12), new_context(12)
    learn_task(Osft(OsftConfig.model_validate({"weight_decay": 0.1, **settings}), ours), task)
    learn_task(Finetune(GradientConfig(weight_decay=0.1), theirs), task)
    assert ours.learner.digest() == theirs.learner.digest()


def test_others_frozen_means_that_targets_alone_move() -> None:
    given_context = context_of("t5", 5)
    before = {name: tensor.clone() for name, tensor in given_context.learner.state_dict().items()}
    settings = {"rank_rule": "fixed", "others": "freeze", "roles": ["q", "cross_v"]}
    strategy = Osft(OsftConfig.model_validate(settings), given_context)
    learn_task(strategy, text_task("one"))
    learn_task(strategy, text_task("two"))
    moved = {
        name for name, tensor in given_context.learner.state_dict().items() if not torch.equal(tensor, before[name])
    }
    targets = [layer for layer in given_context.learner.linear_layers() if layer.role in ("q", "cross_v")]
    assert moved == {f"{layer.name}.weight" for layer in targets}
    assert {layer.role for layer in targets} == {"q", "cross_v"}


@pytest.mark.parametrize("form", ["factor", "block"])
def test_one_step_is_numpys(form: str) -> None:
    """Projected gradients, clipped together, one step of AdamW, projected weights; all in float64."""
    ours, theirs = (context_of("llama", 1, batch_size=24) for _ in range(2))
    for given_context in (ours, theirs):
        given_context.learner.module.double()
    settings = {"projection": form, "rank_rule": "fixed", "fraction": 0.3, "protect_pretrained": True, "lr": 1e-2}
    settings |= {"weight_decay": 0.1, "warmup": 0.0, "clip_norm": 0.5}
    learn_task(Osft(OsftConfig.model_validate(settings), ours), text_task())

    task, learner = text_task(), theirs.learner
    learner.loss(theirs.samples(task, "train").batch(slice(None)), task).backward()
    parameters = dict(learner.module.named_parameters())
    start = {name: p.detach().numpy().copy() for name, p in parameters.items()}

    def project(name: str, x: Array) -> Array:
        if "_proj" not in name:
            return x
        u, v = retained(start[name], int(0.3 * min(x.shape)))
        if form == "block":
            return np.asarray(x - u @ (u.T @ x @ v) @ v.T)
        x = x - u @ (u.T @ x)
        return np.asarray(x - (x @ v) @ v.T)

    assert all(p.grad is not None for p in parameters.values())
    gradients = {name: project(name, p.grad.numpy()) for name, p in parameters.items() if p.grad is not None}
    norm = np.sqrt(sum((g**2).sum() for g in gradients.values()))
    for name, g in gradients.items():
        g = g * min(1.0, 0.5 / (norm + 1e-6))
        mean, square = 0.1 * g / (1 - 0.9), 0.001 * g**2 / (1 - 0.999)
        stepped = start[name] * (1 - 1e-2 * 0.1) - 1e-2 * mean / (np.sqrt(square) + 1e-8)
        wanted = start[name] + project(name, stepped - start[name])
        # Entries whose gradient is round-off step by anything up to lr: their part is compared loosely.
        found = ours.learner.state_dict()[name].numpy()
        sure = np.abs(g) > 1e-9
        assert sure.mean() > 0.3 or "embed" in name
        np.testing.assert_allclose(found[sure], wanted[sure], atol=1e-6, err_msg=name)


class Pair(Learner):
    """Two linear layers of two inputs each, one behind the other, whose arithmetic can be done by hand."""

    def __init__(self) -> None:
        first, second = nn.Linear(2, 2), nn.Linear(2, 3, bias=False)
        super().__init__("pair", nn.Sequential(first, second))
        self.second = second
        self.mask: Tensor | None = None
        with torch.no_grad():
            first.weight.copy_(torch.tensor([[3.0, 0], [0, 4]]))
            first.bias.fill_(100.0)
            second.weight.copy_(torch.tensor([[1.0, 0], [0, 0], [9, 9]]))

    def encode(self, rows: Dataset, task: Task) -> Samples:
        """Not encoded: made up."""
        return Samples(pa.array(["a", "b"]), {"x": torch.tensor([[1.0, 1.0], [1.0, -1.0]])})

    def loss(self, batch: Batch, task: Task) -> Tensor:
        """The sum of what comes out."""
        total: Tensor = self.module(batch["x"]).sum()
        return total

    def predictor(self, tasks: Sequence[Task], protocols: Sequence[EvalProtocol]) -> Predictor:
        """None is needed."""
        raise AssertionError("not asked for")

    def linear_layers(self) -> tuple[LinearLayer, ...]:
        """Both."""
        return (LinearLayer("0", "q", "only", 0), LinearLayer("1", "k", "only", 0))

    def real_tokens(self, batch: Batch, layer: LinearLayer) -> Tensor | None:
        """As set."""
        return self.mask


def test_importances_and_ranks_of_two_layers_by_hand() -> None:
    """Biases do not count, negative cosines are 0, and a matrix of 3 x 2 is compared in its first two rows.

    Layer 0, W = diag(3, 4): x = (1, 1) gives (3, 4), cosine 7 / (5 sqrt 2); (1, -1) gives (3, -4), the same.
    Layer 1 has inputs (103, 104) and (103, 96) and keeps the first entry: cosines 103 / |x|.
    """
    learner = Pair()
    samples = learner.encode(Dataset.from_dict({}), text_task())
    layers = learner.linear_layers()
    found = mean_cosines(learner, layers, samples, text_task(), [torch.tensor([0]), torch.tensor([1])])
    first = 7 / (5 * 2**0.5)
    second = (103 / (103**2 + 104**2) ** 0.5 + 103 / (103**2 + 96**2) ** 0.5) / 2
    assert found == pytest.approx({"0": first, "1": second}, rel=1e-5)
    with torch.no_grad():
        learner.second.weight.mul_(-1)
    assert mean_cosines(learner, layers, samples, text_task(), [torch.arange(2)])["1"] == 0.0

    got = shares({"a": 0.6, "b": 0.2, "c": 0.1}, 0.1, 0.8)  # importances 2, 2/3 and 1/3
    assert got == pytest.approx({"a": 1.5, "b": 0.1 + 0.7 * 2 / 3, "c": 0.1 + 0.7 / 3})
    assert [kept_rank(share, 2) for share in got.values()] == [2, 1, 0]
    assert shares({"a": 0.0, "b": 0.0}, 0.1, 0.8) == pytest.approx({"a": 0.8, "b": 0.8})


def test_positions_that_are_no_tokens_do_not_count() -> None:
    learner = Pair()
    batch = {"x": torch.tensor([[[1.0, 1.0], [1.0, 0.0]], [[0.0, 1.0], [2.0, 1.0]]])}
    samples = Samples(pa.array(["a", "b"]), batch)
    learner.mask = torch.tensor([[True, False], [False, False]])
    found = mean_cosines(learner, learner.linear_layers(), samples, text_task(), [torch.arange(2)])
    assert found["0"] == pytest.approx(7 / (5 * 2**0.5))
    learner.mask = torch.ones(2, 3, dtype=torch.bool)  # of another shape: not this layer's
    found = mean_cosines(learner, learner.linear_layers(), samples, text_task(), [torch.arange(2)])
    assert found["0"] == pytest.approx((7 / (5 * 2**0.5) + 1 + 1 + 16 / (5**0.5 * 52**0.5)) / 4)


@pytest.mark.parametrize("family", ["t5", "llama"])
def test_padding_changes_no_importance(family: str) -> None:
    given_context, task = context_of(family, 1), text_task()
    samples = given_context.samples(task, "train")
    layers = given_context.learner.linear_layers()
    together, alone = (
        mean_cosines(given_context.learner, layers, samples, task, torch.arange(24).split(size)) for size in (24, 1)
    )
    assert together == pytest.approx(alone, rel=1e-4, abs=1e-6)
    assert 0 < sum(alone.values()) < len(alone)


def test_shares_by_task_and_ranks_by_hand() -> None:
    def planned(**settings: object) -> list[float]:
        config = RankConfig.model_validate(settings)
        return [round(planned_share(config, position), 9) for position in range(1, 6)]

    assert planned() == [0, 0.8, 0.8, 0.8, 0.8]
    assert planned(rank_rule="fixed", fraction=0.3) == [0, 0.3, 0.3, 0.3, 0.3]
    assert planned(rank_rule="fixed", fraction=0.3, protect_pretrained=True) == [0.3] * 5
    assert planned(rank_rule="schedule", slope=0.3) == [0, 0.3, 0.6, 0.9, 1.0]
    assert planned(rank_rule="schedule", slope=0.3, protect_pretrained=True) == [0.3, 0.6, 0.9, 1.0, 1.0]
    assert [kept_rank(share, 10) for share in (-1, 0, 0.09, 0.1, 0.7 * 1.0, 0.1 + 0.7, 3 * 0.1, 1.5)] == [
        0, 0, 0, 1, 7, 8, 3, 10,
    ]  # fmt: skip


def test_two_tasks_under_the_published_rule(tiny: Any, new_context: NewContext) -> None:
    """The second task keeps what the calibration on the first one asks for; nothing but the weights is carried."""
    numbers: dict[str, float] = {}
    one, two, _ = load_stream(tiny.stream).tasks
    given_context = new_context(20, numbers)
    strategy = Osft(OsftConfig(lr=2e-3), given_context)
    learn_task(strategy, one)
    assert numbers["osft/mean_rank"] == 0
    learner = given_context.learner
    layers = [layer for layer in learner.linear_layers() if layer.role != "other"]
    before = weights_of(learner, layers)
    cosines = mean_cosines(learner, layers, given_context.samples(one, "train"), one, [torch.arange(24)])
    ranks = {name: kept_rank(share, 32) for name, share in shares(cosines, 0.1, 0.8).items()}
    learn_task(strategy, two)
    assert numbers["osft/mean_rank"] == pytest.approx(sum(ranks.values()) / len(layers))
    assert numbers["osft/frozen_layers"] == sum(rank == 32 for rank in ranks.values())
    assert 0 < numbers["osft/gradient_kept"] < 0.9
    assert numbers["osft/leak"] < 1e-6
    assert {"osft/rank/vision.q", "osft/rank/text.down"} <= numbers.keys()
    assert len(set(ranks.values())) > 3
    after = weights_of(learner, layers)
    for name, rank in ranks.items():
        change = after[name] - before[name]
        u, v = retained(before[name], rank)
        size = max(float(np.linalg.norm(change)), 1e-2)
        assert np.linalg.norm(u.T @ change) <= 1e-5 * size, name
        assert np.linalg.norm(change @ v) <= 1e-5 * size, name
    assert not strategy.state_dict()
    assert not any(module._forward_hooks or "forward" in vars(module) for module in learner.module.modules())


def test_the_footprint_by_hand(new_context: NewContext) -> None:
    """Four matrices of 32 x 32, of which 25 directions stay, 7 are free: U_h, the rest of V and U_h^T W are kept."""
    found = Osft(OsftConfig(roles=("q",), others="freeze"), new_context()).footprint()
    assert found == {
        "trainable_parameters": 4 * 32 * 32,
        "adapters": 0,
        "targets": 4,
        "mean_rank": 25,
        "free_dimensions": 4 * 7 * 7,
        "bytes_of_bases": 4 * 4 * (32 * 25 + 32 * 7 + 25 * 32),
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"protect_pretrained": True}, "strategy osft: protect_pretrained needs rank_rule fixed or schedule"),
        ({"mrr": 0.9}, r"strategy osft: trr must be at least mrr \(0.9\), got 0.8"),
        ({"fraction": 1.5}, "strategy osft: fraction must be less than or equal to 1, got 1.5"),
        ({"roles": ["head"]}, "strategy osft: roles.0 must be 'q', 'k'"),
        ({"weights_every": 0}, "strategy osft: weights_every must be greater than or equal to 1, got 0"),
    ],
)
def test_settings_that_do_not_fit_are_told_in_one_line(settings: Mapping[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(OsftConfig, settings, "strategy osft")


def test_weights_that_are_not_finite_are_told_by_the_layers_name() -> None:
    given_context = context_of("llama", 2)
    layer = given_context.learner.linear_layers()[3]
    with torch.no_grad():
        given_context.learner.state_dict()[f"{layer.name}.weight"][0, 0] = torch.inf
    settings = {"rank_rule": "fixed", "protect_pretrained": True}
    with pytest.raises(TrainingError, match=f"layer {layer.name}: its weights are not finite before the task"):
        learn_task(Osft(OsftConfig.model_validate(settings), given_context), text_task())


def test_weights_that_are_not_finite_are_told_where_the_previous_task_decides_the_ranks() -> None:
    given_context = context_of("llama", 2)
    strategy = Osft(OsftConfig(), given_context)
    learn_task(strategy, text_task())
    layer = given_context.learner.linear_layers()[3]
    with torch.no_grad():
        given_context.learner.state_dict()[f"{layer.name}.weight"][0, 0] = torch.inf
    with pytest.raises(TrainingError, match=r"layer \S+: its outputs for task 'weather' are not finite"):
        learn_task(strategy, text_task("again"))


class OneWay(nn.Module):
    """A layer that is used and others that are not."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.idle, self.apart = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 9)

    def forward(self, x: Tensor) -> Tensor:
        """Through one layer only."""
        found: Tensor = self.used(x)
        return found


def test_a_layer_that_no_loss_uses_stays_where_it_is() -> None:
    torch.manual_seed(0)
    module = OneWay()
    weights = {name: dict(module.named_parameters())[f"{name}.weight"] for name in ("used", "idle", "apart")}
    before = {name: w.detach().clone() for name, w in weights.items()}
    groups = list(in_groups(weights, dict.fromkeys(weights, 4), "factor"))
    for gathered in (False, True):
        for group in groups:
            if gathered:
                group.use_coordinates(module)
        module(torch.randn(5, 6)).square().sum().backward()
        for group in groups:
            group.project_gradients()
        assert weights["used"].grad is not None
        assert all(weights[name].grad is None for name in ("idle", "apart"))
        energies = [float(group.gradient_energy()) for group in groups]
        assert sorted(energy > 0 for energy in energies) == [False, True]
        module.zero_grad(set_to_none=True)
    assert all(torch.equal(weights[name].detach(), w) for name, w in before.items())
