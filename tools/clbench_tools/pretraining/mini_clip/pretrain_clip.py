"""Pre-trains mini-clip on a CPU.

`PYTHONPATH=tools python -m clbench_tools.pretraining.mini_clip.pretrain_clip --corpus CACHE/corpus.npz --data DATA`.

`clbench_tools.clip_mini.build_clip_mini` writes the corpus into its cache. Writes weights, config, preprocessing,
tokenizer and hashes of the corpus into `--out` (the learner's folder). Build-time code: nothing imports it when clbench
runs.
"""

import argparse
import copy
import hashlib
import io
import json
import logging
import time
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from open_clip import CLIP
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor, nn

from clbench_tools.pretraining.mini_clip.clip_batches import (
    CONTEXT,
    encode,
    encode_forms,
    random_views,
    train_tokenizer,
)

LOG = logging.getLogger("pretrain")
VOCABULARY = 1536
CONFIG = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 160, "layers": 4, "head_width": 32},
    "text_cfg": {"context_length": CONTEXT, "vocab_size": VOCABULARY, "width": 128, "heads": 4, "layers": 2},
    "quick_gelu": False,
}
EVALUATE_EVERY = 500


def main() -> None:
    """Train, log validation accuracy and write the model."""
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    corpus = np.load(options.corpus)
    names, inverse = np.unique(corpus["names"], return_inverse=True)
    domain_of = dict(zip(corpus["names"].tolist(), corpus["domains"].tolist(), strict=True))
    domains = [domain_of[name] for name in names.tolist()]
    tokenizer = train_tokenizer(corpus["names"].tolist(), VOCABULARY)
    images = torch.from_numpy(corpus["images"]).permute(0, 3, 1, 2).float() / 255
    preprocess = {"size": 32, "mean": _rounded(images.mean((0, 2, 3))), "std": _rounded(images.std((0, 2, 3)))}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    (options.out / "preprocess.json").write_text(json.dumps(preprocess, indent=2) + "\n")
    tokenizer.save(str(options.out / "tokenizer.json"))
    hashes = sorted(hashlib.sha256(image.tobytes()).hexdigest()[:12] for image in corpus["images"])
    (options.out / "corpus_hashes.txt").write_text("\n".join(hashes) + "\n")
    forms = encode_forms(tokenizer, names.tolist(), domains)
    named = NamedImages(images, torch.from_numpy(inverse), domains, forms)
    train(options, named, preprocess, tokenizer)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True, help="corpus.npz, as build.py writes it")
    parser.add_argument("--data", type=Path, required=True, help="folder of clip-mini, for validation")
    parser.add_argument("--out", type=Path, default=Path(str(files("clbench.learners"))) / "mini_clip")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="two are slower than one where cores are shared")
    return parser.parse_args()


def _rounded(values: Tensor) -> list[float]:
    return [round(float(value), 4) for value in values]


@dataclass(frozen=True)
class NamedImages:
    """The corpus as tensors.

    Attributes:
        images: `(n, 3, 32, 32)` in [0, 1].
        name_of: `(n,)` index of each image's name.
        domains: Domain of each name, empty for none.
        forms: Tokens of each name in its templates `(names, forms, context)`.
    """

    images: Tensor
    name_of: Tensor
    domains: list[str]
    forms: Tensor


def train(
    options: argparse.Namespace, corpus: NamedImages, preprocess: dict[str, object], tokenizer: Tokenizer
) -> None:
    """Train by the contrastive loss between images and names; save the averaged weights at every evaluation.

    Args:
        options: Options of the command line.
        corpus: What is learnt.
        preprocess: Mean and standard deviation by channel.
        tokenizer: For the validation prompts.
    """
    generator = torch.Generator().manual_seed(options.seed)
    model = CLIP(**CONFIG)
    average = copy.deepcopy(model).eval()
    optimizer = torch.optim.AdamW(_groups(model), lr=options.lr, betas=(0.9, 0.98), fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.lr, total_steps=options.steps, pct_start=0.1)
    mean, std = (torch.tensor(preprocess[key]).view(3, 1, 1) for key in ("mean", "std"))
    pools = _pools(corpus.name_of, corpus.domains)
    start = time.monotonic()
    for step in range(1, options.steps + 1):
        pool = pools[int(torch.randint(len(pools), (), generator=generator))]
        chosen = pool[torch.randperm(len(pool), generator=generator)[: options.batch]]
        view = (random_views(corpus.images[chosen], generator) - mean) / std
        labels = corpus.name_of[chosen]
        form = torch.randint(corpus.forms.shape[1], (len(chosen),), generator=generator)
        with torch.autocast("cpu", torch.bfloat16):
            loss = contrastive_loss(model, view, corpus.forms[labels, form], labels)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            model.logit_scale.clamp_(max=np.log(50))
            rate = min(0.998, step / (step + 10))
            for old, new in zip(average.parameters(), model.parameters(), strict=True):
                old.lerp_(new, 1 - rate)
        if step % 100 == 0:
            LOG.info("step %d loss %.3f %.0f s", step, float(loss.detach()), time.monotonic() - start)
        if step % EVALUATE_EVERY == 0 or step == options.steps:
            save(average, options.out / "model.safetensors")
            LOG.info(
                "step %d validation %s", step, accuracies(average, tokenizer, options.data, "validation", preprocess)
            )


