"""A masked autoencoder around a small vision transformer (He et al. 2022). Build-time code."""

import torch
from timm.models import VisionTransformer
from timm.models.vision_transformer import Block
from torch import Tensor, nn

HIDDEN = 0.75
"""Share of an image's patches that the encoder does not see."""


class MaskedAutoencoder(nn.Module):
    """The encoder sees a quarter of the patches; a narrow decoder predicts the pixels of the others.

    Args:
        encoder: With a class token and a learnt position for each token.
        width: Width of the decoder.
        depth: Blocks of the decoder.
    """

    def __init__(self, encoder: VisionTransformer, width: int = 64, depth: int = 2) -> None:
        super().__init__()
        self.encoder = encoder
        self.patch = int(encoder.patch_embed.patch_size[0])
        self.count = int(encoder.patch_embed.num_patches)
        self.to_decoder = nn.Linear(int(encoder.embed_dim), width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.randn(1, self.count + 1, width) * 0.02)
        self.decoder = nn.Sequential(*(Block(width, 4) for _ in range(depth)), nn.LayerNorm(width))
        self.to_pixels = nn.Linear(width, self.patch**2)

    def forward(self, images: Tensor, noise: Tensor) -> Tensor:
        """Mean squared error of the hidden patches' pixels, each patch normed by its own mean and deviation; a scalar.

        Args:
            images: `(n, 3, size, size)`, normalised, with three equal channels.
            noise: `(n, patches)`; the encoder sees the patches of the lowest values.
        """
        assert self.encoder.pos_embed is not None
        assert self.encoder.cls_token is not None
        tokens = self.encoder.patch_embed(images) + self.encoder.pos_embed[:, 1:]
        order = noise.argsort(dim=1)
        kept = round(self.count * (1 - HIDDEN))
        seen = tokens.gather(1, order[:, :kept, None].expand(-1, -1, tokens.shape[2]))
        first = (self.encoder.cls_token + self.encoder.pos_embed[:, :1]).expand(len(seen), -1, -1)
        x = self.to_decoder(self.encoder.norm(self.encoder.blocks(torch.cat([first, seen], dim=1))))
        hidden = self.mask_token.expand(len(x), self.count - kept, -1)
        patches = torch.cat([x[:, 1:], hidden], dim=1)
        back = order.argsort(dim=1)
        patches = patches.gather(1, back[:, :, None].expand(-1, -1, patches.shape[2]))
        predicted = self.to_pixels(self.decoder(torch.cat([x[:, :1], patches], dim=1) + self.positions))[:, 1:]
        error = ((predicted - self._pixels(images)) ** 2).mean(dim=2)
        loss: Tensor = error.gather(1, order[:, kept:]).mean()
        return loss

    def _pixels(self, images: Tensor) -> Tensor:
        """One channel of every patch, `(n, patches, patch^2)`, normed patch by patch."""
        grey = images[:, 0].unfold(1, self.patch, self.patch).unfold(2, self.patch, self.patch)
        pixels = grey.flatten(3).flatten(1, 2)
        return (pixels - pixels.mean(dim=2, keepdim=True)) / (pixels.var(dim=2, keepdim=True) + 1e-2).sqrt()
