"""A timm vision transformer, run block by block, with soft prompts among its tokens."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from clbench.core.errors import ConfigError
from clbench.learners._vit.split_qkv import split_fused_qkv


@dataclass(frozen=True, eq=False)
class Features:
    """What heads read of n images.

    Attributes:
        whole: Class token and mean patch token, concatenated, `(n, 2 width)`; the mean twice without class token.
        patches: Patch tokens as a map, `(n, width, rows, columns)`.
    """

    whole: Tensor
    patches: Tensor


class Trunk:
    """Runs a timm `VisionTransformer` or `Eva` (DINOv2, DINOv3 and plain ViTs), with or without prompts.

    Tokens are in timm's order: class token, registers, then prompts, then patches. Prompts have no position. Rotary
    positions are for patches only, so the number of tokens before the patches is set in every attention, at every call.

    Args:
        model: Model of timm; its fused projections are split, in place.

    Raises:
        ConfigError: For a model that is not such a transformer.
    """

    checkpointing = False
    """Whether a backward pass computes blocks again from their inputs."""

    def __init__(self, model: nn.Module) -> None:
        for name in ("patch_embed", "_pos_embed", "norm_pre", "blocks", "norm", "num_prefix_tokens"):
            if not hasattr(model, name):
                raise ConfigError(f"{type(model).__name__} of timm is not a plain vision transformer: it has no {name}")
        split_fused_qkv(model)
        timms: Any = model  # its classes have no common type
        self._model = timms
        self.depth = len(timms.blocks)
        self.width = int(timms.embed_dim)
        self.patch = int(timms.patch_embed.patch_size[0])
        rows, columns = timms.patch_embed.grid_size
        self.grid = (int(rows), int(columns))
        """Rows and columns of patches."""
        self.prefix_tokens = int(timms.num_prefix_tokens)
        """Number of class token and registers."""
        self._class_token = getattr(self._model, "cls_token", None) is not None

    @property
    def final_norm(self) -> nn.Module:
        """The norm after the last block, which `features` calls."""
        found: nn.Module = self._model.norm
        return found

    def embed(self, images: Tensor) -> Tensor:
        """Normalised images `(n, 3, size, size)` as the tokens before the first block, `(n, tokens, width)`."""
        found = self._model._pos_embed(self._model.patch_embed(images))
        tokens: Tensor = self._model.norm_pre(found[0] if isinstance(found, tuple) else found)
        return tokens

    def run(self, x: Tensor, start: int, stop: int, prompts: Tensor | None = None, first_block: int = 0) -> Tensor:
        """Run tokens through the blocks from `start` up to, not including, `stop`.

        Args:
            x: Tokens without prompts, `(n, tokens, width)`.
            start: Index of the first block.
            stop: Index after the last block.
            prompts: Shallow prompts `(1, count, width)`, which enter at `first_block` and stay, or deep prompts
                `(depth - first_block, count, width)`, one set for every block from there on, which replaces the last.
            first_block: Index of the block at which prompts enter, at least `start`.

        Returns:
            Tokens without prompts, `(n, tokens, width)`.
        """
        rope = self._rope()
        inside = 0
        for index in range(start, stop):
            if prompts is not None and index >= first_block and (not inside or len(prompts) > 1):
                level = prompts[index - first_block if len(prompts) > 1 else 0].expand(len(x), -1, -1).to(x.dtype)
                x = torch.cat([x[:, : self.prefix_tokens], level, x[:, self.prefix_tokens + inside :]], dim=1)
                inside = level.shape[1]
            block = self._model.blocks[index]
            if self.checkpointing and torch.is_grad_enabled():
                x = checkpoint(self._block, block, x, inside, rope, index, use_reentrant=False)
            else:
                x = self._block(block, x, inside, rope, index)
        return torch.cat([x[:, : self.prefix_tokens], x[:, self.prefix_tokens + inside :]], dim=1) if inside else x

    def features(self, x: Tensor) -> Features:
        """Features for heads, from tokens after the last block."""
        x = self._model.norm(x)
        patches = x[:, self.prefix_tokens :]
        mean = patches.mean(dim=1)
        whole = torch.cat([x[:, 0] if self._class_token else mean, mean], dim=1)
        return Features(whole, patches.transpose(1, 2).unflatten(2, self.grid))

    def _block(self, block: Any, x: Tensor, inside: int, rope: Tensor | None, index: int) -> Tensor:
        options = {}
        if rope is not None:
            block.attn.num_prefix_tokens = self.prefix_tokens + inside
            options["rope"] = rope[index] if getattr(self._model, "rope_mixed", False) else rope
        found: Tensor = block(x, **options)
        return found

    def _rope(self) -> Tensor | None:
        """Rotary positions of the patches, if the model has them."""
        rope = getattr(self._model, "rope", None)
        if rope is None:
            return None
        # Given the shape, timm would compute the embedding again; only multi-axis embeddings need it.
        positions: Tensor = rope.get_embed() if hasattr(rope, "feat_shape") else rope.get_embed(shape=self.grid)
        return positions