def _groups(model: nn.Module) -> list[dict[str, object]]:
    """Weight decay for matrices only."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    return [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]


def _pools(name_of: Tensor, domains: list[str]) -> list[Tensor]:
    """Images to draw a batch from: the whole corpus, or one domain, whose names are harder to distinguish."""
    everything = torch.arange(len(name_of))
    pools = [everything] * 4
    for domain in sorted({domain for domain in domains if domain}):
        pools.append(torch.tensor([i for i in everything.tolist() if domains[int(name_of[i])] == domain]))
    return pools


def contrastive_loss(model: CLIP, view: Tensor, tokens: Tensor, labels: Tensor) -> Tensor:
    """CLIP's symmetric loss; images with equal names share their targets evenly.

    Args:
        model: Trained in place.
        view: Normalised images `(n, 3, 32, 32)`.
        tokens: Prompts of the images `(n, context)`.
        labels: Index of each image's name `(n,)`.
    """
    image = F.normalize(model.encode_image(view).float(), dim=-1)
    text = F.normalize(model.encode_text(tokens).float(), dim=-1)
    logits = model.logit_scale.exp() * image @ text.T
    same = (labels[:, None] == labels[None, :]).float()
    target = same / same.sum(1, keepdim=True)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def save(model: nn.Module, path: Path) -> None:
    """Write the parameters in half precision; open_clip's text mask is recomputed from the config."""
    aside = path.with_suffix(".part")
    save_file({name: p.detach().to(torch.float16).contiguous() for name, p in model.named_parameters()}, aside)
    aside.chmod(0o644)  # safetensors writes files that only their owner reads
    aside.replace(path)


PROMPTS = {
    "digits": "a drawing of the digit {}",
    "flags": "the flag of {}",
    "letters": "a drawing of the letter {}",
    "objects": "a drawing of the object {}",
    "travel": "a drawing of {}",
    "animals": "a drawing of the animal {}",
    "food": "a drawing of the food {}",
}
"""First templates of the card of clip-mini."""


@torch.no_grad()
def accuracies(
    model: CLIP, tokenizer: Tokenizer, data: Path, part: str, preprocess: dict[str, object]
) -> dict[str, tuple[float, float]]:
    """Zero-shot accuracy of each domain: among its own classes, and among the classes of all domains.

    Args:
        model: A CLIP.
        tokenizer: Its tokenizer.
        data: Folder of clip-mini.
        part: `train`, `validation` or `test`.
        preprocess: Mean and standard deviation by channel.
    """
    mean, std = (torch.tensor(preprocess[key]).view(3, 1, 1) for key in ("mean", "std"))
    parts = {domain: _read(data / domain / f"{part}.parquet") for domain in sorted(PROMPTS)}
    texts = [PROMPTS[domain].format(name) for domain, (_, _, names) in parts.items() for name in names]
    features = F.normalize(model.encode_text(encode(tokenizer, texts)), dim=-1)
    found, start = {}, 0
    for domain, (images, labels, names) in parts.items():
        logits = F.normalize(model.encode_image((images - mean) / std), dim=-1) @ features.T
        own = logits[:, start : start + len(names)].argmax(1) == labels
        union = logits.argmax(1) == labels + start
        found[domain] = (round(own.float().mean().item(), 3), round(union.float().mean().item(), 3))
        start += len(names)
    return found


def _read(path: Path) -> tuple[Tensor, Tensor, list[str]]:
    """Images in [0, 1] `(n, 3, 32, 32)`, labels `(n,)` and class names of one part."""
    table = pq.read_table(path)
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    pixels = [np.asarray(Image.open(io.BytesIO(row["bytes"]))) for row in table["image"].to_pylist()]
    images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255
    return images, torch.tensor(table["label"].to_pylist()), features["label"]["names"]


if __name__ == "__main__":
    main()
