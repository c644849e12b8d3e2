"""Pre-trains mini-vit on a CPU.

`PYTHONPATH=tools python -m clbench_tools.pretraining.mini_vit.pretrain_vit --frames CACHE/frames.npz`.

The frames are written by `python -m clbench_tools.ultrasound_simulator.pretraining`. Writes weights and preprocessing
into `--out` (the learner's folder), whose `config.json` it reads. Build-time code: nothing imports it when clbench
runs.
"""

import argparse
import json
import logging
import time
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from timm.models import VisionTransformer
from torch import Tensor, nn

from clbench.learners._shared.random_views import random_resized_crop
from clbench_tools.pretraining.mini_vit.autoencoder import MaskedAutoencoder

LOG = logging.getLogger("pretrain")
HELD_OUT = 200
"""Frames that are never trained on; their loss is logged."""


def main() -> None:
    """Train and write the model."""
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.manual_seed(options.seed)
    torch.set_num_threads(1)
    frames = torch.from_numpy(np.load(options.frames)["frames"]).unsqueeze(1).float() / 255
    mean, std = round(float(frames.mean()), 4), round(float(frames.std()), 4)
    encoder = VisionTransformer(**json.loads((options.out / "config.json").read_text(encoding="utf-8")))
    model = MaskedAutoencoder(encoder)
    train(model, (frames[HELD_OUT:], frames[:HELD_OUT]), (mean, std), options)
    shape = {"size": frames.shape[-1], "mean": [mean] * 3, "std": [std] * 3}
    (options.out / "preprocess.json").write_text(json.dumps(shape, indent=2) + "\n", encoding="utf-8")
    save_file(encoder.state_dict(), options.out / "model.safetensors")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=Path, required=True, help="npz with `frames` (n, size, size) uint8")
    parser.add_argument("--out", type=Path, default=Path(str(files("clbench.learners"))) / "mini_vit")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def train(
    model: MaskedAutoencoder,
    frames: tuple[Tensor, Tensor],
    mean_std: tuple[float, float],
    options: argparse.Namespace,
) -> None:
    """Train the autoencoder.

    Args:
        model: Trained in place.
        frames: Training and held-out frames, `(n, 1, size, size)` in [0, 1].
        mean_std: Mean and standard deviation of the frames.
        options: Options of the command line.
    """
    generator = torch.Generator().manual_seed(options.seed)
    optimizer = torch.optim.AdamW(_groups(model), lr=options.lr, betas=(0.9, 0.95), fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.lr, total_steps=options.steps, pct_start=0.1)
    training, held_out = frames
    start, total = time.monotonic(), 0.0
    for step in range(1, options.steps + 1):
        chosen = torch.randint(len(training), (options.batch,), generator=generator)
        view = random_resized_crop(training[chosen], generator, scale=(0.5, 1.0))
        view = torch.where(torch.rand(len(view), 1, 1, 1, generator=generator) < 0.5, view.flip(3), view)
        loss = model(_normalised(view, mean_std), torch.rand(len(view), model.count, generator=generator))
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        total += float(loss)
        if step % 100 == 0 or step == options.steps:
            held_out_loss = masked_loss(model, _normalised(held_out, mean_std))
            LOG.info(
                "%d steps, %.0f s: %.4f, held out %.4f", step, time.monotonic() - start, total / 100, held_out_loss
            )
            total = 0.0


@torch.no_grad()
def masked_loss(model: MaskedAutoencoder, images: Tensor) -> float:
    """Loss of images under masks that are the same in every call."""
    noise = torch.rand(len(images), model.count, generator=torch.Generator().manual_seed(0))
    return float(model(images, noise))


def _normalised(grey: Tensor, mean_std: tuple[float, float]) -> Tensor:
    """Normalise and repeat the channel three times."""
    return ((grey - mean_std[0]) / mean_std[1]).expand(-1, 3, -1, -1)


def _groups(model: nn.Module) -> list[dict[str, object]]:
    """Weight decay for matrices only."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]


if __name__ == "__main__":
    main()
