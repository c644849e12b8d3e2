"""A vision transformer small enough for tests: random weights, 32 x 32 images; with RoPE and registers if asked."""

from functools import partial
from typing import Any

import torch
from timm.models import Eva, VisionTransformer
from torch import nn

from clbench.core.seeding import derive
from clbench.learners._shared.image_format import ImageFormat
from clbench.learners._vit.vit_learner import VitLearner


def backbone(kind: str, seed: int = 0) -> nn.Module:
    """`plain`, or `dinov3` (rotary positions, registers, layer scale), four blocks of width 24."""
    shape = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 4, "num_heads": 3, "num_classes": 0}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "learner", kind))
        return _attentive(_built(kind, shape))


def _attentive(model: nn.Module) -> nn.Module:
    """With scores far enough apart that it matters which tokens are looked at."""
    for name, p in model.named_parameters():
        if name.endswith("qkv.weight"):
            p.data *= 10
    return model


def _built(kind: str, shape: dict[str, Any]) -> nn.Module:
    if kind == "plain":
        return VisionTransformer(**shape, global_pool="", qkv_bias=True)
    model = Eva(
        **shape,
        global_pool="",
        qkv_bias=kind == "qkvb",
        init_values=0.5,
        rope_type="dinov3",
        rope_temperature=100,
        rope_rotate_half=True,
        use_rot_pos_emb=True,
        use_abs_pos_emb=False,
        num_reg_tokens=4,
        use_fc_norm=False,
        norm_layer=partial(nn.LayerNorm, eps=1e-5),
    )
    if kind == "qkvb":
        for name, bias in model.named_parameters():
            if name.endswith(("q_bias", "v_bias")):
                nn.init.normal_(bias)
    return model


def learner_of(argument: str, seed: int) -> VitLearner:
    """One with random weights: `plain` (also for an empty text), `dinov3` or another kind."""
    return VitLearner("tiny-vit", backbone(argument or "plain", seed), ImageFormat(32, (0.4,) * 3, (0.3,) * 3), seed)
