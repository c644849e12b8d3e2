"""Batches for the pre-training of mini-clip: texts in templates, and random views of images."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor

CONTEXT = 16
PAD, START, END = "<pad>", "<start>", "<end>"

TEMPLATES = (
    "{}",
    "a drawing of {}",
    "a drawing of a {}",
    "an icon of a {}",
    "a picture of the {}",
    "a small drawing of the {}",
)
DOMAIN_TEMPLATES = {
    "animals": ("a drawing of the animal {}", "the animal {}"),
    "food": ("a drawing of the food {}", "the food {}"),
    "travel": ("a drawing of {} on a journey", "{} on a journey"),
    "objects": ("a drawing of the object {}", "the object {}"),
}
"""Templates that name the domain, as those of clip-mini's card do; a name is used with these and with plain ones."""


def train_tokenizer(names: Sequence[str], vocabulary: int) -> Tokenizer:
    """A small byte-level BPE, so that any text has tokens; lower case; the end token has the highest id.

    open_clip reads the text feature at the highest id of a row, so the end token is added last.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - 1,
        special_tokens=[PAD, START],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    forms = [t for ts in (TEMPLATES, *DOMAIN_TEMPLATES.values()) for t in ts]
    tokenizer.train_from_iterator([*names, *(form.format(name) for form in forms for name in names[:50])], trainer)
    tokenizer.add_special_tokens([END])
    end = tokenizer.token_to_id(END)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=[(START, tokenizer.token_to_id(START)), (END, end)]
    )
    tokenizer.enable_truncation(CONTEXT)
    tokenizer.enable_padding(pad_id=0, pad_token=PAD, length=CONTEXT)
    return tokenizer


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> Tensor:
    """Token ids `(n, context)`."""
    return torch.tensor([row.ids for row in tokenizer.encode_batch(list(texts))])


def encode_forms(tokenizer: Tokenizer, names: Sequence[str], domains: Sequence[str]) -> Tensor:
    """Every name in every form; a name without a domain repeats the plain forms.

    Args:
        tokenizer: Of `train_tokenizer`.
        names: Names of images.
        domains: Domain of each name, empty for none.

    Returns:
        Token ids `(names, forms, context)`.
    """
    forms = [TEMPLATES + (DOMAIN_TEMPLATES[d] * 2 if d else TEMPLATES[:4]) for d in domains]
    texts = [form.format(name) for name, row in zip(names, forms, strict=True) for form in row]
    return encode(tokenizer, texts).view(len(names), len(forms[0]), CONTEXT)


def random_views(images: Tensor, generator: torch.Generator) -> Tensor:
    """Random geometry and colours, for the whole batch at once.

    Args:
        images: `(n, 3, side, side)` in [0, 1] on a white background.
        generator: Source of randomness.

    Returns:
        `(n, 3, side, side)` in [0, 1].
    """
    n, _, side, _ = images.shape
    ink = F.grid_sample(1 - images, _grid(n, side, generator), align_corners=False)  # outside the image is white
    return _colours(1 - ink, generator)


def _grid(n: int, side: int, generator: torch.Generator) -> Tensor:
    """Random affine maps with a smooth local warp, as grids `(n, side, side, 2)`: artists draw other proportions."""
    draw = torch.rand(8, n, generator=generator)
    angle = (draw[0] - 0.5) * 0.7
    scale_x, scale_y = torch.exp((draw[1] - 0.35) * 0.5), torch.exp((draw[2] - 0.5) * 0.2)
    mirror = torch.where(draw[3] < 0.4, -1.0, 1.0)
    shear = (draw[4] - 0.5) * 0.3
    cos, sin = angle.cos(), angle.sin()
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 0, 1] = cos * scale_x * mirror, (shear - sin) * scale_x
    theta[:, 1, 0], theta[:, 1, 1] = sin * scale_x * scale_y * mirror, cos * scale_x * scale_y
    theta[:, :, 2] = (draw[5:7].T - 0.5) * 0.35
    warp = torch.randn(n, 2, 4, 4, generator=generator) * 0.08 * draw[7].view(n, 1, 1, 1)
    smooth = F.interpolate(warp, size=(side, side), mode="bicubic", align_corners=False).permute(0, 2, 3, 1)
    return F.affine_grid(theta, [n, 3, side, side], align_corners=False) + smooth


def _colours(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mix channels, turn some images grey, change contrast, blur, erase a box and add noise."""
    n, _, side, _ = images.shape
    draw = torch.rand(10, n, 1, 1, 1, generator=generator)
    mix = torch.eye(3) + torch.randn(n, 3, 3, generator=generator) * 0.15 * (draw[0, :, :, :, 0] < 0.7)
    mix = mix / mix.sum(2, keepdim=True).clamp(min=0.5)  # white stays white
    x = 1 - torch.einsum("nij,njhw->nihw", mix, 1 - images)
    x = torch.where(draw[1] < 0.15, x.mean(1, keepdim=True), x)
    x = 1 - (1 - x) * (0.6 + 0.8 * draw[2])
    dark = x + (1 - x) * (draw[3] - 0.5) * 0.6 * (x < 0.9)
    x = torch.where(draw[4] < 0.5, dark, x)
    blurred = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    x = torch.where(draw[5] < 0.2, blurred, x)
    x = torch.where(draw[5] > 0.8, 2 * x - blurred, x)
    place = torch.arange(side).view(1, 1, side) / side
    row, column = draw[6, :, :, :, 0], draw[7, :, :, :, 0]
    box = ((place - row).abs() < 0.14).unsqueeze(3) & ((place - column).abs() < 0.14).unsqueeze(2)
    x = torch.where(box & (draw[8] < 0.3), torch.ones(()), x)
    x = x + torch.randn(x.shape, generator=generator) * 0.04 * draw[9]
    return x.clamp(0, 1)
