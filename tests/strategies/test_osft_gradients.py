"""Gradients in coordinates against autograd's own, and training with them against training with whole gradients."""

import pytest
import torch
from tests.strategies.test_osft import context_of, text_task
from torch import Tensor, nn

from clbench.contracts.updating import learn_task
from clbench.strategies import osft
from clbench.strategies._linalg.projected_gradients import Coordinates
from clbench.strategies._linalg.retained_layers import in_groups
from clbench.strategies.osft import Osft, OsftConfig

SHAPES = {"square": (6, 6), "tall": (4, 9), "wide": (9, 4)}
"""Inputs and outputs."""


def model(seed: int, bias: bool) -> nn.ModuleDict:
    torch.manual_seed(seed)
    return nn.ModuleDict({name: nn.Linear(*shape, bias=bias) for name, shape in SHAPES.items()}).double()


def loss(layers: nn.ModuleDict, xs: dict[str, Tensor]) -> Tensor:
    """Uses every layer twice, on sequences and on single vectors."""
    outputs = [f(layers[name](x)).sum() for name, x in xs.items() for f in (torch.sin, torch.tanh)]
    singles = [layers[name](x[0, 0]).square().sum() for name, x in xs.items()]
    return torch.stack([*outputs, *singles]).sum()


def inputs(seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(3, 5, shape[0], dtype=torch.float64, generator=generator).requires_grad_()
        for name, shape in SHAPES.items()
    }


@pytest.mark.parametrize("bias", [True, False])
def test_coordinates_and_all_other_gradients_are_autograds(bias: bool) -> None:
    theirs, ours = model(0, bias), model(0, bias)
    bases = {name: torch.randn(min(shape), 2, dtype=torch.float64) for name, shape in SHAPES.items()}
    found = {name: Coordinates(ours[name], bases[name]) for name in SHAPES}  # type: ignore[arg-type]
    for coordinates in found.values():
        coordinates.on()
    for seed in (1, 2):  # two passes add up
        xs, ys = inputs(seed), inputs(seed)
        loss(theirs, xs).backward()
        loss(ours, ys).backward()
        for name in SHAPES:
            torch.testing.assert_close(ys[name].grad, xs[name].grad)
    for name, coordinates in found.items():
        gradient = theirs[name].weight.grad
        assert isinstance(gradient, Tensor)
        assert ours[name].weight.grad is None
        tall = gradient if gradient.shape[0] >= gradient.shape[1] else gradient.T
        torch.testing.assert_close(coordinates.take(), tall @ bases[name])
        assert coordinates.take() is None
        if bias:
            torch.testing.assert_close(ours[name].bias.grad, theirs[name].bias.grad)
        coordinates.off()
        assert "forward" not in vars(ours[name])


def test_what_reaches_the_weight_another_way_is_not_lost() -> None:
    layer = nn.Linear(3, 5).double()
    basis, x = torch.randn(3, 2, dtype=torch.float64), torch.randn(7, 3, dtype=torch.float64)
    coordinates = Coordinates(layer, basis)
    coordinates.on()
    (layer(x).sum() + layer.weight.square().sum()).backward()
    wanted = torch.ones(7, 5, dtype=torch.float64).T @ x + 2 * layer.weight
    torch.testing.assert_close(coordinates.take(), (wanted @ basis).detach())
    assert layer.weight.grad is None


def test_under_autocast_the_layer_computes_what_it_did() -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(16, 16), torch.randn(32, 16)
    basis = torch.linalg.qr(torch.randn(16, 8)).Q
    with torch.autocast("cpu", dtype=torch.bfloat16):
        wanted = layer(x)
    wanted.square().sum().backward()
    assert layer.weight.grad is not None
    whole, layer.weight.grad = layer.weight.grad @ basis, None
    coordinates = Coordinates(layer, basis)
    coordinates.on()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = layer(x)
    assert got.dtype == torch.bfloat16
    assert torch.equal(got, wanted)
    got.square().sum().backward()
    found = coordinates.take()
    assert found is not None
    assert found.dtype == torch.float32
    assert float((found - whole).norm() / whole.norm()) < 0.01  # bfloat16 has eight bits


@pytest.mark.parametrize("rank", [2, 3])
def test_layers_gathered_together_get_the_gradients_that_projection_gives(rank: int) -> None:
    layers, same = (nn.ModuleDict({name: nn.Linear(4, 4) for name in "abc"}).double() for _ in range(2))
    same.load_state_dict(layers.state_dict())
    gathered, whole = (
        list(in_groups({n: m[n].weight for n in "abc"}, dict.fromkeys("abc", rank), "factor"))  # type: ignore[misc]
        for m in (layers, same)
    )
    gathered[0].use_coordinates(layers)
    x = torch.randn(9, 4, dtype=torch.float64)
    for module, groups in ((layers, gathered), (same, whole)):
        (module["a"](x).square().sum() + module["c"](x).sin().sum()).backward()
        with torch.no_grad():
            groups[0].project_gradients()
    for name in "ac":
        torch.testing.assert_close(layers[name].weight.grad, same[name].weight.grad)
        assert float(layers[name].weight.grad.norm()) > 0.01  # type: ignore[operator,union-attr]
    assert layers["b"].weight.grad is None
    gathered[0].use_full_gradients()
    assert not any("forward" in vars(layer) for layer in layers.values())


@pytest.mark.parametrize("family", ["t5", "llama"])
@pytest.mark.parametrize("fraction", [0.5, 0.8])
def test_training_is_the_same_as_with_whole_gradients(
    family: str, fraction: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"rank_rule": "fixed", "protect_pretrained": True, "fraction": fraction, "lr": 1e-3}
    found = []
    for every in (1, 8):
        monkeypatch.setattr(osft, "MEASURED_EVERY", every)
        given_context = context_of(family, 6)
        given_context.learner.module.double()
        start = {name: tensor.clone() for name, tensor in given_context.learner.state_dict().items()}
        learn_task(Osft(OsftConfig.model_validate(settings), given_context), text_task())
        found.append({n: t - start[n] for n, t in given_context.learner.state_dict().items()})
    for name, change in found[0].items():
        # Entries whose gradient is round-off may step by anything.
        away = (found[1][name] - change).abs() > 1e-7
        assert float(away.double().mean()) < 0.01, name
        assert float(change.abs().max()) > 1e-4 or fraction > 0.5, name
