"""How mini-vit is pre-trained: nothing leaks from the hidden patches into what the encoder sees."""

import json
from importlib.resources import files

import torch
from timm.models import VisionTransformer

from clbench_tools.pretraining.mini_vit.autoencoder import HIDDEN, MaskedAutoencoder


def test_hidden_patches_are_judged_and_not_seen() -> None:
    """A constant on a hidden patch is normed away in the target; on a seen one it changes what is told of others."""
    shape = json.loads(files("clbench.learners.mini_vit").joinpath("config.json").read_text(encoding="utf-8"))
    torch.manual_seed(0)
    model = MaskedAutoencoder(VisionTransformer(**shape)).eval()
    noise = torch.rand(1, model.count)
    order = noise.argsort(dim=1)[0]
    image = torch.randn(1, 1, 96, 96)
    with torch.no_grad():
        wanted = float(model(image.expand(-1, 3, -1, -1), noise))
        for place, same in ((int(order[-1]), True), (int(order[0]), False)):
            row, column = divmod(place, 12)
            other = image.clone()
            other[..., 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] += 3
            found = float(model(other.expand(-1, 3, -1, -1), noise))
            assert (abs(found - wanted) < 1e-5) == same
    assert round(model.count * (1 - HIDDEN)) == 36
    assert sum(p.numel() for p in model.encoder.parameters()) == 1_431_552
