"""Views of images: what belongs to an image goes along."""

import torch
from torch import Tensor

from clbench.learners._vit.augmentation import augmented

N, SIDE = 24, 96


def scene() -> dict[str, Tensor]:
    """A bright rectangle on black in each image: its mask, its box, its corners."""
    generator = torch.Generator().manual_seed(0)
    low = 20 + torch.randint(20, (N, 2), generator=generator)
    high = low + 12 + torch.randint(15, (N, 2), generator=generator)
    pixel = torch.arange(SIDE)
    across = (pixel >= low[:, :1]) & (pixel < high[:, :1])
    down = (pixel >= low[:, 1:]) & (pixel < high[:, 1:])
    mask = (down.unsqueeze(2) & across.unsqueeze(1)).byte()
    return {
        "image": 0.8 * mask.unsqueeze(1).expand(-1, 3, -1, -1).float(),
        "mask": mask,
        "boxes": torch.cat([low, high], dim=1).unsqueeze(1) / SIDE,
        "points": torch.stack([low, high], dim=1) / SIDE,
        "mirror": torch.ones(N, dtype=torch.bool),
    }


def box_of(mask: Tensor) -> list[float]:
    rows, columns = mask.any(dim=1).nonzero().flatten(), mask.any(dim=0).nonzero().flatten()
    return [int(columns[0]) / SIDE, int(rows[0]) / SIDE, int(columns[-1] + 1) / SIDE, int(rows[-1] + 1) / SIDE]


def test_masks_boxes_and_points_move_with_the_image() -> None:
    view = augmented(scene(), torch.Generator().manual_seed(1))
    moved = 0
    for index in range(N):
        box = view["boxes"][index, 0]
        seen = torch.tensor(box_of(view["mask"][index]))
        assert torch.allclose(seen, box, atol=1.1 / SIDE)
        bright = torch.tensor(box_of(view["image"][index, 0] > 0.3))
        assert torch.allclose(bright, box, atol=1.6 / SIDE)
        corners = view["points"][index]
        assert torch.allclose(corners.amin(dim=0), box[:2], atol=1e-5)
        assert torch.allclose(corners.amax(dim=0), box[2:], atol=1e-5)
        moved += int(not torch.allclose(box, scene()["boxes"][index, 0], atol=1 / SIDE))
    assert moved > N / 2


def test_sides_are_exchanged_only_where_that_is_harmless() -> None:
    def order(view: dict[str, Tensor]) -> Tensor:
        return view["points"][:, 0, 0] < view["points"][:, 1, 0]

    batch = scene()
    mirrored = order(dict(augmented(batch, torch.Generator().manual_seed(2))))
    assert 0 < int(mirrored.sum()) < N
    kept = augmented({**batch, "mirror": torch.zeros(N, dtype=torch.bool)}, torch.Generator().manual_seed(2))
    assert bool(order(dict(kept)).all())
    assert bool((kept["points"][:, 0, 1] < kept["points"][:, 1, 1]).all())  # depth is never turned over


def test_what_may_be_a_length_is_not_zoomed() -> None:
    batch = {**scene(), "value": torch.ones(N)}
    view = augmented(batch, torch.Generator().manual_seed(3))
    size = view["boxes"][..., 2:] - view["boxes"][..., :2]
    wanted = batch["boxes"][..., 2:] - batch["boxes"][..., :2]
    assert torch.allclose(size, wanted, atol=1e-5)


def test_boxes_are_cut_at_the_edge_and_padding_stays_nothing() -> None:
    batch = scene()
    batch["boxes"] = torch.tensor([[[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]]]).repeat(N, 1, 1)
    boxes = augmented(batch, torch.Generator().manual_seed(4))["boxes"]
    assert float(boxes.min()) >= 0
    assert float(boxes.max()) <= 1
    assert not bool(boxes[:, 1].any())


def test_black_stays_black_and_the_generator_decides_all() -> None:
    batch = scene()
    batch["image"] = torch.zeros_like(batch["image"])
    assert not bool(augmented(batch, torch.Generator().manual_seed(5))["image"].any())
    one, two, other = (augmented(scene(), torch.Generator().manual_seed(seed)) for seed in (6, 6, 7))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["image"], other["image"])
