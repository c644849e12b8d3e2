"""Samples that stand for all samples: greedy facility location."""

import torch
from torch import Tensor


def facility_location(points: Tensor, count: int) -> Tensor:
    """Positions of `count` of the points `(n, width)` that greedily maximize sum_i max_{j in S} (D - |p_i - p_j|)."""
    distance = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    similarity, covered = distance.max() - distance, torch.zeros(len(points), 1, dtype=points.dtype)
    picked = torch.zeros(min(count, len(points)), dtype=torch.int64)
    for k in range(len(picked)):
        gain = (similarity - covered).clamp(min=0).sum(dim=0)
        picked[k] = gain.index_fill(0, picked[:k], -1).argmax()
        covered = covered.maximum(similarity[:, picked[k], None])
    return picked
