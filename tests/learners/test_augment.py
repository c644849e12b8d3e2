"""Random crops: bounds, independence of samples, agreement with a crop done by PIL."""

import numpy as np
import pytest
import torch
from PIL import Image

from clbench.learners._shared.random_views import random_resized_crop


def test_the_full_box_is_the_identity() -> None:
    x = torch.rand(2, 3, 8, 8)
    y = random_resized_crop(x, torch.Generator().manual_seed(0), scale=(1.0, 1.0), ratio=(1.0, 1.0))
    torch.testing.assert_close(y, x, atol=1e-5, rtol=0)


def test_same_seed_same_view_and_every_sample_its_own() -> None:
    x = torch.rand(1, 3, 16, 16).repeat(3, 1, 1, 1)
    one, two = (random_resized_crop(x, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(one, two)
    assert not torch.equal(one[0], one[1])
    assert one.amin() >= x.amin()
    assert one.amax() <= x.amax()


@pytest.mark.parametrize("seed", range(3))
def test_a_crop_is_the_one_that_pil_makes(seed: int) -> None:
    """PIL's resize with a fractional box is an independent implementation of crop-and-resize."""
    size = 64
    ramp = np.add.outer(np.sin(np.arange(size) / 9), np.cos(np.arange(size) / 7)).astype(np.float32)
    x = torch.from_numpy(ramp)[None, None]
    got = random_resized_crop(x, torch.Generator().manual_seed(seed))[0, 0].numpy()
    box = _box(seed, size)
    wanted = np.asarray(Image.fromarray(ramp).resize((size, size), Image.Resampling.BICUBIC, box=box))
    inside = np.s_[2:-2, 2:-2]
    # torch and PIL use different cubic kernels (a = -0.75, -0.5); a box off by one pixel would differ by 0.1
    np.testing.assert_allclose(got[inside], wanted[inside], atol=1e-2)


def _box(seed: int, size: int) -> tuple[float, float, float, float]:
    """The box by the definition: area in [0.9, 1], log-uniform aspect in [3/4, 4/3], anywhere inside."""
    area, aspect, across, down = torch.rand(4, 1, generator=torch.Generator().manual_seed(seed))[:, 0].tolist()
    area = 0.9 + 0.1 * area
    aspect = (3 / 4) ** (1 - aspect) * (4 / 3) ** aspect
    width, height = min(1.0, (area * aspect) ** 0.5), min(1.0, (area / aspect) ** 0.5)
    left, top = across * (1 - width), down * (1 - height)
    return (left * size, top * size, (left + width) * size, (top + height) * size)


def test_autocast_does_not_round_the_boxes() -> None:
    images = torch.rand(4, 3, 64, 64)
    expected = random_resized_crop(images, torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = random_resized_crop(images, torch.Generator().manual_seed(0))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)
